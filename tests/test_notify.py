"""``notify``: whoever does something says whether people are told of it. One rule, for whatever people may be told of,
on both doors."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from graphql import GraphQLInputObjectType, get_named_type

from db.driver.database import Database
from graphql_schema.schema import schema
from services.events.consumers import catch_up
from services.events.notifier import CONSUMER
from services.events.numbering import number_all
from services.features import FEATURES
from tests.actors import Person
from tests.doors import Door, on_both_doors
from tests.examples import ROUTES, body_model
from tests.operations import ok, run

QUIET = {"update_project": "says nothing of anybody", "clear_tasks": "tells nobody"}
"""Writes that do not take it, and why."""
Deed = Callable[..., Awaitable[Any]]


def writes() -> list[tuple[str, str]]:
    """Whatever changes tasks, comments, projects or who is in them, by its names on the doors."""
    return [
        (operation.rest, operation.graphql.removeprefix("Mutation."))
        for feature in FEATURES
        if feature.name in ("tasks", "comments", "projects", "members")
        for operation in feature.operations
        if operation.graphql.startswith("Mutation.") and operation.rest not in QUIET
    ]


@pytest.mark.parametrize(("rest", "graphql"), writes())
def test_every_write_takes_it_on_both_doors(rest: str, graphql: str) -> None:
    waiting, parameters = [ROUTES[rest].dependant], set()
    while waiting:
        dependant = waiting.pop()
        parameters |= {field.alias for field in dependant.query_params}
        waiting += dependant.dependencies
    model = body_model(rest)
    assert "notify" in parameters | (model.model_fields.keys() if model else set())
    assert schema._schema.mutation_type is not None
    given = get_named_type(schema._schema.mutation_type.fields[graphql].args["input"].type)
    assert isinstance(given, GraphQLInputObjectType)
    assert "notify" in given.fields


async def _task(ada: Person, bob: Person, project: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return await ada.task(project_id=project["id"], **fields)


async def create(door: Door, ada: Person, bob: Person, project: Any, notify: bool) -> None:
    body = {"title": "x", "project_id": project["id"], "assignee_ids": [bob.id]}
    await ok(door, "create_task", ada, body, notify=notify)


async def create_many(door: Door, ada: Person, bob: Person, project: Any, notify: bool) -> None:
    tasks = [{"title": "x", "project_id": project["id"], "assignee_ids": [bob.id]}] * 2
    await ok(door, "create_tasks", ada, {"tasks": tasks, "notify": notify})


async def upsert_many(door: Door, ada: Person, bob: Person, project: Any, notify: bool) -> None:
    task = {"title": "x", "project_id": project["id"], "assignee_ids": [bob.id], "external_source": "crm"}
    called = [task | {"external_id": f"{door}{notify}"}]
    await ok(door, "create_tasks", ada, {"tasks": called, "mode": "upsert", "notify": notify})


async def change(door: Door, ada: Person, bob: Person, project: Any, notify: bool) -> None:
    task = await _task(ada, bob, project)
    await ok(door, "update_task", ada, {"assignee_ids": [bob.id]}, task_id=task["id"], notify=notify)


async def change_many(door: Door, ada: Person, bob: Person, project: Any, notify: bool) -> None:
    task = await _task(ada, bob, project)
    tasks = [{"id": task["id"], "description": f"@{bob.username}"}]
    await ok(door, "update_tasks", ada, {"tasks": tasks, "notify": notify})


async def change_matching(door: Door, ada: Person, bob: Person, project: Any, notify: bool) -> None:
    task = await _task(ada, bob, project)
    body = {"filter": {"number": {"eq": task["number"]}}, "changes": {"assignee_ids": [bob.id]}, "notify": notify}
    await ok(door, "update_matching_tasks", ada, body)


async def upsert(door: Door, ada: Person, bob: Person, project: Any, notify: bool) -> None:
    body = {"title": "x", "project_id": project["id"], "assignee_ids": [bob.id]}
    ids = {"external_source": "crm", "external_id": f"one{door}{notify}"}
    await ok(door, "upsert_task", ada, body, notify=notify, **ids)


async def duplicate(door: Door, ada: Person, bob: Person, project: Any, notify: bool) -> None:
    original = await ada.rest(
        "POST", "/tasks?notify=false", json={"title": "x", "project_id": project["id"], "assignee_ids": [bob.id]}
    )
    await ok(door, "duplicate_task", ada, {}, task_id=original.json()["id"], notify=notify)


async def comment(door: Door, ada: Person, bob: Person, project: Any, notify: bool) -> None:
    task = await _task(ada, bob, project)
    await ok(door, "create_comment", ada, {"body": f"@{bob.username}"}, task_id=task["id"], notify=notify)


async def edit_comment(door: Door, ada: Person, bob: Person, project: Any, notify: bool) -> None:
    task = await _task(ada, bob, project)
    made = await ada.comment(task["id"], "x")
    ids = {"task_id": task["id"], "comment_id": made["id"]}
    await ok(door, "update_comment", ada, {"body": f"@{bob.username}"}, notify=notify, **ids)


async def remove(door: Door, ada: Person, bob: Person, project: Any, notify: bool) -> None:
    result = await run(door, "remove_member", ada, project_id=project["id"], user_id=bob.id, notify=notify)
    assert result.code is None, result.message


async def add(door: Door, ada: Person, bob: Person, project: Any, notify: bool) -> None:
    other = await ada.project()
    body = {"username": bob.username, "role": "viewer"}
    await ok(door, "add_member", ada, body, project_id=other["id"], notify=notify)


async def delete_project(door: Door, ada: Person, bob: Person, project: Any, notify: bool) -> None:
    result = await run(door, "delete_project", ada, project_id=project["id"], notify=notify)
    assert result.code is None, result.message


async def duplicate_project(door: Door, ada: Person, bob: Person, project: Any, notify: bool) -> None:
    body = {"name": "Again", "members": True}
    await ok(door, "duplicate_project", ada, body, project_id=project["id"], notify=notify)


DEEDS: list[Deed] = [
    *(create, create_many, upsert_many, change, change_many, change_matching, upsert, duplicate, comment, edit_comment),
    *(add, remove, delete_project, duplicate_project),
]


@pytest.mark.one_rule
@on_both_doors
@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: str(deed.__name__))
async def test_nobody_is_told_where_it_is_false(
    ada: Person, bob: Person, database: Database, door: Door, deed: Deed
) -> None:
    async def told() -> int:
        await number_all(database)
        await catch_up(database, CONSUMER)
        return len((await bob.get("/notifications")).json())

    for notify in (False, True):
        project = await ada.project()
        await ada.invite(project, bob, "member")
        before = await told()
        await deed(door, ada, bob, project, notify)
        assert (await told() > before) is notify
