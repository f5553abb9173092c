"""Filters of lists other than tasks', the same on both doors, by parameter and by body."""

import json
from typing import Any

import pytest

from services.features import FEATURES
from services.shared.filters import Filter
from services.shared.node_ids import encode
from tests.actors import Person
from tests.conftest import People
from tests.doors import Door, on_both_doors
from tests.operations import run, to_graphql

DEEP: Any = {"name": {"eq": "x"}}
for _ in range(9):
    DEEP = {"not": DEEP}


def _id(door: Door, type_name: str, id_: int) -> object:
    return id_ if door == "rest" else encode(type_name, id_)


async def listed(door: Door, person: Person, kind: str, condition: dict[str, Any], **ids: int) -> list[Any]:
    """What a list shows by a filter: by parameter and by body on REST, which must agree."""
    answer = await run(door, f"query_{kind}", person, condition, **ids)
    assert answer.code is None, answer.message
    found: list[Any] = answer.body
    return found


@on_both_doors
class TestBothDoors:
    @pytest.mark.parametrize("kind", ["tags", "milestones"])
    async def test_names_are_found_whatever_their_case(self, ada: Person, door: Door, kind: str) -> None:
        project = await ada.project()
        for name in ("Bug", "Ärger", "later"):
            assert (await ada.post(f"/projects/{project['id']}/{kind}", {"name": name})).status_code == 201
        for condition, names in (
            ({"name": {"contains": "ÄRG"}}, ["Ärger"]),
            ({"name": {"starts_with": "b"}}, ["Bug"]),
            ({"name": {"contains": "%"}}, []),
            ({"name": {"eq": "bug"}}, []),
            ({"name": {"in": ["Bug", "later"]}}, ["Bug", "later"]),
            ({"not": {"name": {"in": ["Bug", "later"]}}}, ["Ärger"]),
            ({"or": [{"name": {"eq": "Bug"}}, {"and": [{"name": {"contains": "l"}}]}]}, ["Bug", "later"]),
            ({}, ["Bug", "later", "Ärger"]),
        ):
            found = await listed(door, ada, kind, condition, project_id=project["id"])
            assert sorted(one["name"] for one in found) == sorted(names), condition

    async def test_projects(self, ada: Person, door: Door) -> None:
        made = [await ada.project(name=name) for name in ("Straße", "Website")]
        await ada.patch(f"/projects/{made[1]['id']}", {"archived": True})
        for condition, keys in (
            ({"name": {"contains": "STRASSE"}}, [made[0]["key"]]),
            ({"archived": True}, [made[1]["key"]]),
            ({"archived": False, "is_inbox": False}, [made[0]["key"]]),
            ({"not": {"archived_at": {"is_null": True}}}, [made[1]["key"]]),
            ({"key": {"eq": made[0]["key"].lower()}}, [made[0]["key"]]),
            ({"role": {"eq": "viewer"}}, []),
            ({"created_at": {"gte": made[1]["created_at"]}}, [made[1]["key"]]),
        ):
            assert [each["key"] for each in await listed(door, ada, "projects", condition)] == keys, condition

    async def test_members_and_comments(self, ada: Person, people: People, door: Door) -> None:
        project, bob = await ada.project(), await people()
        await ada.invite(project, bob, "viewer")
        task = await ada.task(project_id=project["id"])
        first, second = await ada.comment(task["id"], "Löst das?"), await ada.comment(task["id"], "Nein")
        of_project, of_task = {"project_id": project["id"]}, {"task_id": task["id"]}

        members = await listed(door, ada, "members", {"role": {"ne": "owner"}}, **of_project)
        assert [each["user"]["id"] for each in members] == [bob.id]
        prefix = {"username": {"starts_with": bob.username.upper()}}
        assert len(await listed(door, ada, "members", prefix, **of_project)) == 1
        assert await listed(door, ada, "comments", {"body": {"contains": "LÖST"}}, **of_task) == [first]
        assert await listed(door, ada, "comments", {"author": {"eq": _id(door, "User", bob.id)}}, **of_task) == []
        assert await listed(door, ada, "comments", {"edited_at": {"is_null": True}}, **of_task) == [first, second]

    async def test_events_and_relations(self, ada: Person, door: Door) -> None:
        task, other = await ada.task(), await ada.task()
        await ada.post(f"/tasks/{task['id']}/relations", {"kind": "blocks", "target_id": other["id"]})
        of_task = {"task_id": task["id"]}

        created = await listed(door, ada, "task_history", {"entity_type": {"eq": "task"}}, **of_task)
        assert [event["kind"] for event in created] == ["task.created"]
        assert len(await listed(door, ada, "relations", {"kind": {"in": ["blocks"]}}, **of_task)) == 1
        assert await listed(door, ada, "relations", {"source": {"eq": _id(door, "Task", other["id"])}}, **of_task) == []

    @pytest.mark.parametrize(
        ("condition", "pointer"),
        [
            (DEEP, "/filter"),
            ({"or": [{"name": {"eq": "x"}}] * 50, "and": [{"or": [{"name": {"eq": "x"}}] * 50}] * 4}, "/filter"),
            ({"name": {"in": ["x" * 999] * 9}}, "/filter"),
        ],
    )
    async def test_too_much_is_refused(self, ada: Person, door: Door, condition: dict[str, Any], pointer: str) -> None:
        if "in" in condition.get("name", {}):
            condition["name"]["in"] = [f"{number}{'x' * 999}" for number in range(9)]
            condition["name"]["in"] = [text[:1000] for text in condition["name"]["in"]]
        project = await ada.project()
        answer = await run(door, "query_tags", ada, condition, project_id=project["id"])

        assert answer.code in {"BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED", "QUERY_TOO_COMPLEX"}, answer.message

    @pytest.mark.parametrize("text", ["\x00", "\ud800", ""])
    async def test_texts_that_are_none_are_refused(self, ada: Person, door: Door, text: str) -> None:
        project = await ada.project()
        if text == "\ud800":
            pytest.skip("no JSON encoder sends half a character")
        answer = await run(door, "query_tags", ada, {"name": {"contains": text}}, project_id=project["id"])

        assert answer.code == "BAD_USER_INPUT"

    async def test_strangers_find_nothing(self, ada: Person, people: People, door: Door) -> None:
        project, eve = await ada.project(), await people()
        answer = await run(door, "query_tags", eve, {"name": {"contains": "x"}}, project_id=project["id"])

        assert answer.code == "NOT_FOUND"


class TestRest:
    async def test_a_parameter_says_what_a_body_says(self, ada: Person) -> None:
        await ada.post("/saved-views", {"name": "Heute"})
        await ada.post("/saved-views", {"name": "Morgen"})
        condition = {"name": {"contains": "HEU"}}
        by_parameter = await ada.get("/saved-views", params={"filter": json.dumps(condition), "total": "true"})
        by_body = await ada.rest("QUERY", "/saved-views", json=condition)

        assert [view["name"] for view in by_parameter.json()] == ["Heute"]
        assert by_parameter.json() == by_body.json()
        assert by_parameter.headers["x-total-count"] == "1"
        assert by_parameter.headers["accept-query"] == "application/json"

    async def test_what_does_not_hold_is_named(self, ada: Person) -> None:
        for text, pointer in (
            ("{", "/filter"),
            ('{"nam":{}}', "/filter/nam"),
            ('{"name":{"like":"x"}}', "/filter/name/like"),
            ('{"name":5}', "/filter/name"),
        ):
            answer = await ada.get("/saved-views", params={"filter": text})
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
        twice = await ada.rest("QUERY", "/saved-views", json={}, params={"filter": "{}"})
        assert (twice.status_code, twice.json()["errors"][0]["pointer"]) == (422, "/filter")

    async def test_members_that_are_asked_for(self, ada: Person) -> None:
        task = await ada.task()
        comment = await ada.comment(task["id"])
        path = f"/tasks/{task['id']}/comments"

        assert (await ada.get(f"{path}?fields=id,body")).json() == [{"id": comment["id"], "body": comment["body"]}]
        [along] = (await ada.get(f"{path}?fields=id&expand=author")).json()
        assert along == {"id": comment["id"], "author": along["author"]}
        assert along["author"]["id"] == ada.id
        refused = await ada.get(f"{path}?fields=author")
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/fields")
        assert "a comment" in refused.json()["detail"]

    async def test_pages_go_on_among_what_is_found(self, ada: Person) -> None:
        for number in range(5):
            await ada.post("/saved-views", {"name": f"view {number}"})
        condition = json.dumps({"name": {"in": ["view 0", "view 2", "view 4"]}})
        first = await ada.get("/saved-views", params={"filter": condition, "limit": "2"})
        rest = await ada.client.get(first.links["next"]["url"], headers=ada.headers)

        assert [view["name"] for view in (*first.json(), *rest.json())] == ["view 0", "view 2", "view 4"]


async def test_nested_lists_are_filtered_in_one_statement(ada: Person, statements: Any) -> None:
    for _ in range(3):
        project = await ada.project()
        await ada.post(f"/projects/{project['id']}/tags", {"name": "bug"})
        await ada.post(f"/projects/{project['id']}/tags", {"name": "later"})
    document = """query($tags: TagFilter, $members: MemberFilter) { projects(first: 5) { nodes {
        tags(filter: $tags) { name } all: tags { name }
        members(filter: $members, first: 5) { totalCount nodes { role } } } } }"""
    variables = {"tags": to_graphql({"name": {"contains": "B"}}), "members": {"role": {"eq": "VIEWER"}}}
    for _ in range(3):
        statements.reset()
        answer = await ada.gql(document, variables)
        assert "errors" not in answer.body, answer.errors
        nodes = answer.body["data"]["projects"]["nodes"][1:]
        assert [node["tags"] for node in nodes] == [[{"name": "bug"}]] * 3
        assert [len(node["all"]) for node in nodes] == [2] * 3
        assert [node["members"] for node in nodes] == [{"totalCount": 0, "nodes": []}] * 3
        assert statements.count <= 6, statements.seen


def test_every_list_but_the_feed_has_a_filter() -> None:
    names = {each.rest for feature in FEATURES for each in feature.operations}
    lists = {name.removeprefix("list_") for name in names if name.startswith("list_")}
    lists -= {"changes", "task_occurrences"}  # a feed, and what there is not yet

    assert lists == {name.removeprefix("query_") for name in names if name.startswith("query_")}
    # histories and security events have one, and so have reminders, of a task or not
    assert len(Filter.__subclasses__()) >= len(lists) - 3
