"""What SQLite does beside the requests: the segments of its search index are merged a little at a time."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from db.driver.database import Database
from db.driver.sqlite import maintenance, writer
from db.driver.sqlite.maintenance import MERGE_COMMITS, OVERDUE_COMMITS, merge_segments
from db.driver.sqlite.writer import SqliteWriter
from tests.conftest import migrate

ADD = text("INSERT INTO texts (body) VALUES (:body)")
SET = text("INSERT INTO texts (texts, rank) VALUES (:option, :value)")
SEGMENTS = text("SELECT count(DISTINCT segid) FROM texts_idx")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/t.db")
    async with database.writing() as session:
        await session.execute(text("CREATE VIRTUAL TABLE texts USING fts5(body, tokenize='trigram')"))
        for option, value in (("automerge", 0), ("usermerge", 8), ("crisismerge", 64)):
            await session.execute(SET, {"option": option, "value": value})
    yield database
    await database.dispose()


async def write(database: Database, times: int) -> None:
    for number in range(times):
        async with database.writing() as session:
            await session.execute(ADD, {"body": f"the text with the number {number:05}"})


async def segments(database: Database) -> int:
    async with database.reading() as session:
        return int(await session.scalar(SEGMENTS) or 0)


async def falls_below(database: Database, count: int) -> None:
    deadline = time.monotonic() + 10
    while await segments(database) >= count:
        assert time.monotonic() < deadline, "nothing is merged"
        await asyncio.sleep(0.02)


async def is_whole(database: Database, count: int) -> None:
    async with database.writing() as session:
        await session.execute(text("INSERT INTO texts (texts) VALUES ('integrity-check')"))
        found = await session.scalar(text("SELECT count(*) FROM texts WHERE texts MATCH '\"the number\"'"))
        assert found == count


async def test_segments_are_merged_when_nobody_writes(database: Database) -> None:
    await write(database, MERGE_COMMITS)
    await falls_below(database, MERGE_COMMITS // 2)
    await is_whole(database, MERGE_COMMITS)


async def test_who_writes_without_a_pause_is_held_up_for_it_now_and_then(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "IDLE_SECONDS", 3600)
    await write(database, OVERDUE_COMMITS - 2)
    assert await segments(database) >= OVERDUE_COMMITS - 2
    await asyncio.gather(*[write(database, 10) for _ in range(4)])
    await falls_below(database, OVERDUE_COMMITS)
    await is_whole(database, OVERDUE_COMMITS + 38)


async def test_no_more_is_merged_at_a_time_than_others_can_wait_for(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "IDLE_SECONDS", 3600)
    monkeypatch.setattr(maintenance, "MERGE_PAGES", 1)
    await write(database, 40)
    connection = sqlite3.connect(tmp_path / "t.db", isolation_level=None)
    before = await segments(database)
    merge_segments(connection, 0)
    assert await segments(database) == before
    merge_segments(connection)
    assert await segments(database) < 8
    changes = connection.total_changes
    merge_segments(connection)
    assert connection.total_changes == changes + 1, "where nothing is to be merged, it ends"
    connection.close()


async def test_while_another_process_writes_it_is_left_for_the_next_time(database: Database, tmp_path: Path) -> None:
    await write(database, MERGE_COMMITS - 1)
    other = sqlite3.connect(tmp_path / "t.db", isolation_level=None)
    await write(database, 1)
    other.execute("BEGIN IMMEDIATE")
    await asyncio.sleep(0.1)
    assert await segments(database) == MERGE_COMMITS
    other.rollback()
    await write(database, MERGE_COMMITS)
    await falls_below(database, MERGE_COMMITS)
    other.close()


async def test_closing_while_segments_wait_to_be_merged(database: Database) -> None:
    await write(database, MERGE_COMMITS)
    await database.dispose()
    await asyncio.sleep(0.05)
    assert isinstance(database.writer, SqliteWriter)
    await write(database, 1)  # as it was, with a connection of its own
    await is_whole(database, MERGE_COMMITS + 1)


@pytest.mark.parametrize("table", ["task_texts_fts_config", "comment_texts_fts_config"])
def test_the_search_indexes_leave_merging_to_the_server(tmp_path: Path, table: str) -> None:
    migrate(f"sqlite:///{tmp_path}/t.db")
    connection = sqlite3.connect(tmp_path / "t.db")
    options = dict(connection.execute("SELECT k, v FROM " + table))  # noqa: S608 - one of two names
    connection.close()
    assert (options["automerge"], options["crisismerge"]) == (0, 64)
