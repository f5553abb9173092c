"""History: every change of a task and its comments once, with before and after, who and by which request."""

from typing import Any

import pytest

from db.driver.database import Database
from services.events import catalogue
from services.events.log import NewEvent, record
from tests.actors import Person
from tests.conftest import People
from tests.doors import Door, on_both_doors
from tests.operations import ok, run
from tests.stored import new_events, unchanged
from tests.visible import World, make_world


async def history(door: Door, ada: Person, task_id: int) -> list[dict[str, Any]]:
    """The events, oldest first, with the changes as a map."""
    listed = await ok(door, "list_task_history", ada, task_id=task_id)
    changes = [
        {change["field"]: (change["before"], change["after"]) for change in event["changes"]} for event in listed
    ]
    return [event | {"changes": change} for event, change in zip(listed, changes, strict=True)][::-1]


@on_both_doors
class TestBothDoors:
    async def test_every_change_is_one_event_with_before_and_after(self, ada: Person, bob: Person, door: Door) -> None:
        project = await ada.project()
        await ada.invite(project, bob)
        body = {
            "title": "Plan",
            "priority": 2,
            "due_at": "2026-01-31T12:00:00Z",
            "tags": ["a"],
            "project_id": project["id"],
        }
        task = await ok(door, "create_task", ada, body)
        sent = {
            "title": "Do",
            "status": "completed",
            "priority": 2,
            "due_at": None,
            "tags": ["b"],
            "assignee_ids": [bob.id],
        }
        await ok(door, "update_task", bob, sent, task_id=task["id"])
        comment = await ok(door, "create_comment", bob, {"body": "Done"}, task_id=task["id"])
        place = {"task_id": task["id"], "comment_id": comment["id"]}
        await ok(door, "update_comment", bob, {"body": "Done!"}, **place)
        await ok(door, "delete_comment", ada, **place)
        await ok(door, "delete_task", ada, task_id=task["id"])
        await ok(door, "restore_task", ada, task_id=task["id"])

        events = await history(door, ada, task["id"])
        deleted_at = events[5]["changes"]["deleted_at"][1]
        assert [(event["kind"], event["actor_id"], event["entity_version"], event["changes"]) for event in events] == [
            (
                "task.created",
                ada.id,
                1,
                {
                    "title": (None, "Plan"),
                    "status": (None, "pending"),
                    "priority": (None, 2),
                    "due_at": (None, "2026-01-31T12:00:00Z"),
                    "tags": (None, ["a"]),
                    "number": (None, 1),
                },
            ),
            (
                "task.updated",
                bob.id,
                2,
                {
                    "title": ("Plan", "Do"),
                    "status": ("pending", "completed"),
                    "due_at": ("2026-01-31T12:00:00Z", None),
                    "tags": (["a"], ["b"]),
                    "assignee_ids": ([], [bob.id]),
                },
            ),
            ("comment.created", bob.id, 1, {"body": (None, "Done")}),
            ("comment.updated", bob.id, 2, {"body": ("Done", "Done!")}),
            ("comment.deleted", ada.id, 2, {"body": ("Done!", None)}),
            ("task.deleted", ada.id, 3, {"deleted_at": (None, deleted_at)}),
            ("task.restored", ada.id, 4, {"deleted_at": (deleted_at, None)}),
        ]
        for event in events:
            entity = ("comment", comment["id"]) if event["kind"].startswith("comment") else ("task", task["id"])
            assert (event["entity_type"], event["entity_id"]) == entity
            assert (event["task_id"], event["project_id"]) == (task["id"], project["id"])
            assert event["actor_method"] == "token"
        assert len({event["event_id"] for event in events}) == len(events)
        assert [event["occurred_at"] for event in events] == sorted(event["occurred_at"] for event in events)

    async def test_fields_of_a_change_come_in_the_same_order(self, ada: Person, door: Door) -> None:
        task = await ada.task(description="Long", priority=3, tags=["bug"])
        [event] = await ok(door, "list_task_history", ada, task_id=task["id"])
        fields = [change["field"] for change in event["changes"]]

        assert fields == ["description", "number", "priority", "status", "tags", "title"]

    async def test_event_names_the_request_and_how_it_was_authenticated(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        task, key = await ada.task(), await ada.api_key("tasks:write")
        key.headers |= {"X-Request-ID": f"my-request-{task['id']}"}
        await ok(door, "update_task", key, {"title": "By a key"}, task_id=task["id"])

        event = (await history(door, ada, task["id"]))[-1]
        assert (event["request_id"], event["actor_method"], event["actor_id"]) == (
            f"my-request-{task['id']}",
            "api_key",
            ada.id,
        )

    async def test_refused_and_empty_changes_leave_no_event(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        task = await ada.task(tags=["bug"])
        comment = await ada.comment(task["id"])
        place = {"task_id": task["id"], "comment_id": comment["id"]}
        async with unchanged(database):
            for body in ({}, {"title": task["title"]}, {"tags": ["BUG"]}, {"title": ""}, {"assignee_ids": [bob.id]}):
                await run(door, "update_task", ada, body, task_id=task["id"])
            await run(door, "update_task", ada, {"title": "x"}, task_id=task["id"], expected=9)
            await run(door, "update_task", bob, {"title": "x"}, task_id=task["id"])
            await run(door, "update_comment", ada, {"body": comment["body"]}, **place)
            await run(door, "delete_comment", bob, **place)
            await run(door, "restore_task", ada, task_id=task["id"])

        assert [event["kind"] for event in await history(door, ada, task["id"])] == ["task.created", "comment.created"]

    async def test_history_is_of_the_task_alone(self, ada: Person, door: Door) -> None:
        task, other = await ada.task(), await ada.task()
        below = await ada.task(parent_id=task["id"])
        await ada.comment(other["id"])
        await ok(door, "update_task", ada, {"title": "x"}, task_id=below["id"])

        assert [event["kind"] for event in await history(door, ada, task["id"])] == ["task.created"]

    async def test_history_is_for_those_who_may_read_the_task(self, ada: Person, bob: Person, door: Door) -> None:
        project = await ada.project()
        task = await ada.task(project_id=project["id"])
        assert (await run(door, "list_task_history", bob, task_id=task["id"])).refusal == ("NOT_FOUND", [])
        await ada.invite(project, bob, "viewer")
        assert len(await history(door, bob, task["id"])) == 1

        await ada.delete(f"/tasks/{task['id']}")
        assert (await run(door, "list_task_history", ada, task_id=task["id"])).refusal == ("NOT_FOUND", [])


class TestRest:
    async def test_history_comes_newest_first_in_pages(self, ada: Person) -> None:
        task = await ada.task()
        for n in range(4):
            await ada.patch(f"/tasks/{task['id']}", {"title": f"{n}"})
        path = f"/tasks/{task['id']}/history"
        whole, first = (await ada.get(path)).json(), await ada.get(f"{path}?limit=2")
        following = first.headers["link"].partition('>; rel="next"')[0].rpartition("<")[2]

        assert [event["entity_version"] for event in whole] == [5, 4, 3, 2, 1]
        assert first.json() == whole[:2]
        assert (await ada.client.get(following, headers=ada.headers)).json() == whole[2:4]
        assert (await ada.get(f"{path}?skip=4")).json() == whole[4:]


class TestGraphQL:
    async def test_history_is_a_connection_with_actors(self, ada: Person) -> None:
        task = await ada.task()
        await ada.patch(f"/tasks/{task['id']}", {"tags": ["bug"]})
        answer = await ada.gql(
            "query($id: ID!) { task(id: $id) { history(first: 1) { totalCount pageInfo { hasNextPage } "
            "edges { node { kind actor { username } changes { field before after } } } } } }",
            {"id": task["node_id"]},
        )

        assert answer.data["task"]["history"] == {
            "totalCount": 2,
            "pageInfo": {"hasNextPage": True},
            "edges": [
                {
                    "node": {
                        "kind": "task.updated",
                        "actor": {"username": ada.username},
                        "changes": [{"field": "tags", "before": [], "after": ["bug"]}],
                    }
                }
            ],
        }

    async def test_change_of_an_unreadable_task_is_no_node(self, ada: Person, bob: Person, database: Database) -> None:
        async with new_events(database) as events:
            await ada.task()
        [event] = (await ada.get(f"/tasks/{events[0].task_id}/history")).json()
        query = "query($id: ID!) { node(id: $id) { ... on Event { kind } } }"

        assert (await ada.gql(query, {"id": event["node_id"]})).data["node"] == {"kind": "task.created"}
        assert (await bob.gql(query, {"id": event["node_id"]})).data["node"] is None


HISTORY = """query($id: ID!, $after: String) { task(id: $id) { history(first: 2, after: $after) {
    totalCount edges { node { databaseId kind } } pageInfo { hasNextPage endCursor }
} } }"""


class TestWhatIsHidden:
    @pytest.fixture
    async def world(self, people: People, database: Database) -> World:
        return await make_world(people, database)

    async def test_pages_pass_over_events_that_are_not_shown(self, world: World) -> None:
        """The two tasks are related and unrelated again and again, between changes that all may see."""
        ada, bob, path = world.ada, world.bob, world.filled("/tasks/<task>")
        for number in range(4):
            body = {"kind": "duplicates", "target_id": world["far"]}
            made = (await ada.post(f"{path}/relations", body)).json()
            await ada.patch(path, {"title": f"{number}"})
            await ada.delete(f"{path}/relations/{made['id']}")
        everything = [event["id"] for event in (await bob.get(f"{path}/history?limit=100")).json()]
        await ada.delete(world.filled(f"/projects/<other>/members/{bob.id}"))

        wanted = (await bob.get(f"{path}/history?limit=100")).json()
        kinds = ["task.updated"] * 4 + ["comment.created", "task.created"]
        assert [event["kind"] for event in wanted] == kinds
        assert len(everything) == len(kinds) + 8 + 3
        seen: list[int] = []
        page = await bob.get(f"{path}/history?limit=2")
        while True:
            assert len(page.json()) == 2
            seen += [event["id"] for event in page.json()]
            if "next" not in page.links:
                break
            page = await bob.client.get(page.links["next"]["url"], headers=bob.headers)
        assert seen == [event["id"] for event in wanted]
        cursor, nested = None, []
        while True:
            listed = (await bob.gql(HISTORY, {"id": world.ids["task"].node, "after": cursor})).data["task"]["history"]
            assert listed["totalCount"] == len(wanted)
            nested += [edge["node"]["databaseId"] for edge in listed["edges"]]
            if not listed["pageInfo"]["hasNextPage"]:
                break
            cursor = listed["pageInfo"]["endCursor"]
        assert nested == seen

    async def test_other_relations_and_things_with_the_id_of_one_tell_nothing_of_it(
        self, world: World, database: Database
    ) -> None:
        alike = NewEvent(catalogue.COMMENT_CREATED, world["relation"], {}, task_id=world["parent"])
        async with database.writing() as session:
            await record(session, world.ada.actor, alike)
        body = {"kind": "relates_to", "target_id": world["subtask"]}
        assert (await world.ada.post(world.filled("/tasks/<parent>/relations"), body)).status_code == 201
        assert (await world.ada.delete(world.filled("/tasks/<far>"))).status_code == 204
        told = [event["kind"] for event in (await world.bob.get(world.filled("/tasks/<task>/history"))).json()]

        assert told == ["comment.created", "task.created"]

    async def test_relation_to_a_task_that_is_gone_is_not_told(self, world: World, database: Database) -> None:
        bob = world.bob
        assert (await world.ada.delete(world.filled("/projects/<other>"))).status_code == 204
        told = [event["kind"] for event in (await bob.get(world.filled("/tasks/<task>/history"))).json()]

        assert told == ["comment.created", "task.created"]
