"""What a caller is shown: one table of every type with a global id, by what happened before and by each way to it.

A thing is shown by all of its ways or by none, the same on both doors, whichever executor answers GraphQL.
"""

import json
from dataclasses import dataclass

import pytest

from api.graphql.context import EXECUTOR
from db.engine import Database
from graphql_schema.nodes import LOADERS
from tests.actors import Person
from tests.conftest import People
from tests.visible import STATES, World, make_world

IN_PROJECT = frozenset({"member", "owner", "archived", "trashed", "other task trashed", "left the other project"})
ON_TASK = IN_PROJECT - {"trashed"}
ON_BOTH = ON_TASK - {"other task trashed", "left the other project"}
OWN = frozenset({"owner"})
IN_TRASH = frozenset({"trashed"})


@dataclass(frozen=True, slots=True)
class Row:
    """Something, the states in which it is shown, and the ways to it. ``type_name`` is given where an id is a way."""

    thing: str
    shown: frozenset[str]
    ways: tuple[str, ...]
    type_name: str | None = None


def _of_task(fields: str) -> tuple[str, ...]:
    """Below the task, by itself and in a list of tasks."""
    return (
        f'{{ task(id: "<task>") {{ {fields} }} }}',
        f"{{ tasks(first: 50) {{ edges {{ node {{ {fields} }} }} }} }}",
        f'{{ project(id: "<project>") {{ tasks {{ edges {{ node {{ {fields} }} }} }} }} }}',
    )


def _expanded(name: str) -> tuple[str, ...]:
    return f"/tasks/<task>?expand={name}", f"/tasks/by-ref/<ref>?expand={name}", f"/tasks?limit=100&expand={name}"


def _in_trash(fields: str, expand: str) -> tuple[str, ...]:
    return f"{{ tasks(trashed: true) {{ edges {{ node {{ {fields} }} }} }} }}", f"/tasks?trashed=true&expand={expand}"


def _history(task: str) -> tuple[str, ...]:
    return (
        f'{{ task(id: "<{task}>") {{ history(first: 50) {{ edges {{ node {{ id }} }} }} }} }}',
        "{ tasks { edges { node { history(first: 50) { edges { node { id } } } } } } }",
        f"/tasks/<{task}>/history?limit=100",
    )


COMMENTS = "comments { edges { node { id } } }"
RELATIONS = "relations { edges { node { id } } }"
AUTHORS = "comments { edges { node { author { id } } } }"
ACTORS = "history(first: 50) { edges { node { actor { id } } } }"
ROWS = {
    "account": Row(
        "carl",
        IN_PROJECT,
        ("/users/<carl>", "/users?limit=100", '{ user(id: "<carl>") { id } }', "{ users { edges { node { id } } } }"),
        "User",
    ),
    "creator": Row("carl", ON_TASK, (*_of_task("createdBy { id }"), *_expanded("created_by"))),
    "assignee": Row("carl", ON_TASK, (*_of_task("assignees { id }"), *_expanded("assignees"))),
    "author": Row(
        "carl", ON_TASK, (*_of_task(AUTHORS), '{ comment(id: "<comment>") { author { id } } }', *_expanded("comments"))
    ),
    "actor": Row("carl", ON_TASK, _of_task(ACTORS)),
    "creator of a relation": Row("ada", ON_BOTH, _of_task("relations { edges { node { createdBy { id } } } }")),
    "person of a member": Row(
        "carl",
        IN_PROJECT,
        (
            '{ project(id: "<project>") { members { edges { node { user { id } } } } } }',
            "/projects/<project>/members",
            "/projects/<project>/members/<carl>",
        ),
    ),
    "session": Row("session", OWN, ("/users/me/sessions", "{ sessions { edges { node { id } } } }"), "Session"),
    "API key": Row("key", OWN, ("/users/me/api-keys", "{ apiKeys { edges { node { id } } } }"), "ApiKey"),
    "saved view": Row(
        "view",
        OWN,
        (
            "/saved-views",
            "/saved-views/<view>",
            "{ savedViews { edges { node { id } } } }",
            '{ savedView(id: "<view>") { id } }',
        ),
        "SavedView",
    ),
    "project": Row(
        "project",
        IN_PROJECT,
        (
            "/projects?limit=100",
            "/projects/<project>",
            "{ projects { edges { node { id } } } }",
            '{ project(id: "<project>") { id } }',
        ),
        "Project",
    ),
    "project of a task": Row("project", ON_TASK, (_of_task("project { id }")[0], *_expanded("project")[:2])),
    "member": Row(
        "member",
        IN_PROJECT,
        (
            '{ project(id: "<project>") { members { edges { node { id } } } } }',
            "/projects/<project>/members",
            "/projects/<project>/members/<carl>",
        ),
        "Member",
    ),
    "tag": Row(
        "tag",
        IN_PROJECT,
        (
            '{ project(id: "<project>") { tags { id } } }',
            '{ tag(id: "<tag>") { id } }',
            "/tags/<tag>",
            "/projects/<project>/tags",
        ),
        "Tag",
    ),
    "tag of a task": Row("tag", ON_TASK, (*_of_task("tags { id }"), *_expanded("tags"))),
    "task": Row(
        "task",
        ON_TASK,
        (
            *_of_task("id"),
            '{ taskByRef(ref: "<ref>") { id } }',
            '{ search(query: "zebra") { edges { node { id } } } }',
            '{ search(query: "quokka") { edges { node { id } } } }',
            '{ task(id: "<parent>") { subtasks { edges { node { id } } } } }',
            '{ task(id: "<subtask>") { parent { id } } }',
            '{ comment(id: "<comment>") { task { id } } }',
            "/tasks/<task>",
            "/tasks/by-ref/<ref>",
            "/tasks?limit=100",
            "/tasks?search=zebra",
            "/tasks?search=quokka",
            "/tasks?parent_id=<parent>",
            "/tasks/<subtask>?expand=parent",
        ),
        "Task",
    ),
    "other task of a relation": Row("far", ON_BOTH, _of_task("relations { edges { node { target { id } } } }")),
    "comment": Row(
        "comment",
        ON_TASK,
        (
            *_of_task(COMMENTS),
            '{ comment(id: "<comment>") { id } }',
            "/tasks/<task>/comments",
            "/tasks/<task>/comments/<comment>",
            *_expanded("comments"),
        ),
        "Comment",
    ),
    "relation": Row(
        "relation",
        ON_BOTH,
        (
            *_of_task(RELATIONS),
            '{ task(id: "<far>") { relations { edges { node { id } } } } }',
            '{ relation(id: "<relation>") { id } }',
            "/tasks/<task>/relations",
            "/tasks/<far>/relations",
            "/tasks/<task>/relations/<relation>",
            "/tasks/<far>/relations/<relation>",
            "/tasks/<far>?expand=relations",
            *_expanded("relations"),
        ),
        "Relation",
    ),
    "event of a task": Row("task_event", ON_TASK, _history("task"), "Event"),
    "event of a comment": Row("comment_event", ON_TASK, _history("task"), "Event"),
    "event of a relation": Row("relation_event", ON_BOTH, _history("task"), "Event"),
    "event of a relation, at the other task": Row("far_event", ON_BOTH, _history("far"), "Event"),
    "event of a relation that is gone": Row("gone_event", ON_BOTH, _history("task"), "Event"),
    "task in the trash": Row("task", IN_TRASH, _in_trash("id", "project")),
    "project of a task in the trash": Row("project", IN_TRASH, _in_trash("project { id }", "project")),
    "creator of a task in the trash": Row("carl", IN_TRASH, _in_trash("createdBy { id }", "created_by")),
    "assignee of a task in the trash": Row("carl", IN_TRASH, _in_trash("assignees { id }", "assignees")),
    "tag of a task in the trash": Row("tag", IN_TRASH, _in_trash("tags { id }", "tags")),
    "comment on a task in the trash": Row("comment", frozenset(), _in_trash(COMMENTS, "comments")),
    "relation of a task in the trash": Row("relation", frozenset(), _in_trash(RELATIONS, "relations")),
    "event of a task in the trash": Row(
        "task_event", frozenset(), _in_trash("history { edges { node { id } } }", "tags")
    ),
}


async def is_shown(world: World, reader: Person, thing: str, way: str) -> bool:
    """Whether the thing's global id is in the answer."""
    request = world.filled(way)
    if way.startswith("/"):
        answer = await reader.get(request)
        assert answer.status_code in (200, 404), answer.text
        return world.ids[thing].node in answer.text
    return world.ids[thing].node in json.dumps((await reader.gql(request)).data)


@pytest.fixture(params=["compiled", "ordinary"])
def executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which one answers GraphQL."""
    if request.param == "ordinary":
        monkeypatch.setattr(EXECUTOR.planner, "compile_after", 1_000_000)


@pytest.fixture
async def world(people: People, database: Database) -> World:
    return await make_world(people, database)


def test_every_type_with_a_global_id_has_a_row() -> None:
    assert {row.type_name for row in ROWS.values()} - {None} == set(LOADERS)


@pytest.mark.parametrize("situation", STATES)
class TestTable:
    @pytest.mark.usefixtures("executor")
    async def test_each_thing_is_shown_by_all_of_its_ways_or_by_none(self, world: World, situation: str) -> None:
        name, happen = STATES[situation]
        reader: Person = getattr(world, name)
        await happen(world)
        wrong = []
        for what, row in ROWS.items():
            by_id = ('{ node(id: "<X>") { id } }', '{ nodes(ids: ["<X>"]) { id } }') if row.type_name else ()
            for way in (*row.ways, *(each.replace("<X>", f"<{row.thing}>") for each in by_id)):
                if await is_shown(world, reader, row.thing, way) != (situation in row.shown):
                    wrong.append((what, way))

        assert wrong == []

    @pytest.mark.usefixtures("executor")
    async def test_counts_count_what_is_shown(self, world: World, situation: str) -> None:
        name, happen = STATES[situation]
        reader: Person = getattr(world, name)
        await happen(world)
        for task in ("task", "far", "parent"):
            found = (await reader.gql(COUNTS, {"id": world.ids[task].node})).data["task"]
            answers = {
                each: await reader.get(f"/tasks/{world[task]}/{each}") for each in ("comments", "relations", "history")
            }
            if found is None:
                assert {answer.status_code for answer in answers.values()} == {404}
                continue
            for each, answer in answers.items():
                assert found[each]["totalCount"] == len(found[each]["edges"]) == len(answer.json()), (task, each)
            assert found["subtasks"]["totalCount"] == len(found["subtasks"]["edges"])
            expanded = (await reader.get(f"/tasks/{world[task]}?expand=comment_count")).json()
            assert found["commentCount"] == expanded["comment_count"] == found["comments"]["totalCount"]

    @pytest.mark.parametrize("trashed", [False, True])
    async def test_totals_and_groups_count_what_is_listed(self, world: World, situation: str, trashed: bool) -> None:
        name, happen = STATES[situation]
        reader: Person = getattr(world, name)
        await happen(world)
        for search in (None, "zebra", "quokka"):
            listed = (await reader.gql(TOTALS, {"trashed": trashed, "search": search})).data
            parameters = {"trashed": str(trashed).lower()} | ({} if search is None else {"search": search})
            answer = await reader.get("/tasks", params=parameters | {"total": "true"})
            groups = await reader.get("/tasks/counts/status", params=parameters)
            number = len(answer.json())

            assert (situation, search, int(answer.headers["x-total-count"])) == (situation, search, number)
            assert [edge["node"]["databaseId"] for edge in listed["tasks"]["edges"]] == [
                task["id"] for task in answer.json()
            ]
            assert listed["tasks"]["totalCount"] == number
            assert sum(group["count"] for group in groups.json()) == number
            assert sum(group["count"] for group in listed["taskCounts"]) == number
            if search == "quokka" and trashed:  # comments of tasks in the trash are not searched
                assert number == 0


COUNTS = """query($id: ID!) { task(id: $id) {
    commentCount
    comments(first: 100) { totalCount edges { cursor } }
    relations(first: 100) { totalCount edges { cursor } }
    history(first: 100) { totalCount edges { cursor } }
    subtasks(first: 100) { totalCount edges { cursor } }
} }"""
TOTALS = """query($trashed: Boolean!, $search: String) {
    tasks(trashed: $trashed, search: $search) { totalCount edges { node { databaseId } } }
    taskCounts(groupBy: STATUS, trashed: $trashed, search: $search) { count }
}"""
