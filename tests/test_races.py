"""Two calls at the same time, at the doors, come to what one of them after the other would have come to.

One call is held between its last statement and its COMMIT, the other is made meanwhile: the answers, their sentences
included, and all that is stored must be those of the order in which they committed. ``make races`` holds every pair of
``PAIRS``, and lets every write go at once with every change, whether it rests on that or not, TANDEM_RACES times.
"""

import os
import random
import time

import httpx
import pytest

from api.state import State
from db.driver.database import Database
from tests.databases import on_postgresql
from tests.doors import DOORS, Door
from tests.racing.pairs import ALWAYS, EVERY_PAIR, OF_ACCOUNTS, PAIRS, RESTS_ON
from tests.racing.runs import commits_watched, held, in_line, in_turn, together
from tests.racing.worlds import World, make_world

ROUNDS = int(os.environ.get("TANDEM_RACES", "0"))
SEED = int(os.environ.get("TANDEM_RACES_SEED", "1"))
SAMPLE = 20


@pytest.mark.parametrize("write", RESTS_ON)
async def test_a_write_and_a_change_of_what_it_rests_on_come_to_what_one_order_comes_to(
    state: State, database: Database, client: httpx.AsyncClient, write: str
) -> None:
    async def world() -> World:
        return await make_world(state, client)

    # SQLite has one writer at a time
    wrong, step = [], 4 if database.dialect == "postgresql" else 8
    changes = [
        change
        for number, change in enumerate(RESTS_ON[write])
        if ROUNDS or write in OF_ACCOUNTS or number % step == 0 or (write, change) in ALWAYS
    ]
    for number, change in enumerate(changes, start=len(write)):
        doors: tuple[Door, Door] = (DOORS[number % 2], DOORS[number // 2 % 2])
        orders = [
            await in_turn(database, await world(), doors, write, change),
            (await in_turn(database, await world(), doors[::-1], change, write)).turned(),
        ]
        with commits_watched():
            for turned in (False, True):
                pair = (change, write) if turned else (write, change)
                outcome, committed = await held(database, await world(), doors[::-1] if turned else doors, *pair)
                # where both committed, it is known who was first
                possible = [orders[committed[0] ^ turned]] if len(committed) == 2 else orders
                if (outcome.turned() if turned else outcome) not in possible:
                    wrong.append(f"{pair[0]!r} held, {pair[1]!r} meanwhile {outcome.unlike(possible)}")
    assert not wrong, "\n\n".join(wrong)


async def test_pairs_that_go_at_once_come_to_what_one_order_comes_to_many_times(
    state: State, database: Database, client: httpx.AsyncClient
) -> None:
    chosen, started, runs, wrong = random.Random(SEED), time.monotonic(), 0, []
    pairs = EVERY_PAIR if ROUNDS else chosen.sample(PAIRS, SAMPLE)
    for write, change in pairs:
        doors: tuple[Door, Door] = (chosen.choice(DOORS), chosen.choice(DOORS))
        orders = [
            await in_turn(database, await make_world(state, client), doors, write, change),
            (await in_turn(database, await make_world(state, client), doors[::-1], change, write)).turned(),
        ]
        for _ in range(ROUNDS or 1):
            world, ahead = await make_world(state, client), chosen.uniform(-0.004, 0.004)
            outcome = await together(database, world, doors, write, change, ahead=ahead)
            runs += 1
            if outcome not in orders:
                wrong.append(f"{write!r} and {change!r} at once {outcome.unlike(orders)}")
    print(  # noqa: T201 - for ``make races``
        f"{database.dialect}: {runs} runs of {len(pairs)} pairs, {len(wrong)} wrong, {time.monotonic() - started:.0f} s"
    )
    assert not wrong, "\n\n".join(wrong)


@on_postgresql
@pytest.mark.parametrize(
    "change",
    [
        "archive the project",
        "delete the project",
        "remove the member",
        "demote the member",
        "delete the tag",
        "clear the project",
        "clear everything",
    ],
)
async def test_who_waits_for_those_who_write_is_not_passed_by_others_who_come_to_write(
    state: State, database: Database, client: httpx.AsyncClient, change: str
) -> None:
    """Else a project in which there is always somebody writing could not be archived, nor a busy member removed."""
    world = await make_world(state, client)
    with commits_watched():
        order = await in_line(database, world, "change a title", change, "keep a tag")
    assert order in ([0, 1], [0, 1, 2])  # the last is refused, where it rests on what has gone
