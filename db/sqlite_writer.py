"""Writing SQLite, whose one writer is a connection of this process's, without a thread for each statement.

What is known to be short is done where it is asked for, on the event loop: statements about one row, and reads for as
long as their budget lasts. What may take long is done in a thread: waiting for another process's transaction, and
whatever is about many rows or much text. A COMMIT waits for the disk: it is done in the thread unless the one before it
was quick, for many disks take the tenth of a millisecond that handing it over would cost. What the log (WAL) has
gathered is carried over into the database (checkpoint) in a thread of its own, before a COMMIT would have to.
"""

import asyncio
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import lru_cache, partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Dialect
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.sessions import Result
from db.sqlite import PRAGMAS, STEPS, Budget, translated
from db.statements import Command, Commands

P = ParamSpec("P")
T = TypeVar("T")
_Work = tuple[Callable[[], Any], asyncio.Future[Any]]

BUSY_TIMEOUT_MS = 15_000
QUICK_SECONDS = 0.0002
"""A COMMIT that took longer makes the next one go to the thread, which costs about as much, but holds nobody up."""
CHECKPOINT_COMMITS = 32
"""How many there are between two checkpoints."""
CHECKPOINT_PAGES = 2_000
"""The size of the log (8 MB) at which a COMMIT carries over what is left, so that the log can begin anew."""
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

    async def later(self, command: Command) -> None:
        """At once: nothing is won by waiting."""
        await self.run(command)

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
        for pragma in (*PRAGMAS, "busy_timeout = 0", f"wal_autocheckpoint = {CHECKPOINT_PAGES}"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._budget = Budget()
        self._thread = _Thread("sqlite-writer")
        self._running: asyncio.Future[Any] | None = None
        self._commit_seconds = QUICK_SECONDS + 1
        self._checkpoints = Checkpoints(path)

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
        await self._settle()
        if self._commit_seconds <= QUICK_SECONDS:
            self._commit()
        else:
            await self.in_thread(self._commit)
        self._checkpoints.count()

    async def rollback(self) -> None:
        await self._settle()
        if self._connection.in_transaction:
            self._connection.rollback()

    async def close(self) -> None:
        await self._settle()
        self._connection.close()
        self._thread.stop()
        self._checkpoints.stop()

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something in the thread."""
        await self._settle()
        self._running = future = self._thread.submit(partial(work, *args, **kwargs))
        # who is cancelled does not wait, but the next one will
        return await asyncio.shield(future)

    async def _settle(self) -> None:
        """Wait for what the thread is still doing for somebody who was cancelled."""
        if self._running is not None:
            if not self._running.done():
                await asyncio.wait([self._running])
            self._running = None

    def _commit(self) -> None:
        started = time.perf_counter()
        self._connection.commit()
        self._commit_seconds = time.perf_counter() - started

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


class Checkpoints:
    """Carries the log over into the database now and then, beside those who read and write."""

    def __init__(self, path: str) -> None:
        # never made anew where somebody has removed it
        self._address = f"{Path(path).absolute().as_uri()}?mode=rw"
        self._commits = 0
        self._thread: _Thread | None = None
        self._running: asyncio.Future[None] | None = None

    def count(self) -> None:
        """One more transaction is in the log."""
        self._commits += 1
        if self._commits >= CHECKPOINT_COMMITS and (self._running is None or self._running.done()):
            self._commits = 0
            self._thread = self._thread or _Thread("sqlite-checkpoint")
            self._running = self._thread.submit(self._carry_over)

    def stop(self) -> None:
        """End after the one that is under way."""
        if self._thread is not None:
            self._thread.stop()

    def _carry_over(self) -> None:
        # PASSIVE: as far as is possible without waiting for anybody
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._address, uri=True)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


class _Thread:
    """Does one thing after the other. An executor of the standard library's takes three times as long to hand over."""

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        # a process may end while it works: what is not committed then never was
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do it; the future is not to be cancelled."""
        future = asyncio.get_running_loop().create_future()
        self._work.put((work, future))
        return future

    def stop(self) -> None:
        """End after what has been submitted."""
        self._work.put(None)

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            work, future = item
            try:
                outcome, settle = work(), future.set_result
            except BaseException as error:
                outcome, settle = error, future.set_exception
            with suppress(RuntimeError):  # nobody waits any more: the loop is closed
                future.get_loop().call_soon_threadsafe(settle, outcome)
            del item, work, future, outcome, settle  # while it waits, it holds nothing


def _short(sql: str, values: Sequence[Any]) -> bool:
    """Whether a statement that writes is about one row, and little text."""
    text = sum([len(value) for value in values if isinstance(value, (str, bytes))])
    return text <= MAX_TEXT and _is_about_one_row(sql)


@lru_cache(maxsize=1_000)
def _is_about_one_row(sql: str) -> bool:
    return _SAVEPOINT.match(sql) is not None or _ONE_ROW.fullmatch(sql) is not None
