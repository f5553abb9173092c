"""Reading a GraphQL request, the same for a body, a query string and a WebSocket message."""

from typing import Any

import orjson

from graphql_schema.execution import GraphQLRequest


class BadRequest(Exception):
    """The request is not one of GraphQL over HTTP; the message says why."""


def parse_json(raw: bytes | str) -> Any:
    """JSON, strictly: no NaN, no lone surrogates. Raises ``BadRequest``."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise BadRequest("The body is not valid JSON") from None


def to_request(payload: Any) -> GraphQLRequest:
    """The request in a map of parameters. Raises ``BadRequest`` for a missing query or parts of the wrong kind."""
    if not isinstance(payload, dict):
        raise BadRequest("The request must be a JSON object (batches are not supported)")
    query, variables = payload.get("query"), payload.get("variables")
    name, extensions = payload.get("operationName"), payload.get("extensions")
    if not isinstance(query, str) or not query.strip():
        raise BadRequest("query must be a string that holds a GraphQL document")
    if variables is not None and not isinstance(variables, dict):
        raise BadRequest("variables must be an object")
    if name is not None and not isinstance(name, str):
        raise BadRequest("operationName must be a string")
    if extensions is not None and not isinstance(extensions, dict):
        raise BadRequest("extensions must be an object")
    return GraphQLRequest(query, variables, name or None)


def from_query_string(parameters: Any) -> GraphQLRequest:
    """The request in a URL's parameters; others are ignored, as the specification wants. Raises ``BadRequest``."""
    for part in ("query", "variables", "operationName", "extensions"):
        if len(parameters.getlist(part)) > 1:
            raise BadRequest(f"{part} is there more than once, and takes one value")
    payload: dict[str, Any] = {"query": parameters.get("query"), "operationName": parameters.get("operationName")}
    for part in ("variables", "extensions"):
        if text := parameters.get(part):
            try:
                payload[part] = orjson.loads(text)
            except orjson.JSONDecodeError:
                raise BadRequest(f"{part} must be JSON") from None
    return to_request(payload)
