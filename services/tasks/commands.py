"""Changing tasks one at a time. Each change is one more version and one event."""

from sqlalchemy import delete as sql_delete
from sqlalchemy import select, true

from core import deadlines
from db.advisory_locks import alone, wait_for_all
from db.driver.sessions import Session
from db.models import Comment, ExternalId, Project, Task
from services.events import catalogue, log
from services.projects.models import ProjectRecord
from services.shared.actors import Actor, Scope
from services.shared.errors import Expected, NotFound, TandemError
from services.shared.idempotency import repeatable, while_readable
from services.tasks import attachments, effects
from services.tasks.creation import create_each, create_plain
from services.tasks.models import TaskCreate, TaskRecord, TaskUpdate
from services.tasks.queries import get
from services.tasks.trash import lock_for_removal, remove
from services.tasks.updates import TaskChange, apply_changes, check_writable, lock_tasks, moves


@repeatable("task.create", scope=Scope.TASKS_WRITE, read=while_readable(get))
async def create(session: Session, actor: Actor, data: TaskCreate) -> TaskRecord:
    """Create a task, in the caller's Inbox unless a project is named.

    Raises ``NotFound`` for a project that may not be read, and for a parent or assignees that are not of the project;
    ``Forbidden``; ``Conflict`` below a task that is nested too deeply.
    """
    if (task := await create_plain(session, actor, data)) is not None:
        return task
    [outcome] = await create_each(session, actor, [data])
    if isinstance(outcome, TandemError):
        raise outcome
    return outcome


async def update(
    session: Session,
    actor: Actor,
    task_id: int,
    data: TaskUpdate,
    *,
    expected_version: Expected = None,
    project_id: int | None = None,
) -> TaskRecord:
    """Change the fields that were sent; nothing is written where none differs.

    Raises ``NotFound`` (also where the task is not in ``project_id``), ``Forbidden``, ``VersionConflict``,
    ``BadUserInput``, ``Conflict``.
    """
    sent = data.sent()
    assigning = attachments.assigned_by(sent)
    locked = await lock_tasks(session, actor, [task_id], trees=moves(sent), assigning=assigning)
    if task_id in locked.tasks and project_id not in (None, locked.tasks[task_id].project_id):
        raise NotFound("Task")
    change = TaskChange(task_id, sent, expected_version)
    outcome = (await apply_changes(session, actor, locked, [change]))[task_id]
    if isinstance(outcome, TandemError):
        raise outcome
    return outcome


async def delete(session: Session, actor: Actor, task_id: int, *, expected_version: Expected = None) -> None:
    """Move a task and its subtasks to the trash. Raises ``NotFound``, ``Forbidden``, ``VersionConflict``."""
    locked = await lock_for_removal(session, actor, [task_id])
    if refused := check_writable(locked, [(task_id, expected_version)]):
        raise refused[task_id]
    await remove(session, actor, locked.tasks)


async def unassign(session: Session, actor: Actor, project: ProjectRecord, user_id: int) -> None:
    """Take a person off every task of a project: for a member who leaves. Each task that changes has its event.

    The project is held, and so is the membership.
    """
    await effects.unassign(session, actor, project.id, user_id)


async def clear(session: Session, actor: Actor, *, project_id: int | None = None) -> int:
    """Delete every task of every user, or of one project, for good. Returns how many.

    For an API key with the scope ``admin``: raises ``Forbidden`` for anybody else.
    """
    deadlines.takes_long()
    actor.require_admin_key()
    session.takes_long()
    places = select(Project.id)
    if project_id is None:
        await wait_for_all(session)
    else:
        places = places.where(Project.id == project_id, alone(places.where(Project.id == project_id)))
    await session.execute(places.order_by(Project.id).with_for_update())  # nobody else writes there meanwhile
    condition = true() if project_id is None else Task.project_id == project_id
    doomed = select(Task.id).where(condition)
    written = select(Comment.id).where(Comment.task_id.in_(doomed))
    # an import may bring them back
    for kind, ids in (("task", doomed), ("comment", written)):
        await session.execute(sql_delete(ExternalId).where(ExternalId.kind == kind, ExternalId.entity_id.in_(ids)))
    count = await effects.purge(session, actor, condition)
    changes = {"tasks": (count, 0)}
    await log.record(session, actor, log.NewEvent(catalogue.TASKS_CLEARED, 0, changes, project_id=project_id))
    return count
