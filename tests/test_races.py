"""Every write beside every change of what it rests on: what comes of two at once comes of one after the other, too.

``make races`` runs all the pairs many times, and both at once; see ``tests/races.py``.
"""

import asyncio
import os
import time

import pytest
from typer import echo

from db.engine import Database
from tests.databases import on_postgresql
from tests.races import CHANGES, ORDERS, PAIRS, WRITES, Races, make_people, make_world

ROUNDS = int(os.environ.get("TANDEM_RACES", "0"))
"""How often all pairs are run; without it a fifth of them is, once."""
ALWAYS = (
    ("comment", "task trashed"),
    ("change comment", "task trashed"),
    ("relate", "other task trashed"),
    ("create subtask", "parent trashed"),
    ("create assigned task", "assignee removed"),
    ("tag task", "tag deleted"),
)
"""Pairs that nothing but the lock of one row keeps apart."""
SOME = (*ALWAYS, *PAIRS[::5])


@pytest.fixture
async def races(database: Database) -> Races:
    return Races(database, await make_people(database))


@pytest.mark.parametrize("part", range(6))
async def test_two_at_once_are_as_one_after_the_other(races: Races, part: int) -> None:
    found = [await races.wrong(*pair, order) for pair in SOME[part::6] for order in ORDERS[:2]]

    assert [wrong for wrong in found if wrong] == []


@on_postgresql
async def test_task_goes_to_the_trash_when_what_is_written_beside_it_is_committed(database: Database) -> None:
    world = await make_world(database, await make_people(database))

    async def trash() -> None:
        async with database.writing() as session:
            await CHANGES["task trashed"](session, world)

    async with database.writing() as session:
        await WRITES["comment"](session, world)
        going = asyncio.create_task(trash())
        await asyncio.wait([going], timeout=0.3)
        assert not going.done()
    await going


if ROUNDS:

    async def test_all_pairs_many_times(races: Races, backend: str) -> None:
        started = time.monotonic()
        calls = [(*pair, order) for _ in range(ROUNDS) for pair in PAIRS for order in ORDERS]
        wrong = [found for call in calls if (found := await races.wrong(*call)) is not None]
        seconds = time.monotonic() - started
        echo(f"{backend}: {len(PAIRS)} pairs, {len(calls)} runs in {seconds:.0f} s, {len(wrong)} wrong")

        assert wrong == []
