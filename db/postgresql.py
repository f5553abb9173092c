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

from core.deadlines import LONG, UNBOUNDED, Caller, DeadlinePassed, Work, current
from db.postgresql_exchange import ConnectionLost, NotAnswered
from db.postgresql_hosts import Hosts
from db.postgresql_locks import SetAside
from db.postgresql_wire import Wire
from db.sessions import Result
from db.slots import Slots
from db.statements import Command, Commands

_ALLOW_LONG = """
    SELECT set_config(name, $1, true) FROM pg_settings WHERE name = 'statement_timeout' AND source = 'session'"""
"""For a transaction; unless an operator has said how long a statement may take."""


class _Pool:
    """Up to ``size`` connections, made when they are needed and kept.

    Whoever takes a connection holds a slot, which comes back with it: at once, or where somebody was cancelled or had
    no time left, when what is under way on it has ended in the database. Raises SQLAlchemy's ``DBAPIError``,
    ``DeadlinePassed`` and, where no connection is free for ``timeout`` seconds, SQLAlchemy's ``TimeoutError``.
    """

    writes = False
    """Whether a turn lasts for several statements, of which the first say nothing of those that follow."""

    def __init__(self, hosts: Hosts, dialect: Dialect, *, size: int, timeout: float) -> None:
        self._hosts, self.dialect, self.limits = hosts, dialect, hosts.limits
        hosts.when_left(self.renew)
        self._idle: list[Wire] = []
        self.size = size
        self._slots = Slots(size, timeout=timeout, lacking="no connection was free")
        self.set_aside = SetAside(
            self._slots, self._connect_anew, most=size, seconds=self.limits.lock, counted=self.writes
        )
        self._settling: set[asyncio.Task[None]] = set()
        self._generation = 0

    @property
    def free(self) -> int:
        """How many connections could be taken now."""
        return self._slots.free

    async def close(self) -> None:
        """Close the connections that are not in use, once what was given up has been cancelled."""
        await self._hosts.close()
        if self._settling:
            await asyncio.wait(self._settling)
        await self.set_aside.close()
        idle, self._idle = self._idle, []
        for wire in idle:
            wire.close()

    def renew(self) -> None:
        """Use no connection again that was made until now: they may lead to a server that is the primary no more."""
        self._generation += 1
        idle, self._idle = self._idle, []
        for wire in idle:
            wire.close()

    async def _first_on(self, sql: str, values: Sequence[Any]) -> tuple[Wire, Caller, Result]:
        """A connection, on which a statement was run that may be repeated, whom its slot is held for, and what the
        statement came to.

        Of a server that was started again, every connection is broken.
        """
        work = current.get()
        work.check()
        caller = work.caller
        if self.set_aside.tables or not self._slots.take(work):
            caller = await self._turn(sql, work)
        wire: Wire | None = None
        try:
            while self._idle:
                wire = self._idle.pop()
                wire.work = work
                self.set_aside.begin(wire, caller)
                try:
                    return wire, caller, await wire.run(sql, values)
                except ConnectionLost as error:
                    if isinstance(error, NotAnswered):
                        raise
                    self.set_aside.forget(wire)
                    wire = None
            wire = await self._connect(work)
            self.set_aside.begin(wire, caller)
            return wire, caller, await wire.run(sql, values)
        except BaseException:
            self.give_back(wire, caller)
            raise

    async def _turn(self, sql: str, work: Work) -> Caller:
        """Have a turn, when no table is locked that the statement needs. Returns whom it is held for."""
        while True:
            await self.set_aside.wait(sql, work)
            if not self._slots.take(work):
                self.set_aside.watch()
                caller = await self._slots.acquire(work)
            else:
                caller = work.caller
            if not self.set_aside.concerns(sql):
                return caller
            self._slots.release(caller)

    async def _connect_anew(self) -> Wire:
        return await self._hosts.connect()

    async def _connect(self, work: Work) -> Wire:
        generation = self._generation
        try:
            async with asyncio.timeout(None if work is UNBOUNDED else work.left):
                wire = await self._connect_anew()
        except TimeoutError:
            raise DeadlinePassed(work.seconds) from None
        wire.generation, wire.work = generation, work
        return wire

    def give_back(self, wire: Wire | None, caller: Caller) -> None:
        """End the use of a connection, and of the slot that is held for a caller, or of the slot alone."""
        if wire is not None and (wire.busy or wire.in_transaction):
            wire.work = UNBOUNDED
            task = asyncio.create_task(self._settle(wire, caller))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)
            return
        if wire is not None and wire.generation != self._generation:
            wire.close()
        elif wire is not None and not wire.closed:
            if len(self._idle) < self.size:
                self._idle.append(wire)
            else:  # one more than those of the turns
                wire.close()
        self.set_aside.end(wire, caller)

    async def _settle(self, wire: Wire, caller: Caller) -> None:
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
            self.give_back(wire, caller)

    def _translated(self, error: psycopg.Error, sql: str) -> BaseException:
        return translated(error, sql, self.dialect)


class PostgresqlReader(_Pool):
    """Runs statements that only read."""

    async def run(self, command: Command) -> Sequence[tuple[Any, ...]]:
        """The rows as the driver makes them."""
        try:
            wire, caller, result = await self._first_on(command.sql, command.values)
        except psycopg.Error as error:
            raise self._translated(error, command.sql) from error
        self.give_back(wire, caller)
        return result.rows


class PostgresqlWriter(_Pool):
    """Begins transactions."""

    writes = True

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
            wire, caller, _ = await self._first_on("BEGIN", ())
        except psycopg.Error as error:
            raise self._translated(error, "BEGIN") from error
        return PostgresqlTransaction(wire, self, caller)


class PostgresqlTransaction:
    """A transaction."""

    def __init__(self, wire: Wire, writer: PostgresqlWriter, caller: Caller) -> None:
        self._wire, self._writer, self._caller = wire, writer, caller
        self._later: list[tuple[str, Sequence[Any]]] = []
        self._long = False

    async def run(self, command: Command) -> Result:
        """What a statement comes to."""
        self._begin_statement()
        try:
            if self._writer.set_aside.tables:
                self._writer.set_aside.go_aside(self._wire, command.sql)
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
        self._begin_statement()
        try:
            if self._later:
                statements, self._later = self._later, []
                await self._wire.run_all(statements)
            returning = " RETURNING " in commands.sql
            return await self._wire.run_many(commands.sql, commands.values, returning=returning)
        except psycopg.Error as error:
            raise self._failed(error, commands.sql) from error

    def _begin_statement(self) -> None:
        """Raises ``DeadlinePassed``. Of work that takes long the server is told, which would end its statements."""
        work = self._wire.work
        work.check()
        if work.long and not self._long:
            self._long = True
            self._later.append((_ALLOW_LONG, [f"{self._writer.limits.statement * LONG * 1000:.0f}ms"]))

    async def commit(self) -> None:
        """Keep what was written. Raises where nothing is kept, for a statement has failed before, or it is too late."""
        self._wire.work.check()
        statements, self._later = self._later, []
        try:
            await self._wire.commit(statements)
        except psycopg.Error as error:
            raise self._failed(error, "COMMIT") from error

    async def end(self) -> None:
        """Take back what was not committed, and give the connection back."""
        wire = self._wire
        wire.work = UNBOUNDED
        try:
            if wire.in_transaction and not wire.busy:
                await wire.run("ROLLBACK")
        except psycopg.Error:
            wire.close()
        finally:
            self._writer.give_back(wire, self._caller)

    def _failed(self, error: psycopg.Error, sql: str) -> BaseException:
        if isinstance(error, ReadOnlySqlTransaction):
            self._writer.leave(self._wire)
        return translated(error, sql, self._writer.dialect)


def translated(error: psycopg.Error, sql: str, dialect: Dialect) -> BaseException:
    """The error as one of SQLAlchemy's."""
    return DBAPIError.instance(sql, None, error, psycopg.Error, hide_parameters=True, dialect=dialect)
