"""Documents that requests name instead of sending them.

Either they were sent before, with their SHA-256 beside them (Apollo's protocol of automatic persisted queries): then
those that were used last are kept, of so many bytes together, on each worker. Or the operator has a file of them, as
clients' compilers write it: then no other document is executed at all.
"""

import hashlib
import json
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path

from graphql_schema.execution.errors import request_error
from graphql_schema.execution.outcomes import GraphQLRequest, RequestError

NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
NOT_SUPPORTED = "PERSISTED_QUERY_NOT_SUPPORTED"
NOT_TRUSTED = "DOCUMENT_NOT_TRUSTED"
ENTRY_BYTES = 300
"""About how many bytes of memory an entry takes beside its text."""
GUESTS_SHARE = 8
"""What callers whom nobody knows have sent may take this part of the bytes, in a place of its own."""
MANIFEST = "apollo-persisted-query-manifest"


def refused(message: str, code: str) -> RequestError:
    """The error of a request whose document is not to be had."""
    return RequestError(request_error(message, code), code=code)


class _Store:
    """Texts by their hashes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._texts: OrderedDict[str, str] = OrderedDict()
        self.bytes = 0

    def find(self, key: str) -> str | None:
        text = self._texts.get(key)
        if text is not None:
            self._texts.move_to_end(key)
        return text

    def keep(self, key: str, text: str) -> None:
        if key in self._texts or (size := _size(text)) > self._max_bytes:
            return
        self._texts[key] = text
        self.bytes += size
        while self.bytes > self._max_bytes:
            self.bytes -= _size(self._texts.popitem(last=False)[1])


class PersistedDocuments:
    """The documents of one application. Without ``max_bytes``, none that was sent is kept; with ``trusted``, by their
    ids, there are no others."""

    def __init__(self, max_bytes: int, trusted: Mapping[str, str] | None = None) -> None:
        self._max_bytes, self.trusted = max_bytes, trusted
        self._texts = frozenset((trusted or {}).values())
        self._sent, self._sent_by_guests = _Store(max_bytes), _Store(max_bytes // GUESTS_SHARE)

    @property
    def bytes(self) -> int:
        """About how much memory is taken by what was sent."""
        return self._sent.bytes + self._sent_by_guests.bytes

    def find(self, request: GraphQLRequest, *, guest: bool) -> GraphQLRequest:
        """The request with its document. Raises ``RequestError`` for one that names another, or may not send it."""
        if self.trusted is not None:
            return self._find_trusted(request, self.trusted)
        named = request.named
        if named is None:
            return request
        if not named.is_hash:
            raise refused("This server has no trusted documents (TRUSTED_DOCUMENTS)", NOT_SUPPORTED)
        if not self._max_bytes:
            raise refused("PersistedQueryNotSupported", NOT_SUPPORTED)
        if request.query:
            if hashlib.sha256(request.query.encode()).hexdigest() != named.id:
                raise refused("provided sha does not match query", "BAD_USER_INPUT")
            return request
        text = None if guest else self._sent.find(named.id)
        text = text or self._sent_by_guests.find(named.id)
        if text is None:
            raise refused("PersistedQueryNotFound", NOT_FOUND)
        return request._replace(query=text, named=None)

    def _find_trusted(self, request: GraphQLRequest, trusted: Mapping[str, str]) -> GraphQLRequest:
        named = request.named
        text = None if named is None else trusted.get(named.id, trusted.get(named.id.removeprefix("sha256:")))
        if text is None and request.query in self._texts:
            text = request.query
        if text is not None:
            return request._replace(query=text, named=None)
        if request.query or named is None:
            raise refused("This server executes its trusted documents alone (TRUSTED_DOCUMENTS)", NOT_TRUSTED)
        raise refused("PersistedQueryNotFound", NOT_FOUND)

    def keep(self, request: GraphQLRequest, *, guest: bool) -> None:
        """Remember the document of a request that named and sent it. It has turned out to be valid."""
        if request.named is not None:
            (self._sent_by_guests if guest else self._sent).keep(request.named.id, request.query)


def _size(text: str) -> int:
    return sys.getsizeof(text) + ENTRY_BYTES


def read_trusted(file: Path) -> dict[str, str]:
    """The documents of a file by their ids: a JSON object of both, as GraphQL Code Generator and Relay write it, or
    Apollo's manifest. Raises ``ValueError`` for any other."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"TRUSTED_DOCUMENTS: {file} cannot be read as JSON: {error}") from None
    found = dict(_documents(content))
    documents = {id_: text for id_, text in found.items() if isinstance(text, str) and text.strip()}
    if not documents or len(documents) < len(found):
        raise ValueError(
            f"TRUSTED_DOCUMENTS: {file} must be a JSON object of documents by their ids, as GraphQL Code Generator and "
            "Relay write it, or a manifest of Apollo's"
        )
    return documents


def _documents(content: object) -> Iterator[tuple[str, object]]:
    if not isinstance(content, dict):
        return
    if content.get("format") != MANIFEST:
        yield from content.items()
        return
    if content.get("version") != 1:
        raise ValueError(f"TRUSTED_DOCUMENTS: only version 1 of {MANIFEST} is known")
    for operation in content.get("operations", ()):
        yield operation["id"], operation["body"]
