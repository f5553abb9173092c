"""Reading projects, and checking what the caller may do in one."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, select

from db.lists import among, in_rows
from db.models import Membership, Project
from db.sessions import AnySelect, Session
from db.statements import Prepared
from services.actors import Actor, Scope
from services.errors import Conflict, Forbidden, NotFound
from services.pagination import Ordering, Page, PageRequest, SortKey, make_page, page_statement
from services.prepared import CALLER
from services.projects.models import ProjectRecord, Role

_COLUMNS = (
    Project.id,
    Project.key,
    Project.name,
    Project.description,
    Project.inbox_of_id.is_not(None).label("is_inbox"),
    Project.version,
    Project.created_at,
    Project.updated_at,
    Project.archived_at,
    Membership.role,
)
OLDEST_FIRST = Ordering(SortKey("id", Project.id, Project.id, kind="integer"), descending=False)


def visible(actor: Actor) -> AnySelect:
    """The projects that the actor is a member of, with its role."""
    return (
        select(*_COLUMNS)
        .join(Membership, Membership.project_id == Project.id)
        .where(Membership.user_id == actor.user_id)
    )


def among_visible(column: Any, actor: Actor) -> ColumnElement[bool]:
    """Whether a column holds the id of one of those projects: for what lives in projects."""
    return in_rows(column, select(Membership.project_id).where(Membership.user_id == actor.user_id))


async def get(session: Session, actor: Actor, project_id: int) -> ProjectRecord:
    """A project that the actor may read. Raises ``NotFound``."""
    actor.require(Scope.TASKS_READ)
    row = await session.first(visible(actor).where(Project.id == project_id))
    if row is None:
        raise NotFound("Project")
    return ProjectRecord._make(row)


def require_writable(project: ProjectRecord, role: Role) -> None:
    """Raises ``Forbidden`` where the role does not suffice, ``Conflict`` where the project is archived."""
    require_role(project, role)
    if project.archived_at is not None:
        raise Conflict("The project is archived: it is read-only")


def require_role(project: ProjectRecord, role: Role) -> None:
    if not project.allows(role):
        raise Forbidden(f"This needs the role {role.value} in the project; yours is {project.role}")


async def inbox_id(session: Session, actor: Actor) -> int:
    """The id of the caller's Inbox. Raises ``Unauthenticated``."""
    user_id = actor.require(Scope.TASKS_READ)
    return int(await session.scalar(select(Project.id).where(Project.inbox_of_id == user_id)))


async def list_(
    session: Session, actor: Actor, request: PageRequest, *, archived: bool | None = None
) -> Page[ProjectRecord]:
    """The caller's projects, oldest first (so the Inbox leads). ``archived`` keeps only one kind."""
    actor.require(Scope.TASKS_READ)
    statement = page_statement(_filtered(visible(actor), archived), OLDEST_FIRST, request)
    return make_page(await session.all(statement), ProjectRecord._make, OLDEST_FIRST, request)


async def count(session: Session, actor: Actor, *, archived: bool | None = None) -> int:
    actor.require(Scope.TASKS_READ)
    return await session.count(_filtered(visible(actor), archived))


def _filtered(statement: AnySelect, archived: bool | None) -> AnySelect:
    if archived is None:
        return statement
    return statement.where(Project.archived_at.is_not(None) if archived else Project.archived_at.is_(None))


async def by_ids(session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, ProjectRecord]:
    """Those of the projects that the actor may read."""
    actor.require(Scope.TASKS_READ)
    rows = await session.all(_BY_IDS(caller_id=actor.user_id, ids=ids))
    return {row.id: ProjectRecord._make(row) for row in rows}


_BY_IDS = Prepared(visible(CALLER).where(among(Project.id, "ids")), ProjectRecord)
