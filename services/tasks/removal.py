"""Moving tasks to the trash and back: with all that hangs below them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy import update as sql_update

from core import deadlines
from core.clock import now
from db.lists import one_of
from db.models import Task
from db.sessions import Session
from services import events
from services.actors import Actor, Scope
from services.errors import NotFound
from services.idempotency import repeatable, while_readable
from services.projects.locks import Hold, hold_of
from services.projects.models import Role
from services.projects.queries import require_writable
from services.tasks.changes import Locked
from services.tasks.models import TaskRecord
from services.tasks.queries import get, visible
from services.tasks.trees import lock_with_subtasks
from services.tasks.visibility import live


async def lock_for_removal(session: Session, actor: Actor, task_ids: Collection[int]) -> Locked:
    """As ``changes.lock``, with all that hangs below the tasks. Raises ``Forbidden`` for a key that must not write."""
    deadlines.takes_long()
    actor.require(Scope.TASKS_WRITE)
    projects = await hold_of(session, actor, task_ids, Hold.IN_TURN)
    held = visible(actor).where(one_of(Task.id, task_ids), one_of(Task.project_id, projects.keys()))
    await lock_with_subtasks(session, await session.scalars(held.with_only_columns(Task.id)))
    rows = await session.all(held)
    return Locked({row.id: TaskRecord._make(row) for row in rows}, projects, {})


async def remove(session: Session, actor: Actor, task_ids: Collection[int]) -> Mapping[int, int]:
    """Move tasks, locked for it, and their subtasks to the trash. Returns the version of each that went, by id."""
    moment = now()
    below = await lock_with_subtasks(session, task_ids)
    rows = await session.all(
        sql_update(Task)
        .where(one_of(Task.id, below), live())
        .values(deleted_at=moment, updated_at=moment, version=Task.version + 1)
        .returning(Task.id, Task.version, Task.project_id)
    )
    await _record_stamps(session, actor, "task.deleted", set(task_ids), rows, (None, moment))
    return {row.id: row.version for row in rows}


@repeatable("task.restore", scope=Scope.TASKS_WRITE, read=while_readable(get))
async def restore(session: Session, actor: Actor, task_id: int) -> TaskRecord:
    """Bring a task back from the trash, with the subtasks that went with it. Raises ``NotFound``, ``Forbidden``."""
    deadlines.takes_long()
    actor.require(Scope.TASKS_WRITE)
    projects = await hold_of(session, actor, [task_id], Hold.IN_TURN)
    below = await lock_with_subtasks(session, [task_id]) if projects else ()
    row = await session.first(visible(actor, trashed=True).where(Task.id == task_id))
    if row is None:
        raise NotFound("Task in the trash")
    task = TaskRecord._make(row)
    require_writable(projects[task.project_id], Role.MEMBER)
    rows = await session.all(
        sql_update(Task)
        .where(one_of(Task.id, below), Task.deleted_at == task.deleted_at)
        .values(deleted_at=None, updated_at=now(), version=Task.version + 1)
        .returning(Task.id, Task.version, Task.project_id)
    )
    moved: events.Changes = {}
    if task.parent_id is not None:
        parent_lives = await session.scalar(select(Task.id).where(Task.id == task.parent_id, live()))
        if parent_lives is None:
            moved = {"parent_id": (task.parent_id, None)}
            await session.execute(sql_update(Task).where(Task.id == task_id).values(parent_id=None))
    await _record_stamps(session, actor, "task.restored", {task_id}, rows, (task.deleted_at, None), moved)
    return await get(session, actor, task_id)


async def _record_stamps(
    session: Session,
    actor: Actor,
    kind: str,
    chosen: Collection[int],
    rows: Sequence[Any],
    stamps: tuple[Any, Any],
    own_changes: events.Changes | None = None,
) -> None:
    """One event for each task chosen, with ``own_changes``, then for each subtask that went or came along."""
    ordered = sorted(rows, key=lambda row: (row.id not in chosen, row.id))
    await events.record(
        session,
        actor,
        *(
            events.NewEvent(
                kind,
                "task",
                row.id,
                {"deleted_at": stamps, **((own_changes or {}) if row.id in chosen else {})},
                version=row.version,
                project_id=row.project_id,
                task_id=row.id,
            )
            for row in ordered
        ),
    )
