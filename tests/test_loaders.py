"""Loaders check their caller, whoever calls them; and what they have read is forgotten before the next change."""

import inspect
import json
import pkgutil
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import closing
from functools import partial
from importlib import import_module
from typing import Any

import psycopg
import pytest
from strawberry.utils.str_converters import to_snake_case

import services
from api.state import State
from db.driver.database import Database
from db.models import Task
from services.features import NODES
from services.shared.actors import ANONYMOUS, Actor
from services.shared.errors import Forbidden, Unauthenticated
from services.shared.pagination import Page, PageRequest
from services.shared.reading import ChildReader
from services.tasks import queries as tasks
from services.tasks.query import TaskQuery
from tests.actors import Person
from tests.conftest import People
from tests.doors import as_rest
from tests.examples import IDS
from tests.visible import NAMES, World, make_world

PAGE = PageRequest(first=10)
Load = Callable[..., Awaitable[Any]]


async def _pages(session: Any, actor: Actor, ids: Collection[int]) -> Any:
    return await tasks.pages(session, actor, Task.project_id.expression, ids, TaskQuery(), PAGE)


async def _counts(session: Any, actor: Actor, ids: Collection[int]) -> Any:
    return await tasks.counts(session, actor, Task.project_id.expression, ids, TaskQuery())


async def _met(session: Any, actor: Actor, ids: Collection[int]) -> Any:
    return dict.fromkeys(await tasks.ids_met(session, actor, ids, TaskQuery()), True)


HOLDING = {
    "projects.locks.hold",
    "tasks.updates.hold_tasks",
    "tasks.updates.lock_tasks",
    "tasks.updates.any_moved",
    "tasks.trash.lock_for_removal",
    "tasks.trash.remove",
}
"""They read to write: what they answer goes to nobody, and who may do what they are for is tested there."""


OF = {name.removesuffix("_id") + "_ids": name.removesuffix("_id") for name in IDS} | {"event_ids": "task_event"}
"""What in the world the ids are of that a parameter takes, by its name."""


def _is_loader(function: Any) -> bool:
    """Whether a function takes the caller, and ids."""
    types = [each.annotation for each in inspect.signature(function, eval_str=True).parameters.values()]
    return Actor in types[:2] and Collection[int] in types


def _loaders() -> Iterator[tuple[str, Load, str]]:
    """Functions of services that read by ids, by their names, and something of Ada's to read by its id."""
    own = {node.load: NAMES.get(name, to_snake_case(name)) for name, node in NODES.items()}
    for info in pkgutil.walk_packages(services.__path__, "services."):
        module = import_module(info.name)
        for name, function in inspect.getmembers(module, inspect.iscoroutinefunction):
            reader = getattr(function, "__self__", None)
            here = function.__module__ == info.name or (reader is not None and reader is vars(module).get("_READER"))
            if here and not name.startswith("_") and _is_loader(function):
                parameters = inspect.signature(function, eval_str=True).parameters
                [ids] = [each for each, kind in parameters.items() if kind.annotation == Collection[int]]
                if isinstance(reader, ChildReader) and ids == "parent_ids":
                    ids = "task_ids" if reader.below.key == "id" else f"{reader.below.key}s"
                load = partial(function, request=PAGE) if "request" in parameters else function
                yield f"{info.name.removeprefix('services.')}.{name}", load, own.get(function) or OF.get(ids, "")


_GENERAL = {
    "tasks.queries.pages": (_pages, "project"),
    "tasks.queries.counts": (_counts, "project"),
    "tasks.queries.ids_met": (_met, "task"),
}
LOADERS = {name: (load, thing) for name, load, thing in _loaders() if name not in HOLDING} | _GENERAL


def test_every_loader_is_told_what_to_read() -> None:
    assert [name for name, (_, thing) in LOADERS.items() if not thing] == []
    assert {name for name, _, _ in _loaders()} >= HOLDING
    assert {node.load for node in NODES.values()} <= {load for load, _ in LOADERS.values()}


def something(answer: dict[int, Any]) -> bool:
    """Whether a loader's answer tells anything."""
    return any(bool(each.items) if isinstance(each, Page) else bool(each) for each in answer.values())


@pytest.fixture
async def world(people: People, database: Database) -> World:
    return await make_world(people, database)


@pytest.fixture(params=["compiled", "ordinary"])
def executor(request: pytest.FixtureRequest, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which one answers GraphQL."""
    if request.param == "ordinary":
        monkeypatch.setattr(state.executor.compiler, "compile_after", 1_000_000)


class TestCallers:
    async def test_who_may_not_read_a_thing_is_told_nothing_by_its_id(self, world: World, database: Database) -> None:
        told = {}
        async with database.reading() as session:
            for name, (load, thing) in LOADERS.items():
                told[name] = [
                    something(await load(session, actor, [world[thing]]))
                    for actor in (world.ada.actor, world.eve.actor)
                ]

        assert told == {name: [True, False] for name in LOADERS}

    @pytest.mark.parametrize(
        ("caller", "error"), [(ANONYMOUS, Unauthenticated), (Actor("api_key", user_id=1, api_key_id=1), Forbidden)]
    )
    async def test_who_may_read_nothing_is_refused(
        self, world: World, database: Database, caller: Actor, error: type[Exception]
    ) -> None:
        async with database.reading() as session:
            for load, thing in LOADERS.values():
                with pytest.raises(error):
                    await load(session, caller, [world[thing]])


LEFT = """query($id: ID!, $user: ID!) {
    user(id: $user) { id }
    node(id: $user) { id }
    task(id: $id) {
        createdBy { username email }
        assignees { username }
        comments { edges { node { author { username email } } } }
        history(last: 1) { edges { node { actor { username } } } }
        project { members { edges { node { user { username } } } } }
    }
}"""


class TestThoseWhoLeft:
    async def test_they_are_named_by_what_they_did_and_not_known_otherwise(self, world: World) -> None:
        carl, bob = world.carl, world.bob
        assert (await world.ada.delete(world.filled("/projects/<project>/members/<carl>"))).status_code == 204
        data = (await bob.gql(LEFT, {"id": world.ids["task"].node, "user": carl.node_id})).data
        listed = (
            await bob.get(world.filled("/tasks/<task>?expand=created_by&expand=assignees&expand=comments"))
        ).json()

        assert (data["user"], data["node"]) == (None, None)
        assert (await bob.get(f"/users/{carl.id}")).status_code == 404
        summary = {"username": carl.username, "email": None}
        task = data["task"]
        assert task["createdBy"] == summary
        assert task["comments"]["edges"][0]["node"]["author"] == summary
        assert task["history"]["edges"][0]["node"]["actor"] == {"username": carl.username}
        assert listed["created_by"]["username"] == listed["comments"][0]["author"]["username"] == carl.username
        assert task["assignees"] == listed["assignees"] == []
        assert carl.username not in str(task["project"]["members"])


TRASH = """{ result: tasks(trashed: true) { edges { node {
    databaseId id parentId parent { id } commentCount
    project { databaseId } assignees { databaseId } tags { databaseId } createdBy { databaseId }
    comments { edges { node { databaseId } } } relations { edges { node { databaseId } } }
    subtasks { edges { node { databaseId } } } history { edges { node { databaseId } } }
} } } }"""
EXPANSIONS = ("project", "assignees", "tags", "created_by", "parent", "comment_count", "comments", "relations")


@pytest.mark.usefixtures("executor")
class TestTrash:
    async def test_both_doors_show_the_same_of_tasks_in_the_trash(self, world: World) -> None:
        assert (await world.ada.delete(world.filled("/tasks/<task>"))).status_code == 204
        parameters = {"trashed": "true", "expand": EXPANSIONS}
        listed = (await world.bob.get("/tasks", params=parameters)).json()
        found = as_rest((await world.bob.gql(TRASH)).data["result"])

        def ids(things: Sequence[dict[str, Any]]) -> list[int]:
            return [thing["id"] for thing in things]

        assert sorted(ids(listed)) == sorted([world["task"], world["subtask"]])
        for rest, graphql in zip(listed, found, strict=True):
            assert graphql["node_id"] == rest["node_id"]
            for name in ("project", "created_by"):
                assert graphql[name]["id"] == rest[name]["id"]
            for name in ("assignees", "tags", "comments", "relations"):
                assert ids(graphql[name]) == ids(rest[name])
            assert graphql["comment_count"] == rest["comment_count"] == len(rest["comments"]) == 0
            assert rest["relations"] == graphql["subtasks"] == graphql["history"] == []

    async def test_subtask_tells_its_parent_also_where_that_is_in_the_trash(self, world: World) -> None:
        assert (await world.ada.delete(world.filled("/tasks/<task>"))).status_code == 204
        listed = (await world.bob.get("/tasks?trashed=true&expand=parent")).json()
        found = as_rest((await world.bob.gql(TRASH)).data["result"])
        live = (await world.bob.gql(*world.variables('{ task(id: "<parent>") { parentId parent { id } } }'))).data

        told = {task["id"]: (task["parent_id"], task["parent"]) for task in found}
        assert told == {
            world["subtask"]: (world.ids["task"].node, None),
            world["task"]: (world.ids["parent"].node, {"id": world.ids["parent"].node}),
        }
        assert {task["id"]: (task["parent_id"], task["parent"] and task["parent"]["id"]) for task in listed} == {
            world["subtask"]: (world["task"], None),
            world["task"]: (world["parent"], world["parent"]),
        }
        assert live["task"] == {"parentId": None, "parent": None}

    async def test_filters_find_no_relations_of_tasks_in_the_trash(self, world: World) -> None:
        ada = world.ada
        assert (await ada.delete(world.filled("/tasks/<far>"))).status_code == 204  # it is blocked
        for condition, found in (
            ({"blocked": True}, []),
            ({"blocked": False}, [world["far"]]),
            ({"relations": {"any": [world["task"]]}}, []),
            ({"relations": {"is_empty": True}}, [world["far"]]),
        ):
            listed = await ada.get("/tasks", params={"trashed": "true", "filter": json.dumps(condition)})
            assert (condition, [task["id"] for task in listed.json()]) == (condition, found)


FIELDS = """
    project { name } parent { title } createdBy { fullName } assignees { fullName } tags { name } commentCount
    comments { totalCount edges { node { body author { fullName } } } }
    relations { totalCount edges { node { kind createdBy { fullName } } } }
    subtasks { totalCount edges { node { title } } }
    history(first: 1) { totalCount edges { node { kind actor { fullName } } } }
"""
CHANGES = """mutation(
    $task: ID!, $parent: ID!, $far: ID!, $project: ID!, $tag: ID!
) {
    before: updateTask(input: {id: $task, title: "1"}) { task { FIELDS } }
    updateProject(input: {id: $project, name: "Renamed"}) { project { name } }
    parent: updateTask(input: {id: $parent, title: "Renamed"}) { task { title } }
    updateMe(input: {fullName: "Renamed"}) { user { fullName } }
    updateTag(input: {id: $tag, name: "renamed"}) { tag { name } }
    createComment(input: {taskId: $task, body: "new"}) { comment { body } }
    createRelation(input: {taskId: $task, targetId: $far, kind: DUPLICATES}) { relation { kind } }
    createTask(input: {title: "new", parentId: $task, projectId: $project}) { task { title } }
    after: updateTask(input: {id: $task, title: "2"}) { task { FIELDS } }
}""".replace("FIELDS", FIELDS)


@pytest.mark.usefixtures("executor")
class TestForgetting:
    async def test_what_was_read_is_read_anew_after_each_change(self, world: World) -> None:
        ada = world.ada
        assert (await ada.patch(world.filled("/tasks/<task>"), {"assignee_ids": [ada.id]})).status_code == 200
        ids = {name: world.ids[name].node for name in ("task", "parent", "far", "project", "tag")}
        answer = (await ada.gql(CHANGES, ids)).data
        fresh = (await ada.gql("query($task: ID!) { task(id: $task) { FIELDS } }".replace("FIELDS", FIELDS), ids)).data

        before, after = answer["before"]["task"], answer["after"]["task"]
        assert after == fresh["task"]
        same = {name for name in before if before[name] == after[name]}
        assert same == {"createdBy"}  # Carl's, who is called as before
        assert after["project"] == {"name": "Renamed"}

    async def test_project_that_is_lost_while_its_task_is_read_is_not_found(
        self, world: World, database: Database
    ) -> None:
        def leave(sql: str) -> None:
            if sql.startswith("SELECT projects.id"):
                _forget_member(database, world.bob.id)

        database.observers.append(leave)
        try:
            answer = await world.bob.gql(*world.variables('{ task(id: "<task>") { title project { name } } }'))
        finally:
            database.observers.remove(leave)

        assert answer.code == "NOT_FOUND"
        assert answer.body["data"] == {"task": None}


def _forget_member(database: Database, user_id: int) -> None:
    """Take somebody out of all projects, from elsewhere and at once."""
    if database.dialect == "sqlite":
        with closing(sqlite3.connect(database.url.database or "", isolation_level=None)) as connection:
            connection.execute("DELETE FROM memberships WHERE user_id = ?", (user_id,))
        return
    arguments: Any = database.sql.create_connect_args(database.url)[1]
    with psycopg.connect(**arguments, autocommit=True) as other:
        other.execute("DELETE FROM memberships WHERE user_id = %s", (user_id,))


@pytest.mark.parametrize("name", ["ada", "bob"])
async def test_people_are_shown_what_is_private_only_to_themselves(world: World, name: str) -> None:
    reader: Person = getattr(world, name)
    document = '{ relation(id: "<relation>") { createdBy { username email } } }'
    data = (await reader.gql(*world.variables(document))).data

    email = world.ada.email if name == "ada" else None
    assert data["relation"]["createdBy"] == {"username": world.ada.username, "email": email}
