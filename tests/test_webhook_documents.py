"""Webhooks that are sent what a GraphQL document selects, as their owner may read it when it is told."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import update

from core.deadlines import current, working
from db.driver.database import Database
from db.models import Webhook
from graphql_schema.execution.webhook_documents import make_documents
from services.events.catalogue import CATALOGUE
from services.features import NODES
from services.shared import node_ids
from services.shared.actors import Actor
from services.shared.errors import Unavailable
from services.webhooks import payloads
from services.webhooks.documents import RESOLVE_SECONDS, VARIABLES, LaterDocuments, type_of
from services.webhooks.models import MAX_DOCUMENT, MAX_PAYLOAD, TOLD
from tests.actors import Anonymous, Person
from tests.conftest import settings_for
from tests.doors import Door, another_instance, calling, on_both_doors
from tests.hooks import Hooks, hooks_on
from tests.operations import ok, run

URL = "https://hooks.example.com/tandem"
TASK = "query($id: ID!) { node(id: $id) { ... on Task { ref title assignees { username } } } }"


@pytest.fixture
async def hooks(backend: str, tmp_path: Path) -> AsyncIterator[Hooks]:
    async with hooks_on(backend, tmp_path) as made:
        yield made


@on_both_doors
class TestBothDoors:
    async def test_a_document_is_given_changed_and_goes_with_its_content(self, ada: Person, door: Door) -> None:
        values = {"name": "x", "url": URL, "content": "document", "document": TASK}
        made = await ok(door, "create_webhook", ada, values)
        ids = {"webhook_id": made["id"]}
        assert (made["content"], made["document"]) == ("document", TASK)
        assert await ok(door, "get_webhook", ada, **ids) == made

        other = "{ me { username } }"
        assert (await ok(door, "update_webhook", ada, {"document": other}, **ids))["document"] == other
        changed = await ok(door, "update_webhook", ada, {"content": "full"}, **ids)
        assert (changed["content"], changed["document"]) == ("full", None)
        for body in ({"content": "document"}, {"document": TASK}):
            assert (await run(door, "update_webhook", ada, body, **ids)).refusal == ("BAD_USER_INPUT", ["/document"])
        changed = await ok(door, "update_webhook", ada, {"content": "document", "document": TASK}, **ids)
        assert (changed["content"], changed["document"]) == ("document", TASK)
        assert (await run(door, "update_webhook", ada, {"document": None}, **ids)).code == "BAD_USER_INPUT"

    @pytest.mark.one_rule
    @pytest.mark.parametrize(
        ("document", "words"),
        [
            (None, "must be given"),
            ("", ""),
            ("{ me { ", "Syntax Error"),
            ("{ me { colour } }", "Cannot query field"),
            ("query($id: ID!) { task(id: $id) { id } project(id: $id) { id ...Lost } }", "Unknown fragment"),
            ("{ me { id } } query Other { me { id } }", "one operation"),
            ("fragment F on Task { id }", ""),
            ("mutation { clearTasks { message } }", ""),
            ('mutation { deleteTask(input: {id: "x"}) { deletedTaskId } }', "must be a query"),
            ("subscription { taskCreated { id } }", "must be a query"),
            ("{ __schema { types { name } } }", "schema"),
            ('{ __type(name: "Task") { name } }', "schema"),
            ("query($ref: String!) { taskByRef(ref: $ref) { id } }", "no variable $ref"),
            ("query($kind: ID!) { node(id: $kind) { id } }", "$kind must be of the type String"),
            ("query($id: [ID!]!) { nodes(ids: $id) { id } }", "$id must be of the type ID"),
            ("{ me { id } }" + " " * MAX_DOCUMENT, ""),
        ],
    )
    async def test_what_is_no_such_document_is_refused_by_name(
        self, ada: Person, door: Door, document: str | None, words: str
    ) -> None:
        made = await ok(door, "create_webhook", ada, {"name": "x", "url": URL})
        fields = {"content": "document", "document": document}
        for name, body, ids in (
            ("create_webhook", {"name": "x", "url": URL} | fields, {}),
            ("update_webhook", fields, {"webhook_id": made["id"]}),
        ):
            result = await run(door, name, ada, body, **ids)
            assert result.code == "BAD_USER_INPUT", result.body
            assert {*result.pointers} == {"/document"}, result.body
            assert words in str(result.body), name
        assert await ok(door, "list_webhooks", ada) == [made]

    async def test_what_no_request_may_ask_is_too_expensive(self, ada: Person, door: Door) -> None:
        page = "subtasks(first: 100) { nodes { "
        wide = "{ tasks(first: 100) { nodes { " + page * 2 + "id" + " } }" * 2 + " } } }"
        deep = "query($id: ID!) { task(id: $id) " + "{ parent " * 30 + "{ id }" + " }" * 30 + " }"
        # what a request may ask is too much at each change
        many = "{ " + " ".join(f'a{n}: tasks(filter: {{search: "w{n}"}}) {{ totalCount }}' for n in range(2)) + " }"
        assert "errors" not in (await ada.gql(many)).body
        for document in (wide, deep, many):
            values = {"name": "x", "url": URL, "content": "document", "document": document}
            assert (await run(door, "create_webhook", ada, values)).code == "TOO_EXPENSIVE", document[:80]


class TestTelling:
    async def test_a_message_has_what_the_document_selects_as_the_owner_may_read_it(self, hooks: Hooks) -> None:
        bob, project = await hooks.people(), await hooks.ada.project()
        await hooks.ada.invite(project, bob)
        document = (
            "query($id: ID!, $taskId: ID!, $projectId: ID!, $actorId: ID!, $kind: String!, $eventId: String!, "
            "$occurredAt: DateTime!, $matches: Boolean!) { node(id: $id) { id } task(id: $taskId) { title } "
            "project(id: $projectId) { key role } user(id: $actorId) { username } me { username } "
            "task2: task(id: $taskId) @include(if: $matches) { history(filter: {kind: {eq: $kind}}) { totalCount } } "
            "changed: tasks(filter: {updatedAt: {gte: $occurredAt}, title: {eq: $eventId}}) { totalCount } }"
        )
        made = await hooks.hook("/document", bob, content="document", document=document)
        async with hooks.working():
            task = await hooks.ada.task(project_id=project["id"], title="Tell me")
            [message] = await hooks.receiver.until("/document", 1)

        assert message.json["data"]["kind"] == "task.created"
        assert message.json["data"]["result"] == {
            "data": {
                "node": {"id": task["node_id"]},
                "task": {"title": "Tell me"},
                "project": {"key": project["key"], "role": "MEMBER"},
                "user": {"username": hooks.ada.username},
                "me": {"username": bob.username},
                "task2": {"history": {"totalCount": 1}},
                "changed": {"totalCount": 0},
            }
        }
        assert "changes" not in message.json["data"]
        [delivery] = await hooks.deliveries(made, bob)
        assert delivery["payload"] == message.body.decode()

    async def test_it_reads_as_a_key_that_may_read_tasks_and_no_more(self, hooks: Hooks) -> None:
        document = "{ sessions { edges { node { id } } } }"
        await hooks.hook("/as", content="document", document=document)
        async with hooks.working():
            await hooks.ada.task()
            [message] = await hooks.receiver.until("/as", 1)

        result = message.json["data"]["result"]
        assert [error["extensions"]["code"] for error in result["errors"]] == ["FORBIDDEN"]

    async def test_it_is_the_state_when_it_is_told_and_null_for_what_is_gone(self, hooks: Hooks) -> None:
        made = await hooks.hook("/later", content="document", document=TASK)
        await hooks.ada.post(f"/webhooks/{made['id']}/pause")
        async with hooks.working():
            kept, gone = await hooks.ada.task(title="Before"), await hooks.ada.task()
            await hooks.ada.patch(f"/tasks/{kept['id']}", {"title": "After"})
            await hooks.ada.delete(f"/tasks/{gone['id']}")
            await hooks.until_states(made, *["waiting"] * 4)
            await hooks.ada.post(f"/webhooks/{made['id']}/resume")
            messages = await hooks.receiver.until("/later", 4)

        told = {(m.json["type"], m.json["data"]["entity_id"]): m.json["data"]["result"] for m in messages}
        after = {"data": {"node": {"ref": kept["ref"], "title": "After", "assignees": []}}}
        assert told == {
            ("task.created", kept["id"]): after,
            ("task.updated", kept["id"]): after,
            ("task.created", gone["id"]): {"data": {"node": None}},
            ("task.deleted", gone["id"]): {"data": {"node": None}},
        }

    async def test_what_a_newer_schema_does_not_know_is_told_as_errors(self, hooks: Hooks) -> None:
        made = await hooks.hook("/old", content="document", document=TASK)
        async with hooks.state.database.writing() as session:
            values = update(Webhook).where(Webhook.id == made["id"]).values(document="{ colours { id } }")
            await session.execute(values)
        async with hooks.working():
            await hooks.ada.task()
            [message] = await hooks.receiver.until("/old", 1)
            await hooks.until_states(made, "delivered")

        result = message.json["data"]["result"]
        assert "data" not in result
        assert result["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"

    async def test_a_variable_that_a_change_has_not_is_an_error_of_that_message(self, hooks: Hooks) -> None:
        document = "query($taskId: ID!) { task(id: $taskId) { title } }"
        await hooks.hook("/lacks", content="document", document=document, kinds=["project.created", "task.created"])
        async with hooks.working():
            await hooks.ada.project()
            await hooks.ada.task(title="Has one")
            messages = await hooks.receiver.until("/lacks", 2)

        told = {message.json["type"]: message.json["data"]["result"] for message in messages}
        assert told["task.created"] == {"data": {"task": {"title": "Has one"}}}
        assert told["project.created"]["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"

    async def test_a_message_has_a_bound(self, hooks: Hooks) -> None:
        document = "query($id: ID!) { node(id: $id) { ... on Task { description } } }"
        await hooks.hook("/big", content="document", document=document)
        async with hooks.working():
            for size in (MAX_PAYLOAD - 300, MAX_PAYLOAD):
                await hooks.ada.task(description="x" * size)
            messages = await hooks.receiver.until("/big", 2)

        assert max(len(message.body) for message in messages) <= MAX_PAYLOAD
        told = [message.json["data"] for message in messages]
        assert sorted(data.get("left_out", []) for data in told) == [[], ["result"]]
        [too_large] = [data["result"] for data in told if "left_out" not in data]
        assert too_large["errors"][0]["extensions"]["code"] == "TOO_EXPENSIVE"

    async def test_a_test_is_sent_without_it_and_what_is_told_again_is_as_it_was(self, hooks: Hooks) -> None:
        made = await hooks.hook("/again", content="document", document=TASK, filter={"priority": {"gte": 4}})
        async with hooks.working():
            await hooks.ada.post(f"/webhooks/{made['id']}/test")
            [test] = await hooks.receiver.until("/again", 1)
            task = await hooks.ada.task(priority=5, title="Once")
            [_, first] = await hooks.receiver.until("/again", 2)
            await hooks.until_states(made, "delivered", "delivered")
            await hooks.ada.patch(f"/tasks/{task['id']}", {"title": "Twice", "priority": 1})
            await hooks.receiver.until("/again", 3)
            await hooks.until_states(made, *["delivered"] * 3)
            second = (await hooks.deliveries(made))[1]
            await hooks.ada.post(f"/webhooks/{made['id']}/redeliver", {"delivery_ids": [second["id"]]})
            messages = await hooks.receiver.until("/again", 4)

        assert test.json["data"] == {"webhook_id": made["id"]}
        assert [message.json["data"]["matches"] for message in messages[1:]] == [True, False, True]
        assert messages[3].body == first.body

    async def test_a_document_that_takes_too_long_says_so(self, hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(payloads, "RESOLVE_SECONDS", 0.0)
        made = await hooks.hook("/slow", content="document", document=TASK)
        async with hooks.working():
            await hooks.ada.task()
            [message] = await hooks.receiver.until("/slow", 1)
            await hooks.until_states(made, "delivered")

        result = message.json["data"]["result"]
        assert [error["extensions"]["code"] for error in result["errors"]] == ["DEADLINE_EXCEEDED"]

    async def test_one_that_is_slow_delays_nobody_else(self, hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
        documents = hooks.state.outlet.documents
        resolve, held = documents.resolve, asyncio.Event()

        async def slowly(database: Database, actor: Actor, text: str, variables: Mapping[str, object]) -> bytes:
            if "slow" in text:
                await held.wait()
            return await resolve(database, actor, text, variables)

        monkeypatch.setattr(documents, "resolve", slowly)
        slow = await hooks.hook("/slow", content="document", document=TASK.replace("query", "query slow"))
        await hooks.hook("/quick", content="document", document=TASK)
        await hooks.hook("/thin")
        async with hooks.working():
            for number in range(4):
                await hooks.ada.task()
                await hooks.receiver.until("/quick", number + 1)
                await hooks.receiver.until("/thin", number + 1)
            assert hooks.receiver.of("/slow") == []
            held.set()
            await hooks.until_states(slow, *["delivered"] * 4)

    async def test_where_the_database_does_not_answer_it_is_tried_again(
        self, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        documents, asked = hooks.state.outlet.documents, []
        resolve = documents.resolve

        async def at_last(database: Database, actor: Actor, text: str, variables: Mapping[str, object]) -> bytes:
            asked.append(text)
            if len(asked) == 1:
                raise Unavailable
            return await resolve(database, actor, text, variables)

        monkeypatch.setattr(documents, "resolve", at_last)
        monkeypatch.setattr("services.jobs.worker.AGAIN_SECONDS", 0.05)
        await hooks.hook("/again", content="document", document=TASK)
        async with hooks.working():
            await hooks.ada.task(title="At last")
            [message] = await hooks.receiver.until("/again", 1)

        assert message.json["data"]["result"]["data"]["node"]["title"] == "At last"


async def test_the_worker_resolves_documents_too(hooks: Hooks) -> None:
    await hooks.hook("/worker", content="document", document=TASK, filter={"priority": {"gte": 4}})
    with hooks.worker():
        await hooks.ada.task(priority=5, title="Told by another process")
        # twice it may come: a claim is of a second here, and the schema takes one
        message, *_ = await hooks.receiver.until("/worker", 1, seconds=60)

    assert {each.id for each in hooks.receiver.got} == {message.id}
    assert message.json["data"]["result"]["data"]["node"]["title"] == "Told by another process"


async def test_the_schema_is_there_when_the_first_document_comes(database: Database, ada: Person) -> None:
    made = []

    def make() -> Any:
        made.append(make_documents(settings_for("sqlite:///./unused.db")))
        return made[-1]

    documents = LaterDocuments(make)
    assert not made
    await documents.check(TASK)
    answer = await documents.resolve(database, ada.actor, "{ me { username } }", {})
    assert orjson.loads(answer) == {"data": {"me": {"username": ada.username}}}
    assert len(made) == 1


async def test_what_the_schema_takes_is_no_time_of_the_first_documents(database: Database, ada: Person) -> None:
    made = []

    def make() -> Any:
        current.get().end()  # as if it had taken long
        made.append(make_documents(settings_for("sqlite:///./unused.db")))
        return made[-1]

    documents = LaterDocuments(make)

    async def resolved() -> Any:
        with working(RESOLVE_SECONDS, None):
            return orjson.loads(await documents.resolve(database, ada.actor, "{ me { username } }", {}))

    assert [*await asyncio.gather(resolved(), resolved())] == [{"data": {"me": {"username": ada.username}}}] * 2
    assert len(made) == 1


async def test_trusted_documents_are_webhooks_documents_too(database: Database, ada: Person, tmp_path: Path) -> None:
    file = tmp_path / "documents.json"
    file.write_bytes(orjson.dumps({"one": TASK, "two": "query { me { username } }"}))
    values = {"name": "x", "url": URL, "content": "document"}
    async with another_instance(database, trusted_documents=file) as app, calling(app) as anonymous:
        caller = Anonymous(anonymous.client, ada.headers)
        assert (await caller.post("/webhooks", values | {"document": TASK})).status_code == 201
        refused = await caller.post("/webhooks", values | {"document": "{ me { username } }"})
    assert refused.status_code == 422
    assert "trusted" in refused.json()["detail"]


def test_ids_are_of_types_that_there_are() -> None:
    for subject in {CATALOGUE[name].subject for name in TOLD}:
        name = type_of(subject)
        assert (name is None) == (subject == "server")
        assert name is None or name in NODES, subject
    assert node_ids.decode(node_ids.encode("Task", 1)) == ("Task", 1)
    assert "id" in VARIABLES


async def test_the_thing_of_a_member_is_the_member(hooks: Hooks) -> None:
    bob, project = await hooks.people(), await hooks.ada.project()
    await hooks.hook("/member", content="full", kinds=["member.added"])
    async with hooks.working():
        await hooks.ada.invite(project, bob, "viewer")
        [message] = await hooks.receiver.until("/member", 1)

    entity = message.json["data"]["entity"]
    assert (entity["user"]["id"], entity["role"]) == (bob.id, "viewer")
