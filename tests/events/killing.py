"""Processes that are killed under writes, with webhooks: is anything lost that was acknowledged?"""

import asyncio
import time
from collections import Counter

from tests.events.clients import Caller, within
from tests.events.findings import Finding
from tests.events.order import WRITERS, api, caught_up, prepared, readers_of, reading
from tests.events.worlds import World, scenario
from tests.events.writers import Writer, judge_positions, judge_told, judge_writes
from tests.hooks import Receiver, receiving

PAUSE_SECONDS = 0.3
"""Between the writes of one writer: webhooks are told of each."""
BETWEEN_SECONDS = 0.3
"""Between one kill and the next, beside what it takes until the process is there again: up to so long, at random."""
DELIVERY_SECONDS = 120.0
"""Within which every webhook is told of everything."""
KINDS = ["task.created", "task.updated", "task.deleted", "comment.created"]


@scenario("kills", "postgresql", "sqlite")
async def kill(world: World, finding: Finding) -> None:
    """A process at random is killed (kill -9), the API's or the worker, 50 times, while 16 writers write and readers
    come back; a webhook for each project leads to a receiver here. SQLite has one process of the API and a worker."""
    people, projects = await prepared(world)
    async with receiving() as receiver:
        more = {"WEBHOOK_TEST_PORTS": str(receiver.port), "WORKER_LEASE_SECONDS": "4", "WEBHOOK_TEST_DELAYS": "0.5,1,2"}
        servers = await world.serve(more=more)
        if world.is_one_process:
            servers += [await world.worker(more)]
        ports = api(servers)
        headers = people[0].headers
        asking = Caller(ports[0], headers)
        await _hook(asking, receiver, projects)
        _, page = await asking.ask("GET", "/api/v1/changes?after=now")
        readers = readers_of(ports, headers, page["cursor"])
        writers = [Writer(ports, people[n % len(people)].headers, projects, world.chance) for n in range(WRITERS)]
        killed: Counter[str] = Counter()
        begun, ended = time.monotonic(), asyncio.Event()
        async with reading(readers):
            async with asyncio.TaskGroup() as group:
                for writer in writers:
                    group.create_task(writer.run(ended, PAUSE_SECONDS))
                for _ in range(world.size.kills):
                    await asyncio.sleep(world.chance.uniform(0, BETWEEN_SECONDS))
                    victim = world.chance.choice(servers)
                    victim.kill()
                    killed[victim.role] += 1
                    await victim.start()
                ended.set()
            seconds = time.monotonic() - begun
            await caught_up(finding, readers, asking, projects[0])
        finding.notes.append(", ".join(f"{number} × {role}" for role, number in sorted(killed.items())) + " killed")
        judge_writes(finding, writers, seconds, cut=True)
        judge_told(finding, world, writers, readers.told, projects)
        judge_positions(finding, world)
        await _judge_deliveries(finding, world, receiver, projects)


async def _hook(caller: Caller, receiver: Receiver, projects: list[int]) -> None:
    for project_id in projects:
        body = {"name": f"Project {project_id}", "url": receiver.url(f"/{project_id}"), "project_id": project_id}
        status, answer = await caller.ask("POST", "/api/v1/webhooks", body | {"kinds": KINDS})
        assert status == 201, answer


async def _judge_deliveries(finding: Finding, world: World, receiver: Receiver, projects: list[int]) -> None:
    """Every event of the projects came at least once, each task's in order."""
    among, kinds = ", ".join(map(str, projects)), ", ".join(f"'{kind}'" for kind in KINDS)
    rows = world.rows(f"SELECT event_id FROM events WHERE project_id IN ({among}) AND kind IN ({kinds})")  # noqa: S608
    expected = {str(event_id) for (event_id,) in rows}
    await within(DELIVERY_SECONDS, lambda: len({message.id for message in receiver.got}) >= len(expected))
    came = Counter(message.id for message in receiver.got)
    finding.none("events that no webhook was told of", len(expected - came.keys()))
    finding.measure("deliveries", sum(came.values()), "")
    finding.measure("deliveries that came again", sum(came.values()) - len(came), "")
    finding.none("deliveries of a task out of order", _disordered(receiver))


def _disordered(receiver: Receiver) -> int:
    """How often an event of a task came for the first time after a later one of it."""
    last: dict[int, int] = {}
    seen: set[str] = set()
    found = 0
    for message in receiver.got:
        if message.id in seen:
            continue
        seen.add(message.id)
        data = message.json["data"]
        position = int(data["cursor"].partition("-")[0])
        found += position < last.get(data["task_id"], 0)
        last[data["task_id"]] = position
    return found
