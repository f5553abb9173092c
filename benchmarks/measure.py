"""Rounds of measurements, the servers in turn, so that whatever else the machine does meets all of them alike."""

import asyncio
import gc
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median

from benchmarks.client import CONNECTIONS, OPEN_LOOP_CONNECTIONS, BadAnswer, Client
from benchmarks.databases import Database
from benchmarks.servers import Server
from benchmarks.works import MIX, WORKS, Work

WARM_UP = 50
"""Requests before the first round, of each work."""
MAX_SECONDS = 2.0
"""How long one measurement may take: who is slower gets fewer requests, never less than two a connection, …"""
SLOW_ROUNDS = 8
"""… in one of so many rounds."""
SETTLE_SECONDS = 0.005
MAXIMUM_SECONDS = 3.0
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
    """A server at one work: medians of its rounds, and the latencies of all their requests."""

    cpu_us: float
    """The server's CPU time a request, in microseconds."""
    cpu_us_of_rounds: Mapping[int, float]
    database_cpu_us: float | None
    database_cpu_us_of_rounds: Mapping[int, float]
    per_second: float
    """Requests a second, of eight clients that wait for each answer."""
    p50_ms: float
    p99_ms: float
    requests: int
    """In each round."""

    def of_rounds(self, whose: "Whose") -> Mapping[int, float]:
        """The CPU time a request by the number of the round, in microseconds."""
        if whose is Whose.DATABASE:
            return self.database_cpu_us_of_rounds
        if whose is Whose.SERVER or not self.database_cpu_us_of_rounds:
            return self.cpu_us_of_rounds
        of_database = self.database_cpu_us_of_rounds
        return {number: spent + of_database[number] for number, spent in self.cpu_us_of_rounds.items()}

    @property
    def total_cpu_us(self) -> float:
        """The CPU time a request of the server and the database together, in microseconds."""
        return median(self.of_rounds(Whose.TOTAL).values())


@dataclass(frozen=True, slots=True)
class Mixed:
    """A mixed load: requests evenly spaced at half of the rate that the server reached at most; medians of rounds."""

    maximum_per_second: float
    p50_ms: float
    p99_ms: float
    ratio: float
    """p99 ÷ p50, of each round."""
    requests: int


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

    What is compared is measured within a second: servers in turn at each work, and a work of GraphQL after its like.
    Raises ``BadAnswer`` where a server answers wrongly.
    """
    names = [work.name for work in works]
    works = sorted(works, key=lambda work: names.index(work.rest if work.rest in names else work.name))
    samples: dict[tuple[str, str], dict[int, Sample]] = defaultdict(dict)
    wires = {
        (server.name, work.name): work.requests(database.dataset, token)
        for work in works
        for server, database in targets
    }
    counts: dict[tuple[str, str], int] = {}
    slow = set()
    for work in works:
        for server, database in targets:
            say(f"{database.kind}: warming up {server.name} with {work.name}")
            of_work = wires[server.name, work.name]
            first = await _sample(server, database, work, of_work, 2 * CONNECTIONS)
            affordable = int(MAX_SECONDS * first.requests / first.seconds)
            counts[server.name, work.name] = max(2 * CONNECTIONS, min(requests, affordable))
            if affordable < requests:
                slow.add((server.name, work.name))
            if affordable > WARM_UP:
                await _sample(server, database, work, of_work, WARM_UP)
    for number in range(rounds):
        turns = [targets[(turn + number) % len(targets)] for turn in range(len(targets))]
        all_of_round = [(work, *target) for work in works for target in turns]
        quick = [each for each in all_of_round if (each[1].name, each[0].name) not in slow]
        others = [each for each in all_of_round if each not in quick] if number % SLOW_ROUNDS == 0 else []
        for work, server, database in quick + others:
            say(f"{database.kind}: round {number + 1} of {rounds}, {work.name} {server.name}")
            key = server.name, work.name
            samples[key][number] = await _sample(server, database, work, wires[key], counts[key])
    results: dict[str, dict[str, Result]] = {server.name: {} for server, _ in targets}
    for (server_name, work_name), of_rounds in samples.items():
        results[server_name][work_name] = _summary(of_rounds)
    return results


async def measure_mix(servers: Sequence[Server], database: Database, token: str, *, say: Say) -> dict[str, Mixed]:
    """Latencies of a mixed load at half of each server's maximum rate, which is measured first in each round."""
    requests = _mix(database, token)
    maximum: dict[str, list[float]] = defaultdict(list)
    latencies: dict[str, list[list[float]]] = defaultdict(list)
    for number in range(MIX_ROUNDS):
        for server in servers:
            say(f"{database.kind}: mixed load, round {number + 1} of {MIX_ROUNDS}, {server.name}")
            with _no_collections():
                rate = await _most(server, requests)
                maximum[server.name].append(rate)
                async with Client(server.port, OPEN_LOOP_CONNECTIONS) as client:
                    latencies[server.name].append(await client.open_loop(requests, rate / 2, MIX_SECONDS, _any_answer))
    return {
        name: Mixed(
            maximum_per_second=median(maximum[name]),
            p50_ms=median(percentile(each, 50) for each in of_rounds) * 1e3,
            p99_ms=median(percentile(each, 99) for each in of_rounds) * 1e3,
            ratio=median(percentile(each, 99) / percentile(each, 50) for each in of_rounds),
            requests=sum(map(len, of_rounds)),
        )
        for name, of_rounds in latencies.items()
    }


@contextmanager
def _no_collections() -> Iterator[None]:
    """Leave garbage uncollected: looking for it in all that this process holds would stop the client for 50 ms, and be
    taken for the server's latency."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def _most(server: Server, requests: Sequence[bytes]) -> float:
    """How many requests a second it answers of clients that wait for each answer."""
    async with Client(server.port) as client:
        await client.closed_loop(requests, WARM_UP, _any_answer)
        begun, count = time.perf_counter(), 0
        while (spent := time.perf_counter() - begun) < MAXIMUM_SECONDS:
            await client.closed_loop(requests, len(requests), _any_answer)
            count += len(requests)
    return count / spent


async def use(server: Server, work: Work, requests: Sequence[bytes], count: int) -> None:
    """Send requests on several connections, without measuring them."""
    async with Client(server.port) as client:
        await client.closed_loop(requests, count, work.accepts)


class Whose(StrEnum):
    """Whose CPU time is compared."""

    SERVER = "server"
    DATABASE = "database"
    TOTAL = "total"
    """Both together, where the database has processes of its own."""


def quotient(above: Result | None, below: Result | None, whose: Whose = Whose.SERVER) -> float | None:
    """How many times as much CPU time a request costs: the median of the rounds' quotients.

    The machine may be twice as fast in one round as in another, but hardly within the second in which both are
    measured.
    """
    if above is None or below is None:
        return None
    tops, bottoms = above.of_rounds(whose), below.of_rounds(whose)
    quotients = [tops[number] / bottoms[number] for number in tops.keys() & bottoms.keys() if bottoms[number]]
    return median(quotients) if quotients else None


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


def _summary(of_rounds: Mapping[int, Sample]) -> Result:
    samples = list(of_rounds.values())
    latencies = [seconds for each in samples for seconds in each.latencies]
    cpu = {number: each.cpu_ns / each.requests / 1e3 for number, each in of_rounds.items()}
    database = {
        number: each.database_cpu_ns / each.requests / 1e3
        for number, each in of_rounds.items()
        if each.database_cpu_ns is not None
    }
    return Result(
        cpu_us=median(cpu.values()),
        cpu_us_of_rounds=cpu,
        database_cpu_us=median(database.values()) if database else None,
        database_cpu_us_of_rounds=database,
        per_second=median(each.requests / each.seconds for each in samples),
        p50_ms=percentile(latencies, 50) * 1e3,
        p99_ms=percentile(latencies, 99) * 1e3,
        requests=samples[0].requests,
    )


def _mix(database: Database, token: str) -> list[bytes]:
    """Requests in the proportions of ``MIX``, shuffled."""
    requests = []
    for work in WORKS:
        if work.name not in MIX:
            continue
        wires = work.requests(database.dataset, token)
        requests += [wires[index % len(wires)] for index in range(5 * MIX[work.name])]
    random.Random(4).shuffle(requests)
    return requests


def _any_answer(status: int, body: bytes) -> bool:
    return status in (200, 201) and b'"errors"' not in body
