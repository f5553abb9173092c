"""What a caller is shown: one table of every type with a global id, by what happened before and by each way to it.

A thing is shown by all of its ways or by none, the same on both doors, whichever executor answers GraphQL.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from fastapi import FastAPI
from strawberry.utils.str_converters import to_snake_case

from api.state import State
from services.features import FEATURES, NODES
from services.shared.features import Feature, NodeType, Who
from tests.actors import Person
from tests.conftest import People
from tests.operations import OPERATIONS
from tests.visible import NAMES, STATES, World, make_world

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
    "notification": Row(
        "notification",
        OWN | {"deleted"},  # it outlives what it tells of
        (
            "/notifications?limit=100",
            "/notifications/<notification>",
            "{ notifications { edges { node { id } } } }",
            '{ notification(id: "<notification>") { id } }',
        ),
        "Notification",
    ),
    "webhook": Row(
        "webhook",
        OWN,
        (
            *("/webhooks", "/webhooks/<webhook>", "{ webhooks { edges { node { id } } } }"),
            '{ webhook(id: "<webhook>") { id } }',
        ),
        "Webhook",
    ),
    "delivery": Row(
        "webhook_delivery",
        OWN,
        (
            *("/webhooks/<webhook>/deliveries", "/webhook-deliveries/<webhook_delivery>"),
            "{ webhooks { edges { node { deliveries { edges { node { id } } } } } } }",
            '{ webhookDelivery(id: "<webhook_delivery>") { id } }',
        ),
        "WebhookDelivery",
    ),
    "API key": Row("key", OWN, ("/users/me/api-keys", "{ apiKeys { edges { node { id } } } }"), "ApiKey"),
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


class Ways:
    """What a reader is answered on each way, which is asked once however many things it may show."""

    def __init__(self, world: World, reader: Person) -> None:
        self._world, self._reader = world, reader
        self._answers: dict[str, str] = {}

    async def show(self, thing: str, way: str) -> bool:
        """Whether the thing's global id is in the answer."""
        if way not in self._answers:
            self._answers[way] = await self._ask(way)
        return self._world.ids[thing].node in self._answers[way]

    async def _ask(self, way: str) -> str:
        if way.startswith("/"):
            answer = await self._reader.get(self._world.filled(way))
            assert answer.status_code in (200, 404), answer.text
            return answer.text
        return json.dumps((await self._reader.gql(*self._world.variables(way))).data)


def _regular(node: NodeType, feature: Feature) -> Row:
    """The row of a type whose things are in a project, or a person's own, and come to light as most do."""
    thing = NAMES.get(node.name, to_snake_case(node.name))
    [get] = [each for each in feature.operations if each.rest == f"get_{to_snake_case(node.name)}"]
    ways = []
    for operation in feature.operations:
        if operation.rest.startswith(("get_", "list_")):
            rest, document = OPERATIONS[operation.rest].rest, OPERATIONS[operation.rest].graphql
            ways.append(re.sub(r"{(\w+)_id}", r"<\1>", rest.removeprefix("GET ")))
            place = to_snake_case(re.sub(r".*result: (\w+).*", r"\1", document, flags=re.DOTALL))
            ways.append(document.replace("query($id: ID!) ", "").replace("$id", f'"<{place}>"'))
    return Row(thing, IN_PROJECT if get.who is Who.VIEWER else OWN, tuple(ways), node.name)


_KNOWN = {row.type_name for row in ROWS.values()}
ROWS |= {
    node.name: _regular(node, feature) for feature in FEATURES for node in feature.nodes if node.name not in _KNOWN
}


@pytest.fixture(params=["compiled", "ordinary"])
def executor(request: pytest.FixtureRequest, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which one answers GraphQL."""
    if request.param == "ordinary":
        monkeypatch.setattr(state.executor.compiler, "compile_after", 1_000_000)


class Worlds:
    """A world for each situation on each database, made when it is asked for; nothing of it changes afterwards."""

    def __init__(self, people: Mapping[str, People], apps: Mapping[str, FastAPI]) -> None:
        self._people, self._apps = people, apps
        self._made: dict[tuple[str, str], World] = {}

    async def __call__(self, backend: str, situation: str) -> World:
        key = backend, situation
        if key not in self._made:
            world = await make_world(self._people[backend], self._apps[backend].state.tandem.database)
            await STATES[situation][1](world)
            self._made[key] = world
        return self._made[key]


@pytest.fixture(scope="module")
def worlds(lasting: dict[str, People], apps: dict[str, FastAPI]) -> Worlds:
    return Worlds(lasting, apps)


@pytest.fixture
async def world(worlds: Worlds, backend: str, situation: str) -> World:
    return await worlds(backend, situation)


def test_every_type_with_a_global_id_has_a_row() -> None:
    assert {row.type_name for row in ROWS.values()} - {None} == NODES.keys()


@pytest.mark.parametrize("situation", STATES)
class TestTable:
    @pytest.mark.usefixtures("executor")
    async def test_each_thing_is_shown_by_all_of_its_ways_or_by_none(self, world: World, situation: str) -> None:
        reader: Person = getattr(world, STATES[situation][0])
        ways, wrong = Ways(world, reader), []
        for what, row in ROWS.items():
            by_id = ('{ node(id: "<X>") { id } }', '{ nodes(ids: ["<X>"]) { id } }') if row.type_name else ()
            for way in (*row.ways, *(each.replace("<X>", f"<{row.thing}>") for each in by_id)):
                if await ways.show(row.thing, way) != (situation in row.shown):
                    wrong.append((what, way))

        assert wrong == []

    @pytest.mark.usefixtures("executor")
    async def test_counts_count_what_is_shown(self, world: World, situation: str) -> None:
        reader: Person = getattr(world, STATES[situation][0])
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
        reader: Person = getattr(world, STATES[situation][0])
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
