"""Following tasks and projects, on both doors: who follows, why, and that what was said comes first."""

from typing import Any

import pytest

from db.driver.database import Database
from services.events.consumers import catch_up
from services.events.notifier import CONSUMER
from services.events.numbering import number_all
from tests.actors import Person
from tests.doors import Door, on_both_doors
from tests.operations import ok, run


async def kinds(person: Person, database: Database) -> list[str]:
    """What somebody has been told, oldest first."""
    await number_all(database)
    await catch_up(database, CONSUMER)
    return [item["kind"] for item in reversed((await person.get("/notifications")).json()) if item["kind"] != "added"]


@pytest.fixture
async def project(ada: Person, bob: Person) -> dict[str, Any]:
    """Ada's, in which Bob may read."""
    made = await ada.project()
    await ada.invite(made, bob, "viewer")
    return made


@on_both_doors
class TestTasks:
    async def test_why_somebody_follows_and_that_what_is_said_comes_first(
        self, ada: Person, bob: Person, project: dict[str, Any], door: Door
    ) -> None:
        await ada.patch(f"/projects/{project['id']}/members/{bob.id}", {"role": "member"})
        task = await ada.task(project_id=project["id"])
        ids = {"task_id": task["id"]}

        async def seen(person: Person) -> tuple[bool, str | None]:
            follow = await ok(door, "get_task_follow", person, **ids)
            assert follow["task_id"] == task["id"]
            found = await ok(door, "query_tasks", person, {"followed": True})
            assert (task["id"] in [each["id"] for each in found]) is follow["following"]
            others = await ok(door, "query_tasks", person, {"followed": False})
            assert (task["id"] in [each["id"] for each in others]) is not follow["following"]
            return follow["following"], follow["reason"]

        assert await seen(ada) == (True, "created")
        assert await seen(bob) == (False, None)
        assert (await ada.put(f"/projects/{project['id']}/follow")).status_code == 200
        assert (await bob.put(f"/projects/{project['id']}/follow")).status_code == 200
        assert await seen(bob) == (True, "project")
        await bob.comment(task["id"])
        assert await seen(bob) == (True, "commented")
        await ada.patch(f"/tasks/{task['id']}", {"assignee_ids": [bob.id]})
        assert await seen(bob) == (True, "assigned")
        assert (await ok(door, "unfollow_task", bob, **ids))["following"] is False
        await bob.comment(task["id"])
        assert await seen(bob) == (False, None)
        assert (await ok(door, "follow_task", bob, **ids))["reason"] == "asked"
        assert await seen(bob) == (True, "asked")
        assert await seen(ada) == (True, "created")

    async def test_followers_are_told_and_others_not(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database, door: Door
    ) -> None:
        first, second = [await ada.task(project_id=project["id"]) for _ in range(2)]
        for _ in range(2):  # said twice it is the same
            await ok(door, "follow_task", bob, task_id=first["id"])
        await ok(door, "unfollow_task", ada, task_id=second["id"])
        for task in (first, second):
            await ada.comment(task["id"])
            await ada.patch(f"/tasks/{task['id']}", {"status": "completed"})
        assert await kinds(bob, database) == ["commented", "status_changed"]

        await ok(door, "follow_project", bob, project_id=project["id"])
        await ok(door, "unfollow_task", bob, task_id=first["id"])
        for task in (first, second):
            await ada.comment(task["id"])
        assert await kinds(bob, database) == ["commented", "status_changed", "commented"]

    async def test_who_may_not_read_it_may_not_follow_it(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database, door: Door
    ) -> None:
        hers = await ada.task()
        for name in ("get_task_follow", "follow_task", "unfollow_task"):
            assert (await run(door, name, bob, task_id=hers["id"])).code == "NOT_FOUND"
        task = await ada.task(project_id=project["id"])
        await ok(door, "follow_task", bob, task_id=task["id"])
        await ada.delete(f"/projects/{project['id']}/members/{bob.id}")
        await ada.comment(task["id"])
        assert await kinds(bob, database) == ["removed"]


@on_both_doors
class TestProjects:
    async def test_projects_that_somebody_follows_are_found(
        self, ada: Person, bob: Person, project: dict[str, Any], door: Door
    ) -> None:
        ids = {"project_id": project["id"]}
        await ok(door, "follow_project", bob, **ids)
        assert (await ok(door, "get_project_follow", bob, **ids)) == ids | {"following": True}
        assert (await ok(door, "get_project_follow", ada, **ids)) == ids | {"following": False}
        assert [one["id"] for one in await ok(door, "query_projects", bob, {"followed": True})] == [project["id"]]
        assert await ok(door, "query_projects", ada, {"followed": True}) == []
        await ok(door, "unfollow_project", bob, **ids)
        assert (await ok(door, "get_project_follow", bob, **ids)) == ids | {"following": False}

    async def test_a_list_of_them_is_another_one_after_a_change(
        self, bob: Person, project: dict[str, Any], database: Database, door: Door
    ) -> None:
        asked: Any = {"params": {"filter": '{"followed": true}'}}
        before = await bob.get("/projects", **asked)
        asked["headers"] = {"If-None-Match": before.headers["etag"]}
        assert (await bob.get("/projects", **asked)).status_code == 304
        await ok(door, "follow_project", bob, project_id=project["id"])
        await number_all(database)
        assert len((await bob.get("/projects", **asked)).json()) == 1
