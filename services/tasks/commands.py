"""Changing tasks one at a time. Each change is one more version and one event."""

from sqlalchemy import delete as sql_delete
from sqlalchemy import select, true
from sqlalchemy import update as sql_update

from core.clock import now
from db.models import Comment, ExternalId, Project, Task, TaskAssignee
from db.sessions import Session
from db.statements import one_of
from services import events
from services.actors import Actor, Scope
from services.errors import Expected, NotFound, TandemError
from services.idempotency import repeatable, while_readable
from services.projects.models import ProjectRecord
from services.tasks.changes import TaskChange, apply, lock, refusals
from services.tasks.creation import create_each
from services.tasks.models import TaskCreate, TaskRecord, TaskUpdate
from services.tasks.queries import get
from services.tasks.removal import lock_for_removal, remove


@repeatable("task.create", scope=Scope.TASKS_WRITE, read=while_readable(get))
async def create(session: Session, actor: Actor, data: TaskCreate) -> TaskRecord:
    """Create a task, in the caller's Inbox unless a project is named.

    Raises ``NotFound`` for a project that may not be read, and for a parent or assignees that are not of the project;
    ``Forbidden``; ``Conflict`` below a task that is nested too deeply.
    """
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
    notify: bool = True,
    project_id: int | None = None,
) -> TaskRecord:
    """Change the fields that were sent; nothing is written where none differs.

    ``notify`` says whether the people concerned are to be told. Raises ``NotFound`` (also where the task is not in
    ``project_id``), ``Forbidden``, ``VersionConflict``, ``BadUserInput``, ``Conflict``.
    """
    sent = data.sent()
    assigning = sent.get("assignee_ids", ())
    locked = await lock(session, actor, [task_id], trees="parent_id" in sent, assigning=assigning)
    if task_id in locked.tasks and project_id not in (None, locked.tasks[task_id].project_id):
        raise NotFound("Task")
    change = TaskChange(task_id, sent, expected_version)
    outcome = (await apply(session, actor, locked, [change], notify=notify))[task_id]
    if isinstance(outcome, TandemError):
        raise outcome
    return outcome


async def delete(session: Session, actor: Actor, task_id: int, *, expected_version: Expected = None) -> None:
    """Move a task and its subtasks to the trash. Raises ``NotFound``, ``Forbidden``, ``VersionConflict``."""
    locked = await lock_for_removal(session, actor, [task_id])
    if refused := refusals(locked, [(task_id, expected_version)]):
        raise refused[task_id]
    await remove(session, actor, locked.tasks)


async def unassign(session: Session, actor: Actor, project: ProjectRecord, user_id: int) -> None:
    """Take a person off every task of a project: for a member who leaves. Each task that changes has its event.

    The project is held, and so is the membership.
    """
    rows = await session.all(
        select(Task.id, Task.version)
        .join(TaskAssignee, TaskAssignee.task_id == Task.id)
        .where(Task.project_id == project.id, TaskAssignee.user_id == user_id)
        .order_by(Task.id)
        .with_for_update(of=Task, key_share=True)
    )
    ids = [row.id for row in rows]
    if not ids:
        return
    before: dict[int, list[int]] = {task_id: [] for task_id in ids}
    for link in await session.all(
        select(TaskAssignee.task_id, TaskAssignee.user_id)
        .where(one_of(TaskAssignee.task_id, ids))
        .order_by(TaskAssignee.user_id)
    ):
        before[link.task_id].append(link.user_id)
    await session.execute(
        sql_delete(TaskAssignee).where(one_of(TaskAssignee.task_id, ids), TaskAssignee.user_id == user_id)
    )
    changed = sql_update(Task).where(one_of(Task.id, ids))
    await session.execute(changed.values(version=Task.version + 1, updated_at=now()))
    await events.record(
        session,
        actor,
        *(
            events.NewEvent(
                "task.updated",
                "task",
                row.id,
                {"assignee_ids": (before[row.id], [other for other in before[row.id] if other != user_id])},
                version=row.version + 1,
                project_id=project.id,
                task_id=row.id,
            )
            for row in rows
        ),
    )


async def clear(session: Session, actor: Actor, *, project_id: int | None = None) -> int:
    """Delete every task of every user, or of one project, for good. Returns how many.

    For an API key with the scope ``admin``: raises ``Forbidden`` for anybody else.
    """
    actor.require_admin_key()
    session.takes_long()
    places = select(Project.id) if project_id is None else select(Project.id).where(Project.id == project_id)
    await session.execute(places.order_by(Project.id).with_for_update())  # nobody else writes there meanwhile
    condition = true() if project_id is None else Task.project_id == project_id
    doomed = select(Task.id).where(condition)
    written = select(Comment.id).where(Comment.task_id.in_(doomed))
    count = await session.count(doomed)
    # an import may bring them back
    for kind, ids in (("task", doomed), ("comment", written)):
        await session.execute(sql_delete(ExternalId).where(ExternalId.kind == kind, ExternalId.entity_id.in_(ids)))
    await session.execute(sql_update(Task).where(condition, Task.parent_id.is_not(None)).values(parent_id=None))
    await session.execute(sql_delete(Task).where(condition))
    changes = {"tasks": (count, 0)}
    await events.record(session, actor, events.NewEvent("tasks.cleared", "server", 0, changes, project_id=project_id))
    return count
