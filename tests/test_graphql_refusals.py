"""What is refused of arguments: the same problems on both doors, all at once, in the same words."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from graphql import (
    GraphQLInputObjectType,
    get_named_type,
    get_nullable_type,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_required_input_field,
)
from graphql.utilities import coerce_input_value
from strawberry.utils.str_converters import to_snake_case

from db.engine import Database
from graphql_schema.execution import Executor, GraphQLRequest, RequestError
from graphql_schema.schema import schema
from services.node_ids import encode
from tests.actors import GRAPHQL_JSON, Anonymous, Person
from tests.operations import ACCOUNTS, OPERATIONS
from tests.stored import unchanged

Problems = list[tuple[str, str, str]]
"""Where, what and of which type, in REST's spelling."""
ROUNDS = 25
SURROGATE = "a\ud800"
# the bodies of these are one and the same on REST, or are given in the path
OUTSIDE = {"id", "expectedVersion", "idempotencyKey", "notify"}
BODIES = {
    **{name: (each.rest, each.graphql, each.id) for name, each in OPERATIONS.items()},
    **{name: (each.rest, each.graphql, "id" if each.id_in_input else "") for name, each in ACCOUNTS.items()},
    "register_user": ("POST /users", "mutation($input: RegisterInput!) { result: register(input: $input) { user { id } } }", ""),
}  # fmt: skip
BODIES = {
    name: each
    for name, each in BODIES.items()
    if "$input" in each[1] and each[0].split()[0] != "DELETE" and "restore" not in name
}
NODES = {"task_id": "Task", "project_id": "Project", "user_id": "User", "tag_id": "Tag", "comment_id": "Comment",
         "saved_view_id": "SavedView"}  # fmt: skip


async def send_rest(caller: Anonymous, method: str, path: str, body: Any) -> httpx.Response:
    headers = {"Content-Type": "application/json"}
    return await caller.rest(method, path, content=json.dumps(body).encode(), headers=headers)


async def send_graphql(caller: Anonymous, query: str, variables: Any) -> httpx.Response:
    content = json.dumps({"query": query, "variables": variables}).encode()
    headers = caller.headers | {"Content-Type": "application/json", "Accept": GRAPHQL_JSON}
    return await caller.client.post("/graphql", content=content, headers=headers)


def on_rest(answer: httpx.Response) -> tuple[str | None, Problems]:
    body = answer.json()
    if answer.status_code < 400:
        return None, []
    return body["code"], [(item["pointer"], item["detail"], item["type"]) for item in body["errors"]]


def on_graphql(answer: httpx.Response) -> tuple[str | None, Problems]:
    """The code and the problems of the only error."""
    body = answer.json()
    if "errors" not in body:
        return None, []
    [error] = body["errors"]
    problems = error["extensions"].get("errors", [])
    return error["extensions"]["code"], [
        ("/".join(map(to_snake_case, item["pointer"].split("/"))), item["detail"], item["type"]) for item in problems
    ]


def input_type(query: str) -> GraphQLInputObjectType:
    name = query.partition("$input: ")[2].partition("!")[0]
    type_: Any = schema._schema.type_map[name]
    return type_


def values(type_: Any, chance: random.Random, depth: int = 0) -> tuple[Any, Any]:
    """A value that is wrong or may be, in REST's and in GraphQL's spelling.

    None that the specification of GraphQL takes for right: one thing where a list is wanted, a number for an ID.
    """
    type_ = get_nullable_type(type_)
    wrong: list[Any] = [None, "x", SURROGATE, "", 1.5, True, {}, {"a": 1}, -1, 2**31, 10**30, float("nan"), 0]
    if is_list_type(type_):
        if chance.random() < 0.2:
            return None, None
        several = [values(type_.of_type, chance, depth) for _ in range(chance.choice([0, 1, 2, 51, 101, 1001]))]
        return [rest for rest, _ in several], [graphql for _, graphql in several]
    if is_input_object_type(type_):
        if chance.random() < 0.3 or depth > 2:
            value = chance.choice([None, "x", 1, 1.5, True, [], [1]])
            return value, value
        return body(type_, chance, depth + 1)
    if is_enum_type(type_):
        wrong += ["NOPE", [], 7]
    elif type_.name == "ID":
        wrong = [value for value in wrong if isinstance(value, (str, bool, dict, type(None))) or value == 1.5]
        wrong += [encode("Event", 1), encode("Task", 0), encode("User", -1), encode("Project", 2**40), [1]]
    else:
        wrong += ["2026-01-31", "2026-01-31T12:00:00", "x" * 300, "\0", [], ["x"], 5, 2.0]
    value = chance.choice(wrong)
    return value, value


def body(type_: GraphQLInputObjectType, chance: random.Random, depth: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    rest: dict[str, Any] = {}
    graphql: dict[str, Any] = {}
    for name, field in type_.fields.items():
        if depth == 0 and name in OUTSIDE:
            continue
        if chance.random() < (0.7 if is_required_input_field(field) else 0.4):
            rest[to_snake_case(name)], graphql[name] = values(field.type, chance, depth)
    if chance.random() < 0.5:
        rest["bogus"] = graphql["bogus"] = chance.choice([1, None, "x", {}])
    return rest, graphql


@pytest.fixture
async def ids(ada: Person) -> dict[str, int]:
    project = await ada.project()
    task = await ada.task(project_id=project["id"])
    comment = await ada.comment(task["id"])
    tag = (await ada.post(f"/projects/{project['id']}/tags", {"name": "bug"})).json()
    view = (await ada.post("/saved-views", {"name": "Mine", "filter": {}})).json()
    return {
        "task_id": task["id"],
        "project_id": project["id"],
        "user_id": ada.id,
        "comment_id": comment["id"],
        "tag_id": tag["id"],
        "saved_view_id": view["id"],
        "id": ada.id,
    }


@pytest.mark.parametrize("name", BODIES)
async def test_same_problems_in_the_same_words(ada: Person, ids: dict[str, int], name: str) -> None:
    route, query, own_id = BODIES[name]
    method, path = route.split()
    in_path = {key: value for key, value in ids.items() if f"{{{key}}}" in path}
    known = {
        "id" if key == own_id else _camel(key): encode(NODES.get(key, "User"), value) for key, value in in_path.items()
    }
    if own_id:
        known = {"id": known["id"]}
    chance, seen = random.Random(name), Counter[str | None]()
    for _ in range(ROUNDS):
        rest_body, graphql_body = body(_without(input_type(query), known), chance)
        rest = on_rest(await send_rest(ada, method, path.format(**ids), rest_body))
        seen[rest[0]] += 1
        if rest[0] == "BAD_USER_INPUT":
            graphql = on_graphql(await send_graphql(ada, query, {"input": graphql_body | known}))
            assert graphql == rest, (rest_body, graphql_body)
    assert seen["BAD_USER_INPUT"] > ROUNDS / 2, seen


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def _without(type_: GraphQLInputObjectType, known: dict[str, Any]) -> Any:
    class Part:
        fields = {name: field for name, field in type_.fields.items() if name not in known}

    return Part
