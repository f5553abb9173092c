"""Who is let in: so many requests are worked on at a time, others wait for a place, and the rest is refused at once.

A place is taken by a request that is all there, from its start to the end of its task. Whose body is still on its way
has none yet, and an answer that has begun and goes on (an event stream, a slow reader) gives its place back.

The queue is for bursts. Where it has not been empty for a second, more comes than can be done: from then on it takes no
more than what is done in a fifth of a second, and those behind hear at once that they should come back (after CoDel,
RFC 8289: a queue that stands is no use to anybody).

Callers take turns in the queue, and one that has little under way is let past a full house: whoever sends most, or
slowest, waits for its own requests. Callers are told apart by what they sign in with, else by their address.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from api.server.bounds import Bounds

STANDING_SECONDS = 1.0
"""A queue that has not been empty for so long stands."""
QUEUE_SECONDS = 0.2
"""What a standing queue may hold, as the time that it takes to do it."""
LEAST_WAITING = 8
"""For each of the places, a queue may hold as many at least: so many clients, each of which waits, are no overload."""
WAIT_SECONDS = 5.0
LITTLE = 8
"""A caller with less than one part in so many of the places has little under way."""


class Connection(Protocol):
    """What places know of a connection."""

    def address(self, headers: list[tuple[bytes, bytes]]) -> str: ...

    def run(self, place: "Place") -> None: ...

    def done(self, place: "Place", task: asyncio.Task[None]) -> None: ...

    def refuse_place(self, place: "Place") -> None: ...


class Place:
    """A request's: of one that is worked on, or waits to be."""

    __slots__ = ("_caller", "app", "connection", "cycle", "since", "task")

    def __init__(self, connection: Connection, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.connection, self.cycle, self.app = connection, cycle, app
        self.task: asyncio.Task[None] | None = None
        self.since = 0.0
        self._caller: bytes | None = None

    def done(self, task: asyncio.Task[None]) -> None:
        """The request's task has ended, however it did."""
        self.connection.done(self, task)

    @property
    def caller(self) -> bytes:
        """What tells callers apart; read only when places are short."""
        if self._caller is None:
            headers = list(self.cycle.scope["headers"])
            signed = next((value for name, value in headers if name in (b"authorization", b"x-api-key")), None)
            self._caller = signed or self.connection.address(headers).encode()
        return self._caller


class Places:
    """Those of one process. ``now`` is the door's clock, which its sweep sets."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.most = bounds.running
        self.running: set[Place] = set()
        self.uploading: set[Place] = set()
        """Requests that have begun and whose body is not all there."""
        self.waiting = 0
        self.now = 0.0
        self._queues: dict[bytes, deque[Place]] = {}
        self._standing_since: float | None = None
        self._done = 0
        self._allowed = LEAST_WAITING * bounds.running

    @property
    def standing(self) -> bool:
        """Whether more comes than can be done."""
        return self._standing_since is not None and self.now - self._standing_since >= STANDING_SECONDS

    @property
    def packed(self) -> bool:
        """Whether the queue stands, and takes none of those who have something in it."""
        return self.waiting >= self._allowed and self.standing

    def enter(self, place: Place) -> bool:
        """Let a request run, or wait. False where it has to be refused."""
        if len(self.running) < self.most:
            self.start(place)
            return True
        return self._enter_full_house(place)

    def start(self, place: Place) -> None:
        self.running.add(place)
        place.connection.run(place)

    def leave(self, place: Place) -> None:
        """A place is free: that of a request that is done, has gone, or needs none any more."""
        try:
            self.running.remove(place)
        except KeyError:
            self.uploading.discard(place)
            return
        self._done += 1
        if self.waiting:
            self._start_waiting()

    def upload(self, place: Place) -> bool:
        """Let a request run whose body is on its way. False where there are too many of them."""
        if len(self.uploading) >= 4 * self._bounds.running and not self._is_light(place, self.uploading):
            return False
        if len(self.uploading) >= 8 * self._bounds.running:
            return False
        self.uploading.add(place)
        place.connection.run(place)
        return True

    def uploaded(self, place: Place) -> None:
        """Its body is there: it is worked on now, and nobody else is until there is a place again."""
        if place in self.uploading:
            self.uploading.discard(place)
            self.running.add(place)

    def forget(self, place: Place) -> None:
        """The client of a waiting request has gone."""
        queue = self._queues.get(place.caller)
        if queue is not None and place in queue:
            queue.remove(place)
            self._waits_no_more(place.caller, queue)

    def sweep(self, now: float, seconds: float) -> None:
        """Twice a second: the clock, how much is done, places of answers that go on, requests that waited too long."""
        self.now = now
        self._allowed = max(LEAST_WAITING * self._bounds.running, int(self._done / seconds * QUEUE_SECONDS))
        self._done = 0
        for place in [place for place in self.running if _goes_on(place.cycle)]:
            self.leave(place)
        for place in list(self._overdue()):
            self.forget(place)
            place.connection.refuse_place(place)

    def _overdue(self) -> Iterator[Place]:
        for queue in self._queues.values():
            for place in queue:
                if self.now - place.since < WAIT_SECONDS:
                    break
                yield place

    def _enter_full_house(self, place: Place) -> bool:
        running = self._bounds.running
        light = self._is_light(place, self.running)
        if light and len(self.running) < running + running // 2:
            self.start(place)
            return True
        allowed = self._bounds.waiting
        if self.standing:
            # whoever has nothing in the queue is heard, while others have
            allowed = min(allowed, self._allowed if place.caller in self._queues or not light else 2 * self._allowed)
        if self.waiting >= allowed:
            return False
        place.since = self.now
        self._queues.setdefault(place.caller, deque()).append(place)
        self.waiting += 1
        if self._standing_since is None:
            self._standing_since = self.now
        return True

    def _is_light(self, place: Place, others: set[Place]) -> bool:
        least = max(1, self._bounds.running // LITTLE)
        return sum(other.caller == place.caller for other in others) < least

    def _start_waiting(self) -> None:
        while self._queues and len(self.running) < self._bounds.running:
            caller = next(iter(self._queues))
            queue = self._queues.pop(caller)
            place = queue.popleft()
            if queue:
                self._queues[caller] = queue  # at the end: it is the others' turn
            self.waiting -= 1
            self.start(place)
        if not self._queues:
            self._standing_since = None

    def _waits_no_more(self, caller: bytes, queue: deque[Place]) -> None:
        self.waiting -= 1
        if not queue:
            del self._queues[caller]
        if not self._queues:
            self._standing_since = None


def _goes_on(cycle: RequestResponseCycle) -> bool:
    """Whether an answer has begun that takes its time."""
    return cycle.response_started and not cycle.response_complete
