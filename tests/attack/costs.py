"""Small requests that take much: while one caller sends them without end, somebody else only wants to read a task."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from tests.attack.load import Sent
from tests.attack.world import World

Make = Callable[[World], list[Sent]]

COSTLY: dict[str, Make] = {}
"""By name."""
LARGEST = 21_000_000
"""Bytes that an answer may have, with some for what stands around it."""


def costly(name: str) -> Callable[[Make], Make]:
    def put(make: Make) -> Make:
        COSTLY[name] = make
        return make

    return put


def graphql(query: str, variables: dict[str, Any] | None = None, *, anonymous: bool = False) -> Sent:
    """A GraphQL request."""
    body = json.dumps({"query": query, "variables": variables or {}}).encode()
    return Sent("POST", "/graphql", body, anonymous=anonymous)


def rest(path: str, body: Any = None, *, method: str = "") -> Sent:
    """A REST request."""
    content = None if body is None else json.dumps(body).encode()
    return Sent(method or ("POST" if content else "GET"), f"/api/v1{path}", content)


def _aliases(field: str, count: int) -> str:
    return " ".join(f"a{number}: {field}" for number in range(count))


def _filtered(filter_: dict[str, Any], aliases: int) -> Sent:
    fields = _aliases("tasks(first: 0, filter: $f) { totalCount }", aliases)
    return graphql(f"query ($f: TaskFilter) {{ {fields} }}", {"f": filter_})


@costly("one-letter searches, 100 aliases of 45 branches")
def _(_world: World) -> list[Sent]:
    return [_filtered({"or": [{"search": "q"}] * 45}, 100)]


@costly("45 different short searches in one filter, by a few aliases")
def _(_world: World) -> list[Sent]:
    words = [first + second for first in "qxjzy" for second in "abcdefghi"]
    return [_filtered({"or": [{"search": word} for word in words]}, count) for count in (1, 4, 10)]


@costly("words that others have by the thousand")
def _(_world: World) -> list[Sent]:
    return [_filtered({"or": [{"search": f"{a}a{b}"} for a in "bdgkl" for b in "ndr"]}, 10)]


@costly("searches over REST, one letter, with totals")
def _(_world: World) -> list[Sent]:
    many = quote(json.dumps({"or": [{"search": letter} for letter in "qwxyzjv"]}))
    return [rest("/tasks?search=q&total=true"), rest(f"/tasks?filter={many}&total=true")]


@costly("a description that is not there, in any order")
def _(_world: World) -> list[Sent]:
    orders = ["created_at", "updated_at", "due_at", "priority", "title", "start_at", "completed_at"]
    return [rest(f"/tasks?search=%C3%BE&sort_by={order}&order=asc") for order in orders]


@costly("sets of tags, 45 branches")
def _(_world: World) -> list[Sent]:
    sets = {"tags": {"all": [f"t{n}" for n in range(20)], "none": [f"n{n}" for n in range(50)]}}
    return [_filtered({"or": [sets] * 14}, 20), _filtered({"or": [sets] * 45}, 1)]


@costly("sets of people and relations")
def _(world: World) -> list[Sent]:
    import base64

    people = [base64.b64encode(f"User:{n}".encode()).decode() for n in range(1, 20)]
    tasks = [base64.b64encode(f"Task:{n}".encode()).decode() for n in range(1, 90)]
    each = {"assignees": {"all": people}, "relations": {"none": tasks}, "blocked": False}
    _ = world
    return [_filtered({"or": [each] * 8}, 20), _filtered({"not": {"and": [each] * 8}}, 50)]


@costly("pages of pages")
def _(_world: World) -> list[Sent]:
    inner = "tasks(first: 100) { edges { node { id title tags { id } assignees { id } } } }"
    return [
        graphql(f"{{ tasks(first: 100) {{ edges {{ node {{ project {{ {inner} }} }} }} }} }}"),
        graphql(f"{{ projects(first: 100) {{ edges {{ node {{ {_aliases(inner, 20)} }} }} }} }}"),
        graphql(f"{{ {_aliases(f'projects {{ edges {{ node {{ {inner} }} }} }}', 15)} }}"),
    ]


@costly("answers of long texts by aliases")
def _(_world: World) -> list[Sent]:
    texts = _aliases("description", 90)
    return [graphql(f'{{ tasks(first: 50, search: "Long") {{ edges {{ node {{ {texts} }} }} }} }}')]


@costly("long texts over REST")
def _(_world: World) -> list[Sent]:
    return [rest("/tasks?limit=100&search=Long"), rest("/tasks?limit=100&expand=project,tags,assignees,subtasks")]


@costly("introspection, known and not")
def _(_world: World) -> list[Sent]:
    of_type = "name kind ofType { name kind ofType { name kind ofType { name kind } } }"
    fields = f"name description fields {{ name description args {{ name type {{ {of_type} }} }} type {{ {of_type} }} }}"
    types = f"__schema {{ types {{ {fields} inputFields {{ name type {{ {of_type} }} }} enumValues {{ name }} }} }}"
    return [
        graphql(f"{{ {_aliases(types, count)} }} # {count}", anonymous=anonymous)
        for count in (1, 2, 8)
        for anonymous in (False, True)
    ]


@costly("distinct documents of 4 kB by nobody")
def _(_world: World) -> list[Sent]:
    def document(number: int) -> str:
        fields = " ".join(f"f{number}x{n}: tasks(first: 1) {{ totalCount }}" for n in range(80))
        return f"query Q{number} {{ {fields} }}"

    return [graphql(document(number), anonymous=True) for number in range(2_000)]


@costly("bulk creation with 1,000 parents of nothing")
def _(_world: World) -> list[Sent]:
    tasks = [{"title": "x", "parent_id": 900_000 + number} for number in range(1_000)]
    return [rest("/tasks/bulk/create", {"mode": "partial", "tasks": tasks})]


@costly("bulk creation with 50,000 tags")
def _(_world: World) -> list[Sent]:
    tasks = [{"title": "x", "tags": [f"g{number * 50 + n}" for n in range(50)]} for number in range(1_000)]
    return [rest("/tasks/bulk/create", {"tasks": tasks})]


@costly("all tags of a project, by each of its tasks")
def _(_world: World) -> list[Sent]:
    return [
        graphql(f"{{ tasks(first: {size}) {{ edges {{ node {{ project {{ tags {{ id name color }} }} }} }} }} }}")
        for size in (10, 20, 100)
    ]


@costly("bulk updates of everything, in turn")
def _(world: World) -> list[Sent]:
    ids = range(world.mallory.task_id, world.mallory.task_id + 90)
    return [
        rest("/tasks/bulk/update", {"mode": "partial", "tasks": [{"id": id_, "priority": priority} for id_ in ids]})
        for priority in (1, 2)
    ]


@costly("bodies with 1,000 things wrong")
def _(_world: World) -> list[Sent]:
    tasks = [{"title": "", "priority": 9, "tags": [""] * 50, "due_at": "never", "what": 1} for _ in range(1_000)]
    mutation = "mutation ($t: [TaskDraftInput!]!) { createTasks(input: {tasks: $t}) { __typename } }"
    return [rest("/tasks/bulk/create", {"tasks": tasks}), graphql(mutation, {"t": tasks})]


@costly("two megabytes of JSON")
def _(_world: World) -> list[Sent]:
    deep = b"[" * 500_000 + b"]" * 500_000
    many = json.dumps({"query": "{ me { id } }", "variables": {"a": list(range(250_000))}}).encode()
    text = json.dumps({"title": "x", "description": "\u00e9" * 600_000}, ensure_ascii=False).encode()
    return [
        Sent("POST", "/graphql", deep),
        Sent("POST", "/graphql", many),
        Sent("POST", "/api/v1/tasks", text),
        Sent("POST", "/api/v1/tasks", deep),
    ]


@costly("documents that take long to validate")
def _(_world: World) -> list[Sent]:
    unknown = "{ " + " ".join(f"f{number}" for number in range(2_400)) + " }"
    doubling = "{ ...F0 } " + " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(20))
    doubling += " fragment F20 on Query { __typename }"
    conflicting = "{ " + " ".join(f"tasks(first: {number}) {{ totalCount }}" for number in range(50)) + " }"
    comments = "{ me { id } }" + " #" * 60_000
    return [graphql(query) for query in (unknown, doubling, conflicting, comments)]


@costly("logins with wrong passwords")
def _(_world: World) -> list[Sent]:
    mutation = "mutation { " + _aliases('login(input: {username: "nobody", password: "no"}) { accessToken }', 20) + " }"
    form = Sent(
        "POST", "/api/v1/token", b"username=victim&password=wrong", "application/x-www-form-urlencoded", anonymous=True
    )
    return [graphql(mutation, anonymous=True), form]


@costly("the last pages of long lists")
def _(_world: World) -> list[Sent]:
    lists = ["/tasks?limit=100&total=true", "/projects?total=true", "/users/me", "/saved-views"]
    return [rest(path) for path in lists]
