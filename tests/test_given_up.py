"""Work that is given up at any moment leaves nothing: no statement, no turn that is gone, no half of a transaction."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from core.deadlines import DeadlinePassed, working
from db.driver.database import Database
from services.shared.database_errors import from_database
from tests.infrastructure import require, scratch_database
from tests.slow import ENDLESS, settled

TIMES = 200
PAIR = text("INSERT INTO pairs (id, half) VALUES (:id, :half)")


@pytest.fixture
def url(backend: str, tmp_path: Path) -> Iterator[str]:
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path}/given_up.db"
    else:
        with scratch_database(require(backend)) as url:
            yield url


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url, pool_size=3, pool_timeout=2.0)
    async with database.writing() as session:
        await session.execute(text("CREATE TABLE pairs (id INTEGER, half INTEGER)"))
    yield database
    await database.dispose()


class _Stress:
    """Reads and writes, each short or endless, which end by themselves or are given up."""

    def __init__(self, database: Database, dice: random.Random) -> None:
        self._database, self._dice = database, dice
        self._endless = text(ENDLESS[database.dialect])
        self.kept: set[int] = set()

    async def read(self, number: int) -> None:
        async with self._database.reading() as session:
            await session.scalar(text("SELECT count(*) FROM pairs") if number % 3 else self._endless)

    async def write(self, number: int) -> None:
        async with self._database.writing() as session:
            await session.execute(PAIR, {"id": number, "half": 1})
            if number % 5 == 0:
                await session.scalar(self._endless)
            if number % 5 == 1:
                await asyncio.sleep(0)
            rows = 400 if number % 5 == 2 else 1
            await session.execute(PAIR, [{"id": number, "half": 2}] * rows)
        self.kept.add(number)

    async def both(self, number: int) -> None:
        await asyncio.gather(self.read(number), self.write(number))

    async def run(self, how: str, number: int) -> None:
        work: Any = getattr(self, how)
        # some at their deadline, the others as if their client had gone
        seconds = self._dice.choice([0.01, 0.05, 5.0])
        with suppress(DeadlinePassed), working(seconds, self._dice.randrange(3)):
            try:
                await work(number)
            except DeadlinePassed:
                raise
            except Exception as error:  # too many wait
                if from_database(error) is None:
                    raise


@pytest.mark.parametrize("how", ["read", "write", "both"])
async def test_nothing_is_left_of_what_was_given_up(database: Database, how: str) -> None:
    dice = random.Random(how)
    stress = _Stress(database, dice)
    tasks: list[asyncio.Task[None]] = []
    for number in range(TIMES):
        tasks.append(asyncio.create_task(stress.run(how, number)))
        await asyncio.sleep(dice.choice([0, 0, 0.001, 0.01]))
        if number % 4 == 3:
            dice.choice(tasks).cancel()
            tasks[-4 + dice.randrange(4)].cancel()
    await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} <= {type(None), asyncio.CancelledError}
    assert asyncio.CancelledError in {type(outcome) for outcome in outcomes}
    assert await settled(database, seconds=2.0)
    halves = "SELECT id, count(DISTINCT half) FROM pairs GROUP BY id"
    found = {row[0]: row[1] for row in await database.reads.all(text(halves))}
    assert set(found.values()) <= {2}
    assert stress.kept <= found.keys()
    # and it goes on as if nothing had been
    await asyncio.gather(*(stress.write(1_000 + 5 * number + 3) for number in range(20)))
    await asyncio.gather(*(stress.read(3 * number + 1) for number in range(20)))
