"""Reading tasks. What may not be read does not exist: every statement here starts from ``visible``."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, partial
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, func, select, true

from db.lists import among, taken_for_few
from db.models import Project, Task, TaskAssignee, User
from db.sessions import AnySelect, DialectName, Session
from db.statements import Prepared
from services.actors import Actor, Scope
from services.errors import NotFound
from services.grouping import attached
from services.node_ids import MAX_DATABASE_ID
from services.pagination import (
    Ordering,
    Page,
    PageRequest,
    SortKey,
    first_of_each,
    make_page,
    make_pages,
)
from services.prepared import CALLER, parameter
from services.tasks import lists, stretches
from services.tasks.conditions import compile_condition, condition
from services.tasks.filters import TaskFilter
from services.tasks.lookups import looked_up
from services.tasks.models import TaskRecord
from services.tasks.stretches import Stretch
from services.tasks.visibility import listed, readable, restorable, trash_begins
from services.users import queries as users
from services.users.models import UserRecord

COLUMNS = tuple(
    Project.key.label("project_key") if name == "project_key" else getattr(Task, name) for name in TaskRecord._fields
)
_REF = re.compile(r"([a-z][a-z0-9]{1,9})-([1-9][0-9]{0,9})", re.ASCII | re.IGNORECASE)


class TaskSort(StrEnum):
    """What tasks can be ordered by. Ties are broken by id; missing values come last."""

    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"
    DUE_AT = "due_at"
    START_AT = "start_at"
    COMPLETED_AT = "completed_at"
    PRIORITY = "priority"
    TITLE = "title"
    NUMBER = "number"
    ID = "id"


class Direction(StrEnum):
    """Which end of an order comes first."""

    ASC = "asc"
    DESC = "desc"


SORT_KEYS = {
    TaskSort.CREATED_AT: SortKey("created_at", Task.created_at, Task.id),
    TaskSort.UPDATED_AT: SortKey("updated_at", Task.updated_at, Task.id),
    TaskSort.DUE_AT: SortKey("due_at", Task.due_at, Task.id, nullable=True),
    TaskSort.START_AT: SortKey("start_at", Task.start_at, Task.id, nullable=True),
    TaskSort.COMPLETED_AT: SortKey("completed_at", Task.completed_at, Task.id, nullable=True),
    TaskSort.PRIORITY: SortKey("priority", Task.priority, Task.id, kind="integer"),
    TaskSort.TITLE: SortKey("title", Task.title, Task.id, kind="text"),
    TaskSort.NUMBER: SortKey("number", Task.number, Task.id, kind="integer"),
    TaskSort.ID: SortKey("id", Task.id, Task.id, kind="integer"),
}


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """Which tasks, in which order: newest first unless asked otherwise. ``trashed`` looks into the trash instead."""

    filter: TaskFilter | None = None
    sort_by: TaskSort | None = None
    order: Direction | None = None
    trashed: bool = False

    @property
    def ordering(self) -> Ordering:
        return _ordering(self.sort_by or TaskSort.CREATED_AT, self.order or Direction.DESC)


@cache
def _ordering(sort_by: TaskSort, order: Direction) -> Ordering:
    return Ordering(SORT_KEYS[sort_by], descending=order is Direction.DESC)


def visible(actor: Actor, *, trashed: bool = False, since: Any = None) -> AnySelect:
    """The tasks of the actor's projects; those in the trash, while they can be restored, where ``trashed``.

    ``since`` stands for the instant at which the oldest of those went there, in a statement that is built once.
    """
    statement = select(*COLUMNS).join(Project, Project.id == Task.project_id)
    return statement.where(restorable(actor, since=since) if trashed else readable(actor))


_BY_ID = Prepared(visible(CALLER).where(Task.id == parameter("task_id")), TaskRecord)


async def matching(session: Session, actor: Actor, query: TaskQuery) -> AnySelect:
    """The tasks that the query asks for, in no order. Raises ``BadUserInput`` for a filter that does not hold."""
    statement = visible(actor, trashed=query.trashed)
    return statement if query.filter is None else statement.where(await met(session, actor, query))


async def met(session: Session, actor: Actor, query: TaskQuery) -> ColumnElement[bool]:
    """The condition on ``tasks`` that the query's filter is. Raises ``BadUserInput`` for one that does not hold.

    It holds for as long as nothing is written: words are looked up for it.
    """
    where = (await looked_up(session, actor, _question(query))).where
    return true() if where is None else compile_condition(where, actor, lambda value: value)


def _question(query: TaskQuery) -> stretches.Question:
    return stretches.Question(
        None if query.filter is None else condition(query.filter, trashed=query.trashed), query.trashed
    )


def _asked(dialect: DialectName, question: stretches.Question) -> AnySelect:
    """The tasks of ``CALLER`` that are asked for, with parameters for the values."""
    if dialect == "postgresql" and question.where is not None and not question.trashed:
        # not joined with the projects, which it would go through for each task that it did not expect
        tasks = select(*_COLUMNS_ALONE).where(readable(CALLER), taken_for_few(Task.number))
    else:
        tasks = visible(CALLER, trashed=question.trashed, since=parameter("trash_begins", Task.deleted_at.type))
    return tasks.where(*question.conditions())


_COLUMNS_ALONE = tuple(
    select(Project.key).where(Project.id == Task.project_id).scalar_subquery().label(name)
    if name == "project_key"
    else getattr(Task, name)
    for name in TaskRecord._fields
)


async def get(session: Session, actor: Actor, task_id: int) -> TaskRecord:
    """A task that the actor may read. Raises ``NotFound``."""
    actor.require(Scope.TASKS_READ)
    row = await session.first(_BY_ID(caller_id=actor.user_id, task_id=task_id))
    if row is None:
        raise NotFound("Task")
    return row


async def get_in_project(session: Session, actor: Actor, project_id: int, task_id: int) -> TaskRecord:
    """As ``get``, where the task is also in the project named."""
    task = await get(session, actor, task_id)
    if task.project_id != project_id:
        raise NotFound("Task")
    return task


async def by_ref(session: Session, actor: Actor, ref: str) -> TaskRecord:
    """The task with a ref such as ``WEB-12``, in any case. Raises ``NotFound``, for what is no ref too."""
    actor.require(Scope.TASKS_READ)
    match = _REF.fullmatch(ref)
    row = None
    if match is not None and int(match[2]) <= MAX_DATABASE_ID:
        row = await session.first(_BY_REF(caller_id=actor.user_id, project=match[1].upper(), number=int(match[2])))
    if row is None:
        raise NotFound("Task")
    return row


_BY_REF = Prepared(
    visible(CALLER).where(Project.key == parameter("project"), Task.number == parameter("number")), TaskRecord
)


async def list_(
    session: Session,
    actor: Actor,
    query: TaskQuery,
    request: PageRequest,
    *,
    wanted: Collection[str] | None = None,
) -> Page[TaskRecord]:
    """A page of the tasks that match. Raises ``BadUserInput`` for a filter or cursor that does not hold.

    ``wanted`` are the attributes that will be read of them: of the others, those of ``stretches.OPTIONAL`` may be None.
    """
    actor.require(Scope.TASKS_READ)
    question, ordering = _question(query), query.ordering
    rows = await lists.page(session, actor, question, ordering, request, partial(_asked, session.dialect), wanted)
    return make_page(rows, None, ordering, request)


async def count(session: Session, actor: Actor, query: TaskQuery) -> int:
    """How many tasks match. Raises ``BadUserInput`` for a filter that does not hold."""
    actor.require(Scope.TASKS_READ)
    question = await looked_up(session, actor, _question(query))
    if question.is_never_met:
        return 0

    def build() -> AnySelect:
        return _asked(session.dialect, question).with_only_columns(func.count())

    statement: Prepared[Any] = stretches.prepared(("count", session.dialect, question.shape), build)
    return int(await session.scalar(statement(caller_id=actor.user_id, **question.values())))


async def pages(
    session: Session,
    actor: Actor,
    parent: ColumnElement[int],
    ids: Collection[int],
    query: TaskQuery,
    request: PageRequest,
) -> Mapping[int, Page[TaskRecord]]:
    """The same page for each parent (``Task.project_id``, ``Task.parent_id``) in one statement."""
    actor.require(Scope.TASKS_READ)
    question, ordering = await looked_up(session, actor, _question(query)), query.ordering
    values = {"caller_id": actor.user_id, "ids": ids, "rows": request.size + 1, **question.values()}
    position = stretches.position_of(ordering, request, values)

    by_project = parent.compare(Task.project_id.expression) and not ordering.key.nullable

    def build() -> AnySelect:
        if by_project and lists.from_index(question, ordering, request):
            stretch = Stretch(missing=False, since="end" if position == "end" else "cursor")
            return stretches.first_of_projects(session.dialect, question, ordering, request.backward, stretch)
        tasks = stretches.beyond_position(
            _asked(session.dialect, question), ordering, position, backward=request.backward
        )
        tasks = tasks.where(among(parent, "ids"))
        return first_of_each(tasks, parent, ordering, parameter("rows"), backward=request.backward)

    shape = (session.dialect, str(parent), question.shape, ordering.signature, request.backward, position)
    statement: Prepared[Any] = stretches.prepared(("pages", *shape), build)
    rows = await session.all(statement(**values))
    return make_pages(rows, TaskRecord._make, ordering, request, ids)


async def counts(
    session: Session, actor: Actor, parent: ColumnElement[int], ids: Collection[int], query: TaskQuery
) -> Mapping[int, int]:
    """How many tasks match under each parent; a parent without any is left out."""
    actor.require(Scope.TASKS_READ)
    question = await looked_up(session, actor, _question(query))

    def build() -> AnySelect:
        tasks = _asked(session.dialect, question).where(among(parent, "ids"))
        return tasks.with_only_columns(parent, func.count()).group_by(parent)

    statement: Prepared[Any] = stretches.prepared(("counts", session.dialect, str(parent), question.shape), build)
    rows = await session.all(statement(caller_id=actor.user_id, ids=ids, **question.values()))
    return {row[0]: row[1] for row in rows}


async def by_ids(session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, TaskRecord]:
    """Those of the tasks that the actor may read."""
    actor.require(Scope.TASKS_READ)
    rows = await session.all(_BY_IDS(caller_id=actor.user_id, ids=ids))
    return {row.id: row for row in rows}


_BY_IDS = Prepared(visible(CALLER).where(among(Task.id, "ids")), TaskRecord)


async def assignees(
    session: Session, actor: Actor, task_ids: Collection[int], *, wanted: Collection[str] | None = None
) -> Mapping[int, Sequence[UserRecord]]:
    """The people each task is assigned to, by id, in one statement; none for tasks that the actor is not shown.

    ``wanted`` are the attributes that will be read of them: where those are public, nothing private is read.
    """
    actor.require(Scope.TASKS_READ)
    statement = _ASSIGNEES.reading(wanted)
    rows = await session.all(statement(caller_id=actor.user_id, ids=task_ids, trash_begins=trash_begins()))
    return attached(rows, task_ids, lambda *values: UserRecord(*values).seen_by(actor), attrgetter("id"))


async def creators(
    session: Session, actor: Actor, task_ids: Collection[int], *, wanted: Collection[str] | None = None
) -> Mapping[int, UserRecord]:
    """Who created each task, in one statement, as ``assignees``; a task whose creator is not known is left out."""
    return await _CREATORS.of_each(session, actor, task_ids, wanted, trash_begins=trash_begins())


_SHOWN = (among(Task.id, "ids"), listed(CALLER, since=parameter("trash_begins", Task.deleted_at.type)))
_ASSIGNEES = users.People(
    lambda columns: (
        select(Task.id, *columns)
        .join(TaskAssignee, TaskAssignee.task_id == Task.id)
        .join(User, User.id == TaskAssignee.user_id)
        .where(*_SHOWN)
    )
)
_CREATORS = users.People(
    lambda columns: select(Task.id, *columns).join(User, User.id == Task.created_by_id).where(*_SHOWN)
)
