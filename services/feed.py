"""The feed of events in the order of their positions, for whoever follows changes as they happen.

Transactions commit out of order, so a follower that remembers the highest id would lose events. A position is given
after commit, by one worker at a time, so what a follower reads next always lies behind what it has read.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from contextvars import Context

from sqlalchemy import func, select, update

from db.engine import Database
from db.models import Event
from db.sessions import Session
from services.errors import Unavailable
from services.events import COLUMNS, EventRecord

logger = logging.getLogger("tandem.feed")

POLL_SECONDS = 0.1
BATCH = 500
QUEUE_LENGTH = 1_000
LOCK_KEY = 7_264_702

_Positioned = tuple[int, EventRecord]


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


class Feed:
    """One worker's reader of the feed. It runs while somebody follows, and costs nothing otherwise."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queues: set[asyncio.Queue[_Positioned | None]] = set()
        self._starting = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None
        self._position = 0

    @property
    def followers(self) -> int:
        """How many follow now."""
        return len(self._queues)

    async def follow(self) -> AsyncIterator[EventRecord]:
        """Events from now on. Raises ``Behind`` when the caller takes them too slowly."""
        queue: asyncio.Queue[_Positioned | None] = asyncio.Queue(QUEUE_LENGTH)
        self._queues.add(queue)
        try:
            start = await self._start()
            while True:
                item = await queue.get()
                if item is None:
                    raise Behind
                position, event = item
                if position > start:
                    yield event
        finally:
            self._queues.discard(queue)

    async def stop(self) -> None:
        """End the reader, at shutdown."""
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader

    async def _start(self) -> int:
        """Where the feed ends now; the reader runs from there, if it does not run already."""
        async with self._starting:
            # what happened while nobody followed has no positions yet, and is not to be told now
            numbered = BATCH
            while numbered == BATCH and await self._waiting():
                async with self._database.writing() as session:
                    numbered = await number_events(session, wait=True)
            async with self._database.reading() as session:
                end: int = await session.scalar(select(func.coalesce(func.max(Event.position), 0)))
            if self._reader is None or self._reader.done():
                self._position = end
                # it goes on for others when the work that began it has ended
                self._reader = asyncio.create_task(self._read(), context=Context())
            return end

    async def _read(self) -> None:
        while self._queues:
            found = 0
            try:
                for item in await self._next():
                    found += 1
                    for queue in tuple(self._queues):
                        self._hand(queue, item)
            except Exception:
                logger.warning("the feed could not be read; trying again", exc_info=True)
            if found < BATCH:
                await asyncio.sleep(POLL_SECONDS)

    async def _waiting(self) -> bool:
        async with self._database.reading() as session:
            return await session.scalar(select(Event.id).where(Event.position.is_(None)).limit(1)) is not None

    async def _next(self) -> list[_Positioned]:
        if await self._waiting():
            async with self._database.writing() as session:
                await number_events(session)
        async with self._database.reading() as session:
            rows = await session.all(
                select(*COLUMNS, Event.position)
                .where(Event.position > self._position)
                .order_by(Event.position)
                .limit(BATCH)
            )
        if rows:
            self._position = rows[-1][-1]
        return [(row[-1], EventRecord._make(row[:-1])) for row in rows]

    def _hand(self, queue: asyncio.Queue[_Positioned | None], item: _Positioned) -> None:
        try:
            queue.put_nowait(item)
        except asyncio.QueueFull:
            # drop it all and say so, rather than lose one in the middle
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(None)
            self._queues.discard(queue)
