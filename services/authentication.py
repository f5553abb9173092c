"""From a credential to an Actor, the same for REST, GraphQL and WebSocket.

What the database says of a session or key is remembered for at most a second, so logout, a changed password and a
disabled account act on every worker within that time while a busy client costs no query per request. On the worker that
commits such a change it acts at once: services announce it (``announce_change``).
"""

import hmac
import time
from collections import OrderedDict
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import and_, or_, select, update

from core.clock import now
from core.deadlines import name_caller
from core.tokens import AccessTokens, ExpiredToken, InvalidToken, fingerprint
from db.driver.database import Database
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.models import ApiKey, LoginSession, User
from services.shared.actors import ALL_SCOPES, ANONYMOUS, SERVER_KEY, Actor, Scope, widen
from services.shared.errors import Forbidden, Unauthenticated
from services.shared.limited_keys import LimitedOwner
from services.shared.statements import parameter

CALLERS_CHANGED = "callers changed"
MEMORY_SECONDS = 1.0
MAX_REMEMBERED = 10_000
KEY_USE_RESOLUTION = timedelta(minutes=1)
MAX_KEY_LENGTH = 200

Slot = tuple[str, str | int]

_SESSION = Prepared(
    select(User.is_admin, User.timezone)
    .join(LoginSession, LoginSession.user_id == User.id)
    .where(
        LoginSession.id == parameter("session_id"),
        LoginSession.ended_at.is_(None),
        LoginSession.expires_at > parameter("moment"),
        User.id == parameter("user_id"),
        User.disabled.is_(False),
    )
)


class Credentials(NamedTuple):
    """What a request brought: the Authorization header's text and the X-API-Key."""

    authorization: str | None = None
    api_key: str | None = None


def announce_change(session: Session) -> None:
    """Say that somebody may do less, or more, once the transaction is committed: a session that has ended, a key that
    is deleted, an account that is disabled; or that his days are those of another time zone."""
    session.announce(CALLERS_CHANGED)


class Authenticator:
    """Turns credentials into an Actor. An X-API-Key, where there is one, decides; else the bearer token does."""

    def __init__(self, database: Database, tokens: AccessTokens, *, server_key: str | None) -> None:
        self._database = database
        self._tokens = tokens
        self._server_key = server_key.encode() if server_key else None
        self._remembered: OrderedDict[Slot, tuple[float, Actor | None]] = OrderedDict()
        self._generation = 0
        database.listen(CALLERS_CHANGED, self.forget)

    async def authenticate(self, credentials: Credentials) -> Actor:
        """The caller. No credentials make an anonymous one.

        Raises ``Unauthenticated`` for a token that is not valid (any more), ``Forbidden`` for such an API key.
        """
        if credentials.api_key is not None:
            return await self._by_key(credentials.api_key)
        if credentials.authorization is not None:
            return await self._by_token(credentials.authorization)
        return ANONYMOUS

    async def still(self, actor: Actor, credentials: Credentials) -> Actor:
        """A caller who was authenticated by these credentials when a connection began, looked up anew. A token was
        for that: from then on it is the session that counts, however long it lasts.

        Raises ``Unauthenticated`` where the session has ended, ``Forbidden`` where the key has.
        """
        if actor.session_id is None or actor.user_id is None:
            return await self.authenticate(credentials)
        return await self._by_session(actor.user_id, actor.session_id)

    def forget(self) -> None:
        """Drop what is remembered, so that a change acts at once on this worker.

        What is being read from the database meanwhile may be from before the change, and is not remembered either.
        """
        self._remembered.clear()
        self._generation += 1

    async def _by_token(self, authorization: str) -> Actor:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("The Authorization header must be: Bearer <token>")
        try:
            claims = self._tokens.verify(token.strip())
        except ExpiredToken:
            raise Unauthenticated("The access token has expired", invalid_token=True) from None
        except InvalidToken:
            raise Unauthenticated("The access token is not valid", invalid_token=True) from None
        return await self._by_session(claims.user_id, claims.session_id)

    async def _by_session(self, user_id: int, session_id: int) -> Actor:
        name_caller(user_id)
        slot: Slot = ("session", session_id)
        known, actor = self._recall(slot)
        if not known:
            generation = self._generation
            actor = await self._load_session(user_id, session_id)
            self._remember(slot, actor, generation)
        if not actor or actor.user_id != user_id:
            raise Unauthenticated("The session has ended", invalid_token=True)
        return actor

    async def _load_session(self, user_id: int, session_id: int) -> Actor | None:
        row = await self._database.reads.first(_SESSION(session_id=session_id, user_id=user_id, moment=now()))
        if row is None:
            return None
        scopes = ALL_SCOPES if row.is_admin else ALL_SCOPES - {Scope.ADMIN}
        return Actor(
            "token",
            user_id=user_id,
            is_admin=row.is_admin,
            scopes=scopes,
            session_id=session_id,
            time_zone=row.timezone,
        )

    async def _by_key(self, secret: str) -> Actor:
        if self._server_key and hmac.compare_digest(secret.encode("utf-8", "surrogatepass"), self._server_key):
            return SERVER_KEY
        key_hash = fingerprint(secret[:MAX_KEY_LENGTH])
        slot: Slot = ("key", key_hash)
        known, actor = self._recall(slot)
        if not known:
            generation = self._generation
            actor = await self._load_key(key_hash)
            self._remember(slot, actor, generation)
        if not actor:
            raise Forbidden("Invalid API key")
        name_caller(actor.user_id)
        return actor

    async def _load_key(self, key_hash: str) -> Actor | None:
        moment = now()
        async with self._database.reading() as session:
            row = await session.first(
                select(
                    ApiKey.id,
                    ApiKey.user_id,
                    ApiKey.scopes,
                    ApiKey.expires_at,
                    ApiKey.last_used_at,
                    ApiKey.limited,
                    User.is_admin,
                    User.timezone,
                )
                .join(User, User.id == ApiKey.user_id)
                .where(
                    or_(
                        ApiKey.key_hash == key_hash,
                        and_(ApiKey.former_hash == key_hash, ApiKey.former_until > moment),
                    ),
                    User.disabled.is_(False),
                )
            )
        if row is None or (row.expires_at is not None and row.expires_at <= moment):
            return None
        if row.last_used_at is None or row.last_used_at < moment - KEY_USE_RESOLUTION:
            async with self._database.writing() as session:
                await session.execute(update(ApiKey).where(ApiKey.id == row.id).values(last_used_at=moment))
        scopes = widen(row.scopes) if row.is_admin else widen(row.scopes) - {Scope.ADMIN}
        return Actor(
            "api_key",
            user_id=LimitedOwner(row.user_id, row.id) if row.limited else row.user_id,
            is_admin=row.is_admin,
            scopes=scopes,
            api_key_id=row.id,
            api_key_hash=key_hash,
            time_zone=row.timezone,
        )

    def _recall(self, slot: Slot) -> tuple[bool, Actor | None]:
        found = self._remembered.get(slot)
        if found is None or found[0] < time.monotonic():
            return False, None
        return True, found[1]

    def _remember(self, slot: Slot, actor: Actor | None, generation: int) -> None:
        if generation != self._generation:
            return
        self._remembered[slot] = (time.monotonic() + MEMORY_SECONDS, actor)
        self._remembered.move_to_end(slot)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
