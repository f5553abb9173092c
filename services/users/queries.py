"""Reading accounts: the caller's own, and those that it may know of."""

from collections.abc import Collection, Mapping

from sqlalchemy import or_, select

from db.models import User
from db.models.projects import Membership
from db.sessions import AnySelect, Session
from db.statements import Prepared, among
from services.actors import Actor, Scope
from services.errors import NotFound
from services.pagination import Ordering, Page, PageRequest, SortKey, make_page, page_statement
from services.users.models import UserRecord, UserSummary

PUBLIC = frozenset(UserSummary.model_fields)
"""What everybody may see who knows of an account."""
COLUMNS = tuple(getattr(User, name) for name in UserRecord._fields)
PUBLIC_COLUMNS = tuple(column for column in COLUMNS if column.key in PUBLIC)
OLDEST_FIRST = Ordering(SortKey("id", User.id, User.id, kind="integer"), descending=False)


def _select() -> AnySelect:
    return select(*COLUMNS)


_BY_IDS = Prepared(_select().where(among(User.id, "ids")), UserRecord)


def visible(actor: Actor) -> AnySelect:
    """Accounts that the actor may know of: its own, and those it shares a project with. Administrators see all."""
    if actor.is_admin and Scope.ADMIN in actor.scopes:
        return _select()
    mine = select(Membership.project_id).where(Membership.user_id == actor.user_id)
    met = select(Membership.user_id).where(Membership.project_id.in_(mine))
    return _select().where(or_(User.id == actor.user_id, User.id.in_(met)))


async def me(session: Session, actor: Actor) -> UserRecord:
    """The caller's own account. Raises ``Unauthenticated``, or ``Forbidden`` for a key that belongs to none."""
    user_id = actor.require(Scope.TASKS_READ)
    row = await session.first(_select().where(User.id == user_id))
    if row is None:
        raise NotFound("User")
    return UserRecord._make(row)


async def get(session: Session, actor: Actor, user_id: int) -> UserRecord:
    """An account that the actor may know of. Raises ``NotFound``."""
    _require_reader(actor)
    row = await session.first(visible(actor).where(User.id == user_id))
    if row is None:
        raise NotFound("User")
    return UserRecord._make(row).seen_by(actor)


async def list_(session: Session, actor: Actor, request: PageRequest) -> Page[UserRecord]:
    """The accounts that the actor may know of, oldest first; every account for administrators."""
    _require_reader(actor)
    rows = await session.all(page_statement(visible(actor), OLDEST_FIRST, request))
    return make_page(rows, lambda row: UserRecord._make(row).seen_by(actor), OLDEST_FIRST, request)


async def count(session: Session, actor: Actor) -> int:
    """How many accounts the actor may know of."""
    _require_reader(actor)
    return await session.count(visible(actor))


async def by_ids(session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, UserRecord]:
    """Accounts for a batch of ids that the actor has read from things it may see. Missing ids are left out."""
    rows = await session.all(_BY_IDS(ids=ids))
    return {row.id: UserRecord._make(row).seen_by(actor) for row in rows}


async def known(session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, UserRecord]:
    """Those of the accounts that the actor may know of."""
    rows = await session.all(visible(actor).where(User.id.in_(ids)))
    return {row.id: UserRecord._make(row).seen_by(actor) for row in rows}


def _require_reader(actor: Actor) -> None:
    # an administrator's key may belong to no account
    if not (actor.is_admin and Scope.ADMIN in actor.scopes):
        actor.require(Scope.TASKS_READ)
