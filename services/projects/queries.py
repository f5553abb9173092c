"""Reading projects, and checking what the caller may do in one."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, Select, exists, literal, select

from db.driver.sessions import AnySelect, Session
from db.driver.statements import Prepared
from db.lists import in_list, in_subquery
from db.models import Membership, Project, ProjectFollow
from services.projects.models import ProjectFilter, ProjectRecord, Role
from services.shared.actors import Actor, Scope
from services.shared.errors import Conflict, Forbidden, NotFound
from services.shared.filters import Column, FewTexts, Filtering, Flag
from services.shared.pagination import Ordering, SortKey
from services.shared.reading import ListReader
from services.shared.statements import ACTOR_PARAMETER

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
    Project.external_source,
    Project.external_id,
)
OLDEST_FIRST = Ordering(SortKey("id", Project.id, Project.id, kind="integer"), descending=False)


def visible(actor: Actor) -> AnySelect:
    """The projects that the actor is a member of, with its role."""
    return (
        select(*_COLUMNS)
        .join(Membership, Membership.project_id == Project.id)
        .where(Membership.user_id == actor.user_id)
    )


def project_ids(actor: Actor) -> Select[int]:
    """The ids of the projects that the actor is a member of, as a SELECT."""
    return select(Membership.project_id).where(Membership.user_id == actor.user_id)


def among_visible(column: object, actor: Actor) -> ColumnElement[bool]:
    """Whether a column holds the id of one of those projects: for what lives in projects."""
    return in_subquery(column, project_ids(actor))


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
    """Raises ``Forbidden`` where the reader's role in the project is below another."""
    if not project.allows(role):
        raise Forbidden(f"This needs the role {role.value} in the project; yours is {project.role}")


async def inbox_id(session: Session, actor: Actor) -> int:
    """The id of the caller's Inbox. Raises ``Unauthenticated``."""
    user_id = actor.require(Scope.TASKS_READ)
    return int(await session.scalar(select(Project.id).where(Project.inbox_of_id == user_id)))


_FOLLOWED = exists(
    select(literal(1)).where(ProjectFollow.project_id == Project.id, ProjectFollow.user_id == Membership.user_id)
)
_READER = ListReader(
    "Project",
    visible,
    ProjectRecord._make,
    OLDEST_FIRST,
    filtering=Filtering(
        ProjectFilter,
        {
            "key": Column(Project.key, str.upper),
            "name": FewTexts(Project.id, Project.name),
            "role": Column(Membership.role),
            "is_inbox": Flag(Project.inbox_of_id.is_not(None)),
            "archived": Flag(Project.archived_at.is_not(None)),
            "followed": Flag(_FOLLOWED),
            "external_source": Column(Project.external_source),
            "external_id": Column(Project.external_id),
            "created_at": Column(Project.created_at),
            "updated_at": Column(Project.updated_at),
            "archived_at": Column(Project.archived_at),
        },
    ),
)
list_, count = _READER.list_, _READER.count


async def ids(session: Session, actor: Actor) -> Sequence[int]:
    """The ids of the projects that the caller is a member of."""
    actor.require(Scope.TASKS_READ)
    return await session.scalars(_IDS(caller_id=actor.user_id))


_IDS = Prepared(project_ids(ACTOR_PARAMETER))


async def by_ids(session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, ProjectRecord]:
    """Those of the projects that the actor may read."""
    actor.require(Scope.TASKS_READ)
    rows = await session.all(_BY_IDS(caller_id=actor.user_id, ids=ids))
    return {row.id: ProjectRecord._make(row) for row in rows}


_BY_IDS = Prepared(visible(ACTOR_PARAMETER).where(in_list(Project.id, "ids")), ProjectRecord)
