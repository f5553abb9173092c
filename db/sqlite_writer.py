"""SQLite's writing connection for SQLAlchemy's aiosqlite dialect, without a thread for each statement.

aiosqlite takes every call to a thread: creating a task is 27 of them, 50 to 100 µs of CPU each. Here what is known to
be short is done where it is asked for, on the event loop: statements about one row, and reads for as long as
their budget lasts. What may take long is done in a thread: waiting for another process's transaction, everything
about many rows or much text, and every COMMIT, which waits for the disk.
"""

import asyncio
import re
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from db.sqlite import PRAGMAS, STEPS, Budget

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


class WritingConnection:
    """As much of ``aiosqlite.Connection`` as the dialect uses. One task at a time may use it, as SQLAlchemy sees to."""

    isolation_level = None

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
        for pragma in (*PRAGMAS, "busy_timeout = 0"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._budget = Budget()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._running: Future[Any] | None = None

    def cursor(self) -> "Cursor":
        return Cursor(self, self._connection.cursor())

    async def create_function(self, *arguments: Any, **options: Any) -> None:
        self._connection.create_function(*arguments, **options)

    async def commit(self) -> None:
        if self._connection.in_transaction:
            await self.in_thread(self._connection.commit)

    async def rollback(self) -> None:
        await self.settle()
        self._connection.rollback()

    async def close(self) -> None:
        await self.settle()
        self._connection.close()
        self._thread.shutdown(wait=False)

    def stop(self) -> None:
        """Close it without waiting, whatever it is doing."""
        self._connection.interrupt()
        self._thread.submit(self._connection.close)
        self._thread.shutdown(wait=False)

    def within_budget(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something here; ``sqlite3.OperationalError`` (interrupted) where it takes longer than the budget."""
        self._budget.begin()
        self._connection.set_progress_handler(self._budget.exceeded, STEPS)
        try:
            return work(*args, **kwargs)
        finally:
            self._connection.set_progress_handler(None, 0)

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something in the thread."""
        await self.settle()
        self._running = self._thread.submit(work, *args, **kwargs)
        # who is cancelled does not wait, but the next one will
        return await asyncio.shield(asyncio.wrap_future(self._running))

    async def settle(self) -> None:
        """Wait for what the thread is still doing for somebody who was cancelled."""
        if self._running is not None and not self._running.done():
            await asyncio.wait([asyncio.wrap_future(self._running)])
        self._running = None

    def begin(self, sql: str) -> None:
        """Begin, and wait for another process's transaction to end."""
        self._connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        try:
            self._connection.execute(sql)
        finally:
            self._connection.execute("PRAGMA busy_timeout = 0")


class Cursor:
    """As much of ``aiosqlite.Cursor`` as the dialect uses."""

    def __init__(self, connection: WritingConnection, cursor: sqlite3.Cursor) -> None:
        self._connection, self._cursor = connection, cursor
        self._rows: list[Any] = []
        self.arraysize = 1

    async def __aenter__(self) -> "Cursor":
        return self

    @property
    def description(self) -> Any:
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._cursor.lastrowid

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> "Cursor":
        connection = self._connection
        await connection.settle()
        if sql.startswith("BEGIN"):
            try:
                self._cursor.execute(sql)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                await connection.in_thread(connection.begin, sql)
        elif sql.startswith("SELECT"):
            try:
                connection.within_budget(self._run, sql, parameters)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                    raise
                await connection.in_thread(self._run, sql, parameters)
        elif _short(sql, parameters):
            self._run(sql, parameters)
        else:
            await connection.in_thread(self._run, sql, parameters)
        return self

    async def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> "Cursor":
        await self._connection.in_thread(self._cursor.executemany, sql, rows)
        return self

    async def fetchall(self) -> list[Any]:
        return self._rows

    async def close(self) -> None:
        self._cursor.close()

    def _run(self, sql: str, parameters: Sequence[Any]) -> None:
        self._rows = self._cursor.execute(sql, parameters).fetchall()


def _short(sql: str, parameters: Sequence[Any]) -> bool:
    """Whether a statement that writes is about one row, and little text."""
    if _SAVEPOINT.match(sql):
        return True
    text = sum(len(value) for value in parameters if isinstance(value, (str, bytes)))
    return text <= MAX_TEXT and _ONE_ROW.fullmatch(sql) is not None


async def connect(path: str) -> WritingConnection:
    """A connection, for ``create_async_engine(async_creator=…)``."""
    return WritingConnection(path)
