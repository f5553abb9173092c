"""The connection that writes SQLite, without a thread for each statement.

What is known to be short is done where it is asked for, on the event loop: statements about one row, and reads for as
long as their budget lasts. What may take long is done in a thread: waiting for another process's transaction, and
whatever is about many rows or much text. A COMMIT waits for the disk: it is done in the thread unless the one before it
was quick, or they are seldom. In the thread it holds nobody up, but for whoever waits for it, handing it over to a busy
process's thread and back takes several times as long as the disk.
"""

import asyncio
import math
import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, ParamSpec, TypeVar

from core.deadlines import Work
from db.driver.sessions import Result
from db.driver.sqlite.maintenance import MERGE_SECONDS, Checkpoints, merge_segments
from db.driver.sqlite.reader import STEPS, Budget, connect
from db.driver.sqlite.threads import AGAIN_SECONDS, in_time
from db.driver.sqlite.turns import Turns
from db.driver.threads import WorkerThread

P = ParamSpec("P")
T = TypeVar("T")

BUSY_TIMEOUT_MS = 15_000
QUICK_SECONDS = 0.0002
"""A COMMIT is done in place if the last one took no longer: handing it over would cost as much."""
BEARABLE_SECONDS = 0.002
"""It is done in place now and then if the last one took no longer: whoever waits for it is answered much sooner."""
SELDOM = 10
"""Now and then: the last one ended so many times as long ago as it took, and the event loop is held up for a tenth."""
CHECKPOINT_PAGES = 2_000
"""The size of the log (8 MB) at which a COMMIT carries over what is left, so that the log can begin anew."""
MAX_TEXT = 4_000
"""Characters of an INSERT's or UPDATE's values; a search index has to read them."""
SPARED_SECONDS = 1.0
_ONE_ROW = re.compile(
    r"(?:INSERT (?:OR \w+ )?INTO \w+ \([^)]*\) VALUES \([^()]*\)|UPDATE \w+ SET (?:(?!SELECT).)* WHERE \w+\.id = \?)"
    r"(?: ON CONFLICT (?:\([^)]*\) )?DO NOTHING)?(?: RETURNING [\w\s,.\"?]*)?",
    re.DOTALL,
)
_SAVEPOINT = re.compile(r"(?:ROLLBACK TO )?SAVEPOINT |RELEASE ")


class WritingConnection:
    """The connection. One task at a time may use it. Raises ``sqlite3.Error``."""

    def __init__(self, path: str) -> None:
        self._connection = connect(path, "busy_timeout = 0", f"wal_autocheckpoint = {CHECKPOINT_PAGES}")
        self._budget = Budget()
        self._turns = Turns(path)
        self._thread = WorkerThread("sqlite-writer")
        self._running: asyncio.Future[Any] | None = None
        self._stopped = self._reading = False
        self._commit_seconds = self._committed = math.inf
        self._checkpoints = Checkpoints(path)
        self.unmerged = 0
        """How many COMMITs there were since segments were merged."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open: some errors make SQLite roll all of it back."""
        return self._connection.in_transaction

    @property
    def running(self) -> asyncio.Future[Any] | None:
        """What the thread is still doing, perhaps for somebody who was cancelled."""
        return None if self._running is None or self._running.done() else self._running

    async def begin(self, work: Work) -> None:
        """Begin a transaction that may write, so that reading first and then writing never fails half-way."""
        if not self._turns.take():
            await self.in_thread(work, self._wait_and_begin)
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            await self.in_thread(work, self._wait_and_begin)

    def try_inline(self, sql: str, values: Any) -> Result | None:
        """What a statement comes to; None for one that may take long, of which nothing was done."""
        if sql.startswith("SELECT"):
            self._budget.begin()
            self._connection.set_progress_handler(self._budget.exceeded, STEPS)
            try:
                return self._execute(sql, values)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                    raise
                return None
            finally:
                self._connection.set_progress_handler(None, 0)
        return self._execute(sql, values) if _short(sql, values) else None

    async def execute(self, work: Work, sql: str, values: Any) -> Result:
        """What a statement comes to that may take long. Raises ``DeadlinePassed``."""
        self._reading = sql.startswith("SELECT")
        return await self.in_thread(work, self._execute, sql, values)

    async def execute_each(self, work: Work, sql: str, rows: Sequence[Any]) -> Result:
        """What a statement comes to with each of the sets of values. Raises ``DeadlinePassed``."""
        self._stopped = self._reading = False
        return await self.in_thread(work, self._execute_each, sql, rows)

    def stop(self, *, alone: bool) -> None:
        """End what the thread is doing for somebody who waits no more.

        With a statement that writes, SQLite takes back all of the transaction
        (https://www.sqlite.org/c3ref/interrupt.html): where it holds more than his (not ``alone``), it has
        ``SPARED_SECONDS`` to end by itself, before the others have to be told to try again.
        """
        self._stopped = True
        running = self.running
        if running is None:
            return
        if alone or self._reading:
            self._interrupt(running)
        else:
            asyncio.get_running_loop().call_later(SPARED_SECONDS, self._interrupt, running)

    def _interrupt(self, running: asyncio.Future[Any]) -> None:
        if not running.done():  # nothing else is begun before that has ended
            self._connection.interrupt()
            running.get_loop().call_later(AGAIN_SECONDS, self._interrupt, running)

    def commit(self, done: Callable[[None], None], failed: Callable[[Any], None]) -> None:
        """Keep what was written; one of the two is called, at once or later."""
        self._checkpoints.count()
        self.unmerged += 1
        if not self._is_done_in_place():
            self._thread.submit_with_callbacks(self._commit, done, failed)
            return
        try:
            self._commit()
        except sqlite3.Error as error:
            failed(error)
        else:
            done(None)

    def merge(self, done: Callable[[Any], None]) -> None:
        """Between two transactions: merge what the last ones left in the full-text indexes."""
        self.unmerged = 0
        # if it cannot be done, nothing is lost but time
        self._thread.submit_with_callbacks(self._merge, done, done)

    def rollback(self) -> None:
        """Take back all of the transaction."""
        try:
            if self._connection.in_transaction:
                self._connection.rollback()
        finally:
            self._turns.end()

    def savepoint(self) -> None:
        """Begin a part of the transaction that can be taken back by itself."""
        self._connection.execute("SAVEPOINT part")

    def release_savepoint(self) -> None:
        """Make what was written since ``savepoint`` the transaction's own."""
        self._connection.execute("RELEASE part")

    def rollback_to_savepoint(self) -> None:
        """Undo what was written since ``savepoint``."""
        self._connection.execute("ROLLBACK TO part")
        self._connection.execute("RELEASE part")

    def close(self) -> None:
        """Close the connection, which nobody uses."""
        self._connection.close()
        self._turns.close()
        self._thread.stop()
        self._checkpoints.stop()

    async def in_thread(self, work: Work, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something in the thread. Raises ``DeadlinePassed``."""
        self._running = future = self._thread.submit(partial(do, *args, **kwargs))
        # who is cancelled, or has no time left, does not wait: see ``running``
        return await in_time(future, work)

    def _is_done_in_place(self) -> bool:
        seconds = self._commit_seconds
        if seconds <= QUICK_SECONDS:
            return True
        return seconds <= BEARABLE_SECONDS and time.perf_counter() - self._committed > SELDOM * seconds

    def _commit(self) -> None:
        started = time.perf_counter()
        self._connection.commit()
        self._turns.end()
        self._committed = time.perf_counter()
        self._commit_seconds = self._committed - started

    def _merge(self) -> None:
        if self._turns.take():  # else it is for the next time
            try:
                merge_segments(self._connection, MERGE_SECONDS)
            finally:
                self._turns.end()

    def _execute(self, sql: str, values: Any) -> Result:
        cursor = self._connection.execute(sql, values)
        rows = cursor.fetchall()
        # an INSERT … RETURNING counts when its rows are read; a SELECT touches nothing
        return Result(rows, max(cursor.rowcount, 0))

    def _execute_each(self, sql: str, rows: Sequence[Any]) -> Result:
        found: list[Any] = []
        count = 0
        for values in rows:
            if self._stopped:
                break
            result = self._execute(sql, values)
            found += result.rows
            count += result.touched
        return Result(found, count)

    def _wait_and_begin(self) -> None:
        if not self._turns.held:
            self._turns.wait()
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
