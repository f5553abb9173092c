"""Reading lists of tasks through either door, a page or all of it."""

import re
from typing import Any

import httpx
import orjson
from strawberry.utils.str_converters import to_camel_case

from services.shared.node_ids import encode
from tests.actors import Answer, Person

_LINK = re.compile(r'<([^>]*)>; rel="([a-z-]+)"')
_REFERENCES = {"project": "Project", "parent": "Task", "created_by": "User", "assignees": "User"}
TASKS = (
    "query($filter: TaskFilter, $search: String, $orderBy: TaskOrder, $thenBy: [TaskOrder!], $first: Int, "
    "$after: String, $last: Int, $before: String) { tasks(filter: $filter, search: $search, orderBy: $orderBy, "
    "thenBy: $thenBy, first: $first, after: $after, last: $last, before: $before) { "
    "edges { cursor node { id: databaseId title } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"
)


def links(response: httpx.Response) -> dict[str, str]:
    """The targets of a response's Link header by their relation."""
    return {rel: target for target, rel in _LINK.findall(response.headers["link"])}


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [row["id"] for row in rows]


async def rest_ids(person: Person, **parameters: Any) -> list[int]:
    """The ids on one page of REST's list."""
    answer = await person.get("/tasks", params=parameters)
    assert answer.status_code == 200, answer.text
    return ids(answer.json())


async def filtered_ids(person: Person, condition: dict[str, Any]) -> list[int]:
    """The ids that meet REST's ``filter``."""
    return await rest_ids(person, filter=orjson.dumps(condition).decode(), limit=100)


async def graphql_page(person: Person, **variables: Any) -> Answer:
    return await person.gql(TASKS, variables)


async def graphql_ids(person: Person, **variables: Any) -> list[int]:
    """The ids on one page of GraphQL's list."""
    connection = (await graphql_page(person, **variables)).data["tasks"]
    return [edge["node"]["id"] for edge in connection["edges"]]


async def walk_links(person: Person, path: str, rel: str) -> list[list[int]]:
    """The pages from a path on, as the Link header leads."""
    pages = []
    while path:
        answer = await person.client.get(path, headers=person.headers)
        assert answer.status_code == 200, answer.text
        pages.append(ids(answer.json()))
        path = links(answer).get(rel, "")
    return pages


async def walk_connection(person: Person, *, backwards: bool = False, size: int, **variables: Any) -> list[list[int]]:
    """The pages of GraphQL's list, from the start by ``after`` or from the end by ``before``."""
    amount, cursor, place, more = (
        ("last", "before", "startCursor", "hasPreviousPage")
        if backwards
        else ("first", "after", "endCursor", "hasNextPage")
    )
    pages = []
    while True:
        connection = (await graphql_page(person, **{amount: size}, **variables)).data["tasks"]
        pages.append([edge["node"]["id"] for edge in connection["edges"]])
        if not connection["pageInfo"][more]:
            return pages
        variables[cursor] = connection["pageInfo"][place]


def graphql_filter(value: Any, field: str = "") -> Any:
    """A condition in REST's spelling as GraphQL writes it."""
    if isinstance(value, list):
        return [graphql_filter(item, field) for item in value]
    if isinstance(value, dict):
        # the operators of a field stand under its name
        return {
            to_camel_case(name): graphql_filter(item, field if field not in {"", "and", "or", "not"} else name)
            for name, item in value.items()
        }
    if field == "status":
        return value.upper()
    if field in _REFERENCES and type(value) is int:
        return encode(_REFERENCES[field], value)
    return value
