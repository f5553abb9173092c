"""From a commit to whoever follows in another process: its position, event streams, sockets, webhooks."""

import asyncio
import time
from collections.abc import Sequence

from tests.events.clients import Caller, Message, Socket, Stream, within
from tests.events.findings import Finding, quantile
from tests.events.order import api, prepared
from tests.events.readers import CHANGES
from tests.events.worlds import World, scenario
from tests.hooks import receiving

RATE = 25.0
"""Writes a second."""
WAIT_SECONDS = 10.0
FOLLOWED_MS, FOLLOWED_P99_MS, WEBHOOK_P99_MS, POSITION_MS = 30.0, 150.0, 1000.0, 20.0


class Heard:
    """When somebody was told of each new task."""

    def __init__(self) -> None:
        self.at: dict[int, float] = {}

    def __call__(self, message: Message) -> None:
        if message.data.get("kind") == "task.created":
            self.at.setdefault(message.data["entity_id"], message.at)


class Clock:
    """When each new task was committed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.sent: dict[int, float] = {}

    async def create(self, caller: Caller, project_id: int) -> int:
        """Create a task; returns its id."""
        sent = time.time()
        body = {"title": "Timed", "project_id": project_id}
        status, task = await caller.ask("POST", "/api/v1/tasks", body)
        assert status == 201, task
        self.sent[task["id"]] = sent
        return int(task["id"])

    def committed(self) -> dict[int, float]:
        """As PostgreSQL has noted it, to the microsecond. SQLite notes nothing: there it is when it was asked for, so
        that what is measured is too much rather than too little."""
        if not self._world.notes_commits:
            return self.sent
        rows = self._world.rows("SELECT id, extract(epoch FROM pg_xact_commit_timestamp(xmin)) FROM tasks")
        known = {int(id_): float(moment) for id_, moment in rows}
        return {id_: known[id_] for id_ in self.sent}

    def numbered(self) -> dict[int, float]:
        """When its event got its position, on PostgreSQL."""
        rows = self._world.rows(
            "SELECT entity_id, extract(epoch FROM pg_xact_commit_timestamp(xmin)) FROM events "
            "WHERE kind = 'task.created' AND position IS NOT NULL"
        )
        return {int(id_): float(moment) for id_, moment in rows}


async def create_at(rate: float, seconds: float, clock: Clock, caller: Caller, project_id: int) -> list[int]:
    """Tasks at a rate, one after the other."""
    begun = time.monotonic()
    created: list[int] = []
    while (now := time.monotonic() - begun) < seconds:
        if (early := len(created) / rate - now) > 0:
            await asyncio.sleep(early)
        created.append(await clock.create(caller, project_id))
    return created


async def all_heard(ids: Sequence[int], *heard: Heard, seconds: float = WAIT_SECONDS) -> bool:
    """Whether each of them was told of each, within some time."""
    wanted = set(ids)
    return await within(seconds, lambda: all(each.at.keys() >= wanted for each in heard))


def after(moments: dict[int, float], at: dict[int, float], ids: Sequence[int]) -> list[float]:
    """How long after."""
    return [at[id_] - moments[id_] for id_ in ids if id_ in at]


@scenario("latency", "postgresql", "sqlite")
async def time_events(world: World, finding: Finding) -> None:
    """25 writes a second to one process, followed in another one by an event stream and a socket; and a webhook. From
    the commit as PostgreSQL has noted it; on SQLite from the sending of the write."""
    people, projects = await prepared(world)
    async with receiving() as receiver:
        more = {"WEBHOOK_TEST_PORTS": str(receiver.port)}
        here, there = api(await world.serve(2, more))[:2]
        headers, caller, clock = people[0].headers, Caller(here, people[1].headers), Clock(world)
        body = {"name": "Timed", "url": receiver.url("/"), "project_id": projects[0], "kinds": ["task.created"]}
        status, made = await caller.ask("POST", "/api/v1/webhooks", body)
        assert status == 201, made
        stream, socket = Heard(), Heard()
        followers = [
            await Stream.open(there, "/api/v1/events", headers, stream),
            await Socket.open(there, headers, [{"query": CHANGES}], socket),
        ]
        for follower in followers:
            await follower.begun
        await _until_followed(clock, caller, projects[0], stream, socket)
        ids = await create_at(RATE, world.size.seconds / 2, clock, caller, projects[0])
        finding.demand(await all_heard(ids, stream, socket), "a follower was not told of everything")
        offset = time.time() - asyncio.get_running_loop().time()
        await within(WAIT_SECONDS, lambda: len(receiver.got) >= len(clock.sent))
        for follower in followers:
            follower.leave()
    attempts: dict[int, float] = {}
    for message in receiver.got:
        attempts.setdefault(message.json["data"]["entity_id"], message.at + offset)
    finding.demand(attempts.keys() >= set(ids), "the webhook was not told of everything")
    committed = clock.committed()
    finding.measure_times("to an event stream", after(committed, stream.at, ids), p50=FOLLOWED_MS, p99=FOLLOWED_P99_MS)
    finding.measure_times("to a socket", after(committed, socket.at, ids), p50=FOLLOWED_MS, p99=FOLLOWED_P99_MS)
    finding.measure_times("to the webhook", after(committed, attempts, ids), p50=None, p99=WEBHOOK_P99_MS)
    if world.notes_commits:
        positions = after(committed, clock.numbered(), ids)
        finding.measure("to the position, p50", quantile(positions, 0.5) * 1000, "ms", POSITION_MS)


async def _until_followed(clock: Clock, caller: Caller, project_id: int, *heard: Heard) -> None:
    """A subscription says nothing when it begins: tasks are created until all are told."""
    for _ in range(100):
        id_ = await clock.create(caller, project_id)
        if await all_heard([id_], *heard, seconds=0.3):
            return
    raise RuntimeError("the followers hear nothing")
