"""A connection that hears what other processes tell (LISTEN), for as long as somebody wants to know."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.pq.abc import PGconn

from db.driver.postgresql.hosts import Hosts

logger = logging.getLogger("tandem.database")

AGAIN_SECONDS = 1.0
"""How soon to try again where there was no connection, or it was lost."""


class Hearing:
    """Hears a channel. What was told while there was no connection is lost: ``heard`` is called after each new one.

    psycopg's ``notifies()`` wakes ten times a second, and each time tells the event loop anew of the connection. Here
    nothing is done until something comes.
    """

    def __init__(self, hosts: Hosts, channel: str, heard: Callable[[], None]) -> None:
        self._hosts, self._channel, self._heard = hosts, channel, heard
        self._task = self._begin()
        hosts.when_left(self._begin_anew)

    async def stop(self) -> None:
        """Hear no more."""
        self._hosts.when_left_no_more(self._begin_anew)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def _begin(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._run(), context=Context())

    def _begin_anew(self) -> None:
        """The connection may lead to a host that stands still."""
        self._task.cancel()
        self._task = self._begin()

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError):
                logger.debug("nothing is heard for a moment", exc_info=True)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _listen(self) -> None:
        connection = await AsyncConnection.connect(**self._hosts.arguments, autocommit=True)
        try:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
            self._heard()
            await self._hear(connection.pgconn)
        finally:
            connection.pgconn.finish()

    async def _hear(self, pgconn: PGconn) -> None:
        """Until the connection is lost. Raises ``psycopg.OperationalError`` then."""
        loop, came, number = asyncio.get_running_loop(), asyncio.Event(), pgconn.socket
        loop.add_reader(number, came.set)
        try:
            while True:
                while pgconn.notifies() is not None:  # some may have come with the answer to LISTEN
                    self._heard()
                await came.wait()
                came.clear()
                pgconn.consume_input()
        finally:
            loop.remove_reader(number)
