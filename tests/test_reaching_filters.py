"""Filters that ask about what a task names: its project, the task above it, and the people who are to do it."""

from typing import Any

import pytest

from db.driver.database import Database
from services.shared import prices
from tests.actors import Person
from tests.doors import Door, on_both_doors
from tests.operations import ok, run
from tests.stored import unchanged

NAMES = ("inbox", "plain", "child", "orphan", "shared", "archived")


@pytest.fixture
async def tasks(ada: Person, bob: Person) -> dict[str, dict[str, Any]]:
    """Tasks of ada's, by what is special about them; bob, who is called Bob, shares the project."""
    await bob.patch("/users/me", {"full_name": "Bob B."})
    project, done = await ada.project(name="Straße"), await ada.project(name="Done")
    await ada.invite(project, bob)
    place = {"project_id": project["id"]}
    made = {"inbox": await ada.task(title="inbox"), "plain": await ada.task(title="plain", **place)}
    parent = await ada.task(title="top", priority=4, due_at="2026-01-02T00:00:00Z", status="completed", **place)
    gone = await ada.task(title="gone", priority=4, **place)
    made["child"] = await ada.task(title="child", parent_id=parent["id"], **place)
    made["orphan"] = await ada.task(title="orphan", parent_id=gone["id"], **place)
    await ada.delete(f"/tasks/{gone['id']}")
    await ada.post(f"/tasks/{made['orphan']['id']}/restore")
    made["shared"] = await ada.task(title="shared", assignee_ids=[ada.id, bob.id], **place)
    made["archived"] = await ada.task(title="archived", project_id=done["id"])
    await ada.patch(f"/projects/{done['id']}", {"archived": True})
    made["key"] = project["key"]
    made["people"] = {"ada": ada.username, "bob": bob.username}
    return made


async def found(door: Door, person: Person, condition: dict[str, Any]) -> set[str]:
    rows = await ok(door, "list_tasks", person, filter=condition)
    return {row["title"] for row in rows} - {"top", "gone"}


@on_both_doors
class TestReaching:
    @pytest.mark.parametrize(
        ("condition", "expected"),
        [
            ({"project": {"is_inbox": True}}, {"inbox"}),
            ({"project": {"archived": True}}, {"archived"}),
            ({"project": {"archived": False, "is_inbox": False}}, {"plain", "child", "orphan", "shared"}),
            ({"project": {"name": {"eq": "Straße"}}}, {"plain", "child", "orphan", "shared"}),
            ({"project": {"name": {"eq": "straße"}}}, set()),
            ({"project": {"name": {"not_in": ["Straße", "Inbox"]}}}, {"archived"}),
            ({"parent": {"status": {"eq": "completed"}}}, {"child"}),
            ({"parent": {"status": {"in": ["completed", "pending"]}, "priority": {"gte": 4}}}, {"child"}),
            ({"parent": {"priority": {"lt": 4}}}, set()),
            ({"parent": {"due_at": {"lt": "today"}}}, {"child"}),
            ({"parent": {"due_at": {"is_null": True}}}, set()),
            ({"parent": {"title": {"ne": "top"}}}, set()),
            ({"not": {"parent": {"status": {"eq": "completed"}}}}, {*NAMES} - {"child"}),
            ({"assignees": {"full_name": {"eq": "Bob B."}}}, {"shared"}),
            ({"assignees": {"full_name": {"is_null": False}, "me": True}}, {"shared"}),
            ({"assignees": {"full_name": {"eq": "bob b."}}}, set()),
            ({"or": [{"project": {"is_inbox": True}}, {"parent": {"number": {"gt": 0}}}]}, {"inbox", "child"}),
            ({"parent": {"status": {}}}, {*NAMES}),
        ],
    )
    async def test_finds_by_what_is_named(
        self, ada: Person, tasks: dict[str, Any], door: Door, condition: dict[str, Any], expected: set[str]
    ) -> None:
        assert await found(door, ada, condition) == expected

    async def test_names_of_people_and_keys_of_projects(self, ada: Person, tasks: dict[str, Any], door: Door) -> None:
        names = tasks["people"]
        assert await found(door, ada, {"assignees": {"username": {"eq": names["bob"].upper()}}}) == {"shared"}
        assert await found(door, ada, {"assignees": {"username": {"not_in": [*names.values()]}}}) == set()
        both = {"username": {"eq": names["ada"]}, "full_name": {"eq": "Bob B."}}
        assert await found(door, ada, {"assignees": both}) == set()
        inside = {"project": {"key": {"eq": tasks["key"]}}, "assignees": {"is_empty": True}}
        assert await found(door, ada, inside) == {"plain", "child", "orphan"}

    async def test_nothing_is_asked_of_what_may_not_be_read(
        self, ada: Person, bob: Person, tasks: dict[str, Any], door: Door
    ) -> None:
        """Bob's tasks are found by what he may read, whatever others have."""
        assert await found(door, bob, {"project": {"archived": True}}) == set()
        assert await found(door, bob, {"project": {"is_inbox": True}}) == set()
        # the task above is in the trash
        assert await found(door, ada, {"parent": {"title": {"eq": "gone"}}}) == set()
        assert await found(door, ada, {"parent": {"title": {"not_in": ["top"]}}}) == set()

    @pytest.mark.parametrize(
        "condition",
        [
            {"parent": {"parent": {"status": {"eq": "pending"}}}},
            {"parent": {"search": "x"}},
            {"assignees": {"email": {"eq": "ada@example.com"}}},
            {"project": {"description": {"is_null": True}}},
            {"project": {"archived": None}},
            {"project": {"name": {"contains": "x"}}},
        ],
    )
    async def test_what_cannot_be_asked_is_refused(
        self, ada: Person, door: Door, database: Database, condition: dict[str, Any]
    ) -> None:
        async with unchanged(database):
            answer = await run(door, "list_tasks", ada, filter=condition)
        assert answer.code == "BAD_USER_INPUT"


def test_both_spellings_cost_the_same() -> None:
    rest = {"parent": {"due_at": {"lt": "today"}, "priority": {"in": [1, 2]}}, "project": {"is_inbox": True}}
    graphql = {"parent": {"dueAt": {"lt": "today"}, "priority": {"in": [1, 2]}}, "project": {"isInbox": True}}
    assert prices.of_filter(rest) == prices.of_filter(graphql) > 2 * prices.REACHING
