"""Tasks that are made again."""

from typing import Any

import pytest

from db.driver.database import Database
from services.tasks import duplication
from tests.actors import Person
from tests.doors import Door, on_both_doors
from tests.operations import ok, run
from tests.stored import kinds, new_events, unchanged


async def full(ada: Person, bob: Person) -> dict[str, Any]:
    """A task that has everything."""
    project = await ada.project()
    await ada.invite(project, bob)
    made = await ada.post(f"/projects/{project['id']}/milestones", {"name": "Beta"})
    parent = await ada.task(project_id=project["id"], title="Parent")
    task = await ada.task(
        project_id=project["id"],
        title="Again",
        description="As it says",
        priority=4,
        start_at="2027-01-01T00:00:00Z",
        due_at="2027-01-02T00:00:00Z",
        tags=["b", "a"],
        assignee_ids=[bob.id, ada.id],
        milestone_id=made.json()["id"],
        parent_id=parent["id"],
        status="completed",
        external_source="crm",
        external_id="1",
    )
    await ada.comment(task["id"])
    await ada.post(f"/tasks/{task['id']}/relations", {"kind": "blocks", "target_id": parent["id"]})
    return task


@on_both_doors
class TestDuplicates:
    async def test_new_task_has_what_is_to_be_done(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        task = await full(ada, bob)
        async with new_events(database) as events:
            made = await ok(door, "duplicate_task", ada, {}, task_id=task["id"])

        same = ("title", "description", "priority", "start_at", "due_at", "milestone_id", "parent_id", "project_id")
        assert [made[name] for name in same] == [task[name] for name in same]
        new = ("status", "completed_at", "version", "external_id", "created_by_id")
        assert [made[name] for name in new] == ["pending", None, 1, None, ada.id]
        assert made["id"] != task["id"]
        hung = await ok(door, "get_task_with_relations", ada, task_id=made["id"])
        assert (hung["assignees"], hung["tags"]) == (sorted([ada.id, bob.id]), ["a", "b"])
        assert await ok(door, "list_comments", ada, task_id=made["id"]) == []
        assert await ok(door, "list_relations", ada, task_id=made["id"]) == []
        assert kinds(events) == ["task.created"]
        assert await ok(door, "get_task", ada, task_id=task["id"]) == task

    async def test_subtasks_come_along_unless_told_otherwise(self, ada: Person, door: Door) -> None:
        root = await ada.task(title="Root")
        children = [await ada.task(title=f"Child {n}", parent_id=root["id"]) for n in range(2)]
        await ada.task(title="Grandchild", parent_id=children[1]["id"])
        gone = await ada.task(title="Gone", parent_id=root["id"])
        await ada.delete(f"/tasks/{gone['id']}")
        alone = await ok(door, "duplicate_task", ada, {"subtasks": False, "title": "Alone"}, task_id=root["id"])
        made = await ok(door, "duplicate_task", ada, {"title": "Copy"}, task_id=root["id"])

        assert (alone["title"], made["title"]) == ("Alone", "Copy")
        assert await ok(door, "list_tasks", ada, filter={"parent": {"eq": alone["node_id"]}}) == []
        below = await ok(
            door, "list_tasks", ada, filter={"parent": {"eq": made["node_id"]}}, sort_by="number", order="asc"
        )
        assert [task["title"] for task in below] == ["Child 0", "Child 1"]
        deeper = await ok(door, "list_tasks", ada, filter={"parent": {"eq": below[1]["node_id"]}})
        assert [task["title"] for task in deeper] == ["Grandchild"]

    async def test_repeat_with_a_key_makes_nothing(self, ada: Person, door: Door, database: Database) -> None:
        task = await ada.task()
        first = await ok(door, "duplicate_task", ada, {}, task_id=task["id"], key=f"{door}-{task['id']}")
        async with unchanged(database):
            again = await ok(door, "duplicate_task", ada, {}, task_id=task["id"], key=f"{door}-{task['id']}")
        assert again == first

    async def test_too_many_are_refused(
        self, ada: Person, door: Door, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(duplication, "MAX_DRAFTS", 2)
        root = await ada.task()
        for _ in range(2):
            await ada.task(parent_id=root["id"])
        async with unchanged(database):
            refused = await run(door, "duplicate_task", ada, {}, task_id=root["id"])
        await ok(door, "duplicate_task", ada, {"subtasks": False}, task_id=root["id"])
        assert refused.code == "CONFLICT"

    @pytest.mark.parametrize(
        ("body", "field"), [({"title": ""}, "title"), ({"title": None}, "title"), ({"subtasks": None}, "subtasks")]
    )
    async def test_value_outside_the_rules_is_refused(
        self, ada: Person, door: Door, database: Database, body: dict[str, Any], field: str
    ) -> None:
        task = await ada.task()
        async with unchanged(database):
            answer = await run(door, "duplicate_task", ada, body, task_id=task["id"])
        assert answer.refusal == ("BAD_USER_INPUT", [f"/{field}"])

    async def test_task_in_the_trash_or_an_archive_is_not_made_again(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        project = await ada.project()
        trashed = await ada.task()
        await ada.delete(f"/tasks/{trashed['id']}")
        archived = await ada.task(project_id=project["id"])
        await ada.patch(f"/projects/{project['id']}", {"archived": True})
        async with unchanged(database):
            answers = [await run(door, "duplicate_task", ada, {}, task_id=each["id"]) for each in (trashed, archived)]
        assert [answer.code for answer in answers] == ["NOT_FOUND", "CONFLICT"]
