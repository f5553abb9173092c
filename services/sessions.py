"""Logins: access tokens, rotating refresh tokens, and the sessions that they belong to.

A refresh token works once (RFC 9700, section 4.14.2): whoever brings a spent one ends the whole session, for either the
token was stolen or its thief was faster.
"""

from datetime import datetime
from typing import Annotated, NamedTuple

from pydantic import Field
from sqlalchemy import ColumnElement, insert, select, update

from core.clock import now
from core.passwords import MAX_PASSWORD_LENGTH
from core.tokens import fingerprint, new_secret
from db.driver.database import Database
from db.driver.sessions import AnySelect, Session
from db.driver.statements import Prepared
from db.models import LoginSession, RefreshToken, User
from services.authentication import announce_change
from services.events import catalogue, log
from services.shared import node_ids
from services.shared.actors import ANONYMOUS, Actor
from services.shared.errors import Forbidden, NotFound, Unauthenticated
from services.shared.features import Feature, NodeType, Operation, Who
from services.shared.filters import Column, Filter, Filtering
from services.shared.inputs import Input, Text, absent
from services.shared.operators import TimestampFilter
from services.shared.outputs import CreatedAt, DatabaseId, NodeId, Output
from services.shared.pagination import Ordering, SortKey
from services.shared.reading import ListReader
from services.shared.security import Security
from services.users.models import LoginName, fold_login

BAD_LOGIN = "Incorrect username or password"
NOT_VERIFIED = "The e-mail address is not verified: use the token that was sent to it, or ask for another one"
BAD_REFRESH_TOKEN = "The refresh token is not valid"  # noqa: S105 - a message


LoginPassword = Annotated[
    Text,
    Field(
        min_length=1,
        max_length=MAX_PASSWORD_LENGTH,
        description="The password.",
        examples=["correct horse battery"],
    ),
]


class Login(Input):
    """A username (or e-mail address) and password."""

    username: LoginName
    password: LoginPassword


class RefreshTokenInput(Input):
    """A refresh token."""

    refresh_token: Annotated[
        Text, Field(max_length=200, description="The refresh token that came with the access token.")
    ]


class TokenOut(Output):
    """Tokens of a session, as OAuth 2.0 names them (RFC 6749, section 5.1)."""

    access_token: str = Field(description="A JWT for the Authorization header.")
    refresh_token: str = Field(description="Works once, for new tokens.")
    token_type: str = Field(description='Always "bearer".')
    expires_in: int = Field(description="The access token's lifetime in seconds.")


class SessionOut(Output):
    """A login on some device."""

    id: DatabaseId
    node_id: NodeId
    user_agent: str | None = Field(description="The User-Agent header of the login.")
    created_at: CreatedAt
    last_used_at: datetime = Field(description="When tokens were last issued, in UTC.")
    expires_at: datetime = Field(description="When it ends unless it is used, in UTC.")
    current: bool = Field(description="Whether the request belongs to this session.")


class SessionFilter(Filter):
    """Which of the caller's live sessions. Every condition given must hold."""

    created_at: TimestampFilter = Field(default_factory=absent, description="When the login was.")
    last_used_at: TimestampFilter = Field(default_factory=absent, description="When tokens were last issued.")
    expires_at: TimestampFilter = Field(default_factory=absent, description="When it ends unless it is used.")


class TokenPair(NamedTuple):
    """What a login answers: both tokens, and in how many seconds the access token expires (RFC 6749, section 5.1)."""

    access_token: str
    refresh_token: str
    expires_in: int
    token_type: str = "bearer"  # noqa: S105 - the type's name


class SessionRecord(NamedTuple):
    """A login as its owner reads it; ``current`` says whether the request belongs to it."""

    id: int
    user_agent: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: bool

    @property
    def node_id(self) -> str:
        return node_ids.encode("Session", self.id)


NEWEST_FIRST = Ordering(SortKey("id", LoginSession.id, LoginSession.id, kind="integer"), descending=True)


async def login(
    database: Database,
    actor: Actor,
    data: Login,
    *,
    security: Security,
    client: str = "",
    user_agent: str | None = None,
) -> TokenPair:
    """Open a session. Raises ``Unauthenticated`` (the same for an unknown name) and ``RateLimited``: for attempts of
    the ``client``, an address, and for those that failed (``services.allowances.login_failures``). ``Forbidden`` with
    the right password, where the server requires an address that is verified.

    Takes the database and not a session: verifying a password takes tens of milliseconds, outside of transactions.
    """
    await security.limits.check_login(client)  # in memory, before anything is read
    name, place = fold_login(data.username), security.failures.place(client)
    named = (User.username_folded == name) | (User.email == name)
    begun_here = select(LoginSession.id).where(LoginSession.user_id == User.id, LoginSession.place == place)
    account = User.id, User.password_hash, User.disabled, User.email, User.email_verified_at
    found = select(*account, begun_here.exists().label("known")).where(named)
    attempt = None
    while True:
        async with database.reading() as session:
            row = await session.first(found)
        if attempt is None:
            account_id, known = (row.id, bool(row.known)) if row else (None, False)
            attempt = await security.failures.begin(
                database, account_id=account_id, name=name, place=place, known=known
            )
        fits, replacement = await security.hasher.verify(data.password, row.password_hash if row else None)
        if row is None or not fits or row.disabled:
            raise Unauthenticated(BAD_LOGIN)
        async with database.writing() as session:
            # a password that was changed meanwhile has ended every session: it must be asked again for one more
            current = select(User.password_hash, User.disabled).where(User.id == row.id).with_for_update()
            if await session.first(current) != (row.password_hash, False):
                continue
            if replacement is not None:
                await session.execute(update(User).where(User.id == row.id).values(password_hash=replacement))
            await attempt.forget(session)
            if security.accounts.verification == "required" and row.email and row.email_verified_at is None:
                raise Forbidden(NOT_VERIFIED, keeps_changes=True)
            return await _open(session, security, user_id=row.id, user_agent=user_agent, place=place)


async def _open(session: Session, security: Security, *, user_id: int, user_agent: str | None, place: str) -> TokenPair:
    moment = now()
    values = {
        "user_id": user_id,
        "user_agent": _clean(user_agent),
        "created_at": moment,
        "last_used_at": moment,
        "expires_at": moment + security.refresh_lifetime,
        "place": place,
    }
    [(session_id,)] = await session.all(_BEGIN, [values])
    changes = log.created({"user_agent": _clean(user_agent)})
    event = log.NewEvent(catalogue.SESSION_CREATED, session_id, changes)
    await log.record_for_account(session, _bearer_of(user_id), user_id, event)
    return await _issue(session, security, user_id=user_id, session_id=session_id, moment=moment)


async def refresh(
    session: Session, actor: Actor, data: RefreshTokenInput, *, security: Security, client: str = ""
) -> TokenPair:
    """New tokens for a refresh token, which is spent by it. Raises ``Unauthenticated``, and ``RateLimited`` for the
    ``client``, an address.

    A spent token ends its session; that is committed although the call fails.
    """
    await security.limits.check_refresh(client)
    moment = now()
    spent = await session.first(
        update(RefreshToken)
        .where(RefreshToken.token_hash == fingerprint(data.refresh_token), RefreshToken.used_at.is_(None))
        .values(used_at=moment)
        .returning(RefreshToken.session_id)
    )
    if spent is None:
        reused = await session.scalar(
            select(RefreshToken.session_id).where(RefreshToken.token_hash == fingerprint(data.refresh_token))
        )
        if reused is None:
            raise Unauthenticated(BAD_REFRESH_TOKEN)
        await _end(session, ANONYMOUS, LoginSession.id == reused, reused=True)
        raise Unauthenticated(BAD_REFRESH_TOKEN, keeps_changes=True)
    enabled = select(User.id).where(User.id == LoginSession.user_id, User.disabled.is_(False))
    # in one statement: who ends the session, or disables its owner, waits for this or is waited for
    row = await session.first(
        update(LoginSession)
        .where(
            LoginSession.id == spent.session_id,
            LoginSession.ended_at.is_(None),
            LoginSession.expires_at > moment,
            enabled.exists(),
        )
        .values(last_used_at=moment, expires_at=moment + security.refresh_lifetime)
        .returning(LoginSession.user_id)
    )
    if row is None:
        raise Unauthenticated(BAD_REFRESH_TOKEN)
    return await _issue(session, security, user_id=row.user_id, session_id=spent.session_id, moment=moment)


async def revoke(
    session: Session, actor: Actor, data: RefreshTokenInput, *, security: Security, client: str = ""
) -> None:
    """End the session of a refresh token (RFC 7009): an unknown token is no error. Raises ``RateLimited``, in one count
    with ``refresh``: it takes no caller and writes."""
    await security.limits.check_refresh(client)
    family = select(RefreshToken.session_id).where(RefreshToken.token_hash == fingerprint(data.refresh_token))
    await _end(session, None, LoginSession.id.in_(family))


def visible(actor: Actor) -> AnySelect:
    """The caller's live sessions."""
    return select(
        LoginSession.id,
        LoginSession.user_agent,
        LoginSession.created_at,
        LoginSession.last_used_at,
        LoginSession.expires_at,
    ).where(LoginSession.user_id == actor.user_id, LoginSession.ended_at.is_(None), LoginSession.expires_at > now())


_READER = ListReader(
    "Session",
    visible,
    lambda row: SessionRecord._make((*row, False)),
    NEWEST_FIRST,
    require=Actor.require_login,
    shown=lambda record, actor: record._replace(current=record.id == actor.session_id),
    filtering=Filtering(
        SessionFilter,
        {
            "created_at": Column(LoginSession.created_at),
            "last_used_at": Column(LoginSession.last_used_at),
            "expires_at": Column(LoginSession.expires_at),
        },
    ),
)
by_ids, list_, count = _READER.by_ids, _READER.list_, _READER.count


async def end(session: Session, actor: Actor, session_id: int) -> None:
    """End one of the caller's sessions. Raises ``NotFound``."""
    user_id = actor.require_login()
    if not await _end(session, actor, (LoginSession.id == session_id) & (LoginSession.user_id == user_id)):
        raise NotFound("Session")


async def end_others(session: Session, actor: Actor) -> int:
    """End every session of the caller but this one. Returns how many there were."""
    user_id = actor.require_login()
    return await _end(session, actor, (LoginSession.user_id == user_id) & (LoginSession.id != actor.session_id))


async def end_all(session: Session, actor: Actor, user_id: int) -> int:
    """End every session of an account: for administrators. Returns how many there were."""
    actor.require_admin()
    return await _end(session, actor, LoginSession.user_id == user_id)


async def end_of_account(session: Session, actor: Actor | None, user_id: int) -> int:
    """End every session of an account whose password was set anew, or which is no more. Returns how many there were.

    Without an actor it is done by whoever holds a token for the account.
    """
    return await _end(session, actor, LoginSession.user_id == user_id)


async def _end(session: Session, actor: Actor | None, condition: ColumnElement[bool], *, reused: bool = False) -> int:
    """End sessions of one account; returns how many. Without an actor it is done by whoever holds a token of theirs."""
    moment = now()
    rows = await session.all(
        update(LoginSession)
        .where(condition, LoginSession.ended_at.is_(None))
        .values(ended_at=moment)
        .returning(LoginSession.id, LoginSession.user_id, LoginSession.expires_at)
    )
    if rows:  # or anybody with a made-up token could have every caller looked up anew
        announce_change(session)
    new = [log.NewEvent(catalogue.SESSION_TOKEN_REUSED, row.id, {}) for row in rows if reused]
    # one that has expired had ended before
    new += [log.NewEvent(catalogue.SESSION_ENDED, row.id, {}) for row in rows if row.expires_at > moment]
    for user_id in {row.user_id for row in rows}:
        await log.record_for_account(session, actor or _bearer_of(user_id), user_id, *new)
    return len(rows)


async def _issue(session: Session, security: Security, *, user_id: int, session_id: int, moment: datetime) -> TokenPair:
    secret = new_secret("tdr")
    row = {"session_id": session_id, "token_hash": fingerprint(secret), "created_at": moment}
    await session.execute(_KEEP_TOKEN, [row])
    access = security.tokens.issue(user_id=user_id, session_id=session_id)
    return TokenPair(access, secret, security.tokens.lifetime_seconds)


_BEGIN: Prepared[tuple[int]] = Prepared(
    insert(LoginSession).returning(LoginSession.id),
    tuple,
    keys=("user_id", "user_agent", "created_at", "last_used_at", "expires_at", "place"),
)
_KEEP_TOKEN = Prepared(insert(RefreshToken), keys=("session_id", "token_hash", "created_at"))


def _bearer_of(user_id: int) -> Actor:
    """Whoever has just brought the account's password, or one of its refresh tokens."""
    return Actor("anonymous", user_id=user_id)


def _clean(user_agent: str | None) -> str | None:
    return user_agent.replace("\x00", "")[:500] if user_agent else None


FEATURE = Feature(
    "sessions",
    operations=(
        Operation("create_token", "Mutation.login", Who.ANYBODY),
        Operation("refresh_token", "Mutation.refreshToken", Who.ANYBODY),
        Operation("revoke_token", "Mutation.revokeToken", Who.ANYBODY),
        Operation("list_sessions", "Query.sessions", Who.LOGIN),
        Operation("query_sessions", "Query.sessions", Who.LOGIN),
        Operation("end_session", "Mutation.endSession", Who.LOGIN),
    ),
    about="Logging in and out: access tokens, refresh tokens, sessions.",
    nodes=(NodeType("Session", by_ids, SessionOut, logins_only=True),),
)
