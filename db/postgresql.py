"""Reading and writing PostgreSQL on connections in autocommit: a statement is one round trip.

Pools of our own, for libraries' pools wait for a server that is down where a request has to be told at once.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import AsyncConnection
from sqlalchemy import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.sessions import Result
from db.statements import Command, Commands

PREPARE_AFTER = 3
"""A statement that a connection has seen as often is prepared: PostgreSQL parses and, as a rule, plans it no more."""
MAX_PREPARED = 200

Connection = AsyncConnection[tuple[Any, ...]]


class _Pool:
    """Up to ``size`` connections, made when they are needed and kept.

    Raises SQLAlchemy's ``DBAPIError`` and, where no connection is free for ``timeout`` seconds, ``TimeoutError``.
    """

    def __init__(self, arguments: Mapping[str, Any], dialect: Dialect, *, size: int, timeout: float) -> None:
        self._arguments, self._dialect, self._timeout = arguments, dialect, timeout
        self._idle: list[Connection] = []
        self._slots = asyncio.Semaphore(size)

    async def close(self) -> None:
        """Close the connections that are not in use."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()

    async def _acquire_slot(self) -> None:
        if not self._slots.locked():
            await self._slots.acquire()
            return
        try:
            async with asyncio.timeout(self._timeout):
                await self._slots.acquire()
        except TimeoutError:
            raise PoolTimeout("no connection was free") from None

    async def _first_on(self, sql: str, values: Any) -> tuple[Connection, Any]:
        """A connection, on which a statement was run that may be repeated, and the statement's cursor.

        Of a server that was started again, every connection is broken.
        """
        while self._idle:
            connection = self._idle.pop()
            try:
                return connection, await self._on(connection, sql, values)
            except psycopg.OperationalError:
                if not connection.closed:
                    raise
        connection = await AsyncConnection.connect(**self._arguments, autocommit=True, prepare_threshold=PREPARE_AFTER)
        connection.prepared_max = MAX_PREPARED
        return connection, await self._on(connection, sql, values)

    async def _on(self, connection: Connection, sql: str, values: Any) -> Any:
        try:
            return await connection.execute(sql, values)
        except psycopg.Error:
            self._give_back(connection)
            raise
        except BaseException:
            # nobody waits for it any more; what it is doing is not known
            await connection.close()
            raise

    def _give_back(self, connection: Connection) -> None:
        if not connection.closed:
            self._idle.append(connection)


class PostgresqlReader(_Pool):
    """Runs statements that only read."""

    async def run(self, command: Command) -> Sequence[tuple[Any, ...]]:
        """The rows as the driver makes them."""
        await self._acquire_slot()
        try:
            connection, cursor = await self._first_on(command.sql, command.values)
            self._give_back(connection)
            # they are all here: the cursor is the client's
            rows: Sequence[tuple[Any, ...]] = await cursor.fetchall()
            return rows
        except psycopg.Error as error:
            raise translated(error, command.sql, self._dialect) from error
        finally:
            self._slots.release()


class PostgresqlWriter(_Pool):
    """Begins transactions."""

    async def begin(self) -> "PostgresqlTransaction":
        """A transaction on a connection of its own."""
        await self._acquire_slot()
        try:
            connection, _ = await self._first_on("BEGIN", None)
        except psycopg.Error as error:
            self._slots.release()
            raise translated(error, "BEGIN", self._dialect) from error
        except BaseException:
            self._slots.release()
            raise
        return PostgresqlTransaction(connection, self)

    def take_back(self, connection: Connection) -> None:
        """The connection of a transaction that has ended."""
        self._give_back(connection)
        self._slots.release()

    @property
    def dialect(self) -> Dialect:
        return self._dialect


class PostgresqlTransaction:
    """A transaction."""

    def __init__(self, connection: Connection, writer: PostgresqlWriter) -> None:
        self._connection, self._writer = connection, writer
        self._open = True

    async def run(self, command: Command) -> Result:
        """What a statement comes to."""
        try:
            cursor = await self._connection.execute(command.sql, command.values)
            return Result(await cursor.fetchall() if cursor.description else (), max(cursor.rowcount, 0))
        except psycopg.Error as error:
            raise translated(error, command.sql, self._writer.dialect) from error
        except BaseException:
            await self._connection.close()  # what it is doing is not known
            raise

    async def run_many(self, commands: Commands) -> Result:
        """What a statement comes to for each of many sets of values."""
        rows: list[Any] = []
        try:
            cursor = self._connection.cursor()
            returning = " RETURNING " in commands.sql
            await cursor.executemany(commands.sql, commands.values, returning=returning)
            more = returning
            while more:
                rows += await cursor.fetchall()
                more = bool(cursor.nextset())
            return Result(rows, len(rows) if returning else max(cursor.rowcount, 0))
        except psycopg.Error as error:
            raise translated(error, commands.sql, self._writer.dialect) from error
        except BaseException:
            await self._connection.close()
            raise

    async def commit(self) -> None:
        """Keep what was written."""
        await self.run(Command("COMMIT", (), list))
        self._open = False

    async def end(self) -> None:
        """Take back what was not committed, and give the connection back."""
        try:
            if self._open and not self._connection.closed:
                await self._connection.execute("ROLLBACK")
        except BaseException as error:
            await self._connection.close()
            if not isinstance(error, psycopg.Error):
                raise
        finally:
            self._writer.take_back(self._connection)


def translated(error: psycopg.Error, sql: str, dialect: Dialect) -> BaseException:
    """The error as one of SQLAlchemy's."""
    return DBAPIError.instance(sql, None, error, psycopg.Error, hide_parameters=True, dialect=dialect)
