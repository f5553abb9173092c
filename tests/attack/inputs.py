"""Bodies, numbers, texts and documents as nobody in good faith sends them, on both doors: refused, and never a 500."""

import json
from typing import Any

import httpx

from tests.attack.probes import Finding, probe
from tests.attack.world import World

RAW: dict[str, bytes] = {
    "a string": b'"x"',
    "null": b"null",
    "nothing": b"",
    "bytes that are no text": b"\xff\xfe",
    "100,000 brackets": b"[" * 100_000,
    "100,000 objects": b'{"a":' * 100_000,
    "NaN": b'{"title": NaN, "query": NaN}',
    "a number too large": b'{"title": 1e999, "query": 1e999}',
    "a number of 5,000 digits": b'{"priority": ' + b"9" * 5_000 + b', "query": "{ me { id } }"}',
    "the same key twice": b'{"title": "a", "title": "b", "query": 1, "query": 2}',
    "a lone surrogate": rb'{"title": "\ud800", "query": "{ \ud800 }"}',
    "NUL": rb'{"title": "a\u0000b", "query": "{ \u0000 }"}',
}

for _name, _raw in RAW.items():

    @probe("bodies", _name)
    def _(world: World, raw: bytes = _raw) -> Finding:
        headers = world.mallory.headers | {"Content-Type": "application/json"}
        accept = headers | {"Accept": "application/graphql-response+json"}
        with httpx.Client(base_url=world.base_url, timeout=20) as client:
            rest = client.post("/api/v1/tasks", content=raw, headers=headers).status_code
            graphql = client.post("/graphql", content=raw, headers=accept).status_code
        refused = {400, 413, 422}
        return Finding(rest in refused and graphql in refused, f"{rest} and {graphql}")


VALUES: dict[str, dict[str, Any]] = {
    "an integer past 2^31": {"priority": 2**31},
    "an integer past 2^63": {"priority": 2**63},
    "a fraction": {"priority": 1.5},
    "the year 1": {"due_at": "0001-01-01T00:00:00+14:00"},
    "the year 9999": {"due_at": "9999-12-31T23:59:59-14:00"},
    "a title of a megabyte": {"title": "x" * 1_000_000},
    "invisible characters": {"title": "\u200b\u2060"},
    "1,000 tags": {"tags": [f"t{number}" for number in range(1_000)]},
    "a parent past 2^63": {"parent_id": 2**63},
    "a project of text": {"project_id": "1 OR 1=1"},
}

for _name, _fields in VALUES.items():

    @probe("values", _name)
    def _(world: World, fields: dict[str, Any] = _fields) -> Finding:
        with httpx.Client(base_url=world.base_url, timeout=20) as client:
            body = {"title": "x"} | fields
            rest = client.post("/api/v1/tasks", json=body, headers=world.mallory.headers)
            named = {_camel(name): value for name, value in body.items()}
            mutation = "mutation ($i: CreateTaskInput!) { createTask(input: $i) { task { id } } }"
            payload = {"query": mutation, "variables": {"i": named}}
            graphql = client.post("/graphql", json=payload, headers=world.mallory.headers).json()
        code = graphql["errors"][0]["extensions"]["code"] if "errors" in graphql else "taken"
        refused = rest.status_code in {400, 404, 422} and code in {"BAD_USER_INPUT", "NOT_FOUND"}
        return Finding(refused, f"{rest.status_code} and {code}")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.title, rest))


ADDRESSES: dict[str, str] = {
    "a cursor of nothing": "/tasks?cursor=AAAA",
    "a limit past everything": "/tasks?limit=99999999999999999999",
    "a filter of 8 kB": "/tasks?filter=" + json.dumps({"or": [{"search": "abc"}] * 300}).replace(" ", ""),
    "a page before the first": "/tasks?offset=-1",
    "a parameter that is not there": "/tasks?owner=me",
    "an identifier past 2^63": f"/tasks/{2**64}",
    "a NUL in the path": "/tasks/%00",
    "dots in the path": "/tasks/../../etc/passwd",
}

for _name, _path in ADDRESSES.items():

    @probe("addresses", _name)
    def _(world: World, path: str = _path) -> Finding:
        with httpx.Client(base_url=world.base_url, timeout=20) as client:
            answer = client.get(f"/api/v1{path}", headers=world.mallory.headers)
        typed = answer.headers.get("content-type", "").startswith("application/problem+json")
        return Finding(answer.status_code in {400, 404, 422} and typed, f"{answer.status_code}")


DOCUMENTS: dict[str, str] = {
    "a document that is valid, once and again": (
        "query A($x: Boolean!) { me @include(if: $x) { id } } query B($x: [ID!]!) { nodes(ids: $x) { id } }"
    ),
    "fragments that contain each other": "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
    "a depth of 10,000": "{ " + "me { " * 10_000 + "id" + " }" * 10_001,
    "unfinished": "{ me { id ",
    "a mutation 100 times": "mutation { "
    + " ".join(f"a{number}: deleteTask(input: {{id: 1}}) {{ id }}" for number in range(100))
    + " }",
}

for _name, _query in DOCUMENTS.items():

    @probe("documents", _name)
    def _(world: World, query: str = _query) -> Finding:
        payload = {"query": query, "operationName": "B", "variables": {"x": ["VXNlcjox"]}}
        if " query B" not in query:
            payload = {"query": query}
        statuses = []
        with httpx.Client(base_url=world.base_url, timeout=20) as client:
            for _ in range(2 * world.workers):
                answer = client.post("/graphql", json=payload, headers=world.mallory.headers)
                statuses.append(answer.status_code)
                codes = {error["extensions"]["code"] for error in answer.json().get("errors", ())}
                if "INTERNAL_SERVER_ERROR" in codes:
                    statuses.append(500)
        return Finding(max(statuses) < 500, f"{sorted(set(statuses))}")


@probe("origins", "a page of somebody else's")
def _(world: World) -> Finding:
    headers = world.mallory.headers | {"Origin": "https://evil.example"}
    with httpx.Client(base_url=world.base_url, timeout=20) as client:
        allowed = client.get("/api/v1/users/me", headers=headers).headers.get("access-control-allow-origin")
    return Finding(allowed is None, f"Access-Control-Allow-Origin: {allowed}")


@probe("errors", "a defect or a refusal tells nothing of SQL")
def _(world: World) -> Finding:
    told = ""
    with httpx.Client(base_url=world.base_url, timeout=20) as client:
        for path in ("/tasks?cursor='", "/tasks?sort_by=id;drop", "/tasks/1'"):
            told += client.get(f"/api/v1{path}", headers=world.mallory.headers).text
    spoken = [word for word in ("SELECT", "sqlite3", "psycopg", "Traceback", 'File "') if word in told]
    return Finding(not spoken, f"said {spoken}" if spoken else "")
