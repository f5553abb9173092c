"""What holds at the end of a history, by what the database has of it.

1. Every copy is what the server tells its account, and nothing waits to be sent.
2. What was changed on a device is in the history of its task, or it was put aside; nothing else vanished.
3. Each change of the history is one that somebody made who had seen what it replaced, and is there once.
4. Whatever was deleted on a device was what its user had seen; what was deleted comes back by a restore alone.
5. A task that was made on a device was made once, and again only where somebody decided so.
"""

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from db.models import Event, Task
from tests.syncing.devices import FIELDS, Device
from tests.syncing.servers import Server

if TYPE_CHECKING:
    from tests.syncing.histories import Web

MEANT = ("title", "status", "priority")
"""What histories change."""


def judge(server: Server, devices: list[Device], webs: "list[Web]") -> None:
    for device in devices:
        assert device.contents() == device.truth()
        assert not device.rows("SELECT * FROM outbox")
    events, twice, there = server.run(_read, server, {device.person.id for device in devices})
    assert not twice, f"made twice: {twice}"
    meant = Counter(
        json.loads(row["fields"])["title"]
        for device in devices
        for row in device.aside.values()
        if row["kind"] == "create"
    )
    for device in devices:
        for row in device.ledger.values():
            if row["kind"] == "create":
                title = row["fields"]["title"]
                assert server.made[title] <= 1 + meant[title], f"made twice: {title}"
    told = defaultdict(list)
    for event in events:
        told[str(event.entity_id)].append(event)
    _nothing_is_lost(devices, told, there)
    _nobody_is_overruled(devices, webs, told)


async def _read(server: Server, people: set[int]) -> tuple[list[Any], list[Any], set[str]]:
    """The events of these people's tasks, in the order of each task's versions; the external ids that two have; and all
    that were not deleted for good."""
    async with server.state.database.reading() as session:
        mine = select(Task.id).where(Task.created_by_id.in_(people))
        events = await session.all(
            select(Event.entity_id, Event.entity_version, Event.kind, Event.actor_id, Event.changes)
            .where(Event.entity_type == "task", Event.entity_id.in_(mine), Event.kind != "task.left")
            .order_by(Event.entity_id, Event.entity_version)
        )
        twice = await session.all(
            select(Task.external_id)
            .where(Task.created_by_id.in_(people), Task.external_id.is_not(None))
            .group_by(Task.external_source, Task.external_id)
            .having(func.count() > 1)
        )
        there = await session.scalars(mine)
    return [*events], [*twice], {str(id_) for id_ in there}


def _nothing_is_lost(devices: list[Device], told: dict[str, list[Any]], there: set[str]) -> None:
    for device in devices:
        known = device.known()
        aside = defaultdict(list)
        for row in device.aside.values():
            aside[row["change"]].append(json.loads(row["fields"]))
        for number, row in device.ledger.items():
            if row["kind"] == "delete":
                continue
            task = known.get(row["task"], row["task"])
            if task.isdecimal() and task not in there:
                continue
            events = told[task]
            for field in MEANT:
                mine = row["fields"].get(field)
                if mine is None or row["base"].get(field) == mine:
                    continue
                is_there = any(mine == _after(event, field) for event in events)
                is_aside = any(fields.get(field) == mine for fields in aside[number])
                assert is_there or is_aside, f"lost: {field} of change {number}: {row}"


def _nobody_is_overruled(devices: list[Device], webs: "list[Web]", told: dict[str, list[Any]]) -> None:
    allowed: Counter[Any] = Counter()
    deletions = defaultdict(list)
    for device in devices:
        known = device.known()
        for row in device.ledger.values():
            task = known.get(row["task"], row["task"])
            if row["kind"] == "delete":
                deletions[task, device.person.id].append(row["base"])
            elif row["kind"] == "update":
                for field, mine in row["fields"].items():
                    allowed[task, field, row["base"][field], mine, device.person.id] += 1
    for web in webs:
        allowed.update((str(task), field, before, mine, web.person.id) for task, field, before, mine in web.changes)
    online = {(str(task), version) for web in webs for task, version in web.deletions}
    restores = Counter(str(task) for web in webs for task in web.restores)
    for task, events in told.items():
        now = dict.fromkeys(FIELDS)
        for event in events:
            if event.kind == "task.updated":
                for field in set(MEANT) & set(event.changes):
                    before, mine = event.changes[field]
                    change = (task, field, before, mine, event.actor_id)
                    assert allowed[change] > 0, f"nobody meant that, or not twice: {change}"
                    allowed[change] -= 1
            elif event.kind == "task.restored":
                restores[task] -= 1
                assert restores[task] >= 0, f"came back: {task}"
            elif event.kind == "task.deleted" and (task, event.entity_version) not in online:
                assert now in deletions[task, event.actor_id], f"deleted, but not as it was seen: {task}"
                deletions[task, event.actor_id].remove(now)
            now |= {field: pair[1] for field, pair in event.changes.items() if field in FIELDS}


def _after(event: Any, field: str) -> Any:
    return event.changes[field][1] if field in event.changes else None
