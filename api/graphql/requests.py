"""Reading a GraphQL request, the same for a body, a query string and a WebSocket message."""

import json
from typing import Any

import orjson

from api.http.bodies import MAX_VALUES, check_values
from graphql_schema.execution.outcomes import GraphQLRequest, Named

DOCUMENT_IDS = ("documentId", "doc_id")
"""The parts of a request that name its document."""


class BadRequest(Exception):
    """The request is not one of GraphQL over HTTP; the message says why. It is JSON, where it is ``readable``."""

    def __init__(self, message: str, *, readable: bool = True) -> None:
        super().__init__(message)
        self.readable = readable


def parse_json(raw: bytes | str) -> tuple[Any, bool]:
    """The value, and whether it is JSON in the strict sense. Raises ``BadRequest``; ``TooExpensive`` for too many.

    As on REST, a lone surrogate or a NaN is no reason to refuse all the rest: what they stand for is refused where it
    stands. ``to_request`` and ``is_text`` keep them from where nobody looks.
    """
    if len(raw) > MAX_VALUES:
        check_values(raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass"))
    try:
        return orjson.loads(raw), True
    except orjson.JSONDecodeError:
        try:
            return json.loads(raw if isinstance(raw, str) else raw.decode()), False
        except (ValueError, RecursionError):
            raise BadRequest("The body is not valid JSON", readable=False) from None


def to_request(payload: Any, *, strict: bool = True, large: bool = False) -> GraphQLRequest:
    """The request in a map of parameters. Raises ``BadRequest`` for a missing query or parts of the wrong kind."""
    if not isinstance(payload, dict):
        raise BadRequest("The request must be a JSON object (batches are not supported)")
    query, variables = payload.get("query"), payload.get("variables")
    name, extensions = payload.get("operationName"), payload.get("extensions")
    named = _named(payload, extensions)
    if named is not None and query is None:
        query = ""
    if not isinstance(query, str) or not (query.strip() or named):
        # a string without a document does not parse, whereas anything else is no request
        raise BadRequest("query must be a string that holds a GraphQL document", readable=not isinstance(query, str))
    if variables is not None and not isinstance(variables, dict):
        raise BadRequest("variables must be an object")
    if name is not None and not isinstance(name, str):
        raise BadRequest("operationName must be a string")
    if extensions is not None and not isinstance(extensions, dict):
        raise BadRequest("extensions must be an object")
    if not (strict or (is_text(query) and is_text(name or "") and is_text(named.id if named else ""))):
        raise BadRequest("Lone surrogates are not text", readable=False)
    cost = (extensions or {}).get("cost")
    if cost is not None and not isinstance(cost, bool):
        raise BadRequest("extensions.cost must be true or false")
    return GraphQLRequest(query, variables, name or None, strict, large, cost is True, named)


def _named(payload: dict[str, Any], extensions: Any) -> Named | None:
    """How the document is named: by Apollo's extension, ``documentId``, or ``doc_id``, as Relay's guide has it."""
    persisted = extensions.get("persistedQuery") if isinstance(extensions, dict) else None
    if persisted is not None:
        key = persisted.get("sha256Hash") if isinstance(persisted, dict) else None
        if not isinstance(key, str) or not key:
            raise BadRequest("extensions.persistedQuery must be an object with a sha256Hash")
        if persisted.get("version") != 1:
            raise BadRequest("Unsupported persisted query version")
        return Named(key, is_hash=True)
    for part in DOCUMENT_IDS:
        key = payload.get(part)
        if key is None:
            continue
        if not isinstance(key, str) or not key:
            raise BadRequest(f"{part} must be a string")
        if payload.get("query"):
            raise BadRequest(f"query and {part} exclude each other")
        return Named(key, is_hash=False)
    return None


def is_text(value: str) -> bool:
    """Whether a string that was escaped in JSON can be written in UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def from_query_string(parameters: Any) -> GraphQLRequest:
    """The request in a URL's parameters. Raises ``BadRequest``, also for one that is there twice."""
    payload: dict[str, Any] = {}
    strict = True
    for part in ("query", "operationName", *DOCUMENT_IDS, "variables", "extensions"):
        values = parameters.getlist(part)
        if len(values) > 1:
            raise BadRequest(f"{part} is there more than once, and takes one value")
        if not values:
            continue
        if part not in ("variables", "extensions"):
            payload[part] = values[0]
        elif values[0]:
            try:
                payload[part], clean = parse_json(values[0])
            except BadRequest:
                raise BadRequest(f"{part} must be JSON", readable=False) from None
            strict = strict and clean
    return to_request(payload, strict=strict)
