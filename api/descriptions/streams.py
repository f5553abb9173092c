"""The AsyncAPI document (3.0.0): what the server says unasked, by event streams, sockets and webhooks.

Its messages are those of the catalogue of events, its operations the stream of REST's door and the subscriptions of
GraphQL's: a kind or a subscription that there is no more is not in it, and a new one is.
"""

from collections.abc import Iterable

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.descriptions.schemas import PREFIX, without_titles
from api.descriptions.socket_frames import JSON, PROTOCOL, Part, Subscription, frames_of_protocol, object_of, result
from api.problems import ProblemDetails
from api.sse import MEDIA_TYPE
from core.version import VERSION
from services.events.catalogue import CATALOGUE, EventKind
from services.events.log import ChangeOut
from services.events.rows import HappeningWithRows
from services.live_lists.models import LiveChangeOut, LiveKind
from services.webhooks.models import MAX_PAYLOAD, TEST, TOLD

STREAM, LIVE, SOCKET, WEBHOOK = "changes", "live_tasks", "graphql", "webhook"
"""The channels."""
_MODELS: tuple[type[BaseModel], ...] = (HappeningWithRows, LiveChangeOut, ChangeOut, ProblemDetails)
_DESCRIPTION = """
What Tandem says unasked: server-sent events of what happens, GraphQL subscriptions over WebSocket, and webhooks. Which
changes somebody is told of is what his account, or the owner of a webhook, may read at the moment of telling.

All three tell of the same events; `event_id` is the same wherever an event is told, and `cursor` is where each can be
gone on from. What is asked and answered is in `openapi.json` and `schema.graphql`.
"""


def document(openapi: Part, subscriptions: Iterable[Subscription]) -> Part:
    """The document; the parameters of the stream are those of the OpenAPI document."""
    subscriptions = [*subscriptions]
    kinds = [CATALOGUE[name] for name in TOLD]
    told = {f"event.{kind.name}": _event(kind) for kind in kinds}
    sent = {f"webhook.{kind.name}": _delivery(kind) for kind in kinds} | {TEST: _test()}
    live = {f"live.{kind.value}": _live(kind) for kind in LiveKind}
    frames = frames_of_protocol()
    results = {f"next.{one.name}": result(one) for one in subscriptions}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Tandem", "version": VERSION, "description": _DESCRIPTION.strip()},
        "defaultContentType": JSON,
        "servers": _servers(),
        "channels": {
            STREAM: {
                "address": "/api/v1/events",
                "title": "What happens, as it happens",
                "description": "An event stream (HTML Standard, section 9.2): the id of an event is its cursor, its "
                "name the kind, its data the JSON. A comment comes every 12 seconds while nothing happens.",
                "servers": [{"$ref": "#/servers/http"}],
                "messages": _among([*told, "error"]),
            },
            LIVE: {
                "address": "/api/v1/tasks/live",
                "title": "A list of tasks that stays right",
                "description": "An event stream as above; what can be asked of it is in openapi.json.",
                "servers": [{"$ref": "#/servers/http"}],
                "messages": _among([*live, "error"]),
            },
            SOCKET: {
                "address": "/graphql",
                "title": "Subscriptions",
                "description": f"WebSocket with the subprotocol {PROTOCOL}; each frame is one JSON object.",
                "servers": [{"$ref": "#/servers/ws"}],
                "messages": _among([*frames, *results]),
                "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
            },
            WEBHOOK: {
                "address": None,
                "title": "Webhooks",
                "description": "A POST to the address of a webhook for each change, signed after Standard Webhooks, "
                "in the order of each task, until it is answered with 2xx.",
                "servers": [{"$ref": "#/servers/receiver"}],
                "messages": _among(sent),
            },
        },
        "operations": _operations(openapi, told, live, frames, subscriptions, sent),
        "components": {
            "messages": told | live | {"error": _ended()} | frames | results | sent,
            "schemas": _schemas(kinds) | _of_parameters(openapi),
            "securitySchemes": {
                "BearerAuth": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "ApiKeyAuth": {"type": "httpApiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def below(document: Part, prefix: str) -> Part:
    """The document of an application that clients find below a prefix."""
    if not prefix:
        return document
    servers = document["servers"]
    own = {name: servers[name] | {"pathname": prefix} for name in ("http", "ws")}
    return document | {"servers": servers | own}


def _servers() -> Part:
    here = {"host": {"default": "127.0.0.1:8000", "description": "Where this server is."}}
    security = [{"$ref": f"#/components/securitySchemes/{name}"} for name in ("BearerAuth", "ApiKeyAuth")]
    return {
        "http": {"host": "{host}", "protocol": "http", "variables": here, "security": security},
        "ws": {
            "host": "{host}",
            "protocol": "ws",
            "variables": here,
            "description": "The credentials go into connection_init, under the headers' names.",
        },
        "receiver": {
            "host": "{receiver}",
            "protocol": "https",
            "variables": {"receiver": {"description": "The host of a webhook's url.", "default": "hooks.example.com"}},
        },
    }


def _operations(
    openapi: Part,
    told: Iterable[str],
    live: Iterable[str],
    frames: Part,
    subscriptions: Iterable[Subscription],
    sent: Iterable[str],
) -> Part:
    follow = openapi["paths"]["/api/v1/events"]["get"]
    places: dict[str, Part] = {"query": {}, "header": {}}
    for parameter in follow["parameters"]:
        told_of = {"description": parameter["description"]} if "description" in parameter else {}
        places[parameter["in"]][parameter["name"]] = parameter["schema"] | told_of
    of_client = [name for name in frames if name not in ("connection_ack", "operation_error")]
    of_server = [name for name in frames if name not in ("connection_init", "subscribe")]
    return {
        follow["operationId"]: {
            "action": "send",
            "channel": _ref("channels", STREAM),
            "title": follow["summary"],
            "description": follow["description"],
            "messages": _named(STREAM, [*told, "error"]),
            "bindings": {"http": {"method": "GET", "query": object_of(places["query"]), "bindingVersion": "0.3.0"}},
        },
        "follow_tasks": {
            "action": "send",
            "channel": _ref("channels", LIVE),
            "messages": _named(LIVE, [*live, "error"]),
            "bindings": {"http": {"method": "GET", "bindingVersion": "0.3.0"}},
        },
        "subscribe": {
            "action": "receive",
            "channel": _ref("channels", SOCKET),
            "title": "What a client says on a socket",
            "messages": _named(SOCKET, of_client),
        },
        "answer": {
            "action": "send",
            "channel": _ref("channels", SOCKET),
            "title": "What the server says on a socket, beside results",
            "messages": _named(SOCKET, of_server),
        },
        **{
            one.name: {
                "action": "send",
                "channel": _ref("channels", SOCKET),
                "title": "".join(f" {each.lower()}" if each.isupper() else each for each in one.name).capitalize(),
                "description": _told_of(one),
                "messages": _named(SOCKET, [f"next.{one.name}"]),
            }
            for one in subscriptions
        },
        "tell_webhook": {
            "action": "send",
            "channel": _ref("channels", WEBHOOK),
            "title": "Tell a webhook",
            "messages": _named(WEBHOOK, sent),
            "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
        },
    }


def _told_of(one: Subscription) -> str:
    taken = ", ".join(f"`{name}: {type_}`" for name, type_ in one.arguments.items())
    return f"{one.description} It takes {taken}." if taken else one.description


# --- messages


def _event(kind: EventKind) -> Part:
    return {
        "name": kind.name,
        "title": kind.name,
        "summary": kind.sentence,
        "contentType": JSON,
        "payload": _schema(kind.name),
        "bindings": {
            "http": {"headers": object_of({"Content-Type": {"const": MEDIA_TYPE}}), "bindingVersion": "0.3.0"}
        },
    }


def _live(kind: LiveKind) -> Part:
    payload = {"allOf": [_schema(LiveChangeOut.__name__), object_of({"kind": {"const": kind.value}})]}
    return {"name": kind.value, "title": kind.value, "contentType": JSON, "payload": payload}


def _ended() -> Part:
    return {
        "name": "error",
        "title": "Why the stream ends",
        "summary": "The last event of a stream that ends before its time; its data is a problem document.",
        "contentType": "application/problem+json",
        "payload": _schema("ProblemDetails"),
    }


def _delivery(kind: EventKind) -> Part:
    payload = {"type": {"const": kind.name}, "data": _schema(kind.name)}
    return {
        "name": kind.name,
        "title": kind.name,
        "summary": kind.sentence,
        "contentType": JSON,
        "headers": _schema("WebhookHeaders"),
        "payload": {"allOf": [_schema("WebhookMessage"), {"type": "object", "properties": payload}]},
    }


def _test() -> Part:
    data = object_of({"webhook_id": {"type": "integer"}}, required=True)
    payload = {"type": {"const": TEST}, "timestamp": {"type": "string", "format": "date-time"}, "data": data}
    return {
        "name": TEST,
        "title": TEST,
        "summary": "Tells of nothing: somebody tries the webhook.",
        "contentType": JSON,
        "headers": _schema("WebhookHeaders"),
        "payload": object_of(payload, required=True),
    }


# --- schemas


def _schemas(kinds: Iterable[EventKind]) -> Part:
    _, made = models_json_schema([(model, "serialization") for model in _MODELS], ref_template=PREFIX + "{model}")
    schemas: Part = without_titles({"components": {"schemas": made["$defs"]}})["components"]["schemas"]
    text = {"type": "string"}
    schemas["WebhookHeaders"] = object_of(
        {
            "webhook-id": text | {"description": "The event's id: what comes twice has the same."},
            "webhook-timestamp": text | {"description": "When it is sent, in seconds since 1970."},
            "webhook-signature": text
            | {
                "description": "`v1,` and the base64 of HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}`; "
                "several, with a blank between, while a secret is being replaced."
            },
        },
        required=True,
    )
    values = {"anyOf": [{"type": "array", "items": _schema("ChangeOut")}, {"type": "null"}]}
    entity = {"anyOf": [{"type": "object"}, {"type": "null"}]}
    left_out = {"type": "array", "items": text | {"enum": ["changes", "entity", "result"]}}
    full = {
        "changes": values | {"description": "Of `full` webhooks: each field before and after."},
        "entity": entity | {"description": "Of `full` webhooks: the thing as REST answers it, as it is now."},
        "matches": {"type": ["boolean", "null"]}
        | {
            "description": "Of webhooks with a filter: whether the task met it when this was passed on. False: it did "
            "before, or is gone; null: that could not be said in time."
        },
        "result": {"type": ["object", "null"], "properties": {"data": entity, "errors": {"type": "array"}}}
        | {"description": "Of `document` webhooks: what the document answers then, as GraphQL over HTTP has it."},
        "left_out": left_out | {"description": f"What is null because a body has {MAX_PAYLOAD:,} bytes at most."},
    }
    message = {"type": text, "timestamp": text | {"format": "date-time"}, "data": object_of(full)}
    schemas["WebhookMessage"] = object_of(message, required=True)
    for kind in kinds:
        schemas[kind.name] = _of_kind(kind)
    return schemas


def _of_parameters(openapi: Part) -> Part:
    """The schemas that the parameters of the stream name; they name no others."""
    known: Part = openapi["components"]["schemas"]
    told = str(openapi["paths"]["/api/v1/events"]["get"]["parameters"])
    return {name: known[name] for name in sorted(known) if f"'{PREFIX}{name}'" in told}


def _of_kind(kind: EventKind) -> Part:
    fields: Part = {"type": "array"}
    fields |= {"items": {"enum": sorted(kind.holds)}} if kind.holds else {"maxItems": 0}
    said = {"kind": {"const": kind.name}, "entity_type": {"const": kind.subject}, "fields": fields}
    return {
        "description": kind.sentence,
        "allOf": [_schema(HappeningWithRows.__name__), {"type": "object", "properties": said}],
    }


def _schema(name: str) -> Part:
    return {"$ref": PREFIX + name}


def _ref(*path: str) -> Part:
    return {"$ref": "#/" + "/".join(path)}


def _among(names: Iterable[str]) -> Part:
    """The messages of a channel."""
    return {name: _ref("components", "messages", name) for name in names}


def _named(channel: str, names: Iterable[str]) -> list[Part]:
    """Messages of an operation: by the channel's names of them."""
    return [_ref("channels", channel, "messages", name) for name in names]
