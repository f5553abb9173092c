"""Long work on the event loop, done in turns, so that everybody else's requests go on meanwhile.

Work that may take longer than a few milliseconds asks between its steps::

    pace = turns.Pace()
    for item in items:
        if pace.due():
            await turns.give()

A turn lasts ``TURN`` seconds of the loop's CPU time *in all*, not for each request: those whose turn is over wait in
one queue, and the loop does what else there is before it calls the next of them. So a hundred requests that each work
for a minute hold the loop no longer at a time than one of them does, and they go on in the order in which they came.

What is short gives way once in a while, when its moment comes, which takes 30 µs then.
"""

import threading
from asyncio import AbstractEventLoop, Future, get_running_loop
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from time import perf_counter, thread_time
from typing import TypeVar

T = TypeVar("T")

TURN = 0.008
"""Seconds of CPU. What a step takes comes on top: up to a few times as long, where it is one call into a library."""
STEPS = 16


class _Queue:
    """Those who wait for a turn on one loop."""

    __slots__ = ("_loop", "_pumping", "_waiting")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Future[None]] = deque()
        self._pumping = False

    def belongs_to(self, loop: AbstractEventLoop) -> bool:
        return self._loop is loop

    def join(self) -> Future[None]:
        place = self._loop.create_future()
        self._waiting.append(place)
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump)
        return place

    def _pump(self) -> None:
        """Call the next one; once in an iteration of the loop, which looks for what has come in between."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():  # cancelled, with the request
                _local.begin()
                place.set_result(None)
                self._loop.call_soon(self._pump)
                return
        self._pumping = False


class _Local(threading.local):
    """A loop runs in one thread, and a thread runs one loop at a time."""

    queue: _Queue | None = None
    began: float = 0.0
    """The CPU time of the thread when the turn began that runs."""
    not_before: float = 0.0
    """By the clock, when it may be over at the earliest: asking for the CPU time is a call into the kernel (2 µs)."""

    def begin(self) -> None:
        self.began = thread_time()
        self.not_before = perf_counter() + TURN


_local = _Local()


def due() -> bool:
    """Whether the turn is over: who can give way now should."""
    moment = perf_counter()
    if moment < _local.not_before:
        return False
    left = _local.began + TURN - thread_time()
    if left < 0:
        return True
    _local.not_before = moment + left
    return False


async def give() -> None:
    """Let everybody else go on, and come back when it is one's turn."""
    loop = get_running_loop()
    queue = _local.queue
    if queue is None or not queue.belongs_to(loop):
        queue = _local.queue = _Queue(loop)
    await queue.join()


async def pause() -> None:
    """Give way, if the turn is over."""
    if due():
        await give()


class Pace:
    """Of work that consists of many small steps: it looks at the clock before every sixteenth (0.1 µs a step)."""

    __slots__ = ("_steps",)

    def __init__(self) -> None:
        self._steps = 0

    def due(self) -> bool:
        """Whether to give way before the next step."""
        self._steps += 1
        return self._steps % STEPS == 0 and due()


async def each(items: Iterable[T]) -> AsyncIterator[T]:
    """The items, with turns between them."""
    for item in items:
        if due():
            await give()
        yield item


def parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items, so many at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
