"""Changing accounts: registration, profile, password, and what administrators change."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from sqlalchemy import insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from core.clock import now
from core.passwords import prepared
from db.driver.database import Database
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.models import Project, User
from services import email_verifications, invitations, sessions
from services.allowances.rate_limits import RateLimits
from services.authentication import announce_change
from services.events import catalogue, log
from services.projects.memberships import insert_members
from services.projects.models import Role
from services.shared import probes
from services.shared.actors import Actor, Scope
from services.shared.database_errors import explain, taken
from services.shared.errors import BadUserInput, Conflict, NotFound, Problem
from services.shared.security import Security
from services.users.models import PasswordChange, UserAdminUpdate, UserCreate, UserRecord, UserUpdate
from services.users.queries import COLUMNS, me

INBOX_KEY = "INBOX"
_OF_SECURITY = frozenset({"disabled", "email", "is_admin"})
"""What is changed here and concerns the security of an account; an address is one that logs in."""


async def register(
    database: Database, actor: Actor, data: UserCreate, *, security: Security, client: str = ""
) -> UserRecord:
    """Create an account and its Inbox. Raises ``Conflict`` when the name or the address is taken; unless the caller
    administers the server, ``RateLimited`` for the ``client``, an address, and ``Forbidden`` where the server takes
    nobody, or those alone who are invited. ``BadUserInput`` for an invitation that does not work (any more).

    Takes the database and not a session: a password is hashed before the transaction begins, not within.
    """
    if not (actor.is_admin and Scope.ADMIN in actor.scopes):
        await security.limits.check_registration(client)
        invitations.require(security.accounts.registration, data)
    async with database.reading() as session:
        await invitations.check(session, data)
    password_hash = await security.hasher.hash(data.password)
    async with database.writing() as session:
        await invitations.accept(session, data)
        user = await create(session, actor, data, password_hash=password_hash)
    email_verifications.send(database, security, user.id)
    return user


async def create(
    session: Session, actor: Actor, data: UserCreate, *, password_hash: str | None, is_admin: bool = False
) -> UserRecord:
    """As ``register``, with the hash already made."""
    await _refuse_taken(session, username=data.username, email=data.email)
    values = account_row(data.username, data.full_name, data.timezone)
    values |= {"email": data.email, "password_hash": password_hash, "is_admin": is_admin}
    try:
        [user] = await session.all(_CREATE, [values])
    except IntegrityError as error:  # somebody else took it just now
        raise explain(error) or error from None
    await make_inboxes(session, [user.id])
    changes = log.created({"username": user.username, "full_name": user.full_name, "timezone": user.timezone})
    await log.record(session, _as_self(actor, user.id), log.NewEvent(catalogue.USER_CREATED, user.id, changes))
    return user


_CREATE = Prepared(
    insert(User).returning(*COLUMNS),
    UserRecord,
    keys=(
        *("username", "username_folded", "full_name", "timezone", "created_at", "updated_at"),
        *("email", "password_hash", "is_admin"),
    ),
)


def account_row(username: str, full_name: str | None, timezone: str) -> dict[str, object]:
    """The columns that every new account has, made now."""
    moment = now()
    return {
        "username": username,
        "username_folded": username.lower(),
        "full_name": full_name,
        "timezone": timezone,
        "created_at": moment,
        "updated_at": moment,
    }


async def make_inboxes(session: Session, user_ids: Sequence[int]) -> None:
    """Create the personal projects that the tasks of new users go to by default."""
    moment = now()
    rows = [
        {"key": INBOX_KEY, "name": "Inbox", "inbox_of_id": user_id, "created_at": moment, "updated_at": moment}
        for user_id in user_ids
    ]
    inboxes = sorted(await session.all(_INBOXES, rows))
    await insert_members(session, [(project_id, user_id, Role.OWNER) for project_id, user_id in inboxes])


_INBOXES: Prepared[tuple[int, int]] = Prepared(
    insert(Project).returning(Project.id, Project.inbox_of_id),
    tuple,
    keys=("key", "name", "inbox_of_id", "created_at", "updated_at"),
)


async def update_me(
    session: Session,
    actor: Actor,
    data: UserUpdate,
    *,
    limits: RateLimits,
    changed_email: Callable[[int], None] | None = None,
) -> UserRecord:
    """Change the caller's profile; ``changed_email`` is called after the commit where the address differs.

    Raises ``Conflict`` when the address is taken, and ``RateLimited`` where the account has had as many such answers as
    ``limits`` lets it.
    """
    user_id = actor.require_login()
    async with probes.bounded(limits, actor):
        return await _update(session, actor, user_id, data.sent(), changed_email)


async def admin_update(session: Session, actor: Actor, user_id: int, data: UserAdminUpdate) -> UserRecord:
    """Change an account as an administrator. Raises ``Forbidden``, ``NotFound``."""
    actor.require_admin()
    if user_id == actor.user_id and data.sent().get("disabled"):
        raise BadUserInput.at("/disabled", "you cannot disable your own account")
    user = await _update(session, actor, user_id, data.sent())
    announce_change(session)
    if user.disabled:
        await sessions.end_all(session, actor, user_id)  # or they would come back to life with the account
    return user


async def _update(
    session: Session,
    actor: Actor,
    user_id: int,
    values: dict[str, object],
    changed_email: Callable[[int], None] | None = None,
) -> UserRecord:
    row = await session.first(select(*COLUMNS).where(User.id == user_id).with_for_update())
    if row is None:
        raise NotFound("User")
    before = UserRecord._make(row)
    changes = log.differences(before._asdict(), values)
    if not changes:
        return before
    unverified: dict[str, object] = {}
    if "email" in changes:
        await _refuse_taken(session, email=cast(str | None, values["email"]))
        unverified["email_verified_at"] = None
        if changed_email is not None:
            session.after_commit(partial(changed_email, user_id))
    try:
        row = await session.one(
            update(User)
            .where(User.id == user_id)
            .values({name: values[name] for name in changes} | unverified | {"updated_at": now()})
            .returning(*COLUMNS)
        )
    except IntegrityError as error:
        raise explain(error) or error from None
    public = {name: pair for name, pair in changes.items() if name != "email"}
    if "email" in changes:
        public["email"] = (None, None)  # that it changed is recorded; addresses are not kept in the log
    if "timezone" in changes:
        announce_change(session)
    event = log.NewEvent(catalogue.USER_UPDATED, user_id, public)
    if _OF_SECURITY.isdisjoint(changes):
        await log.record(session, actor, event)
    else:
        await log.record_for_account(session, actor, user_id, event)
    return UserRecord._make(row)


async def change_password(database: Database, actor: Actor, data: PasswordChange, *, security: Security) -> UserRecord:
    """Set a new password and end the caller's other sessions.

    Raises ``BadUserInput`` where the confirmation differs, the new password is the old one, or the current one is
    wrong; ``RateLimited``, as guesses count like failed logins, for the session. Takes the database and not a session,
    as hashing happens outside of transactions.
    """
    user_id = actor.require_login()
    problems = []
    if prepared(data.confirm_password) != data.new_password:
        problems.append(Problem("/confirm_password", "does not match the new password"))
    if data.new_password == prepared(data.current_password):
        problems.append(Problem("/new_password", "must differ from the current password"))
    if problems:
        raise BadUserInput(errors=problems)
    await security.limits.check_password_change(user_id)
    attempt = await security.failures.begin_password_change(database, account_id=user_id, session_id=actor.session_id)
    async with database.reading() as session:
        stored = await session.scalar(select(User.password_hash).where(User.id == user_id))
    fits, _ = await security.hasher.verify(data.current_password, stored)
    if not fits:
        raise BadUserInput.at("/current_password", "is not the current password")
    password_hash = await security.hasher.hash(data.new_password)
    async with database.writing() as session:
        changed = await session.execute(
            update(User)
            .where(User.id == user_id, User.password_hash == stored)
            .values(password_hash=password_hash, updated_at=now())
        )
        if not changed:
            raise Conflict("The password was changed by someone else in the meantime")
        await attempt.forget(session)
        await sessions.end_others(session, actor)
        event = log.NewEvent(catalogue.USER_PASSWORD_CHANGED, user_id, {})
        await log.record_for_account(session, actor, user_id, event)
        return await me(session, actor)


async def _refuse_taken(session: Session, *, username: str | None = None, email: str | None = None) -> None:
    conditions = []
    if username is not None:
        conditions.append(User.username_folded == username.lower())
    if email is not None:
        conditions.append(User.email == email)
    rows = await session.all(select(User.username_folded, User.email).where(or_(*conditions)))
    pointers = []
    if username is not None and any(row.username_folded == username.lower() for row in rows):
        pointers.append("/username")
    if email is not None and any(row.email == email for row in rows):
        pointers.append("/email")
    if pointers:
        raise taken(*pointers)


def _as_self(actor: Actor, user_id: int) -> Actor:
    return Actor(actor.method, user_id=user_id) if actor.method == "anonymous" else actor
