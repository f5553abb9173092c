"""Makes notifications beside the requests, in the process that numbers events."""

import asyncio
import logging
from contextlib import suppress
from contextvars import Context

from core import turns
from db.driver.database import Database
from services.events.notices import BATCH, make_notifications
from services.events.numbering import NUMBERED
from services.shared.outages import Outage

logger = logging.getLogger("tandem.notifier")

NAME = "notifier"
"""Its task's."""
GATHER_SECONDS = 0.25
"""How long events are waited for that are gone through together: on SQLite each time is a transaction among those of
the requests."""
RETRY_SECONDS = 1.0
BUSY_SECONDS = 0.1
"""How soon to look again where another process is about it."""


async def notify_all(database: Database) -> None:
    """Make the notifications of every event that has its position when this begins."""
    found: int | None = BATCH
    while found:
        async with database.writing() as session:
            found = await make_notifications(session, wait=True)
        await turns.give()


class Notifier:
    """One process's: it goes through what the process has numbered, a moment later, and through what was left."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._outage = Outage(logger, "notifications could not be made")

    def start(self) -> None:
        """From now on; what others have left comes first."""
        self._due.set()
        self._database.listen(NUMBERED, self._due.set)
        self._task = asyncio.create_task(self._run(), name=NAME, context=Context())

    async def stop(self) -> None:
        """Make no more, at shutdown."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await self._due.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._due.clear()
            try:
                while (found := await self._make()) != 0:
                    # what it has read may not have had the last of ours yet
                    await (asyncio.sleep(BUSY_SECONDS) if found is None else turns.give())
                self._outage.succeeded()
            except Exception as error:
                self._outage.failed(error)
                self._due.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def _make(self) -> int | None:
        async with self._database.writing() as session:
            return await make_notifications(session)
