"""Who computes aside leaves the event loop its turns (``api/server/switching.py``)."""

import asyncio
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.server import switching
from core.aside import aside
from tests.test_collector import told

USUAL = 0.005
SLEEP, TIMES = 0.002, 30


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


async def waits() -> float:
    """How much later than it wanted to the event loop goes on while something is computed aside: the median in s."""
    ended = False

    def compute() -> None:
        while not ended:
            sum(number * number for number in range(1_000))

    computing = asyncio.create_task(aside(compute))
    await asyncio.sleep(0.05)
    late = []
    for _ in range(TIMES):
        started = time.perf_counter()
        await asyncio.sleep(SLEEP)
        late.append(time.perf_counter() - started - SLEEP)
    ended = True
    await computing
    return statistics.median(late)


async def gained() -> bool:
    sys.setswitchinterval(USUAL)
    usual = await waits()
    switching.settle()
    return await waits() < usual / 2


async def test_whoever_waits_has_his_turn_sooner() -> None:
    # on a busy machine whoever waits may wait for other processes
    assert await gained() or await gained() or await gained()


def test_a_server_settles_it(tmp_path: Path) -> None:
    look = "print(sys.getswitchinterval())"
    before, after, settled = told(f"import sys; {look}; import api.main; {look}; api.main.app; {look}", tmp_path)
    assert before == after
    assert float(settled) == switching.SECONDS
