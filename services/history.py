"""What happened to a task: the events of the task, of its comments and of its relations.

A relation has an event in the history of each of its tasks: whoever may not read one of the two is shown neither, so
that no history tells of a task what reading it would not.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, exists, func, literal, or_, select
from sqlalchemy.orm import aliased

from db.lists import among
from db.models import Event, Task, User
from db.sessions import AnySelect, Session
from services.actors import Actor, Scope
from services.events import COLUMNS, NEWEST_FIRST, EventRecord
from services.pagination import Page, PageRequest, make_page, make_pages, page_statement, pages_statement
from services.prepared import CALLER
from services.tasks import queries as tasks
from services.tasks.visibility import readable
from services.users import queries as users
from services.users.models import UserRecord

_FAR_EVENT, _FAR_TASK = aliased(Event), aliased(Task)


def visible(actor: Actor) -> AnySelect:
    """The events of the tasks that the actor may read; those of a relation, where it may read the other task too."""
    return select(*COLUMNS).join(Task, Task.id == Event.task_id).where(readable(actor), _both_ends(actor))


def _both_ends(actor: Actor) -> ColumnElement[bool]:
    """Whether an event is of no relation, or of one whose other task the actor may read.

    Which one that is, an event need not say and mostly does not: the relation's event in the other history tells, also
    when the relation is long gone. A relation whose other task is not known is not shown.
    """
    far = (
        select(literal(1))
        .select_from(_FAR_EVENT)
        .join(_FAR_TASK, _FAR_TASK.id == _FAR_EVENT.task_id)
        .where(
            _FAR_EVENT.entity_type == "relation",
            _FAR_EVENT.entity_id == Event.entity_id,
            _FAR_EVENT.task_id != Event.task_id,
            readable(actor, _FAR_TASK),
        )
    )
    return or_(Event.entity_type != "relation", exists(far))


async def of_task(session: Session, actor: Actor, task_id: int, request: PageRequest) -> Page[EventRecord]:
    """The events of a task and its comments, newest first. Raises ``NotFound``."""
    await tasks.get(session, actor, task_id)
    statement = page_statement(visible(actor).where(Event.task_id == task_id), NEWEST_FIRST, request)
    return make_page(await session.all(statement), EventRecord._make, NEWEST_FIRST, request)


async def by_ids(session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, EventRecord]:
    """Those of the events that the actor may read, or that concern the security of its account."""
    actor.require(Scope.TASKS_READ)
    rows = await session.all(visible(actor).where(Event.id.in_(ids)))
    if actor.method == "token":  # a key is not told
        own = select(*COLUMNS).where(Event.id.in_(ids), Event.account_id == actor.user_id)
        rows = [*rows, *await session.all(own)]
    return {row.id: EventRecord._make(row) for row in rows}


async def pages(
    session: Session, actor: Actor, task_ids: Collection[int], request: PageRequest
) -> Mapping[int, Page[EventRecord]]:
    """The same page of each task's history, in one statement; empty for tasks that the actor may not read."""
    actor.require(Scope.TASKS_READ)
    statement = visible(actor).where(Task.id.in_(task_ids))
    rows = await session.all(pages_statement(statement, Event.task_id.expression, NEWEST_FIRST, request))
    return make_pages(rows, EventRecord._make, NEWEST_FIRST, request, task_ids)


async def count(session: Session, actor: Actor, task_id: int) -> int:
    """How many events a task's history has; none where the actor may not read it."""
    return (await counts(session, actor, [task_id])).get(task_id, 0)


async def counts(session: Session, actor: Actor, task_ids: Collection[int]) -> Mapping[int, int]:
    """How many events each task's history has."""
    actor.require(Scope.TASKS_READ)
    statement = visible(actor).where(Task.id.in_(task_ids)).with_only_columns(Event.task_id, func.count())
    return {row[0]: row[1] for row in await session.all(statement.group_by(Event.task_id))}


async def actors(
    session: Session, actor: Actor, event_ids: Collection[int], *, wanted: Collection[str] | None = None
) -> Mapping[int, UserRecord]:
    """Who did each of the events that the actor may read, as ``by_ids`` has it; ``wanted`` as for ``assignees``."""
    found = await _ACTORS.of_each(session, actor, event_ids, wanted)
    if actor.method == "token" and (others := [id_ for id_ in event_ids if id_ not in found]):
        return {**found, **await _ACTORS_OF_OWN.of_each(session, actor, others, wanted)}
    return found


_ACTORS_OF_OWN = users.People(
    lambda columns: (
        select(Event.id, *columns)
        .join(User, User.id == Event.actor_id)
        .where(among(Event.id, "ids"), Event.account_id == CALLER.user_id)
    )
)
_ACTORS = users.People(
    lambda columns: (
        visible(CALLER)
        .join(User, User.id == Event.actor_id)
        .where(among(Event.id, "ids"))
        .with_only_columns(Event.id, *columns)
    )
)
