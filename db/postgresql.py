"""Reading PostgreSQL: a statement, one round trip, on a connection in autocommit that is given back at once.

A pool of our own, for libraries' pools wait for a server that is down where a request has to be told at once.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import AsyncConnection
from sqlalchemy import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.statements import Command

PREPARE_AFTER = 3
"""A statement that a connection has seen as often is prepared: PostgreSQL parses and, as a rule, plans it no more."""
MAX_PREPARED = 200

Connection = AsyncConnection[tuple[Any, ...]]


class PostgresqlReader:
    """Up to ``size`` connections, made when they are needed and kept.

    Raises SQLAlchemy's ``DBAPIError`` and, where no connection is free for ``timeout`` seconds, ``TimeoutError``.
    """

    def __init__(self, arguments: dict[str, Any], dialect: Dialect, *, size: int, timeout: float) -> None:
        self._arguments, self._dialect, self._timeout = arguments, dialect, timeout
        self._idle: list[Connection] = []
        self._slots = asyncio.Semaphore(size)

    async def run(self, command: Command) -> Sequence[tuple[Any, ...]]:
        """The rows as the driver makes them."""
        if self._slots.locked():
            try:
                async with asyncio.timeout(self._timeout):
                    await self._slots.acquire()
            except TimeoutError:
                raise PoolTimeout("no connection was free") from None
        else:
            await self._slots.acquire()
        try:
            return await self._run(command)
        except psycopg.Error as error:
            raise self._translated(error, command) from error
        finally:
            self._slots.release()

    async def close(self) -> None:
        """Close the connections that are not in use."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()

    async def _run(self, command: Command) -> Sequence[tuple[Any, ...]]:
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._run_on(connection, command)
            except psycopg.OperationalError:
                # of a server that was started again, every connection is broken; a read can be repeated
                if not connection.closed:
                    raise
        return await self._run_on(await self._connect(), command)

    async def _run_on(self, connection: Connection, command: Command) -> Sequence[tuple[Any, ...]]:
        try:
            cursor = await connection.execute(command.sql, command.values)
            rows = await cursor.fetchall()
        except psycopg.Error:
            if not connection.closed:
                self._idle.append(connection)
            raise
        except BaseException:
            # nobody waits for it any more; what it is doing is not known
            await connection.close()
            raise
        self._idle.append(connection)
        return rows

    async def _connect(self) -> Connection:
        connection = await AsyncConnection.connect(**self._arguments, autocommit=True, prepare_threshold=PREPARE_AFTER)
        connection.prepared_max = MAX_PREPARED
        return connection

    def _translated(self, error: psycopg.Error, command: Command) -> BaseException:
        return DBAPIError.instance(command.sql, None, error, psycopg.Error, hide_parameters=True, dialect=self._dialect)
