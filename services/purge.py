"""Emptying the trash of what can no longer be restored."""

from datetime import datetime

from sqlalchemy import select

from core.clock import now
from db.driver.database import Database
from db.driver.sessions import Session
from db.lists import one_of
from db.models import Project, Task
from services.allowances import login_failures
from services.shared import idempotency
from services.shared.actors import Actor
from services.tasks import effects
from services.tasks.visibility import expired, trash_begins

BATCH = 500


async def purge(database: Database, actor: Actor) -> int:
    """Delete for good the tasks, with their comments, that are longer in the trash than they can be restored.

    Idempotency keys of more than 24 hours ago go as well, and counts of failed logins whose window has ended.

    Takes the database and not a session: a few hundred tasks are a transaction, so that nobody waits for long. What an
    import knows of them stays, so that it does not bring them back. Returns how many. Raises ``Forbidden``.
    """
    actor.require_admin()
    before, total = trash_begins(), 0
    while True:
        async with database.writing() as session:
            session.takes_long()
            found, deleted = await _purge_some(session, actor, before=before)
        total += deleted
        if found < BATCH:
            break
    async with database.writing() as session:
        await idempotency.purge(session)
    while True:
        async with database.writing() as session:
            if await login_failures.purge(session, now()) < login_failures.PURGED:
                break
    return total


async def _purge_some(session: Session, actor: Actor, *, before: datetime) -> tuple[int, int]:
    """How many were found, and how many of them were deleted: one may have been restored just now."""
    old = expired(before)
    found = await session.all(select(Task.id, Task.project_id).where(old).order_by(Task.id).limit(BATCH))
    # as everybody does: projects first, in the order of their ids
    projects = select(Project.id).where(one_of(Project.id, {row.project_id for row in found}))
    await session.execute(projects.order_by(Project.id).with_for_update(key_share=True))
    return len(found), await effects.purge(session, actor, one_of(Task.id, [row.id for row in found]) & old)
