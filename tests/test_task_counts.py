"""Counts of tasks in groups, against a count in Python, on both doors."""

import json
from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from core.clock import to_utc
from db.driver.database import Database
from db.models import Task
from services.shared import totals
from services.tasks.listing import strategy
from tests.actors import Anonymous, Person
from tests.doors import Door, on_both_doors
from tests.listings import graphql_filter
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
    return [
        {"key": key, "count": found[key], "exact": True}
        for key in sorted(found, key=lambda key: (key is None, key or ""))
    ]


@on_both_doors
@pytest.mark.parametrize("grouping", ["status", "priority", "project", "assignee", "tag", "created_week"])
async def test_groups_are_those_of_a_count_by_hand(
    door: Door, ada: Person, tasks: list[dict[str, Any]], grouping: str
) -> None:
    assert await ok(door, "count_tasks", ada, group_by=grouping) == expected(tasks, grouping)


async def test_the_filter_is_that_of_every_list(ada: Person, tasks: list[dict[str, Any]]) -> None:
    some = [task for task in tasks if task["priority"] == 5]
    answer = await ada.gql(
        "query($filter: TaskFilter) { taskCounts(groupBy: TAG, filter: $filter) { key count exact } }",
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


async def counted(
    door: Door, person: Person, grouping: str, condition: dict[str, Any] | None = None, *, exact: bool = False
) -> list[dict[str, Any]]:
    """The groups of the tasks that meet a condition in REST's spelling."""
    found: list[dict[str, Any]]
    if door == "rest":
        given = {} if condition is None else {"filter": json.dumps(condition)}
        answer = await person.get(f"/tasks/counts/{grouping}", params={**given, **({"exact": "true"} if exact else {})})
        found = answer.json()
        return found
    query = """query($by: TaskGrouping!, $filter: TaskFilter, $exact: Boolean!) {
        taskCounts(groupBy: $by, filter: $filter, exact: $exact) { key count exact }
    }"""
    variables = {"by": grouping.upper(), "filter": graphql_filter(condition), "exact": exact}
    found = (await person.gql(query, variables)).data["taskCounts"]
    return found


class TestManyTasks:
    """Of more tasks than are counted, which are three here: five match in all."""

    @pytest.fixture(autouse=True)
    def bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(totals, "MAX_COUNTED", 3)

    @on_both_doors
    @pytest.mark.parametrize("grouping", ["status", "priority", "project"])
    async def test_each_group_is_counted_up_to_the_bound(
        self, door: Door, ada: Person, tasks: list[dict[str, Any]], grouping: str
    ) -> None:
        await ada.task(status="in_progress")
        whole = await counted(door, ada, grouping, exact=True)
        groups = await counted(door, ada, grouping)

        assert sum(group["count"] for group in whole) == 6
        assert all(group["exact"] for group in whole)
        assert groups == [{**group, "count": min(3, group["count"]), "exact": group["count"] <= 3} for group in whole]

    @on_both_doors
    @pytest.mark.parametrize("grouping", ["assignee", "tag", "milestone", "created_week"])
    async def test_others_are_groups_of_as_many_tasks(
        self, door: Door, ada: Person, tasks: list[dict[str, Any]], grouping: str
    ) -> None:
        whole = {group["key"]: group for group in await counted(door, ada, grouping, exact=True)}
        groups = await counted(door, ada, grouping)

        assert all(group["exact"] for group in whole.values())
        assert not any(group["exact"] for group in groups)
        assert all(group["count"] <= whole[group["key"]]["count"] for group in groups)
        assert sum(group["count"] for group in groups) >= 3

    @on_both_doors
    async def test_the_filter_holds_in_every_group(self, door: Door, ada: Person, tasks: list[dict[str, Any]]) -> None:
        condition = {"and": [{"priority": {"lt": 6}}, {"or": [{"status": {"eq": "pending"}}, {"priority": {"eq": 1}}]}]}
        groups = await counted(door, ada, "status", condition)

        assert [(group["key"], group["count"]) for group in groups] == [
            ("completed", 1),
            ("in_progress", 1),
            ("pending", 3),
        ]

    @on_both_doors
    async def test_as_many_as_the_bound_are_counted_exactly(
        self, door: Door, ada: Person, tasks: list[dict[str, Any]]
    ) -> None:
        groups = await counted(door, ada, "tag", {"status": {"eq": "pending"}})

        assert all(group["exact"] for group in groups)


SETS: dict[str, tuple[dict[str, Any], int]] = {
    "a person": ({"assignees": {"any": ["bob"]}}, 2),
    "me": ({"assignees": {"me": True}}, 1),
    "two people": ({"assignees": {"all": ["ada", "bob"]}}, 1),
    "one of two people": ({"assignees": {"any": ["ada", "bob"]}}, 2),
    "a tag": ({"tags": {"any": ["bug"]}}, 3),
    "one of two tags": ({"tags": {"any": ["bug", "ui"]}}, 3),
    "two tags": ({"tags": {"all": ["bug", "ui"]}}, 1),
    "a tag and a person": ({"and": [{"tags": {"any": ["bug"]}}, {"assignees": {"any": ["bob"]}}]}, 2),
    "a tag and a status": ({"and": [{"tags": {"any": ["bug"]}}, {"status": {"eq": "completed"}}]}, 1),
    "a tag and a word": ({"and": [{"tags": {"any": ["bug"]}}, {"search": "nowhere to be found"}]}, 0),
}


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("name", SETS)
async def test_what_hangs_on_many_tasks_is_counted_by_it(
    ada: Person, bob: Person, tasks: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, name: str, many: bool
) -> None:
    """``many``: where no list of tasks is short enough to be looked up before."""
    if many:
        monkeypatch.setattr(strategy, "MAX_IDS", 0)
    given, number = SETS[name]
    condition = json.loads(json.dumps(given).replace('"ada"', str(ada.id)).replace('"bob"', str(bob.id)))
    listed = (await ada.get("/tasks", params={"filter": json.dumps(condition)})).json()
    for total in ("true", "exact"):
        answer = await ada.get("/tasks", params={"filter": json.dumps(condition), "limit": 0, "total": total})
        assert answer.headers["x-total-count"] == str(len(listed)) == str(number)
    others = await bob.get("/tasks", params={"filter": json.dumps({"tags": {"any": ["bug"]}}), "total": "true"})
    assert others.headers["x-total-count"] == "2"
