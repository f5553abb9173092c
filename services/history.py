"""What happened to a task: the events of the task, of its comments and of its relations."""

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, func, or_, select

from db.models import Event, Task
from db.sessions import AnySelect, Session
from services.actors import Actor
from services.events import COLUMNS, NEWEST_FIRST, EventRecord
from services.pagination import Page, PageRequest, make_page, make_pages, page_statement, pages_statement
from services.tasks import queries as tasks


async def of_task(session: Session, actor: Actor, task_id: int, request: PageRequest) -> Page[EventRecord]:
    """The events of a task and its comments, newest first. Raises ``NotFound``."""
    await tasks.get(session, actor, task_id)
    statement = page_statement(select(*COLUMNS).where(Event.task_id == task_id), NEWEST_FIRST, request)
    return make_page(await session.all(statement), EventRecord._make, NEWEST_FIRST, request)


async def by_ids(session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, EventRecord]:
    """Those of the events that are changes of tasks the actor may read, or concern the security of its account."""
    readable: ColumnElement[bool] = tasks.visible(actor).where(Task.id == Event.task_id).exists()
    if actor.method == "token":  # a key is not told
        readable = or_(readable, Event.account_id == actor.user_id)
    rows = await session.all(select(*COLUMNS).where(Event.id.in_(ids), readable))
    return {row.id: EventRecord._make(row) for row in rows}


async def pages(
    session: Session, actor: Actor, task_ids: Collection[int], request: PageRequest
) -> Mapping[int, Page[EventRecord]]:
    """The same page of each task's history, in one statement; empty for tasks that the actor may not read."""
    statement = select(*COLUMNS).where(Event.task_id.in_(_readable(actor, task_ids)))
    rows = await session.all(pages_statement(statement, Event.task_id.expression, NEWEST_FIRST, request))
    return make_pages(rows, EventRecord._make, NEWEST_FIRST, request, task_ids)


async def counts(session: Session, actor: Actor, task_ids: Collection[int]) -> Mapping[int, int]:
    """How many events each task's history has."""
    of_tasks = select(Event.task_id, func.count()).where(Event.task_id.in_(_readable(actor, task_ids)))
    rows = await session.all(of_tasks.group_by(Event.task_id))
    return {row[0]: row[1] for row in rows}


def _readable(actor: Actor, task_ids: Collection[int]) -> AnySelect:
    """The ids of those of the tasks that the actor may read."""
    return tasks.visible(actor).with_only_columns(Task.id).where(Task.id.in_(task_ids))
