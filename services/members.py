"""Who belongs to a project, and with which role."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Annotated, Any, NamedTuple

from pydantic import Field
from sqlalchemy import delete as sql_delete
from sqlalchemy import func, insert, select
from sqlalchemy import update as sql_update

from core import deadlines
from core.clock import now
from db.models import Membership, User
from db.sessions import AnySelect, Session
from services import events, node_ids
from services.actors import Actor, Scope
from services.errors import Conflict, Forbidden, NotFound
from services.idempotency import repeatable
from services.inputs import Input, Text
from services.outputs import CreatedAt, DatabaseId, NodeId, Output
from services.pagination import (
    Ordering,
    Page,
    PageRequest,
    SortKey,
    make_page,
    make_pages,
    page_statement,
    pages_statement,
)
from services.projects import queries as projects
from services.projects.locks import Hold, require
from services.projects.models import ProjectRecord, Role
from services.tasks.commands import unassign
from services.text import fold_username
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


class MemberRecord(NamedTuple):
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


def _maker(actor: Actor) -> Callable[[Any], MemberRecord]:
    width = len(_USER_COLUMNS)

    def make(row: Any) -> MemberRecord:
        return MemberRecord(UserRecord._make(row[:width]).seen_by(actor), *row[width:])

    return make


def _select() -> AnySelect:
    return select(*_COLUMNS).join(User, User.id == Membership.user_id)


async def list_(session: Session, actor: Actor, project_id: int, request: PageRequest) -> Page[MemberRecord]:
    """A project's members, longest first. Raises ``NotFound``."""
    await projects.get(session, actor, project_id)
    statement = _select().where(Membership.project_id == project_id)
    return make_page(
        await session.all(page_statement(statement, OLDEST_FIRST, request)), _maker(actor), OLDEST_FIRST, request
    )


async def pages(
    session: Session, actor: Actor, project_ids: Collection[int], request: PageRequest
) -> Mapping[int, Page[MemberRecord]]:
    """The same page of members for each project, in one statement; empty for projects the actor may not read."""
    actor.require(Scope.TASKS_READ)
    statement = _select().where(
        Membership.project_id.in_(project_ids), projects.among_visible(Membership.project_id, actor)
    )
    rows = await session.all(pages_statement(statement, Membership.project_id.expression, OLDEST_FIRST, request))
    return make_pages(rows, _maker(actor), OLDEST_FIRST, request, project_ids)


async def count(session: Session, actor: Actor, project_id: int) -> int:
    """The number of members of a project that the actor may read."""
    return (await counts(session, actor, [project_id])).get(project_id, 0)


async def counts(session: Session, actor: Actor, project_ids: Collection[int]) -> Mapping[int, int]:
    """The number of members of each project that the actor may read."""
    actor.require(Scope.TASKS_READ)
    rows = await session.all(
        select(Membership.project_id, func.count())
        .where(Membership.project_id.in_(project_ids), projects.among_visible(Membership.project_id, actor))
        .group_by(Membership.project_id)
    )
    return {row[0]: row[1] for row in rows}


async def get(session: Session, actor: Actor, project_id: int, user_id: int) -> MemberRecord:
    """A member of a project that the actor may read. Raises ``NotFound``."""
    await projects.get(session, actor, project_id)
    row = await session.first(_select().where(Membership.project_id == project_id, Membership.user_id == user_id))
    if row is None:
        raise NotFound("Member")
    return _maker(actor)(row)


async def by_ids(session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, MemberRecord]:
    """Those of the memberships that are of projects the actor may read."""
    actor.require(Scope.TASKS_READ)
    rows = await session.all(
        _select().where(Membership.id.in_(ids), projects.among_visible(Membership.project_id, actor))
    )
    return {row.id: _maker(actor)(row) for row in rows}


async def _still_there(session: Session, actor: Actor, member: MemberRecord) -> MemberRecord:
    """What a repeat tells of a person who was added. Raises ``NotFound`` once the person is gone again."""
    actor.require(Scope.TASKS_READ)
    if not await by_ids(session, actor, [member.id]):
        raise NotFound("Member")
    return member._replace(user=member.user.seen_by(actor))


@repeatable("member.add", scope=Scope.PROJECTS_ADMIN, read=_still_there)
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
    values = {"project_id": project_id, "user_id": user_id, "role": data.role.value, "created_at": now()}
    await session.execute(insert(Membership).values(values))
    await _record(session, actor, "member.added", project, user_id, (None, data.role))
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
    await _record(session, actor, "member.updated", project, user_id, (member.role, data.role))
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
    await _record(session, actor, "member.removed", project, user_id, (member.role, None))


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
    session: Session, actor: Actor, kind: str, project: ProjectRecord, user_id: int, roles: tuple[Any, Any]
) -> None:
    changes = {"user_id": (user_id if roles[0] else None, user_id if roles[1] else None), "role": roles}
    await events.record(session, actor, events.NewEvent(kind, "member", user_id, changes, project_id=project.id))
