"""Those who write, and remember what was acknowledged; and what of it the database has."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from tests.events.clients import CUT, Caller
from tests.events.findings import Finding
from tests.events.readers import PRIORITY, Live, Reader
from tests.events.worlds import World

REFUSED = {503, 504, 409}
"""What a write may be answered besides success, where the machine has more to do than it can."""
RARE = 0.04
"""Of the tasks, so many have the priority of the live lists, which hold a thousand at most."""
AGAIN_SECONDS = 0.1
CATCH_UP_SECONDS = 60.0
"""Within which every reader is told of the last event."""


class Acknowledged(NamedTuple):
    """A change that was answered with success: the kind of event that it is told by, of what, in which version."""

    kind: str
    entity_id: int
    entity_version: int | None


class Writer:
    """One account's writer: it creates, changes and deletes tasks, and comments on them."""

    def __init__(
        self, ports: Sequence[int], headers: Mapping[str, str], projects: Sequence[int], chance: random.Random
    ) -> None:
        self._ports, self._projects, self._chance = ports, projects, chance
        self._caller = Caller(chance.choice(ports), headers)
        self._tasks: list[int] = []
        self.acknowledged: list[Acknowledged] = []
        self.statuses: Counter[int] = Counter()

    async def run(self, ended: asyncio.Event, pause: float = 0.0) -> None:
        """Write until it is ended."""
        acts: list[Callable[[], Awaitable[int]]] = [self._create, self._change, self._comment, self._delete]
        while not ended.is_set():
            [act] = self._chance.choices(acts, [50, 35, 10, 5]) if self._tasks else [self._create]
            status = await act()
            self.statuses[status] += 1
            if status == CUT:  # whether it was done is not known
                self._caller.move(self._chance.choice(self._ports))
            if status not in (200, 201, 204):
                await asyncio.sleep(AGAIN_SECONDS)
            elif pause:
                await asyncio.sleep(pause)
        self._caller.leave()

    async def _create(self) -> int:
        priority = PRIORITY if self._chance.random() < RARE else self._chance.randint(1, PRIORITY - 1)
        body = {"title": f"Task {self._chance.random()}", "priority": priority}
        body["project_id"] = self._chance.choice(self._projects)
        status, task = await self._caller.ask("POST", "/api/v1/tasks", body)
        if status == 201:
            self._tasks.append(task["id"])
            self.acknowledged.append(Acknowledged("task.created", task["id"], task["version"]))
        return status

    async def _change(self) -> int:
        task_id = self._chance.choice(self._tasks)
        body = {"title": f"Changed {self._chance.random()}"}
        status, task = await self._caller.ask("PATCH", f"/api/v1/tasks/{task_id}", body)
        if status == 200:
            self.acknowledged.append(Acknowledged("task.updated", task_id, task["version"]))
        return status

    async def _comment(self) -> int:
        task_id = self._chance.choice(self._tasks)
        status, comment = await self._caller.ask("POST", f"/api/v1/tasks/{task_id}/comments", {"body": "Looks good"})
        if status == 201:
            self.acknowledged.append(Acknowledged("comment.created", comment["id"], comment["version"]))
        return status

    async def _delete(self) -> int:
        task_id = self._tasks.pop(self._chance.randrange(len(self._tasks)))
        status, _ = await self._caller.ask("DELETE", f"/api/v1/tasks/{task_id}")
        if status == 204:
            self.acknowledged.append(Acknowledged("task.deleted", task_id, None))
        return status


def judge_writes(finding: Finding, writers: Sequence[Writer], seconds: float, *, cut: bool = False) -> None:
    """Whether enough was written, and nothing refused that should not be."""
    statuses = sum((writer.statuses for writer in writers), Counter[int]())
    written = sum(statuses[status] for status in (200, 201, 204))
    finding.demand(written > 0, "nothing was written")
    finding.measure("writes acknowledged", written, "")
    finding.measure("writes a second", written / seconds, "")
    # a task that was deleted by a call whose answer was cut off is not there any more
    allowed = {200, 201, 204, *({CUT, 404} if cut else ()), *REFUSED}
    finding.measure("writes refused", sum(statuses[status] for status in REFUSED), "")
    wrong = {status: number for status, number in statuses.items() if status not in allowed}
    finding.demand(not wrong, f"writes were answered {wrong}")


def judge_positions(finding: Finding, world: World) -> None:
    """Positions without gap or doubling, and none that is lacking."""
    [(count, distinct, first, last, waiting)] = world.rows(
        "SELECT count(position), count(DISTINCT position), min(position), max(position), "
        "sum(CASE WHEN position IS NULL THEN 1 ELSE 0 END) FROM events"
    )
    finding.none("events without a position", int(waiting or 0))
    finding.none("positions given twice", count - distinct)
    finding.none("positions left out", last - first + 1 - distinct)


def judge_told(
    finding: Finding, world: World, writers: Sequence[Writer], readers: Sequence[Reader], projects: Sequence[int]
) -> None:
    """Every acknowledged write has its event, and every reader was told of each event of the projects that was written
    since the cursor, once, in the order of the database."""
    among = ", ".join(map(str, projects))
    begun = min(int(reader.begins.partition("-")[0]) for reader in readers)
    rows = world.rows(
        "SELECT event_id, position, kind, entity_id, entity_version FROM events "  # noqa: S608 - of numbers
        f"WHERE project_id IN ({among}) AND position > {begun} ORDER BY position"
    )
    stored = Counter((kind, entity_id, version) for _, _, kind, entity_id, version in rows)
    stored += Counter((kind, entity_id, None) for _, _, kind, entity_id, version in rows if version is not None)
    acknowledged = [each for writer in writers for each in writer.acknowledged]
    finding.none("acknowledged writes without an event", sum(1 for each in acknowledged if not stored[each]))
    expected = [(str(event_id), position) for event_id, position, *_ in rows]
    known = {event_id for event_id, _ in expected}
    lost = doubled = reordered = again = 0
    for reader in readers:
        told = [(heard.event_id, heard.position) for heard in reader.heard if heard.event_id in known]
        once = [*dict.fromkeys(told)]
        again += len(told) - len(once)
        doubled += len(once) - len({event_id for event_id, _ in once})
        lost += len(known - {event_id for event_id, _ in once})
        reordered += sum(before[1] >= after[1] for before, after in itertools.pairwise(once))
        finding.demand(not reader.refused, f"{reader.name} was told {reader.refused[:2]}")
    finding.measure("events, told to each reader", len(expected), "")
    finding.measure("readers", len(readers), "")
    finding.measure("comings back of readers", sum(reader.times for reader in readers), "")
    finding.measure("told again to who came back", again, "")
    finding.none("events not told to a reader", lost)
    finding.none("events told twice under other positions", doubled)
    finding.none("events told out of order", reordered)


async def judge_live(
    finding: Finding, lists: Sequence[Live], caller: Caller, seconds: float = CATCH_UP_SECONDS
) -> None:
    """Whether each live list is what the list says, within some time."""
    expected: dict[int, int] = {}
    path = f"/api/v1/tasks?priority={PRIORITY}&limit=100&fields=id,version&skip="
    while len(page := (await caller.ask("GET", f"{path}{len(expected)}"))[1]) == 100:
        expected |= {task["id"]: task["version"] for task in page}
    expected |= {task["id"]: task["version"] for task in page}
    for each in lists:
        try:
            async with asyncio.timeout(seconds):
                while each.tasks != expected:  # noqa: ASYNC110 - of what others do
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pass
        wrong = expected.items() ^ each.tasks.items()
        finding.demand(not wrong, f"{each.name} differs in {len(wrong)} tasks")
        finding.demand(not each.refused, f"{each.name} was told {each.refused[:2]}")
    finding.measure("tasks in a live list", len(expected), "")
