"""Filters that ask about what a task names: its project, the task above it, and the people who are to do it."""

import json
from typing import Any

import pytest

from db.driver.database import Database
from services.shared import prices
from services.tasks.filters import TaskFilter
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
            ({"project": {"name": {"contains": "STRASSE"}}}, {"plain", "child", "orphan", "shared"}),
            ({"project": {"name": {"starts_with": "straß"}}}, {"plain", "child", "orphan", "shared"}),
            ({"project": {"name": {"starts_with": "asse"}}}, set()),
            ({"project": {"name": {"contains": "N", "starts_with": "d"}}}, {"archived"}),
            ({"project": {"name": {"contains": "%"}}}, set()),
            ({"project": {"name": {"contains": "n"}, "archived": False}}, {"inbox"}),
            ({"not": {"project": {"name": {"contains": "ß"}}}}, {"inbox", "archived"}),
            ({"project": {"name": {"contains": "ss", "ne": "Straße"}}}, set()),
            ({"parent": {"title": {"contains": "OP"}}}, {"child"}),
            ({"parent": {"title": {"starts_with": "T"}, "status": {"eq": "completed"}}}, {"child"}),
            ({"parent": {"title": {"starts_with": "op"}}}, set()),
            ({"parent": {"title": {"contains": "gone"}}}, set()),
            ({"not": {"parent": {"title": {"contains": "top"}}}}, {*NAMES} - {"child"}),
            ({"assignees": {"full_name": {"contains": "OB b"}}}, {"shared"}),
            ({"assignees": {"full_name": {"starts_with": "bob"}, "me": True}}, {"shared"}),
            ({"assignees": {"full_name": {"starts_with": "ob"}}}, set()),
            ({"not": {"assignees": {"full_name": {"contains": "b"}}}}, {*NAMES} - {"shared"}),
            (
                {"or": [{"project": {"name": {"contains": "INB"}}}, {"parent": {"title": {"contains": "o"}}}]},
                {"inbox", "child"},
            ),
            (
                {"project": {"name": {"contains": "str"}}, "assignees": {"full_name": {"contains": "."}}},
                {"shared"},
            ),
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
        part = {"username": {"starts_with": names["bob"][:-2].upper(), "contains": names["bob"][1:]}}
        assert await found(door, ada, {"assignees": part}) == {"shared"}
        assert await found(door, ada, {"assignees": part | {"full_name": {"contains": "bob"}}}) == {"shared"}
        one = {"username": {"contains": names["ada"][1:]}, "full_name": {"contains": "bob"}}
        assert await found(door, ada, {"assignees": one}) == set()
        for key, expected in (
            ({"starts_with": tasks["key"].lower()}, {"plain", "child", "orphan", "shared"}),
            ({"contains": "nbo"}, {"inbox"}),
            ({"contains": "\u0131nbox"}, set()),
        ):
            assert await found(door, ada, {"project": {"key": key, "name": {"not_in": ["Done"]}}}) == expected
        inside = {"project": {"key": {"eq": tasks["key"]}}, "assignees": {"is_empty": True}}
        assert await found(door, ada, inside) == {"plain", "child", "orphan"}

    async def test_names_are_those_of_now(self, ada: Person, bob: Person, tasks: dict[str, Any], door: Door) -> None:
        by_name = {"project": {"name": {"contains": "renam"}}}
        by_person = {"not": {"assignees": {"full_name": {"contains": "ROBERT"}}}}
        assert await found(door, ada, by_name) == set()
        assert await found(door, ada, by_person) == {*NAMES}
        project = (await ada.get(f"/projects?filter={json.dumps({'name': {'eq': 'Straße'}})}")).json()[0]
        await ada.patch(f"/projects/{project['id']}", {"name": "Renamed"})
        await bob.patch("/users/me", {"full_name": "Robert"})
        assert await found(door, ada, by_name) == {"plain", "child", "orphan", "shared"}
        assert await found(door, ada, by_person) == {*NAMES} - {"shared"}
        await bob.patch("/users/me", {"full_name": None})
        assert await found(door, ada, by_person) == {*NAMES}

    async def test_a_limited_key_asks_about_its_own_projects(
        self, ada: Person, tasks: dict[str, Any], door: Door
    ) -> None:
        inbox = (await ada.get(f"/projects?filter={json.dumps({'is_inbox': True})}")).json()[0]
        key = await ada.api_key("tasks:read", project_ids=[inbox["id"]])
        for condition, expected in (
            ({"project": {"name": {"contains": "n"}}}, {"inbox"}),
            ({"project": {"name": {"contains": "str"}}}, set()),
            ({"or": [{"assignees": {"full_name": {"contains": "bob"}}}, {"number": {"lt": 0}}]}, set()),
            ({"assignees": {"username": {"contains": "u"}}}, set()),
        ):
            rows = await ok(door, "list_tasks", key, filter=condition)
            assert {row["title"] for row in rows} == expected, condition

    async def test_all_that_ask_which_tasks_are_meant_understand_it(
        self, ada: Person, tasks: dict[str, Any], door: Door
    ) -> None:
        """Counts, saved views and bulk calls."""
        condition = {"project": {"name": {"contains": "STRASSE"}}, "not": {"parent": {"title": {"contains": "TOP"}}}}
        view = await ok(door, "create_saved_view", ada, {"name": "Mine", "filter": condition})
        assert view["filter"] == condition
        meant = {"plain", "orphan", "shared"}
        listed = await ada.get(f"/tasks?saved_view_id={view['id']}&total=true")
        assert {row["title"] for row in listed.json()} - {"top"} == meant
        assert listed.headers["x-total-count"] == "4"
        body = {"filter": condition, "changes": {"priority": 5}}
        done = await ok(door, "update_matching_tasks", ada, body)
        assert done["succeeded"] == 4
        assert await found(door, ada, {"priority": {"eq": 5}}) == meant

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
            {"project": {"name": {"contains": ""}}},
            {"project": {"name": {"contains": "two\nlines"}}},
            {"project": {"archived": {"contains": "x"}}},
            {"project": {"contains": "x"}},
            {"assignees": {"username": {"starts_with": "x" * 101}}},
            {"assignees": {"full_name": {"starts_with": None}}},
            {"parent": {"title": {"contains": "\u200b"}}},
            {"parent": {"status": {"contains": "x"}}},
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


def test_parts_cost_what_is_read_for_them() -> None:
    for thing, field, graphql, more in (
        ("project", "name", "name", prices.NAMES),
        ("assignees", "full_name", "fullName", prices.NAMES),
        ("parent", "title", "title", prices.PART),
        ("project", "key", "key", 0),
        ("assignees", "username", "username", 0),
    ):
        plain = prices.of_filter({thing: {field: {"eq": "x"}}})
        asked: dict[str, Any] = {thing: {field: {"starts_with": "x"}}}
        assert prices.of_filter(asked) == prices.of_filter(TaskFilter.model_validate(asked)) == plain + more
        assert prices.of_filter({thing: {graphql: {"startsWith": "x"}}}) == plain + more
