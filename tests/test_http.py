"""What every request has in common: ids, times, origins, methods, and the paths that belong to no feature."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select
from starlette.datastructures import Headers

from api.middleware.cors import Cors
from db.driver.database import Database
from db.models import Event
from tests.actors import Anonymous, Person
from tests.doors import another_instance, calling
from tests.listings import links

FRONT_END, STRANGER = "http://localhost:3000", "https://evil.example.com"
# a path of each kind, with what an anonymous caller gets there
EVERY_KIND = {
    "//": 200,
    "//health": 200,
    "//openapi.json": 200,
    "//favicon.ico": 200,
    "//assets/nothing.js": 404,
    "//graphql": 400,
    "//nowhere": 404,
    "/tasks": 401,
    "/token": 405,
}
Ask = Callable[[Anonymous], Awaitable[httpx.Response]]
DOCUMENTED_METHODS = {"get", "put", "post", "delete", "patch"}


@pytest.fixture
async def open_client(database: Database) -> AsyncIterator[Anonymous]:
    """A caller of an application that any origin may use."""
    async with another_instance(database, allowed_origins="*") as app, calling(app) as anonymous:
        yield anonymous


def paths_of(app: FastAPI) -> dict[str, set[str]]:
    """The documented paths with an id filled in, and their methods."""
    return {
        re.sub(r"\{\w+\}", "1", path): {method.upper() for method in item.keys() & DOCUMENTED_METHODS}
        for path, item in app.openapi()["paths"].items()
    }


class TestRequestIds:
    @pytest.mark.parametrize("path", EVERY_KIND)
    async def test_every_answer_has_an_id_of_its_own(self, anonymous: Anonymous, path: str) -> None:
        answers = [await anonymous.get(path) for _ in range(2)]

        assert [answer.status_code for answer in answers] == [EVERY_KIND[path]] * 2
        first, second = (UUID(answer.headers["x-request-id"]) for answer in answers)
        assert first.version == second.version == 7
        assert first != second

    @pytest.mark.parametrize("given", ["a", "4bf92f35-77b3/4da6:a3ce+929d=0e0e_4736.~", "x" * 128])
    async def test_the_client_may_name_its_request(self, anonymous: Anonymous, given: str) -> None:
        answer = await anonymous.get("/tasks", headers={"X-Request-ID": given})

        assert answer.headers.get_list("x-request-id") == [given]
        assert answer.json()["request_id"] == given

    async def test_graphql_and_events_know_it_too(self, ada: Person, database: Database) -> None:
        made = await ada.gql(
            'mutation { createTask(input: {title: "x"}) { task { databaseId } } }', headers={"X-Request-ID": "mine"}
        )
        refused = await ada.gql("{ nothing }", headers={"X-Request-ID": "mine-too"})

        assert made.headers["x-request-id"] == "mine"
        assert refused.errors[0]["extensions"]["requestId"] == refused.headers["x-request-id"] == "mine-too"
        task_id = made.data["createTask"]["task"]["databaseId"]
        async with database.reading() as session:
            assert await session.scalars(select(Event.request_id).where(Event.task_id == task_id)) == ["mine"]

    @pytest.mark.parametrize(
        "given",
        [
            b"",
            b" ",
            b"two words",
            b"x" * 129,
            b"<script>",
            b'"quoted"',
            b"tab\tbed",
            b"nul\x00",
            b"\xc3\xa9",
            b"\xff",
            b"a,b",
        ],
    )
    async def test_hostile_id_is_replaced(self, anonymous: Anonymous, given: bytes) -> None:
        answer = await anonymous.client.get("/api/v1/tasks", headers=[(b"X-Request-ID", given)])

        assert UUID(answer.headers["x-request-id"]).version == 7
        assert answer.json()["request_id"] == answer.headers["x-request-id"]

    async def test_one_id_is_answered_to_two(self, anonymous: Anonymous) -> None:
        answer = await anonymous.client.get("/health", headers=[("X-Request-ID", "first"), ("X-Request-ID", "second")])

        assert answer.headers.get_list("x-request-id") == ["first"]


class TestHeaders:
    @pytest.mark.parametrize("path", EVERY_KIND)
    async def test_every_answer_says_how_long_it_took_and_that_its_type_is_meant(
        self, anonymous: Anonymous, path: str
    ) -> None:
        headers = (await anonymous.get(path)).headers

        assert re.fullmatch(r"\d+\.\d{6}", headers["x-process-time"])
        assert float(headers["x-process-time"]) < 10
        assert headers.get_list("x-content-type-options") == ["nosniff"]

    async def test_asset_is_typed_once(self, anonymous: Anonymous) -> None:
        page = await anonymous.get("//", headers={"Accept": "text/html"})
        [url, *_] = re.findall(r'"(assets/[^"]+)"', page.text)

        assert (await anonymous.get(f"//{url}")).headers.get_list("x-content-type-options") == ["nosniff"]


class TestOrigins:
    @pytest.mark.parametrize("path", ["/tasks", "//nowhere", "//graphql", "//health"])
    async def test_allowed_origin_may_read_answers_and_errors(self, anonymous: Anonymous, path: str) -> None:
        headers = (await anonymous.get(path, headers={"Origin": FRONT_END})).headers

        assert headers["access-control-allow-origin"] == FRONT_END
        assert headers["access-control-allow-credentials"] == "true"
        assert "Origin" in headers["vary"]
        exposed = set(headers["access-control-expose-headers"].split(", "))
        assert exposed >= {"ETag", "Link", "Location", "RateLimit", "Retry-After", "X-Request-ID", "X-Total-Count"}

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def test_allowed_origin_may_ask_for_every_method(self, anonymous: Anonymous, method: str) -> None:
        asked = {"Origin": FRONT_END, "Access-Control-Request-Method": method}
        wanted = "authorization, content-type, if-match, if-none-match, x-api-key, idempotency-key"
        answer = await anonymous.rest("OPTIONS", "/tasks/1", headers=asked | {"Access-Control-Request-Headers": wanted})

        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == FRONT_END
        assert method in answer.headers["access-control-allow-methods"].split(", ")

    async def test_foreign_origin_may_read_nothing(self, anonymous: Anonymous, logged: list[Any]) -> None:
        answer = await anonymous.get("//health", headers={"Origin": STRANGER})
        asked = {"Origin": STRANGER, "Access-Control-Request-Method": "POST"}
        preflight = await anonymous.rest("OPTIONS", "/tasks", headers=asked)

        assert answer.status_code == 200  # a browser keeps it from the page
        assert preflight.status_code == 400
        assert "access-control-allow-origin" not in {*answer.headers, *preflight.headers}
        told = "its origin is none of ALLOWED_ORIGINS"
        assert preflight.text == f"The preflight was refused: {told}"
        [record] = [record for record in logged if record.name == "tandem.cors"]
        assert record.getMessage() == f"a CORS preflight from {STRANGER!r} was refused: {told}"

    @pytest.mark.parametrize(
        ("method", "headers", "told"),
        [
            ("TRACE", "content-type", "no page may ask for 'TRACE'"),
            ("POST", "x-other", "pages may send no other headers than "),
        ],
    )
    async def test_what_no_page_may_ask_for_is_told(
        self, anonymous: Anonymous, logged: list[Any], method: str, headers: str, told: str
    ) -> None:
        asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
        preflight = await anonymous.rest("OPTIONS", "/tasks", headers={"Origin": FRONT_END} | asked)

        assert preflight.status_code == 400
        assert told in preflight.text
        assert [told in record.getMessage() for record in logged if record.name == "tandem.cors"] == [True]

    async def test_refused_preflights_do_not_fill_the_log(self, app: FastAPI, logged: list[Any]) -> None:
        cors = Cors(app, allow_origins=[FRONT_END])
        for _ in range(60):
            asked = Headers({"Origin": STRANGER, "Access-Control-Request-Method": "POST"})
            assert cors.preflight_response(asked).status_code == 400
        assert 20 <= len([record for record in logged if record.name == "tandem.cors"]) < 30

    @pytest.mark.parametrize(
        ("origin", "local"),
        [
            ("http://localhost:5173", True),
            ("https://localhost", True),
            ("http://127.0.0.1:8080", True),
            ("http://[::1]:4200", True),
            ("http://localhost:5173.evil.example.com", False),
            ("http://localhost.evil.example.com", False),
            ("http://evil.example.com/localhost", False),
            ("http://192.168.1.7:3000", False),
        ],
    )
    @pytest.mark.parametrize("environment", ["development", "test"])
    async def test_pages_of_the_own_machine_may_ask_in_development(
        self, database: Database, environment: str, origin: str, local: bool
    ) -> None:
        async with another_instance(database, environment=environment) as app, calling(app) as caller:
            answer = await caller.get("//health", headers={"Origin": origin})

        allowed = answer.headers.get("access-control-allow-origin")
        assert allowed == (origin if local and environment == "development" else None)

    @pytest.mark.parametrize("origin", ["null", "http://localhost:3000.evil.example.com", "https://localhost:3000"])
    async def test_like_is_not_the_same(self, anonymous: Anonymous, origin: str) -> None:
        answer = await anonymous.get("//health", headers={"Origin": origin})

        assert "access-control-allow-origin" not in answer.headers

    @pytest.mark.parametrize(
        ("written", "sent"),
        [
            ("HTTPS://App.Example.com:443/", "https://app.example.com"),
            ("https://münchen.example", "https://xn--mnchen-3ya.example"),
            ("http://[0::1]:03000", "http://[::1]:3000"),
        ],
    )
    async def test_origin_matches_however_it_was_written(self, database: Database, written: str, sent: str) -> None:
        asked = {"Origin": sent, "Access-Control-Request-Method": "POST"}
        async with another_instance(database, allowed_origins=written) as app, calling(app) as caller:
            answers = [
                await caller.rest("OPTIONS", "/tasks", headers=asked),
                await caller.get("/tasks", headers={"Origin": sent}),
            ]

        assert [answer.headers["access-control-allow-origin"] for answer in answers] == [sent, sent]

    async def test_any_origin_is_allowed_without_credentials_only(self, open_client: Anonymous) -> None:
        asked = {"Origin": STRANGER, "Access-Control-Request-Method": "POST"}
        answers = [
            await open_client.get("//health", headers={"Origin": STRANGER}),
            await open_client.get("//health", headers={"Origin": STRANGER, "Cookie": "a=b"}),
            await open_client.rest("OPTIONS", "/tasks", headers=asked),
        ]

        for answer in answers:
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in answer.headers


UNSUBSCRIBE = "/api/v1/notifications/preferences/unsubscribe/1"
"""Also a page for people, at the one address that messages name, in no document."""


class TestMethods:
    async def test_head_answers_as_get_without_a_body(self, ada: Person, app: FastAPI) -> None:
        task = await ada.task()
        for path, methods in paths_of(app).items():
            if "GET" in methods:
                url = f"/{path}".replace("/tasks/1", f"/tasks/{task['id']}")
                url += "?after=x" if path.endswith(("/events", "/live")) else ""  # the stream itself has no end
                # of what is compressed, nobody knows the length who does not see it
                plain = {"headers": {"Accept-Encoding": "identity"}}
                get, head = await ada.get(url, **plain), await ada.rest("HEAD", url, **plain)
                assert (head.status_code, head.content) == (get.status_code, b""), url
                same = {"content-type", "content-length", "etag", "link", "allow", "www-authenticate"}
                assert {n: v for n, v in head.headers.items() if n in same} == {
                    n: v for n, v in get.headers.items() if n in same
                }, url

    async def test_head_of_what_has_no_get_is_refused(self, anonymous: Anonymous) -> None:
        answer = await anonymous.rest("HEAD", "/token")

        assert (answer.status_code, answer.headers["allow"], answer.content) == (405, "POST", b"")

    @pytest.mark.parametrize("versioned", [True, False])
    async def test_every_path_lists_its_methods(self, anonymous: Anonymous, app: FastAPI, versioned: bool) -> None:
        documented = paths_of(app)
        for path, methods in documented.items():
            url = path if versioned else path.removeprefix("/api/v1")
            answer = await anonymous.rest("TRACE", f"/{url}")
            assert answer.status_code == 405, url
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == "METHOD_NOT_ALLOWED"
            expected = methods | ({"HEAD"} if "GET" in methods else set())
            expected |= {"GET", "HEAD"} if path == UNSUBSCRIBE and versioned else set()
            expected |= {"QUERY"} if f"{path}/query" in documented else set()  # in no OpenAPI 3.1
            assert set(answer.headers["allow"].split(", ")) == expected, url

    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            ("/graphql", "GET, HEAD, POST"),
            ("/docs", "GET, HEAD"),
            ("/redoc", "GET, HEAD"),
            ("/reference", "GET, HEAD"),
            ("/guides", "GET, HEAD"),
            ("/guides/rest", "GET, HEAD"),
            ("/openapi.json", "GET, HEAD"),
            ("/favicon.ico", "GET, HEAD"),
            ("/assets/x.js", "GET, HEAD"),
        ],
    )
    async def test_pages_list_their_methods(self, anonymous: Anonymous, path: str, allowed: str) -> None:
        for method in ("DELETE", "OPTIONS", "TRACE", "NONSENSE"):
            answer = await anonymous.rest(method, f"/{path}")
            assert (answer.status_code, answer.headers["allow"]) == (405, allowed), method

    @pytest.mark.parametrize(
        "path",
        ["//nowhere", "//api/v1", "//api/v2/tasks", "/tasks/", "/tasks/1/nothing", "/tasks//1", "//%00", "//..%2f"],
    )
    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "TRACE"])
    async def test_nothing_is_a_problem_too(self, ada: Person, path: str, method: str) -> None:
        answer = await ada.rest(method, path)

        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"] == "There is nothing at this address"


class TestAllowance:
    """What test_rate_limits.py leaves: requests that never come to an operation are counted, too."""

    @pytest.mark.parametrize(
        "ask",
        [
            lambda caller: caller.get("/tasks", headers={"Authorization": "Bearer guess"}),
            lambda caller: caller.get("/tasks", headers={"X-API-Key": "guess"}),
            lambda caller: caller.get("//graphql?query={__typename}", headers={"Authorization": "Bearer guess"}),
            lambda caller: caller.post("//graphql", {"query": "{ nothing }"}),
            lambda caller: caller.post("//graphql", {"query": "{"}, headers={"X-API-Key": "guess"}),
        ],
        ids=["token", "key", "token on GraphQL", "invalid document", "key and broken document"],
    )
    async def test_guesses_and_broken_documents_are_counted(self, database: Database, ask: Ask) -> None:
        async with another_instance(database, rate_limit="5/minute") as app, calling(app) as anonymous:
            answers = [await ask(anonymous) for _ in range(7)]

        assert 429 not in [answer.status_code for answer in answers[:5]]
        assert [answer.status_code for answer in answers[5:]] == [429, 429]
        assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in answers[5:])
        left = [re.match(r'"default";r=(\d+);t=\d+', answer.headers["ratelimit"]) for answer in answers]
        assert [int(match[1]) for match in left if match] == [4, 3, 2, 1, 0, 0, 0]

    async def test_limited_caller_is_told_so_before_anything_is_read_of_its_document(self, database: Database) -> None:
        async with another_instance(database, rate_limit="1/minute") as app, calling(app) as anonymous:
            answers = [await anonymous.gql("{ nothing }") for _ in range(2)]

        assert [(answer.status, answer.code) for answer in answers] == [
            (422, "GRAPHQL_VALIDATION_FAILED"),
            (429, "RATE_LIMITED"),
        ]

    @pytest.mark.parametrize("path", ["//", "//health", "//health/ready", "//openapi.json", "//docs"])
    async def test_probes_and_pages_are_not_counted(self, database: Database, path: str) -> None:
        async with another_instance(database, rate_limit="1/minute") as app, calling(app) as anonymous:
            answers = [await anonymous.get(path) for _ in range(3)]

        assert all(answer.status_code in {200, 503} and "ratelimit" not in answer.headers for answer in answers)


class TestServer:
    async def test_root_greets_and_says_where_things_are(self, anonymous: Anonymous) -> None:
        answer = await anonymous.get("//")

        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {"message": "Welcome to the Task Manager API"}
        places = links(answer)
        assert list(places) == ["latest-version", "service", "service-doc", "service-desc"]
        for name in ("service-doc", "service-desc"):
            assert (await anonymous.get(f"/{places[name]}")).status_code in {200, 503}
        assert (await anonymous.gql("{ __typename }")).data == {"__typename": "Query"}

    async def test_healthy_and_ready(self, anonymous: Anonymous) -> None:
        for path in ("//health", "//health/ready"):
            answer = await anonymous.get(path)
            assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})

    async def test_bad_credentials_do_not_make_it_unhealthy(self, anonymous: Anonymous) -> None:
        for path in ("//", "//health", "//health/ready", "//.well-known/jwks.json"):
            answer = await anonymous.get(path, headers={"Authorization": "Bearer nonsense", "X-API-Key": "nonsense"})
            assert answer.status_code == 200

    async def test_shared_secret_is_no_public_key(self, anonymous: Anonymous) -> None:
        assert (await anonymous.get("//.well-known/jwks.json")).json() == {"keys": []}


class TestAliases:
    async def test_paths_of_the_guide_are_those_of_the_newest_version(self, ada: Person, app: FastAPI) -> None:
        task = await ada.task()
        for path, methods in paths_of(app).items():
            if "GET" in methods and path.startswith("/api/v1"):
                url = path.replace("/tasks/1", f"/tasks/{task['id']}")
                url += "?after=x" if path.endswith(("/events", "/live")) else ""  # the stream itself has no end
                versioned, alias = await ada.get(f"/{url}"), await ada.get(f"/{url.removeprefix('/api/v1')}")
                assert alias.status_code == versioned.status_code, url
                assert _same(alias) == _same(versioned), url

    async def test_guide_s_own_round_trip(self, ada: Person) -> None:
        made = await ada.post("//tasks", {"title": "Learn FastAPI", "priority": 3})
        assert made.status_code == 201
        path = f"//tasks/{made.json()['id']}"
        assert (await ada.put(path, {"status": "completed"})).json()["title"] == "Learn FastAPI"
        assert (await ada.get(path)).json()["status"] == "completed"
        assert (await ada.delete(path)).status_code == 204
        assert (await ada.get(path)).status_code == 404

    async def test_document_has_the_versioned_paths_only(self, app: FastAPI) -> None:
        outside = {path for path in app.openapi()["paths"] if not path.startswith("/api/v1/")}

        assert outside == {"/", "/health", "/health/ready", "/.well-known/jwks.json"}


def _same(answer: httpx.Response) -> Any:
    body = answer.json()
    return {**body, "request_id": None} if isinstance(body, dict) and "request_id" in body else body
