"""What need not be exact happens together (``core/ticks.py``)."""

import asyncio

import pytest
import uvicorn

from api.server.server import ON_TICK_SECONDS, TICKS, Server
from core.ticks import TICK, rest

LATE = 0.02
"""Seconds by which a busy machine may be late."""


def behind(moment: float) -> float:
    """How long after the last tick, or a millisecond before one, something has happened."""
    return (moment + 0.001) % TICK


async def test_rests_end_at_ticks() -> None:
    loop = asyncio.get_running_loop()
    ended = []
    for seconds in (TICK, 0.1, 0.13, 0.2):
        started = loop.time()
        await rest(seconds)
        taken = loop.time() - started
        ended.append(behind(loop.time()))
        assert seconds - TICK <= taken < seconds + TICK + LATE
    assert sorted(ended)[1] < LATE


async def test_those_who_rest_are_woken_together() -> None:
    order: list[str] = []

    async def wake(name: str) -> None:
        await rest(0.1)
        order.append(name)
        asyncio.get_running_loop().call_soon(order.append, "a turn later")

    await asyncio.gather(wake("one"), wake("two"), wake("three"))
    assert set(order[:3]) == {"one", "two", "three"}


async def test_who_is_cancelled_is_not_woken() -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    resting = asyncio.create_task(rest(0.1))
    await asyncio.sleep(0)
    resting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await resting
    await asyncio.sleep(0.2)
    assert told == []


async def test_server_looks_for_its_end_with_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(uvicorn.Config("none:none"))
    looks: list[tuple[int, float]] = []

    async def on_tick(counter: int) -> bool:
        looks.append((counter, asyncio.get_running_loop().time()))
        return len(looks) == 6

    monkeypatch.setattr(server, "on_tick", on_tick)
    await server.main_loop()
    assert [counter for counter, _ in looks] == [0, 1, 2, 3, 4, 5]
    assert sorted(behind(moment) for _, moment in looks[1:])[2] < LATE
    assert looks[-1][1] - looks[0][1] < 5 * (ON_TICK_SECONDS + LATE)
    assert TICKS % 10 == 0
