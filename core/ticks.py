"""Timers that need not be exact fire together: what a process costs that has nothing to do is how often it is woken, 60
to 180 µs each time, and hardly what for."""

import asyncio
from math import floor

TICK = 0.05
"""Seconds from one to the next."""


def next_tick(moment: float) -> float:
    """When the tick comes that is next after a moment of the event loop's clock, or the one after it where that is only
    just to come: timers fire a millisecond early, too."""
    return floor(moment / TICK + 1.1) * TICK


async def rest(seconds: float) -> None:
    """Sleep for so long, or up to a tick less."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[None] = loop.create_future()
    # by the clock, and not by how long: a delay is rounded, and would end a millisecond beside the tick
    timer = loop.call_at(next_tick(loop.time() + seconds - TICK), _wake, waiting)
    try:
        await waiting
    finally:
        timer.cancel()


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
