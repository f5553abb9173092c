"""What webhooks are sent of an event, as their owners may read it when it is told."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import select

from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import Event
from services import history
from services.events.audience import MAY_BE_TOLD
from services.events.happenings import COLUMNS, Happening, HappeningOut
from services.shared.actors import Actor, Scope
from services.shared.features import NodeType
from services.webhooks.models import MAX_PAYLOAD, WebhookContent

_OWN = {"tag", "milestone", "project", "member"}
"""Subjects whose values every member of the project may read, beside those of tasks."""
_SEEN = Prepared(
    select(*COLUMNS, Event.id.label("row_id"), Event.changes).where(in_list(Event.id, "ids"), MAY_BE_TOLD.condition)
)


def owner(user_id: int) -> Actor:
    """The owner of a webhook, who reads by it as by a key that may read tasks."""
    return Actor("api_key", user_id, scopes=frozenset({Scope.TASKS_READ}))


def compact(payload: Mapping[str, Any]) -> str:
    """A body, in as few bytes as JSON has."""
    return orjson.dumps(payload).decode()


async def seen(session: Session, user_id: int, ids: Collection[int]) -> set[int]:
    """Those of the events that an account may be told of now."""
    return {row.row_id for row in await session.all(_SEEN(ids=ids, caller_id=user_id))}


async def made(
    session: Session, user_id: int, ids: Collection[int], content: str, nodes: Mapping[str, NodeType]
) -> Mapping[int, str]:
    """The bodies that tell an account's webhook of events, by the events' ``id``; none for what it may not be told."""
    actor = owner(user_id)
    rows = await session.all(_SEEN(ids=ids, caller_id=user_id))
    happenings = {row.row_id: Happening._make(row[: len(COLUMNS)]) for row in rows}
    told = {row_id: _thin(happening) for row_id, happening in happenings.items()}
    if content == WebhookContent.FULL:
        values = {row.row_id: row.changes for row in rows}
        readable = await _readable(session, actor, happenings)
        things = await _things(session, actor, [*happenings.values()], nodes)
        for row_id, happening in happenings.items():
            told[row_id]["data"] |= {
                "changes": _changes(values[row_id]) if row_id in readable else None,
                "entity": things.get((happening.entity_type, happening.entity_id)),
            }
    return {row_id: _bounded(payload) for row_id, payload in told.items()}


def _thin(happening: Happening) -> dict[str, Any]:
    data = HappeningOut.model_validate(happening).model_dump(mode="json")
    return {"type": happening.kind, "timestamp": data["occurred_at"], "data": data}


async def _readable(session: Session, actor: Actor, happenings: Mapping[int, Happening]) -> set[int]:
    """The events of which the owner may read values: those that a task's history shows, and a project's own."""
    of_tasks = [row_id for row_id, one in happenings.items() if one.task_id is not None]
    shown = set(await history.by_ids(session, actor, of_tasks)) if of_tasks else set()
    return shown | {row_id for row_id, one in happenings.items() if one.task_id is None and one.entity_type in _OWN}


async def _things(
    session: Session, actor: Actor, happenings: Sequence[Happening], nodes: Mapping[str, NodeType]
) -> Mapping[tuple[str, int], object]:
    """What changed, as REST answers it: one read for all of a type."""
    ids: dict[str, set[int]] = {}
    for happening in happenings:
        ids.setdefault(happening.entity_type, set()).add(happening.entity_id)
    found: dict[tuple[str, int], object] = {}
    for entity_type, wanted in ids.items():
        node = nodes.get(entity_type.title())
        if node is None or node.logins_only:
            continue
        for id_, record in (await node.load(session, actor, wanted)).items():
            found[entity_type, id_] = node.output.model_validate(record).model_dump(mode="json")
    return found


def _changes(values: Mapping[str, Sequence[object]]) -> list[dict[str, object]]:
    return [{"field": field, "before": before, "after": after} for field, (before, after) in sorted(values.items())]


def _bounded(payload: dict[str, Any]) -> str:
    """The body; without values, and then without the thing, where it would be too large: ``left_out`` names them."""
    body = compact(payload)
    left_out: list[str] = []
    for part in ("changes", "entity"):
        if len(body.encode()) <= MAX_PAYLOAD:
            break
        left_out.append(part)
        payload["data"] |= {part: None, "left_out": left_out}
        body = compact(payload)
    return body
