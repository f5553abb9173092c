"""Moving tasks to the trash and back: with all that hangs below them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy import update as sql_update

from core import deadlines
from core.clock import now
from db.driver.sessions import AnyRow, Session
from db.lists import one_of
from db.models import Task
from services.events import catalogue, log
from services.events.catalogue import EventKind
from services.projects.locks import Hold, hold_of
from services.projects.models import Role
from services.projects.queries import require_writable
from services.shared.actors import Actor, Scope
from services.shared.errors import NotFound, require_next
from services.shared.idempotency import repeatable, while_readable
from services.tasks.models import TaskRecord
from services.tasks.queries import get
from services.tasks.trees import lock_with_subtasks
from services.tasks.updates import Locked, any_moved
from services.tasks.visibility import live, visible

WITH_PARENTS = "Bring back the tasks above it as well that are in the trash, without their other subtasks."


async def lock_for_removal(session: Session, actor: Actor, task_ids: Collection[int]) -> Locked:
    """As ``lock_tasks``, with all that hangs below the tasks. Raises ``Forbidden`` for a key that must not write."""
    deadlines.takes_long()
    actor.require(Scope.TASKS_WRITE)
    while True:
        projects = await hold_of(session, actor, task_ids, Hold.IN_TURN)
        held = visible(actor).where(one_of(Task.id, task_ids), one_of(Task.project_id, projects.keys()))
        found = {*await session.scalars(held.with_only_columns(Task.id))}
        if not await any_moved(session, actor, task_ids, found):
            break
    await lock_with_subtasks(session, found)
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
    await _record_stamps(session, actor, catalogue.TASK_DELETED, set(task_ids), rows, (None, moment))
    return {row.id: row.version for row in rows}


@repeatable("task.restore", scope=Scope.TASKS_WRITE, read=while_readable(get))
async def restore(session: Session, actor: Actor, task_id: int, *, with_parents: bool = False) -> TaskRecord:
    """Bring a task back from the trash, with the subtasks that went with it. Raises ``NotFound``, ``Forbidden``.

    ``with_parents`` also brings back the tasks above it that are there, as far as they can be restored, but none of
    their other subtasks. Below one that stays in the trash, the topmost of what comes back becomes a task of its own.
    """
    deadlines.takes_long()
    actor.require(Scope.TASKS_WRITE)
    while True:
        projects = await hold_of(session, actor, [task_id], Hold.IN_TURN)
        row = await session.first(visible(actor, trashed=True).where(Task.id == task_id))
        if row is None:
            raise NotFound("Task in the trash")
        if row.project_id in projects:
            break  # else it was moved a moment ago
    below = await lock_with_subtasks(session, [task_id])
    task = TaskRecord._make(row)
    require_writable(projects[task.project_id], Role.MEMBER)
    parents = await _parents(session, actor, task) if with_parents else []
    top = [task, *parents][-1]
    cut_off: log.Changes = {}
    if top.parent_id is not None:
        above_lives = await session.scalar(select(Task.id).where(Task.id == top.parent_id, live()))
        if above_lives is None:
            cut_off = {"parent_id": (top.parent_id, None)}
            await session.execute(sql_update(Task).where(Task.id == top.id).values(parent_id=None))
    for back in reversed([task, *parents]):
        ids = below if back is task else [back.id]
        # compared so that PostgreSQL looks the ids up: by an equal time it expects one task, of many thousand, and
        # would go through all ids for each of them
        rows = await session.all(
            sql_update(Task)
            .where(one_of(Task.id, ids), Task.deleted_at.is_not_distinct_from(back.deleted_at))
            .values(deleted_at=None, updated_at=now(), version=Task.version + 1)
            .returning(Task.id, Task.version, Task.project_id)
        )
        changes = cut_off if back is top else {}
        stamps = (back.deleted_at, None)
        await _record_stamps(session, actor, catalogue.TASK_RESTORED, {back.id}, rows, stamps, changes)
    return await get(session, actor, task_id)


async def _parents(session: Session, actor: Actor, task: TaskRecord) -> list[TaskRecord]:
    """The tasks above one that are in the trash and can be restored, up to the first that is not, locked."""
    above = select(Task.id, Task.parent_id).where(Task.id == task.parent_id).cte("above", recursive=True)
    above = above.union(select(Task.id, Task.parent_id).join(above, Task.id == above.c.parent_id))
    ids = await session.scalars(select(above.c.id))
    there = visible(actor, trashed=True).where(one_of(Task.id, ids), Task.project_id == task.project_id)
    rows = await session.all(there.order_by(Task.id).with_for_update(of=Task, key_share=True))
    trashed = {row.id: TaskRecord._make(row) for row in rows}
    found: list[TaskRecord] = []
    while (parent := trashed.get((found[-1] if found else task).parent_id or 0)) is not None:
        require_next(parent.version)
        found.append(parent)
    return found


async def _record_stamps(
    session: Session,
    actor: Actor,
    kind: EventKind,
    chosen: Collection[int],
    rows: Sequence[AnyRow],
    stamps: tuple[datetime | None, datetime | None],
    own_changes: log.Changes | None = None,
) -> None:
    """One event for each task chosen, with ``own_changes``, then for each subtask that went or came along."""
    ordered = sorted(rows, key=lambda row: (row.id not in chosen, row.id))
    await log.record(
        session,
        actor,
        *(
            log.NewEvent(
                kind,
                row.id,
                {"deleted_at": stamps, **((own_changes or {}) if row.id in chosen else {})},
                version=row.version,
                project_id=row.project_id,
                task_id=row.id,
            )
            for row in ordered
        ),
    )
