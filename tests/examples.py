"""A call of any operation, made of what its route declares: for the tables that ask for all operations there are."""

import itertools
import re
from typing import Any, get_type_hints
from uuid import uuid4

import httpx
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sqlalchemy import insert
from strawberry.utils.str_converters import to_snake_case

from api.routes import ROUTERS
from core.clock import now
from db.models import Notification
from services.features import NODES
from services.shared.filters import Filter
from services.shared.node_ids import encode
from tests.actors import Person

ROUTES = {route.name: route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)}
"""The routes, by the names of their operations."""
IDS = {f"{to_snake_case(name)}_id": name for name in NODES}
"""What the ids in paths and bodies are of, by their names, where these are those of the types."""
_NUMBERS = itertools.count(1)


def body_model(name: str) -> type[BaseModel] | None:
    """What an operation takes as its body."""
    return get_type_hints(ROUTES[name].endpoint).get("body")


def path_ids(name: str) -> list[str]:
    """The ids in the path of an operation."""
    return re.findall(r"{(\w+)}", ROUTES[name].path_format)


def headers(name: str) -> set[str]:
    """The headers that an operation takes."""
    found, waiting = set(), [ROUTES[name].dependant]
    while waiting:
        dependant = waiting.pop()
        found |= {field.alias for field in dependant.header_params}
        waiting += dependant.dependencies
    return found


async def example(person: Person, name: str, **known: Any) -> tuple[Any, dict[str, Any]]:
    """The body and the ids of a call that somebody could make. The ids that are not ``known`` are of new things, which
    are made in the things that are."""
    ids = {
        each: known[each] if each in known else await _new(person, each, known) if each in IDS else _named(name, each)
        for each in path_ids(name)
    }
    model = body_model(name)
    if model is None:
        return None, ids
    if issubclass(model, Filter):
        return {}, ids
    if name == "redeliver_webhook":
        return {}, ids  # all that failed
    if name == "preview_occurrences":
        return {"rule": "FREQ=DAILY", "due_at": "2027-01-31T17:00:00Z"}, ids
    fields = {each: field for each, field in model.model_fields.items() if field.is_required()}
    values = {each: _value(field) for each, field in (fields or dict([*model.model_fields.items()][:1])).items()}
    return values | {each: value for each, value in known.items() if each in model.model_fields}, ids


async def new(person: Person, type_name: str, **known: Any) -> dict[str, Any]:
    """Something of a type, made in the things that are ``known``."""
    if type_name == "Notification":
        return await notification(person.client, person.id)
    if type_name == "WebhookDelivery":
        webhook = await new(person, "Webhook")
        told: dict[str, Any] = (await person.post(f"/webhooks/{webhook['id']}/test")).json()
        return told
    name = f"create_{to_snake_case(type_name)}"
    body, ids = await example(person, name, **known)
    made = await person.post(ROUTES[name].path_format.format(**ids), body)
    assert made.status_code == 201, made.text
    thing: dict[str, Any] = made.json()
    return thing


async def notification(client: httpx.AsyncClient, user_id: int) -> dict[str, Any]:
    """One for an account, which nobody makes: others do what it tells of."""
    database = client._transport.app.state.tandem.database  # type: ignore[attr-defined]  # the application under test
    row = {"user_id": user_id, "event_id": str(uuid4()), "kind": "commented", "created_at": now()}
    async with database.writing() as session:
        id_ = await session.scalar(insert(Notification).values(row).returning(Notification.id))
    return {"id": id_, "node_id": encode("Notification", id_)}


async def _new(person: Person, id_name: str, known: dict[str, Any]) -> int:
    return int((await new(person, IDS[id_name], **known))["id"])


def _named(name: str, part: str) -> str:
    """Another value for a part of an operation's path that is no id of ours."""
    [given] = [each for each in ROUTES[name].dependant.path_params if each.alias == part]
    return str(_value(given.field_info))


def _value(field: FieldInfo) -> Any:
    """What the field's declaration gives as an example; texts are different ones each time."""
    if field.annotation is bool and not field.examples:
        return True
    [value, *_] = field.examples or _examples(field)
    if not isinstance(value, str):
        return value
    return f"{value}{'/' if value.startswith('https:') else ' '}{next(_NUMBERS)}"


def _examples(field: FieldInfo) -> list[Any]:
    """The examples of a type's own declaration, where pydantic keeps them with the type."""
    return [each for item in field.metadata for each in getattr(item, "examples", None) or ()]
