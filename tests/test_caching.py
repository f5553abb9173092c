"""What caches may do with answers, and which headers they depend on: every route, both doors, whatever comes of it."""

import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from graphql import GraphQLObjectType, get_named_type

from api.graphql.http import STATUS
from db.driver.database import Database
from graphql_schema.execution.guests import CREDENTIALS
from graphql_schema.schema import schema
from tests.actors import PASSWORD, Anonymous, Person
from tests.doors import Door, another_instance, calling, log_in, on_both_doors
from tests.operations import run
from tests.streaming import begin
from tests.test_api_keys import ROTATE
from tests.test_rate_limits import REGISTER, somebody
from tests.test_security_events import CREATE_KEY
from tests.test_sessions import REFRESH

CALLERS = {"authorization", "x-api-key", "origin"}
CREDENTIAL_ROUTES = {
    *("create_token", "refresh_token", "register_user", "create_api_key", "rotate_api_key"),
    *("create_webhook", "rotate_webhook_secret"),
}
ANSWERED = {"accessToken", "refreshToken", "secret"}
"""The fields of GraphQL that hold what nobody may keep."""
OPEN = {
    "get_health": ("no-store", {"origin"}),
    "get_readiness": ("no-store", {"origin"}),
    "get_jwks": ("no-cache", {"origin"}),
    "get_root": ("no-cache", {"accept", "origin"}),
    "swagger_page": ("no-cache", {"origin"}),
    "redoc_page": ("no-cache", {"origin"}),
    "reference_page": ("no-cache", {"origin"}),
    "guides_page": ("no-cache", {"origin"}),
    "guide_page": ("no-cache", {"accept", "origin"}),  # there is none of the name that is asked for
    "schema_text": ("no-cache", {"origin"}),
    "asyncapi_json": ("no-cache", {"origin"}),
    "unsubscribe_page": ("no-store", {"origin"}),  # its address is a secret
    "favicon": ("public, max-age=86400", {"origin"}),
}


def vary(headers: httpx.Headers) -> set[str]:
    return {name.strip().lower() for name in headers.get("vary", "").split(",")} - {"", "accept-encoding"}


def told(headers: httpx.Headers) -> tuple[str | None, set[str]]:
    assert len(headers.get_list("cache-control")) <= 1
    return headers.get("cache-control"), vary(headers)


def routes(app: FastAPI) -> list[tuple[str, APIRoute]]:
    found = [route for route in app.routes if isinstance(route, APIRoute)]
    return [(method, route) for route in found for method in sorted(route.methods or ())]


STREAMS = {"follow_changes", "follow_live_list", "follow_notifications"}


class TestRest:
    async def test_every_route_says_it_whatever_comes_of_it(self, ada: Person, app: FastAPI) -> None:
        seen: dict[str, set[int]] = {}
        for method, route in routes(app):
            if route.name in {"graphql_get", "graphql_post", "asset"}:
                continue
            path = "/" + re.sub(r"\{\w+\}", "1", route.path_format)
            path += "?after=x" if route.name in STREAMS else ""  # the stream itself has no end
            for caller in (ada, Anonymous(ada.client)):
                if method == "DELETE" and caller is ada and "sessions" in path:
                    continue
                answer = await caller.rest(method, path)
                seen.setdefault(route.name, set()).add(answer.status_code)
                caching, varies = OPEN.get(route.name, ("private, no-cache", CALLERS))
                if answer.status_code >= 400 or route.name in CREDENTIAL_ROUTES:
                    caching = "no-store"
                assert told(answer.headers) == (caching, varies), (method, path, answer.status_code)
        assert {200, 401} <= seen["list_tasks"]
        assert any(status >= 400 for statuses in seen.values() for status in statuses)

    async def test_a_stream_is_kept_by_nobody(self, ada: Person) -> None:
        answer = await begin(ada, "GET", "/api/v1/events?after=0")

        assert answer.status_code == 200
        assert told(answer.headers) == ("no-cache, no-store", CALLERS)
        assert answer.headers["x-accel-buffering"] == "no"

    async def test_every_route_with_a_secret_in_its_answer_is_known(self, app: FastAPI) -> None:
        """A model with a token or a secret makes its answer one that nobody keeps."""
        found = {
            route.name
            for _, route in routes(app)
            if {"access_token", "refresh_token", "secret"} & set(getattr(route.response_model, "model_fields", ()))
        }
        assert found | {"register_user"} == CREDENTIAL_ROUTES

    async def test_head_and_304_say_what_get_does(self, ada: Person) -> None:
        task = await ada.task()
        path = f"/tasks/{task['id']}"
        whole = await ada.get(path)
        head = await ada.rest("HEAD", path)
        known = await ada.get(path, headers={"If-None-Match": whole.headers["etag"]})
        assert (whole.status_code, head.status_code, known.status_code) == (200, 200, 304)
        assert told(whole.headers) == told(head.headers) == told(known.headers) == ("private, no-cache", CALLERS)

    async def test_what_is_not_there(self, ada: Person) -> None:
        for path in ("//nothing", "//tasks/nothing/at/all"):
            assert (await ada.get(path)).headers["cache-control"] == "no-store"
        assert (await ada.rest("DELETE", "//health")).headers["cache-control"] == "no-store"
        assert (await ada.get("//openapi.json")).headers["cache-control"] == "no-cache"

    @pytest.mark.parametrize("origin", ["https://app.example.com", "https://evil.example.com", None])
    @pytest.mark.parametrize("allowed", ["https://app.example.com", "*"])
    async def test_origin_is_named_for_every_page(
        self, ada: Person, database: Database, origin: str | None, allowed: str
    ) -> None:
        """Also for one that may not read it: a cache would answer it to one that may."""
        headers = {"Origin": origin} if origin else {}
        async with another_instance(database, allowed_origins=allowed) as app, calling(app) as anonymous:
            caller = Anonymous(anonymous.client, ada.headers)
            for path in ("/tasks", "//", "//health", "/tasks?limit=x"):
                answer = await caller.get(path, headers=headers)
                assert "origin" in vary(answer.headers)
                assert answer.headers["vary"].lower().count("origin") == 1
            assert vary((await caller.get("/tasks", headers=headers)).headers) >= CALLERS
            answer = await caller.rest("POST", "//graphql", json={"query": "{ me { id } }"}, headers=headers)
            assert vary(answer.headers) == CALLERS | {"accept"}

    async def test_long_answers_name_the_encoding_too(self, ada: Person) -> None:
        await ada.task(description="x" * 3000)
        answer = await ada.get("/tasks", headers={"Accept-Encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip"
        assert "accept-encoding" in answer.headers["vary"].lower()
        assert told(answer.headers) == ("private, no-cache", CALLERS)


class TestCredentials:
    @on_both_doors
    async def test_nobody_keeps_them(self, ada: Person, door: Door) -> None:
        anonymous = Anonymous(ada.client)
        login = await log_in(door, anonymous, ada.username, PASSWORD)
        token = {"refresh_token": login.body["refresh_token"]}
        made = [
            login,
            await REFRESH.on(door, anonymous, token),
            await REFRESH.on(door, anonymous, token),
            await log_in(door, anonymous, ada.username, "wrong"),
            await REGISTER.on(door, anonymous, somebody()),
            await CREATE_KEY.on(door, ada, {"name": "x", "scopes": ["tasks:read"]}),
        ]
        if door == "graphql":
            made[-1] = await CREATE_KEY.on(door, ada, {"name": "x", "scopes": ["TASKS_READ"]})
        webhook = await run(door, "create_webhook", ada, {"name": "CI", "url": "https://hooks.example.com/tandem"})
        rotated = await run(door, "rotate_webhook_secret", ada, {"grace_seconds": 0}, webhook_id=webhook.body["id"])
        assert rotated.code is None
        [key] = (await ada.get("/users/me/api-keys")).json()
        again = await ROTATE.on(door, ada, {}, id=key["id"])
        assert again.code is None
        for result in (*made, webhook, rotated, again):
            assert result.headers["cache-control"] == "no-store"
            assert {"authorization", "x-api-key"} <= vary(result.headers)

    async def test_where_a_fragment_hides_them(self, ada: Person) -> None:
        login = f'login(input: {{username: "{ada.username}", password: "{PASSWORD}"}}) {{ accessToken }}'
        for document in (
            f"mutation {{ ... on Mutation {{ {login} }} }}",
            f"mutation {{ ...f }} fragment f on Mutation {{ {login} }}",
            f"mutation {{ hidden: {login} }}",
        ):
            answer = await Anonymous(ada.client).gql(document)
            assert "errors" not in answer.body
            assert answer.headers["cache-control"] == "no-store"

    def test_mutations_that_answer_them_are_known(self) -> None:
        mutation = schema._schema.mutation_type
        assert mutation is not None
        found = {
            name for name, field in mutation.fields.items() if ANSWERED & _fields_of(get_named_type(field.type)).keys()
        }
        assert found | {"register"} == CREDENTIALS


def _fields_of(type_: Any) -> dict[str, Any]:
    assert isinstance(type_, GraphQLObjectType)
    fields: dict[str, Any] = type_.fields
    return fields


class TestGraphQL:
    async def test_whatever_comes_of_it(self, ada: Person) -> None:
        anonymous = Anonymous(ada.client)
        for caller, body, accept in (
            (ada, {"query": "{ me { id } }"}, "application/json"),
            (ada, {"query": "{ nothing }"}, "application/json"),
            (ada, {"query": "{"}, "application/graphql-response+json"),
            (ada, {"query": 1}, "application/json"),
            (ada, {"query": "{ me { id } }"}, "image/png"),
            (anonymous, {"query": "{ me { id } }"}, "application/json"),
            (ada, {"query": 'mutation { createTask(input: {title: "x"}) { task { id } } }'}, "application/json"),
        ):
            answer = await caller.rest("POST", "//graphql", json=body, headers={"Accept": accept})
            expected = "private, no-cache" if answer.status_code < 400 else "no-store"
            assert told(answer.headers) == (expected, CALLERS | {"accept"}), (body, answer.status_code)
        for query in ("query={me{id}}", "query={", ""):
            answer = await ada.get(f"//graphql?{query}")
            assert told(answer.headers)[1] == CALLERS | {"accept"}
        assert STATUS  # what shows in the status is what nobody keeps

    async def test_page(self, ada: Person) -> None:
        answer = await ada.get("//graphql", headers={"Accept": "text/html"})
        assert "accept" in vary(answer.headers)
        assert answer.headers["cache-control"] == ("no-cache" if answer.status_code == 200 else "no-store")


class TestStrictTransport:
    async def test_over_tls_alone(self, ada: Person, database: Database) -> None:
        async with another_instance(database, hsts_seconds=31_536_000) as app:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            for scheme, expected in (("https", "max-age=31536000"), ("http", None)):
                async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://test") as client:
                    for path in ("/", "/health", "/docs", "/api/v1/tasks", "/nothing", "/graphql"):
                        answer = await client.get(path)
                        assert answer.headers.get("strict-transport-security") == expected, path

    async def test_off(self, ada: Person, client: httpx.AsyncClient) -> None:
        assert "strict-transport-security" not in (await client.get("https://test/health")).headers
