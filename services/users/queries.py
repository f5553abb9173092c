"""Reading accounts: the caller's own, those that it may know of, and those that are named by what it may read.

Somebody who has left every project that the actor is in is not known to it any more, but still the author of a comment
there: with the comment, and only with it, the actor is shown who that is. Such accounts are read by the things that
name them (``People``), in statements that check the things.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import cast

from sqlalchemy import or_, select

from db.driver.sessions import AnyRow, AnySelect, Session
from db.driver.statements import Prepared
from db.models import User
from db.models.projects import Membership
from services.projects.queries import project_ids
from services.shared.actors import Actor, Scope
from services.shared.errors import NotFound
from services.shared.filters import Filtering, FoldedText
from services.shared.pagination import Ordering, SortKey
from services.shared.reading import ListReader
from services.shared.text import fold_username
from services.users.models import UserFilter, UserRecord, UserSummary

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
    met = select(Membership.user_id).where(Membership.project_id.in_(project_ids(actor)))
    return _select().where(or_(User.id == actor.user_id, User.id.in_(met)))


async def me(session: Session, actor: Actor) -> UserRecord:
    """The caller's own account. Raises ``Unauthenticated``, or ``Forbidden`` for a key that belongs to none."""
    user_id = actor.require(Scope.TASKS_READ)
    row = await session.first(_select().where(User.id == user_id))
    if row is None:
        raise NotFound("User")
    return UserRecord._make(row)


def _require_reader(actor: Actor) -> None:
    # an administrator's key may belong to no account
    if not (actor.is_admin and Scope.ADMIN in actor.scopes):
        actor.require(Scope.TASKS_READ)


_READER = ListReader(
    "User",
    visible,
    UserRecord._make,
    OLDEST_FIRST,
    require=_require_reader,
    shown=UserRecord.seen_by,
    # of what everybody is shown alone: a filter would tell the rest
    filtering=Filtering(UserFilter, {"username": FoldedText(User.username, User.username_folded, fold_username)}),
)
get, list_, count, by_ids = _READER.get, _READER.list_, _READER.count, _READER.by_ids


class People:
    """The accounts that things name: what is read of them by a statement that answers only what the actor may read.

    ``named`` makes it, with parameters for the ``ids`` of the things and for the caller: of rows of a thing's id and
    the columns of an account.
    """

    def __init__(self, named: Callable[[Iterable[object]], AnySelect]) -> None:
        self._all = Prepared(named(COLUMNS))
        self._public: Prepared[AnyRow] = Prepared(named(PUBLIC_COLUMNS), cast(type[AnyRow], tuple))

    def reading(self, wanted: Collection[str] | None) -> Prepared[AnyRow]:
        """The statement; where only public attributes are ``wanted``, one that reads nothing private."""
        return self._public if wanted is not None and PUBLIC.issuperset(wanted) else self._all

    async def of_each(
        self, session: Session, actor: Actor, ids: Collection[int], wanted: Collection[str] | None, **values: object
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
