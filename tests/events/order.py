"""Sixteen writers, and everybody who can read the feed beside them: is each event told once, in one order?"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.actors import Person
from tests.events.clients import Caller
from tests.events.findings import Finding
from tests.events.readers import PRIORITY, Live, Pages, Reader, Streamed, Subscribed
from tests.events.servers import Server
from tests.events.worlds import World, scenario
from tests.events.writers import CATCH_UP_SECONDS, Writer, judge_live, judge_positions, judge_told, judge_writes

WRITERS, PEOPLE, PROJECTS = 16, 4, 4
STAYS_SECONDS = 1.5
"""How long those stay who come and go."""


@dataclass
class Readers:
    """Everybody who reads, from one cursor on."""

    told: list[Reader] = field(default_factory=list)
    lists: list[Live] = field(default_factory=list)

    @property
    def all(self) -> list[Reader]:
        return [*self.told, *self.lists]


def readers_of(ports: Sequence[int], headers: dict[str, str], cursor: str) -> Readers:
    """Of each kind one that stays and one that comes and goes, beginning at the servers in turn."""
    turned = [[*ports[turn % len(ports) :], *ports[: turn % len(ports)]] for turn in range(4)]
    told = [
        Pages("pages", turned[0], headers, cursor),
        Pages("pages that wait", turned[1], headers, cursor, wait=5),
        *(Streamed(f"stream {turn}", ports_, headers, cursor) for turn, ports_ in enumerate(turned)),
        Streamed("stream that comes and goes", turned[3], headers, cursor, stays=STAYS_SECONDS),
        *(Subscribed(f"socket {turn}", ports_, headers, cursor) for turn, ports_ in enumerate(turned[2:])),
        Subscribed("socket that comes and goes", turned[0], headers, cursor, stays=STAYS_SECONDS),
    ]
    lists = [
        Live("live list", turned[1], headers, ""),
        Live("live list that comes and goes", turned[2], headers, "", stays=STAYS_SECONDS),
        Live("live list on a socket", turned[3], headers, "", socket=True),
    ]
    return Readers(told, lists)


@asynccontextmanager
async def reading(readers: Readers) -> AsyncIterator[None]:
    """They read while the block lasts."""
    running = [asyncio.create_task(reader.run()) for reader in readers.all]
    try:
        yield
        for task in running:
            if task.done():
                task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def prepared(world: World) -> tuple[list[Person], list[int]]:
    """People and the projects that they share."""
    async with world.application() as made:
        people = await made.people(PEOPLE)
        return people, [project["id"] for project in await made.shared(people, PROJECTS)]


async def caught_up(finding: Finding, readers: Readers, caller: Caller, project_id: int) -> None:
    """Write a last task, and wait until every reader is told of it."""
    body = {"title": "The last", "priority": PRIORITY, "project_id": project_id}
    status, last = await caller.ask("POST", "/api/v1/tasks", body)
    assert status == 201, last
    told = await asyncio.gather(
        *(reader.until("task.created", last["id"], CATCH_UP_SECONDS) for reader in readers.told)
    )
    late = [reader.name for reader, heard in zip(readers.told, told, strict=True) if not heard]
    finding.demand(not late, f"{', '.join(late)} did not come to the last event")
    await judge_live(finding, readers.lists, caller)


async def write(writers: Sequence[Writer], seconds: float) -> None:
    """They write for so long."""
    ended = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for writer in writers:
            group.create_task(writer.run(ended))
        await asyncio.sleep(seconds)
        ended.set()


def api(servers: Sequence[Server]) -> list[int]:
    """Where the API's processes are."""
    return [server.port for server in servers if server.role == "api"]


@scenario("order", "postgresql", "sqlite")
async def keep_order(world: World, finding: Finding) -> None:
    """16 writers beside readers of each kind: pages, waiting pages, event streams, sockets and live lists, some of
    which come and go. Four processes and a worker on PostgreSQL, one process on SQLite."""
    people, projects = await prepared(world)
    ports = api(await world.serve())
    headers = people[0].headers
    asking = Caller(ports[0], headers)
    _, page = await asking.ask("GET", "/api/v1/changes?after=now")
    readers = readers_of(ports, headers, page["cursor"])
    writers = [Writer(ports, people[n % PEOPLE].headers, projects, world.chance) for n in range(WRITERS)]
    async with reading(readers):
        await write(writers, world.size.seconds)
        await caught_up(finding, readers, asking, projects[0])
    judge_writes(finding, writers, world.size.seconds)
    judge_told(finding, world, writers, readers.told, projects)
    judge_positions(finding, world)
