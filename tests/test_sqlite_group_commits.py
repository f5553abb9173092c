"""Transactions that wait for one another on SQLite: committed together, failing alone."""

import asyncio
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.driver.database import Database
from db.driver.sqlite.writer import MAX_SHARED, SqliteWriter

ADD = text("INSERT INTO t (x) VALUES (:x)")
MANY = text("INSERT INTO t (x) SELECT value + 1000 FROM json_each(:some)")
"""Not known to be short: done in the thread."""


class Disk:
    """A connection whose COMMIT takes a while, or fails."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.seconds = 0.02
        self.commits = 0
        self.full = False

    def commit(self) -> None:
        time.sleep(self.seconds)
        if self.full:
            raise sqlite3.OperationalError("database or disk is full")
        self.commits += 1
        self._connection.commit()

    def execute(self, sql: str, *values: Any) -> Any:
        if "json_each" in sql:
            time.sleep(self.seconds)
        return self._connection.execute(sql, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/t.db")
    async with database.writing() as session:
        await session.execute(text("CREATE TABLE t (x INTEGER UNIQUE)"))
    yield database
    await database.dispose()


@pytest.fixture
def disk(database: Database) -> Disk:
    assert isinstance(database.writer, SqliteWriter)
    writing: Any = database.writer._connection
    writing._connection = disk = Disk(writing._connection)
    writing._commit_seconds = 1.0
    return disk


class Refused(Exception):
    pass


async def add(database: Database, x: int, *, refuse: bool = False, pause: float = 0, long: bool = False) -> int:
    async with database.writing() as session:
        if long:
            session.takes_long()
        await session.execute(ADD, {"x": x})
        if pause:
            await asyncio.sleep(pause)
        if refuse:
            raise Refused
    return x


async def values(database: Database) -> list[int]:
    async with database.reading() as session:
        return sorted(await session.scalars(text("SELECT x FROM t")))


async def together(*tasks: Any) -> list[Any]:
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_those_that_wait_are_committed_together(database: Database, disk: Disk) -> None:
    assert await together(*(add(database, x, pause=0.01) for x in range(10))) == [*range(10)]

    assert await values(database) == [*range(10)]
    assert disk.commits == 1  # each found another one waiting when it was done


async def test_not_too_many_together(database: Database, disk: Disk) -> None:
    await together(*(add(database, x, pause=0.001) for x in range(2 * MAX_SHARED + 1)))

    assert await values(database) == [*range(2 * MAX_SHARED + 1)]
    assert disk.commits == 3


async def test_one_that_nobody_waits_for_is_committed_alone(database: Database, disk: Disk) -> None:
    for x in range(3):
        await add(database, x)

    assert disk.commits == 3


async def test_one_that_fails_takes_back_its_own_part(database: Database, disk: Disk) -> None:
    outcomes = await together(*(add(database, x, refuse=x in {0, 3, 6}) for x in range(7)))

    assert [type(outcome) for outcome in outcomes] == [Refused, int, int, Refused, int, int, Refused]
    assert await values(database) == [1, 2, 4, 5]


async def test_a_statement_that_fails_is_its_own_transactions_failure(database: Database, disk: Disk) -> None:
    outcomes = await together(add(database, 1), add(database, 1), add(database, 2))

    assert [type(outcome) is int for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1], DBAPIError)
    assert await values(database) == [1, 2]


async def test_nobody_is_answered_before_it_is_on_the_disk(database: Database, disk: Disk) -> None:
    disk.seconds = 0.3
    tasks = [asyncio.create_task(add(database, x, refuse=x == 2, pause=0.001)) for x in range(4)]
    await asyncio.sleep(0.1)

    assert not any(task.done() for task in tasks)  # nor the one that fails: what it saw may never have been
    assert await values(database) == []
    await together(*tasks)
    assert await values(database) == [0, 1, 3]


async def test_a_full_disk_fails_all_of_them(database: Database, disk: Disk) -> None:
    disk.full = True
    outcomes = await together(*(add(database, x) for x in range(4)))
    disk.full = False

    assert all(isinstance(outcome, DBAPIError) for outcome in outcomes)
    assert await values(database) == []
    await add(database, 7)
    assert await values(database) == [7]


async def test_a_full_disk_in_place(database: Database, disk: Disk) -> None:
    writing: Any = database.writer
    writing._connection._commit_seconds = 0
    disk.full = True
    [outcome] = await together(add(database, 1))
    disk.full = False

    assert isinstance(outcome, DBAPIError)
    await add(database, 2)
    assert await values(database) == [2]


@pytest.mark.parametrize("when", ["after one that is done", "before any is done"])
async def test_where_sqlite_takes_everything_back_all_are_told(database: Database, disk: Disk, when: str) -> None:
    async def lose() -> None:
        async with database.writing() as session:
            await session.execute(ADD, {"x": 50})
            disk.rollback()  # as for a full disk, or an error of input and output
            raise Refused

    tasks = [lose(), add(database, 2)]
    if when == "after one that is done":
        tasks.insert(0, add(database, 1, pause=0.01))
    outcomes = await together(*tasks)

    assert [type(outcome) for outcome in outcomes[-2:]] == [Refused, int]
    assert all(isinstance(outcome, DBAPIError) for outcome in outcomes[:-2])
    assert await values(database) == [2]


async def test_what_was_taken_back_is_not_called_committed(database: Database, disk: Disk) -> None:
    async def lose() -> None:
        async with database.writing() as session:
            await session.execute(ADD, {"x": 50})
            disk.rollback()

    for others in ([], [add(database, 1, pause=0.01)]):
        outcomes = await together(*others, lose())

        assert all(isinstance(outcome, DBAPIError) for outcome in outcomes)
        assert await values(database) == []


async def test_nobody_waits_for_one_that_takes_long(database: Database, disk: Disk) -> None:
    disk.seconds = 0
    quick = asyncio.create_task(add(database, 1, pause=0.01))
    long = asyncio.create_task(add(database, 2, pause=1, long=True))
    await asyncio.wait_for(quick, 0.5)

    assert await values(database) == [1]
    await long
    assert disk.commits == 2


async def test_a_part_whose_thread_is_at_work_is_taken_back_after_it(database: Database, disk: Disk) -> None:
    began = asyncio.Event()

    async def many() -> None:
        async with database.writing() as session:
            await session.execute(ADD, {"x": 2})
            began.set()
            await session.execute(MANY, {"some": "[1,2,3]"})
            await asyncio.sleep(1)

    first = asyncio.create_task(add(database, 1))
    cancelled = asyncio.create_task(many())
    third = asyncio.create_task(add(database, 3))
    await began.wait()
    cancelled.cancel()

    assert [type(outcome) for outcome in await together(first, cancelled, third)] == [
        int,
        asyncio.CancelledError,
        int,
    ]
    assert await values(database) == [1, 3]


async def test_who_gives_up_waiting_leaves_the_turn_to_the_others(database: Database, disk: Disk) -> None:
    writing: Any = database.writer
    writing._timeout = 0.1
    outcomes = await together(add(database, 1, pause=0.3, refuse=True), add(database, 2))

    assert isinstance(outcomes[1], PoolTimeout)
    assert await add(database, 3) == 3
    assert await values(database) == [3]


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_what_was_said_is_what_is_there(database: Database, disk: Disk, seed: int) -> None:
    """Transactions that succeed, fail, go to the thread, and are cancelled at any moment."""
    chance = random.Random(seed)
    disk.seconds = 0.001

    async def one(x: int) -> int:
        await asyncio.sleep(chance.random() * 0.02)
        async with database.writing() as session:
            if chance.random() < 0.2:
                session.takes_long()
            await session.execute(ADD, {"x": x})
            if chance.random() < 0.3:
                await session.execute(MANY, {"some": f"[{x}]"})
            if chance.random() < 0.3:
                await asyncio.sleep(chance.random() * 0.002)
            if chance.random() < 0.2:
                raise Refused
        return x

    tasks = [asyncio.create_task(one(x)) for x in range(120)]
    for task in chance.sample(tasks, 40):
        await asyncio.sleep(chance.random() * 0.001)
        task.cancel()
    outcomes = await asyncio.wait_for(together(*tasks), 30)

    there = {x for x in await values(database) if x < 1000}
    assert there >= _of(outcomes, int)
    assert there.isdisjoint(_of(outcomes, Refused))
    assert await add(database, 500) == 500  # whose turn it is was not lost


def _of(outcomes: Iterable[Any], kind: type) -> set[int]:
    return {x for x, outcome in enumerate(outcomes) if isinstance(outcome, kind)}
