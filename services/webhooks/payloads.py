"""What webhooks are sent of an event, as their owners may read it when it is told."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson
from sqlalchemy import select

from core.deadlines import working
from db.driver.database import Database
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import Event
from services import history, members
from services.events.audience import MAY_BE_TOLD
from services.events.happenings import COLUMNS, Happening, HappeningOut
from services.members import MemberOut
from services.shared.actors import Actor, Scope
from services.shared.features import NodeType
from services.webhooks.documents import RESOLVE_SECONDS, Documents, variables_of
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


class Wanted(NamedTuple):
    """What a webhook is sent of events."""

    content: str
    matches: Mapping[int, bool | None] = MappingProxyType({})
    """Of one with a filter: whether the task of each event, by its ``id``, met that."""
    document: str | None = None


async def made(
    database: Database,
    user_id: int,
    ids: Collection[int],
    wanted: Wanted,
    nodes: Mapping[str, NodeType],
    documents: Documents,
) -> Mapping[int, str]:
    """The bodies that tell an account's webhook of events, by the events' ``id``; none for what it may not be told."""
    actor, session, content = owner(user_id), database.reads, wanted.content
    rows = await session.all(_SEEN(ids=ids, caller_id=user_id))
    happenings = {row.row_id: Happening._make(row[: len(COLUMNS)]) for row in rows}
    told = {row_id: _thin(happening) for row_id, happening in happenings.items()}
    for row_id in told.keys() & wanted.matches.keys():
        told[row_id]["data"]["matches"] = wanted.matches[row_id]
    if wanted.document is not None:
        resolving = partial(_resolved, database, actor, wanted.document, documents)
        given = [variables_of(happening, wanted.matches.get(row_id)) for row_id, happening in happenings.items()]
        for row_id, result in zip(happenings, await asyncio.gather(*map(resolving, given)), strict=True):
            told[row_id]["data"]["result"] = orjson.Fragment(result)
    if content == WebhookContent.FULL:
        values = {row.row_id: row.changes for row in rows}
        readable = await _readable(session, actor, happenings)
        things = await _things(session, actor, [*happenings.values()], nodes)
        for row_id, happening in happenings.items():
            told[row_id]["data"] |= {
                "changes": _changes(values[row_id]) if row_id in readable else None,
                "entity": things.get(_key(happening)),
            }
    return {row_id: _bounded(payload) for row_id, payload in told.items()}


async def _resolved(
    database: Database, actor: Actor, document: str, documents: Documents, variables: Mapping[str, object]
) -> bytes:
    """What a document selects of one event, within its time; each has its own."""
    with working(RESOLVE_SECONDS, actor.user_id):
        return await documents.resolve(database, actor, document, variables)


def _thin(happening: Happening) -> dict[str, Any]:
    data = HappeningOut.model_validate(happening).model_dump(mode="json")
    return {"type": happening.kind, "timestamp": data["occurred_at"], "data": data}


async def _readable(session: Session, actor: Actor, happenings: Mapping[int, Happening]) -> set[int]:
    """The events of which the owner may read values: those that a task's history shows, and a project's own."""
    of_tasks = [row_id for row_id, one in happenings.items() if one.task_id is not None]
    shown = set(await history.by_ids(session, actor, of_tasks)) if of_tasks else set()
    return shown | {row_id for row_id, one in happenings.items() if one.task_id is None and one.entity_type in _OWN}


_Key = tuple[str, int, int | None]


def _key(happening: Happening) -> _Key:
    """What an event is about: a member is a person and a project."""
    is_member = happening.entity_type == "member"
    return happening.entity_type, happening.entity_id, happening.project_id if is_member else None


async def _members(session: Session, actor: Actor, happenings: Sequence[Happening]) -> dict[_Key, object]:
    if not happenings:
        return {}
    projects = {item.project_id for item in happenings if item.project_id is not None}
    rows = await members.of_people(session, actor, projects, {item.entity_id for item in happenings})
    return {
        ("member", row.user.id, row.project_id): MemberOut.model_validate(row).model_dump(mode="json") for row in rows
    }


async def _things(
    session: Session, actor: Actor, happenings: Sequence[Happening], nodes: Mapping[str, NodeType]
) -> Mapping[_Key, object]:
    """What changed, as REST answers it: one read for all of a type."""
    ids: dict[str, set[int]] = {}
    for happening in happenings:
        if happening.entity_type != "member":
            ids.setdefault(happening.entity_type, set()).add(happening.entity_id)
    found = await _members(session, actor, [item for item in happenings if item.entity_type == "member"])
    for entity_type, wanted in ids.items():
        node = nodes.get(entity_type.title())
        if node is None or node.logins_only:
            continue
        for id_, record in (await node.load(session, actor, wanted)).items():
            found[entity_type, id_, None] = node.output.model_validate(record).model_dump(mode="json")
    return found


def _changes(values: Mapping[str, Sequence[object]]) -> list[dict[str, object]]:
    return [{"field": field, "before": before, "after": after} for field, (before, after) in sorted(values.items())]


def _bounded(payload: dict[str, Any]) -> str:
    """The body; without values, and then without the thing, or without what a document selects, where it would be too
    large: ``left_out`` names them."""
    body = compact(payload)
    left_out: list[str] = []
    for part in ("changes", "entity", "result"):
        if len(body.encode()) <= MAX_PAYLOAD:
            break
        if part not in payload["data"]:
            continue
        left_out.append(part)
        payload["data"] |= {part: None, "left_out": left_out}
        body = compact(payload)
    return body
