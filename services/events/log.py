"""The record of every change, written in the change's own transaction; services/events/feed.py reads it in order."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from typing import Any, NamedTuple

from pydantic import Field
from sqlalchemy import func, insert, select
from uuid_utils import uuid7

from core import request_context, turns
from core.clock import now, wire_format
from db.driver.sessions import AnyRow, Session
from db.driver.statements import Prepared
from db.models import Event
from services.events.catalogue import CATALOGUE, EventKind
from services.events.numbering import RECORDED
from services.shared import node_ids
from services.shared.actors import Actor
from services.shared.filters import Column, Filter, Filtering
from services.shared.inputs import absent
from services.shared.operators import KeyFilter, TimestampFilter, UserRefFilter
from services.shared.outputs import DatabaseId, NodeId, Output
from services.shared.pagination import Ordering, SortKey

PART = 200
"""How many events are made before they are written."""
Changes = Mapping[str, tuple[Any, Any]]
"""For each field: its value before and after."""

MAX_CHANGES = 16
"""The fields of one event: a task has fewer that change."""

BY_ID = SortKey("id", Event.id, Event.id, kind="integer")
NEWEST_FIRST = Ordering(BY_ID, descending=True)


class ChangeOut(Output):
    """One field of a change."""

    field: str = Field(description="The name of the field, as REST spells it.")
    before: Any = Field(description="Its value before; null where there was none.")
    after: Any = Field(description="Its value after; null where there is none now.")


class EventOut(Output):
    """One change: who did what to which thing, and when."""

    id: DatabaseId
    node_id: NodeId
    event_id: str = Field(description="The stable id of the event (UUIDv7): the same in every feed.")
    kind: str = Field(description="What happened, e.g. task.updated.")
    entity_type: str = Field(description="The kind of thing that changed, e.g. task or comment.")
    entity_id: int = Field(description="The database id of the thing that changed.")
    entity_version: int | None = Field(description="The version of the thing after the change, where it has one.")
    task_id: int | None = Field(description="The task that the change belongs to.")
    project_id: int | None = Field(description="The project that the change belongs to.")
    actor_id: int | None = Field(description="The user who did it; null for the system.")
    actor_method: str = Field(
        description="How the actor was authenticated: token, api_key, server_key, system, or anonymous."
    )
    request_id: str | None = Field(description="The X-Request-ID of the request.")
    occurred_at: datetime = Field(description="When it happened, in UTC.")
    changes: list[ChangeOut] = Field(description="The fields that changed.")


class Change(NamedTuple):
    """One field of a change: its name, its value before and after, as JSON has them."""

    field: str
    before: object
    after: object


class EventRecord(NamedTuple):
    """An event as it is read; ``raw_changes`` are pairs of values, before and after, by field."""

    id: int
    event_id: str
    kind: str
    entity_type: str
    entity_id: int
    entity_version: int | None
    task_id: int | None
    project_id: int | None
    actor_id: int | None
    actor_method: str
    request_id: str | None
    occurred_at: datetime
    raw_changes: Mapping[str, Sequence[object]]

    @property
    def node_id(self) -> str:
        return node_ids.encode("Event", self.id)

    @property
    def changes(self) -> list[Change]:
        # by name: PostgreSQL's jsonb keeps no order
        return [Change(field, *values) for field, values in sorted(self.raw_changes.items())]


COLUMNS = (*(getattr(Event, name) for name in EventRecord._fields[:-1]), Event.changes)


class EventFilter(Filter):
    """Which events. Every condition given must hold."""

    kind: KeyFilter = Field(default_factory=absent, description="What happened, e.g. task.updated.")
    entity_type: KeyFilter = Field(default_factory=absent, description="The kind of thing that changed, e.g. comment.")
    actor: UserRefFilter = Field(default_factory=absent, description="The user who did it.")
    occurred_at: TimestampFilter = Field(default_factory=absent, description="When it happened.")


FILTERING = Filtering(
    EventFilter,
    {
        "kind": Column(Event.kind),
        "entity_type": Column(Event.entity_type),
        "actor": Column(Event.actor_id),
        "occurred_at": Column(Event.occurred_at),
    },
)


class NewEvent(NamedTuple):
    """A change to be recorded."""

    kind: EventKind
    entity_id: int
    changes: Changes
    version: int | None = None
    project_id: int | None = None
    task_id: int | None = None
    notify: bool = True
    """Whether the people concerned are to be told, where whoever does it does not say otherwise (``Actor.tells``)."""


async def record(session: Session, actor: Actor, *events: NewEvent) -> None:
    """Write the events of a change, in order. Raises ``ValueError`` for a kind or a field that is not declared."""
    if not events:
        return
    session.announce(RECORDED)
    statement = _EVENTS[session.planner.commits_in_order]
    if len(events) <= PART:
        await session.execute_deferred(statement, _rows(actor, events))
        return
    for some in turns.parts(events, PART):
        await turns.pause()
        await session.execute_deferred(statement, _rows(actor, some))


async def record_for_account(session: Session, actor: Actor, account_id: int, *events: NewEvent) -> None:
    """As ``record``, for what concerns the security of an account: its owner may read it."""
    if events:
        session.announce(RECORDED)
        await session.execute_deferred(
            _ACCOUNT_EVENTS[session.planner.commits_in_order],
            [row | {"account_id": account_id} for row in _rows(actor, events)],
        )


def _rows(actor: Actor, events: Sequence[NewEvent]) -> list[dict[str, object]]:
    moment, request = now(), request_context.request_id.get()
    for event in events:
        if CATALOGUE.get(event.kind.name) is not event.kind:
            raise ValueError(f"{event.kind.name} is no kind of event that the catalogue has")
        if not event.changes.keys() <= event.kind.holds:
            raise ValueError(f"{event.kind.name} does not tell of {', '.join(event.changes.keys() - event.kind.holds)}")
    return [
        {
            "event_id": str(uuid7()),
            "occurred_at": moment,
            "kind": event.kind.name,
            "entity_type": event.kind.subject,
            "entity_id": event.entity_id,
            "entity_version": event.version,
            "project_id": event.project_id,
            "task_id": event.task_id,
            "actor_id": actor.user_id,
            "actor_method": actor.method,
            "request_id": request,
            "notify": event.notify and actor.tells,
            "changes": {field: [_plain(before), _plain(after)] for field, (before, after) in event.changes.items()},
        }
        for event in events
    ]


_KEYS = [column.key for column in Event.__table__.columns if column.key not in {"id", "position", "account_id"}]
_NEXT = select(func.coalesce(func.max(Event.position), 0) + 1).scalar_subquery()


def _inserts(*keys: str) -> dict[bool, Prepared[AnyRow]]:
    """By whether the database ``commits_in_order``: there with the next position."""
    return {
        False: Prepared(insert(Event), keys=keys),
        True: Prepared(insert(Event).values(position=_NEXT), keys=keys),
    }


_EVENTS = _inserts(*_KEYS)
_ACCOUNT_EVENTS = _inserts(*_KEYS, "account_id")


def created(values: Mapping[str, object]) -> Changes:
    """The changes of something new: what it has, from nothing."""
    return {name: (None, value) for name, value in values.items() if value is not None and value != []}


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> Changes:
    """The fields of ``after`` whose value is not that of ``before``."""
    return {name: (before[name], value) for name, value in after.items() if before[name] != value}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return wire_format(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
