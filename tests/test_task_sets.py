"""Tags and assignees that are added to a task or taken from it, whatever else it has by then."""

import asyncio
from typing import Any

import pytest

from db.driver.database import Database
from services.tasks import attachments
from tests.actors import Person
from tests.conftest import People
from tests.doors import Door, on_both_doors
from tests.operations import ok, run
from tests.stored import new_events, unchanged


async def hung(door: Door, person: Person, task: dict[str, Any]) -> tuple[list[int], list[str]]:
    """Whom a task is assigned to, and its tags."""
    shown = await ok(door, "get_task_with_relations", person, task_id=task["id"])
    return shown["assignees"], shown["tags"]


@on_both_doors
class TestEdits:
    async def test_what_is_named_is_added_or_removed_and_the_rest_stays(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        project = await ada.project()
        await ada.invite(project, bob)
        task = await ada.task(project_id=project["id"], tags=["Alpha", "beta"], assignee_ids=[ada.id])
        body: dict[str, Any] = {"add_tags": ["gamma", "ALPHA"], "remove_tags": ["BETA", "unknown"]}
        body |= {"add_assignees": [bob.id], "remove_assignees": [ada.id, 999_999_999]}
        async with new_events(database) as events:
            changed = await ok(door, "update_task", ada, body, task_id=task["id"])

        assert changed["version"] == 2
        assert await hung(door, ada, task) == ([bob.id], ["Alpha", "gamma"])
        assert [event.changes for event in events if event.kind == "task.updated"] == [
            {"tags": [["Alpha", "beta"], ["Alpha", "gamma"]], "assignee_ids": [[ada.id], [bob.id]]}
        ]

    async def test_what_is_so_already_is_not_written(self, ada: Person, door: Door, database: Database) -> None:
        task = await ada.task(tags=["a"], assignee_ids=[ada.id])
        async with unchanged(database):
            bodies: list[dict[str, Any]] = [
                {"add_tags": ["A"], "remove_tags": ["b"]},
                {"add_assignees": [ada.id], "remove_assignees": [999_999_999]},
                {"add_tags": [], "remove_tags": [], "add_assignees": [], "remove_assignees": []},
            ]
            for body in bodies:
                assert await ok(door, "update_task", ada, body, task_id=task["id"]) == task

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"tags": ["a"], "add_tags": ["b"]}, "add_tags"),
            ({"tags": [], "remove_tags": ["b"]}, "remove_tags"),
            ({"assignee_ids": [], "add_assignees": []}, "add_assignees"),
            ({"assignee_ids": [], "remove_assignees": []}, "remove_assignees"),
            ({"add_tags": ["a"], "remove_tags": ["b", "A"]}, "remove_tags"),
            ({"add_assignees": [1], "remove_assignees": [1]}, "remove_assignees"),
            ({"add_tags": None}, "add_tags"),
            ({"add_tags": ["x" * 51]}, "add_tags/0"),
            ({"add_assignees": [999_999_999]}, "add_assignees"),
        ],
    )
    async def test_what_contradicts_itself_is_refused(
        self, ada: Person, door: Door, database: Database, body: dict[str, Any], field: str
    ) -> None:
        task = await ada.task()
        async with unchanged(database):
            answer = await run(door, "update_task", ada, body, task_id=task["id"])
        assert answer.pointers == [f"/{field}"]
        assert answer.code in {"BAD_USER_INPUT", "NOT_FOUND"}

    async def test_task_has_so_many(
        self, ada: Person, door: Door, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task = await ada.task(tags=["a", "b", "c"])
        monkeypatch.setattr(attachments, "MAX_TAGS", 2)  # as if it came with an import
        async with unchanged(database):
            refused = await run(door, "update_task", ada, {"add_tags": ["d"]}, task_id=task["id"])
        await ok(door, "update_task", ada, {"add_tags": ["d"], "remove_tags": ["a"]}, task_id=task["id"])
        fewer = await ok(door, "update_task", ada, {"remove_tags": ["b"]}, task_id=task["id"])

        assert refused.refusal == ("BAD_USER_INPUT", ["/add_tags"])
        assert fewer["version"] == 3

    async def test_many_tasks_at_once(self, ada: Person, people: People, door: Door) -> None:
        bob = await people()
        project = await ada.project()
        await ada.invite(project, bob)
        one = await ada.task(project_id=project["id"], tags=["a"])
        two = await ada.task(project_id=project["id"], tags=["b"], assignee_ids=[bob.id])
        rows = [
            {"id": one["id"], "add_tags": ["new"], "add_assignees": [ada.id]},
            {"id": two["id"], "remove_tags": ["b"], "remove_assignees": [bob.id], "add_assignees": [999_999_999]},
        ]
        each = await ok(door, "update_tasks", ada, {"tasks": rows, "mode": "partial"})
        everything = {
            "filter": {"title": {"in": [one["title"], two["title"]]}},
            "changes": {"add_tags": ["all"], "add_assignees": [bob.id]},
        }
        await ok(door, "update_matching_tasks", ada, everything)

        assert [result["outcome"] for result in each["results"]] == ["updated", "refused"]
        assert each["results"][1]["error"]["errors"][0]["pointer"] in {"/add_assignees", "/addAssignees"}
        assert await hung(door, ada, one) == (sorted([ada.id, bob.id]), ["a", "all", "new"])
        assert await hung(door, ada, two) == ([bob.id], ["all", "b"])


@on_both_doors
async def test_edits_at_once_are_all_kept(ada: Person, door: Door) -> None:
    task = await ada.task(tags=["gone"])
    bodies: list[dict[str, Any]] = [{"add_tags": [f"t{number}"]} for number in range(12)]
    await asyncio.gather(
        *(ok(door, "update_task", ada, body, task_id=task["id"]) for body in [*bodies, {"remove_tags": ["gone"]}])
    )

    assert (await hung(door, ada, task))[1] == sorted(f"t{number}" for number in range(12))
