"""What is said unasked is as the AsyncAPI document says: requests to webhooks, events of streams, frames of sockets, as
they come in at who is told."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from db.driver.database import Database
from graphql_schema.schema import schema
from services.events.consumers import catch_up
from services.events.notifier import CONSUMER as NOTIFICATIONS
from services.events.numbering import number_all
from services.live_lists.models import LiveKind
from services.webhooks.models import TEST
from tests.actors import Person
from tests.conftest import ROOT, Servers
from tests.hooks import hooks_on
from tests.sockets import initialised, opened
from tests.streaming import Stream

DOCUMENT: dict[str, Any] = json.loads((ROOT / "asyncapi.json").read_text())


def valid(message: str, payload: Any, *, part: str = "payload") -> None:
    """Raises where a payload, or headers, are not those of a message."""
    assert message in DOCUMENT["components"]["messages"]
    wanted = {"$ref": f"#/components/messages/{message}/{part}", "components": DOCUMENT["components"]}
    Draft202012Validator(wanted).validate(payload)


@pytest.fixture(scope="module")
def servers(database_urls: dict[str, str]) -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack, database_urls)


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "thin"},
        {"content": "full", "filter": {"priority": {"gte": 4}}},
        {"content": "document", "document": "query($id: ID!) { node(id: $id) { id ... on Task { title } } }"},
    ],
    ids=["thin", "full, of some tasks", "document"],
)
async def test_requests_to_webhooks(backend: str, tmp_path: Path, fields: dict[str, Any]) -> None:
    async with hooks_on(backend, tmp_path) as hooks:
        bob, made = await hooks.people(), await hooks.hook("/told", **fields)
        await hooks.ada.post(f"/webhooks/{made['id']}/test")
        async with hooks.working():
            project = await hooks.ada.project()
            await hooks.ada.invite(project, bob)
            task = await hooks.ada.task(project_id=project["id"], priority=5, tags=["bug"])
            await hooks.ada.comment(task["id"])
            await hooks.receiver.until("/told", 3)  # while the task matches
            await hooks.ada.patch(f"/tasks/{task['id']}", {"priority": 1, "description": "x" * 65_000})
            await hooks.ada.delete(f"/tasks/{task['id']}")
            expected = 4 if "filter" in fields else 8
            messages = await hooks.receiver.until("/told", expected)

    for message in messages:
        told = message.json
        name = told["type"] if told["type"] == TEST else f"webhook.{told['type']}"
        valid(name, told)
        valid(name, message.headers, part="headers")
    kinds = {message.json["type"] for message in messages}
    assert {TEST, "task.created", "comment.created", "task.updated"} <= kinds


async def test_events_of_streams(ada: Person, database: Database) -> None:
    task = await ada.task(title="Listed", priority=5)
    asked = json.dumps({"priority": {"gte": 4}})
    await number_all(database)
    start = (await ada.get("/changes?after=now")).json()["cursor"]
    live = Stream(ada, "GET", f"/api/v1/tasks/live?filter={asked}")
    events = Stream(ada, "GET", f"/api/v1/events?after={start}&include=task&include=project")
    try:
        await live.told(1)
        await ada.task(title="Enters", priority=4)
        await ada.patch(f"/tasks/{task['id']}", {"title": "Changes"})
        await number_all(database)
        await live.told(3)
        await ada.patch(f"/tasks/{task['id']}", {"priority": 1})
        await number_all(database)
        lists, told = await live.told(4), await events.told(3)
    finally:
        await live.close()
        await events.close()

    for name, _, data in lists:
        valid(f"live.{name}", json.loads(data))
    assert {name for name, _, _ in lists} == {kind.value for kind in LiveKind}
    for name, _, data in told:
        valid(f"event.{name}", json.loads(data))
    assert [name for name, _, _ in told] == ["task.created", "task.updated", "task.updated"]


FROM_THE_START = '(after: "0") { kind cursor eventId fields }'
SELECTED = {
    "changes": f"changes{FROM_THE_START}",
    "taskChanged": f"taskChanged{FROM_THE_START}",
    "commentAdded": f"commentAdded{FROM_THE_START}",
    "projectChanged": f"projectChanged{FROM_THE_START}",
    "liveTasks": "liveTasks { kind cursor tasks { title } }",
    "taskCreated": "taskCreated { title }",
    "notificationReceived": "notificationReceived { kind task { title } }",
}
"""A selection of each subscription."""


async def test_frames_of_sockets(servers: Servers, backend: str, ada: Person, bob: Person, database: Database) -> None:
    root = schema._schema.subscription_type
    assert root is not None
    assert {*root.fields} == {*SELECTED}
    project = await ada.project()
    await ada.invite(project, bob)
    await ada.comment((await ada.task(project_id=project["id"]))["id"])
    async with opened(servers(backend)) as socket:
        first = {"type": "connection_init", "payload": bob.headers}
        valid("connection_init", first)
        await socket.send(first)
        valid("connection_ack", await socket.receive())
        await socket.send({"type": "ping"})
        valid("pong", await socket.receive())
        await socket.subscribe("subscription { nothing }")
        valid("operation_error", await socket.receive())
        await socket.subscribe("{ me { username } }")
        await socket.receive()
        valid("complete", await socket.receive())

    for name, selection in SELECTED.items():
        async with initialised(servers(backend), bob) as socket:
            frame = {"id": "one", "type": "subscribe", "payload": {"query": f"subscription {{ {selection} }}"}}
            valid("subscribe", frame)
            await socket.send(frame)
            coming = asyncio.create_task(socket.receive())
            # what is told is of what happens once it has begun, which nobody says: it happens until it is told
            while not coming.done():
                await ada.task(project_id=project["id"], assignee_ids=[bob.id])
                await number_all(database)
                await catch_up(database, NOTIFICATIONS)
                await asyncio.wait([coming], timeout=0.2)
            message = await coming
            valid(f"next.{name}", message)
            assert message["payload"]["data"][name], name
