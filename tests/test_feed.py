"""The feed: every committed event once, in the order of positions, whatever the order of commits."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from sqlalchemy import func, select

from db.engine import Database
from db.models import Event
from services import events, feed
from services.actors import Actor
from services.feed import Behind, Feed, number_events
from tests.actors import Person

WRITERS, ROUNDS = 16, 10
SYSTEM = Actor("system")


@asynccontextmanager
async def running(database: Database) -> AsyncIterator[Feed]:
    made = Feed(database)
    try:
        yield made
    finally:
        await made.stop()


async def _collect(reader: Feed, marker: str, count: int) -> list[int]:
    """The entity ids of a test's own events, as they come."""
    seen: list[int] = []
    async for event in reader.follow():
        if event.kind == marker:
            seen.append(event.entity_id)
        if len(seen) == count:
            break
    return seen


async def _write(database: Database, marker: str, number: int, *, fails: bool = False) -> None:
    with suppress(ZeroDivisionError):
        async with database.writing() as session:
            await events.record(session, SYSTEM, events.NewEvent(marker, "test", number, {}))
            await asyncio.sleep(random.random() / 50)
            if fails:
                raise ZeroDivisionError


async def test_followers_see_each_committed_event_once(database: Database, ada: Person) -> None:
    """Two followers, of two feeds, while many writers commit out of order and some roll back."""
    marker = f"test.{ada.id}"
    url = database.url.render_as_string(hide_password=False)
    other = Database(url)
    total = WRITERS * ROUNDS
    async with running(database) as one, running(other) as two:
        followers = [asyncio.create_task(_collect(reader, marker, total)) for reader in (one, two)]
        await asyncio.sleep(0.3)

        async def write(writer: int) -> None:
            for turn in range(ROUNDS):
                await _write(database, marker, writer * ROUNDS + turn)
                await _write(database, marker, -1, fails=True)

        await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
        async with asyncio.timeout(30):
            seen = await asyncio.gather(*followers)
    await other.dispose()

    assert sorted(seen[0]) == list(range(total))
    assert seen[0] == seen[1]


async def test_positions_are_given_after_commit_and_never_change(database: Database, ada: Person) -> None:
    await ada.task()
    async with database.writing() as session:
        while await number_events(session):
            pass
    before = await _positions(database)
    await ada.task()
    async with database.writing() as session:
        await number_events(session)
    after = await _positions(database)

    assert before.items() <= after.items()
    assert min(after[key] for key in after.keys() - before.keys()) > max(before.values())
    assert len(set(after.values())) == len(after)


async def _positions(database: Database) -> dict[int, int]:
    async with database.reading() as session:
        rows = await session.all(select(Event.id, Event.position).where(Event.position.is_not(None)))
    return {row.id: row.position for row in rows}


async def test_follower_that_is_too_slow_is_told(
    database: Database, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "QUEUE_LENGTH", 2)
    async with running(database) as reader:
        followed = reader.follow()

        async def read_on() -> None:
            async with asyncio.timeout(10):
                async for _ in followed:
                    await asyncio.sleep(1)

        reading = asyncio.create_task(read_on())
        await asyncio.sleep(0.3)
        for _ in range(5):
            await ada.task()
        with pytest.raises(Behind):
            await reading


async def test_nothing_is_read_while_nobody_follows(database: Database, ada: Person) -> None:
    await ada.task()
    async with database.reading() as session:
        waiting = await session.scalar(select(func.count()).where(Event.position.is_(None), Event.actor_id == ada.id))

    assert waiting > 0
