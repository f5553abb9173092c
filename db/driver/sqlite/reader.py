"""Reading SQLite without a thread for each statement.

A statement runs where it is asked for, on the event loop: most take 10 to 500 µs, a hop to a thread and back 100 µs of
CPU. One that takes longer is interrupted after ``BUDGET_SECONDS`` and begins again in a thread, where it may take its
time (``threads``); after the second time in a row, it is sent there at once for a while. The budget is processor time,
and time on the clock only with a wide margin: on a busy machine the process is put aside for milliseconds, whatever it
is doing.
"""

import sqlite3
import time
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.exc import DBAPIError

from core.deadlines import current
from db.driver.sqlite.database_file import SqliteFile
from db.driver.sqlite.threads import SlowReads
from db.driver.statements import Command

BUDGET_SECONDS = 0.003
"""How much processor time a statement may take on the event loop."""
MAX_SECONDS = 0.03
"""How long it may hold the event loop in any case: reading from a slow disk takes no processor time."""
STEPS = 10_000
"""Instructions of SQLite's machine (20 to 100 ns each) between two looks at the clock."""
SLOW_SECONDS = 30.0
MAX_SLOW = 200
PRAGMAS = (
    "busy_timeout = 15000",
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "cache_size = -16000",
    "temp_store = MEMORY",
)


def connect(path: str, *pragmas: str) -> sqlite3.Connection:
    """A connection with ``PRAGMAS`` and those. Raises ``sqlite3.Error``, and leaves none open then."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
    try:
        for pragma in (*PRAGMAS, *pragmas):
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:  # the file is no database, or is locked
        connection.close()
        raise
    return connection


class Budget:
    """What a statement that runs on the event loop may take: SQLite asks now and then (``set_progress_handler``)."""

    __slots__ = ("_cpu", "_until")

    def __init__(self) -> None:
        self._cpu = self._until = 0.0

    def begin(self) -> None:
        """From now on."""
        # what the clock of the processor says costs a system call: it is asked only of statements that are not short
        self._cpu, self._until = 0.0, time.perf_counter() + MAX_SECONDS

    def exceeded(self) -> bool:
        """Whether the statement is to be interrupted."""
        if not self._cpu:
            self._cpu = time.thread_time() + BUDGET_SECONDS
            return False
        return time.thread_time() > self._cpu or time.perf_counter() > self._until


class SqliteReader:
    """Reads one database: with a connection of its own on the event loop, and up to ``threads`` in threads.

    Raises SQLAlchemy's ``DBAPIError``, ``DeadlinePassed`` and, where no thread is free for ``timeout`` seconds,
    SQLAlchemy's ``TimeoutError``.
    """

    def __init__(self, path: str, dialect: Dialect, *, threads: int, timeout: float) -> None:
        self._path, self._dialect = path, dialect
        self._file = SqliteFile(path)
        self._loop_connection: sqlite3.Connection | None = None
        self._opened = 0
        """How many connections there have been on the event loop."""
        self._budget = Budget()
        self.slow_reads = SlowReads(self._connect, threads=threads, timeout=timeout)
        self._slow: OrderedDict[str, float] = OrderedDict()
        self._interrupted: set[str] = set()

    async def run(self, command: Command) -> Sequence[tuple[Any, ...]]:
        """The rows as SQLite has them."""
        work = current.get()
        moment = time.monotonic()
        if moment >= work.deadline:
            work.check()
        if moment > self._file.due:
            self._look_for_file(command)
        if not (self._slow and self._is_slow(command.sql)):
            try:
                rows = self._run_here(command)
                if self._interrupted:
                    self._interrupted.discard(command.sql)
                return rows
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                    self._note_interrupted(command.sql)
                elif error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise translated(error, command.sql, self._dialect) from error
            except sqlite3.Error as error:
                raise translated(error, command.sql, self._dialect) from error
        try:
            return await self.slow_reads.run(command, work)
        except sqlite3.Error as error:
            raise translated(error, command.sql, self._dialect) from error

    def version(self) -> Hashable:
        """As ``Reader`` has it: some µs, where a statement takes sixty."""
        if self._loop_connection is None:
            return None
        self._budget.begin()
        try:
            return self._opened, self._loop_connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return None

    def _look_for_file(self, command: Command) -> None:
        try:
            if self._file.is_another():
                self._close_loop_connection()
                self.slow_reads.renew()
        except sqlite3.Error as error:
            raise translated(error, command.sql, self._dialect) from error

    async def close(self) -> None:
        """Close every connection; a statement that still runs is interrupted."""
        self._close_loop_connection()
        self.slow_reads.close()

    def _close_loop_connection(self) -> None:
        if self._loop_connection is not None:
            self._loop_connection.close()
            self._loop_connection = None

    def _run_here(self, command: Command) -> Sequence[tuple[Any, ...]]:
        if self._loop_connection is None:
            self._loop_connection = self._connect(wait=False)
            self._opened += 1
            self._loop_connection.set_progress_handler(self._budget.exceeded, STEPS)
        self._budget.begin()
        return self._loop_connection.execute(command.sql, command.values).fetchall()

    def _connect(self, *, wait: bool = True) -> sqlite3.Connection:
        # those of the threads read much at a time and seldom the same: the system's cache will do for them
        return connect(self._path, "cache_size = -2000" if wait else "busy_timeout = 0")

    def _is_slow(self, sql: str) -> bool:
        until = self._slow.get(sql)
        if until is None:
            return False
        if until < time.monotonic():
            del self._slow[sql]
            return False
        return True

    def _note_interrupted(self, sql: str) -> None:
        """A statement is slow when it is interrupted twice in a row: the first time, it may have met a cold cache."""
        if sql not in self._interrupted:
            if len(self._interrupted) >= MAX_SLOW:
                self._interrupted.clear()
            self._interrupted.add(sql)
            return
        self._interrupted.discard(sql)
        self._slow[sql] = time.monotonic() + SLOW_SECONDS
        if len(self._slow) > MAX_SLOW:
            self._slow.popitem(last=False)


def translated(error: sqlite3.Error, sql: str | None, dialect: Dialect) -> BaseException:
    """The error as one of SQLAlchemy's."""
    return DBAPIError.instance(sql, None, error, sqlite3.Error, hide_parameters=True, dialect=dialect)
