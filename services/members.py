"""Who belongs to a project, and with which role."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, NamedTuple

from pydantic import Field
from sqlalchemy import delete as sql_delete
from sqlalchemy import select
from sqlalchemy import update as sql_update

from core import deadlines
from db.driver.sessions import AnySelect, Session
from db.models import Membership, User
from services.events import catalogue, log
from services.events.catalogue import EventKind
from services.projects import queries as projects
from services.projects.locks import Hold, require
from services.projects.memberships import insert_members
from services.projects.models import ProjectRecord, Role, RoleFilter
from services.shared import node_ids
from services.shared.actors import Actor, Scope
from services.shared.errors import Conflict, Forbidden, NotFound
from services.shared.features import Feature, NodeType, Operation, Who
from services.shared.filters import Column, Filter, Filtering, FoldedText
from services.shared.idempotency import repeatable
from services.shared.inputs import Input, Text, absent
from services.shared.operators import NameFilter, TimestampFilter, UserRefFilter
from services.shared.outputs import CreatedAt, DatabaseId, NodeId, Output
from services.shared.pagination import Ordering, SortKey
from services.shared.reading import ChildReader
from services.shared.text import fold_username
from services.tasks.commands import unassign
from services.users.models import UserRecord, UserSummary


class MemberAdd(Input):
    """Adds a person to a project."""

    username: Annotated[
        Text, Field(min_length=1, max_length=50, description="The account's username.", examples=["ada"])
    ]
    role: Role = Field(default=Role.MEMBER, description="What the person may do.")


class MemberUpdate(Input):
    """Changes a member's role."""

    role: Role = Field(description="What the person may do.")


class MemberOut(Output):
    """A person in a project."""

    id: DatabaseId
    node_id: NodeId
    project_id: int = Field(description="The project.")
    user: UserSummary = Field(description="The account.")
    role: Role = Field(description="What the person may do.")
    created_at: CreatedAt


class MemberFilter(Filter):
    """Which people in a project. Every condition given must hold."""

    user: UserRefFilter = Field(default_factory=absent, description="The account.")
    username: NameFilter = Field(default_factory=absent, description="The account's username.")
    role: RoleFilter = Field(default_factory=absent, description="What the person may do.")
    created_at: TimestampFilter = Field(default_factory=absent, description="When the person joined.")


class MemberRecord(NamedTuple):
    """A membership as it is read, with the person and the role."""

    user: UserRecord
    role: str
    created_at: datetime
    project_id: int
    id: int

    @property
    def node_id(self) -> str:
        return node_ids.encode("Member", self.id)


_USER_COLUMNS = tuple(getattr(User, name) for name in UserRecord._fields)
_COLUMNS = (
    *(column.label(f"user_{column.key}") for column in _USER_COLUMNS),
    Membership.role,
    Membership.created_at.label("joined_at"),
    Membership.project_id,
    Membership.id,
)
OLDEST_FIRST = Ordering(SortKey("id", Membership.id, Membership.id, kind="integer"), descending=False)


def visible(actor: Actor) -> AnySelect:
    """The members of the actor's projects."""
    joined = select(*_COLUMNS).join(User, User.id == Membership.user_id)
    return joined.where(projects.among_visible(Membership.project_id, actor))


def _made(row: Sequence[object]) -> MemberRecord:
    width = len(_USER_COLUMNS)
    return MemberRecord._make((UserRecord._make(row[:width]), *row[width:]))


def _shown(member: MemberRecord, actor: Actor) -> MemberRecord:
    return member._replace(user=member.user.seen_by(actor))


_READER = ChildReader(
    "Member",
    visible,
    _made,
    OLDEST_FIRST,
    below=Membership.project_id,
    parent=projects.get,
    shown=_shown,
    filtering=Filtering(
        MemberFilter,
        {
            "user": Column(Membership.user_id),
            "username": FoldedText(User.username, User.username_folded, fold_username),
            "role": Column(Membership.role),
            "created_at": Column(Membership.created_at),
        },
    ),
)
by_ids, list_, pages = _READER.by_ids, _READER.list_, _READER.pages
count, counts = _READER.count, _READER.counts


async def of_people(
    session: Session, actor: Actor, project_ids: set[int], user_ids: set[int]
) -> Sequence[MemberRecord]:
    """The members that some people are of some projects; those that the actor may read."""
    some = visible(actor).where(Membership.project_id.in_(project_ids), Membership.user_id.in_(user_ids))
    return [_shown(_made(row), actor) for row in await session.all(some)]


async def get(session: Session, actor: Actor, project_id: int, user_id: int) -> MemberRecord:
    """A member of a project that the actor may read. Raises ``NotFound``."""
    await projects.get(session, actor, project_id)
    row = await session.first(visible(actor).where(Membership.project_id == project_id, Membership.user_id == user_id))
    if row is None:
        raise NotFound("Member")
    return _shown(_made(row), actor)


async def _still_there(session: Session, actor: Actor, member: MemberRecord) -> MemberRecord:
    """What a repeat tells of a person who was added. Raises ``NotFound`` once the person is gone again."""
    actor.require(Scope.TASKS_READ)
    if not await by_ids(session, actor, [member.id]):
        raise NotFound("Member")
    return _shown(member, actor)


@repeatable("member.add", scope=Scope.PROJECTS_ADMIN, read=_still_there, tells=True)
async def add(session: Session, actor: Actor, project_id: int, data: MemberAdd) -> MemberRecord:
    """Add a person. Admins add up to their own rank. Raises ``NotFound``, ``Forbidden``, ``Conflict``."""
    project = await _hold(session, actor, project_id, Role.ADMIN, how=Hold.IN_TURN)
    _refuse_inbox(project)
    _refuse_above(project, data.role)
    user_id = await session.scalar(
        select(User.id)
        .where(User.username_folded == fold_username(data.username), User.disabled.is_(False))
        .with_for_update(read=True)  # so that nobody is added who is being disabled
    )
    if user_id is None:
        raise NotFound("User", pointer="/username")
    known = await session.scalar(
        select(Membership.role).where(Membership.project_id == project_id, Membership.user_id == user_id)
    )
    if known is not None:
        raise Conflict(f"Already a member, as {known}")
    await insert_members(session, [(project_id, user_id, data.role)])
    await _record(session, actor, catalogue.MEMBER_ADDED, project, user_id, (None, data.role))
    return await get(session, actor, project_id, user_id)


async def update(session: Session, actor: Actor, project_id: int, user_id: int, data: MemberUpdate) -> MemberRecord:
    """Change a member's role. Raises ``Forbidden``; ``Conflict`` when the last owner would go."""
    project = await _hold(session, actor, project_id, Role.ADMIN)
    _refuse_inbox(project)
    member = await _hold_member(session, actor, project_id, user_id)
    _refuse_above(project, Role(member.role))
    _refuse_above(project, data.role)
    if member.role == data.role:
        return member
    if member.role == Role.OWNER:
        await _refuse_last_owner(session, project_id)
    await session.execute(
        sql_update(Membership)
        .where(Membership.project_id == project_id, Membership.user_id == user_id)
        .values(role=data.role.value)
    )
    await _record(session, actor, catalogue.MEMBER_UPDATED, project, user_id, (member.role, data.role))
    return await get(session, actor, project_id, user_id)


async def remove(session: Session, actor: Actor, project_id: int, user_id: int) -> None:
    """Remove a member, who loses its assignments there; anybody may leave. Raises ``Forbidden``, ``Conflict``."""
    deadlines.takes_long()
    role = Role.VIEWER if user_id == actor.user_id else Role.ADMIN
    project = await _hold(session, actor, project_id, role, archived=True)
    _refuse_inbox(project)
    member = await _hold_member(session, actor, project_id, user_id)
    _refuse_above(project, Role(member.role))
    if member.role == Role.OWNER:
        await _refuse_last_owner(session, project_id)
    await unassign(session, actor, project, user_id)
    await session.execute(
        sql_delete(Membership).where(Membership.project_id == project_id, Membership.user_id == user_id)
    )
    await _record(session, actor, catalogue.MEMBER_REMOVED, project, user_id, (member.role, None))


async def _hold(
    session: Session,
    actor: Actor,
    project_id: int,
    role: Role,
    *,
    archived: bool = False,
    how: Hold = Hold.MEMBERS,
) -> ProjectRecord:
    """The project, whose members are changed by one at a time."""
    return await require(session, actor, project_id, role, scope=Scope.PROJECTS_ADMIN, archived=archived, how=how)


async def _hold_member(session: Session, actor: Actor, project_id: int, user_id: int) -> MemberRecord:
    """A member who writes nothing in the project meanwhile, as its role is about to change."""
    mine = select(Membership.id).where(Membership.project_id == project_id, Membership.user_id == user_id)
    await session.execute(mine.with_for_update())
    return await get(session, actor, project_id, user_id)


def _refuse_inbox(project: ProjectRecord) -> None:
    if project.is_inbox:
        raise Conflict("The Inbox is personal: it has no other members")


def _refuse_above(project: ProjectRecord, role: Role) -> None:
    if not project.allows(role):
        raise Forbidden(f"This needs the role {role.value} in the project; yours is {project.role}")


async def _refuse_last_owner(session: Session, project_id: int) -> None:
    # members change one at a time: two owners cannot step down past each other
    owners = select(Membership.id).where(Membership.project_id == project_id, Membership.role == Role.OWNER.value)
    if await session.count(owners) < 2:
        raise Conflict("A project keeps at least one owner")


async def _record(
    session: Session, actor: Actor, kind: EventKind, project: ProjectRecord, user_id: int, roles: tuple[object, object]
) -> None:
    changes = {"user_id": (user_id if roles[0] else None, user_id if roles[1] else None), "role": roles}
    await log.record(session, actor, log.NewEvent(kind, user_id, changes, project_id=project.id))


FEATURE = Feature(
    "members",
    operations=(
        Operation("list_members", "Project.members", Who.VIEWER, Scope.TASKS_READ),
        Operation("query_members", "Project.members", Who.VIEWER, Scope.TASKS_READ),
        Operation("add_member", "Mutation.addMember", Who.ADMIN, Scope.PROJECTS_ADMIN, repeatable=True),
        Operation("get_member", "Query.node", Who.VIEWER, Scope.TASKS_READ),
        Operation("update_member", "Mutation.updateMember", Who.ADMIN, Scope.PROJECTS_ADMIN),
        Operation("remove_member", "Mutation.removeMember", Who.ADMIN, Scope.PROJECTS_ADMIN),
    ),
    about="Who belongs to a project, and with which role.",
    nodes=(NodeType("Member", by_ids, MemberOut),),
)
