"""The ``ETag`` of a list (RFC 9110, section 8.8.3): a digest of what is answered, made as it is written.

It is a weak one: a list is never written by its tag, and so it holds for the compressed answer, too. Whoever asks again
with ``If-None-Match`` is remembered, with where the feed of events ended as the list was read: as long as nothing has
happened since that could change it (``services.list_states``), the next 304 reads no row. A digest takes 7 µs of 10 kB.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from fastapi import Response

from services.list_states import Standing

ATTRIBUTE = "tandem_list_tag"
MAX_REMEMBERED = 10_000
"""Lists of callers, of some 300 bytes each."""
_LENGTH = 15
"""Bytes of the digest: none of them is lost to padding."""


class Known(NamedTuple):
    """A list as it was last answered: its tag, and where the feed ended before it was read."""

    tag: str
    standing: Standing


class KnownLists:
    """The lists that were asked for by ``If-None-Match``, the last ones of them."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Known] = OrderedDict()

    def get(self, key: bytes) -> Known | None:
        """What is known of a list."""
        found = self._known.get(key)
        if found is not None:
            self._known.move_to_end(key)
        return found

    def put(self, key: bytes, known: Known) -> None:
        """Keep it, and let go what was asked for longest ago."""
        self._known[key] = known
        self._known.move_to_end(key)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)


def key_of(*parts: str | bytes) -> bytes:
    """What a list is known by: who asks, and for what."""
    digest = hashlib.sha256()
    for part in parts:
        text = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(b"%d:%s" % (len(text), text))
    return digest.digest()


def tag_list(response: Response, if_none_match: str | None, note: Callable[[str], None] | None = None) -> None:
    """Have the answer that ``response`` is the head of tagged, and 304 answered where the client has it; ``note`` is
    told the tag."""
    setattr(response, ATTRIBUTE, (if_none_match, note))


def tagged(response: Response, body: bytes) -> Response | None:
    """Puts the tag of a body into the head of its answer; the 304 that is to be answered instead, if one is."""
    asked = getattr(response, ATTRIBUTE, None)
    if asked is None:
        return None
    digest = hashlib.sha1(body, usedforsecurity=False)
    for _, value in response.raw_headers:
        digest.update(value)  # the total and the next page
    tag = f'W/"{urlsafe_b64encode(digest.digest()[:_LENGTH]).decode()}"'
    if_none_match, note = asked
    if note is not None:
        note(tag)
    if names(if_none_match, tag):
        return not_modified(tag)
    response.raw_headers.append((b"etag", tag.encode()))
    return None


def names(if_none_match: str | None, tag: str) -> bool:
    """Whether a tag is among those of ``If-None-Match``, by the weak comparison (RFC 9110, section 13.1.2)."""
    if if_none_match is None:
        return False
    if if_none_match == tag or if_none_match.strip() == "*":
        return True
    opaque = tag.removeprefix("W/")
    return any(part.strip().removeprefix("W/") == opaque for part in if_none_match.split(","))


def not_modified(tag: str) -> Response:
    """304, with the tag."""
    response = Response.__new__(Response)
    response.body, response.status_code, response.background = b"", 304, None
    response.raw_headers = [(b"etag", tag.encode())]
    return response
