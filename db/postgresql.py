"""Reading and writing PostgreSQL on connections in autocommit: a statement is one round trip.

Pools of our own, for libraries' pools wait for a server that is down where a request has to be told at once.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from sqlalchemy import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.postgresql_wire import Wire
from db.sessions import Result
from db.statements import Command, Commands


class _Pool:
    """Up to ``size`` connections, made when they are needed and kept.

    Raises SQLAlchemy's ``DBAPIError`` and, where no connection is free for ``timeout`` seconds, ``TimeoutError``.
    """

    def __init__(self, arguments: Mapping[str, Any], dialect: Dialect, *, size: int, timeout: float) -> None:
        self._arguments, self._dialect, self._timeout = dict(arguments), dialect, timeout
        self._idle: list[Wire] = []
        self._slots = asyncio.Semaphore(size)

    async def close(self) -> None:
        """Close the connections that are not in use."""
        idle, self._idle = self._idle, []
        for wire in idle:
            wire.close()

    async def _acquire_slot(self) -> None:
        if not self._slots.locked():
            await self._slots.acquire()
            return
        try:
            async with asyncio.timeout(self._timeout):
                await self._slots.acquire()
        except TimeoutError:
            raise PoolTimeout("no connection was free") from None

    async def _first_on(self, sql: str, values: Sequence[Any]) -> tuple[Wire, Result]:
        """A connection, on which a statement was run that may be repeated, and what that came to.

        Of a server that was started again, every connection is broken.
        """
        while self._idle:
            wire = self._idle.pop()
            try:
                return wire, await self._on(wire, sql, values)
            except psycopg.OperationalError:
                if not wire.closed:
                    raise
        wire = await Wire.connect(self._arguments)
        return wire, await self._on(wire, sql, values)

    async def _on(self, wire: Wire, sql: str, values: Sequence[Any]) -> Result:
        try:
            return await wire.run(sql, values)
        except BaseException:
            self._give_back(wire)
            raise

    def _give_back(self, wire: Wire) -> None:
        if not wire.closed:
            self._idle.append(wire)


class PostgresqlReader(_Pool):
    """Runs statements that only read."""

    async def run(self, command: Command) -> Sequence[tuple[Any, ...]]:
        """The rows as the driver makes them."""
        await self._acquire_slot()
        try:
            wire, result = await self._first_on(command.sql, command.values)
            self._give_back(wire)
            return result.rows
        except psycopg.Error as error:
            raise translated(error, command.sql, self._dialect) from error
        finally:
            self._slots.release()


class PostgresqlWriter(_Pool):
    """Begins transactions."""

    async def begin(self, *, long: bool = False) -> "PostgresqlTransaction":
        """A transaction on a connection of its own."""
        await self._acquire_slot()
        try:
            wire, _ = await self._first_on("BEGIN", ())
        except psycopg.Error as error:
            self._slots.release()
            raise translated(error, "BEGIN", self._dialect) from error
        except BaseException:
            self._slots.release()
            raise
        return PostgresqlTransaction(wire, self)

    def take_back(self, wire: Wire) -> None:
        """The connection of a transaction that has ended."""
        self._give_back(wire)
        self._slots.release()

    @property
    def dialect(self) -> Dialect:
        return self._dialect


class PostgresqlTransaction:
    """A transaction."""

    def __init__(self, wire: Wire, writer: PostgresqlWriter) -> None:
        self._wire, self._writer = wire, writer
        self._open = True
        self._later: list[tuple[str, Sequence[Any]]] = []

    async def run(self, command: Command) -> Result:
        """What a statement comes to."""
        try:
            if self._later:
                statements, self._later = [*self._later, (command.sql, command.values)], []
                return await self._wire.run_all(statements)
            return await self._wire.run(command.sql, command.values)
        except psycopg.Error as error:
            raise translated(error, command.sql, self._writer.dialect) from error

    async def later(self, command: Command) -> None:
        """Send a statement together with the next one, or with COMMIT."""
        self._later.append((command.sql, command.values))

    async def run_many(self, commands: Commands) -> Result:
        """What a statement comes to for each of many sets of values."""
        try:
            if self._later:
                statements, self._later = self._later, []
                await self._wire.run_all(statements)
            returning = " RETURNING " in commands.sql
            return await self._wire.run_many(commands.sql, commands.values, returning=returning)
        except psycopg.Error as error:
            raise translated(error, commands.sql, self._writer.dialect) from error

    async def commit(self) -> None:
        """Keep what was written."""
        await self.run(Command("COMMIT", (), list))
        self._open = False

    async def end(self) -> None:
        """Take back what was not committed, and give the connection back."""
        try:
            if self._open and not self._wire.closed:
                await self._wire.run("ROLLBACK")
        except psycopg.Error:
            self._wire.close()
        finally:
            self._writer.take_back(self._wire)


def translated(error: psycopg.Error, sql: str, dialect: Dialect) -> BaseException:
    """The error as one of SQLAlchemy's."""
    return DBAPIError.instance(sql, None, error, psycopg.Error, hide_parameters=True, dialect=dialect)
