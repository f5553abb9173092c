"""The frames of GraphQL's sockets (graphql-transport-ws), as messages of the AsyncAPI document."""

from collections.abc import Mapping
from typing import Any, NamedTuple

Part = dict[str, Any]
JSON = "application/json"
PROTOCOL = "graphql-transport-ws"


class Subscription(NamedTuple):
    """A field of GraphQL's Subscription."""

    name: str
    description: str
    arguments: Mapping[str, str]
    """Their types, as the schema spells them."""
    type: str


def frames_of_protocol() -> Part:
    """The frames of the protocol, but for results."""
    text, anything = {"type": "string"}, {"type": "object"}
    request = object_of({"query": text}, required=True)
    request["properties"] |= {"operationName": text, "variables": anything, "extensions": anything}
    errors = {"type": "array", "items": object_of({"message": text, "extensions": anything})}
    credentials = object_of({"Authorization": text, "X-API-Key": text})
    frames: dict[str, tuple[str, Part, Part]] = {
        "connection_init": ("The first frame of a client, with its credentials.", {}, {"payload": credentials}),
        "connection_ack": ("The credentials are good.", {}, {}),
        "subscribe": ("An operation begins.", {"id": text, "payload": request}, {}),
        "operation_error": ("An operation was refused, and ends.", {"id": text, "payload": errors}, {}),
        "complete": ("An operation ends, by whichever side.", {"id": text}, {}),
        "ping": ("Is somebody there?", {}, {"payload": anything}),
        "pong": ("Yes.", {}, {"payload": anything}),
    }
    # "error" is the stream's
    return {
        name: _frame(name.removeprefix("operation_"), sentence, needed, more)
        for name, (sentence, needed, more) in frames.items()
    }


def result(one: Subscription) -> Part:
    """What is told of a subscription."""
    data = object_of({one.name: {"type": "object", "description": f"What was selected of {one.type}."}})
    payload = object_of({"data": data, "errors": {"type": "array", "items": {"type": "object"}}})
    return _frame("next", one.description, {"id": {"type": "string"}, "payload": payload}, {})


def _frame(name: str, sentence: str, needed: Part, more: Part) -> Part:
    payload = object_of({"type": {"const": name}} | needed, required=True)
    payload["properties"] |= more
    return {"name": name, "title": name, "summary": sentence, "contentType": JSON, "payload": payload}


def object_of(properties: Part, *, required: bool = False) -> Part:
    """The schema of an object."""
    made = {"type": "object", "properties": dict(properties)}
    return made | {"required": list(properties)} if required else made
