"""How late the event loop comes to what is due: what a request waits before anything is done for it."""

import asyncio
from bisect import bisect_left
from itertools import accumulate

from core.ticks import next_tick

BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, float("inf"))
"""Upper bounds in seconds."""


class LoopLag:
    """Asks the loop that it is started on at each tick (5 µs); what is too short to be late for it shows nowhere."""

    def __init__(self) -> None:
        self.counts = [0] * len(BUCKETS)
        """How many times it was late by so much, in each bucket."""
        self.seconds = 0.0
        """By how much in all."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus has them: how many times it was late by no more."""
        names = [*map(str, BUCKETS[:-1]), "+Inf"]
        return list(zip(names, map(float, accumulate(self.counts)), strict=True))

    def start(self) -> None:
        """Begin to ask."""
        self._ask(asyncio.get_running_loop())

    def stop(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        due = next_tick(loop.time())
        self._timer = loop.call_at(due, self._answer, loop, due)

    def _answer(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        late = max(0.0, loop.time() - due)
        self.counts[bisect_left(BUCKETS, late)] += 1
        self.seconds += late
        self._ask(loop)
