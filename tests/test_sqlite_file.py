"""A file of SQLite that is moved, removed or replaced while it is open."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from db.driver.database import Database
from db.driver.sqlite import database_file
from db.driver.sqlite.reader import connect
from services.shared.database_errors import from_database
from services.shared.errors import Unavailable

ADD = text("INSERT INTO t (x) VALUES (:x)")
ALL = text("SELECT group_concat(x) FROM t")


@pytest.fixture(autouse=True)
def look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_file, "LOOK_SECONDS", 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "t.db")) as connection:
        connection.execute("CREATE TABLE t (x INTEGER)")
    return tmp_path / "t.db"


async def _add(database: Database, x: int) -> None:
    async with database.writing() as session:
        await session.execute(ADD, {"x": x})


async def test_that_is_moved_away_is_unavailable_until_it_is_back(path: Path) -> None:
    database = Database(f"sqlite:///{path}")
    await _add(database, 1)
    assert await database.reads.scalar(ALL) == "1"
    files = [path.with_name(f"t.db{suffix}") for suffix in ("", "-wal", "-shm")]
    for file in files:
        file.rename(file.with_name(f"away-{file.name}"))

    for _ in range(2):
        with pytest.raises(DBAPIError) as failed:
            await _add(database, 2)
        assert isinstance(from_database(failed.value), Unavailable)
        with pytest.raises(DBAPIError):
            await database.reads.scalar(ALL)
    assert path.name not in os.listdir(path.parent), "another one was made in its place"

    for file in files:
        file.with_name(f"away-{file.name}").rename(file)
    await _add(database, 3)
    assert await database.reads.scalar(ALL) == "1,3"
    await database.dispose()


async def test_that_was_put_in_its_place_is_used(path: Path) -> None:
    database = Database(f"sqlite:///{path}")
    await _add(database, 1)
    await database.reads.scalar(ALL)
    backup = path.with_name("backup.db")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    await _add(database, 2)
    for suffix in ("-wal", "-shm"):
        path.with_name(f"t.db{suffix}").unlink()
    shutil.move(backup, path)

    await _add(database, 3)
    assert await database.reads.scalar(ALL) == "1,3"
    await database.dispose()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT group_concat(x) FROM t").fetchone() == ("1,3",)


async def test_that_is_not_there_yet_may_come(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 't.db'}")
    async with database.writing() as session:
        await session.execute(text("CREATE TABLE t (x INTEGER)"))
    await _add(database, 1)
    assert await database.reads.scalar(ALL) == "1"
    await database.dispose()


def test_file_that_is_no_database_is_not_left_open(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("This is a text, and no database at all." * 100)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(sqlite3.DatabaseError):
        connect(str(path))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
