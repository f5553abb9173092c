"""What need not be exact happens together (``core/ticks.py``)."""

import asyncio
from typing import Any

import pytest
import uvicorn

from api.server.server import ON_TICK_SECONDS, TICKS, Server
from core import ticks
from core.ticks import TICK, rest


@pytest.mark.parametrize("seconds", [TICK, 0.1, 0.13, 0.2])
async def test_a_rest_ends_at_a_tick(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    call_at, due = loop.call_at, list[float]()

    def noted(when: float, *given: Any, **more: Any) -> asyncio.TimerHandle:
        due.append(when)
        return call_at(when, *given, **more)

    monkeypatch.setattr(loop, "call_at", noted)
    started = loop.time()
    await rest(seconds)
    ended = loop.time()
    assert due[0] / TICK == pytest.approx(round(due[0] / TICK))
    assert seconds - TICK - 0.01 <= due[0] - started
    assert due[0] - 0.002 <= ended


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
    looks, rests = list[int](), list[float]()

    async def on_tick(counter: int) -> bool:
        looks.append(counter)
        return len(looks) == 4

    async def rested(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr(server, "on_tick", on_tick)
    monkeypatch.setattr(ticks, "rest", rested)
    await server.main_loop()
    assert looks == [0, 1, 2, 3]
    assert rests == [ON_TICK_SECONDS] * 3
    assert TICKS % 10 == 0
