"""What SQLite would do now and then in the middle of somebody's request, done beside the requests.

Left to itself, a COMMIT carries the log (WAL) over into the database when it has grown, and an INSERT merges the
segments of a full-text index (FTS5) when there are many. Either takes 10 to 50 ms, for which everybody waits. Here the
log is carried over by a thread of its own, and segments are merged a little at a time by the writer's thread. The
migrations tell the indexes not to merge while they are written (``automerge``, ``crisismerge``).
"""

import asyncio
import math
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from db.driver.threads import WorkerThread

CHECKPOINT_COMMITS = 32
"""How many there are between two checkpoints."""
CHECKPOINT_PASSES = 4
"""What is committed during one is left for the next, but the log can only begin anew where nothing is left."""
MERGE_COMMITS = 16
"""Segments are merged, when nobody writes, after so many: each leaves a segment of a few pages."""
OVERDUE_COMMITS = 64
"""They are merged after so many in any case."""
MERGE_PAGES = 16
"""About how much of an index is merged between two looks at the clock: half a millisecond's work."""
MERGE_SECONDS = 0.005
"""How long it goes on at a time, for others wait to write; twice what is needed where texts are short."""


class Checkpoints:
    """Carries the log over into the database now and then, beside those who read and write."""

    def __init__(self, path: str) -> None:
        # never made anew where somebody has removed it
        self._address = f"{Path(path).absolute().as_uri()}?mode=rw"
        self._commits = 0
        self._thread: WorkerThread | None = None
        self._running: asyncio.Future[None] | None = None

    def count(self) -> None:
        """One more transaction goes into the log."""
        self._commits += 1
        if self._commits >= CHECKPOINT_COMMITS and (self._running is None or self._running.done()):
            self._commits = 0
            self._thread = self._thread or WorkerThread("sqlite-checkpoint")
            self._running = self._thread.submit(self._carry_over)

    def stop(self) -> None:
        """End after the one that is under way."""
        if self._thread is not None:
            self._thread.stop()

    def _carry_over(self) -> None:
        # PASSIVE: as far as is possible without waiting for anybody
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._address, uri=True)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            for _ in range(CHECKPOINT_PASSES):
                _busy, pages, carried = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if carried == pages:
                    break


def merge_segments(connection: sqlite3.Connection, seconds: float = math.inf) -> None:
    """Merge segments of the database's full-text indexes for about as long, in a transaction of its own.

    https://www.sqlite.org/fts5.html#the_merge_command. Where another process is writing, that is for the next time.
    """
    until = time.perf_counter() + seconds
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return
    try:
        for (index,) in connection.execute("SELECT name FROM sqlite_master WHERE sql LIKE '% USING fts5%'").fetchall():
            merge = f"INSERT INTO {index} ({index}, rank) VALUES ('merge', {MERGE_PAGES})"  # noqa: S608 - names of ours
            changed = 2
            # the command itself counts as one change: where there is no other, nothing was to be merged
            while changed >= 2 and time.perf_counter() < until:
                before = connection.total_changes
                connection.execute(merge)
                changed = connection.total_changes - before
        connection.commit()
    except sqlite3.Error:
        connection.rollback()
        raise
