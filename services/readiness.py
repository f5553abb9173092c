"""Whether the server can serve: what a load balancer asks, again and again."""

import asyncio
import time

from core.deadlines import working_for_all
from db import revisions
from db.driver.database import Database
from db.upkeep import free_disk_bytes
from services.shared.database_errors import from_database
from services.shared.errors import Unavailable

LIMIT_SECONDS = 2.0
"""How long the database may take to answer; a worker that cannot write in that time is not ready."""
MIN_ROOM_BYTES = 1_000_000
"""Of a disk that has less, SQLite may still take a row, where the log has room for it, and refuse the next."""
REMEMBERED_SECONDS = 1.0
"""Anybody may ask: the answer is found once for all who ask within so long."""


class Readiness:
    """What is known of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()
        self._until = 0.0
        self._reason: str | None = None

    async def require(self) -> None:
        """Raises ``Unavailable`` with the reason, unless the database is there, migrated, and takes writes.

        It takes a turn for reading and one for writing, as requests do, so that it knows of a pool in which there is
        none to be had.
        """
        async with self._lock:
            if time.monotonic() >= self._until:
                with working_for_all():
                    self._reason = await self._look()
                self._until = time.monotonic() + REMEMBERED_SECONDS
        if self._reason is not None:
            raise Unavailable(self._reason)

    async def _look(self) -> str | None:
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                revision = await revisions.current(self._database.reads)
                if not revisions.suffices(revision):
                    return f"The database is at revision {revision or 'none'}: it has to be migrated"
                async with self._database.writing() as session:
                    await revisions.write(session)
                room = free_disk_bytes(self._database)
                return "The disk of the database is full" if room is not None and room < MIN_ROOM_BYTES else None
        except TimeoutError:
            return f"The database did not take a write within {LIMIT_SECONDS:g} s"
        except Exception as error:
            if (known := from_database(error)) is None:
                raise
            return known.message
