"""Reads: in place where they are short, in a thread where they are not (SQLite); on a few connections (PostgreSQL)."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import bindparam, literal, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.driver.database import Database
from db.driver.sqlite.reader import BUDGET_SECONDS
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import User
from tests.actors import Person
from tests.conftest import People

COUNT = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < {}) SELECT count(*) FROM c"
SHORT, LONG = text(COUNT.format(10)), text(COUNT.format(3_000_000))


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/reading.db", pool_size=1, pool_timeout=0.3)
    yield database
    await database.dispose()


class Named(NamedTuple):
    id: int
    name: str


class TestVersion:
    async def test_it_is_another_after_whatever_is_committed(self, sqlite: Database) -> None:
        reader = sqlite.reader
        assert reader.version() is None, "nothing was read yet"
        await sqlite.reads.all(text("SELECT 1"))
        first = reader.version()

        assert first is not None
        assert [reader.version() for _ in range(3_000)] == [first] * 3_000
        with sqlite3.connect(sqlite.url.database or "") as other:
            other.execute("CREATE TABLE things (id INTEGER)")
        second = reader.version()
        async with sqlite.writing() as session:
            await session.execute(text("INSERT INTO things VALUES (1)"))
        assert len({first, second, reader.version()}) == 3


class TestStatements:
    async def test_prepared_statement_answers_records(self, ada: Person, people: People, database: Database) -> None:
        bob = await people()
        named = Prepared(select(User.id, User.username).where(in_list(User.id, "ids")).order_by(User.id), Named)
        for ids in ([ada.id, bob.id], [bob.id], []):
            expected = [Named(person.id, person.username) for person in (ada, bob) if person.id in ids]
            async with database.reading() as session:
                assert list(await session.all(named(ids=ids))) == expected
            async with database.writing() as session:
                assert [tuple(row) for row in await session.all(named(ids=ids))] == expected

    async def test_record_has_a_field_for_each_column(self, database: Database) -> None:
        with pytest.raises(TypeError, match="Named has no email, username"):
            async with database.reading() as session:
                await session.all(Prepared(select(User.id, User.username, User.email), Named)())

    async def test_fields_without_a_column_are_none(self, ada: Person, database: Database) -> None:
        async with database.reading() as session:
            by_name = Prepared(select(User.username.label("name")).where(User.id == ada.id), Named)
            # what has no column is None, whatever its type
            assert await session.all(by_name()) == [Named(None, ada.username)]  # type: ignore[arg-type]

    async def test_tuples_come_as_they_are(self, ada: Person, database: Database) -> None:
        async with database.reading() as session:
            plain: Prepared[Any] = Prepared(select(User.id, User.username).where(User.id == ada.id), tuple)
            [row] = await session.all(plain())
            assert (type(row), row) == (tuple, (ada.id, ada.username))
            if database.dialect == "sqlite":
                with pytest.raises(TypeError, match="converted"):
                    await session.all(Prepared(select(User.created_at), tuple)())

    async def test_shape_is_compiled_once_whatever_the_values(self, ada: Person, database: Database) -> None:
        async with database.reading() as session:
            for ids in ([ada.id], [ada.id, 0], []):
                found = await session.all(select(User.id).where(User.id.in_(ids), User.username == ada.username))
                assert [row.id for row in found] == [ada.id] * (ada.id in ids)

    async def test_parameter_that_is_missing_is_an_error(self, database: Database) -> None:
        wanted: Prepared[Any] = Prepared(select(User.id).where(User.id == bindparam("user_id", required=True)))
        async with database.reading() as session:
            with pytest.raises((KeyError, DBAPIError)):
                await session.all(wanted())

    async def test_reading_session_writes_nothing(self, database: Database) -> None:
        async with database.reading() as session:
            with pytest.raises(NotImplementedError):
                await session.execute(text("DELETE FROM users"))


class TestSqlite:
    async def test_long_statement_leaves_the_event_loop_free(self, sqlite: Database) -> None:
        longest, running = 0.0, True

        async def watch() -> None:
            nonlocal longest
            while running:
                started = time.perf_counter()
                await asyncio.sleep(0.001)
                longest = max(longest, time.perf_counter() - started)

        async with sqlite.reading() as session:
            await session.scalar(SHORT)
            watching = asyncio.create_task(watch())
            started = time.perf_counter()
            assert await session.scalar(LONG) == 3_000_000
            took = time.perf_counter() - started
            running = False
            await watching
        assert took > 10 * BUDGET_SECONDS, "too fast to tell"
        assert longest < took / 2

    async def test_statement_that_is_long_twice_goes_to_a_thread_at_once(self, sqlite: Database) -> None:
        reader: Any = sqlite.reader
        async with sqlite.reading() as session:
            await session.scalar(LONG)
            assert not reader._is_slow(str(LONG)), "the first time, the cache may have been cold"
            await session.scalar(LONG)
            assert reader._is_slow(str(LONG))
            assert not reader._is_slow(str(SHORT))
            near, reader._loop_connection = reader._loop_connection, None
            assert await session.scalar(LONG) == 3_000_000
            assert reader._loop_connection is None, "it was tried on the event loop"
            reader._loop_connection = near

    async def test_waiting_for_a_thread_has_an_end(self, sqlite: Database) -> None:
        forever = text(COUNT.format(10**12))
        async with sqlite.reading() as session, asyncio.TaskGroup() as group:
            busy = group.create_task(session.scalar(forever))
            await asyncio.sleep(0.1)
            with pytest.raises(PoolTimeout):
                await session.scalar(LONG)
            assert await session.scalar(SHORT) == 10
            busy.cancel()
        async with sqlite.reading() as session:  # a cancelled statement is interrupted: its thread is free again
            assert await session.scalar(LONG) == 3_000_000

    async def test_database_error_is_sqlalchemys(self, sqlite: Database) -> None:
        async with sqlite.reading() as session:
            for statement in (text("SELECT x FROM nowhere"), select(literal(1)).where(text("nonsense("))):
                with pytest.raises(DBAPIError) as caught:
                    await session.all(statement)
                assert isinstance(caught.value.orig, sqlite3.OperationalError)
