"""Reading accounts: the caller's own, those that it may know of, and those that are named by what it may read.

Somebody who has left every project that the actor is in is not known to it any more, but still the author of a comment
there: with the comment, and only with it, the actor is shown who that is. Such accounts are read by the things that
name them (``People``), in statements that check the things.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import or_, select

from db.models import User
from db.models.projects import Membership
from db.sessions import AnySelect, Session
from db.statements import Prepared
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
    """Those of the accounts that the actor may know of."""
    _require_reader(actor)
    rows = await session.all(visible(actor).where(User.id.in_(ids)))
    return {row.id: UserRecord._make(row).seen_by(actor) for row in rows}


class People:
    """The accounts that things name: what is read of them by a statement that answers only what the actor may read.

    ``named`` makes it, with parameters for the ``ids`` of the things and for the caller: of rows of a thing's id and
    the columns of an account.
    """

    def __init__(self, named: Callable[[Iterable[Any]], AnySelect]) -> None:
        self._all: Prepared[Any] = Prepared(named(COLUMNS))
        self._public: Prepared[Any] = Prepared(named(PUBLIC_COLUMNS), tuple)

    def reading(self, wanted: Collection[str] | None) -> Prepared[Any]:
        """The statement; where only public attributes are ``wanted``, one that reads nothing private."""
        return self._public if wanted is not None and PUBLIC.issuperset(wanted) else self._all

    async def of_each(
        self, session: Session, actor: Actor, ids: Collection[int], wanted: Collection[str] | None, **values: Any
    ) -> Mapping[int, UserRecord]:
        """The account that each thing names, where it names one at most; a thing that names none is left out."""
        actor.require(Scope.TASKS_READ)
        rows = await session.all(self.reading(wanted)(caller_id=actor.user_id, ids=ids, **values))
        known: dict[int, UserRecord] = {}
        found: dict[int, UserRecord] = {}
        for row in rows:
            person = known.get(row[1])
            if person is None:
                person = known[row[1]] = UserRecord(*row[1:]).seen_by(actor)
            found[row[0]] = person
        return found


def _require_reader(actor: Actor) -> None:
    # an administrator's key may belong to no account
    if not (actor.is_admin and Scope.ADMIN in actor.scopes):
        actor.require(Scope.TASKS_READ)
