"""The feed of events in the order of their positions, for whoever follows changes as they happen.

Transactions commit out of order, so a follower that remembers the highest id would lose events. A position is given
after commit, by one worker at a time, so what a follower reads next always lies behind what it has read.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from typing import Any, NamedTuple

from sqlalchemy import func, select, update

from core import turns
from db.engine import Database
from db.lists import among
from db.models import Event, Membership
from db.sessions import Session
from db.statements import Prepared
from services.errors import Unavailable
from services.prepared import parameter

logger = logging.getLogger("tandem.feed")

POLL_SECONDS = 0.1
BATCH = 500
QUEUE_LENGTH = 1_000
LOCK_KEY = 7_264_702


class Happening(NamedTuple):
    """What followers are told of an event: a few words, as a thousand of them may wait for each follower."""

    position: int
    kind: str
    entity_id: int
    project_id: int | None


_AFTER = Prepared(
    select(*(getattr(Event, name) for name in Happening._fields))
    .where(Event.position > parameter("position"))
    .order_by(Event.position)
    .limit(BATCH),
    Happening,
)
_READERS: Prepared[Any] = Prepared(
    select(Membership.project_id, Membership.user_id).where(
        among(Membership.project_id, "projects"), among(Membership.user_id, "users")
    )
)


class Behind(Unavailable):
    """A follower did not keep up; it has to read again from the start."""

    title = "Too many events at once: follow again"


async def number_events(session: Session, *, wait: bool = False) -> int:
    """Give positions to committed events that have none, in the order of their ids. Returns how many (a batch at most).

    Only one worker does so at a time. Another that tries meanwhile leaves it to the first, or waits for its turn.
    """
    if session.dialect == "postgresql":
        if wait:
            await session.execute(select(func.pg_advisory_xact_lock(LOCK_KEY)))
        elif not await session.scalar(select(func.pg_try_advisory_xact_lock(LOCK_KEY))):
            return 0
    ids = await session.scalars(select(Event.id).where(Event.position.is_(None)).order_by(Event.id).limit(BATCH))
    if not ids:
        return 0
    last = await session.scalar(select(func.coalesce(func.max(Event.position), 0)))
    ranked = (
        select(Event.id, (func.row_number().over(order_by=Event.id) + last).label("position"))
        .where(Event.id.in_(ids))
        .subquery()
    )
    return await session.execute(update(Event).where(Event.id == ranked.c.id).values(position=ranked.c.position))


class _Follower:
    """Who follows: what it wants to hear of, and what it has not taken yet."""

    __slots__ = ("kinds", "queue", "reader")

    def __init__(self, kinds: Collection[str] | None, reader: int | None) -> None:
        self.kinds, self.reader = kinds, reader
        self.queue: asyncio.Queue[Happening | None] = asyncio.Queue(QUEUE_LENGTH)

    def concerns(self, item: Happening, readers: Mapping[int | None, Collection[int]]) -> bool:
        if self.kinds is not None and item.kind not in self.kinds:
            return False
        return self.reader is None or self.reader in readers.get(item.project_id, ())

    def hand(self, item: Happening) -> bool:
        """Whether there was room for it."""
        try:
            self.queue.put_nowait(item)
        except asyncio.QueueFull:
            # drop it all and say so, rather than lose one in the middle
            while not self.queue.empty():
                self.queue.get_nowait()
            self.queue.put_nowait(None)
            return False
        return True


class Feed:
    """One worker's reader of the feed. It runs while somebody follows, and costs nothing otherwise.

    What an event means is worked out by each follower for itself. They do so in turns (``core/turns.py``): a thousand
    of them hold the loop no longer at a time than one does.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._followers: set[_Follower] = set()
        self._starting = asyncio.Lock()
        self._joining: asyncio.Task[int] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._position = 0

    @property
    def followers(self) -> int:
        """How many follow now."""
        return len(self._followers)

    async def follow(
        self, *, kinds: Collection[str] | None = None, reader: int | None = None
    ) -> AsyncIterator[Happening]:
        """Events from now on: those of some kinds, where they are named, and of projects that an account can read,
        where there is one. Raises ``Behind`` when the caller takes them too slowly.

        Whether the account may read the thing itself is to be asked when it is told of: memberships are looked up
        once for all followers, so that nobody pays for what happens in other people's projects.
        """
        follower = _Follower(kinds, reader)
        self._followers.add(follower)
        try:
            start = await self._start()
            while True:
                item = await follower.queue.get()
                if item is None:
                    raise Behind
                if item.position <= start:
                    continue
                if turns.due():
                    await turns.give()
                yield item
        finally:
            self._followers.discard(follower)

    async def stop(self) -> None:
        """End the reader, at shutdown."""
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader

    async def _start(self) -> int:
        """Where the feed ends now. Those who come while others are being told so are told together, after them."""
        if self._joining is None:
            # of all of them, not in the time of the one who came first
            self._joining = asyncio.create_task(self._join(), context=Context())
        return await asyncio.shield(self._joining)

    async def _join(self) -> int:
        """Where the feed ends now; the reader runs from there, if it does not run already."""
        async with self._starting:
            self._joining = None  # for whoever comes from now on this one began too early
            # what happened while nobody followed has no positions yet, and is not to be told now
            numbered = BATCH
            while numbered == BATCH and await self._waiting():
                async with self._database.writing() as session:
                    numbered = await number_events(session, wait=True)
                await turns.give()
            async with self._database.reading() as session:
                end: int = await session.scalar(select(func.coalesce(func.max(Event.position), 0)))
            if self._reader is None or self._reader.done():
                self._position = end
                self._reader = asyncio.create_task(self._read())
            return end

    async def _read(self) -> None:
        while self._followers:
            found = 0
            try:
                items = await self._next()
                found = len(items)
                await self._hand(items)
            except Exception:
                logger.warning("the feed could not be read; trying again", exc_info=True)
            if found < BATCH:
                await asyncio.sleep(POLL_SECONDS)

    async def _waiting(self) -> bool:
        async with self._database.reading() as session:
            return await session.scalar(select(Event.id).where(Event.position.is_(None)).limit(1)) is not None

    async def _next(self) -> Sequence[Happening]:
        if await self._waiting():
            async with self._database.writing() as session:
                await number_events(session)
        rows: Sequence[Happening] = await self._database.reads.all(_AFTER(position=self._position))
        return rows

    async def _hand(self, items: Sequence[Happening]) -> None:
        """Give events to those whom they concern. They count as read once that is known."""
        readers = await self._readers(items)
        if items:
            self._position = items[-1].position
        for item in items:
            if turns.due():
                await turns.give()
            for follower in tuple(self._followers):
                if follower.concerns(item, readers) and not follower.hand(item):
                    self._followers.discard(follower)

    async def _readers(self, items: Sequence[Happening]) -> Mapping[int | None, Collection[int]]:
        """Who of the followers is a member of the projects in which something happened that anybody wants to hear."""
        wanted = {kind for follower in self._followers for kind in follower.kinds or ()}
        everything = any(follower.kinds is None for follower in self._followers)
        projects = {item.project_id for item in items if everything or item.kind in wanted} - {None}
        users = {follower.reader for follower in self._followers} - {None}
        readers: dict[int | None, set[int]] = {}
        if projects and users:
            rows = await self._database.reads.all(_READERS(projects=[*projects], users=[*users]))
            for project_id, user_id in rows:
                readers.setdefault(project_id, set()).add(user_id)
        return readers
