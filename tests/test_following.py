"""What is asked of the feed: kinds, a project, a task, a filter; waiting, and what is read along; on both doors."""

import asyncio
import json
from typing import Any

import pytest
from strawberry.utils.str_converters import to_camel_case

from db.driver.database import Database
from services import changes
from services.events.interests import MAX_KINDS
from services.events.numbering import number_all
from services.shared.node_ids import encode
from tests.actors import Person
from tests.doors import Door, on_both_doors
from tests.statements import StatementCounter

ROWS = {
    "task": "task { databaseId title }",
    "project": "project { databaseId name }",
    "comment": "comment { databaseId body }",
    "tag": "tag { databaseId name }",
    "milestone": "milestone { databaseId name }",
    "relation": "relation { databaseId }",
}
SELECTED = "cursor kind entity_id: entityId"
CHANGES = """query($after: String, $first: Int, $wait: Int! = 0, $kind: [String!], $projectId: ID, $taskId: ID,
    $filter: TaskFilter) {
    changes(after: $after, first: $first, wait: $wait, kind: $kind, projectId: $projectId, taskId: $taskId,
        filter: $filter) { cursor changes { SELECTED } has_more: hasMore }
}"""
NODES = {"project_id": "Project", "task_id": "Task"}


def variables(asked: dict[str, Any]) -> dict[str, Any]:
    """What REST is asked for, as GraphQL's variables."""
    return {
        to_camel_case(name): encode(NODES[name], value) if name in NODES else value for name, value in asked.items()
    }


async def page(person: Person, door: Door, include: tuple[str, ...] = (), **asked: Any) -> Any:
    """A page of the feed, or the code of its refusal."""
    if door == "rest":
        given = {name: json.dumps(value) if name == "filter" else value for name, value in asked.items()}
        answer = await person.get("/changes", params={**given, "include": list(include)})
        return answer.json() if answer.status_code == 200 else answer.json()["code"]
    rows = " ".join(ROWS[name] for name in include)
    answered = await person.gql(CHANGES.replace("SELECTED", f"{SELECTED} {rows}"), variables(asked))
    return answered.code if "errors" in answered.body else answered.data["changes"]


async def ids(person: Person, door: Door, **asked: Any) -> list[tuple[str, int]]:
    found = await page(person, door, **asked)
    assert not isinstance(found, str), found
    return [(item["kind"], item["entity_id"]) for item in found["changes"]]


@pytest.fixture
async def start(database: Database, ada: Person, bob: Person) -> str:
    """Where the feed ends as the test begins, behind an event of a kind that there is: other tests write rows whose ids
    are none of the catalogue's. Both people are there already."""
    await number_all(database)
    await ada.task()
    await number_all(database)
    return await changes.end(database.reads)


class TestInterests:
    @on_both_doors
    async def test_kinds_project_task_and_filter_choose(
        self, ada: Person, start: str, database: Database, door: Door
    ) -> None:
        project = await ada.project()
        one, two = await ada.task(project_id=project["id"], priority=5), await ada.task(priority=1)
        comment = await ada.comment(one["id"])
        await number_all(database)

        created = [("task.created", one["id"]), ("task.created", two["id"])]
        assert await ids(ada, door, after=start, kind=["task.created"]) == created
        assert await ids(ada, door, after=start, kind=["task.created", "comment.created"]) == [
            *created,
            ("comment.created", comment["id"]),
        ]
        of_one = [("task.created", one["id"]), ("comment.created", comment["id"])]
        assert await ids(ada, door, after=start, task_id=one["id"]) == of_one
        in_project = await ids(ada, door, after=start, project_id=project["id"])
        assert in_project[0] == ("project.created", project["id"])
        assert in_project[-2:] == of_one
        assert await ids(ada, door, after=start, filter={"priority": {"gte": 4}}) == of_one
        assert await ids(ada, door, after=start, filter={"priority": {"gte": 4}}, task_id=two["id"]) == []

    @on_both_doors
    async def test_what_cannot_be_read_is_not_found(self, ada: Person, bob: Person, start: str, door: Door) -> None:
        project, task = await bob.project(), await bob.task()

        assert await page(ada, door, after=start, project_id=project["id"]) == "NOT_FOUND"
        assert await page(ada, door, after=start, task_id=task["id"]) == "NOT_FOUND"
        assert await page(ada, door, after=start, task_id=2**31 - 1) == "NOT_FOUND"

    @on_both_doors
    async def test_task_in_the_trash_can_be_followed(
        self, ada: Person, start: str, database: Database, door: Door
    ) -> None:
        task = await ada.task()
        await ada.delete(f"/tasks/{task['id']}")
        await number_all(database)

        assert await ids(ada, door, after=start, task_id=task["id"]) == [
            ("task.created", task["id"]),
            ("task.deleted", task["id"]),
        ]

    @on_both_doors
    @pytest.mark.parametrize(
        "asked",
        [
            {"kind": ["task.create"]},
            {"kind": [""]},
            {"kind": ["task.created"] * (MAX_KINDS + 1)},
            {"wait": -1},
            {"wait": changes.MAX_WAIT + 1},
            {"filter": {"priority": {"eq": "high"}}},
        ],
        ids=str,
    )
    async def test_what_does_not_hold_is_refused(self, ada: Person, door: Door, asked: dict[str, Any]) -> None:
        assert await page(ada, door, after="0", **asked) == "BAD_USER_INPUT"

    async def test_no_kind_is_named_with_what_may_be_meant(self, ada: Person) -> None:
        answer = await ada.get("/changes", params={"kind": "task.create"})

        assert answer.status_code == 422
        assert answer.json()["errors"][0]["detail"] == "no kind of event: did you mean task.created?"


class TestRowsAlong:
    @on_both_doors
    async def test_things_are_read_as_they_are_now(
        self, ada: Person, start: str, database: Database, door: Door
    ) -> None:
        task = await ada.task(title="First", tags=["red"])
        await ada.patch(f"/tasks/{task['id']}", {"title": "Second"})
        comment = await ada.comment(task["id"])
        gone = await ada.task()
        await ada.delete(f"/tasks/{gone['id']}")
        await number_all(database)

        found = (await page(ada, door, tuple(ROWS), after=start))["changes"]

        of = {(item["kind"], item["entity_id"]): item for item in found}
        assert of["task.created", task["id"]]["task"]["title"] == "Second"
        assert of["task.created", gone["id"]]["task"] is None
        assert of["comment.created", comment["id"]]["comment"]["body"] == comment["body"]
        assert of["comment.created", comment["id"]]["task"]["title"] == "Second"
        assert of["task.created", task["id"]]["comment"] is None
        assert all(item["project"] is not None for item in found)
        tags = [item["tag"]["name"] for item in found if item["kind"] == "tag.created"]
        assert tags == ["red"]

    async def test_nothing_is_read_that_nobody_asks_for(self, ada: Person, start: str, database: Database) -> None:
        await ada.task()
        await number_all(database)

        [item, *_] = (await page(ada, "rest", after=start))["changes"]
        assert not item.keys() & ROWS.keys()

    @on_both_doors
    async def test_each_kind_is_one_statement_however_many_changes(
        self, ada: Person, start: str, database: Database, door: Door
    ) -> None:
        numbers = []
        for more in (2, 12):
            for _ in range(more):
                task = await ada.task()
                await ada.comment(task["id"])
            await number_all(database)
            await page(ada, door, ("task", "project", "comment"), after=start)
            with StatementCounter(database) as statements:
                found = await page(ada, door, ("task", "project", "comment"), after=start)
            numbers.append((len(found["changes"]) > 3, statements.count))

        assert numbers[0] == numbers[1]


class TestWaiting:
    @on_both_doors
    async def test_answer_comes_as_soon_as_there_is_something(
        self, ada: Person, bob: Person, start: str, database: Database, door: Door
    ) -> None:
        began = asyncio.get_running_loop().time()
        waiting = asyncio.create_task(page(ada, door, after=start, wait=20))
        await asyncio.sleep(0.4)
        await bob.task()  # nobody else's concern
        await asyncio.sleep(0.2)
        assert not waiting.done()
        task = await ada.task()
        await number_all(database)
        found = await waiting

        assert [(item["kind"], item["entity_id"]) for item in found["changes"]] == [("task.created", task["id"])]
        assert asyncio.get_running_loop().time() - began < 10
        assert await page(ada, door, after=found["cursor"]) == {**found, "changes": []}

    @on_both_doors
    async def test_nothing_is_an_empty_page_after_that_time(self, ada: Person, start: str, door: Door) -> None:
        began = asyncio.get_running_loop().time()
        found = await page(ada, door, after="now", wait=1, kind=["task.created"])

        assert found["changes"] == []
        assert found["cursor"]
        assert 0.9 < asyncio.get_running_loop().time() - began < 5

    @on_both_doors
    async def test_what_is_there_is_not_waited_for(
        self, ada: Person, start: str, database: Database, door: Door
    ) -> None:
        await ada.task()
        await number_all(database)
        began = asyncio.get_running_loop().time()

        assert len((await page(ada, door, after=start, wait=20))["changes"]) == 1
        assert asyncio.get_running_loop().time() - began < 5

    @on_both_doors
    async def test_session_that_ends_ends_the_waiting(self, ada: Person, start: str, door: Door) -> None:
        waiting = asyncio.create_task(page(ada, door, after=start, wait=20))
        await asyncio.sleep(0.4)
        began = asyncio.get_running_loop().time()
        for session in (await ada.get("/users/me/sessions")).json():
            await ada.delete(f"/users/me/sessions/{session['id']}")

        assert await waiting == "UNAUTHENTICATED"
        assert asyncio.get_running_loop().time() - began < 2

    @on_both_doors
    async def test_who_leaves_the_project_is_told_so(
        self, ada: Person, bob: Person, start: str, database: Database, door: Door
    ) -> None:
        project = await ada.project()
        await ada.post(f"/projects/{project['id']}/members", {"username": bob.username, "role": "member"})
        await number_all(database)
        waiting = asyncio.create_task(page(bob, door, after="now", wait=20, project_id=project["id"]))
        await asyncio.sleep(0.4)
        await ada.delete(f"/projects/{project['id']}/members/{bob.id}")
        await number_all(database)

        assert await waiting == "NOT_FOUND"
