"""Emptying the trash of what can no longer be restored."""

from datetime import datetime

from sqlalchemy import delete, select

from db.engine import Database
from db.models import Project, Task
from db.sessions import Session
from db.statements import one_of
from services import events, idempotency
from services.actors import Actor
from services.tasks.visibility import trash_begins

BATCH = 500


async def purge(database: Database, actor: Actor) -> int:
    """Delete for good the tasks, with their comments, that are longer in the trash than they can be restored.

    Idempotency keys of more than 24 hours ago go as well.

    Takes the database and not a session: a few hundred tasks are a transaction, so that nobody waits for long. What an
    import knows of them stays, so that it does not bring them back. Returns how many. Raises ``Forbidden``.
    """
    actor.require_admin()
    before, total = trash_begins(), 0
    while True:
        async with database.writing() as session:
            session.takes_long()
            seen, purged = await _purge_some(session, actor, before=before)
        total += purged
        if seen < BATCH:
            break
    async with database.writing() as session:
        await idempotency.purge(session)
    return total


async def _purge_some(session: Session, actor: Actor, *, before: datetime) -> tuple[int, int]:
    """How many there were to look at, and how many of them were purged."""
    old = select(Task.id, Task.project_id).where(Task.deleted_at <= before).order_by(Task.id).limit(BATCH)
    found = await session.all(old)
    # as everybody does: projects first, then tasks, in the order of their ids
    await session.execute(
        select(Project.id)
        .where(one_of(Project.id, {row.project_id for row in found}))
        .order_by(Project.id)
        .with_for_update(key_share=True)
    )
    rows = await session.all(
        select(Task.id, Task.project_id, Task.number, Task.version, Project.key)
        .join(Project, Project.id == Task.project_id)
        .where(one_of(Task.id, [row.id for row in found]), Task.deleted_at <= before)
        .order_by(Task.id)
        .with_for_update(of=Task)
    )
    await session.execute(delete(Task).where(one_of(Task.id, [row.id for row in rows])))
    gone = [
        events.NewEvent(
            "task.purged",
            "task",
            row.id,
            {"ref": (f"{row.key}-{row.number}", None)},
            version=row.version,
            project_id=row.project_id,
            task_id=row.id,
            notify=False,
        )
        for row in rows
    ]
    await events.record(session, actor, *gone)
    return len(found), len(rows)
