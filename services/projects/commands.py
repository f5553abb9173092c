"""Changing projects."""

from sqlalchemy import delete as sql_delete
from sqlalchemy import select
from sqlalchemy import update as sql_update

from core import deadlines
from core.clock import now
from db.driver.sessions import Session
from db.models import Membership, Project, Task
from db.upserts import insert_or_ignore
from services.events import catalogue, log
from services.events.catalogue import EventKind
from services.projects.locks import Hold, require
from services.projects.memberships import insert_members
from services.projects.models import ProjectCreate, ProjectRecord, ProjectUpdate, Role
from services.projects.queries import get
from services.shared import prices
from services.shared.actors import Actor, Scope
from services.shared.database_errors import taken
from services.shared.errors import BadUserInput, Conflict, Expected, Problem, require_next, require_version
from services.shared.external_ids import NAMES, check_pair, require_pair
from services.shared.idempotency import repeatable, while_readable
from services.tasks import effects
from services.tasks.creation import create_drafts
from services.users.commands import INBOX_KEY


@repeatable("project.create", scope=Scope.PROJECTS_ADMIN, read=while_readable(get), tells=True)
async def create(session: Session, actor: Actor, data: ProjectCreate) -> ProjectRecord:
    """Create a project that the caller owns, with its tasks.

    Raises ``Conflict`` when the key or the external id is taken, ``BadUserInput`` when something in the tasks does not
    hold, ``TooExpensive`` where they come to more than a request may; nothing is written then.
    """
    actor.require(Scope.PROJECTS_ADMIN)
    actor.require_unlimited("create projects")
    require_pair(data.external_source, data.external_id)
    if data.tasks:
        prices.demand(prices.WRITE + prices.of_tasks(data.tasks))
        session.takes_long()
    project = await create_empty(session, actor, data)
    await create_drafts(session, actor, project, data.tasks, pointer="/tasks")
    return project


async def create_empty(session: Session, actor: Actor, data: ProjectCreate) -> ProjectRecord:
    """Create a project that the actor owns, and nothing in it. Raises ``Conflict`` when the key or the external id is
    taken, ``BadUserInput`` for the key of Inboxes."""
    user_id = actor.require(Scope.PROJECTS_ADMIN)
    if data.key == INBOX_KEY:
        raise BadUserInput.at("/key", "INBOX is every user's own")
    project = await get(session, actor, await _insert(session, user_id, data))
    told = ("key", "name", "description", *sorted(NAMES))
    changes = log.created({name: getattr(project, name) for name in told})
    await log.record(session, actor, _event(catalogue.PROJECT_CREATED, project, changes))
    return project


async def update(
    session: Session,
    actor: Actor,
    project_id: int,
    data: ProjectUpdate,
    *,
    expected_version: Expected = None,
) -> ProjectRecord:
    """Change a project. Raises ``NotFound``, ``Forbidden``, ``VersionConflict``, ``Conflict``."""
    values = data.sent()
    project = await _lock(session, actor, project_id, Role.ADMIN, expected_version)
    before = {
        "name": project.name,
        "description": project.description,
        "archived": project.archived_at is not None,
        "external_source": project.external_source,
        "external_id": project.external_id,
    }
    check_pair(before, values)
    changes = log.differences(before, values)
    if not changes:
        return project
    require_next(project.version)
    if project.is_inbox:
        raise Conflict("The Inbox cannot be changed")
    moment = now()
    new: dict[str, object] = {name: values[name] for name in changes if name != "archived"}
    if "archived" in changes:
        new["archived_at"] = moment if values["archived"] else None
    elif project.archived_at is not None:
        raise Conflict("The project is archived: it is read-only")
    if not NAMES.isdisjoint(changes):
        new["external_of_id"] = actor.user_id
    await session.execute(
        sql_update(Project)
        .where(Project.id == project_id)
        .values(**new, version=Project.version + 1, updated_at=moment)
    )
    project = await get(session, actor, project_id)
    await log.record(session, actor, _event(catalogue.PROJECT_UPDATED, project, changes))
    return project


async def delete(session: Session, actor: Actor, project_id: int, *, expected_version: Expected = None) -> None:
    """Delete a project with all it holds, for good: for its owner. Raises ``NotFound``, ``Forbidden``, ``Conflict``."""
    deadlines.takes_long()
    session.takes_long()
    project = await _lock(session, actor, project_id, Role.OWNER, expected_version)
    if project.is_inbox:
        raise Conflict("The Inbox cannot be deleted")
    await effects.purge(session, actor, Task.project_id == project_id)
    members = await session.all(select(Membership.user_id, Membership.role).where(Membership.project_id == project_id))
    await session.execute(sql_delete(Project).where(Project.id == project_id))
    changes = {"key": (project.key, None), "name": (project.name, None)}
    # whoever follows changes is told that there is nothing more to be read
    left = (
        log.NewEvent(
            catalogue.MEMBER_REMOVED, user_id, {"user_id": (user_id, None), "role": (role, None)}, project_id=project_id
        )
        for user_id, role in members
    )
    await log.record(session, actor, _event(catalogue.PROJECT_DELETED, project, changes), *left)


async def _lock(
    session: Session, actor: Actor, project_id: int, role: Role, expected_version: Expected
) -> ProjectRecord:
    project = await require(session, actor, project_id, role, scope=Scope.PROJECTS_ADMIN, archived=True, how=Hold.ALONE)
    require_version(project.version, expected_version)
    return project


async def insert_project(
    session: Session,
    owner_id: int,
    key: str,
    name: str,
    description: str | None,
    external_source: str | None = None,
    external_id: str | None = None,
) -> int | None:
    """Write a project and the membership of its owner. Returns its id; None where another project has the key, or
    another one of the owner's the external id."""
    moment = now()
    row = insert_or_ignore(Project).values(
        key=key,
        name=name,
        description=description,
        created_at=moment,
        updated_at=moment,
        external_of_id=None if external_id is None else owner_id,
        external_source=external_source,
        external_id=external_id,
    )
    project_id: int | None = await session.scalar(row.returning(Project.id))
    if project_id is not None:
        await insert_members(session, [(project_id, owner_id, Role.OWNER)])
    return project_id


async def _insert(session: Session, owner_id: int, data: ProjectCreate) -> int:
    """The id of the new row. A made key that somebody else takes at the same time gives way to the next."""
    called = (data.external_source, data.external_id)
    while True:
        key = data.key or await _free_key(session, data.name)
        project_id = await insert_project(session, owner_id, key, data.name, data.description, *called)
        if project_id is not None:
            return project_id
        if await by_external_id(session, owner_id, *called) is not None:
            raise taken("/external_id")
        if data.key is not None:
            raise Conflict(f"The key {key} is taken", errors=[Problem("/key", "is taken", "taken")])


async def by_external_id(
    session: Session, owner_id: int, external_source: str | None, external_id: str | None
) -> int | None:
    """The id of the project that an account gave this external id; None where there is none."""
    if external_id is None:
        return None
    found: int | None = await session.scalar(
        select(Project.id).where(
            Project.external_of_id == owner_id,
            Project.external_source == external_source,
            Project.external_id == external_id,
        )
    )
    return found


async def _free_key(session: Session, name: str) -> str:
    letters = "".join(c for c in name.upper() if c.isascii() and c.isalnum()).lstrip("0123456789")
    stem = (letters[:4] if len(letters) >= 2 else "PRJ")[:6]
    taken = set(await session.scalars(select(Project.key).where(Project.key.like(f"{stem}%"))))
    if stem not in taken and stem != INBOX_KEY:
        return stem
    return next(f"{stem}{n}" for n in range(2, len(taken) + 3) if f"{stem}{n}" not in taken)


def _event(kind: EventKind, project: ProjectRecord, changes: log.Changes) -> log.NewEvent:
    return log.NewEvent(kind, project.id, changes, version=project.version, project_id=project.id)
