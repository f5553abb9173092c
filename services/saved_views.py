"""Saved views: filters and orders that a person keeps under names. They are the person's own: nobody else sees them."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, NamedTuple

from pydantic import Field, ValidationError
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert, select
from sqlalchemy import update as sql_update

from core.clock import now
from db.models import SavedView, User
from db.sessions import AnySelect, Session
from services import events, node_ids
from services.actors import Actor, Scope
from services.errors import BadUserInput, Conflict, Expected, NotFound, require_next, require_version
from services.idempotency import repeatable, while_readable
from services.inputs import Input, Line, absent
from services.outputs import CreatedAt, DatabaseId, NodeId, Output, UpdatedAt, Version
from services.pagination import Ordering, Page, PageRequest, SortKey, make_page, page_statement
from services.prices import LIST, demand, of_filter
from services.tasks.conditions import condition
from services.tasks.filters import TaskFilter
from services.tasks.queries import Direction, TaskQuery, TaskSort

MAX_VIEWS = 200

ViewName = Annotated[Line, Field(max_length=100, description="The name.", examples=["Due this week"])]


class SavedViewCreate(Input):
    """Saves a view of tasks."""

    name: ViewName
    filter: TaskFilter = Field(
        default_factory=lambda: TaskFilter.model_validate({}), description="Which tasks; all when left out."
    )
    sort_by: TaskSort = Field(default=TaskSort.CREATED_AT, description="What to order by; missing values come last.")
    order: Direction = Field(default=Direction.DESC, description="Which end comes first.")


class SavedViewUpdate(Input):
    """Changes a saved view. Fields that are left out stay as they are."""

    name: ViewName = Field(default_factory=absent)
    filter: TaskFilter = Field(default_factory=absent, description="Which tasks; replaces the filter as a whole.")
    sort_by: TaskSort = Field(default_factory=absent, description="What to order by; missing values come last.")
    order: Direction = Field(default_factory=absent, description="Which end comes first.")


class SavedViewOut(Output):
    """A filter and an order that a person keeps under a name."""

    id: DatabaseId
    node_id: NodeId
    name: str = Field(description="The name.")
    filter: dict[str, Any] = Field(description="Which tasks: an object of the filter language, in REST's spelling.")
    sort_by: TaskSort = Field(description="What to order by; missing values come last.")
    order: Direction = Field(description="Which end comes first.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class SavedViewRecord(NamedTuple):
    id: int
    name: str
    filter: dict[str, Any]
    sort_by: str
    order: str
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def node_id(self) -> str:
        return node_ids.encode("SavedView", self.id)


COLUMNS = tuple(getattr(SavedView, name) for name in SavedViewRecord._fields)
OLDEST_FIRST = Ordering(SortKey("id", SavedView.id, SavedView.id, kind="integer"), descending=False)


def _own(user_id: int) -> AnySelect:
    return select(*COLUMNS).where(SavedView.owner_id == user_id)


async def get(session: Session, actor: Actor, view_id: int) -> SavedViewRecord:
    """One of the caller's views. Raises ``NotFound``."""
    row = await session.first(_own(actor.require(Scope.TASKS_READ)).where(SavedView.id == view_id))
    if row is None:
        raise NotFound("Saved view")
    return SavedViewRecord._make(row)


async def by_ids(session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, SavedViewRecord]:
    """Those that are views of the caller."""
    rows = await session.all(_own(actor.require(Scope.TASKS_READ)).where(SavedView.id.in_(ids)))
    return {row.id: SavedViewRecord._make(row) for row in rows}


async def list_(session: Session, actor: Actor, request: PageRequest) -> Page[SavedViewRecord]:
    """The caller's views, oldest first."""
    statement = page_statement(_own(actor.require(Scope.TASKS_READ)), OLDEST_FIRST, request)
    return make_page(await session.all(statement), SavedViewRecord._make, OLDEST_FIRST, request)


async def count(session: Session, actor: Actor) -> int:
    """How many views the caller has."""
    return await session.count(_own(actor.require(Scope.TASKS_READ)))


async def apply(session: Session, actor: Actor, view_id: int, query: TaskQuery) -> TaskQuery:
    """The query, narrowed down to what one of the caller's views shows, and in its order unless asked for another.

    Raises ``NotFound``, and ``BadUserInput`` for a view whose filter or order is not understood any more.
    """
    try:
        view = await get(session, actor, view_id)
    except NotFound:
        raise NotFound("Saved view", pointer="/saved_view_id") from None
    try:
        filter_ = TaskFilter.model_validate(view.filter)
    except ValidationError:
        raise BadUserInput.at("/saved_view_id", "the filter of this view does not hold any more") from None
    if query.filter is not None:
        filter_ = TaskFilter.model_construct({"and_"}, and_=[filter_, query.filter])
    if query.sort_by is not None or query.order is not None:
        return replace(query, filter=filter_)
    try:
        sort_by, order = TaskSort(view.sort_by), Direction(view.order)
    except ValueError:
        raise BadUserInput.at("/saved_view_id", "the order of this view does not exist any more") from None
    return replace(query, filter=filter_, sort_by=sort_by, order=order)


@repeatable("saved_view.create", scope=Scope.TASKS_WRITE, read=while_readable(get))
async def create(session: Session, actor: Actor, data: SavedViewCreate) -> SavedViewRecord:
    """Save a view. Raises ``BadUserInput`` for a filter that is too large, ``TooExpensive`` for one that no list could
    show, ``Conflict`` where there are 200."""
    user_id = actor.require(Scope.TASKS_WRITE)
    # one at a time for each person, or two could pass the limit together
    await session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    if await session.count(_own(user_id)) >= MAX_VIEWS:
        raise Conflict(f"You have {MAX_VIEWS} saved views, which is as many as there can be")
    values = {
        "name": data.name,
        "filter": _stored(data.filter),
        "sort_by": data.sort_by.value,
        "order": data.order.value,
    }
    moment = now()
    row = await session.one(
        insert(SavedView).values(**values, owner_id=user_id, created_at=moment, updated_at=moment).returning(*COLUMNS)
    )
    view = SavedViewRecord._make(row)
    await _record(session, actor, "saved_view.created", view, events.created(values))
    return view


async def update(
    session: Session, actor: Actor, view_id: int, data: SavedViewUpdate, *, expected_version: Expected = None
) -> SavedViewRecord:
    """Change a view. Raises ``NotFound``, ``VersionConflict``, ``BadUserInput``, ``TooExpensive``."""
    view = await _lock(session, actor, view_id, expected_version)
    sent = {
        name: _stored(value) if name == "filter" else getattr(value, "value", value)
        for name, value in data.sent().items()
    }
    changes = events.differences(view._asdict(), sent)
    if not changes:
        return view
    require_next(view.version)
    row = await session.one(
        sql_update(SavedView)
        .where(SavedView.id == view_id)
        .values(**{name: sent[name] for name in changes}, version=SavedView.version + 1, updated_at=now())
        .returning(*COLUMNS)
    )
    await _record(session, actor, "saved_view.updated", SavedViewRecord._make(row), changes)
    return SavedViewRecord._make(row)


async def delete(session: Session, actor: Actor, view_id: int, *, expected_version: Expected = None) -> None:
    """Delete a view. Raises ``NotFound``, ``VersionConflict``."""
    view = await _lock(session, actor, view_id, expected_version)
    await session.execute(sql_delete(SavedView).where(SavedView.id == view_id))
    await _record(session, actor, "saved_view.deleted", view, {"name": (view.name, None)})


async def _lock(session: Session, actor: Actor, view_id: int, expected: Expected) -> SavedViewRecord:
    user_id = actor.require(Scope.TASKS_WRITE)
    row = await session.first(_own(user_id).where(SavedView.id == view_id).with_for_update())
    if row is None:
        raise NotFound("Saved view")
    require_version(row.version, expected)
    return SavedViewRecord._make(row)


def _stored(data: TaskFilter) -> dict[str, Any]:
    """The filter in REST's spelling, once it is known to hold."""
    condition(data)
    demand(LIST + of_filter(data))
    return data.model_dump(mode="json", by_alias=True, exclude_unset=True)


async def _record(session: Session, actor: Actor, kind: str, view: SavedViewRecord, changes: events.Changes) -> None:
    await events.record(session, actor, events.NewEvent(kind, "saved_view", view.id, changes, version=view.version))
