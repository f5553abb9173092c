"""The feed of events in the order of their positions, for whoever follows changes as they happen.

Transactions commit out of order, so a follower that remembers the highest id would lose events. A position is given
after commit, by one worker at a time, so what a follower reads next always lies behind what it has read.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

from sqlalchemy import func, select, update
from sqlalchemy.exc import SQLAlchemyError

from db.engine import Database, Session
from db.models import Event
from services.events import COLUMNS, EventRecord

logger = logging.getLogger("tandem.feed")

POLL_SECONDS = 0.1
BATCH = 500
QUEUE_LENGTH = 1_000
LOCK_KEY = 7_264_702


class Behind(Exception):
    """A follower did not keep up; it has to read again from the start."""


async def number_events(session: Session) -> int:
    """Give positions to committed events that have none, in the order of their ids. Returns how many.

    Only one worker does so at a time; another that tries meanwhile leaves it to the first.
    """
    if session.dialect == "postgresql" and not await session.scalar(select(func.pg_try_advisory_xact_lock(LOCK_KEY))):
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
        self._queues: set[asyncio.Queue[EventRecord | None]] = set()
        self._reader: asyncio.Task[None] | None = None
        self._position = 0

    async def follow(self) -> AsyncIterator[EventRecord]:
        """Events from now on. Raises ``Behind`` when the caller takes them too slowly."""
        queue: asyncio.Queue[EventRecord | None] = asyncio.Queue(QUEUE_LENGTH)
        if self._reader is None or self._reader.done():
            async with self._database.reading() as session:
                self._position = await session.scalar(select(func.coalesce(func.max(Event.position), 0)))
            self._queues.add(queue)
            self._reader = asyncio.create_task(self._read())
        self._queues.add(queue)
        try:
            while True:
                event = await queue.get()
                if event is None:
                    raise Behind
                yield event
        finally:
            self._queues.discard(queue)

    async def stop(self) -> None:
        """End the reader, at shutdown."""
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader

    async def _read(self) -> None:
        while self._queues:
            try:
                for event in await self._next():
                    for queue in tuple(self._queues):
                        self._hand(queue, event)
            except SQLAlchemyError:
                logger.warning("the feed could not be read; trying again", exc_info=True)
            await asyncio.sleep(POLL_SECONDS)

    async def _next(self) -> list[EventRecord]:
        async with self._database.reading() as session:
            waiting = await session.scalar(select(Event.id).where(Event.position.is_(None)).limit(1))
        if waiting is not None:
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
        return [EventRecord._make(row[:-1]) for row in rows]

    def _hand(self, queue: asyncio.Queue[EventRecord | None], event: EventRecord) -> None:
        try:
            queue.put_nowait(event)
        except asyncio.QueueFull:
            # drop it all and say so, rather than lose one in the middle
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(None)
            self._queues.discard(queue)
