"""Turns: a caller has a share, work that has begun goes first, callers take turns, and none gets lost."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeout

from core.deadlines import UNBOUNDED, Caller, DeadlinePassed, Work
from db.driver.slots import Slots


def slots(size: int, *, share: int | None = None, timeout: float = 5.0) -> Slots:
    return Slots(size, timeout=timeout, lacking="none was free", share=share)


class Order:
    """Who has had a turn, in that order; a turn is given back by ``next``."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.served: list[str] = []
        self._had: list[Caller] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def queue(self, name: str, work: Work) -> None:
        async def take() -> None:
            with suppress(PoolTimeout):  # of whoever still waits when the test is over
                self._had.append(await self.slots.acquire(work))
                self.served.append(name)

        self._tasks.add(asyncio.create_task(take()))
        await asyncio.sleep(0)

    async def next(self) -> None:
        self.slots.release(self._had.pop(0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)


class TestShares:
    def test_a_caller_has_half_and_another_one_the_rest(self) -> None:
        pool, one, other = slots(5), Work(10, 1), Work(10, 2)

        assert [pool.take(one) for _ in range(4)] == [True, True, True, False]
        assert [pool.take(other) for _ in range(3)] == [True, True, False]
        assert pool.free == 0

    def test_of_one_slot_everybody_may_have_it(self) -> None:
        pool = slots(1)

        assert pool.take(Work(10, 1))
        assert not pool.take(Work(10, 2))

    def test_what_the_server_does_for_itself_has_all_of_them(self) -> None:
        pool = slots(4)

        assert [pool.take(UNBOUNDED) for _ in range(5)] == [True] * 4 + [False]

    async def test_who_is_named_meanwhile_gives_back_what_was_had_before(self) -> None:
        pool, work = slots(2), Work(10, "address:::1")
        caller = await pool.acquire(work)
        work.caller = 7
        pool.release(caller)

        assert pool.free == 2
        assert [pool.take(Work(10, caller)), pool.take(work)] == [True, True]

    def test_a_turn_that_was_lent_is_somebodys_until_it_is_settled(self) -> None:
        pool, one = slots(4), Work(10, 1)
        pool.take(one)
        pool.lend()

        assert pool.free == 4
        assert [pool.take(one), pool.take(one)] == [True, False]
        pool.settle(1)
        assert pool.take(one)


class TestOrder:
    async def test_callers_take_turns(self) -> None:
        order = Order(slots(1))
        for name, caller in (("a1", 1), ("a2", 1), ("a3", 1), ("b1", 2), ("c1", 3), ("b2", 2)):
            await order.queue(name, Work(10, caller))
        for _ in range(5):
            await order.next()

        assert order.served == ["a1", "a2", "b1", "c1", "a3", "b2"]

    async def test_work_that_has_begun_goes_first(self) -> None:
        order, begun = Order(slots(1)), Work(10, 2)
        begun.begun = True
        await order.queue("held", Work(10, 1))
        await order.queue("new", Work(10, 3))
        await order.queue("begun", begun)
        await order.next()
        await order.next()

        assert order.served == ["held", "begun", "new"]

    async def test_of_one_caller_the_oldest_goes_first(self) -> None:
        order = Order(slots(1))
        older, newer = Work(10, 1), Work(10, 1)
        await order.queue("held", Work(10, 2))
        await order.queue("newer", newer)
        await order.queue("older", older)
        await order.next()

        assert order.served == ["held", "older"]

    async def test_who_has_his_share_is_passed_over(self) -> None:
        order = Order(slots(2, share=1))
        for name, caller in (("a1", 1), ("b1", 2), ("a2", 1), ("c1", 3)):
            await order.queue(name, Work(10, caller))
        order.slots.release(2)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        assert order.served == ["a1", "b1", "c1"]  # a2 was there before c1


class TestGivingUp:
    async def test_waiting_ends_after_its_time(self) -> None:
        pool = slots(1, timeout=0.05)
        pool.take(UNBOUNDED)

        with pytest.raises(PoolTimeout, match="none was free"):
            await pool.acquire(Work(10, 1))
        pool.release(None)
        assert pool.take(Work(10, 1))

    async def test_waiting_ends_at_the_deadline(self) -> None:
        pool = slots(1)
        pool.take(UNBOUNDED)

        with pytest.raises(DeadlinePassed):
            await pool.acquire(Work(0.05, 1))

    async def test_work_that_was_ended_takes_no_turn(self) -> None:
        pool, work = slots(1), Work(10, 1)
        pool.take(UNBOUNDED)
        task = asyncio.create_task(pool.acquire(work))
        await asyncio.sleep(0)
        work.end()
        pool.release(None)

        with pytest.raises(DeadlinePassed):
            await task
        assert pool.free == 1

    @pytest.mark.parametrize("when", ["before", "at the same moment"])
    async def test_who_is_cancelled_leaves_his_turn_to_the_next(self, when: str) -> None:
        pool = slots(1)
        pool.take(UNBOUNDED)
        first = asyncio.create_task(pool.acquire(Work(10, 1)))
        second = asyncio.create_task(pool.acquire(Work(10, 2)))
        await asyncio.sleep(0)
        give_up: list[Callable[[], object]] = [first.cancel, lambda: pool.release(None)]
        for step in give_up if when == "before" else reversed(give_up):
            step()

        assert await asyncio.wait_for(second, 1) == 2
        assert first.cancelled()
        pool.release(2)
        assert pool.free == 1

    @pytest.mark.parametrize("seed", range(5))
    async def test_none_gets_lost(self, seed: int) -> None:
        dice, pool = random.Random(seed), slots(3, share=1, timeout=0.02)
        most = 0
        at_once: dict[Caller, int] = {}

        async def work() -> None:
            nonlocal most
            caller = await pool.acquire(Work(dice.choice([0.005, 0.01, 1]), dice.randrange(4)))
            at_once[caller] = at_once.get(caller, 0) + 1
            most = max(most, at_once[caller])
            try:
                await asyncio.sleep(dice.random() / 200)
            finally:
                at_once[caller] -= 1
                pool.release(caller)

        tasks = [asyncio.create_task(work()) for _ in range(300)]
        while not all(task.done() for task in tasks):
            dice.choice(tasks).cancel()
            await asyncio.sleep(0.001)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)

        assert {type(outcome) for outcome in outcomes if outcome is not None} == {
            asyncio.CancelledError,
            DeadlinePassed,
            PoolTimeout,
        }
        assert (pool.free, most) == (3, 1)
