"""What Prometheus reads at ``GET /metrics``: requests, durations, GraphQL's executors, the event loop, followers,
sockets, the process.

Counting adds to plain numbers, which become metrics when somebody asks: 0.4 µs a request, where prometheus-client's own
counter and histogram take 3.3 µs, and 5.4 µs if they write to the files of several workers.

Several workers: each answers for all of them where ``PROMETHEUS_MULTIPROC_DIR`` names a folder. prometheus-client then
adds up files that each process keeps there, which do not know of collectors: neither ours nor those that read the
process. So each worker copies what its collectors say to its files once a second, and before it answers. The others'
figures are a second old at most, and one that is killed takes its last second along. It is one application a process:
two of them would write to the same files.
"""

import asyncio
import logging
import os
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
    values,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from api.http.route import StrictRoute
from api.middleware.compression import STREAM
from core.lag import LoopLag
from services.connections import Connections

logger = logging.getLogger("tandem.metrics")

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, float("inf"))
"""Upper bounds in seconds. Most requests take less than two milliseconds."""
_BOUNDS = (*map(str, BUCKETS[:-1]), "+Inf")
DOORS = ("rest", "graphql", "other")
EXECUTED = ("compiled", "ordinary", "both")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"})
"""A client may send any word as a method, and would make a label of each."""
UNMATCHED = "unmatched"
PUBLISH_SECONDS = 1.0


class Followed(Protocol):
    """What clients follow."""

    @property
    def followers(self) -> int: ...


class _Door:
    """The durations of a door's requests."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * len(BUCKETS)
        self.seconds = 0.0


class _Tally:
    """The requests of one route, method and status."""

    __slots__ = ("door", "requests")

    def __init__(self, door: _Door) -> None:
        self.door = door
        self.requests = 0


class Metrics(Collector):
    """The metrics of one application, in a registry of its own."""

    def __init__(
        self,
        *,
        version: str,
        followed: Mapping[str, Followed],
        connections: Connections,
        executed: Mapping[str, int],
        others: Iterable[Collector] = (),
    ) -> None:
        self._followed, self._connections, self._executed = followed, connections, executed
        self._lag = LoopLag()
        self._tallies: dict[tuple[str, str, int], _Tally] = {}
        self._doors = {name: _Door() for name in DOORS}
        own = CollectorRegistry()
        own.register(self)
        for other in others:
            own.register(other)
        ProcessCollector(registry=own)
        GCCollector(registry=own)
        self._registry = own
        self._files: _Files | None = None
        if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            self._registry = CollectorRegistry()
            self._files = _Files(Path(folder), own, self._registry)
        # the same in every worker
        self._registry.register(_Build(version))
        PlatformCollector(registry=self._registry)

    def count(self, scope: Mapping[str, Any], method: str, status: int, seconds: float) -> None:
        """Count a request that has been answered; its scope holds the route that was found for it."""
        route = scope.get("route")
        key = (UNMATCHED if route is None else route.path_format, method if method in METHODS else "other", status)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = _Tally(self._doors[_door(route)])
        tally.requests += 1
        if STREAM not in scope:
            door = tally.door
            door.counts[bisect_left(BUCKETS, seconds)] += 1
            door.seconds += seconds

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "tandem_http_requests", "Requests that were answered.", labels=["method", "route", "status"]
        )
        for (route, method, status), tally in self._tallies.items():
            requests.add_metric([method, route, str(status)], tally.requests)
        yield requests
        durations = HistogramMetricFamily(
            "tandem_http_request_duration_seconds", "Time from a request to the end of its answer.", labels=["door"]
        )
        for name, door in self._doors.items():
            durations.add_metric([name], list(zip(_BOUNDS, accumulate(door.counts), strict=True)), door.seconds)
        yield durations
        operations = CounterMetricFamily(
            "tandem_graphql_operations", "GraphQL queries and mutations, by what executed them.", labels=["kind"]
        )
        for kind in EXECUTED:
            operations.add_metric([kind], self._executed.get(kind, 0))
        yield operations
        late = HistogramMetricFamily(
            "tandem_event_loop_lag_seconds", "How late the event loop came to a timer, twenty times a second."
        )
        late.add_metric([], self._lag.buckets, self._lag.seconds)
        yield late
        followers = GaugeMetricFamily(
            "tandem_subscription_followers", "Who follows now, on both doors, by what is followed.", labels=["feed"]
        )
        for name, feed in self._followed.items():
            followers.add_metric([name], feed.followers)
        yield followers
        yield GaugeMetricFamily("tandem_sockets", "WebSockets that are open now.", self._connections.sockets)
        yield GaugeMetricFamily(
            "tandem_event_streams", "Subscriptions that are followed by event streams now.", self._connections.streams
        )

    def text(self) -> bytes:
        """Everything in Prometheus' text format 0.0.4."""
        if self._files is not None:
            self._files.publish()
        return generate_latest(self._registry)

    @asynccontextmanager
    async def published(self) -> AsyncIterator[None]:
        """While the application runs: its event loop is measured, and the other workers can answer for this one."""
        self._lag.start()
        if self._files is None:
            try:
                yield
            finally:
                self._lag.stop()
            return
        task = asyncio.create_task(self._files.keep_publishing())
        try:
            yield
        finally:
            self._lag.stop()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self._files.publish()


def _door(route: Any) -> str:
    if isinstance(route, StrictRoute):
        return "other" if "meta" in route.tags else "rest"
    return "graphql" if route is not None and route.path == "/graphql" else "other"


class _Build(Collector):
    def __init__(self, version: str) -> None:
        self._version = version

    def collect(self) -> Iterable[Metric]:
        return [InfoMetricFamily("tandem_build", "The version that runs.", {"version": self._version})]


class _Files:
    """This process's files in the folder that prometheus-client adds up."""

    def __init__(self, folder: Path, source: CollectorRegistry, answer: CollectorRegistry) -> None:
        self._folder, self._source = folder, source
        folder.mkdir(parents=True, exist_ok=True)
        MultiProcessCollector(answer, path=str(folder))  # type: ignore[no-untyped-call]  # the library's
        self._values: dict[tuple[str, tuple[str, ...]], Any] = {}

    async def keep_publishing(self) -> None:
        while True:
            try:
                self.publish()
            except OSError:
                logger.warning("the metrics could not be published; trying again", exc_info=True)
            await asyncio.sleep(PUBLISH_SECONDS)

    def publish(self) -> None:
        """Write what this process's collectors say, and forget what processes were that are no more."""
        for metric in self._source.collect():
            below = 0.0
            for sample in metric.samples:
                value = sample.value
                if metric.type == "histogram":
                    if sample.name.endswith("_count"):
                        continue  # added up from the buckets, each of which is by itself in the file
                    if "le" in sample.labels:
                        value, below = value - below, 0.0 if sample.labels["le"] == "+Inf" else value
                self._value(metric, sample.name, sample.labels).set(value)
        for file in self._folder.glob("gauge_live*_*.db"):
            pid = int(file.stem.rpartition("_")[2])
            if not _is_alive(pid):
                mark_process_dead(pid, str(self._folder))  # type: ignore[no-untyped-call]  # the library's

    def _value(self, metric: Metric, name: str, labels: Mapping[str, str]) -> Any:
        key = (name, tuple(labels.values()))
        value = self._values.get(key)
        if value is None:
            # the sum of all workers, but for when the first of them started
            mode = "livemin" if name == "process_start_time_seconds" else "livesum"
            value = self._values[key] = values.ValueClass(
                metric.type, metric.name, name, tuple(labels), key[1], metric.documentation, multiprocess_mode=mode
            )
        return value


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's by now
        pass
    return True
