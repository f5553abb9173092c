"""Reading tasks. What may not be read does not exist: every statement here starts from ``visibility.visible``."""

from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter

from sqlalchemy import ColumnElement, func, select, true

from db.driver.sessions import AnySelect, Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import Task, TaskAssignee, User
from services.shared import totals
from services.shared.actors import Actor, Scope
from services.shared.conditions import ZoneWanted
from services.shared.errors import NotFound
from services.shared.grouping import group_by_parent
from services.shared.pagination import Page, PageRequest, first_of_each, make_pages, page_of
from services.shared.statements import ACTOR_PARAMETER, parameter
from services.shared.time_zones import known_zone, zone_of
from services.shared.totals import Total, total
from services.tasks.listing import counting, groups, index_scan, keyset, names, strategy
from services.tasks.listing.conditions import Condition, TaskPredicate, compile_condition, condition
from services.tasks.listing.full_scan import matching_tasks
from services.tasks.listing.index_scan import IndexRange
from services.tasks.listing.lanes import lane_of
from services.tasks.listing.sets import with_any
from services.tasks.models import TaskRecord
from services.tasks.query import TaskQuery
from services.tasks.visibility import listed, readable, trash_begins, visible, visible_one
from services.users import queries as users
from services.users.models import UserRecord

_BY_ID = Prepared(visible_one(ACTOR_PARAMETER).where(Task.id == parameter("task_id")), TaskRecord)


_VERSION = Prepared(select(Task.version).where(readable(ACTOR_PARAMETER), Task.id == parameter("task_id")), tuple)


async def matching(session: Session, actor: Actor, query: TaskQuery) -> AnySelect:
    """The tasks that the query asks for, in no order. Raises ``BadUserInput`` for a filter that does not hold."""
    statement = visible(actor, trashed=query.trashed)
    return statement if query.filter is None else statement.where(await met(session, actor, query))


async def met(session: Session, actor: Actor, query: TaskQuery) -> ColumnElement[bool]:
    """The condition on ``tasks`` that the query's filter is. Raises ``BadUserInput`` for one that does not hold.

    It holds for as long as nothing is written: words are looked up for it.
    """
    where = (await strategy.looked_up(session, actor, await _predicate(session, actor, query))).where
    return true() if where is None else compile_condition(where, actor, lambda value: value)


async def _predicate(session: Session, actor: Actor, query: TaskQuery) -> TaskPredicate:
    where = None
    if query.filter is not None:
        try:
            where = condition(query.filter, trashed=query.trashed, zone=known_zone(actor))
        except ZoneWanted:
            zone = await zone_of(session, actor)
            where = condition(query.filter, trashed=query.trashed, zone=zone)
    return await names.looked_up(session, actor, TaskPredicate(where, query.trashed))


async def get(session: Session, actor: Actor, task_id: int) -> TaskRecord:
    """A task that the actor may read. Raises ``NotFound``."""
    actor.require(Scope.TASKS_READ)
    row = await session.first(_BY_ID(caller_id=actor.user_id, task_id=task_id))
    if row is None:
        raise NotFound("Task")
    return row


async def version(session: Session, actor: Actor, task_id: int) -> int:
    """The version of a task that the actor may read, and nothing else of it. Raises ``NotFound``."""
    actor.require(Scope.TASKS_READ)
    found: int | None = await session.scalar(_VERSION(caller_id=actor.user_id, task_id=task_id))
    if found is None:
        raise NotFound("Task")
    return found


async def get_in_project(session: Session, actor: Actor, project_id: int, task_id: int) -> TaskRecord:
    """As ``get``, where the task is also in the project named."""
    task = await get(session, actor, task_id)
    if task.project_id != project_id:
        raise NotFound("Task")
    return task


async def list_(
    session: Session,
    actor: Actor,
    query: TaskQuery,
    request: PageRequest,
    *,
    wanted: Collection[str] | None = None,
) -> Page[TaskRecord]:
    """A page of the tasks that match. Raises ``BadUserInput`` for a filter or cursor that does not hold.

    ``wanted`` are the attributes that will be read of them: of the others, those of ``index_scan.OPTIONAL`` may be
    None.
    """
    actor.require(Scope.TASKS_READ)
    ordering, predicate = query.ordering, await _predicate(session, actor, query)
    if ordering.then is not None and not request.skip:
        rows = await groups.read_page(session, actor, predicate, ordering, request, wanted)
    else:
        chosen = await strategy.choose(session, actor, predicate, ordering, request)
        rows = await keyset.read_page(session, actor, chosen, ordering, request, wanted)
    return page_of(rows[: request.size], len(rows) > request.size, ordering, request)


async def count(session: Session, actor: Actor, query: TaskQuery, *, exact: bool = False) -> Total:
    """How many tasks match; of more than ``MAX_COUNTED`` that many, unless ``exact``. Raises ``BadUserInput`` for a
    filter that does not hold."""
    actor.require(Scope.TASKS_READ)
    return await _count(session, actor, await _predicate(session, actor, query), exact=exact)


async def count_with(session: Session, actor: Actor, query: TaskQuery, name: str, value: str | int) -> Total:
    """As ``count``, of the tasks that also have a value in a column, by the name that filters have for it."""
    actor.require(Scope.TASKS_READ)
    predicate, also = await _predicate(session, actor, query), Condition((name, "eq"), (value,))
    where = also if predicate.where is None else Condition(("and_",), (), (*predicate.where.together, also))
    return await _count(session, actor, predicate._replace(where=where), exact=False)


async def _count(session: Session, actor: Actor, predicate: TaskPredicate, *, exact: bool) -> Total:
    predicate = await strategy.looked_up(session, actor, predicate)
    if predicate.is_never_met:
        return Total(0, True)
    dense, bounded = strategy.is_dense(predicate), not exact
    values = {"caller_id": actor.user_id, **({"most": totals.MAX_COUNTED + 1} if bounded else {})}
    held = strategy.held_by_set(session.planner, predicate, actor)
    if held is not None:
        given = {f"s{number}": value for number, value in enumerate(held.values)}
        rest = held.rest

        def build_by_set() -> AnySelect:
            some = with_any(held.name, ACTOR_PARAMETER, [parameter(name) for name in given])
            return counting.set_count_statement(some, rest, bounded=bounded)

        shape = ("count held", held.name, len(given), rest.shape, bounded)
        by_set = index_scan.prepared(shape, build_by_set)
        found = await session.scalar(by_set(**values, **given, **rest.values()))
        return total(int(found), exact=exact)

    def build() -> AnySelect:
        return counting.count_statement(session.planner, predicate, dense=dense, bounded=bounded)

    statement = index_scan.prepared(("count", session.planner, predicate.shape, bounded), build)
    return total(int(await session.scalar(statement(**values, **predicate.values()))), exact=exact)


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
    predicate, ordering = (
        await strategy.looked_up(session, actor, await _predicate(session, actor, query)),
        query.ordering,
    )
    values = {"caller_id": actor.user_id, "ids": ids, "rows": request.size + 1, **predicate.values()}
    position = index_scan.keyset_position(ordering, request, values)

    lane = lane_of(predicate.where, ordering)
    by_project = parent.compare(Task.project_id.expression) and not ordering.key.nullable

    def build() -> AnySelect:
        if by_project and strategy.from_index(predicate, ordering, request):
            range_ = IndexRange(missing=False, since="end" if position == "end" else "cursor")
            return index_scan.first_of_projects(session.planner, predicate, ordering, request.backward, range_, lane)
        tasks = index_scan.beyond_position(
            matching_tasks(session.planner, predicate), ordering, position, backward=request.backward
        )
        tasks = tasks.where(in_list(parent, "ids"))
        return first_of_each(tasks, parent, ordering, parameter("rows"), backward=request.backward)

    shape = (session.planner, str(parent), predicate.shape, lane, ordering.signature, request.backward, position)
    statement = index_scan.prepared(("pages", *shape), build)
    rows = await session.all(statement(**values))
    return make_pages(rows, TaskRecord._make, ordering, request, ids)


async def counts(
    session: Session,
    actor: Actor,
    parent: ColumnElement[int],
    ids: Collection[int],
    query: TaskQuery,
    *,
    exact: bool = False,
) -> Mapping[int, int]:
    """How many tasks match under each parent; a parent without any is left out.

    Unless ``exact``, those of a project are counted no further than one beyond ``MAX_COUNTED``.
    """
    actor.require(Scope.TASKS_READ)
    predicate = await strategy.looked_up(session, actor, await _predicate(session, actor, query))
    bounded = not exact and not query.trashed and parent.compare(Task.project_id.expression)

    def build() -> AnySelect:
        if bounded:
            return counting.project_counts_statement(predicate)
        tasks = matching_tasks(session.planner, predicate).where(in_list(parent, "ids"))
        return tasks.with_only_columns(parent, func.count()).group_by(parent)

    shape = (session.planner, str(parent), predicate.shape, bounded)
    statement = index_scan.prepared(("counts", *shape), build)
    values = {"caller_id": actor.user_id, "ids": ids, **({"most": totals.MAX_COUNTED + 1} if bounded else {})}
    rows = await session.all(statement(**values, **predicate.values()))
    return {row[0]: row[1] for row in rows if row[1]}


async def by_ids(session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, TaskRecord]:
    """Those of the tasks that the actor may read."""
    actor.require(Scope.TASKS_READ)
    rows = await session.all(_BY_IDS(caller_id=actor.user_id, ids=ids))
    return {row.id: row for row in rows}


_BY_IDS = Prepared(visible(ACTOR_PARAMETER).where(in_list(Task.id, "ids")), TaskRecord)


async def ids_met(session: Session, actor: Actor, ids: Collection[int], query: TaskQuery) -> Collection[int]:
    """The ids of those of the tasks that the actor may read and that the query asks for, in one statement, beside those
    that look words up. Raises ``BadUserInput`` for a filter that does not hold."""
    actor.require(Scope.TASKS_READ)
    predicate = await strategy.looked_up(session, actor, await _predicate(session, actor, query))
    if predicate.is_never_met:
        return ()

    def build() -> AnySelect:
        tasks = matching_tasks(session.planner, predicate).where(in_list(Task.id, "ids"))
        return tasks.with_only_columns(Task.id)

    statement = index_scan.prepared(("ids", session.planner, predicate.shape), build)
    rows = await session.all(statement(caller_id=actor.user_id, ids=ids, **predicate.values()))
    return {row[0] for row in rows}


async def assignees(
    session: Session, actor: Actor, task_ids: Collection[int], *, wanted: Collection[str] | None = None
) -> Mapping[int, Sequence[UserRecord]]:
    """The people each task is assigned to, by id, in one statement; none for tasks that the actor is not shown.

    ``wanted`` are the attributes that will be read of them: where those are public, nothing private is read.
    """
    actor.require(Scope.TASKS_READ)
    statement = _ASSIGNEES.reading(wanted)
    rows = await session.all(statement(caller_id=actor.user_id, ids=task_ids, trash_begins=trash_begins()))
    return group_by_parent(rows, task_ids, lambda *values: UserRecord(*values).seen_by(actor), attrgetter("id"))


async def creators(
    session: Session, actor: Actor, task_ids: Collection[int], *, wanted: Collection[str] | None = None
) -> Mapping[int, UserRecord]:
    """Who created each task, in one statement, as ``assignees``; a task whose creator is not known is left out."""
    return await _CREATORS.of_each(session, actor, task_ids, wanted, trash_begins=trash_begins())


_SHOWN = (in_list(Task.id, "ids"), listed(ACTOR_PARAMETER, since=parameter("trash_begins", Task.deleted_at.type)))
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
