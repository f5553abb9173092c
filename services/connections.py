"""Who is connected to this worker for longer than a request takes: by sockets, and by streams of events.

Each account has so many places, and sockets of which it is not known yet whose they are have so many for each address.
What a connection came in by may end while nothing happens on it: a session by logging out, by a refresh token that
comes twice, by another password; a key by being deleted, or by itself; either with its account. Whatever of this
somebody does leaves an event of his account. So it is asked twice a second whether there is one: then all that are
connected are looked up together, in one statement for sessions and one for keys, whatever their number; and so they are
when the first of them ends by itself, and at once when this worker itself commits such a change (``announce_change``).
A token opens a connection and does not end it: whoever renews tokens goes on hearing of what happens, without a gap,
for as long as the session lasts.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import case, or_, select

from core import turns
from core.clock import now
from db.driver.database import Database
from db.driver.sessions import AnyRow
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import ApiKey, Event, LoginSession, User
from services.authentication import CALLERS_CHANGED
from services.events.numbering import END, is_waiting, number_events
from services.shared.actors import Actor
from services.shared.background import Background
from services.shared.errors import Forbidden, TandemError, TooManyAtOnce, Unauthenticated
from services.shared.outages import Outage
from services.shared.statements import parameter

logger = logging.getLogger("tandem.connections")

WATCH_SECONDS = 0.5
SOON_SECONDS = 0.1
"""The same where another process gives events their positions just now."""
LOOK_SECONDS = 15.0
"""When all are looked up although nothing has happened: somebody may have changed a row by hand."""
SCAN = 500
"""Events that it is asked of whose account they concern; where there are more, all are looked up."""
REST_SECONDS = 0.05
"""Between two looks: under many logouts, each is seen so much later."""
PART = 1_000

OnEnd = Callable[[TandemError], None]
_AT_ONCE = datetime.min.replace(tzinfo=UTC)

_NEW = Prepared(
    select(Event.position, Event.account_id)
    .where(Event.position > parameter("position"))
    .order_by(Event.position)
    .limit(SCAN)
)
_SESSIONS = Prepared(
    select(LoginSession.id, LoginSession.expires_at)
    .join(User, User.id == LoginSession.user_id)
    .where(
        in_list(LoginSession.id, "ids"),
        LoginSession.ended_at.is_(None),
        LoginSession.expires_at > parameter("moment"),
        User.disabled.is_(False),
    )
)
_KEYS = Prepared(
    select(
        ApiKey.key_hash,
        case((ApiKey.former_until > parameter("moment"), ApiKey.former_hash)),
        ApiKey.expires_at,
        case((ApiKey.former_until > parameter("moment"), ApiKey.former_until)),
    )
    .join(User, User.id == ApiKey.user_id)
    .where(
        in_list(ApiKey.id, "ids"),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > parameter("moment")),
        User.disabled.is_(False),
    )
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many at once, on one worker."""

    connections: int
    """Sockets and streams of an account."""
    operations: int
    """Operations of an account, over all of its sockets and streams."""
    strangers: int
    """Sockets from one address that nobody has said yet whose they are."""


class Place:
    """A place that is taken until it is given back, at the end of a block at the latest."""

    __slots__ = ("_key", "_taken")

    def __init__(self, taken: dict[str, int], key: str) -> None:
        self._taken: dict[str, int] | None = taken
        self._key = key

    def give(self) -> None:
        """Give the place back; a second time changes nothing."""
        taken, self._taken = self._taken, None
        if taken is not None:
            taken[self._key] -= 1
            if not taken[self._key]:
                del taken[self._key]

    def __enter__(self) -> "Place":
        return self

    def __exit__(self, *_: object) -> None:
        self.give()


class _Places:
    """So many places for each key."""

    def __init__(self, what: str, most: int) -> None:
        self._what, self._most = what, most
        self._taken: dict[str, int] = {}

    def take(self, key: str) -> Place:
        """Raises ``TooManyAtOnce`` where there is none."""
        taken = self._taken.get(key, 0)
        if taken >= self._most:
            raise TooManyAtOnce(self._what, self._most)
        self._taken[key] = taken + 1
        return Place(self._taken, key)


@dataclass(eq=False, slots=True)
class _Watched:
    actor: Actor
    on_end: OnEnd


class Connections:
    """One worker's. It looks at the database only while somebody is connected."""

    def __init__(self, database: Database, bounds: Bounds) -> None:
        self._database = database
        self._callers = _Places("sockets and event streams", bounds.connections)
        self._operations = _Places("operations", bounds.operations)
        self._strangers = _Places("sockets without connection_init from one address", bounds.strangers)
        self._watched: set[_Watched] = set()
        self._new: set[_Watched] = set()
        """Those who have come since the last look."""
        self._position: int | None = None
        """The last event that was seen; None before the first look."""
        self._look_at = _AT_ONCE
        self._watching = Background(self._watch)
        self._changed = asyncio.Event()
        self._outage = Outage(logger, "those who are connected could not be looked up")
        self.sockets = 0
        """How many sockets are open now, strangers' among them."""
        self.streams = 0
        """How many subscriptions are followed by event streams now."""
        database.listen(CALLERS_CHANGED, self._changed.set)

    def stranger(self, address: str) -> Place:
        """A socket whose caller is not known yet. Raises ``TooManyAtOnce``."""
        return self._strangers.take(address)

    def operation(self, actor: Actor) -> Place:
        """An operation of a caller on a socket or a stream. Raises ``TooManyAtOnce``."""
        return self._operations.take(_account(actor))

    @contextmanager
    def socket(self) -> Iterator[None]:
        """A socket that is open, for the metrics."""
        self.sockets += 1
        try:
            yield
        finally:
            self.sockets -= 1

    @contextmanager
    def stream(self) -> Iterator[None]:
        """A stream that is followed, for the metrics."""
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1

    @contextmanager
    def connected(self, actor: Actor, *, on_end: OnEnd) -> Iterator[None]:
        """A connection of a caller. Raises ``TooManyAtOnce``.

        ``on_end`` is called once, with what the caller is to be told, as soon as the session or the key has ended; it
        must not raise.
        """
        with self._callers.take(_account(actor)):
            watched = _Watched(actor, on_end)
            self._watched.add(watched)
            self._new.add(watched)
            try:
                self._watching.begin()
                yield
            finally:
                self._watched.discard(watched)
                self._new.discard(watched)

    async def stop(self) -> None:
        """Look no more, at shutdown."""
        await self._watching.end()

    async def _watch(self) -> None:
        self._position, rest = None, WATCH_SECONDS
        while self._watched:
            with suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._changed.wait()
            changed = self._changed.is_set()
            self._changed.clear()
            try:
                happened, rest = await self._has_happened()
                await self._look_at_those(changed or happened or now() >= self._look_at)
                self._outage.succeeded()
            except Exception as error:
                # who is connected stays so: the database says no more of others who ask
                self._outage.failed(error)
                self._look_at = _AT_ONCE
            await asyncio.sleep(REST_SECONDS)

    async def _has_happened(self) -> tuple[bool, float]:
        """Whether somebody may have ended a session or a key, and when to ask again."""
        reads, rest = self._database.reads, WATCH_SECONDS
        if self._position is None:
            self._position = await reads.scalar(END)
            return True, SOON_SECONDS
        if await is_waiting(self._database):
            # whoever committed it numbers it, unless it is there no more
            async with self._database.writing() as session:
                rest = SOON_SECONDS if await number_events(session) is None else WATCH_SECONDS
        rows = await reads.all(_NEW(position=self._position))
        if rows:
            self._position = rows[-1].position
        return len(rows) == SCAN or any(row.account_id is not None for row in rows), rest

    async def _look_at_those(self, everybody: bool) -> None:
        looked_at, self._new = self._new, set()
        if everybody:
            looked_at, self._look_at = {*self._watched}, now() + timedelta(seconds=LOOK_SECONDS)
        if looked_at:
            await self._look(tuple(looked_at))

    async def _look(self, looked_at: Sequence[_Watched]) -> None:
        """Tell those whose session or key has ended."""
        sessions = {watched.actor.session_id for watched in looked_at}
        keys = {watched.actor.api_key_id for watched in looked_at}
        moment = now()
        live_sessions = await self._live(_SESSIONS, sessions, moment)
        live_keys = await self._live(_KEYS, keys, moment)
        async for watched in turns.each(looked_at):
            error: TandemError | None = None
            actor = watched.actor
            if actor.session_id is not None and actor.session_id not in live_sessions:
                error = Unauthenticated("The session has ended", invalid_token=True)
            elif actor.api_key_id is not None and actor.api_key_hash not in live_keys:
                error = Forbidden("Invalid API key")
            if error is not None and watched in self._watched:
                self._watched.discard(watched)
                watched.on_end(error)

    async def _live(self, statement: Prepared[AnyRow], ids: set[int | None], moment: datetime) -> set[int | str]:
        """What the rows of those that are live have: ids of sessions, fingerprints of keys' secrets. All are looked up
        again when the first of them ends by itself."""
        live: set[int | str] = set()
        for part in turns.parts(sorted(id_ for id_ in ids if id_ is not None), PART):
            rows = await self._database.reads.all(statement(ids=part, moment=moment))
            for value in (value for row in rows for value in row):
                if isinstance(value, datetime):
                    self._look_at = min(self._look_at, value)
                else:
                    live.add(value)
            if turns.due() and len(ids) > PART:
                await turns.give()
        return live


def _account(actor: Actor) -> str:
    """Whose places are taken: the account's, whichever session or key it is."""
    return actor.method if actor.user_id is None else f"user:{actor.user_id}"
