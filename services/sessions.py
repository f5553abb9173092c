"""Logins: access tokens, rotating refresh tokens, and the sessions that they belong to.

A refresh token works once (RFC 9700, section 4.14.2): whoever brings a spent one ends the whole session, for either the
token was stolen or its thief was faster.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, NamedTuple

from pydantic import Field
from sqlalchemy import ColumnElement, insert, select, update

from core.clock import now
from core.passwords import MAX_PASSWORD_LENGTH, PasswordHasher
from core.tokens import AccessTokens, fingerprint, new_secret
from db.engine import Database
from db.models import LoginSession, RefreshToken, User
from db.sessions import AnySelect, Session
from services import events, node_ids
from services.actors import ANONYMOUS, Actor
from services.authentication import announce_change
from services.errors import NotFound, Unauthenticated
from services.inputs import Input, Text
from services.login_failures import LoginFailures
from services.outputs import CreatedAt, DatabaseId, NodeId, Output
from services.pagination import Ordering, Page, PageRequest, SortKey, make_page, page_statement
from services.rate_limits import RateLimits
from services.users.models import fold_login

BAD_LOGIN = "Incorrect username or password"
BAD_REFRESH_TOKEN = "The refresh token is not valid"  # noqa: S105 - a message


LoginName = Annotated[
    Text,
    Field(min_length=1, max_length=254, description="The username or the e-mail address.", examples=["ada"]),
]
LoginPassword = Annotated[
    Text,
    Field(
        min_length=1,
        max_length=MAX_PASSWORD_LENGTH,
        description="The password.",
        examples=["correct horse battery"],
    ),
]


@dataclass(frozen=True, slots=True)
class Security:
    """What logins are made with: keys, hashes, lifetimes and limits."""

    tokens: AccessTokens
    hasher: PasswordHasher
    refresh_lifetime: timedelta
    limits: RateLimits
    failures: LoginFailures


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


class TokenPair(NamedTuple):
    access_token: str
    refresh_token: str
    expires_in: int
    token_type: str = "bearer"  # noqa: S105 - the type's name


class SessionRecord(NamedTuple):
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
    the ``client``, an address, and for those that failed (``services.login_failures``).

    Takes the database and not a session: verifying a password takes tens of milliseconds, outside of transactions.
    """
    await security.limits.check_login(client)  # in memory, before anything is read
    name, place = fold_login(data.username), security.failures.place(client)
    named = (User.username_folded == name) | (User.email == name)
    begun_here = select(LoginSession.id).where(LoginSession.user_id == User.id, LoginSession.place == place)
    found = select(User.id, User.password_hash, User.disabled, begun_here.exists().label("known")).where(named)
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
            return await _open(session, security, user_id=row.id, user_agent=user_agent, place=place)


async def _open(session: Session, security: Security, *, user_id: int, user_agent: str | None, place: str) -> TokenPair:
    moment = now()
    session_id = await session.scalar(
        insert(LoginSession)
        .values(
            user_id=user_id,
            user_agent=_clean(user_agent),
            created_at=moment,
            last_used_at=moment,
            expires_at=moment + security.refresh_lifetime,
            place=place,
        )
        .returning(LoginSession.id)
    )
    changes = events.created({"user_agent": _clean(user_agent)})
    event = events.NewEvent("session.created", "session", session_id, changes)
    await events.record_for_account(session, _bearer_of(user_id), user_id, event)
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


def _live(user_id: int) -> AnySelect:
    return select(
        LoginSession.id,
        LoginSession.user_agent,
        LoginSession.created_at,
        LoginSession.last_used_at,
        LoginSession.expires_at,
    ).where(LoginSession.user_id == user_id, LoginSession.ended_at.is_(None), LoginSession.expires_at > now())


async def list_(session: Session, actor: Actor, request: PageRequest) -> Page[SessionRecord]:
    """The caller's live sessions, newest first."""
    user_id = actor.require_login()
    rows = await session.all(page_statement(_live(user_id), NEWEST_FIRST, request))
    return make_page(rows, lambda row: SessionRecord._make((*row, row.id == actor.session_id)), NEWEST_FIRST, request)


async def by_ids(session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, SessionRecord]:
    """Those that are live sessions of the caller."""
    rows = await session.all(_live(actor.require_login()).where(LoginSession.id.in_(ids)))
    return {row.id: SessionRecord._make((*row, row.id == actor.session_id)) for row in rows}


async def count(session: Session, actor: Actor) -> int:
    """How many live sessions the caller has."""
    user_id = actor.require_login()
    return await session.count(_live(user_id))


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
    new = [events.NewEvent("session.token_reused", "session", row.id, {}) for row in rows if reused]
    # one that has expired had ended before
    new += [events.NewEvent("session.ended", "session", row.id, {}) for row in rows if row.expires_at > moment]
    for user_id in {row.user_id for row in rows}:
        await events.record_for_account(session, actor or _bearer_of(user_id), user_id, *new)
    return len(rows)


async def _issue(session: Session, security: Security, *, user_id: int, session_id: int, moment: datetime) -> TokenPair:
    secret = new_secret("tdr")
    await session.execute(
        insert(RefreshToken).values(session_id=session_id, token_hash=fingerprint(secret), created_at=moment)
    )
    access = security.tokens.issue(user_id=user_id, session_id=session_id)
    return TokenPair(access, secret, security.tokens.lifetime_seconds)


def _bearer_of(user_id: int) -> Actor:
    """Whoever has just brought the account's password, or one of its refresh tokens."""
    return Actor("anonymous", user_id=user_id)


def _clean(user_agent: str | None) -> str | None:
    return user_agent.replace("\x00", "")[:500] if user_agent else None
