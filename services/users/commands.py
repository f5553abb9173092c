"""Changing accounts: registration, profile, password, and what administrators change."""

from typing import Any

from sqlalchemy import insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from core.clock import now
from core.passwords import prepared
from db.engine import Database
from db.models import Project, User
from db.models.projects import Membership
from db.sessions import Session
from services import events, sessions
from services.actors import Actor, Scope
from services.authentication import announce_change
from services.errors import BadUserInput, Conflict, NotFound, Problem
from services.failures import explain, taken
from services.users.models import PasswordChange, UserAdminUpdate, UserCreate, UserRecord, UserUpdate
from services.users.queries import COLUMNS, me

INBOX_KEY = "INBOX"
_OF_SECURITY = frozenset({"disabled", "email", "is_admin"})
"""What is changed here and concerns the security of an account; an address is one that logs in."""


async def register(
    database: Database, actor: Actor, data: UserCreate, *, security: sessions.Security, client: str = ""
) -> UserRecord:
    """Create an account and its Inbox. Raises ``Conflict`` when the name or the address is taken, and ``RateLimited``
    for the ``client``, an address, unless the caller administers the server.

    Takes the database and not a session: a password is hashed before the transaction begins, not within.
    """
    if not (actor.is_admin and Scope.ADMIN in actor.scopes):
        await security.limits.check_registration(client)
    password_hash = await security.hasher.hash(data.password)
    async with database.writing() as session:
        return await create(session, actor, data, password_hash=password_hash)


async def create(
    session: Session, actor: Actor, data: UserCreate, *, password_hash: str | None, is_admin: bool = False
) -> UserRecord:
    """As ``register``, with the hash already made."""
    await _refuse_taken(session, username=data.username, email=data.email)
    moment = now()
    values = {
        "username": data.username,
        "username_folded": data.username.lower(),
        "email": data.email,
        "full_name": data.full_name,
        "timezone": data.timezone,
        "password_hash": password_hash,
        "is_admin": is_admin,
        "created_at": moment,
        "updated_at": moment,
    }
    try:
        row = await session.one(insert(User).values(values).returning(*COLUMNS))
    except IntegrityError as error:  # somebody else took it just now
        raise explain(error) or error from None
    user = UserRecord._make(row)
    await make_inbox(session, user.id)
    changes = events.created({"username": user.username, "full_name": user.full_name, "timezone": user.timezone})
    await events.record(session, _as_self(actor, user.id), events.NewEvent("user.created", "user", user.id, changes))
    return user


async def make_inbox(session: Session, user_id: int) -> None:
    """Create the personal project that a user's tasks go to by default."""
    moment = now()
    project_id = await session.scalar(
        insert(Project)
        .values(key=INBOX_KEY, name="Inbox", inbox_of_id=user_id, created_at=moment, updated_at=moment)
        .returning(Project.id)
    )
    await session.execute(
        insert(Membership).values(project_id=project_id, user_id=user_id, role="owner", created_at=moment)
    )


async def update_me(session: Session, actor: Actor, data: UserUpdate) -> UserRecord:
    """Change the caller's profile. Raises ``Conflict`` when the address is taken."""
    user_id = actor.require_login()
    return await _update(session, actor, user_id, data.sent())


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


async def _update(session: Session, actor: Actor, user_id: int, values: dict[str, Any]) -> UserRecord:
    row = await session.first(select(*COLUMNS).where(User.id == user_id).with_for_update())
    if row is None:
        raise NotFound("User")
    before = UserRecord._make(row)
    changes = events.differences(before._asdict(), values)
    if not changes:
        return before
    if "email" in changes:
        await _refuse_taken(session, email=values["email"])
    try:
        row = await session.one(
            update(User)
            .where(User.id == user_id)
            .values({name: values[name] for name in changes} | {"updated_at": now()})
            .returning(*COLUMNS)
        )
    except IntegrityError as error:
        raise explain(error) or error from None
    public = {name: pair for name, pair in changes.items() if name != "email"}
    if "email" in changes:
        public["email"] = (None, None)  # that it changed is recorded; addresses are not kept in the log
    event = events.NewEvent("user.updated", "user", user_id, public)
    if _OF_SECURITY.isdisjoint(changes):
        await events.record(session, actor, event)
    else:
        await events.record_for_account(session, actor, user_id, event)
    return UserRecord._make(row)


async def change_password(
    database: Database, actor: Actor, data: PasswordChange, *, security: sessions.Security
) -> UserRecord:
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
        raise BadUserInput("; ".join(f"{p.pointer}: {p.detail}" for p in problems), errors=problems)
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
        event = events.NewEvent("user.password_changed", "user", user_id, {})
        await events.record_for_account(session, actor, user_id, event)
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
