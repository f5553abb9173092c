"""Rounds of measurements, the servers in turn, so that whatever else the machine does meets all of them alike."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.client import CONNECTIONS, OPEN_LOOP_CONNECTIONS, BadAnswer, Client
from benchmarks.databases import Database
from benchmarks.servers import Server
from benchmarks.works import MIX, WORKS, Work

WARM_UP = 50
"""Requests before the first round, of each work."""
MAX_SECONDS = 2.0
"""How long one measurement may take: slow servers get fewer requests, never less than two a connection."""
SETTLE_SECONDS = 0.005
MAXIMUM_SECONDS = 5.0
MIX_SECONDS = 12.0
"""Of each round: long enough for a pause of 100 ms to be less than a hundredth of it."""
MIX_ROUNDS = 5

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement: what ``requests`` requests took."""

    requests: int
    seconds: float
    cpu_ns: int
    """Of the server's process."""
    database_cpu_ns: int | None
    latencies: Sequence[float]
    """Of each request, in seconds."""


@dataclass(frozen=True, slots=True)
class Result:
    """The medians of a server's rounds at one work."""

    cpu_us: float
    """The server's CPU time a request, in microseconds."""
    database_cpu_us: float | None
    per_second: float
    """Requests a second, of eight clients that wait for each answer."""
    p50_ms: float
    p99_ms: float
    requests: int
    """In each round."""


@dataclass(frozen=True, slots=True)
class Mixed:
    """A mixed load: requests evenly spaced at half of the rate that the server reached at most; medians of rounds."""

    maximum_per_second: float
    per_second: float
    p50_ms: float
    p99_ms: float
    requests: int

    @property
    def ratio(self) -> float:
        return self.p99_ms / self.p50_ms


@dataclass(slots=True)
class Measured:
    """Everything about one server on one kind of database."""

    works: dict[str, Result] = field(default_factory=dict)
    mixed: Mixed | None = None
    start_seconds: float = 0.0
    rss_mb: float = 0.0
    pss_mb: float = 0.0
    forked_mb: float = 0.0
    """Of each of several workers that are forked: their share (PSS) of what they and their master hold together."""


async def measure_works(
    targets: Sequence[tuple[Server, Database]],
    works: Sequence[Work],
    token: str,
    *,
    rounds: int,
    requests: int,
    say: Say,
) -> dict[str, dict[str, Result]]:
    """The results by server and work, of servers each with its database.

    Raises ``BadAnswer`` where a server answers wrongly.
    """
    samples: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    wires = {
        (server.name, work.name): work.requests(database.dataset, token)
        for work in works
        for server, database in targets
    }
    counts: dict[tuple[str, str], int] = {}
    for work in works:
        for server, database in targets:
            say(f"{database.kind}: warming up {server.name} with {work.name}")
            of_work = wires[server.name, work.name]
            first = await _sample(server, database, work, of_work, 2 * CONNECTIONS)
            affordable = int(MAX_SECONDS * first.requests / first.seconds)
            counts[server.name, work.name] = max(2 * CONNECTIONS, min(requests, affordable))
            if affordable > WARM_UP:
                await _sample(server, database, work, of_work, WARM_UP)
    for number in range(rounds):
        for work in works:
            for turn in range(len(targets)):
                server, database = targets[(turn + number) % len(targets)]
                say(f"{database.kind}: round {number + 1} of {rounds}, {work.name} {server.name}")
                key = server.name, work.name
                samples[key].append(await _sample(server, database, work, wires[key], counts[key]))
    results: dict[str, dict[str, Result]] = {server.name: {} for server, _ in targets}
    for (server_name, work_name), of_rounds in samples.items():
        results[server_name][work_name] = _summary(of_rounds)
    return results


async def measure_mix(servers: Sequence[Server], database: Database, token: str, *, say: Say) -> dict[str, Mixed]:
    """Latencies of a mixed load at half of each server's maximum rate, which is measured first."""
    requests = _mix(database, token)
    maximum: dict[str, float] = {}
    latencies: dict[str, list[list[float]]] = defaultdict(list)
    for server in servers:
        say(f"{database.kind}: mixed load, the most that {server.name} can do")
        async with Client(server.port) as client:
            await client.closed_loop(requests, WARM_UP, _any_answer)
            begun, count = time.perf_counter(), 0
            while (spent := time.perf_counter() - begun) < MAXIMUM_SECONDS:
                await client.closed_loop(requests, len(requests), _any_answer)
                count += len(requests)
            maximum[server.name] = count / spent
    for number in range(MIX_ROUNDS):
        for server in servers:
            say(f"{database.kind}: mixed load, round {number + 1} of {MIX_ROUNDS}, {server.name}")
            async with Client(server.port, OPEN_LOOP_CONNECTIONS) as client:
                rate = maximum[server.name] / 2
                latencies[server.name].append(await client.open_loop(requests, rate, MIX_SECONDS, _any_answer))
    return {
        name: Mixed(
            maximum_per_second=maximum[name],
            per_second=maximum[name] / 2,
            p50_ms=median(percentile(each, 50) for each in of_rounds) * 1e3,
            p99_ms=median(percentile(each, 99) for each in of_rounds) * 1e3,
            requests=sum(map(len, of_rounds)),
        )
        for name, of_rounds in latencies.items()
    }


async def use(server: Server, work: Work, requests: Sequence[bytes], count: int) -> None:
    """Send requests on several connections, without measuring them."""
    async with Client(server.port) as client:
        await client.closed_loop(requests, count, work.accepts)


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that ``percent`` of a hundred values do not exceed (nearest rank)."""
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]


async def _sample(server: Server, database: Database, work: Work, requests: Sequence[bytes], count: int) -> Sample:
    try:
        async with Client(server.port) as client:
            # one for each connection, not counted: the processor's caches hold another server's things
            await client.closed_loop(requests, CONNECTIONS, work.accepts)
            await asyncio.sleep(SETTLE_SECONDS)
            server_cpu, database_cpu = server.cpu_ns(), database.cpu_ns(server.url)
            begun = time.perf_counter()
            latencies = await client.closed_loop(requests, count, work.accepts)
            seconds = time.perf_counter() - begun
            await asyncio.sleep(SETTLE_SECONDS)
            spent = server.cpu_ns() - server_cpu
            after = database.cpu_ns(server.url)
    except (BadAnswer, OSError) as error:
        raise BadAnswer(f"{work.name} on {server.name}, under load: {error}") from None
    database_spent = None if after is None or database_cpu is None else after - database_cpu
    return Sample(count, seconds, spent, database_spent, latencies)


def _summary(samples: Sequence[Sample]) -> Result:
    database = [each.database_cpu_ns / each.requests / 1e3 for each in samples if each.database_cpu_ns is not None]
    return Result(
        cpu_us=median(each.cpu_ns / each.requests / 1e3 for each in samples),
        database_cpu_us=median(database) if database else None,
        per_second=median(each.requests / each.seconds for each in samples),
        p50_ms=median(percentile(each.latencies, 50) for each in samples) * 1e3,
        p99_ms=median(percentile(each.latencies, 99) for each in samples) * 1e3,
        requests=samples[0].requests,
    )


def _mix(database: Database, token: str) -> list[bytes]:
    """Requests in the proportions of ``MIX``, shuffled."""
    requests = []
    for work in WORKS:
        wires = work.requests(database.dataset, token)
        requests += [wires[index % len(wires)] for index in range(5 * MIX[work.name])]
    random.Random(4).shuffle(requests)
    return requests


def _any_answer(status: int, body: bytes) -> bool:
    return status in (200, 201) and b'"errors"' not in body
