"""Reading and writing PostgreSQL on connections in autocommit: a statement is one round trip.

Pools of our own, for libraries' pools wait for a server that is down where a request has to be told at once.
"""

import asyncio
from collections.abc import Hashable, Sequence
from typing import Any

import psycopg
from psycopg.errors import ReadOnlySqlTransaction
from sqlalchemy import Dialect
from sqlalchemy.exc import DBAPIError

from core.deadlines import LONG, UNBOUNDED, Caller, DeadlinePassed, Work, current
from db.driver.postgresql.connection import PgConnection
from db.driver.postgresql.exchange import ConnectionLost, NotAnswered
from db.driver.postgresql.hosts import Hosts
from db.driver.postgresql.locks import SetAside
from db.driver.sessions import Result
from db.driver.slots import Slots
from db.driver.statements import Command, Commands

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
        self._idle: list[PgConnection] = []
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
        for connection in idle:
            connection.close()

    def renew(self) -> None:
        """Use no connection again that was made until now: they may lead to a server that is the primary no more."""
        self._generation += 1
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    async def _first_on(self, sql: str, values: Sequence[Any]) -> tuple[PgConnection, Caller, Result]:
        """A connection, on which a statement was run that may be repeated, whom its slot is held for, and what the
        statement came to.

        Of a server that was started again, every connection is broken.
        """
        work = current.get()
        work.check()
        caller = work.caller
        if self.set_aside.tables or not self._slots.take(work):
            caller = await self._turn(sql, work)
        connection: PgConnection | None = None
        try:
            while self._idle:
                connection = self._idle.pop()
                connection.work = work
                self.set_aside.begin(connection, caller)
                try:
                    return connection, caller, await connection.run(sql, values)
                except ConnectionLost as error:
                    if isinstance(error, NotAnswered):
                        raise
                    self.set_aside.forget(connection)
                    connection = None
            connection = await self._connect(work)
            self.set_aside.begin(connection, caller)
            return connection, caller, await connection.run(sql, values)
        except BaseException:
            self.give_back(connection, caller)
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

    async def _connect_anew(self) -> PgConnection:
        return await self._hosts.connect()

    async def _connect(self, work: Work) -> PgConnection:
        generation = self._generation
        try:
            async with asyncio.timeout(None if work is UNBOUNDED else work.left):
                connection = await self._connect_anew()
        except TimeoutError:
            raise DeadlinePassed(work.seconds) from None
        connection.generation, connection.work = generation, work
        return connection

    def give_back(self, connection: PgConnection | None, caller: Caller) -> None:
        """End the use of a connection, and of the slot that is held for a caller, or of the slot alone."""
        if connection is not None and (connection.busy or connection.in_transaction):
            connection.work = UNBOUNDED
            task = asyncio.create_task(self._settle(connection, caller))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)
            return
        if connection is not None and connection.generation != self._generation:
            connection.close()
        elif connection is not None and not connection.closed:
            if len(self._idle) < self.size:
                self._idle.append(connection)
            else:  # one more than those of the turns
                connection.close()
        self.set_aside.end(connection, caller)

    async def _settle(self, connection: PgConnection, caller: Caller) -> None:
        """Give back a connection on which something is under way that nobody waits for."""
        try:
            await connection.settle()
            if connection.in_transaction:
                await connection.run("ROLLBACK")
        except psycopg.Error:
            connection.close()
        finally:
            if connection.busy or connection.in_transaction:
                connection.close()
            self.give_back(connection, caller)

    def _translated(self, error: psycopg.Error, sql: str) -> BaseException:
        return translated(error, sql, self.dialect)


class PostgresqlReader(_Pool):
    """Runs statements that only read."""

    async def run(self, command: Command) -> Sequence[tuple[Any, ...]]:
        """The rows as the driver makes them."""
        try:
            connection, caller, result = await self._first_on(command.sql, command.values)
        except psycopg.Error as error:
            raise self._translated(error, command.sql) from error
        self.give_back(connection, caller)
        return result.rows

    def version(self) -> Hashable:
        """Not known."""
        return None


class PostgresqlWriter(_Pool):
    """Begins transactions."""

    writes = True

    def __init__(self, hosts: Hosts, dialect: Dialect, *, size: int, timeout: float, reader: PostgresqlReader) -> None:
        super().__init__(hosts, dialect, size=size, timeout=timeout)
        self._reader = reader

    def leave(self, connection: PgConnection) -> None:
        """Turn away from a server that takes no writes: where there are several hosts, another one may be it now, and
        what was the primary is read no more."""
        connection.close()
        self.renew()
        if self._hosts.several:
            self._reader.renew()

    async def begin(self, *, long: bool = False) -> "PostgresqlTransaction":
        """A transaction on a connection of its own."""
        try:
            connection, caller, _ = await self._first_on("BEGIN", ())
        except psycopg.Error as error:
            raise self._translated(error, "BEGIN") from error
        return PostgresqlTransaction(connection, self, caller)


class PostgresqlTransaction:
    """A transaction."""

    def __init__(self, connection: PgConnection, writer: PostgresqlWriter, caller: Caller) -> None:
        self._connection, self._writer, self._caller = connection, writer, caller
        self._deferred: list[tuple[str, Sequence[Any]]] = []
        self._long = False

    async def run(self, command: Command) -> Result:
        """What a statement comes to."""
        self._begin_statement()
        try:
            if self._writer.set_aside.tables:
                self._writer.set_aside.go_aside(self._connection, command.sql)
            if self._deferred:
                statements, self._deferred = [*self._deferred, (command.sql, command.values)], []
                return await self._connection.run_all(statements)
            return await self._connection.run(command.sql, command.values)
        except psycopg.Error as error:
            raise self._failed(error, command.sql) from error

    async def execute_deferred(self, command: Command) -> None:
        """Send a statement together with the next one, or with COMMIT."""
        self._deferred.append((command.sql, command.values))

    async def run_many(self, commands: Commands) -> Result:
        """What a statement comes to for each of many sets of values."""
        self._begin_statement()
        try:
            if self._deferred:
                statements, self._deferred = self._deferred, []
                await self._connection.run_all(statements)
            returning = " RETURNING " in commands.sql
            return await self._connection.run_many(commands.sql, commands.values, returning=returning)
        except psycopg.Error as error:
            raise self._failed(error, commands.sql) from error

    def _begin_statement(self) -> None:
        """Raises ``DeadlinePassed``. Of work that takes long the server is told, which would end its statements."""
        work = self._connection.work
        work.check()
        if work.long and not self._long:
            self._long = True
            self._deferred.append((_ALLOW_LONG, [f"{self._writer.limits.statement * LONG * 1000:.0f}ms"]))

    async def commit(self) -> None:
        """Keep what was written. Raises where nothing is kept, for a statement has failed before, or it is too late."""
        self._connection.work.check()
        statements, self._deferred = self._deferred, []
        try:
            await self._connection.commit(statements)
        except psycopg.Error as error:
            raise self._failed(error, "COMMIT") from error

    async def end(self) -> None:
        """Take back what was not committed, and give the connection back."""
        connection = self._connection
        connection.work = UNBOUNDED
        try:
            if connection.in_transaction and not connection.busy:
                await connection.run("ROLLBACK")
        except psycopg.Error:
            connection.close()
        finally:
            self._writer.give_back(connection, self._caller)

    def _failed(self, error: psycopg.Error, sql: str) -> BaseException:
        if isinstance(error, ReadOnlySqlTransaction):
            self._writer.leave(self._connection)
        return translated(error, sql, self._writer.dialect)


def translated(error: psycopg.Error, sql: str, dialect: Dialect) -> BaseException:
    """The error as one of SQLAlchemy's."""
    return DBAPIError.instance(sql, None, error, psycopg.Error, hide_parameters=True, dialect=dialect)
