"""Counts of tasks in groups, against a count in Python, on both doors."""

from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from core.clock import to_utc
from db.engine import Database
from db.models import Task
from tests.actors import Anonymous, Person
from tests.doors import Door, on_both_doors
from tests.operations import ok, run

WEEKS = ("2026-11-22T23:59:59.999999+00:00", "2026-11-23T00:00:00+00:00", "2024-12-31T12:00:00+00:00")


@pytest.fixture
async def tasks(ada: Person, bob: Person, database: Database) -> list[dict[str, Any]]:
    """Tasks in two projects, each listed with what it is grouped by."""
    project = await ada.project(name="Counted")
    await ada.invite(project, bob)
    drafts: list[dict[str, Any]] = [
        {"project_id": project["id"], "tags": ["Bug", "ui"], "assignee_ids": [ada.id, bob.id], "priority": 5},
        {"project_id": project["id"], "tags": ["bug"], "assignee_ids": [bob.id], "status": "completed"},
        {"tags": ["BUG", "Äpfel"], "priority": 5},
        {},
        {"status": "in_progress"},
    ]
    made = [await ada.task(**draft) for draft in drafts]
    async with database.writing() as session:
        for number, task in enumerate(made):
            moment = to_utc(datetime.fromisoformat(WEEKS[number % 3]))
            await session.execute(update(Task).where(Task.id == task["id"]).values(created_at=moment))
            task["created_at"] = moment
    names = {ada.id: ada.username, bob.id: bob.username}
    for task, draft in zip(made, drafts, strict=True):
        task["tags"] = [name.casefold() for name in draft.get("tags", [])]
        task["assignees"] = [names[user_id] for user_id in draft.get("assignee_ids", [])]
    return made


def expected(tasks: list[dict[str, Any]], grouping: str) -> list[dict[str, Any]]:
    found: Counter[str | None] = Counter()
    for task in tasks:
        day: date = task["created_at"].date()
        keys: dict[str, list[Any]] = {
            "status": [task["status"]],
            "priority": [str(task["priority"])],
            "project": [task["ref"].split("-")[0]],
            "assignee": task["assignees"] or [None],
            "tag": task["tags"] or [None],
            "created_week": [(day - timedelta(days=day.weekday())).isoformat()],
        }
        found.update(keys[grouping])
    return [{"key": key, "count": found[key]} for key in sorted(found, key=lambda key: (key is None, key or ""))]


@on_both_doors
@pytest.mark.parametrize("grouping", ["status", "priority", "project", "assignee", "tag", "created_week"])
async def test_groups_are_those_of_a_count_by_hand(
    door: Door, ada: Person, tasks: list[dict[str, Any]], grouping: str
) -> None:
    assert await ok(door, "count_tasks", ada, group_by=grouping) == expected(tasks, grouping)


async def test_the_filter_is_that_of_every_list(ada: Person, tasks: list[dict[str, Any]]) -> None:
    some = [task for task in tasks if task["priority"] == 5]
    answer = await ada.gql(
        "query($filter: TaskFilter) { taskCounts(groupBy: TAG, filter: $filter) { key count } }",
        {"filter": {"priority": {"eq": 5}}},
    )

    by_parameter = await ada.get("/tasks/counts/tag", params={"priority": "5"})
    by_filter = await ada.get("/tasks/counts/tag", params={"filter": '{"priority": {"eq": 5}}'})

    assert by_parameter.json() == by_filter.json() == answer.data["taskCounts"] == expected(some, "tag")


@on_both_doors
async def test_other_peoples_tasks_are_not_counted(door: Door, bob: Person, ada: Person) -> None:
    await ada.task()

    assert await ok(door, "count_tasks", bob, group_by="status") == []


@on_both_doors
async def test_what_is_refused(door: Door, ada: Person, anonymous: Anonymous) -> None:
    assert (await run(door, "count_tasks", anonymous, group_by="status")).code == "UNAUTHENTICATED"
    assert (await run(door, "count_tasks", ada, group_by="colour")).code == "BAD_USER_INPUT"


async def test_parameters_of_pages_are_unknown_here(ada: Person) -> None:
    assert (await ada.get("/tasks/counts/status?limit=5")).status_code == 422
