"""Query parameters: each is taken, or refused by its name, by a compiled route as by FastAPI; headers that repeat."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.http.addresses import MAX_ADDRESS
from api.http.parameters import NOT_TEXT, REPEATED, UNKNOWN, Parameters, grouped
from api.http.route import ProbeRoute, StrictRoute
from tests.actors import PASSWORD, Anonymous, Person
from tests.test_compiled_routes import fastapi_alone, shown

# a value that each parameter takes; a list takes it twice
VALUES = {
    "sort_by": "title",
    "order": "asc",
    "status": "pending",
    "priority": "3",
    "assignee": "me",
    "tag": "bug",
    "due_after": "2026-01-01T00:00:00Z",
    "due_before": "2026-02-01T00:00:00Z",
    "due_on": "2026-02-01",
    "overdue": "true",
    "recurring": "true",
    "search": "alpha",
    "filter": "{}",
    "trashed": "true",
    "expand": "tags",
    "fields": "id",
    "skip": "1",
    "limit": "1",
    "cursor": "abc",
    "after": "x",
    "total": "true",
    "exact": "true",
    "envelope": "true",
    "external_source": "crm",
    "archived": "true",
    "notify": "false",
    "with_parents": "true",
    "kind": "task.updated",
    "include": "task",
    "wait": "0",
    "unread": "true",
}

ENDLESS = dict.fromkeys(("/api/v1/events", "/api/v1/tasks/live"), "&after=nothing")
"""What a stream refuses for its value, so that it ends here: what it would refuse by itself is told with it."""


def routes(app: FastAPI) -> Iterator[tuple[str, StrictRoute, Parameters]]:
    """The routes of the version, each with its method and what it takes."""
    for route in app.router.routes:
        if isinstance(route, StrictRoute) and route.path.startswith("/api/v1") and route.parameters is not None:
            for method in route.methods or ():
                yield method, route, route.parameters


def value(name: str) -> str:
    """One that the parameter takes: of things, their ids."""
    return "1" if name.endswith("_id") else VALUES[name]


def named(answer: httpx.Response) -> list[tuple[str, str, str]]:
    return [(item["location"], item["pointer"], item["type"]) for item in answer.json()["errors"]]


async def both_ways(app: FastAPI, caller: Anonymous, method: str, url: str, **options: Any) -> httpx.Response:
    """The answer, which is the same compiled and by FastAPI."""
    planned = await caller.client.request(method, url, headers=caller.headers, **options)
    with fastapi_alone(app):
        other = await caller.client.request(method, url, headers=caller.headers, **options)
    assert shown(planned) == shown(other)
    return planned


def body(method: str, url: str) -> dict[str, Any]:
    """An empty one; the form of a login is another."""
    return {"json": {}} if method in {"POST", "PUT", "PATCH"} and not url.endswith("/token") else {}


class TestEveryRoute:
    async def test_has_a_value_here_for_each_of_its_parameters(self, app: FastAPI) -> None:
        names = {name for _, _, taken in routes(app) for name in taken.repeatable}
        assert {name for name in names if not name.endswith("_id")} == VALUES.keys()

    async def test_refuses_a_parameter_that_it_does_not_know(self, app: FastAPI, ada: Person) -> None:
        for method, route, _ in routes(app):
            url = route.path_format.format(**dict.fromkeys(route.param_convertors, "1"))
            for query in ("colour=red", "colour=red&colour=blue", "Limit=5", "=1"):
                answer = await both_ways(app, ada, method, f"{url}?{query}", **body(method, url))
                assert answer.status_code == 422, (method, url)
                name = query.partition("=")[0]
                assert ("query", f"/{name}", UNKNOWN) in named(answer)
                assert [place for place in named(answer) if place[0] == "query"] == [("query", f"/{name}", UNKNOWN)]

    async def test_refuses_one_that_repeats_unless_it_is_a_list(self, app: FastAPI, ada: Person) -> None:
        for method, route, taken in routes(app):
            url = route.path_format.format(**dict.fromkeys(route.param_convertors, "1"))
            for name, several in taken.repeatable.items():
                given = value(name).replace("{}", "%7B%7D")
                query = f"{name}={given}&{name}={given}{ENDLESS.get(url, '')}"
                answer = await both_ways(app, ada, method, f"{url}?{query}", **body(method, url))
                refused = ("query", f"/{name}", REPEATED[0]) in (named(answer) if answer.status_code == 422 else [])
                assert refused is not several, (method, url, name)

    async def test_refuses_what_is_no_text(self, app: FastAPI, ada: Person) -> None:
        for method, route, taken in routes(app):
            url = route.path_format.format(**dict.fromkeys(route.param_convertors, "1"))
            for name in taken.repeatable:
                for bad in ("%ff", "a%ED%A0%80", "%C3"):
                    answer = await both_ways(app, ada, method, f"{url}?{name}={bad}", **body(method, url))
                    assert (answer.status_code, named(answer)[0]) == (422, ("query", f"/{name}", NOT_TEXT[0]))


class TestPlaces:
    async def test_every_fault_of_a_request_is_named_once(self, app: FastAPI, ada: Person) -> None:
        url = "/api/v1/tasks?search=a&search=b&limit=x&limit=y&colour=red&skip=-1"
        answer = await both_ways(app, ada, "GET", url)

        assert sorted(named(answer)) == [
            ("query", "/colour", "extra_forbidden"),
            ("query", "/limit", "repeated"),
            ("query", "/search", "repeated"),
            ("query", "/skip", "greater_than_equal"),
        ]
        answer = await both_ways(app, ada, "POST", "/api/v1/tasks?x=1", json={"title": ""})
        assert named(answer) == [("query", "/x", "extra_forbidden"), ("body", "/title", "blank")]

    async def test_nothing_is_written(self, ada: Person) -> None:
        refused = await ada.post("/tasks?quietly=true", {"title": "x"})

        assert (refused.status_code, named(refused)) == (422, [("query", "/quietly", "extra_forbidden")])
        assert (await ada.get("/tasks?total=true")).headers["x-total-count"] == "0"

    async def test_credentials_are_looked_at_first(self, app: FastAPI, anonymous: Anonymous) -> None:
        guessing = Anonymous(anonymous.client, {"Authorization": "Bearer guess"})
        assert (await both_ways(app, guessing, "GET", "/api/v1/tasks?colour=red")).status_code == 401

    @pytest.mark.parametrize("path", ["//", "//health", "//health/ready", "//.well-known/jwks.json", "//openapi.json"])
    async def test_probes_and_pages_take_any(self, anonymous: Anonymous, path: str) -> None:
        assert (await anonymous.get(f"{path}?utm_source=a&utm_source=b&x=%ff")).status_code == 200

    async def test_only_probes_do(self, app: FastAPI) -> None:
        lenient = {route.path for route in app.router.routes if isinstance(route, ProbeRoute)}
        assert lenient == {"/", "/health", "/health/ready", "/metrics", "/.well-known/jwks.json"}

    async def test_fields_of_a_form_are_there_once(self, app: FastAPI, ada: Person) -> None:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        form = f"username={ada.username}&password={PASSWORD}"
        for repeated in ("username=x", "password=x", f"username={ada.username}", "scope=a&scope=b"):
            answer = await ada.client.post("/api/v1/token", content=f"{form}&{repeated}", headers=kind)
            assert answer.status_code == 422
            assert named(answer) == [("body", f"/{repeated.partition('=')[0]}", "repeated")]
        assert (await ada.client.post("/api/v1/token", content=form, headers=kind)).status_code == 200


class TestGraphQL:
    @pytest.mark.parametrize("name", ["query", "variables", "operationName", "extensions"])
    async def test_a_part_of_a_request_is_there_once(self, ada: Person, name: str) -> None:
        answer = await ada.get(f"//graphql?query={{__typename}}&{name}={{}}&{name}={{}}")

        assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (400, "BAD_REQUEST")
        assert answer.json()["errors"][0]["message"] == f"{name} is there more than once, and takes one value"

    async def test_others_are_ignored(self, ada: Person) -> None:
        """As GraphQL over HTTP has it (section 5)."""
        assert (await ada.get("//graphql?query={__typename}&x=1&x=2")).json() == {"data": {"__typename": "Query"}}


class TestGrouped:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            (b"", {}),
            (b"a=1&b=2&a=3", {"a": ["1", "3"], "b": ["2"]}),
            (b"&&a&b=&", {"a": [""], "b": [""]}),
            (b"a=%31+%2B", {"a": ["1 +"]}),
            (b"a=%C3%A9", {"a": ["é"]}),
            (b"a=%ff", {"a": ["\udcff"]}),
            (b"a=\xc3\xa9", {"a": ["\udcc3\udca9"]}),
            (b"a=1;b=2", {"a": ["1;b=2"]}),
        ],
    )
    def test_values_in_their_order(self, query: bytes, expected: dict[str, list[str]]) -> None:
        assert grouped(query) == expected


class TestLongAddresses:
    async def test_are_refused_by_their_length(self, ada: Person) -> None:
        start = "/api/v1/tasks?search="
        longest = start + "a" * (MAX_ADDRESS - len(start) + 1)
        assert (await ada.client.get(longest, headers=ada.headers)).status_code == 422
        answer = await ada.client.get(longest + "a", headers=ada.headers)

        assert answer.status_code == 414
        assert (answer.json()["title"], answer.json()["code"]) == ("URI Too Long", "URI_TOO_LONG")

    @pytest.mark.parametrize("length", [MAX_ADDRESS + 1, 65_000])
    def test_a_server_hands_them_on(self, live_server: str, length: int) -> None:
        assert httpx.get(f"{live_server}/health?{'a' * length}").status_code == 414


class TestRepeatedHeaders:
    @pytest.mark.parametrize("name", ["Authorization", "X-API-Key", "Content-Type", "Idempotency-Key"])
    async def test_two_of_what_there_is_one_are_refused_by_name(self, app: FastAPI, ada: Person, name: str) -> None:
        given = [
            *ada.headers.items(),
            ("Content-Type", "application/json"),
            ("X-API-Key", "x"),
            ("Idempotency-Key", "x"),
        ]
        answer = await ada.client.post("/api/v1/tasks", content=b"{}", headers=[*given, (name, "another")])

        assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
        assert answer.json()["detail"].startswith(f"{name.title()} is there more than once")

    async def test_the_same_twice_is_one(self, ada: Person) -> None:
        twice = [*ada.headers.items()] * 2
        assert (await ada.client.get("/api/v1/tasks", headers=twice)).status_code == 200

    async def test_lists_go_on_the_next_line(self, app: FastAPI, ada: Person) -> None:
        task = await ada.task()
        url = f"/api/v1/tasks/{task['id']}"
        for name, values, status in (
            ("If-None-Match", ('"7"', '"1"'), 304),
            ("If-None-Match", ('"7"', '"8"'), 200),
            ("If-Match", ('"7"', '"1"'), 200),
            ("If-Match", ('"7"', '"8"'), 412),
        ):
            lines = [*ada.headers.items(), *((name, value) for value in values)]
            method = "PATCH" if name == "If-Match" else "GET"
            options: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
            answer = await ada.client.request(method, url, headers=lines, **options)
            assert answer.status_code == status, (name, values)
            with fastapi_alone(app):
                assert shown(answer) == shown(await ada.client.request(method, url, headers=lines, **options))

    async def test_media_types_on_two_lines_are_one_list(self, ada: Person) -> None:
        for method in ("GET", "POST"):
            lines = [*ada.headers.items(), ("Accept", "text/csv"), ("Accept", "application/json")]
            options: dict[str, Any] = (
                {"json": {"query": "{__typename}"}} if method == "POST" else {"params": {"query": "{__typename}"}}
            )
            answer = await ada.client.request(method, "/graphql", headers=lines, **options)
            assert (answer.status_code, answer.json()) == (200, {"data": {"__typename": "Query"}})


def test_bytes_that_are_no_ascii_are_refused_by_a_server(live_server: str) -> None:
    """curl sends them as they are typed; FastAPI would read UTF-8 as Latin-1."""
    import socket

    host, port = live_server.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall("GET /api/v1/tasks?search=é HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head = line.recv(100)
    assert head.split()[1] in {b"400", b"401", b"422"}
