"""Turns on the event loop: long work lets others in, in order, and short work has no part in it."""

import asyncio
import time

import pytest

from core import turns

STEP = 0.0005


def busy(seconds: float = STEP) -> None:
    """Use the CPU for so long."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


async def work(steps: int) -> None:
    for _ in range(steps):
        if turns.due():
            await turns.give()
        busy()


async def longest_wait(*tasks: asyncio.Task[None]) -> float:
    """The most CPU that the loop's thread used between two of its iterations, until the tasks are done."""
    longest, last = 0.0, time.thread_time()
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        moment = time.thread_time()
        longest, last = max(longest, moment - last), moment
    return longest


@pytest.mark.parametrize("number", [1, 20])
async def test_however_many_work_the_loop_is_held_for_a_turn(number: int) -> None:
    tasks = [asyncio.create_task(work(400 // number)) for _ in range(number)]
    # a turn, and a step of each of those who come to it for the first time
    assert await longest_wait(*tasks) < turns.TURN + (number + 4) * STEP + 0.01


async def test_those_who_wait_go_on_in_their_order() -> None:
    seen: list[int] = []

    async def tell(number: int) -> None:
        for _ in range(3):
            await turns.give()
            seen.append(number)

    await asyncio.gather(*(tell(number) for number in range(5)))
    assert seen == [*range(5)] * 3


async def test_whoever_is_cancelled_is_passed_over() -> None:
    first, second = asyncio.create_task(turns.give()), asyncio.create_task(turns.give())
    await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(1):
        await second
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_few_steps_never_give_way() -> None:
    busy(2 * turns.TURN)
    pace = turns.Pace()
    assert not any(pace.due() for _ in range(turns.STEPS - 1))
    assert pace.due()


async def test_a_turn_is_over_after_its_time_and_begins_again() -> None:
    await turns.give()
    assert not turns.due()
    busy(1.5 * turns.TURN)
    assert turns.due()
    await turns.give()
    assert not turns.due()


def test_another_loop_in_the_same_thread_has_turns_of_its_own() -> None:
    for _ in range(2):
        asyncio.run(asyncio.wait_for(turns.give(), 1))


async def test_items_come_all_and_in_their_order() -> None:
    assert [item async for item in turns.each(range(100))] == [*range(100)]
    assert [*map(list, turns.parts(range(5), 2))] == [[0, 1], [2, 3], [4]]
