"""What operators do with accounts: make administrators, hand imported accounts to their people, shut accounts out."""

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from core.clock import now
from core.passwords import PasswordHasher
from db.engine import Database
from db.models import User
from db.sessions import Session
from services import events, failures
from services.actors import ALL_SCOPES, Actor
from services.authentication import announce_change
from services.errors import Conflict, NotFound
from services.inputs import Input
from services.text import fold_username
from services.users import commands, queries
from services.users.models import Email, Password, UserAdminUpdate, UserCreate, UserRecord

OPERATOR = Actor("system", is_admin=True, scopes=ALL_SCOPES)
"""Whoever may start commands on the server."""


class AccountClaim(Input):
    """Gives an imported account to its person."""

    email: Email
    password: Password


async def create_admin(database: Database, actor: Actor, data: UserCreate, *, hasher: PasswordHasher) -> UserRecord:
    """Create an administrator. Raises ``Conflict`` when the name or the address is taken, ``Forbidden``.

    Takes the database and not a session, here and below: a password is hashed before the transaction begins.
    """
    actor.require_admin()
    password_hash = await hasher.hash(data.password)
    async with database.writing() as session:
        user = await commands.create(session, actor, data, password_hash=password_hash)
        return await promote(session, actor, user.username)


async def promote(session: Session, actor: Actor, username: str) -> UserRecord:
    """Make an account an administrator; one that is stays so. Raises ``NotFound``, ``Forbidden``."""
    actor.require_admin()
    user = await by_username(session, username)
    if user.is_admin:
        return user
    await session.execute(update(User).where(User.id == user.id).values(is_admin=True, updated_at=now()))
    announce_change(session)
    changes = {"is_admin": (False, True)}
    event = events.NewEvent("user.updated", "user", user.id, changes)
    await events.record_for_account(session, actor, user.id, event)
    return user._replace(is_admin=True)


async def claim(
    database: Database, actor: Actor, username: str, data: AccountClaim, *, hasher: PasswordHasher
) -> UserRecord:
    """Give an account that nobody can log in to, for it was imported, an address and a password.

    Raises ``NotFound``, ``Forbidden``; ``Conflict`` where the account has a password, or somebody else the address.
    """
    actor.require_admin()
    password_hash = await hasher.hash(data.password)
    async with database.writing() as session:
        user = await by_username(session, username)
        taken = await session.scalar(select(User.id).where(User.email == data.email, User.id != user.id))
        if taken is not None:
            raise failures.taken("/email", message="The e-mail address is taken")
        try:
            claimed = await session.execute(
                update(User)
                .where(User.id == user.id, User.password_hash.is_(None))
                .values(email=data.email, password_hash=password_hash, updated_at=now())
            )
        except IntegrityError as error:
            raise failures.explain(error) or error from None
        if not claimed:
            raise Conflict(f"The account {user.username} has a password already: it was claimed, or never imported")
        # that there is an address is recorded; addresses are not kept in the log
        event = events.NewEvent("user.claimed", "user", user.id, {"email": (None, None)}, notify=False)
        await events.record_for_account(session, actor, user.id, event)
        return user._replace(email=data.email)


async def set_disabled(session: Session, actor: Actor, username: str, *, disabled: bool) -> UserRecord:
    """Shut an account out, with its sessions and keys, or let it in again. Raises ``NotFound``, ``Forbidden``."""
    actor.require_admin()
    user = await by_username(session, username)
    return await commands.admin_update(session, actor, user.id, UserAdminUpdate(disabled=disabled))


async def by_username(session: Session, username: str) -> UserRecord:
    """The account of a name, in any case. Raises ``NotFound``."""
    row = await session.first(select(*queries.COLUMNS).where(User.username_folded == fold_username(username)))
    if row is None:
        raise NotFound(f"Account {username}")
    return UserRecord._make(row)
