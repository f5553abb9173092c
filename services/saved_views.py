"""Saved views: filters and orders that a person keeps under names. They are the person's own: nobody else sees them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, NamedTuple

from pydantic import Field, ValidationError
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert, select
from sqlalchemy import update as sql_update

from core.clock import now
from db.driver.sessions import AnySelect, Session
from db.models import SavedView, User
from services.events import catalogue, log
from services.events.catalogue import EventKind
from services.shared import node_ids
from services.shared.actors import Actor, Scope
from services.shared.errors import BadUserInput, Conflict, Expected, NotFound, require_next, require_version
from services.shared.features import Feature, NodeType, Operation, Who
from services.shared.filters import Column, FewTexts, Filter, Filtering
from services.shared.idempotency import repeatable, while_readable
from services.shared.inputs import Input, Line, absent
from services.shared.operators import NameFilter, TimestampFilter
from services.shared.outputs import CreatedAt, DatabaseId, NodeId, Output, UpdatedAt, Version
from services.shared.pagination import Ordering, SortKey
from services.shared.prices import LIST, MAX_THEN_BY, demand, of_filter, of_then_by
from services.shared.reading import ListReader
from services.tasks.filters import TaskFilter
from services.tasks.listing.conditions import condition
from services.tasks.query import (
    Direction,
    SortBy,
    TaskOrder,
    TaskOrderOut,
    TaskQuery,
    TaskSort,
    require_different,
)

MAX_VIEWS = 200

THEN_BY = "The order of tasks that are equal in sort_by; at most two."
ViewName = Annotated[Line, Field(max_length=100, description="The name.", examples=["Due this week"])]


class SavedViewCreate(Input):
    """Saves a view of tasks."""

    name: ViewName
    filter: TaskFilter = Field(
        default_factory=lambda: TaskFilter.model_validate({}), description="Which tasks; all when left out."
    )
    sort_by: TaskSort = Field(default=TaskSort.CREATED_AT, description="What to order by; missing values come last.")
    order: Direction = Field(default=Direction.DESC, description="Which end comes first.")
    then_by: list[TaskOrder] = Field(default_factory=list, max_length=MAX_THEN_BY, description=THEN_BY)


class SavedViewUpdate(Input):
    """Changes a saved view. Fields that are left out stay as they are."""

    name: ViewName = Field(default_factory=absent)
    filter: TaskFilter = Field(default_factory=absent, description="Which tasks; replaces the filter as a whole.")
    sort_by: TaskSort = Field(default_factory=absent, description="What to order by; missing values come last.")
    order: Direction = Field(default_factory=absent, description="Which end comes first.")
    then_by: list[TaskOrder] = Field(default_factory=absent, max_length=MAX_THEN_BY, description=THEN_BY)


class SavedViewOut(Output):
    """A filter and an order that a person keeps under a name."""

    id: DatabaseId
    node_id: NodeId
    name: str = Field(description="The name.")
    filter: dict[str, object] = Field(description="Which tasks: an object of the filter language, in REST's spelling.")
    sort_by: TaskSort = Field(description="What to order by; missing values come last.")
    order: Direction = Field(description="Which end comes first.")
    then_by: list[TaskOrderOut] = Field(description=THEN_BY)
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class SavedViewFilter(Filter):
    """Which saved views. Every condition given must hold."""

    name: NameFilter = Field(default_factory=absent, description="The name.")
    created_at: TimestampFilter = Field(default_factory=absent, description="When it was saved.")
    updated_at: TimestampFilter = Field(default_factory=absent, description="When it was last changed.")


class SavedViewRecord(NamedTuple):
    """A saved view as its owner reads it; ``filter`` is the filter as JSON, ``further_keys`` are texts: ``-due_at``."""

    id: int
    name: str
    filter: dict[str, object]
    sort_by: str
    order: str
    version: int
    created_at: datetime
    updated_at: datetime
    further_keys: Sequence[str] = ()

    @property
    def node_id(self) -> str:
        return node_ids.encode("SavedView", self.id)

    @property
    def then_by(self) -> list[SortBy]:
        return [*map(SortBy.parse, self.further_keys)]


COLUMNS = (*(getattr(SavedView, name) for name in SavedViewRecord._fields[:-1]), SavedView.then_by)
OLDEST_FIRST = Ordering(SortKey("id", SavedView.id, SavedView.id, kind="integer"), descending=False)


def visible(actor: Actor) -> AnySelect:
    """The caller's views."""
    return select(*COLUMNS).where(SavedView.owner_id == actor.user_id)


_READER = ListReader(
    "Saved view",
    visible,
    SavedViewRecord._make,
    OLDEST_FIRST,
    filtering=Filtering(
        SavedViewFilter,
        {
            "name": FewTexts(SavedView.id, SavedView.name),
            "created_at": Column(SavedView.created_at),
            "updated_at": Column(SavedView.updated_at),
        },
    ),
)
get, by_ids, list_, count = _READER.get, _READER.by_ids, _READER.list_, _READER.count


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
        then_by = tuple(view.then_by)
    except ValueError:
        raise BadUserInput.at("/saved_view_id", "the order of this view does not exist any more") from None
    return replace(query, filter=filter_, sort_by=sort_by, order=order, then_by=then_by)


@repeatable("saved_view.create", scope=Scope.TASKS_WRITE, read=while_readable(get))
async def create(session: Session, actor: Actor, data: SavedViewCreate) -> SavedViewRecord:
    """Save a view. Raises ``BadUserInput`` for a filter that is too large, ``TooExpensive`` for one that no list could
    show, ``Conflict`` where there are 200."""
    user_id = actor.require(Scope.TASKS_WRITE)
    # one at a time for each person, or two could pass the limit together
    await session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    if await session.count(visible(actor)) >= MAX_VIEWS:
        raise Conflict(f"You have {MAX_VIEWS} saved views, which is as many as there can be")
    values = {
        "name": data.name,
        "filter": _stored(data.filter),
        "sort_by": data.sort_by.value,
        "order": data.order.value,
        "then_by": _keys(data.sort_by, data.then_by),
    }
    _demand(data.filter, data.then_by)
    moment = now()
    row = await session.one(
        insert(SavedView).values(**values, owner_id=user_id, created_at=moment, updated_at=moment).returning(*COLUMNS)
    )
    view = SavedViewRecord._make(row)
    await _record(session, actor, catalogue.SAVED_VIEW_CREATED, view, log.created(values))
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
    then_by = data.then_by if "then_by" in sent else [TaskOrder(**key._asdict()) for key in view.then_by]
    sent |= {"then_by": _keys(TaskSort(str(sent.get("sort_by", view.sort_by))), then_by)}
    _demand(sent.get("filter", view.filter), then_by)
    changes = log.differences(view._asdict() | {"then_by": [*view.further_keys]}, sent)
    if not changes:
        return view
    require_next(view.version)
    row = await session.one(
        sql_update(SavedView)
        .where(SavedView.id == view_id)
        .values(**{name: sent[name] for name in changes}, version=SavedView.version + 1, updated_at=now())
        .returning(*COLUMNS)
    )
    await _record(session, actor, catalogue.SAVED_VIEW_UPDATED, SavedViewRecord._make(row), changes)
    return SavedViewRecord._make(row)


async def delete(session: Session, actor: Actor, view_id: int, *, expected_version: Expected = None) -> None:
    """Delete a view. Raises ``NotFound``, ``VersionConflict``."""
    view = await _lock(session, actor, view_id, expected_version)
    await session.execute(sql_delete(SavedView).where(SavedView.id == view_id))
    await _record(session, actor, catalogue.SAVED_VIEW_DELETED, view, {"name": (view.name, None)})


async def _lock(session: Session, actor: Actor, view_id: int, expected: Expected) -> SavedViewRecord:
    actor.require(Scope.TASKS_WRITE)
    row = await session.first(visible(actor).where(SavedView.id == view_id).with_for_update())
    if row is None:
        raise NotFound("Saved view")
    require_version(row.version, expected)
    return SavedViewRecord._make(row)


def _keys(sort_by: TaskSort, then_by: Sequence[TaskOrder]) -> list[str]:
    """The keys of an order beside the first. Raises ``BadUserInput`` where one is a field that comes before it."""
    keys = [order.key for order in then_by]
    require_different([SortBy(sort_by, Direction.ASC), *keys], pointer="/then_by")
    return [*map(str, keys)]


def _stored(data: TaskFilter) -> dict[str, object]:
    """The filter in REST's spelling, once it is known to hold."""
    condition(data, zone=UTC)
    return data.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _demand(filter_: object, then_by: Sequence[TaskOrder]) -> None:
    """Raises ``TooExpensive`` for a filter and an order that no list could show."""
    demand(LIST + of_filter(filter_) + of_then_by([*then_by]))


async def _record(session: Session, actor: Actor, kind: EventKind, view: SavedViewRecord, changes: log.Changes) -> None:
    await log.record(session, actor, log.NewEvent(kind, view.id, changes, version=view.version))


FEATURE = Feature(
    "saved_views",
    operations=(
        Operation("list_saved_views", "Query.savedViews", Who.ACCOUNT, Scope.TASKS_READ),
        Operation("query_saved_views", "Query.savedViews", Who.ACCOUNT, Scope.TASKS_READ),
        Operation("create_saved_view", "Mutation.createSavedView", Who.ACCOUNT, Scope.TASKS_WRITE, repeatable=True),
        Operation("get_saved_view", "Query.savedView", Who.SELF, Scope.TASKS_READ),
        Operation("update_saved_view", "Mutation.updateSavedView", Who.SELF, Scope.TASKS_WRITE),
        Operation("delete_saved_view", "Mutation.deleteSavedView", Who.SELF, Scope.TASKS_WRITE),
    ),
    about="Filters and orders of tasks that a person keeps under a name.",
    nodes=(NodeType("SavedView", by_ids, SavedViewOut),),
    limits={"saved views of a person": MAX_VIEWS},
)
