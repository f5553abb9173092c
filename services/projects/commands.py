"""Changing projects."""

from datetime import datetime
from typing import Any

from sqlalchemy import delete as sql_delete
from sqlalchemy import insert, select
from sqlalchemy import update as sql_update

from core import deadlines
from core.clock import now
from db.engine import insert_or_ignore
from db.models import Membership, Project, Task
from db.sessions import Session
from services import events, prices
from services.actors import Actor, Scope
from services.errors import BadUserInput, Conflict, Expected, Problem, require_next, require_version
from services.idempotency import repeatable, while_readable
from services.projects.locks import Hold, require
from services.projects.models import ProjectCreate, ProjectRecord, ProjectUpdate, Role
from services.projects.queries import get
from services.tasks import effects
from services.tasks.creation import create_drafts
from services.users.commands import INBOX_KEY


@repeatable("project.create", scope=Scope.PROJECTS_ADMIN, read=while_readable(get))
async def create(session: Session, actor: Actor, data: ProjectCreate) -> ProjectRecord:
    """Create a project that the caller owns, with its tasks.

    Raises ``Conflict`` when the key is taken, ``BadUserInput`` when something in the tasks does not hold,
    ``TooExpensive`` where they come to more than a request may; nothing is written then.
    """
    user_id = actor.require(Scope.PROJECTS_ADMIN)
    if data.key == INBOX_KEY:
        raise BadUserInput.at("/key", "INBOX is every user's own")
    if data.tasks:
        prices.demand(prices.WRITE + prices.of_tasks(data.tasks))
        session.takes_long()
    moment = now()
    project_id, key = await _insert(session, data, moment)
    await session.execute(
        insert(Membership).values(project_id=project_id, user_id=user_id, role=Role.OWNER.value, created_at=moment)
    )
    project = await get(session, actor, project_id)
    changes = events.created({"key": key, "name": data.name, "description": data.description})
    await events.record(session, actor, _event("project.created", project, changes))
    await create_drafts(session, actor, project, data.tasks, pointer="/tasks")
    return project


async def update(
    session: Session,
    actor: Actor,
    project_id: int,
    data: ProjectUpdate,
    *,
    expected_version: Expected = None,
) -> ProjectRecord:
    """Change a project. Raises ``NotFound``, ``Forbidden``, ``VersionConflict``."""
    values = data.sent()
    project = await _lock(session, actor, project_id, Role.ADMIN, expected_version)
    before = {
        "name": project.name,
        "description": project.description,
        "archived": project.archived_at is not None,
    }
    changes = events.differences(before, values)
    if not changes:
        return project
    require_next(project.version)
    if project.is_inbox:
        raise Conflict("The Inbox cannot be renamed or archived")
    moment = now()
    new: dict[str, Any] = {name: values[name] for name in changes if name != "archived"}
    if "archived" in changes:
        new["archived_at"] = moment if values["archived"] else None
    elif project.archived_at is not None:
        raise Conflict("The project is archived: it is read-only")
    await session.execute(
        sql_update(Project)
        .where(Project.id == project_id)
        .values(**new, version=Project.version + 1, updated_at=moment)
    )
    project = await get(session, actor, project_id)
    await events.record(session, actor, _event("project.updated", project, changes))
    return project


async def delete(session: Session, actor: Actor, project_id: int, *, expected_version: Expected = None) -> None:
    """Delete a project with all it holds, for good: for its owner. Raises ``NotFound``, ``Forbidden``, ``Conflict``."""
    deadlines.takes_long()
    session.takes_long()
    project = await _lock(session, actor, project_id, Role.OWNER, expected_version)
    if project.is_inbox:
        raise Conflict("The Inbox cannot be deleted")
    await effects.purge(session, actor, Task.project_id == project_id)
    await session.execute(sql_delete(Project).where(Project.id == project_id))
    changes = {"key": (project.key, None), "name": (project.name, None)}
    await events.record(session, actor, _event("project.deleted", project, changes))


async def _lock(
    session: Session, actor: Actor, project_id: int, role: Role, expected_version: Expected
) -> ProjectRecord:
    project = await require(session, actor, project_id, role, scope=Scope.PROJECTS_ADMIN, archived=True, how=Hold.ALONE)
    require_version(project.version, expected_version)
    return project


async def _insert(session: Session, data: ProjectCreate, moment: datetime) -> tuple[int, str]:
    """The id and key of the new row. A made key that somebody else takes at the same time gives way to the next."""
    while True:
        key = data.key or await _free_key(session, data.name)
        row = insert_or_ignore(session, Project).values(
            key=key, name=data.name, description=data.description, created_at=moment, updated_at=moment
        )
        project_id = await session.scalar(row.returning(Project.id))
        if project_id is not None:
            return project_id, key
        if data.key is not None:
            raise Conflict(f"The key {key} is taken", errors=[Problem("/key", "is taken", "taken")])


async def _free_key(session: Session, name: str) -> str:
    letters = "".join(c for c in name.upper() if c.isascii() and c.isalnum()).lstrip("0123456789")
    stem = (letters[:4] if len(letters) >= 2 else "PRJ")[:6]
    taken = set(await session.scalars(select(Project.key).where(Project.key.like(f"{stem}%"))))
    if stem not in taken and stem != INBOX_KEY:
        return stem
    return next(f"{stem}{n}" for n in range(2, len(taken) + 3) if f"{stem}{n}" not in taken)


def _event(kind: str, project: ProjectRecord, changes: events.Changes) -> events.NewEvent:
    return events.NewEvent(kind, "project", project.id, changes, version=project.version, project_id=project.id)
