"""Many events at once: numbered, read, followed; and others' events meanwhile."""

import asyncio
import io
import json
import os
import sys
import tarfile
import time
from pathlib import Path

from tests.conftest import SECRET
from tests.events.clients import Caller, Socket, Stream, within
from tests.events.findings import Finding, quantile
from tests.events.latencies import Clock, Heard, after, all_heard, create_at
from tests.events.order import Readers, api, prepared, reading
from tests.events.readers import CHANGES, Pages, Reader, Streamed, Subscribed
from tests.events.worlds import World, scenario
from tests.jira_archives import Tracker
from tests.processes import ROOT

WAIT_SECONDS = 120.0
NUMBERED_A_SECOND = 5_000
CHANGED_SECONDS = 2.0
OTHERS_RATE, OTHERS_P99_MS = 20.0, 150.0
BATCH = 1_000
_MANY = """INSERT INTO events
    (event_id, occurred_at, kind, entity_type, entity_id, project_id, actor_method, notify, changes)
SELECT gen_random_uuid()::text, now(), 'task.updated', 'task', n, {project}, 'system', false,
    '{{"title": ["before", "after"], "priority": [1, 2]}}'
FROM generate_series(1, {number}) n"""


async def _heard(readers: list[Reader], number: int) -> list[float]:
    """When each of them had been told of so many updates; by the wall's clock."""

    def last(reader: Reader) -> float | None:
        moments = [heard.at for heard in reader.heard if heard.kind == "task.updated"]
        return moments[number - 1] if len(moments) >= number else None

    await within(WAIT_SECONDS, lambda: all(last(reader) is not None for reader in readers))
    return [moment for reader in readers if (moment := last(reader)) is not None]


@scenario("numbering", "postgresql")
async def number_many(world: World, finding: Finding) -> None:
    """50,000 events are committed at once: how many a second get their positions, and are read in pages by another
    process than numbers them."""
    people, projects = await prepared(world)
    here, there = api(await world.serve(2))[:2]
    caller = Caller(here, people[0].headers)
    _, page = await caller.ask("GET", "/api/v1/changes?after=now")
    reader = Pages("pages", [there], people[1].headers, page["cursor"])
    async with reading(Readers([reader])):
        world.rows(_MANY.format(project=projects[0], number=world.size.numbered))
        await Clock(world).create(caller, projects[1])  # whoever commits numbers
        ends = await _heard([reader], world.size.numbered)
    finding.demand(bool(ends), "not all of them were read")
    [(committed,)] = world.rows(
        "SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin)) FROM tasks ORDER BY id DESC LIMIT 1"
    )
    [(numbered,)] = world.rows(
        "SELECT extract(epoch FROM max(pg_xact_commit_timestamp(xmin))) FROM events WHERE kind = 'task.updated'"
    )
    rate = world.size.numbered / (float(numbered) - float(committed))
    finding.measure("numbered", rate, "events/s", NUMBERED_A_SECOND, at_least=True)
    if ends:
        rate = world.size.numbered / (ends[0] - float(committed))
        finding.measure("numbered and read", rate, "events/s", NUMBERED_A_SECOND, at_least=True)


@scenario("bulk change", "postgresql", "sqlite")
async def change_many(world: World, finding: Finding) -> None:
    """10,000 tasks are changed in one call: when followers of another process have been told of all, and whether any is
    cut off."""
    people, projects = await prepared(world)
    number = world.size.changed
    ports = api(await world.serve(None if world.is_one_process else 2))
    caller = Caller(ports[0], people[0].headers)
    for start in range(0, number, BATCH):
        tasks = [{"title": f"Task {n}", "project_id": projects[0]} for n in range(start, min(number, start + BATCH))]
        status, answer = await caller.ask("POST", "/api/v1/tasks/bulk/create", {"tasks": tasks})
        assert status == 200, answer
    await asyncio.sleep(1)
    _, page = await caller.ask("GET", "/api/v1/changes?after=now")
    asked = ([ports[-1]], people[1].headers, page["cursor"])
    readers: list[Reader] = [Pages("pages", *asked), Streamed("stream", *asked), Subscribed("socket", *asked)]
    async with reading(Readers(readers)):
        await asyncio.sleep(1)  # they follow
        body = {"filter": {"project": {"eq": projects[0]}}, "changes": {"priority": 3}}
        begun = time.time()
        status, answer = await caller.ask("POST", "/api/v1/tasks/bulk/update-matching", body)
        done = time.time()
        assert status == 200, answer
        assert answer["succeeded"] == number, answer["succeeded"]
        committed = done
        if world.notes_commits:
            [(moment,)] = world.rows("SELECT extract(epoch FROM max(pg_xact_commit_timestamp(xmin))) FROM tasks")
            committed = float(moment)
        ends = await _heard(readers, number)
        times = sum(reader.times for reader in readers)
    finding.measure("the call itself", (done - begun) * 1000, "ms")
    finding.demand(len(ends) == len(readers), "not every follower was told of all")
    if ends:
        for reader, end in zip(readers, ends, strict=False):
            finding.measure(f"visible in full: {reader.name}", end - committed, "s", CHANGED_SECONDS)
    finding.none("followers that were cut off", times)
    doubled = sum(len(reader.heard) - len({heard.event_id for heard in reader.heard}) for reader in readers)
    finding.none("events told twice", doubled)


@scenario("import", "postgresql", "sqlite")
async def bring_in(world: World, finding: Finding) -> None:
    """100,000 issues are imported, while somebody else writes 20 tasks a second, who is followed in another process:
    what a follower waits for, before and meanwhile."""
    people, projects = await prepared(world)
    archive = await asyncio.to_thread(_archive, world.folder, world.size.imported)
    ports = api(await world.serve(None if world.is_one_process else 2))
    caller, clock, heard = Caller(ports[0], people[0].headers), Clock(world), Heard()
    path = f"/api/v1/events?kind=task.created&project_id={projects[0]}"
    stream = await Stream.open(ports[-1], path, people[1].headers, heard)
    socket = await Socket.open(ports[-1], people[1].headers, [{"query": CHANGES}], Heard())
    await asyncio.gather(stream.begun, socket.begun)
    quiet = await create_at(OTHERS_RATE, world.size.seconds / 2, clock, caller, projects[0])
    begun = time.monotonic()
    command = ["-m", "cli", "import", "jira", str(archive), "--owner", people[2].username, "--no-progress"]
    environment = os.environ | {"ENVIRONMENT": "test", "DATABASE_URL": world.url, "SECRET_KEY": SECRET}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    meanwhile: list[int] = []
    while process.returncode is None:
        meanwhile += await create_at(OTHERS_RATE, 1, clock, caller, projects[0])
    seconds = time.monotonic() - begun
    assert process.stdout is not None
    said = (await process.stdout.read()).decode()
    finding.demand(process.returncode == 0, f"the import ended with {process.returncode}: {said[-300:]}")
    finding.demand(await all_heard([*quiet, *meanwhile], heard), "the follower was not told of everything")
    for follower in (stream, socket):
        follower.leave()
    [(imported,)] = world.rows("SELECT count(*) FROM events WHERE kind = 'task.imported'")
    finding.demand(imported == world.size.imported, f"{imported} were imported")
    committed = clock.committed()
    finding.measure("imported", world.size.imported / seconds, "tasks/s")
    for when, ids, goal in (("before", quiet, None), ("meanwhile", meanwhile, OTHERS_P99_MS)):
        finding.measure_times(
            f"others' events to a stream, {when}", after(committed, heard.at, ids), p50=None, p99=goal
        )
        if world.notes_commits:
            positions = after(committed, clock.numbered(), ids)
            finding.measure(f"others' positions, {when}, p99", quantile(positions, 0.99) * 1000, "ms")
    if world.notes_commits:
        taken = after(clock.sent, committed, meanwhile)
        finding.measure("others' writes meanwhile, p99", quantile(taken, 0.99) * 1000, "ms")


def _archive(folder: Path, number: int) -> Path:
    """As a Jira leaves it, with so many issues, file by file."""
    tracker = Tracker()
    path = folder / "dump.tar"
    with tarfile.open(path, "w:") as tar:
        for each in range(1, number + 1):
            content = json.dumps(tracker.issue(each)).encode()
            [name] = tracker.files
            tracker.files.clear()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path
