"""Compiled routes answer as they would if FastAPI called them, whatever they are asked."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Body, Cookie, Depends, FastAPI, Form, Header, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.http.caching import MAX_LENGTH, MAX_REMEMBERED
from api.http.compiler import CompiledRoute, UnsupportedRoute, compile_route
from core.clock import now
from tests.actors import Person

VOLATILE = {"x-request-id", "x-process-time", "date", "ratelimit"}
LEFT_TO_FASTAPI = {
    "create_token": "a form",
    "get_jwks": "an answer without a model",
}
COMPILED = 306
"""Routes that have a compiled handler; those of the API stand twice, with the version in their path and without."""
READS = [
    "/tasks",
    "/tasks?limit=2",
    "/tasks?limit=02&skip=1",
    "/tasks?limit=0",
    "/tasks?limit=abc&limit=2",
    "/tasks?limit=2&limit=abc",
    "/tasks?unknown=1",
    "/tasks?unknown=1&unknown=2",
    "/tasks?status=pending&status=nope",
    "/tasks?status=pending&status=completed&priority=3&priority=1",
    "/tasks?priority=9",
    "/tasks?status=",
    "/tasks?search=",
    "/tasks?overdue=maybe",
    "/tasks?overdue=false&total=yes",
    "/tasks?due_after=2026-01-01&due_before=2025-01-01T00:00:00Z",
    "/tasks?due_after=2026-01-01T00:00:00Z&due_before=2025-01-01T00:00:00Z",
    "/tasks?expand=project&expand=tags&fields=id,title",
    "/tasks?expand=nothing",
    "/tasks?fields=id&fields=nope",
    "/tasks?cursor=bad",
    "/tasks?cursor=&skip=3",
    "/tasks?filter=%7B%22priority%22:%7B%22gte%22:1%7D%7D",
    "/tasks?filter={",
    "/tasks?search=%C3%A9%ff",
    "/tasks?q=%00",
    "/tasks/{task}",
    "/tasks/{task}?expand=project&expand=comments",
    "/tasks/{task}?fields=id,title&fields=ref",
    "/tasks/{task}?fields=",
    "/tasks/{task}?expand=x",
    "/tasks/abc",
    "/tasks/0",
    "/tasks/-1",
    "/tasks/99999999999999999999",
    "/tasks/2147483647",
    "/tasks/%F0%9F%98%80",
    "/tasks/{task}/",
    "/tasks/by-ref/{ref}",
    "/tasks/by-ref/nope",
    "/tasks/counts/status",
    "/tasks/counts/colour",
    "/projects?archived=perhaps",
    "/users/me",
    "//users/me",
    "//tasks?limit=1",
]
BODIES: list[tuple[str, str, dict[str, str], bytes]] = [
    ("POST", "/tasks", {"content-type": "application/json"}, body)
    for body in (
        b"",
        b"{}",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b'{"title": ""}',
        b'{"title": 5}',
        b'{"title": "x", "priority": 10}',
        b'{"title": "x", "priority": NaN}',
        b'{"title": "x", "priority": 1e400}',
        b'{"title": "x", "priority": 123456789012345678901234567890}',
        b'{"title": "\\ud800"}',
        b'{"title": "\xff"}',
        b'\xef\xbb\xbf{"title": ""}',
        b'{"title": "x", "unknown": 1}',
        b'{"title": "x", "due_at": "2026-01-01"}',
        b'{"title": "x", "project_id": 2147483647}',
        b"[" * 50_000,
    )
] + [
    ("POST", "/tasks", {"content-type": kind}, b'{"title": ""}')
    for kind in (
        "text/plain",
        "application/json; charset=utf-8",
        "application/vnd.api+json",
        "",
        "APPLICATION/JSON",
        "x",
    )
]
BODIES += [
    ("PATCH", "/tasks/{task}", {"content-type": "application/json", **headers}, body)
    for headers, body in (
        ({"if-match": '"99"'}, b'{"priority": 2}'),
        ({"if-match": "nonsense"}, b'{"priority": 2}'),
        ({}, b'{"status": null}'),
        ({}, b'{"priority": "high"}'),
    )
]
BODIES += [
    ("PATCH", "/tasks/x", {"content-type": "application/json"}, b"{"),
    ("POST", "/tasks", {"content-type": "application/json", "idempotency-key": "a b"}, b'{"title": "x"}'),
    ("PATCH", "/tasks/{task}/comments/1", {"content-type": "application/json"}, b'{"body": "x"}'),
    ("POST", "/projects/{project}/members", {"content-type": "application/json"}, b'{"username": "nobody"}'),
    ("PUT", "/projects/{project}/tasks/{task}?notify=perhaps", {"content-type": "application/json"}, b"{}"),
    ("POST", "//graphql", {"content-type": "application/json"}, b'{"query": "{ me { username } }"}'),
    ("POST", "//graphql", {"content-type": "application/json"}, b"{"),
]


@contextmanager
def fastapi_alone(app: FastAPI) -> Iterator[None]:
    """Have FastAPI call every route, as it must where a dependency is overridden."""
    app.dependency_overrides = {fastapi_alone: fastapi_alone}
    try:
        yield
    finally:
        app.dependency_overrides = {}


def shown(answer: httpx.Response) -> tuple[int, dict[str, str], Any]:
    headers = {name: value for name, value in answer.headers.items() if name not in VOLATILE}
    try:
        body = answer.json()
    except json.JSONDecodeError:
        return answer.status_code, headers, answer.content
    if isinstance(body, dict):
        body.pop("request_id", None)
        headers.pop("content-length", None)
        for error in body.get("errors", []):
            error.get("extensions", {}).pop("requestId", None)
    return answer.status_code, headers, body


class TestCompiledRoutes:
    async def test_all_are_compiled_but_those_that_are_named_here(self, app: FastAPI) -> None:
        routes = [route for route in app.router.routes if isinstance(route, CompiledRoute)]
        left = [route.name for route in routes if route.compiled is None]

        assert set(left) == LEFT_TO_FASTAPI.keys()
        assert len(routes) - len(left) == COMPILED

    async def test_reads_answer_as_through_fastapi(self, app: FastAPI, ada: Person, subtests: pytest.Subtests) -> None:
        task = await ada.task(tags=["bug"])
        for path in READS:
            url = path.replace("{task}", str(task["id"])).replace("{ref}", task["ref"])
            with subtests.test(path=path):
                compiled = shown(await ada.get(url))
                with fastapi_alone(app):
                    assert compiled == shown(await ada.get(url))

    @pytest.mark.parametrize("known", ["*", '"1"', 'W/"1", "7"', '"2"', "nonsense", ""])
    async def test_conditions_answer_as_through_fastapi(self, app: FastAPI, ada: Person, known: str) -> None:
        task = await ada.task()
        headers = {"if-none-match": known}
        compiled = shown(await ada.get(f"/tasks/{task['id']}", headers=headers))
        with fastapi_alone(app):
            assert compiled == shown(await ada.get(f"/tasks/{task['id']}", headers=headers))

    async def test_bodies_are_taken_and_refused_as_through_fastapi(
        self, app: FastAPI, ada: Person, subtests: pytest.Subtests
    ) -> None:
        project = await ada.project()
        task = await ada.task(project_id=project["id"])
        for method, path, headers, body in BODIES:
            url = path.replace("{task}", str(task["id"])).replace("{project}", str(project["id"]))
            with subtests.test(path=path, headers=headers, body=body[:60]):
                compiled = shown(await ada.rest(method, url, headers=headers, content=body))
                with fastapi_alone(app):
                    assert compiled == shown(await ada.rest(method, url, headers=headers, content=body))

    @pytest.mark.parametrize(
        "credentials", [{}, {"authorization": "Bearer x"}, {"x-api-key": "x"}, {"authorization": "x"}]
    )
    async def test_callers_without_rights_are_refused_as_through_fastapi(
        self, app: FastAPI, client: httpx.AsyncClient, credentials: dict[str, str]
    ) -> None:
        for path in ("/api/v1/tasks", "/api/v1/tasks?limit=x", "/api/v1/tasks/1", "/admin/clear-tasks"):
            compiled = shown(await client.get(path, headers=credentials))
            with fastapi_alone(app):
                assert compiled == shown(await client.get(path, headers=credentials))

    async def test_head_has_the_headers_of_get(self, ada: Person) -> None:
        task = await ada.task()
        read, head = await ada.get(f"/tasks/{task['id']}"), await ada.rest("HEAD", f"/tasks/{task['id']}")

        assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", read.headers["etag"])

    async def test_creation_happens_once_where_the_request_is_left_to_fastapi(self, ada: Person) -> None:
        kind = {"content-type": "application/json; charset=utf-8"}
        answer = await ada.rest("POST", "/tasks", headers=kind, content=b'{"title": "Once"}')

        assert answer.status_code == 201
        assert [task["title"] for task in (await ada.get("/tasks")).json()] == ["Once"]


class Wanted(BaseModel):
    name: str = ""


def depends_on(call: Callable[..., Any]) -> Any:
    return Annotated[Any, Depends(call)]


def blocking() -> int:
    return 1


async def with_cookie(value: Annotated[str | None, Cookie()] = None) -> str | None:
    return value


# mypy takes no annotation that is made by a call; FastAPI reads it at run time
async def _with_blocking(value: depends_on(blocking)) -> Response:  # type: ignore[valid-type]
    return Response()


async def _with_cookie(value: depends_on(with_cookie)) -> Response:  # type: ignore[valid-type]
    return Response()


async def _with_form(name: Annotated[str, Form()]) -> Response:
    return Response()


async def _with_embedded_body(a: Annotated[Wanted, Body(embed=True)]) -> Response:
    return Response()


async def _with_needed_query(name: Annotated[str, Query()]) -> Response:
    return Response()


async def _with_repeated_header(name: Annotated[list[str], Header()] = []) -> Response:  # noqa: B006
    return Response()


async def _with_made_default(at: Annotated[datetime, Query(default_factory=now)]) -> Response:
    return Response()


async def _with_validation_alias(name: Annotated[str, Query(validation_alias="called")] = "") -> Response:
    return Response()


async def _with_underscored_header(a_b: Annotated[str, Header(convert_underscores=False)] = "") -> Response:
    return Response()


def _blocking() -> Response:
    return Response()


async def _answering_a_model() -> Wanted:
    return Wanted()


class TestWhatIsNotCompiled:
    """It is left to FastAPI, rather than called in another way."""

    @pytest.mark.parametrize(
        "endpoint",
        [
            _with_blocking,
            _with_cookie,
            _with_form,
            _with_embedded_body,
            _with_needed_query,
            _with_repeated_header,
            _with_made_default,
            _with_validation_alias,
            _with_underscored_header,
            _blocking,
            _answering_a_model,
        ],
    )
    def test_route_is_unsupported(self, endpoint: Callable[..., Any]) -> None:
        with pytest.raises(UnsupportedRoute):
            compile_route(APIRoute("/", endpoint))

    async def test_plain_route_is_compiled(self) -> None:
        async def endpoint(request: Request, name: Annotated[str, Query()] = "nobody") -> Response:
            return Response(name)

        handle = compile_route(APIRoute("/", endpoint))
        for query, expected in ((b"", b"nobody"), (b"name=ada", b"ada"), (b"name=ada&name=bob", b"bob")):
            response = await handle(Request({"type": "http", "query_string": query, "headers": [], "path_params": {}}))
            assert response is not None
            assert response.body == expected


class Frozen(Wanted, frozen=True):
    pass


class TestRememberedQueries:
    """A model of query parameters that nobody can change is made once for the same query."""

    async def asked(self, model: type[Wanted], *queries: bytes) -> list[Any]:
        """What the endpoint is given for each of the queries, or None where the request is left to FastAPI."""
        given: list[Any] = []

        # the same of a model that is handed in
        async def endpoint(query: Annotated[model, Query()]) -> Response:  # type: ignore[valid-type]
            given.append(query)
            return Response()

        handle = compile_route(APIRoute("/", endpoint))
        for query in queries:
            if await handle(Request({"type": "http", "query_string": query, "headers": []})) is None:
                given.append(None)
        return given

    async def test_what_is_frozen_is_remembered(self) -> None:
        first, other, again = await self.asked(Frozen, b"name=ada", b"name=bob", b"name=ada")
        assert (first.name, other.name) == ("ada", "bob")
        assert first is again

    async def test_what_can_be_changed_is_made_anew(self) -> None:
        first, again = await self.asked(Wanted, b"name=ada", b"name=ada")
        assert first == again
        assert first is not again

    async def test_what_is_long_is_made_anew(self) -> None:
        query = b"name=" + b"a" * MAX_LENGTH
        first, again = await self.asked(Frozen, query, query)
        assert first == again
        assert first is not again

    async def test_what_is_refused_is_refused_again(self) -> None:
        class Number(Frozen, frozen=True):
            number: int

        assert await self.asked(Number, b"number=x", b"number=x", b"number=7") == [None, None, Number(number=7)]

    async def test_no_more_than_so_many_are_remembered(self) -> None:
        queries = [b"name=%d" % number for number in range(MAX_REMEMBERED + 1)]
        first, *_, again = await self.asked(Frozen, *queries, queries[0])
        assert first == again
        assert first is not again

    async def test_time_goes_on_for_a_remembered_query(self, ada: Person) -> None:
        soon = now() + timedelta(seconds=0.5)
        await ada.task(title="Due soon", due_at=soon.isoformat())
        assert (await ada.get("/tasks?overdue=true")).json() == []
        await asyncio.sleep((soon - now()).total_seconds() + 0.01)
        assert [task["title"] for task in (await ada.get("/tasks?overdue=true")).json()] == ["Due soon"]
