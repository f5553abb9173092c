"""COMMIT on SQLite: in a thread unless the one before it was quick; and what the log holds is carried over in time."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from db.driver.database import Database
from db.driver.sqlite import maintenance, writing_connection
from db.driver.sqlite.maintenance import CHECKPOINT_COMMITS
from db.driver.sqlite.writer import SqliteWriter

ADD = text("INSERT INTO t (x) VALUES (zeroblob(10000))")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/t.db")
    async with database.writing() as session:
        await session.execute(text("CREATE TABLE t (x)"))
    yield database
    await database.dispose()


class Slow:
    """A connection whose COMMIT takes a while, and that notes where it was called."""

    def __init__(self, connection: Any, seconds: float) -> None:
        self._connection, self.seconds = connection, seconds
        self.threads: list[str] = []

    def commit(self) -> None:
        self.threads.append(threading.current_thread().name)
        time.sleep(self.seconds)
        self._connection.commit()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def slow(database: Database, seconds: float) -> Slow:
    assert isinstance(database.writer, SqliteWriter)
    writing: Any = database.writer._connection
    writing._connection = connection = Slow(writing._connection, seconds)
    return connection


async def write(database: Database, times: int = 1) -> None:
    for _ in range(times):
        async with database.writing() as session:
            await session.execute(ADD)


async def test_a_slow_commit_makes_the_next_ones_go_to_the_thread(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing_connection, "QUICK_SECONDS", 0.5)
    connection = slow(database, 0)
    here = threading.current_thread().name
    await write(database, 2)
    connection.seconds = 0.6
    await write(database)
    await write(database)
    connection.seconds = 0
    await write(database, 2)
    assert connection.threads == [here, here, here, "sqlite-writer", "sqlite-writer", here]


async def test_the_event_loop_goes_on_while_a_slow_disk_writes(database: Database) -> None:
    slow(database, 0.3)
    await write(database)  # may be done in place: nobody knows yet
    writing = asyncio.create_task(write(database))
    turns = 0
    while not writing.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert turns > 10


async def test_who_is_cancelled_while_it_commits_leaves_a_writer_that_works(database: Database) -> None:
    slow(database, 0.2)
    await write(database)
    cancelled = asyncio.create_task(write(database))
    await asyncio.sleep(0.05)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await write(database)
    async with database.reading() as session:
        assert await session.scalar(text("SELECT count(*) FROM t")) == 3  # what was under way was not taken back


async def test_the_log_is_carried_over_beside_the_writing(database: Database, tmp_path: Path) -> None:
    size = (tmp_path / "t.db").stat().st_size
    await write(database, CHECKPOINT_COMMITS + 1)
    deadline = time.monotonic() + 10
    while (tmp_path / "t.db").stat().st_size < size + 10_000 * CHECKPOINT_COMMITS / 2:
        assert time.monotonic() < deadline, "nothing is carried over"
        await asyncio.sleep(0.02)


async def test_the_log_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing_connection, "CHECKPOINT_PAGES", 100)
    database = Database(f"sqlite:///{tmp_path}/t.db")
    async with database.writing() as session:
        await session.execute(text("CREATE TABLE t (x)"))
    await write(database, 300)
    assert (tmp_path / "t.db-wal").stat().st_size < 3 * 100 * 4096, "it holds 1,200 pages"
    await database.dispose()


async def test_a_database_that_was_removed_is_not_made_anew(database: Database, tmp_path: Path) -> None:
    await write(database)
    for name in ("t.db", "t.db-wal", "t.db-shm"):
        (tmp_path / name).unlink()
    maintenance.Checkpoints(str(tmp_path / "t.db"))._carry_over()
    assert not (tmp_path / "t.db").exists()


async def test_one_that_the_disk_takes_a_while_for_is_done_in_place_now_and_then(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing_connection, "BEARABLE_SECONDS", 0.5)
    connection = slow(database, 0.01)
    here = threading.current_thread().name
    await write(database)
    await asyncio.sleep(0.3)
    await write(database)
    await write(database)
    await asyncio.sleep(0.3)
    await write(database)
    assert connection.threads[1:] == [here, "sqlite-writer", here]
