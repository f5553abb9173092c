"""What operators do with accounts: make administrators, hand imported accounts to their people, shut accounts out."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from core.clock import now
from core.passwords import PasswordHasher
from db.driver.database import Database
from db.driver.sessions import Session
from db.models import User
from services import email_verifications, invitations, password_resets
from services.authentication import announce_change
from services.events import catalogue, log
from services.shared import database_errors
from services.shared.actors import ALL_SCOPES, Actor
from services.shared.errors import Conflict, NotFound
from services.shared.inputs import Input
from services.shared.text import fold_username
from services.users import commands, queries
from services.users.models import Email, Password, UserAdminUpdate, UserCreate, UserRecord

OPERATOR = Actor("system", is_admin=True, scopes=ALL_SCOPES)
"""Whoever may start commands on the server."""


class NewPassword(Input):
    """Sets the password of an account."""

    password: Password


class Invitation(Input):
    """Invites somebody to register."""

    email: Email | None = None


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
        await email_verifications.mark(session, actor, user.id, user.email)
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
    event = log.NewEvent(catalogue.USER_UPDATED, user.id, changes)
    await log.record_for_account(session, actor, user.id, event)
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
            raise database_errors.taken("/email", message="The e-mail address is taken")
        try:
            claimed = await session.execute(
                update(User)
                .where(User.id == user.id, User.password_hash.is_(None))
                .values(email=data.email, password_hash=password_hash, updated_at=now())
            )
        except IntegrityError as error:
            raise database_errors.explain(error) or error from None
        if not claimed:
            raise Conflict(f"The account {user.username} has a password already: it was claimed, or never imported")
        # that there is an address is recorded; addresses are not kept in the log
        event = log.NewEvent(catalogue.USER_CLAIMED, user.id, {"email": (None, None)}, notify=False)
        await log.record_for_account(session, actor, user.id, event)
        await email_verifications.mark(session, actor, user.id, data.email)
        return user._replace(email=data.email)


async def set_password(
    database: Database, actor: Actor, username: str, data: NewPassword, *, hasher: PasswordHasher
) -> UserRecord:
    """Give an account another password, and end its sessions. Raises ``NotFound``, ``Forbidden``; ``Conflict`` for one
    that is disabled."""
    actor.require_admin()
    password_hash = await hasher.hash(data.password)
    async with database.writing() as session:
        user = await by_username(session, username)
        if not await password_resets.set_password(session, actor, user.id, password_hash):
            raise Conflict(f"The account {user.username} is disabled: enable it first")
        return user


async def verify_email(session: Session, actor: Actor, username: str) -> UserRecord:
    """Vouch for an account's address. Raises ``NotFound``, ``Forbidden``; ``Conflict`` for one that is disabled or has
    none."""
    actor.require_admin()
    user = await by_username(session, username)
    if user.email is None or not await email_verifications.mark(session, actor, user.id, user.email):
        raise Conflict(f"The account {user.username} is disabled, or has no address")
    return user


async def reset_token(session: Session, actor: Actor, username: str, *, lifetime: timedelta) -> str:
    """A token with which the owner of an account sets a new password. Raises ``NotFound``, ``Forbidden``; ``Conflict``
    for one that is disabled."""
    actor.require_admin()
    user = await by_username(session, username)
    if user.disabled:
        raise Conflict(f"The account {user.username} is disabled: enable it first")
    return await password_resets.make(session, actor, user.id, lifetime)


async def invite(session: Session, actor: Actor, data: Invitation, *, lifetime: timedelta) -> str:
    """An invitation to register, for whoever has it, or for the owner of an address. Raises ``Forbidden``."""
    actor.require_admin()
    return await invitations.make(session, lifetime=lifetime, email=data.email)


async def list_(session: Session, actor: Actor) -> Sequence[UserRecord]:
    """All accounts, oldest first. Raises ``Forbidden``."""
    actor.require_admin()
    return [UserRecord._make(row) for row in await session.all(select(*queries.COLUMNS).order_by(User.id))]


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
