"""Wakes those who follow their notifications, when there are new ones.

Notifications are made by one process at a time, so that their ids are in the order of the commits: who has read as far
as one of them finds what is new behind it. One statement says whom that concerns, of all who follow on this process.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy import func, select

from db.driver.database import Database
from db.driver.statements import Prepared
from db.models import Notification
from services.events.notifier import MADE
from services.shared.background import Background
from services.shared.outages import Outage
from services.shared.statements import parameter

logger = logging.getLogger("tandem.notification_feed")

POLL_SECONDS = 0.25
"""How often the database is asked beside what is told: on SQLite nobody tells what other processes write."""
BATCH = 1_000

_END = Prepared(select(func.coalesce(func.max(Notification.id), 0)))
_AFTER = Prepared(
    select(Notification.id, Notification.user_id)
    .where(Notification.id > parameter("after"))
    .order_by(Notification.id)
    .limit(BATCH)
)


class NotificationFeed:
    """One process's. It reads while somebody follows, and costs nothing otherwise."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._followers: dict[int, set[asyncio.Event]] = {}
        self._starting = asyncio.Lock()
        self._reading = Background(self._read)
        self._after = 0
        self._told = asyncio.Event()
        self._outage = Outage(logger, "notifications could not be followed")
        database.listen(MADE, self._told.set)

    @property
    def followers(self) -> int:
        """How many follow now."""
        return sum(map(len, self._followers.values()))

    @asynccontextmanager
    async def joined(self, user_id: int) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever somebody has new notifications, while the block lasts."""
        follower = asyncio.Event()
        self._followers.setdefault(user_id, set()).add(follower)
        try:
            async with self._starting:
                if not self._reading.runs:
                    self._after = await self._database.reads.scalar(_END())
                    self._reading.begin()
            yield follower
        finally:
            mine = self._followers[user_id]
            mine.discard(follower)
            if not mine:
                del self._followers[user_id]

    async def stop(self) -> None:
        """End the reader, at shutdown."""
        await self._reading.end()

    async def _read(self) -> None:
        while self._followers:  # asked once more after the listening has ended, for whoever came meanwhile
            async with self._database.hearing(MADE):
                while self._followers:
                    await self._wake_and_wait()

    async def _wake_and_wait(self) -> None:
        self._told.clear()
        found = 0
        try:
            found = await self._wake()
            self._outage.succeeded()
        except Exception as error:
            self._outage.failed(error)
        if found < BATCH:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._told.wait()

    async def _wake(self) -> int:
        rows = await self._database.reads.all(_AFTER(after=self._after))
        if rows:
            self._after = rows[-1].id
        for user_id in {row.user_id for row in rows}:
            for follower in self._followers.get(user_id, ()):
                follower.set()
        return len(rows)
