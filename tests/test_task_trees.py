"""Tasks below tasks, and the trash that they share."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from core.clock import now
from db.driver.database import Database
from db.models import Task
from services.tasks.models import MAX_SUBTASK_DEPTH, TRASH_DAYS
from tests.actors import Person
from tests.doors import Door, on_both_doors
from tests.operations import ok, run
from tests.stored import kinds, new_events, unchanged


async def chain(ada: Person, length: int) -> list[dict[str, Any]]:
    """Tasks, each below the one before it."""
    tasks = [await ada.task(title="0")]
    while len(tasks) < length:
        tasks.append(await ada.task(title=str(len(tasks)), parent_id=tasks[-1]["id"]))
    return tasks


async def listed(door: Door, ada: Person, *, trashed: bool = False) -> list[str]:
    """The titles of all the person's tasks, or of those in the trash."""
    if door == "rest":
        answer = await ada.get(f"/tasks?limit=100&sort_by=id&order=asc&trashed={str(trashed).lower()}")
        return [task["title"] for task in answer.json()]
    query = (
        "query($trashed: Boolean!) "
        "{ tasks(first: 100, trashed: $trashed, orderBy: {field: ID, direction: ASC}) { edges { node { title } } } }"
    )
    data = (await ada.gql(query, {"trashed": trashed})).data
    return [edge["node"]["title"] for edge in data["tasks"]["edges"]]


@on_both_doors
class TestTree:
    async def test_task_moves_below_another_and_out_again(self, ada: Person, door: Door, database: Database) -> None:
        parent, task = await ada.task(), await ada.task()
        async with new_events(database) as events:
            below = await ok(door, "update_task", ada, {"parent_id": parent["id"]}, task_id=task["id"])
            out = await ok(door, "update_task", ada, {"parent_id": None}, task_id=task["id"])

        assert (below["parent_id"], out["parent_id"]) == (parent["id"], None)
        assert [event.changes for event in events] == [
            {"parent_id": [None, parent["id"]]},
            {"parent_id": [parent["id"], None]},
        ]

    @pytest.mark.parametrize("below", [0, 1, 2])
    async def test_task_is_never_below_itself(self, ada: Person, door: Door, database: Database, below: int) -> None:
        tasks = await chain(ada, 3)
        async with unchanged(database):
            refused = await run(door, "update_task", ada, {"parent_id": tasks[below]["id"]}, task_id=tasks[0]["id"])

        assert refused.refusal == ("CONFLICT", ["/parent_id"])

    async def test_nesting_has_a_bottom(self, ada: Person, door: Door, database: Database) -> None:
        tasks = await chain(ada, MAX_SUBTASK_DEPTH + 1)
        single, (top, _) = await ada.task(), await chain(ada, 2)
        async with unchanged(database):
            answers = [
                await run(door, "create_task", ada, {"title": "x", "parent_id": tasks[-1]["id"]}),
                await run(door, "update_task", ada, {"parent_id": tasks[-1]["id"]}, task_id=single["id"]),
                # the task would fit, its subtask would not
                await run(door, "update_task", ada, {"parent_id": tasks[-2]["id"]}, task_id=top["id"]),
            ]

        assert [answer.refusal for answer in answers] == [("CONFLICT", ["/parent_id"])] * 3
        await ok(door, "update_task", ada, {"parent_id": tasks[-2]["id"]}, task_id=single["id"])
        await ok(door, "update_task", ada, {"parent_id": tasks[-3]["id"]}, task_id=top["id"])

    @pytest.mark.parametrize("which", ["elsewhere", "foreign", "trashed"])
    async def test_task_moves_only_below_a_task_of_its_project(
        self, ada: Person, bob: Person, door: Door, database: Database, which: str
    ) -> None:
        task, project = await ada.task(), await ada.project()
        parent = {
            "elsewhere": await ada.task(project_id=project["id"]),
            "foreign": await bob.task(),
            "trashed": await ada.task(),
        }[which]
        if which == "trashed":
            await ada.delete(f"/tasks/{parent['id']}")
        async with unchanged(database):
            refused = await run(door, "update_task", ada, {"parent_id": parent["id"]}, task_id=task["id"])

        assert refused.refusal == ("NOT_FOUND", ["/parent_id"])


@on_both_doors
class TestTrash:
    async def test_deleted_task_is_gone_but_for_the_trash(self, ada: Person, door: Door, database: Database) -> None:
        task = await ada.task(title="Gone")
        await ada.task(title="Stays")
        await ok(door, "delete_task", ada, task_id=task["id"])

        assert await listed(door, ada) == ["Stays"]
        assert await listed(door, ada, trashed=True) == ["Gone"]
        async with unchanged(database):
            answers = [
                await run(door, "get_task", ada, task_id=task["id"]),
                await run(door, "update_task", ada, {"title": "x"}, task_id=task["id"]),
                await run(door, "delete_task", ada, task_id=task["id"]),
                await run(door, "create_comment", ada, {"body": "x"}, task_id=task["id"]),
                await run(door, "list_comments", ada, task_id=task["id"]),
                await run(door, "list_task_history", ada, task_id=task["id"]),
            ]
        assert [answer.refusal for answer in answers] == [("NOT_FOUND", [])] * 6

    async def test_subtasks_go_with_their_task_and_come_back_with_it(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        tasks = await chain(ada, 3)
        await ada.task(title="Stays")
        async with new_events(database) as events:
            await ok(door, "delete_task", ada, task_id=tasks[0]["id"])
            assert await listed(door, ada) == ["Stays"]
            restored = await ok(door, "restore_task", ada, task_id=tasks[0]["id"])

        assert await listed(door, ada) == ["0", "1", "2", "Stays"]
        assert restored == tasks[0] | {"version": 3, "updated_at": restored["updated_at"]}
        below = await ok(door, "get_task", ada, task_id=tasks[2]["id"])
        assert (below["version"], below["parent_id"]) == (3, tasks[1]["id"])
        assert kinds(events) == ["task.deleted"] * 3 + ["task.restored"] * 3
        assert [event.task_id for event in events] == [task["id"] for task in tasks] * 2

    async def test_subtask_that_was_deleted_before_stays_in_the_trash(self, ada: Person, door: Door) -> None:
        tasks = await chain(ada, 3)
        await ok(door, "delete_task", ada, task_id=tasks[1]["id"])
        await ok(door, "delete_task", ada, task_id=tasks[0]["id"])
        await ok(door, "restore_task", ada, task_id=tasks[0]["id"])

        assert await listed(door, ada) == ["0"]
        assert await listed(door, ada, trashed=True) == ["1", "2"]
        back = await ok(door, "restore_task", ada, task_id=tasks[1]["id"])
        assert back["parent_id"] == tasks[0]["id"]
        assert await listed(door, ada) == ["0", "1", "2"]

    async def test_subtask_that_comes_back_alone_is_below_nothing(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        tasks = await chain(ada, 3)
        await ok(door, "delete_task", ada, task_id=tasks[0]["id"])
        async with new_events(database) as events:
            back = await ok(door, "restore_task", ada, task_id=tasks[1]["id"])

        assert back["parent_id"] is None
        assert await listed(door, ada) == ["1", "2"]
        assert events[0].changes["parent_id"] == [tasks[0]["id"], None]
        assert "parent_id" not in events[1].changes
        # its own subtask is where it was
        assert (await ok(door, "get_task", ada, task_id=tasks[2]["id"]))["parent_id"] == tasks[1]["id"]

    async def test_parents_come_back_where_they_are_asked_for(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        tasks = await chain(ada, 4)
        await ada.task(title="Aside", project_id=tasks[0]["project_id"], parent_id=tasks[1]["id"])
        await ok(door, "delete_task", ada, task_id=tasks[3]["id"])
        await ok(door, "delete_task", ada, task_id=tasks[0]["id"])
        async with new_events(database) as events:
            back = await ok(door, "restore_task", ada, task_id=tasks[2]["id"], with_parents=True)

        assert back["parent_id"] == tasks[1]["id"]
        assert await listed(door, ada) == ["0", "1", "2"]
        assert await listed(door, ada, trashed=True) == ["3", "Aside"]
        assert [(event.kind, event.task_id) for event in events] == [
            ("task.restored", task["id"]) for task in tasks[:3]
        ]
        assert all("parent_id" not in event.changes for event in events)
        assert (await ok(door, "get_task", ada, task_id=tasks[0]["id"]))["version"] == 3

    async def test_parents_come_back_as_far_as_they_can(self, ada: Person, door: Door, database: Database) -> None:
        tasks = await chain(ada, 3)
        await ok(door, "delete_task", ada, task_id=tasks[0]["id"])
        async with database.writing() as session:
            long_ago = now() - timedelta(days=TRASH_DAYS, hours=1)
            await session.execute(update(Task).where(Task.id == tasks[0]["id"]).values(deleted_at=long_ago))
        async with new_events(database) as events:
            await ok(door, "restore_task", ada, task_id=tasks[2]["id"], with_parents=True)

        assert await listed(door, ada) == ["1", "2"]
        parent = await ok(door, "get_task", ada, task_id=tasks[1]["id"])
        assert parent["parent_id"] is None
        assert [event.changes.get("parent_id") for event in events] == [[tasks[0]["id"], None], None]

    async def test_parent_that_is_there_is_not_written(self, ada: Person, door: Door, database: Database) -> None:
        tasks = await chain(ada, 2)
        await ok(door, "delete_task", ada, task_id=tasks[1]["id"])
        async with new_events(database) as events:
            back = await ok(door, "restore_task", ada, task_id=tasks[1]["id"], with_parents=True)

        assert back["parent_id"] == tasks[0]["id"]
        assert [event.task_id for event in events] == [tasks[1]["id"]]

    async def test_restored_task_has_what_it_had(self, ada: Person, door: Door) -> None:
        task = await ada.task(tags=["bug"], assignee_ids=[ada.id], description="Words", status="completed")
        comment = await ada.comment(task["id"])
        before = await ok(door, "get_task_with_relations", ada, task_id=task["id"])
        await ok(door, "delete_task", ada, task_id=task["id"])
        back = await ok(door, "restore_task", ada, task_id=task["id"])

        after = await ok(door, "get_task_with_relations", ada, task_id=task["id"])
        assert after == before | {"version": 3, "updated_at": back["updated_at"]}
        assert await ok(door, "list_comments", ada, task_id=task["id"]) == [comment]

    async def test_only_what_is_in_the_trash_is_restored(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        live, foreign = await ada.task(), await bob.task()
        await bob.delete(f"/tasks/{foreign['id']}")
        async with unchanged(database):
            answers = [
                await run(door, "restore_task", ada, task_id=task_id)
                for task_id in (live["id"], foreign["id"], 2**31 - 1)
            ]

        assert [answer.refusal for answer in answers] == [("NOT_FOUND", [])] * 3

    async def test_trash_forgets_after_thirty_days(self, ada: Person, door: Door, database: Database) -> None:
        tasks = [await ada.task(title="Just in time"), await ada.task(title="Too late")]
        for task, margin in zip(tasks, (1, -1), strict=True):
            await ada.delete(f"/tasks/{task['id']}")
            stamp = now() - timedelta(days=TRASH_DAYS) + timedelta(minutes=margin)
            async with database.writing() as session:
                await session.execute(update(Task).where(Task.id == task["id"]).values(deleted_at=stamp))

        assert await listed(door, ada, trashed=True) == ["Just in time"]
        async with unchanged(database):
            late = await run(door, "restore_task", ada, task_id=tasks[1]["id"])
        assert late.refusal == ("NOT_FOUND", [])
        await ok(door, "restore_task", ada, task_id=tasks[0]["id"])


class TestRest:
    async def test_delete_answers_nothing_and_then_not_found(self, ada: Person) -> None:
        task = await ada.task()
        first, second = await ada.delete(f"/tasks/{task['id']}"), await ada.delete(f"/tasks/{task['id']}")

        assert (first.status_code, first.content) == (204, b"")
        assert (second.status_code, second.json()["detail"]) == (404, "Task not found")

    async def test_trashed_tasks_say_since_when(self, ada: Person) -> None:
        task = await ada.task()
        await ada.delete(f"/tasks/{task['id']}")
        [trashed] = (await ada.get("/tasks?trashed=true")).json()

        assert trashed == task | {
            "version": 2,
            "deleted_at": trashed["deleted_at"],
            "updated_at": trashed["deleted_at"],
        }
        assert trashed["deleted_at"] > task["created_at"]

    async def test_subtasks_are_listed_by_their_parent(self, ada: Person) -> None:
        tasks = await chain(ada, 3)
        below = (await ada.get(f"/tasks?parent_id={tasks[0]['id']}")).json()

        assert below == [tasks[1]]


class TestGraphQL:
    async def test_tree_is_walked_both_ways(self, ada: Person) -> None:
        tasks = await chain(ada, 3)
        await ada.task(title="1b", parent_id=tasks[0]["id"])
        answer = await ada.gql(
            "query($id: ID!) { task(id: $id) { parent { title parent { title parent { title } } } } }",
            {"id": tasks[2]["node_id"]},
        )
        assert answer.data["task"] == {"parent": {"title": "1", "parent": {"title": "0", "parent": None}}}

        answer = await ada.gql(
            "query($id: ID!) { task(id: $id) { subtasks(orderBy: {field: TITLE, direction: ASC}, first: 1) "
            "{ totalCount pageInfo { hasNextPage } edges { node { title subtasks { totalCount } } } } } }",
            {"id": tasks[0]["node_id"]},
        )
        assert answer.data["task"]["subtasks"] == {
            "totalCount": 2,
            "pageInfo": {"hasNextPage": True},
            "edges": [{"node": {"title": "1", "subtasks": {"totalCount": 1}}}],
        }

    async def test_delete_names_what_is_gone(self, ada: Person) -> None:
        task = await ada.task()
        answer = await ada.gql(
            "mutation($id: ID!) { deleteTask(input: {id: $id}) { deletedTaskId } }", {"id": task["node_id"]}
        )

        assert answer.data["deleteTask"] == {"deletedTaskId": task["node_id"]}


@on_both_doors
class TestAtTheSameTime:
    async def test_two_tasks_that_go_below_each_other_close_no_circle(self, ada: Person, door: Door) -> None:
        for _ in range(5):
            one, two = await ada.task(), await ada.task()
            answers = await asyncio.gather(
                run(door, "update_task", ada, {"parent_id": two["id"]}, task_id=one["id"]),
                run(door, "update_task", ada, {"parent_id": one["id"]}, task_id=two["id"]),
            )
            assert sorted(str(answer.code) for answer in answers) == ["CONFLICT", "None"]

    async def test_task_that_is_deleted_leaves_no_subtask_behind(self, ada: Person, door: Door) -> None:
        for _ in range(5):
            parent, moving = await ada.task(title="Parent"), await ada.task(title="Moved")
            answers = await asyncio.gather(
                run(door, "create_task", ada, {"title": "New", "parent_id": parent["id"]}),
                run(door, "update_task", ada, {"parent_id": parent["id"]}, task_id=moving["id"]),
                run(door, "delete_task", ada, task_id=parent["id"]),
                run(door, "create_task", ada, {"title": "New", "parent_id": parent["id"]}),
            )
            assert {answer.code for answer in answers} <= {None, "NOT_FOUND"}
            assert answers[2].code is None
            assert (await ada.get(f"/tasks?parent_id={parent['id']}")).json() == []

    async def test_numbers_are_given_once(self, ada: Person, door: Door) -> None:
        project = await ada.project()
        body = {"title": "x", "project_id": project["id"]}
        answers = await asyncio.gather(*(run(door, "create_task", ada, body) for _ in range(12)))

        assert sorted(answer.body["number"] for answer in answers) == list(range(1, 13))
