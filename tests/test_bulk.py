"""Many tasks in one call: a result for each, all or nothing or each for itself, the same on both doors."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from db.driver.database import Database
from db.models import Event, Task
from tests.actors import Anonymous, Person
from tests.conftest import People
from tests.doors import Door, Result, nothing_written, on_both_doors
from tests.operations import ok, run
from tests.statements import StatementCounter


def errors(result: Result) -> dict[int, tuple[str, list[str]]]:
    """Of the items refused: code and pointers, by position."""
    return {
        item["position"]: (item["error"]["code"], [problem["pointer"] for problem in item["error"]["errors"]])
        for item in result.body["results"]
        if item["error"] is not None
    }


async def events_of(database: Database, task_id: int) -> list[str]:
    async with database.reading() as session:
        return list(await session.scalars(select(Event.kind).where(Event.task_id == task_id).order_by(Event.id)))


@pytest.fixture
async def tasks(ada: Person) -> list[dict[str, Any]]:
    return [await ada.task(title=f"Task {number}", priority=number) for number in (1, 2, 3)]


class TestCreate:
    @on_both_doors
    async def test_tasks_with_different_values(self, door: Door, ada: Person, database: Database) -> None:
        project = await ada.project()
        wanted = [
            {"title": "One", "tags": ["a"], "assignee_ids": [ada.id]},
            {"title": "Two", "project_id": project["id"], "priority": 5},
            {"title": "Three", "status": "completed"},
        ]

        body = await ok(door, "create_tasks", ada, {"tasks": wanted})

        assert (body["applied"], body["succeeded"], body["failed"]) == (True, 3, 0)
        made = [item["task"] for item in body["results"]]
        assert [(task["title"], task["priority"], task["status"]) for task in made] == [
            ("One", 1, "pending"),
            ("Two", 5, "pending"),
            ("Three", 1, "completed"),
        ]
        assert made[1]["project_id"] == project["id"]
        assert made[0]["number"] + 1 == made[2]["number"]
        assert [item["node_id"] for item in body["results"]] == [task["node_id"] for task in made]
        for task in made:
            assert await events_of(database, task["id"]) == ["task.created"]

    @on_both_doors
    async def test_a_thousand_in_few_statements(self, door: Door, ada: Person, statements: StatementCounter) -> None:
        statements.reset()
        await ok(door, "create_tasks", ada, {"tasks": [{"title": "One"}] * 2})
        few = statements.count
        statements.reset()

        body = await ok(door, "create_tasks", ada, {"tasks": [{"title": "One", "priority": 2}] * 1000})

        assert body["succeeded"] == 1000
        assert len({item["task"]["number"] for item in body["results"]}) == 1000
        assert statements.count <= few + 4  # INSERT … RETURNING goes in batches

    @on_both_doors
    async def test_one_refused_task_refuses_all(self, door: Door, ada: Person, bob: Person, database: Database) -> None:
        foreign = await bob.project()
        wanted = [{"title": "Fine"}, {"title": "Not mine", "project_id": foreign["id"]}, {"title": "Who?"}]
        wanted[2]["assignee_ids"] = [bob.id]

        async with nothing_written(database):
            result = await run(door, "create_tasks", ada, {"tasks": wanted})

        assert result.code == "NOT_FOUND"
        assert result.pointers == ["/tasks/1", "/tasks/2/assignee_ids"]

    @on_both_doors
    async def test_in_the_partial_mode_it_is_refused_alone(self, door: Door, ada: Person, bob: Person) -> None:
        wanted = [{"title": "Fine"}, {"title": "Below nothing", "parent_id": 2**31 - 1}, {"title": "Fine too"}]

        result = await run(door, "create_tasks", ada, {"tasks": wanted, "mode": "partial"})

        assert (result.body["succeeded"], result.body["failed"]) == (2, 1)
        assert errors(result) == {1: ("NOT_FOUND", ["/parent_id" if door == "rest" else "/parentId"])}

    @on_both_doors
    @pytest.mark.parametrize("mode", ["atomic", "partial"])
    async def test_an_invalid_body_is_refused_as_a_whole(self, door: Door, ada: Person, mode: str) -> None:
        wanted = [{"title": "Fine"}, {"title": "x" * 201}]

        result = await run(door, "create_tasks", ada, {"tasks": wanted, "mode": mode})

        assert result.refusal == ("BAD_USER_INPUT", ["/tasks/1/title"])

    @on_both_doors
    @pytest.mark.parametrize("count", [0, 1001])
    async def test_one_to_a_thousand(self, door: Door, ada: Person, count: int) -> None:
        result = await run(door, "create_tasks", ada, {"tasks": [{"title": "One"}] * count})

        assert result.refusal == ("BAD_USER_INPUT", ["/tasks"])

    @on_both_doors
    async def test_a_dry_run_writes_nothing(self, door: Door, ada: Person, database: Database) -> None:
        async with nothing_written(database):
            body = await ok(door, "create_tasks", ada, {"tasks": [{"title": "One", "tags": ["new"]}], "dry_run": True})

        assert (body["applied"], body["succeeded"]) == (False, 1)
        assert body["results"][0]["task"] is None


class TestUpdate:
    @on_both_doors
    async def test_each_in_its_own_way(
        self, door: Door, ada: Person, tasks: list[dict[str, Any]], database: Database
    ) -> None:
        changes = [
            {"id": tasks[0]["id"], "title": "First", "tags": ["x", "y"]},
            {"id": tasks[1]["id"], "priority": 5, "assignee_ids": [ada.id], "expected_version": 1},
            {"id": tasks[2]["id"], "priority": 3},
        ]

        body = await ok(door, "update_tasks", ada, {"tasks": changes})

        assert [item["version"] for item in body["results"]] == [2, 2, 1]
        after = [item["task"] for item in body["results"]]
        assert [(task["title"], task["priority"]) for task in after] == [("First", 1), ("Task 2", 5), ("Task 3", 3)]
        assert [await events_of(database, task["id"]) for task in tasks] == [
            ["task.created", "task.updated"],
            ["task.created", "task.updated"],
            ["task.created"],
        ]

    @on_both_doors
    async def test_a_stale_version_refuses_all(
        self, door: Door, ada: Person, tasks: list[dict[str, Any]], database: Database
    ) -> None:
        changes = [{"id": task["id"], "title": "New", "expected_version": 1} for task in tasks]
        changes[1]["expected_version"] = 7

        async with nothing_written(database):
            result = await run(door, "update_tasks", ada, {"tasks": changes})

        assert result.refusal == ("VERSION_CONFLICT", ["/tasks/1"])

    @on_both_doors
    async def test_in_the_partial_mode_each_answers_for_itself(
        self, door: Door, ada: Person, bob: Person, tasks: list[dict[str, Any]]
    ) -> None:
        foreign = await bob.task()
        changes = [
            {"id": tasks[0]["id"], "title": "New", "expected_version": 9},
            {"id": foreign["id"], "title": "New"},
            {"id": tasks[1]["id"], "start_at": "2026-02-01T00:00:00Z", "due_at": "2026-03-01T00:00:00Z"},
            {"id": tasks[2]["id"], "parent_id": tasks[2]["id"]},
        ]

        result = await run(door, "update_tasks", ada, {"tasks": changes, "mode": "partial"})

        pointer = "/parent_id" if door == "rest" else "/parentId"
        assert errors(result) == {
            0: ("VERSION_CONFLICT", []),
            1: ("NOT_FOUND", []),
            3: ("CONFLICT", [pointer]),
        }
        assert result.body["results"][0]["error"]["current_version"] == 1
        assert result.body["results"][2]["version"] == 2

    @on_both_doors
    async def test_two_moves_of_one_call_close_no_circle(
        self, door: Door, ada: Person, tasks: list[dict[str, Any]]
    ) -> None:
        one, two, _ = (task["id"] for task in tasks)
        changes = [{"id": one, "parent_id": two}, {"id": two, "parent_id": one}]

        result = await run(door, "update_tasks", ada, {"tasks": changes, "mode": "partial"})

        assert list(errors(result)) == [1]

    @on_both_doors
    async def test_a_task_comes_once(self, door: Door, ada: Person, tasks: list[dict[str, Any]]) -> None:
        changes = [{"id": tasks[0]["id"], "title": "One"}, {"id": tasks[0]["id"], "title": "Two"}]

        result = await run(door, "update_tasks", ada, {"tasks": changes})

        assert result.refusal == ("BAD_USER_INPUT", ["/tasks"])

    @on_both_doors
    async def test_a_dry_run_answers_what_would_be(
        self, door: Door, ada: Person, tasks: list[dict[str, Any]], database: Database
    ) -> None:
        changes = [{"id": tasks[0]["id"], "title": "New", "tags": ["new"]}]

        async with nothing_written(database):
            body = await ok(door, "update_tasks", ada, {"tasks": changes, "dry_run": True})

        assert (body["applied"], body["results"][0]["version"]) == (False, 2)
        assert (await ok(door, "get_task", ada, task_id=tasks[0]["id"]))["title"] == "Task 1"

    @on_both_doors
    async def test_a_viewer_is_refused(self, door: Door, people: People, database: Database) -> None:
        owner, viewer = await people(), await people()
        project = await owner.project()
        task = await owner.task(project_id=project["id"])
        await owner.invite(project, viewer, "viewer")

        async with nothing_written(database):
            results = [
                await run(door, "update_tasks", viewer, {"tasks": [{"id": task["id"], "title": "Mine"}]}),
                await run(door, "delete_tasks", viewer, {"tasks": [{"id": task["id"]}]}),
                await run(door, "update_matching_tasks", viewer, {"filter": {}, "changes": {"priority": 5}}),
                await run(door, "create_tasks", viewer, {"tasks": [{"title": "x", "project_id": project["id"]}]}),
            ]

        assert {result.code for result in results} == {"FORBIDDEN"}


class TestDelete:
    @on_both_doors
    async def test_tasks_go_with_their_subtasks(
        self, door: Door, ada: Person, tasks: list[dict[str, Any]], database: Database
    ) -> None:
        below = await ada.task(title="Below", parent_id=tasks[0]["id"])

        body = await ok(
            door,
            "delete_tasks",
            ada,
            {"tasks": [{"id": tasks[0]["id"]}, {"id": tasks[1]["id"], "expected_version": 1}]},
        )

        assert [item["version"] for item in body["results"]] == [2, 2]
        assert await events_of(database, below["id"]) == ["task.created", "task.deleted"]
        async with database.reading() as session:
            gone = await session.scalars(
                select(Task.id).where(Task.created_by_id == ada.id, Task.deleted_at.is_not(None)).order_by(Task.id)
            )
        assert list(gone) == [tasks[0]["id"], tasks[1]["id"], below["id"]]

    @on_both_doors
    async def test_in_the_partial_mode_each_answers_for_itself(
        self, door: Door, ada: Person, tasks: list[dict[str, Any]]
    ) -> None:
        doomed = [{"id": tasks[0]["id"], "expected_version": 5}, {"id": 2**31 - 1}, {"id": tasks[2]["id"]}]

        result = await run(door, "delete_tasks", ada, {"tasks": doomed, "mode": "partial"})

        assert {position: code for position, (code, _) in errors(result).items()} == {
            0: "VERSION_CONFLICT",
            1: "NOT_FOUND",
        }


class TestUpdateMatching:
    @on_both_doors
    async def test_what_matches_changes_and_nothing_else(
        self, door: Door, ada: Person, tasks: list[dict[str, Any]]
    ) -> None:
        body = await ok(
            door,
            "update_matching_tasks",
            ada,
            {"filter": {"priority": {"gte": 2}}, "changes": {"status": "in_progress", "tags": ["now"]}},
        )

        assert [item["node_id"] for item in body["results"]] == [task["node_id"] for task in tasks[1:]]
        states = [(await ok(door, "get_task", ada, task_id=task["id"]))["status"] for task in tasks]
        assert states == ["pending", "in_progress", "in_progress"]

    @on_both_doors
    async def test_other_peoples_tasks_are_out_of_reach(
        self, door: Door, ada: Person, bob: Person, tasks: list[dict[str, Any]]
    ) -> None:
        body = await ok(door, "update_matching_tasks", bob, {"filter": {}, "changes": {"priority": 5}})

        assert body["results"] == []
        assert (await ok(door, "get_task", ada, task_id=tasks[0]["id"]))["version"] == 1

    @on_both_doors
    async def test_a_filter_is_required(self, door: Door, ada: Person) -> None:
        result = await run(door, "update_matching_tasks", ada, {"changes": {"priority": 5}})

        assert result.refusal == ("BAD_USER_INPUT", ["/filter"])


class TestRepeats:
    @on_both_doors
    async def test_a_bulk_call_with_a_key_happens_once(self, door: Door, ada: Person, database: Database) -> None:
        title, key = f"Bulk {uuid4()}", str(uuid4())
        body = {"tasks": [{"title": title}] * 3}

        async def call(caller: Anonymous, dry_run: bool = False) -> Any:
            given = body | ({"dry_run": True} if dry_run else {})
            if door == "rest":
                answer = await caller.rest("POST", "/tasks/bulk/create", json=given, headers={"Idempotency-Key": key})
                return answer.json(), answer.headers.get("Idempotency-Replayed")
            reply = await run(door, "create_tasks", caller, given | {"idempotency_key": key})
            return reply.body, reply.headers.get("Idempotency-Replayed")

        rehearsed, _ = await call(ada, dry_run=True)
        first, unmarked = await call(ada)
        second, marked = await call(ada)

        assert (rehearsed["applied"], unmarked, marked) == (False, None, "true")
        assert second == first
        async with database.reading() as session:
            assert await session.count(select(Task.id).where(Task.title == title)) == 3


@on_both_doors
async def test_what_one_door_can_pay_the_other_can(ada: Person, door: Door) -> None:
    """A short word and a tag, in all tasks: GraphQL priced what it answers of each task besides."""
    changes = {"filter": {"and": [{"search": "a"}, {"tags": {"any": ["BUG"]}}]}, "changes": {}}

    assert (await run(door, "update_matching_tasks", ada, changes)).code is None
