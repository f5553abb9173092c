"""Connections to PostgreSQL that are reset, stand still or are given up: nobody waits, and every slot comes back."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, Literal

import pytest
from psycopg.errors import InFailedSqlTransaction
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from db.driver.database import Database
from db.driver.postgresql import exchange
from services.shared.database_errors import from_database
from services.shared.errors import Unavailable
from tests.conftest import migrate
from tests.databases import on_postgresql
from tests.infrastructure import require, scratch_database
from tests.resets import ResettingProxy, probe

pytestmark = on_postgresql
SLEEP = select(func.pg_sleep(30))


@pytest.fixture
def url(backend: str) -> Iterator[str]:
    with scratch_database(require(backend)) as url:
        yield url


@pytest.fixture
async def pool(url: str) -> AsyncIterator[Database]:
    """Two connections for reads, and two for writes."""
    database = Database(url, pool_size=2, pool_timeout=2.0)
    yield database
    await database.dispose()


async def _asleep(database: Database) -> int:
    """How many statements are still running in the database."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'"
    found: int = await database.reads.scalar(text(f"{others} AND datname = current_database()"))
    return found


async def _until_free(database: Database, *, seconds: float = 3.0) -> None:
    """Until every slot is free again; fails where one does not come back."""
    writer: Any = database.writer
    reader: Any = database.reader
    for _ in range(int(seconds / 0.02)):
        if (writer.free, reader.free) == (2, 2):
            break
        await asyncio.sleep(0.02)
    assert (writer.free, reader.free) == (2, 2)


class TestResets:
    @pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
    def test_nobody_waits_and_every_slot_comes_back(self, url: str, loop: Literal["uvloop", "asyncio"]) -> None:
        migrate(url)
        found = probe(url, loop=loop, resets=8)

        assert found.passed, found

    async def test_connection_that_was_reset_while_idle_is_replaced(self, url: str) -> None:
        with ResettingProxy(url) as proxy:
            database = Database(proxy.url, pool_size=2)
            for _ in range(3):
                assert await database.reads.scalar(text("SELECT 1")) == 1
                proxy.reset()
            await database.dispose()


class TestGivingUp:
    @pytest.mark.parametrize("how", ["read", "write"])
    async def test_statement_nobody_waits_for_is_cancelled_and_its_slot_comes_back(
        self, pool: Database, how: str
    ) -> None:
        async def sleep() -> None:
            if how == "read":
                await pool.reads.scalar(SLEEP)
            else:
                async with pool.writing() as session:
                    await session.scalar(SLEEP)

        for _ in range(5):
            tasks = [asyncio.create_task(sleep()) for _ in range(2)]
            await asyncio.sleep(0.1)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await _until_free(pool)
            assert await _asleep(pool) == 0

    async def test_slot_is_held_until_the_database_has_confirmed(self, pool: Database) -> None:
        tasks = [asyncio.create_task(pool.reads.scalar(SLEEP)) for _ in range(2)]
        await asyncio.sleep(0.5)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        reader: Any = pool.reader

        assert reader.free == 0
        assert await pool.reads.scalar(text("SELECT 1")) == 1  # waits for a slot
        assert await _asleep(pool) < 2  # that of the other may still have to be confirmed

    async def test_short_statement_is_heard_out_and_its_connection_kept(self, pool: Database) -> None:
        backend_id = select(func.pg_backend_pid())
        before = await pool.reads.scalar(backend_id)
        task = asyncio.create_task(pool.reads.scalar(text("SELECT 1")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await _until_free(pool)

        assert await pool.reads.scalar(backend_id) == before

    async def test_transaction_that_is_given_up_leaves_nothing(self, pool: Database) -> None:
        async with pool.writing() as session:
            await session.execute(text("CREATE TABLE notes (id int)"))

        async def write() -> None:
            async with pool.writing() as session:
                await session.execute(text("INSERT INTO notes VALUES (1)"))
                await session.scalar(SLEEP)

        task = asyncio.create_task(write())
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.wait([task])
        await _until_free(pool)

        assert await pool.reads.scalar(text("SELECT count(*) FROM notes")) == 0


class TestStandingStill:
    async def test_server_that_does_not_answer_is_left(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("db.driver.postgresql.connection.MARGIN_SECONDS", 0.3)
        with ResettingProxy(url) as proxy:
            database = Database(f"{proxy.url}?options=-cstatement_timeout%3D200ms", pool_size=2)
            await database.reads.scalar(text("SELECT 1"))
            async with database.writing() as session:
                await session.scalar(text("SELECT 1"))
            proxy.freeze()
            started = time.monotonic()
            for failing in (_reading, _writing):
                with pytest.raises(DBAPIError) as failed:
                    await failing(database)
                assert isinstance(from_database(failed.value), Unavailable)
            assert time.monotonic() - started < 2 * (0.5 + 2 * exchange.TICK_SECONDS) + 0.5
            await _until_free(database)
            proxy.thaw()
            assert await database.reads.scalar(text("SELECT 1")) == 1
            await database.dispose()

    async def test_statement_s_own_limit_is_told_as_unavailable(self, url: str) -> None:
        database = Database(f"{url}?options=-cstatement_timeout%3D100ms", pool_size=2)
        with pytest.raises(DBAPIError) as failed:
            await database.reads.scalar(SLEEP)

        assert isinstance(from_database(failed.value), Unavailable)
        await _until_free(database)
        await database.dispose()


async def _reading(database: Database) -> None:
    await database.reads.scalar(text("SELECT 1"))


async def _writing(database: Database) -> None:
    async with database.writing() as session:
        await session.scalar(text("SELECT 1"))


class TestCommit:
    async def test_of_a_transaction_that_has_failed_is_an_error(self, pool: Database) -> None:
        async def swallow() -> None:
            async with pool.writing() as session:
                with suppress(DBAPIError):
                    await session.scalar(text("SELECT 1 / 0"))

        with pytest.raises(DBAPIError) as failed:
            await swallow()
        assert isinstance(failed.value.orig, InFailedSqlTransaction)
        await _until_free(pool)

    async def test_whose_connection_is_lost_is_unavailable(self, url: str) -> None:
        with ResettingProxy(url) as proxy:
            database = Database(proxy.url, pool_size=2)

            async def write() -> None:
                async with database.writing() as session:
                    await session.scalar(text("SELECT 1"))
                    proxy.reset()

            with pytest.raises(DBAPIError) as failed:
                await write()
            assert isinstance(from_database(failed.value), Unavailable)
            await _until_free(database)
            await database.dispose()
