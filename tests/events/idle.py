"""Thousands who follow while nothing happens: what each of them costs a worker."""

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable, Sequence

from benchmarks.processes import cpu_ns, memory_mb
from tests.actors import Person
from tests.events.clients import Caller, Socket, Stream, within
from tests.events.findings import Finding
from tests.events.latencies import Heard
from tests.events.readers import CHANGES
from tests.events.servers import Server
from tests.events.worlds import World, scenario

EACH = 5
"""Followers of an account: a browser's tabs, a phone, a script."""
FIRST = 100
"""With so many a server has all that it keeps for itself."""
TOGETHER = 50
"""Who come at a time."""
SETTLE_SECONDS, IDLE_SECONDS = 3.0, 40.0
"""Long enough for two signs of life to each stream."""
MEMORY_KB, CPU_PERCENT = 30.0, 1.0
TOLD_SECONDS = 60.0

Follower = Stream | Socket
Begin = Callable[[int, Person, Heard], Awaitable[Follower]]


async def _stream(port: int, person: Person, heard: Heard) -> Follower:
    return await Stream.open(port, "/api/v1/events", person.headers, heard)


async def _socket(port: int, person: Person, heard: Heard) -> Follower:
    return await Socket.open(port, person.headers, [{"query": CHANGES}], heard)


@scenario("idle streams", "postgresql", "sqlite")
async def follow_by_streams(world: World, finding: Finding) -> None:
    """5,000 event streams of a thousand accounts on one process, on which nothing happens: memory of each, and CPU."""
    await _follow(world, finding, _stream)


@scenario("idle sockets", "postgresql", "sqlite")
async def follow_by_sockets(world: World, finding: Finding) -> None:
    """The same with sockets, and a subscription on each."""
    await _follow(world, finding, _socket)


async def _follow(world: World, finding: Finding, begin: Begin) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    number = world.size.followers
    async with world.application() as made:
        people = await made.people(max(1, number // EACH))
        [project] = await made.shared(people[:1], 1)
        for person in people[1:]:
            await people[0].invite(project, person, "viewer")
    more = {"MAX_CONNECTIONS": "100000", "SOCKETS_PER_ADDRESS": "100000", "MAX_REQUESTS_WAITING": "5000"}
    [server] = await world.serve(1, more, worker=False)
    followers: list[Follower] = []
    try:
        heard = [Heard() for _ in range(number)]
        await _come(server, people, heard[:FIRST], followers, begin)
        first = await _memory(server)
        await _come(server, people, heard[FIRST:], followers, begin)
        every = (await _memory(server) - first) / (number - FIRST)
        finding.measure("followers", len(followers), "")
        finding.measure("memory of each", every, "KB", MEMORY_KB)
        before, begun = cpu_ns(server.pid), time.monotonic()
        await asyncio.sleep(IDLE_SECONDS)
        busy = (cpu_ns(server.pid) - before) / 1e9 / (time.monotonic() - begun)
        finding.measure("CPU while nothing happens", busy * 100, "%", CPU_PERCENT)
        gone = sum(follower.ended.done() for follower in followers)
        finding.none("followers that were cut off", gone)
        await _tell(finding, server, people[0], project["id"], heard)
    finally:
        for follower in followers:
            follower.leave()


async def _come(
    server: Server, people: Sequence[Person], heard: Sequence[Heard], followers: list[Follower], begin: Begin
) -> None:
    for start in range(0, len(heard), TOGETHER):
        some = heard[start : start + TOGETHER]
        place = len(followers)
        come = await asyncio.gather(
            *(begin(server.port, people[(place + n) % len(people)], each) for n, each in enumerate(some))
        )
        followers += come
        await asyncio.gather(*(follower.begun for follower in come))


async def _memory(server: Server) -> float:
    """In KB (RSS), once it has settled."""
    await asyncio.sleep(SETTLE_SECONDS)
    return memory_mb(server.pid)[0] * 1000


async def _tell(finding: Finding, server: Server, person: Person, project_id: int, heard: Sequence[Heard]) -> None:
    """One event that concerns them all."""
    begun, before = time.time(), cpu_ns(server.pid)
    body = {"title": "For all", "project_id": project_id}
    status, task = await Caller(server.port, person.headers).ask("POST", "/api/v1/tasks", body)
    assert status == 201, task
    await within(TOLD_SECONDS, lambda: all(task["id"] in each.at for each in heard))
    at = [each.at[task["id"]] - begun for each in heard if task["id"] in each.at]
    finding.none("followers that were not told of an event", len(heard) - len(at))
    if at:
        finding.measure("until all are told of one event", max(at), "s")
        finding.measure("CPU of it, for each", (cpu_ns(server.pid) - before) / 1e6 / len(at), "ms")
