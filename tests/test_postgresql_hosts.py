"""Hosts of PostgreSQL that stand still: found out soon, left for another one, and taken back when they go on."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from db.driver.database import Database
from db.driver.postgresql import exchange
from db.driver.postgresql import hosts as postgresql_hosts
from db.driver.postgresql.connection import PgConnection
from db.driver.postgresql.hosts import Hosts
from db.driver.urls import connect_arguments
from services.shared.database_errors import from_database
from services.shared.errors import Unavailable
from tests.databases import on_postgresql
from tests.infrastructure import require, scratch_database
from tests.resets import ResettingProxy

pytestmark = on_postgresql
ONE = text("SELECT 1")
SLEEP = select(func.pg_sleep(1.5))


@pytest.fixture(autouse=True)
def sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is found out sooner."""
    monkeypatch.setattr(exchange, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(postgresql_hosts, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(postgresql_hosts, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(postgresql_hosts, "AGAIN_SECONDS", 0.5)
    monkeypatch.setattr(postgresql_hosts, "PAUSE_SECONDS", 0.1)


@pytest.fixture
def url(backend: str) -> Iterator[str]:
    with scratch_database(require(backend)) as url:
        yield url


@pytest.fixture
def proxy(url: str) -> Iterator[ResettingProxy]:
    """A host that can stand still: it goes on taking connections and bytes."""
    with ResettingProxy(url) as proxy:
        yield proxy


@pytest.fixture
def other(url: str) -> Iterator[ResettingProxy]:
    """Another host, with the same database."""
    with ResettingProxy(url) as proxy:
        yield proxy


def _both(first: ResettingProxy, second: ResettingProxy) -> str:
    parts = urlsplit(first.url)
    return parts._replace(netloc=f"{parts.netloc},127.0.0.1:{urlsplit(second.url).port}").geturl()


@asynccontextmanager
async def _served(url: str) -> AsyncIterator[Database]:
    database = Database(url, pool_size=2, pool_timeout=2.0)
    await database.reads.scalar(ONE)
    await _write(database)
    await asyncio.sleep(0.3)  # until it is known that the host answers the small question
    yield database
    await database.dispose()


async def _write(database: Database) -> int:
    async with database.writing() as session:
        found: int = await session.scalar(ONE)
        return found


async def _failing(work: Any) -> float:
    """Seconds until something is refused as unavailable."""
    started = time.monotonic()
    with pytest.raises(DBAPIError) as failed:
        await work
    assert isinstance(from_database(failed.value), Unavailable)
    return time.monotonic() - started


async def _until_served(database: Database, seconds: float = 10.0) -> float:
    started = time.monotonic()
    while True:
        try:
            assert await _write(database) == 1
            return time.monotonic() - started
        except DBAPIError:
            assert time.monotonic() - started < seconds
            await asyncio.sleep(0.05)


def _hosts(url: str) -> Hosts:
    database = Database(url)
    return Hosts(connect_arguments(database.url, database.sql))


async def _connected(hosts: Hosts) -> PgConnection:
    while True:
        try:
            return await hosts.connect()
        except psycopg.Error:
            await asyncio.sleep(0.05)


class TestOneHost:
    async def test_that_stands_still_is_given_up_and_taken_back(self, proxy: ResettingProxy) -> None:
        async with _served(proxy.url) as database:
            proxy.freeze()
            found_out = await asyncio.gather(_failing(database.reads.scalar(ONE)), _failing(_write(database)))
            # from then on nobody waits
            refused = [await _failing(database.reads.scalar(ONE)) for _ in range(20)]
            proxy.thaw()
            back = await _until_served(database)

        assert max(found_out) < 0.5 + postgresql_hosts.ANSWER_SECONDS + 2
        assert max(refused) < 0.5
        assert back < 4

    async def test_many_values_are_given_up_too(self, proxy: ResettingProxy) -> None:
        async def write_many() -> None:
            async with database.writing() as session:
                await session.scalar(ONE)
                proxy.freeze()
                await session.execute(text("SELECT CAST(:x AS int)"), [{"x": x} for x in range(10)])

        async with _served(proxy.url) as database:
            assert await _failing(write_many()) < 0.5 + postgresql_hosts.ANSWER_SECONDS + 2
            proxy.thaw()
            await _until_served(database)

    async def test_that_is_only_slow_is_kept(self, proxy: ResettingProxy) -> None:
        async with _served(proxy.url) as database:
            await database.reads.scalar(SLEEP)
            assert await _write(database) == 1

    async def test_that_has_never_answered_the_small_question_is_not_judged_by_it(
        self, proxy: ResettingProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def silence(*_: object) -> bool:
            await asyncio.sleep(0)
            return False

        monkeypatch.setattr(postgresql_hosts, "_answers", silence)
        async with _served(proxy.url) as database:
            await database.reads.scalar(SLEEP)
            assert await _write(database) == 1


class TestSeveralHosts:
    async def test_another_one_is_taken(self, proxy: ResettingProxy, other: ResettingProxy) -> None:
        async with _served(_both(proxy, other)) as database:
            proxy.freeze()
            await _failing(database.reads.scalar(ONE))
            assert await _until_served(database) < 4
            # the one that stands still is not tried first again
            other.reset()
            started = time.monotonic()
            await _until_served(database)
            assert time.monotonic() - started < 2

    async def test_those_that_are_silent_at_first_are_tried_last(
        self, proxy: ResettingProxy, other: ResettingProxy
    ) -> None:
        proxy.freeze()
        started = time.monotonic()
        database = Database(_both(proxy, other), pool_size=2)
        assert await _write(database) == 1
        assert time.monotonic() - started < 3
        await database.dispose()

    async def test_one_that_was_left_behind_is_not_gone_back_to(
        self, proxy: ResettingProxy, other: ResettingProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What stood still while another one was promoted takes itself for the primary still."""
        old, new = urlsplit(proxy.url).port, urlsplit(other.url).port

        async def timeline(connection: PgConnection) -> int:
            await asyncio.sleep(0)
            return 1 if connection.host[1] == str(old) else 2

        monkeypatch.setattr(PgConnection, "timeline", timeline)
        hosts = _hosts(_both(proxy, other))
        first = await hosts.connect()
        assert first.host[1] == str(old)  # nothing else is known yet
        await asyncio.sleep(0.5)
        proxy.freeze()
        with pytest.raises(psycopg.Error):
            await asyncio.gather(first.run("SELECT 1"))
        second = await _connected(hosts)
        assert second.host[1] == str(new)
        proxy.thaw()
        hosts._order.reverse()  # as if it came first, whatever for
        with pytest.raises(psycopg.Error, match="promoted"):
            await hosts.connect()
        third = await hosts.connect()
        assert third.host[1] == str(new)
        for connection in (second, third):
            connection.close()
        await hosts.close()

    async def test_timeline_of_a_primary_is_told(self, url: str) -> None:
        hosts = _hosts(url)
        connection = await hosts.connect()

        assert await connection.timeline() == 1
        connection.close()
        await hosts.close()
