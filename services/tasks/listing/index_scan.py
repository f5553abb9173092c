"""Where a page of tasks is read from: the part of an order that an index has, project by project.

The statements are built once for each shape of a predicate: building one with SQLAlchemy takes a millisecond, which is
more than most of them take to run.
"""

from collections.abc import Callable, Collection, Hashable, Sequence
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any, Literal, NamedTuple, TypeVar, cast, overload

from sqlalchemy import ColumnElement, select, true, tuple_, union_all
from sqlalchemy.orm import aliased
from sqlalchemy.util import LRUCache

from db.driver.planners import Planner
from db.driver.sessions import AnyColumn, AnyRow, AnySelect, Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import Project, Task
from db.models.projects import Membership
from services.projects.queries import project_ids
from services.shared.actors import Actor
from services.shared.pagination import Ordering, PageRequest, decode_cursor, rows_beyond
from services.shared.statements import ACTOR_PARAMETER, parameter
from services.tasks.listing.conditions import TaskPredicate
from services.tasks.listing.lanes import ALL, Lane, can_be_met
from services.tasks.models import TaskRecord

R = TypeVar("R", bound=tuple[Any, ...])

OPTIONAL = frozenset(TaskRecord._fields) - {"id"}
"""The columns that are left out where nobody asks for them."""
DERIVED = {
    "ref": ("project_key", "number"),
    "parent_node_id": ("parent_id",),
    **dict.fromkeys(("start_at", "start_moment", "start_on"), ("start_at", "start_all_day")),
    **dict.fromkeys(("due_at", "due_moment", "due_on"), ("due_at", "due_all_day")),
}
"""Which columns a record's property is made of."""
MAX_MERGED = 128
"""Of how many projects SQLite is told to merge the tasks: what that costs grows with their square."""
_MERGED = [f"p{number}" for number in range(MAX_MERGED)]
MAX_SHAPES = 1_000


_STATEMENTS: LRUCache[Hashable, Prepared[Any]] = LRUCache(MAX_SHAPES)


@overload
def prepared(key: Hashable, build: Callable[[], AnySelect]) -> Prepared[AnyRow]: ...


@overload
def prepared(key: Hashable, build: Callable[[], AnySelect], record: type[R] | None) -> Prepared[R]: ...


def prepared(key: Hashable, build: Callable[[], AnySelect], record: type[R] | None = None) -> Prepared[R]:
    """The statement of a shape, built where it is not known yet."""
    found: Prepared[R] | None = _STATEMENTS.get(key)
    if found is None:
        found = _STATEMENTS[key] = Prepared(build(), record)
    return found


async def member_projects(session: Session, actor: Actor, values: dict[str, object]) -> int | None:
    """Of how many projects the tasks are to be merged, whose ids go into ``values``: 0 for what the statement itself
    finds out, None where the caller has no project."""
    if not session.planner.merges_ordered_selects:
        return 0
    projects = await some_projects(session, actor, TaskPredicate(None, trashed=False))
    if not projects:
        return None
    return merged_projects(projects, values) if len(projects) <= MAX_MERGED else 0


async def some_projects(session: Session, actor: Actor, predicate: TaskPredicate) -> Sequence[int]:
    """Projects that the caller is a member of, and of whose tasks some may meet a predicate: one more than
    ``MAX_MERGED`` where there are more."""

    def build() -> AnySelect:
        mine = project_ids(ACTOR_PARAMETER).where(*predicate.of_projects(Membership.project_id))
        return mine.limit(parameter("most"))

    mine: Prepared[AnyRow] = prepared(("mine", predicate.shape if predicate.names_projects else ()), build)
    found = await session.all(mine(caller_id=actor.user_id, most=MAX_MERGED + 1, **predicate.values()))
    return [row[0] for row in found]


def merged_projects(projects: Sequence[int], values: dict[str, Any]) -> int:
    """Of how many projects the tasks are merged, at most ``MAX_MERGED``, whose ids go into ``values``."""
    values.update(zip(_MERGED, projects, strict=False))
    return len(projects)


_ROW = aliased(Task)
_COLUMNS = tuple(
    Project.key.label("project_key") if name == "project_key" else getattr(_ROW, name) for name in TaskRecord._fields
)


def keyset_position(ordering: Ordering, request: PageRequest, values: dict[str, object]) -> str:
    """Where the page begins: at an "end", at a "value", or among the "missing" ones; which goes into ``values``.

    In an order by several keys, it is one of these for each, with blanks between them.
    """
    position = request.position
    if position is None and request.cursor is not None:
        position = decode_cursor(ordering, request.cursor, pointer=request.pointer)
    if position is None:
        return "end"
    value, row_id = position
    values["row_id"] = row_id
    if ordering.then is not None:
        each = cast(Sequence[object], value)
        values |= {f"value{place}": one for place, one in enumerate(each) if one is not None}
        return " ".join("missing" if one is None else "value" for one in each)
    if value is None:
        return "missing"
    values["value"] = value
    return "value"


class IndexRange(NamedTuple):
    """A part of an order: of the rows that have a value, or of those where it is ``missing``."""

    missing: bool
    since: Literal["end", "cursor", "tie", "value"]
    """All of them; those after the cursor; of these, the ones with the cursor's value, or the ones with another."""


def index_ranges(
    planner: Planner, predicate: TaskPredicate, ordering: Ordering, position: str, backward: bool
) -> Sequence[IndexRange]:
    """The parts of an order from a position on, but for those where no task can meet a predicate."""
    ranges = _index_ranges(planner, ordering.key.nullable, position, backward)
    return [range_ for range_ in ranges if can_be_met(predicate.where, ordering, missing=range_.missing)]


@cache
def _index_ranges(planner: Planner, nullable: bool, position: str, backward: bool) -> tuple[IndexRange, ...]:
    """The parts of an order from a position on. Missing values come last: an index has them at the other end."""
    both = [IndexRange(missing, "end") for missing in ((True, False) if backward else (False, True))]
    if position == "end":
        return tuple(both) if nullable else (IndexRange(False, "end"),)
    missing = position == "missing"
    here = [IndexRange(missing, "cursor")]
    if not (planner.seeks_pairs or missing):
        here = [IndexRange(False, "tie"), IndexRange(False, "value")]
    return (*here, both[1]) if nullable and missing == backward else tuple(here)


def _cursor(ordering: Ordering, missing: bool) -> tuple[Any, AnyColumn]:
    """The parameters of a position."""
    key = ordering.key
    return None if missing else parameter("value", key.type_), parameter("row_id", key.id_column.type)


def beyond_position(statement: AnySelect, ordering: Ordering, position: str, *, backward: bool) -> AnySelect:
    """Those of the rows that come after (before, where ``backward``) a position, whose values are parameters."""
    if position == "end":
        return statement
    value, row_id = _cursor(ordering, missing=position == "missing")
    if ordering.then is not None:
        value = [
            None if where == "missing" else parameter(f"value{place}", each.key.type_)
            for place, (each, where) in enumerate(zip(ordering.keys, position.split(), strict=True))
        ]
    return statement.where(rows_beyond(ordering, value, row_id, backward=backward))


def omitted_columns(wanted: Collection[str] | None, predicate: TaskPredicate, ordering: Ordering) -> frozenset[str]:
    """The columns that are left out."""
    return _omitted_columns(None if wanted is None else frozenset(wanted), predicate.trashed, ordering.key.name)


@lru_cache(maxsize=MAX_SHAPES)
def _omitted_columns(wanted: frozenset[str] | None, trashed: bool, key: str) -> frozenset[str]:
    left: frozenset[str] = frozenset()
    if wanted is not None:
        # cursors are made of the column that the tasks are ordered by (``groups`` asks for those of several)
        made_of = (name for attribute in wanted for name in DERIVED.get(attribute, (attribute,)))
        left = OPTIONAL.difference(made_of, (key,))
    # that has no value but in the trash
    return left if trashed else left | {"deleted_at"}


def in_order(rows: Sequence[TaskRecord], ordering: Ordering, backward: bool, range_: "IndexRange") -> list[TaskRecord]:
    """The rows of a range, sorted. They come in order, for that is how they are looked up, but nothing promises that,
    and SQLite would sort whole rows to make sure."""
    key = itemgetter(0) if range_.missing else itemgetter(TaskRecord._fields.index(ordering.key.name), 0)
    return sorted(rows, key=key, reverse=ordering.descending != backward)


def in_whole_order(rows: Sequence[TaskRecord], ordering: Ordering, backward: bool) -> list[TaskRecord]:
    """The rows of all ranges, sorted."""
    place = TaskRecord._fields.index(ordering.key.name)
    parts = [[row for row in rows if (row[place] is None) is missing] for missing in (backward, not backward)]
    ranges = [IndexRange(missing, "end") for missing in (backward, not backward)]
    return [
        row for part, range_ in zip(parts, ranges, strict=True) for row in in_order(part, ordering, backward, range_)
    ]


def range_statement(
    planner: Planner,
    merged: int,
    predicate: TaskPredicate,
    ordering: Ordering,
    backward: bool,
    range_: IndexRange,
    without: frozenset[str],
    lane: Lane = ALL,
) -> AnySelect:
    """The first rows of a range: of ``merged`` projects, else (0) of all that the caller is a member of."""
    tasks = in_range(lane, ordering, backward, range_, predicate.conditions())
    newest: Any
    if merged:
        newest = merge(tasks, merged, lane, ordering, backward, range_)
    else:
        newest, key, row_id = first_of_each_project(planner, tasks, lane, ordering, backward, range_, parameter("most"))
        newest = newest.order_by(*in_direction(key, row_id, ordering, backward))
    newest = newest.limit(parameter("rows")).offset(parameter("skip")).subquery("newest")
    page = select(*(column for column in _COLUMNS if column.key not in without)).select_from(newest)
    # outer joins: nothing is missing, but the rows are then taken as they come, and no copy is kept to reorder joins
    in_order = planner.keeps_order_of_joins
    page = page.join(_ROW, _ROW.id == newest.c.id, isouter=in_order)
    if "project_key" not in without:
        page = page.join(Project, Project.id == _ROW.project_id, isouter=in_order)
    return page if in_order else page.order_by(*in_direction(newest.c.key, newest.c.id, ordering, backward))


def merge(tasks: AnySelect, merged: int, lane: Lane, ordering: Ordering, backward: bool, range_: IndexRange) -> Any:
    """The tasks of ``merged`` projects in one order, as SQLite reads them: no more than are taken."""
    parts = [tasks.where(Task.project_id == parameter(_MERGED[number])) for number in range(merged)]
    newest: Any = union_all(*parts) if merged > 1 else parts[0]
    columns = newest.selected_columns
    return newest.order_by(*terms(lane, range_, columns["key"], columns["id"], ordering, backward))


def first_of_projects(
    planner: Planner, predicate: TaskPredicate, ordering: Ordering, backward: bool, range_: IndexRange, lane: Lane
) -> AnySelect:
    """The first rows of a range in each of the projects ``ids`` that the caller is a member of.

    The first column of the result is the project's id.
    """
    tasks = in_range(lane, ordering, backward, range_, predicate.conditions())
    first, *_ = first_of_each_project(planner, tasks, lane, ordering, backward, range_, parameter("rows"))
    found = first.where(in_list(Membership.project_id, "ids")).subquery("newest")
    page = select(_ROW.project_id.label("_parent"), *_COLUMNS).select_from(found).join(_ROW, _ROW.id == found.c.id)
    return page.join(Project, Project.id == _ROW.project_id).order_by(
        *in_direction(found.c.key, found.c.id, ordering, backward)
    )


def in_direction(key: Any, row_id: Any, ordering: Ordering, backward: bool) -> list[Any]:
    """What ORDER BY says of the keys and ids of a range."""
    # also where all keys are missing: PostgreSQL would not see that the index has them by id
    return [term.desc() if ordering.descending != backward else term.asc() for term in (key, row_id)]


def terms(lane: Lane, range_: IndexRange, key: Any, row_id: Any, ordering: Ordering, backward: bool) -> list[Any]:
    """What ORDER BY says of the keys and ids of a range, in the words of its index."""
    by_id = lane.goes_by_id(ordering, missing=range_.missing)
    return in_direction(key, row_id, ordering, backward)[by_id:]


def in_range(
    lane: Lane, ordering: Ordering, backward: bool, range_: IndexRange, conditions: Sequence[ColumnElement[bool]] = ()
) -> AnySelect:
    """Id and key of the tasks of a range that meet the conditions, of all projects, from the order's index."""
    column: Any = ordering.key.column
    conditions = [*lane.conditions(), *conditions]
    if ordering.key.nullable:
        conditions.append(column.is_(None) if range_.missing else column.is_not(None))
    if range_.since != "end":
        value, last_id = _cursor(ordering, range_.missing)
        position: Any = tuple_(column, Task.id)
        here: Any = tuple_(value, last_id)
        if range_.missing or range_.since == "tie" or column is ordering.key.id_column:
            position, here = Task.id, last_id
        elif range_.since == "value":
            position, here = column, value
        if range_.since == "tie":
            conditions.append(column == value)
        conditions.append(position < here if ordering.descending != backward else position > here)
    tasks: AnySelect = select(Task.id, column.label("key")).where(*conditions)
    # without statistics, SQLite takes any index that begins with the project
    return tasks.with_hint(Task, f"INDEXED BY {lane.index(ordering, missing=range_.missing)}", "sqlite")


def first_of_each_project(
    planner: Planner,
    tasks: AnySelect,
    lane: Lane,
    ordering: Ordering,
    backward: bool,
    range_: IndexRange,
    rows: Any,
    mine: Sequence[ColumnElement[bool]] = (),
) -> tuple[AnySelect, Any, Any]:
    """Key and id of the first rows in each project that the caller is a member of; the columns of these two."""
    column = ordering.key.column.expression
    tasks = tasks.where(Task.project_id == Membership.project_id).correlate(Membership)
    tasks = tasks.order_by(*terms(lane, range_, column, Task.id, ordering, backward)).limit(rows)
    first: Any
    if not planner.knows_lateral:
        first = aliased(Task)
        key, row_id, found = (
            getattr(first, ordering.key.column.key),
            first.id,
            first.id.in_(tasks.with_only_columns(Task.id)),
        )
    else:
        first = tasks.lateral("first")
        key, row_id, found = first.c.key, first.c.id, true()
    newest = select(row_id, key.label("key")).select_from(Membership).join(first, found)
    return newest.where(Membership.user_id == ACTOR_PARAMETER.user_id, *mine), key, row_id


def leading_projects(
    lane: Lane,
    ordering: Ordering,
    backward: bool,
    range_: IndexRange,
    within: Sequence[ColumnElement[bool]],
    mine: Sequence[ColumnElement[bool]],
) -> AnySelect:
    """The projects whose first rows of a range come first, a ``number`` of them, with key and id of these rows: of the
    tasks that meet some conditions, and the memberships that meet others."""
    tasks = in_range(lane, ordering, backward, range_, within).with_only_columns(Task.id)
    tasks = tasks.where(Task.project_id == Membership.project_id).correlate(Membership)
    tasks = tasks.order_by(*terms(lane, range_, ordering.key.column, Task.id, ordering, backward)).limit(1)
    key = getattr(_ROW, ordering.key.column.key)
    leading = select(Membership.project_id, key.label("key"), _ROW.id).select_from(Membership)
    leading = leading.join(_ROW, _ROW.id == tasks.scalar_subquery())
    leading = leading.where(Membership.user_id == ACTOR_PARAMETER.user_id, *mine)
    return leading.order_by(*in_direction(key, _ROW.id, ordering, backward)).limit(parameter("number"))
