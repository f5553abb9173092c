"""What the connections of a process share: bounds, places, the clock that ends them, and what was refused."""

import asyncio
import logging
import resource
from collections.abc import Callable, Iterable, MutableMapping
from itertools import islice
from typing import Any, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.server import refusals
from api.server.bounds import Bounds
from api.server.places import Places
from api.server.refusals import Refusal

logger = logging.getLogger("tandem.server")

STATE_KEY = "tandem.door"
"""Where a door stands in the state that the application hands to the server in its lifespan (ASGI, lifespan state)."""
GONE = "tandem.gone"
"""In the scope of a request whose client has gone: its task was cancelled for that."""
SWEEP_SECONDS = 0.5
TOLD_SECONDS = 10.0
"""How often the log says what was refused, while something is."""
SPARE_FILES = 200
"""File descriptors that connections leave to databases, logs and the like."""
NEVER = float("inf")

CUT_OFF = ("idle", "not_read", "gone", "linger")
"""Why connections end without a refusal: ``gone`` is the client, before its answer."""


class Connection(Protocol):
    """What the door knows of a connection."""

    until: float
    """When it ends unless something happens, by the door's clock."""

    def on_time(self) -> None: ...

    def on_look_at_reader(self) -> None: ...

    def is_idle(self) -> bool: ...


def _nothing() -> None: ...


class Door(Collector):
    """One for each application, which a process serves once."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.bounds = bounds or Bounds()
        self.places = Places(self.bounds)
        self.connections: set[Connection] = set()
        self.unread: set[Connection] = set()
        """Those whose client has not taken what it was sent."""
        self.now = 0.0
        self.draining = False
        self.counts = dict.fromkeys([*(refusal.reason for refusal in refusals.ALL), *CUT_OFF], 0)
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.most = max(1, min(self.bounds.connections, files - SPARE_FILES))
        self.connected: Callable[[], None] = _nothing
        """Called for every connection that was made: there may be more to accept."""
        self._overload: tuple[list[tuple[bytes, bytes]], bytes] = [], b""
        self._told, self._told_at = dict(self.counts), 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the clock. Called by every connection, which must know the time."""
        if self._loop is not loop:
            self._loop = loop
            self.draining = False
            self._sweep(loop)

    def drain(self) -> None:
        """The process ends: answers say so, and whoever asks whether it is ready hears no."""
        self.draining = True

    def count(self, refusal: Refusal) -> None:
        self.counts[refusal.reason] += 1

    def overload_answer(self, defaults: list[tuple[bytes, bytes]]) -> bytes:
        """That there is no place, on a connection that stays. uvicorn's own headers are new ones every second."""
        if self._overload[0] is not defaults:
            self._overload = defaults, refusals.OVERLOAD.answer(defaults, close=False)
        return self._overload[1]

    def is_full(self) -> bool:
        """Whether there is no room for one more connection, once the longest idle ones have made room."""
        if len(self.connections) < self.most:
            return False
        idle = sorted((one for one in self.connections if one.is_idle()), key=lambda one: one.until)
        for one in islice(idle, max(1, self.most // 8)):
            one.until = 0.0
            one.on_time()
        return not idle

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        before, self.now = self.now, loop.time()
        self.places.sweep(self.now, max(self.now - before, SWEEP_SECONDS))
        for one in [one for one in self.connections if one.until <= self.now]:
            one.on_time()
        for one in list(self.unread):
            one.on_look_at_reader()
        self._tell()
        loop.call_later(SWEEP_SECONDS, self._sweep, loop)

    def _tell(self) -> None:
        """A line for all of them: whoever is refused often must not fill the log."""
        if self.now - self._told_at < TOLD_SECONDS or self.counts == self._told:
            return
        more = {reason: count - self._told[reason] for reason, count in self.counts.items()}
        self._told, self._told_at = dict(self.counts), self.now
        told = {reason: count for reason, count in more.items() if count and reason not in ("idle", "gone", "linger")}
        if told:
            logger.warning("refused at the door", extra=told)

    def collect(self) -> Iterable[Metric]:
        refused = CounterMetricFamily(
            "tandem_http_refused", "Requests refused and connections ended at the door.", labels=["reason"]
        )
        for reason, count in self.counts.items():
            refused.add_metric([reason], count)
        yield refused
        yield GaugeMetricFamily("tandem_http_connections", "Connections that are open.", len(self.connections))
        yield GaugeMetricFamily(
            "tandem_http_requests_in_progress", "Requests that are worked on.", len(self.places.running)
        )
        yield GaugeMetricFamily("tandem_http_requests_waiting", "Requests that wait for a place.", self.places.waiting)


def door_of(state: MutableMapping[str, Any]) -> Door:
    """The application's door; one with the usual bounds for an application that has none."""
    door: Door | None = state.get(STATE_KEY)
    if door is None:
        door = state[STATE_KEY] = Door()
    return door
