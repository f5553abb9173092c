"""Where a page of tasks is read from: the part of an order that an index has, project by project.

The statements are built once for each shape of a question: building one with SQLAlchemy takes a millisecond, which is
more than most of them take to run.
"""

from collections.abc import Callable, Collection, Hashable, Sequence
from functools import cache, lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, Literal, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, select, true, tuple_, union_all
from sqlalchemy.orm import aliased
from sqlalchemy.util import LRUCache

from db.lists import among
from db.models import Project, Task
from db.models.projects import Membership
from db.sessions import AnySelect, DialectName, Session
from db.statements import Prepared
from services.actors import Actor
from services.pagination import Ordering, PageRequest, decode_cursor, rows_beyond
from services.prepared import CALLER, parameter
from services.tasks.conditions import HELD_ALL, Condition, compile_condition
from services.tasks.models import TaskRecord
from services.tasks.visibility import live, trash_begins

R = TypeVar("R", bound=tuple[Any, ...])

INDEXES = {
    "created_at": "ix_tasks_live_created_at",
    "updated_at": "ix_tasks_live_updated_at",
    "due_at": "ix_tasks_live_due_at",
    "priority": "ix_tasks_live_priority",
    "number": "uq_tasks_project_id_number",
}
"""The indexes that have each project's tasks in order."""
OPTIONAL = frozenset(TaskRecord._fields) - {"id"}
"""The columns that are left out where nobody asks for them."""
DERIVED = {"ref": ("project_key", "number"), "parent_node_id": ("parent_id",)}
"""Which columns a record's property is made of."""
MAX_MERGED = 40
"""Of how many projects SQLite is told to merge the tasks; of more, the first rows of each are read and sorted."""
_MERGED = [f"p{number}" for number in range(MAX_MERGED)]
MAX_SHAPES = 1_000


class Question(NamedTuple):
    """Which tasks, apart from how they are ordered and where a page begins."""

    where: Condition | None
    trashed: bool

    @property
    def shape(self) -> Hashable:
        return None if self.where is None else self.where.shape, self.trashed

    @property
    def is_never_met(self) -> bool:
        """Whether it asks for a word that is known to be nowhere."""
        return self.where is not None and Condition(HELD_ALL, ((),)) in self.where.together

    def values(self) -> dict[str, Any]:
        """The values of the conditions, by the names of their parameters."""
        values = {} if self.where is None else {f"v{n}": value for n, value in enumerate(self.where.all_values())}
        if self.trashed:
            values["trash_begins"] = trash_begins()
        return values

    def conditions(self) -> list[ColumnElement[bool]]:
        """The conditions, with parameters for the values."""
        if self.where is None:
            return []
        count = -1

        def bind(_value: Any) -> Any:
            nonlocal count
            count += 1
            return parameter(f"v{count}")

        return [compile_condition(self.where, CALLER, bind)]


_STATEMENTS: Any = LRUCache(MAX_SHAPES)


def prepared(key: Hashable, build: Callable[[], AnySelect], record: type[R] | None = None) -> Prepared[R]:
    """The statement of a shape, built where it is not known yet."""
    found: Prepared[R] | None = _STATEMENTS.get(key)
    if found is None:
        found = _STATEMENTS[key] = Prepared(build(), record)
    return found


async def merge(session: Session, actor: Actor, values: dict[str, Any]) -> int | None:
    """Of how many projects the tasks are to be merged, whose ids go into ``values``: 0 for what the statement itself
    finds out, None where the caller has no project."""
    if session.dialect != "sqlite":
        return 0
    projects = await session.all(_PROJECTS(caller_id=actor.user_id))
    if not projects:
        return None
    if len(projects) > MAX_MERGED:
        return 0
    values.update(zip(_MERGED, chain.from_iterable(projects), strict=False))
    return len(projects)


_PROJECTS: Prepared[Any] = Prepared(select(Membership.project_id).where(Membership.user_id == CALLER.user_id), tuple)
_ROW: Any = aliased(Task)
_COLUMNS = tuple(
    Project.key.label("project_key") if name == "project_key" else getattr(_ROW, name) for name in TaskRecord._fields
)


def position_of(ordering: Ordering, request: PageRequest, values: dict[str, Any]) -> str:
    """Where the page begins: at an "end", at a "value", or among the "missing" ones; which goes into ``values``."""
    if request.cursor is None:
        return "end"
    value, row_id = decode_cursor(ordering, request.cursor, pointer=request.pointer)
    values["row_id"] = row_id
    if value is None:
        return "missing"
    values["value"] = value
    return "value"


class Stretch(NamedTuple):
    """A part of an order: of the rows that have a value, or of those where it is ``missing``."""

    missing: bool
    since: Literal["end", "cursor", "tie", "value"]
    """All of them; those after the cursor; of these, the ones with the cursor's value, or the ones with another."""


@cache
def stretches(dialect: DialectName, nullable: bool, position: str, backward: bool) -> tuple[Stretch, ...]:
    """The parts of an order from a position on. Missing values come last: an index has them at the other end."""
    both = [Stretch(missing, "end") for missing in ((True, False) if backward else (False, True))]
    if position == "end":
        return tuple(both) if nullable else (Stretch(False, "end"),)
    missing = position == "missing"
    here = [Stretch(missing, "cursor")]
    if dialect == "sqlite" and not missing:
        # it would find the cursor's value in the index, and read all the rows that have it
        here = [Stretch(False, "tie"), Stretch(False, "value")]
    return (*here, both[1]) if nullable and missing == backward else tuple(here)


def _cursor(ordering: Ordering, missing: bool) -> tuple[Any, Any]:
    """The parameters of a position."""
    key = ordering.key
    return None if missing else parameter("value", key.type_), parameter("row_id", key.id_column.type)


def beyond_position(statement: AnySelect, ordering: Ordering, position: str, *, backward: bool) -> AnySelect:
    """Those of the rows that come after (before, where ``backward``) a position, whose values are parameters."""
    if position == "end":
        return statement
    cursor = _cursor(ordering, missing=position == "missing")
    return statement.where(rows_beyond(ordering, *cursor, backward=backward))


def left_out(wanted: Collection[str] | None, question: Question, ordering: Ordering) -> frozenset[str]:
    """The columns that are left out."""
    return _left_out(None if wanted is None else frozenset(wanted), question.trashed, ordering.key.name)


@lru_cache(maxsize=MAX_SHAPES)
def _left_out(wanted: frozenset[str] | None, trashed: bool, key: str) -> frozenset[str]:
    left: frozenset[str] = frozenset()
    if wanted is not None:
        # cursors are made of the column that the tasks are ordered by
        made_of = (name for attribute in wanted for name in DERIVED.get(attribute, (attribute,)))
        left = OPTIONAL.difference(made_of, (key,))
    # that has no value but in the trash
    return left if trashed else left | {"deleted_at"}


def in_order(rows: Sequence[TaskRecord], ordering: Ordering, backward: bool, stretch: "Stretch") -> list[TaskRecord]:
    """The rows of a stretch, sorted. They come in order, for that is how they are looked up, but nothing promises that,
    and SQLite would sort whole rows to make sure."""
    key = itemgetter(0) if stretch.missing else itemgetter(TaskRecord._fields.index(ordering.key.name), 0)
    return sorted(rows, key=key, reverse=ordering.descending != backward)


def stretch_of(
    dialect: DialectName,
    merged: int,
    question: Question,
    ordering: Ordering,
    backward: bool,
    stretch: Stretch,
    without: frozenset[str],
) -> AnySelect:
    """The first rows of a stretch: of ``merged`` projects, else (0) of all that the caller is a member of."""
    tasks = _indexed(question, ordering, backward, stretch)
    newest: Any
    if merged:
        parts = [tasks.where(Task.project_id == parameter(f"p{number}")) for number in range(merged)]
        newest = union_all(*parts) if merged > 1 else parts[0]
        newest = newest.order_by(
            *_terms(newest.selected_columns["key"], newest.selected_columns["id"], ordering, backward)
        )
    else:
        newest, key, row_id = _first_of_each_project(dialect, tasks, ordering, backward, parameter("most"))
        newest = newest.order_by(*_terms(key, row_id, ordering, backward))
    newest = newest.limit(parameter("rows")).offset(parameter("skip")).subquery("newest")
    page = select(*(column for column in _COLUMNS if column.key not in without)).select_from(newest)
    # outer joins: nothing is missing, but SQLite then takes the rows as they come, and keeps no copy to reorder joins
    page = page.join(_ROW, _ROW.id == newest.c.id, isouter=dialect == "sqlite")
    if "project_key" not in without:
        page = page.join(Project, Project.id == _ROW.project_id, isouter=dialect == "sqlite")
    return page if dialect == "sqlite" else page.order_by(*_terms(newest.c.key, newest.c.id, ordering, backward))


def first_of_projects(
    dialect: DialectName, question: Question, ordering: Ordering, backward: bool, stretch: Stretch
) -> AnySelect:
    """The first rows of a stretch in each of the projects ``ids`` that the caller is a member of.

    The first column of the result is the project's id.
    """
    tasks = _indexed(question, ordering, backward, stretch)
    first, *_ = _first_of_each_project(dialect, tasks, ordering, backward, parameter("rows"))
    found = first.where(among(Membership.project_id, "ids")).subquery("newest")
    page = select(_ROW.project_id.label("_parent"), *_COLUMNS).select_from(found).join(_ROW, _ROW.id == found.c.id)
    return page.join(Project, Project.id == _ROW.project_id).order_by(
        *_terms(found.c.key, found.c.id, ordering, backward)
    )


def _terms(key: Any, row_id: Any, ordering: Ordering, backward: bool) -> list[Any]:
    # also where all keys are missing: PostgreSQL would not see that the index has them by id
    return [term.desc() if ordering.descending != backward else term.asc() for term in (key, row_id)]


def _indexed(question: Question, ordering: Ordering, backward: bool, stretch: Stretch) -> AnySelect:
    """Id and key of the tasks of a stretch, of all projects, from the order's index."""
    column: Any = ordering.key.column
    conditions = [live(), *question.conditions()]
    if ordering.key.nullable:
        conditions.append(column.is_(None) if stretch.missing else column.is_not(None))
    if stretch.since != "end":
        value, last_id = _cursor(ordering, stretch.missing)
        position: Any = tuple_(column, Task.id)
        here: Any = tuple_(value, last_id)
        if stretch.missing or stretch.since == "tie":
            position, here = Task.id, last_id
        elif stretch.since == "value":
            position, here = column, value
        if stretch.since == "tie":
            conditions.append(column == value)
        conditions.append(position < here if ordering.descending != backward else position > here)
    tasks: AnySelect = select(Task.id, column.label("key")).where(*conditions)
    # without statistics, SQLite takes any index that begins with the project
    return tasks.with_hint(Task, f"INDEXED BY {INDEXES[ordering.key.name]}", "sqlite")


def _first_of_each_project(
    dialect: DialectName, tasks: AnySelect, ordering: Ordering, backward: bool, rows: Any
) -> tuple[AnySelect, Any, Any]:
    """Key and id of the first rows in each project that the caller is a member of; the columns of these two."""
    column: Any = ordering.key.column
    tasks = tasks.where(Task.project_id == Membership.project_id).correlate(Membership)
    tasks = tasks.order_by(*_terms(column, Task.id, ordering, backward)).limit(rows)
    first: Any
    if dialect == "sqlite":  # knows no LATERAL
        first = aliased(Task)
        key, row_id, found = getattr(first, column.key), first.id, first.id.in_(tasks.with_only_columns(Task.id))
    else:
        first = tasks.lateral("first")
        key, row_id, found = first.c.key, first.c.id, true()
    newest = select(row_id, key.label("key")).select_from(Membership).join(first, found)
    return newest.where(Membership.user_id == CALLER.user_id), key, row_id
