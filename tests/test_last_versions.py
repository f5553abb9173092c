"""Versions at their end: a change that has no number is refused, and what needs none is done."""

from typing import Any

from sqlalchemy import update

from db.driver.database import Database
from db.models import Comment, Project, SavedView, Task
from tests.actors import Person
from tests.doors import Door, on_both_doors
from tests.operations import ok, run
from tests.stored import unchanged

LAST = 2**31 - 1


async def _last_version(database: Database, model: Any, id_: int) -> None:
    async with database.writing() as session:
        await session.execute(update(model).where(model.id == id_).values(version=LAST))


@on_both_doors
class TestTheLastVersion:
    async def test_of_a_task_refuses_changes(self, door: Door, ada: Person, database: Database) -> None:
        task = await ada.task()
        await _last_version(database, Task, task["id"])
        async with unchanged(database):
            for name, body in (("update_task", {"title": "Another"}), ("delete_task", None)):
                assert (await run(door, name, ada, body, task_id=task["id"])).code == "CONFLICT"
            item = {"id": task["id"], "title": "Another"}
            bulk = await ok(door, "update_tasks", ada, {"mode": "partial", "tasks": [item]})
        assert bulk["results"][0]["error"]["code"] == "CONFLICT"

    async def test_of_a_subtask_refuses_to_delete_its_parent(self, door: Door, ada: Person, database: Database) -> None:
        task = await ada.task()
        subtask = await ada.task(parent_id=task["id"])
        await _last_version(database, Task, subtask["id"])
        async with unchanged(database):
            assert (await run(door, "delete_task", ada, task_id=task["id"])).code == "CONFLICT"

    async def test_of_an_assigned_task_refuses_to_remove_the_member(
        self, door: Door, ada: Person, bob: Person, database: Database
    ) -> None:
        project = await ada.project()
        await ada.invite(project, bob)
        task = await ada.task(project_id=project["id"], assignee_ids=[bob.id])
        await _last_version(database, Task, task["id"])
        async with unchanged(database):
            removed = await run(door, "remove_member", ada, project_id=project["id"], user_id=bob.id)
        assert removed.code == "CONFLICT"

    async def test_of_a_comment_refuses_changes(self, door: Door, ada: Person, database: Database) -> None:
        task = await ada.task()
        comment = await ada.comment(task["id"])
        ids = {"task_id": task["id"], "comment_id": comment["id"]}
        await _last_version(database, Comment, comment["id"])
        async with unchanged(database):
            assert (await run(door, "update_comment", ada, {"body": "No"}, **ids)).code == "CONFLICT"
        assert (await run(door, "delete_comment", ada, **ids)).code is None

    async def test_of_a_project_refuses_changes(self, door: Door, ada: Person, database: Database) -> None:
        project = await ada.project()
        await _last_version(database, Project, project["id"])
        async with unchanged(database):
            changed = await run(door, "update_project", ada, {"name": "Another"}, project_id=project["id"])
        assert changed.code == "CONFLICT"
        assert (await run(door, "delete_project", ada, project_id=project["id"])).code is None

    async def test_of_a_saved_view_refuses_changes(self, door: Door, ada: Person, database: Database) -> None:
        view = await ok(door, "create_saved_view", ada, {"name": "Mine", "filter": {}})
        await _last_version(database, SavedView, view["id"])
        async with unchanged(database):
            changed = await run(door, "update_saved_view", ada, {"name": "Another"}, saved_view_id=view["id"])
        assert changed.code == "CONFLICT"
