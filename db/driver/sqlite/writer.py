"""Writing SQLite, which has one writer: transactions take turns, and those that wait for one another share a COMMIT.

A COMMIT waits for the disk. Where others are waiting for their turn when a transaction is done, the next one goes on in
the same transaction of SQLite, in a part of its own (SAVEPOINT), and all of them are committed together (group commit):
each is answered when what it wrote is on the disk, and one that fails takes back its own part alone. It is as if they
had been committed one after the other, which is what their writing was.
"""

import asyncio
import sqlite3
import time
from contextlib import suppress
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.exc import TimeoutError as PoolTimeout

from core.deadlines import UNBOUNDED, Work, current
from db.driver.sessions import Result
from db.driver.slots import Queue
from db.driver.sqlite.database_file import SqliteFile
from db.driver.sqlite.maintenance import MERGE_COMMITS, OVERDUE_COMMITS
from db.driver.sqlite.reader import translated
from db.driver.sqlite.writing_connection import WritingConnection
from db.driver.statements import Command, Commands

MAX_SHARED = 16
"""How many transactions one COMMIT is for at most: the first of them waits for the work of all."""
IDLE_SECONDS = 0.01
"""After a COMMIT; those that come in a bundle come sooner."""


class RolledBack(sqlite3.OperationalError):
    """SQLite has rolled the transaction back by itself, as it does where the disk is full or cannot be read."""

    sqlite_errorcode = sqlite3.SQLITE_ABORT_ROLLBACK
    sqlite_errorname = "SQLITE_ABORT_ROLLBACK"

    def __init__(self) -> None:
        super().__init__("SQLite has rolled the transaction back")


class _Group:
    """Transactions that are done, and are committed together."""

    def __init__(self) -> None:
        self.size = 0
        self.committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, error: BaseException) -> None:
        """None of them is committed."""
        self.committed.set_exception(error)
        self.committed.exception()  # they may all have been cancelled: nobody has to be told


class SqliteWriter:
    """Begins transactions, one at a time. Raises ``DeadlinePassed``, and SQLAlchemy's ``TimeoutError`` after so many
    seconds (``timeout``) of waiting."""

    def __init__(self, path: str, dialect: Dialect, *, timeout: float) -> None:
        self.dialect = dialect
        self._path, self._timeout = path, timeout
        self._file = SqliteFile(path)
        self._connection: WritingConnection | None = None
        self.taken = False
        """Whether it is somebody's turn, or something is being committed."""
        self._waiting = Queue(self._schedule_next)
        self._group: _Group | None = None
        """Those that are done in the transaction that is open."""
        self._timer: asyncio.TimerHandle | None = None
        """Until segments of the full-text indexes are merged."""

    async def begin(self, *, long: bool = False) -> "SqliteTransaction":
        """A transaction that has the database's only lock for writing. Nobody's COMMIT waits for one that takes
        ``long``."""
        work = current.get()
        work.check()
        await self._take_turn(work, long)
        try:
            group = self._group
            if group is None and time.monotonic() > self._file.due and self._file.is_another():
                self._close_connection()
            if self._connection is None:
                self._connection = WritingConnection(self._path)
            if group is not None:
                self._connection.savepoint()
            else:
                await self._connection.begin(work)
        except BaseException as error:
            self.rollback(None)
            if isinstance(error, sqlite3.Error):
                raise translated(error, "BEGIN IMMEDIATE", self.dialect) from error
            raise
        return SqliteTransaction(self, self._connection, group, work)

    def commit(self, joined: _Group | None) -> asyncio.Future[None]:
        """End the turn of a transaction that is done: the future says when it is committed. Raises ``sqlite3.Error``,
        and then it is to be taken back."""
        assert self._connection is not None  # noqa: S101 - it has had its turn
        if not self._connection.in_transaction:
            raise RolledBack
        if joined is not None:
            self._connection.release_savepoint()
        group = self._group = self._group or _Group()
        group.size += 1
        self._schedule_next()
        return group.committed

    def rollback(self, joined: _Group | None) -> None:
        """End the turn of a transaction that failed; what the thread still does for it is ended first."""

        def end(running: asyncio.Future[Any] | None = None) -> None:
            if running is not None:
                running.exception()  # who was cancelled does not ask for it
            self._end_turn(joined)

        running = None if self._connection is None else self._connection.running
        if running is not None and self._connection is not None:
            running.add_done_callback(end)
            self._connection.stop(alone=joined is None and self._group is None)
        else:
            end()

    async def close(self) -> None:
        """Close the connection when it is nobody's turn any more; leave it to whoever does not end."""
        with suppress(PoolTimeout):
            await self._take_turn(UNBOUNDED, long=True)
            if self._timer is not None:
                self._timer.cancel()
            self._close_connection()
            self._schedule_next()

    def _close_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _take_turn(self, work: Work, long: bool) -> None:
        if self.taken:
            await self._waiting.wait(work, self._timeout, "no other transaction ended", long=long)
        self.taken = work.begun = True

    def _end_turn(self, joined: _Group | None) -> None:
        """Take back what was written in a turn, or before it by others if SQLite has done so, and go on."""
        connection = self._connection
        try:
            if connection is not None:
                if joined is not None and connection.in_transaction:
                    connection.rollback_to_savepoint()
                elif self._group is None:
                    connection.rollback()
                elif not connection.in_transaction:
                    raise RolledBack
        except sqlite3.Error as error:
            self._failed(error)
        else:
            self._schedule_next()

    def _schedule_next(self, _outcome: object = None) -> None:
        """It is the next one's turn; or that of the disk, where nobody follows who may share the COMMIT."""
        following = self._waiting.first()
        if self._group is not None and (following is None or following.long or self._group.size >= MAX_SHARED):
            assert self._connection is not None  # noqa: S101 - there is something to be committed
            self._connection.commit(self._committed, self._failed)
        elif following is not None:
            self._waiting.serve(following)
        else:
            self.taken = False
            if self._timer is None and self._connection is not None and self._connection.unmerged >= MERGE_COMMITS:
                self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._merge_if_idle)

    def _merge_if_idle(self) -> None:
        """Merge segments where nobody writes just now; else after another COMMIT."""
        self._timer = None
        if self._connection is not None and not self.taken:
            self.taken = True
            self._connection.merge(self._schedule_next)

    def _committed(self, _none: None) -> None:
        group, self._group = self._group, None
        if group is not None:
            group.committed.set_result(None)
        connection = self._connection
        if connection is not None and connection.unmerged >= OVERDUE_COMMITS:
            connection.merge(self._schedule_next)
        else:
            self._schedule_next()

    def _failed(self, error: BaseException) -> None:
        group, self._group = self._group, None
        if group is not None:
            group.fail(error)
        if self._connection is not None:
            self._connection.rollback()
        self._schedule_next()


class SqliteTransaction:
    """A transaction on the writing connection; it may have ``joined`` others that are done."""

    def __init__(self, writer: SqliteWriter, connection: WritingConnection, joined: _Group | None, work: Work) -> None:
        self._writer, self._connection, self._joined, self._work = writer, connection, joined, work
        self._open = True

    async def run(self, command: Command) -> Result:
        """What a statement comes to."""
        self._work.check()
        try:
            result = self._connection.try_inline(command.sql, command.values)
            if result is None:
                result = await self._connection.execute(self._work, command.sql, command.values)
            return result
        except sqlite3.Error as error:
            raise self._translated(error, command.sql) from error

    async def execute_deferred(self, command: Command) -> None:
        """At once: nothing is won by waiting."""
        await self.run(command)

    async def run_many(self, commands: Commands) -> Result:
        """What a statement comes to for each of many sets of values."""
        self._work.check()
        try:
            return await self._connection.execute_each(self._work, commands.sql, commands.values)
        except sqlite3.Error as error:
            raise self._translated(error, commands.sql) from error

    async def commit(self) -> None:
        """Keep what was written; it is on the disk then."""
        self._work.check()
        try:
            committed = self._writer.commit(self._joined)
            self._open = False
            await asyncio.shield(committed)
        except sqlite3.Error as error:
            raise self._translated(error, "COMMIT") from error

    async def end(self) -> None:
        """Take back what was not committed, and let the next one begin."""
        if self._open:
            self._open = False
            self._writer.rollback(self._joined)
            if self._joined is not None:
                # it may have failed because of what is not on the disk yet
                await asyncio.wait([self._joined.committed])

    def _translated(self, error: sqlite3.Error, sql: str) -> BaseException:
        return translated(error, sql, self._writer.dialect)
