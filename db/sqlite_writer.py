"""Writing SQLite, whose one writer is a connection of this process's, without a thread for each statement.

What is known to be short is done where it is asked for, on the event loop: statements about one row, and reads for as
long as their budget lasts. What may take long is done in a thread: waiting for another process's transaction, whatever
is about many rows or much text, and every COMMIT, which waits for the disk.
"""

import asyncio
import re
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Dialect
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.sessions import Result
from db.sqlite import PRAGMAS, STEPS, Budget, translated
from db.statements import Command, Commands

P = ParamSpec("P")
T = TypeVar("T")

BUSY_TIMEOUT_MS = 15_000
MAX_TEXT = 4_000
"""Characters of an INSERT's or UPDATE's values; a search index has to read them."""
_ONE_ROW = re.compile(
    r"(?:INSERT (?:OR \w+ )?INTO \w+ \([^)]*\) VALUES \([^()]*\)|UPDATE \w+ SET (?:(?!SELECT).)* WHERE \w+\.id = \?)"
    r"(?: ON CONFLICT (?:\([^)]*\) )?DO NOTHING)?(?: RETURNING [\w\s,.\"]*)?",
    re.DOTALL,
)
_SAVEPOINT = re.compile(r"(?:ROLLBACK TO )?SAVEPOINT |RELEASE ")


class SqliteWriter:
    """Begins transactions, one at a time. Raises SQLAlchemy's ``TimeoutError`` after ``timeout`` seconds of waiting."""

    def __init__(self, path: str, dialect: Dialect, *, timeout: float) -> None:
        self._path, self._dialect, self._timeout = path, dialect, timeout
        self._turn = asyncio.Lock()
        self._connection: WritingConnection | None = None

    async def begin(self) -> "SqliteTransaction":
        """A transaction that has the database's only lock for writing."""
        if self._turn.locked():
            try:
                async with asyncio.timeout(self._timeout):
                    await self._turn.acquire()
            except TimeoutError:
                raise PoolTimeout("no other transaction ended") from None
        else:
            await self._turn.acquire()
        transaction = SqliteTransaction(self._connected(), self._dialect, self._turn)
        try:
            await transaction.begin()
        except BaseException:
            await transaction.end()
            raise
        return transaction

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    def _connected(self) -> "WritingConnection":
        if self._connection is None:
            try:
                self._connection = WritingConnection(self._path)
            except sqlite3.Error as error:
                self._turn.release()
                raise translated(error, None, self._dialect) from error
            except BaseException:
                self._turn.release()
                raise
        return self._connection


class SqliteTransaction:
    """A transaction on the writing connection."""

    def __init__(self, connection: "WritingConnection", dialect: Dialect, turn: asyncio.Lock) -> None:
        self._connection, self._dialect, self._turn = connection, dialect, turn

    async def begin(self) -> None:
        """Begin, so that reading first and then writing never fails half-way."""
        try:
            await self._connection.begin()
        except sqlite3.Error as error:
            raise translated(error, "BEGIN IMMEDIATE", self._dialect) from error

    async def run(self, command: Command) -> Result:
        """What a statement comes to."""
        try:
            return await self._connection.execute(command.sql, command.values)
        except sqlite3.Error as error:
            raise translated(error, command.sql, self._dialect) from error

    async def run_many(self, commands: Commands) -> Result:
        """What a statement comes to for each of many sets of values."""
        try:
            return await self._connection.in_thread(self._connection.execute_each, commands.sql, commands.values)
        except sqlite3.Error as error:
            raise translated(error, commands.sql, self._dialect) from error

    async def commit(self) -> None:
        """Keep what was written; it is on the disk then."""
        try:
            await self._connection.commit()
        except sqlite3.Error as error:
            raise translated(error, "COMMIT", self._dialect) from error

    async def end(self) -> None:
        """Take back what was not committed, and let the next one begin."""
        try:
            await self._connection.rollback()
        finally:
            self._turn.release()


class WritingConnection:
    """The connection. One task at a time may use it."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
        for pragma in (*PRAGMAS, "busy_timeout = 0"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._budget = Budget()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._running: Future[Any] | None = None

    async def begin(self) -> None:
        await self._settle()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            await self.in_thread(self._wait_and_begin)

    async def execute(self, sql: str, values: Any) -> Result:
        await self._settle()
        if sql.startswith("SELECT"):
            self._budget.begin()
            self._connection.set_progress_handler(self._budget.exceeded, STEPS)
            try:
                return self._execute(sql, values)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                    raise
            finally:
                self._connection.set_progress_handler(None, 0)
        elif _short(sql, values):
            return self._execute(sql, values)
        return await self.in_thread(self._execute, sql, values)

    def execute_each(self, sql: str, rows: Sequence[Any]) -> Result:
        """Run a statement with each of the sets of values."""
        found: list[Any] = []
        count = 0
        for values in rows:
            result = self._execute(sql, values)
            found += result.rows
            count += result.touched
        return Result(found, count)

    async def commit(self) -> None:
        await self.in_thread(self._connection.commit)

    async def rollback(self) -> None:
        await self._settle()
        if self._connection.in_transaction:
            self._connection.rollback()

    async def close(self) -> None:
        await self._settle()
        self._connection.close()
        self._thread.shutdown(wait=False)

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something in the thread."""
        await self._settle()
        self._running = self._thread.submit(work, *args, **kwargs)
        # who is cancelled does not wait, but the next one will
        return await asyncio.shield(asyncio.wrap_future(self._running))

    async def _settle(self) -> None:
        """Wait for what the thread is still doing for somebody who was cancelled."""
        if self._running is not None:
            if not self._running.done():
                await asyncio.wait([asyncio.wrap_future(self._running)])
            self._running = None

    def _execute(self, sql: str, values: Any) -> Result:
        cursor = self._connection.execute(sql, values)
        rows = cursor.fetchall()
        # an INSERT … RETURNING counts when its rows are read; a SELECT touches nothing
        return Result(rows, max(cursor.rowcount, 0))

    def _wait_and_begin(self) -> None:
        self._connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        finally:
            self._connection.execute("PRAGMA busy_timeout = 0")


def _short(sql: str, values: Sequence[Any]) -> bool:
    """Whether a statement that writes is about one row, and little text."""
    text = sum([len(value) for value in values if isinstance(value, (str, bytes))])
    return text <= MAX_TEXT and _is_about_one_row(sql)


@lru_cache(maxsize=1_000)
def _is_about_one_row(sql: str) -> bool:
    return _SAVEPOINT.match(sql) is not None or _ONE_ROW.fullmatch(sql) is not None
