"""Accounts: registration, the caller's own profile, and what others see of it."""

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, NamedTuple
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, EmailStr, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from core.clock import now
from core.passwords import MAX_PASSWORD_LENGTH, PasswordHasher
from db.engine import Database
from db.models import Project, User
from db.models.projects import Membership
from db.sessions import AnySelect, Session
from db.statements import Prepared, among
from services import events, node_ids, sessions
from services.actors import Actor, Scope
from services.errors import BadUserInput, Conflict, NotFound, Problem
from services.inputs import Bool, Input, Line, Text, absent
from services.outputs import DatabaseId, NodeId, Output
from services.pagination import Ordering, Page, PageRequest, SortKey, make_page, page_statement

INBOX_KEY = "INBOX"


@lru_cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())


def _known_timezone(name: str) -> str:
    if name not in _timezones():
        raise PydanticCustomError("time_zone", "not a time zone of the IANA database, e.g. Europe/Vienna")
    return name


def _bare_address(value: object) -> object:
    if isinstance(value, str) and "<" in value:
        raise ValueError("must be the address alone, without a name")
    return value


Username = Annotated[
    str,
    Field(
        min_length=3,
        max_length=50,
        pattern=r"^[a-zA-Z0-9_]+$",
        description="3 to 50 letters, digits and underscores; unique whatever the case.",
        examples=["ada"],
    ),
]
Email = Annotated[
    EmailStr,
    BeforeValidator(_bare_address),
    AfterValidator(str.lower),
    Field(description="Unique; kept in lower case.", examples=["ada@example.com"]),
]
Password = Annotated[
    Text,
    Field(
        min_length=8,
        max_length=MAX_PASSWORD_LENGTH,
        description="At least 8 characters.",
        examples=["correct horse battery"],
    ),
]
FullName = Annotated[Line, Field(max_length=200, description="The name to show.", examples=["Ada Lovelace"])]
Timezone = Annotated[
    Text,
    AfterValidator(_known_timezone),
    Field(
        max_length=64,
        description="A time zone of the IANA database.",
        examples=["Europe/Vienna"],
        json_schema_extra={"format": "time-zone"},
    ),
]


class UserCreate(Input):
    """Registers an account."""

    username: Username
    email: Email
    password: Password
    full_name: FullName | None = Field(default_factory=absent)
    timezone: Timezone = "UTC"


class UserUpdate(Input):
    """Changes the caller's profile. Fields that are left out stay as they are."""

    email: Email = Field(default_factory=absent)
    full_name: FullName | None = Field(default_factory=absent)
    timezone: Timezone = Field(default_factory=absent)


class UserAdminUpdate(Input):
    """What an administrator may change of an account."""

    disabled: Bool = Field(
        default_factory=absent,
        description="A disabled account cannot log in, and its sessions and keys stop working.",
    )


class PasswordChange(Input):
    """Changes the caller's password and ends every other session."""

    current_password: Annotated[Text, Field(max_length=MAX_PASSWORD_LENGTH, description="The password in use.")]
    new_password: Password
    confirm_password: Annotated[Text, Field(max_length=MAX_PASSWORD_LENGTH, description="The new password again.")]


class UserSummary(Output):
    """What other people see of an account."""

    id: DatabaseId
    node_id: NodeId
    username: str = Field(description="The unique name.")
    full_name: str | None = Field(description="The name to show.")


class UserOut(UserSummary):
    """An account. What is private is null for everybody but its owner and administrators."""

    email: str | None = Field(description="Private. The e-mail address; null where an imported account is not claimed.")
    timezone: str | None = Field(description="Private. A time zone of the IANA database.")
    is_admin: bool | None = Field(description="Private. Whether the account administers the server.")
    disabled: bool | None = Field(description="Private. A disabled account cannot log in.")
    created_at: datetime | None = Field(description="Private. When it was created, in UTC.")


class UserRecord(NamedTuple):
    id: int
    username: str
    full_name: str | None
    email: str | None = None
    timezone: str | None = None
    is_admin: bool | None = None
    disabled: bool | None = None
    created_at: datetime | None = None

    @property
    def node_id(self) -> str:
        return node_ids.encode("User", self.id)

    def seen_by(self, actor: Actor) -> "UserRecord":
        """The record without what is private, unless it is the actor's own, or the actor an administrator."""
        if self.id == actor.user_id or (actor.is_admin and Scope.ADMIN in actor.scopes):
            return self
        return UserRecord(self.id, self.username, self.full_name)


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


async def register(database: Database, actor: Actor, data: UserCreate, *, hasher: PasswordHasher) -> UserRecord:
    """Create an account and its Inbox. Raises ``Conflict`` when the name or the address is taken.

    Takes the database and not a session: a password is hashed before the transaction begins, not within.
    """
    password_hash = await hasher.hash(data.password)
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
    except IntegrityError as error:
        # somebody else took it just now; both databases name the column
        raise _taken("/username" if "username_folded" in str(error.orig) else "/email") from None
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


async def me(session: Session, actor: Actor) -> UserRecord:
    """The caller's own account. Raises ``Unauthenticated``, or ``Forbidden`` for a key that belongs to none."""
    user_id = actor.require(Scope.TASKS_READ)
    row = await session.first(_select().where(User.id == user_id))
    if row is None:
        raise NotFound("User")
    return UserRecord._make(row)


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
    if user.disabled:
        await sessions.end_all(session, actor, user_id)  # or they would come back to life with the account
    return user


async def _update(session: Session, actor: Actor, user_id: int, values: dict[str, Any]) -> UserRecord:
    row = await session.first(_select().where(User.id == user_id).with_for_update())
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
    except IntegrityError:
        raise _taken("/email") from None
    public = {name: pair for name, pair in changes.items() if name != "email"}
    if "email" in changes:
        public["email"] = (None, None)  # that it changed is recorded; addresses are not kept in the log
    await events.record(session, actor, events.NewEvent("user.updated", "user", user_id, public))
    return UserRecord._make(row)


async def change_password(
    database: Database, actor: Actor, data: PasswordChange, *, security: sessions.Security
) -> UserRecord:
    """Set a new password and end the caller's other sessions.

    Raises ``BadUserInput`` where the confirmation differs, the new password is the old one, or the current one is
    wrong; ``RateLimited``, as guesses count like logins. Takes the database and not a session, as hashing happens
    outside of transactions.
    """
    user_id = actor.require_login()
    problems = []
    if data.confirm_password != data.new_password:
        problems.append(Problem("/confirm_password", "does not match the new password"))
    if data.new_password == data.current_password:
        problems.append(Problem("/new_password", "must differ from the current password"))
    if problems:
        raise BadUserInput("; ".join(f"{p.pointer}: {p.detail}" for p in problems), errors=problems)
    await security.limits.check_login(f"user:{user_id}", f"user:{user_id}")
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
        await sessions.end_others(session, actor)
        await events.record(session, actor, events.NewEvent("user.password_changed", "user", user_id, {}))
        return await me(session, actor)


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


_BY_IDS = Prepared(_select().where(among(User.id, "ids")), UserRecord)


async def known(session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, UserRecord]:
    """Those of the accounts that the actor may know of."""
    rows = await session.all(visible(actor).where(User.id.in_(ids)))
    return {row.id: UserRecord._make(row).seen_by(actor) for row in rows}


def _require_reader(actor: Actor) -> None:
    # an administrator's key may belong to no account
    if not (actor.is_admin and Scope.ADMIN in actor.scopes):
        actor.require(Scope.TASKS_READ)


async def _refuse_taken(session: Session, *, username: str | None = None, email: str | None = None) -> None:
    conditions = []
    if username is not None:
        conditions.append(User.username_folded == username.lower())
    if email is not None:
        conditions.append(User.email == email)
    rows = await session.all(select(User.username_folded, User.email).where(or_(*conditions)))
    taken = []
    if username is not None and any(row.username_folded == username.lower() for row in rows):
        taken.append("/username")
    if email is not None and any(row.email == email for row in rows):
        taken.append("/email")
    if taken:
        raise _taken(*taken)


def _taken(*pointers: str) -> Conflict:
    problems = [Problem(pointer, "is taken", "taken") for pointer in pointers]
    return Conflict("; ".join(f"{problem.pointer}: {problem.detail}" for problem in problems), errors=problems)


def _as_self(actor: Actor, user_id: int) -> Actor:
    return Actor(actor.method, user_id=user_id) if actor.method == "anonymous" else actor
