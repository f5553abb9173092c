"""What processes tell one another on PostgreSQL (LISTEN, NOTIFY)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from db import notifications
from db.driver.database import Database
from db.driver.postgresql import hearing
from tests.databases import on_postgresql

TOPIC = "something to hear"
_END = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = :query AND datname = current_database()"
)
pytestmark = on_postgresql


class Heard:
    """How often it was told, by a process of its own."""

    def __init__(self) -> None:
        self.times = 0

    def tell(self) -> None:
        self.times += 1

    async def more_than(self, times: int) -> None:
        async with asyncio.timeout(10):
            while self.times <= times:  # noqa: ASYNC110 - it is told nothing more than that
                await asyncio.sleep(0.005)


@pytest.fixture
async def heard(database: Database) -> AsyncIterator[Heard]:
    other, heard = Database(database.url.render_as_string(hide_password=False)), Heard()
    other.listen(TOPIC, heard.tell)
    async with other.hearing(TOPIC):
        await heard.more_than(0)  # as soon as it hears
        yield heard
    await other.dispose()


async def tell(database: Database) -> None:
    async with database.writing() as session:
        await notifications.notify(session, TOPIC)


async def test_whatever_is_told_is_heard(database: Database, heard: Heard) -> None:
    for _ in range(5):
        before = heard.times
        await tell(database)
        await heard.more_than(before)


async def test_lost_connection_is_made_anew(database: Database, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "AGAIN_SECONDS", 0.01)
    before = heard.times
    async with database.writing() as session:
        await session.execute(_END, [{"query": f'LISTEN "{TOPIC}"'}])
    await heard.more_than(before)  # what was told meanwhile may be lost
    before = heard.times
    await tell(database)
    await heard.more_than(before)
