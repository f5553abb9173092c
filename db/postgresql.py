"""Reading and writing PostgreSQL on connections in autocommit: a statement is one round trip.

Pools of our own, for libraries' pools wait for a server that is down where a request has to be told at once.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.errors import ReadOnlySqlTransaction
from sqlalchemy import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.postgresql_exchange import ConnectionLost, NotAnswered
from db.postgresql_hosts import Hosts
from db.postgresql_wire import Wire
from db.sessions import Result
from db.statements import Command, Commands


class _Pool:
    """Up to ``size`` connections, made when they are needed and kept.

    Whoever takes a connection holds a slot, which comes back with it: at once, or where somebody was cancelled, when
    what is under way on it has ended in the database. Raises SQLAlchemy's ``DBAPIError`` and, where no connection is
    free for ``timeout`` seconds, ``TimeoutError``.
    """

    def __init__(self, hosts: Hosts, dialect: Dialect, *, size: int, timeout: float) -> None:
        self._hosts, self.dialect, self._timeout = hosts, dialect, timeout
        hosts.when_left(self.renew)
        self._free = size
        self._idle: list[Wire] = []
        self._slots = asyncio.Semaphore(size)
        self._settling: set[asyncio.Task[None]] = set()
        self._generation = 0

    @property
    def free(self) -> int:
        """How many connections could be taken now."""
        return self._free

    async def close(self) -> None:
        """Close the connections that are not in use, once what was given up has been cancelled."""
        await self._hosts.close()
        if self._settling:
            await asyncio.wait(self._settling)
        idle, self._idle = self._idle, []
        for wire in idle:
            wire.close()

    def renew(self) -> None:
        """Use no connection again that was made until now: they may lead to a server that is the primary no more."""
        self._generation += 1
        idle, self._idle = self._idle, []
        for wire in idle:
            wire.close()

    async def _first_on(self, sql: str, values: Sequence[Any]) -> tuple[Wire, Result]:
        """A connection, on which a statement was run that may be repeated, and what that came to.

        Of a server that was started again, every connection is broken.
        """
        await self._acquire_slot()
        wire: Wire | None = None
        try:
            while self._idle:
                wire = self._idle.pop()
                try:
                    return wire, await wire.run(sql, values)
                except ConnectionLost as error:
                    if isinstance(error, NotAnswered):
                        raise
                    wire = None
            generation = self._generation
            wire = await self._hosts.connect()
            wire.generation = generation
            return wire, await wire.run(sql, values)
        except BaseException:
            self.give_back(wire)
            raise

    def give_back(self, wire: Wire | None) -> None:
        """End the use of a connection, and of its slot, or of a slot alone."""
        if wire is not None and (wire.busy or wire.in_transaction):
            task = asyncio.create_task(self._settle(wire))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)
            return
        if wire is not None and wire.generation != self._generation:
            wire.close()
        elif wire is not None and not wire.closed:
            self._idle.append(wire)
        self._free += 1
        self._slots.release()

    async def _settle(self, wire: Wire) -> None:
        """Give back a connection on which something is under way that nobody waits for."""
        try:
            await wire.settle()
            if wire.in_transaction:
                await wire.run("ROLLBACK")
        except psycopg.Error:
            wire.close()
        finally:
            if wire.busy or wire.in_transaction:
                wire.close()
            self.give_back(wire)

    async def _acquire_slot(self) -> None:
        if not self._slots.locked():
            await self._slots.acquire()
        else:
            try:
                async with asyncio.timeout(self._timeout):
                    await self._slots.acquire()
            except TimeoutError:
                raise PoolTimeout("no connection was free") from None
        self._free -= 1

    def _translated(self, error: psycopg.Error, sql: str) -> BaseException:
        return translated(error, sql, self.dialect)


class PostgresqlReader(_Pool):
    """Runs statements that only read."""

    async def run(self, command: Command) -> Sequence[tuple[Any, ...]]:
        """The rows as the driver makes them."""
        try:
            wire, result = await self._first_on(command.sql, command.values)
        except psycopg.Error as error:
            raise self._translated(error, command.sql) from error
        self.give_back(wire)
        return result.rows


class PostgresqlWriter(_Pool):
    """Begins transactions."""

    def __init__(self, hosts: Hosts, dialect: Dialect, *, size: int, timeout: float, reader: PostgresqlReader) -> None:
        super().__init__(hosts, dialect, size=size, timeout=timeout)
        self._reader = reader

    def leave(self, wire: Wire) -> None:
        """Turn away from a server that takes no writes: where there are several hosts, another one may be it now, and
        what was the primary is read no more."""
        wire.close()
        self.renew()
        if self._hosts.several:
            self._reader.renew()

    async def begin(self, *, long: bool = False) -> "PostgresqlTransaction":
        """A transaction on a connection of its own."""
        try:
            wire, _ = await self._first_on("BEGIN", ())
        except psycopg.Error as error:
            raise self._translated(error, "BEGIN") from error
        return PostgresqlTransaction(wire, self)


class PostgresqlTransaction:
    """A transaction."""

    def __init__(self, wire: Wire, writer: PostgresqlWriter) -> None:
        self._wire, self._writer = wire, writer
        self._later: list[tuple[str, Sequence[Any]]] = []

    async def run(self, command: Command) -> Result:
        """What a statement comes to."""
        try:
            if self._later:
                statements, self._later = [*self._later, (command.sql, command.values)], []
                return await self._wire.run_all(statements)
            return await self._wire.run(command.sql, command.values)
        except psycopg.Error as error:
            raise self._failed(error, command.sql) from error

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
            raise self._failed(error, commands.sql) from error

    async def commit(self) -> None:
        """Keep what was written. Raises where nothing is kept, for a statement has failed before."""
        await self.run(Command("COMMIT", (), list))

    async def end(self) -> None:
        """Take back what was not committed, and give the connection back."""
        wire = self._wire
        try:
            if wire.in_transaction and not wire.busy:
                await wire.run("ROLLBACK")
        except psycopg.Error:
            wire.close()
        finally:
            self._writer.give_back(wire)

    def _failed(self, error: psycopg.Error, sql: str) -> BaseException:
        if isinstance(error, ReadOnlySqlTransaction):
            self._writer.leave(self._wire)
        return translated(error, sql, self._writer.dialect)


def translated(error: psycopg.Error, sql: str, dialect: Dialect) -> BaseException:
    """The error as one of SQLAlchemy's."""
    return DBAPIError.instance(sql, None, error, psycopg.Error, hide_parameters=True, dialect=dialect)
