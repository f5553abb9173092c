"""Cursors, notifications and webhooks after a dump was restored into another server, and after migrations went down
and up again."""

import asyncio
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url

from tests.actors import Person
from tests.conftest import downgrade, upgrade
from tests.events.clients import Caller, within
from tests.events.findings import Finding
from tests.events.order import api, prepared, write
from tests.events.worlds import World, scenario
from tests.events.writers import Writer, judge_positions
from tests.hooks import receiving
from tests.infrastructure import postgres_binaries

WRITERS, WRITE_SECONDS = 4, 3.0
BEFORE_EVENTS = "0006"
"""The revision before the first migration of events, beside the one that made them."""
GOES_ON, RESYNC = 200, 410
DELAYS = ",".join(["0.5"] * 60)
DELIVERY_SECONDS = 60.0
_WAITING = "SELECT count(*) FROM webhook_deliveries WHERE state = 'waiting'"

Told = list[tuple[str, str]]
"""Cursors and ids of events, in order."""


async def told_after(caller: Caller, cursor: str) -> tuple[int, Told]:
    """What is told after a cursor, to the end; or the status of what it is refused with."""
    found: Told = []
    while True:
        status, page = await caller.ask("GET", f"/api/v1/changes?after={cursor}&limit=500")
        if status != GOES_ON:
            return status, []
        found += [(change["cursor"], change["event_id"]) for change in page["changes"]]
        cursor = page["cursor"]
        if not page["has_more"]:
            return status, found


async def written(world: World, people: Sequence[Person], projects: Sequence[int], hook: str) -> Told:
    """Have servers make events, notifications and deliveries; returns all that is told from the beginning."""
    servers = await world.serve(1, {"WEBHOOK_TEST_PORTS": str(make_url(hook).port), "WEBHOOK_TEST_DELAYS": DELAYS})
    port = api(servers)[0]
    caller = Caller(port, people[0].headers)
    for project_id in projects:
        body = {"name": f"Project {project_id}", "url": hook, "project_id": project_id, "kinds": ["task.created"]}
        status, made = await caller.ask("POST", "/api/v1/webhooks", body)
        assert status == 201, made
    writers = [Writer([port], people[n % len(people)].headers, projects, world.chance) for n in range(WRITERS)]
    await write(writers, min(WRITE_SECONDS, world.size.seconds))
    body = {"title": "For you", "project_id": projects[0], "assignee_ids": [people[1].id]}
    status, made = await caller.ask("POST", "/api/v1/tasks", body)
    assert status == 201, made
    other = Caller(port, people[1].headers)
    while not (await other.ask("GET", "/api/v1/notifications"))[1]:  # noqa: ASYNC110 - of what the worker does
        await asyncio.sleep(0.1)
    _, told = await told_after(caller, "0")
    for server in servers:
        await asyncio.to_thread(server.stop)
    return told


async def goes_on(
    finding: Finding, caller: Caller, told: Told, project_id: int, *, may_begin_anew: bool = False
) -> None:
    """Every cursor that anybody may have, on the database as it is now: it tells exactly what came after it, or to
    begin anew; and what happens next comes behind it."""
    body = {"title": "The next", "project_id": project_id}
    status, made = await caller.ask("POST", "/api/v1/tasks", body)
    assert status == 201, made
    while await told_after(caller, told[-1][0]) == (GOES_ON, []):  # noqa: ASYNC110 - it has no position yet
        await asyncio.sleep(0.05)
    statuses, wrong = [], 0
    places = sorted({*range(0, len(told), max(1, len(told) // 40)), len(told) - 1})
    for place in places:
        status, after = await told_after(caller, told[place][0])
        statuses.append(status)
        if status == GOES_ON:
            wrong += after[:-1] != told[place + 1 :] or len(after) != len(told) - place
        else:
            wrong += status != RESYNC or not may_begin_anew
    finding.measure("cursors tried", len(places), "")
    finding.measure("cursors that go on", statuses.count(GOES_ON), "")
    finding.measure("cursors told to begin anew", statuses.count(RESYNC), "")
    finding.none("cursors that tell something else than what came after", wrong)


def _dumped(world: World, folder: Path) -> Path:
    """A dump as docs/upgrading.md has it, or SQLite's copy."""
    path = folder / "tandem.dump"
    if world.notes_commits:
        _run("pg_dump", world.url, "--format=custom", f"--file={path}")
    else:
        with closing(sqlite3.connect(world.file)) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)
    return path


def _run(program: str, *arguments: str) -> None:
    binaries = postgres_binaries()
    assert binaries is not None
    done = subprocess.run([binaries / program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")


@scenario("restore", "postgresql", "sqlite")
async def restore(world: World, finding: Finding) -> None:
    """A dump is restored into a new server (of SQLite, a copy is put into another place), and the older one is left:
    every cursor goes on, and webhooks are told of what waited for them. Then an older dump takes its place, in which
    other things happen: cursors from behind it are told to begin anew."""
    people, projects = await prepared(world)
    async with receiving() as receiver:
        receiver.statuses["/"] = [503]
        told = await written(world, people, projects, receiver.url("/"))
        dump = await asyncio.to_thread(_dumped, world, world.folder)
        other = world.beside()
        if other.notes_commits:
            await asyncio.to_thread(_run, "pg_restore", "--no-owner", f"--dbname={other.url}", str(dump))
        else:
            other.file.write_bytes(dump.read_bytes())
        receiver.statuses["/"] = [200]
        receiver.got.clear()
        servers = await other.serve(1, {"WEBHOOK_TEST_PORTS": str(receiver.port), "WEBHOOK_TEST_DELAYS": DELAYS})
        caller = Caller(api(servers)[0], people[0].headers)
        await goes_on(finding, caller, told, projects[0])
        await within(DELIVERY_SECONDS, lambda: not other.rows(_WAITING)[0][0])
        finding.none("deliveries that wait still", other.rows(_WAITING)[0][0])
        ids = {str(event_id) for (event_id,) in other.rows("SELECT event_id FROM webhook_deliveries")}
        finding.measure("deliveries that had waited", len(ids), "")
        finding.none("deliveries that never came", len(ids - {message.id for message in receiver.got}))
        judge_positions(finding, other)
        await _set_back(finding, world, people[0], projects[0], caller)


async def _set_back(finding: Finding, world: World, person: Person, project_id: int, ahead: Caller) -> None:
    """The older database, where other things happened: its positions are given to them."""
    _, page = await ahead.ask("GET", "/api/v1/changes?after=now")
    behind = Caller(api(await world.serve(1, worker=False))[0], person.headers)
    for _ in range(3):
        status, made = await behind.ask("POST", "/api/v1/tasks", {"title": "Another", "project_id": project_id})
        assert status == 201, made
    status, _ = await told_after(behind, page["cursor"])
    finding.demand(status == RESYNC, f"a cursor of another history was answered with {status}")


@scenario("down and up", "postgresql", "sqlite")
async def go_down_and_up(world: World, finding: Finding) -> None:
    """Migrations go down to before the first one of events, and up again, with events, notifications and webhooks in
    the tables: cursors tell exactly what came after them, or to begin anew; nobody is notified once more, and nobody is
    told of what concerns the security of another one's account."""
    people, projects = await prepared(world)
    async with receiving() as receiver:
        told = await written(world, people, projects, receiver.url("/"))
        before = world.rows("SELECT count(*) FROM events WHERE account_id IS NOT NULL")
        await asyncio.to_thread(downgrade, world.url, BEFORE_EVENTS)
        await asyncio.to_thread(upgrade, world.url)
        finding.demand(
            world.rows("SELECT count(*) FROM events WHERE account_id IS NOT NULL") == before,
            "events of accounts' security are not known as such any more",
        )
        servers = await world.serve(1, {"WEBHOOK_TEST_PORTS": str(receiver.port)})
        caller = Caller(api(servers)[0], people[0].headers)
        await goes_on(finding, caller, told, projects[0], may_begin_anew=True)
        await asyncio.sleep(2)
        [(notified,)] = world.rows("SELECT count(*) FROM notifications")
        finding.none("notifications made once more", notified)
        judge_positions(finding, world)
