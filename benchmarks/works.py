"""What is measured: each work is a request that a client sends, and how a right answer to it looks."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks.data import Dataset
from benchmarks.rows import USUAL, Shape

FIELDS = (
    "id databaseId ref number title description status priority startAt dueAt completedAt "
    "version createdAt updatedAt deletedAt"
)
ONE = f"query Task($id: ID!) {{ task(id: $id) {{ {FIELDS} }} }}"
LIST = f"query Tasks($first: Int) {{ tasks(first: $first) {{ edges {{ node {{ {FIELDS} }} }} }} }}"
FILTERED = (
    "query Filtered($first: Int, $filter: TaskFilter) "
    f"{{ tasks(first: $first, filter: $filter) {{ edges {{ node {{ {FIELDS} }} }} }} }}"
)
ORDERED = (
    "query Ordered($first: Int, $filter: TaskFilter, $orderBy: TaskOrder) "
    f"{{ tasks(first: $first, filter: $filter, orderBy: $orderBy) {{ edges {{ node {{ {FIELDS} }} }} }} }}"
)
NESTED = (
    "query Nested($first: Int) { tasks(first: $first) { edges { node { id title status priority "
    "project { id name key } assignees { id username } tags { id name } } } } }"
)
CREATE = f"mutation Create($input: CreateTaskInput!) {{ createTask(input: $input) {{ task {{ {FIELDS} }} }} }}"

IDS = 500
"""How many different tasks are asked for one at a time."""
NEW_TASK = {
    "title": "Ask the printer for a quote",
    "description": "It has been asked for twice this month. The figures are in the shared folder, page 12.",
    "priority": 3,
}
DUE = "2026-03-31T15:00:00Z"


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of request."""

    name: str
    title: str
    build: Callable[[Dataset], Sequence[tuple[str, str, Any]]]
    """Method, path and JSON body (None for none) of each request, to be sent in turn."""
    status: int = 200
    writes: bool = False
    any_data: bool = True
    """Whether it works on any data, such as what an import brings."""
    rest: str | None = None
    """The REST work that does the same."""
    shape: Shape = USUAL
    """The data that it is measured on."""

    def requests(self, dataset: Dataset, token: str) -> list[bytes]:
        """The requests as they go over the wire."""
        return [_encode(method, path, body, token) for method, path, body in self.build(dataset)]

    def accepts(self, status: int, body: bytes) -> bool:
        return status == self.status and b'"errors"' not in body


def rest_list(path: str) -> Callable[[Dataset], Sequence[tuple[str, str, Any]]]:
    return lambda _dataset: [("GET", f"/api/v1/tasks{path}", None)]


def _graphql(query: str, variables: dict[str, Any]) -> Callable[[Dataset], Sequence[tuple[str, str, Any]]]:
    return lambda _dataset: [_operation(query, variables)]


def _operation(query: str, variables: dict[str, Any]) -> tuple[str, str, Any]:
    return "POST", "/graphql", {"query": query, "variables": variables}


def _rest_one(dataset: Dataset) -> Sequence[tuple[str, str, Any]]:
    return [("GET", f"/api/v1/tasks/{task_id}", None) for task_id in dataset.task_ids[:IDS]]


def _graphql_one(dataset: Dataset) -> Sequence[tuple[str, str, Any]]:
    return [_operation(ONE, {"id": node_id("Task", task_id)}) for task_id in dataset.task_ids[:IDS]]


def _rest_create(dataset: Dataset) -> Sequence[tuple[str, str, Any]]:
    return [("POST", "/api/v1/tasks", {**NEW_TASK, "project_id": dataset.project_id, "due_at": DUE})]


def _graphql_create(dataset: Dataset) -> Sequence[tuple[str, str, Any]]:
    project = node_id("Project", dataset.project_id)
    return [_operation(CREATE, {"input": {**NEW_TASK, "projectId": project, "dueAt": DUE}})]


DONE, MANY = Shape(open_percent=0.5), Shape(projects=500)
"""A tracker in which nearly everything is done, and a caller who is a member of many projects."""
TAG = "bug"
_FILTER = {"status": {"eq": "PENDING"}, "priority": {"gte": 3}}

WORKS = (
    Work("R1", "one task", _rest_one, any_data=False),
    Work("R20", "list of 20", rest_list("?limit=20")),
    Work("R100", "list of 100", rest_list("?limit=100")),
    Work("RF", "filtered list of 20", rest_list("?status=pending&priority=3&priority=4&priority=5&limit=20")),
    Work("RN", "100 with relations", rest_list("?limit=100&expand=project&expand=assignees&expand=tags")),
    Work("G1", "one task", _graphql_one, any_data=False, rest="R1"),
    Work("G20", "list of 20", _graphql(LIST, {"first": 20}), rest="R20"),
    Work("G100", "list of 100", _graphql(LIST, {"first": 100}), rest="R100"),
    Work("GF", "filtered list of 20", _graphql(FILTERED, {"first": 20, "filter": _FILTER}), rest="RF"),
    Work("N100", "100 with relations", _graphql(NESTED, {"first": 100}), rest="RN"),
    Work(
        "RS",
        "oldest 20 of a few open ones",
        rest_list("?status=pending&order=asc&limit=20"),
        any_data=False,
        shape=DONE,
    ),
    Work("RP", "list of 20 in 500 projects", rest_list("?limit=20"), any_data=False, shape=MANY),
    Work("RA", "20 assigned to me", rest_list("?assignee=me&limit=20"), any_data=False),
    Work("RT", "20 with a tag", rest_list(f"?tag={TAG}&limit=20"), any_data=False),
    Work(
        "GS",
        "oldest 20 of a few open ones",
        _graphql(
            ORDERED,
            {
                "first": 20,
                "filter": {"status": {"eq": "PENDING"}},
                "orderBy": {"field": "CREATED_AT", "direction": "ASC"},
            },
        ),
        any_data=False,
        rest="RS",
        shape=DONE,
    ),
    Work("GP", "list of 20 in 500 projects", _graphql(LIST, {"first": 20}), any_data=False, rest="RP", shape=MANY),
    Work(
        "GA",
        "20 assigned to me",
        _graphql(FILTERED, {"first": 20, "filter": {"assignees": {"me": True}}}),
        any_data=False,
        rest="RA",
    ),
    Work(
        "GT",
        "20 with a tag",
        _graphql(FILTERED, {"first": 20, "filter": {"tags": {"all": [TAG]}}}),
        any_data=False,
        rest="RT",
    ),
    Work("RC", "create", _rest_create, status=201, writes=True, any_data=False),
    Work("GC", "create", _graphql_create, writes=True, any_data=False, rest="RC"),
)
"""REST and GraphQL: each work of one door has its like at the other."""

MIX = {
    "R1": 25,
    "G1": 15,
    "R20": 15,
    "G20": 15,
    "RF": 8,
    "GF": 8,
    "R100": 3,
    "G100": 3,
    "RN": 2,
    "N100": 2,
    "RC": 2,
    "GC": 2,
}
"""Requests of each work in a hundred of the mixed load."""


def node_id(type_name: str, number: int) -> str:
    """GraphQL's id of a thing."""
    return base64.b64encode(f"{type_name}:{number}".encode()).decode()


def _encode(method: str, path: str, body: Any, token: str) -> bytes:
    content = b"" if body is None else orjson.dumps(body)
    head = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {token}",
        "Accept: application/json",
    ]
    if content:
        head += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*head, "", ""]).encode() + content
