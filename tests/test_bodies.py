"""Bodies that no feature should ever see: of the wrong type, broken, too large, too slow. On both doors."""

import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest

from db.driver.database import Database
from tests.actors import GRAPHQL_JSON, PASSWORD, Anonymous, Person
from tests.conftest import settings_for
from tests.doors import Door, another_instance, bearer, calling, on_both_doors
from tests.live import LiveServer
from tests.stored import unchanged

JSON = {"Content-Type": "application/json"}
PATHS: dict[Door, str] = {"rest": "/api/v1/tasks", "graphql": "/graphql"}
SMALL = 1024
TOO_LARGE = b'{"title": "' + b"x" * SMALL + b'"}'
HUGE_INTEGER = b'{"title": "x", "priority": ' + b"9" * 5000 + b"}"
IMPOSSIBLE = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e400", "9" * 400, "-" + "9" * 400),
    *("1.5", "2147483648", "-2147483649"),
)
BROKEN = {
    "cut off": b'{"title": "x"',
    "two values": b'{"title": "x"} {}',
    "comment": b'{"title": "x"} // why not',
    "trailing comma": b'{"title": "x",}',
    "single quotes": b"{'title': 'x'}",
    "not UTF-8": b'{"title": "\xff"}',
    "half a character": b'{"title": "\xe2\x82"}',
    "raw newline in a string": b'{"title": "a\nb"}',
    "form": b"title=x",
    "nested too deeply": b"[" * 100_000,
    "objects nested too deeply": b'{"a":' * 100_000,
    "5,000 digits": HUGE_INTEGER,
}


async def send(caller: Anonymous, door: Door, **options: Any) -> httpx.Response:
    """POST raw content to a door."""
    headers = caller.headers | {"Accept": GRAPHQL_JSON} | options.pop("headers", JSON)
    return await caller.client.post(PATHS[door], headers=headers, **options)


def code(answer: httpx.Response) -> str:
    """The code of a refusal, in either door's shape."""
    body = answer.json()
    found: str = body["errors"][0]["extensions"]["code"] if body.get("code") is None else body["code"]
    return found


async def in_pieces(*pieces: bytes, seconds: float = 0) -> AsyncIterator[bytes]:
    """A body of undeclared length, which comes slowly."""
    for piece in pieces:
        await anyio.sleep(seconds)
        yield piece


class TestMediaTypes:
    @pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "json"])
    @pytest.mark.parametrize(("method", "path"), [("POST", "/tasks"), ("PATCH", "/users/me"), ("PUT", "/tasks/1")])
    async def test_body_of_another_type_is_refused(
        self, ada: Person, database: Database, method: str, path: str, media_type: str
    ) -> None:
        async with unchanged(database):
            answer = await ada.rest(method, path, content=b'{"title": "x"}', headers={"Content-Type": media_type})

        assert (answer.status_code, code(answer)) == (415, "UNSUPPORTED_MEDIA_TYPE")
        assert answer.headers["accept"] == "application/json"

    async def test_body_without_a_type_is_refused(self, ada: Person, database: Database) -> None:
        async with unchanged(database):
            answer = await ada.rest("POST", "/tasks", content=b'{"title": "x"}')

        assert answer.status_code == 415

    async def test_no_body_and_no_type_lacks_only_the_body(self, ada: Person) -> None:
        answer = await ada.rest("POST", "/tasks")

        assert (answer.status_code, code(answer)) == (422, "BAD_USER_INPUT")

    @pytest.mark.parametrize(
        "media_type", ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/ld+json"]
    )
    async def test_json_by_any_of_its_names_is_taken(self, ada: Person, media_type: str) -> None:
        answer = await ada.rest("POST", "/tasks", content=b'{"title": "x"}', headers={"Content-Type": media_type})

        assert answer.status_code == 201

    async def test_form_is_a_form(self, ada: Person) -> None:
        form = {"username": ada.username, "password": PASSWORD}
        anonymous = Anonymous(ada.client)
        as_json = await anonymous.post("/token", form)

        assert (as_json.status_code, code(as_json)) == (415, "UNSUPPORTED_MEDIA_TYPE")
        assert as_json.headers["accept"] == "application/x-www-form-urlencoded"
        assert (await anonymous.rest("POST", "/token", data=form)).status_code == 200
        multipart = {name: (None, value) for name, value in form.items()}
        assert (await anonymous.rest("POST", "/token", files=multipart)).status_code == 200


class TestBrokenJson:
    @on_both_doors
    @pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
    async def test_is_malformed(self, ada: Person, database: Database, door: Door, content: bytes) -> None:
        async with unchanged(database):
            answer = await send(ada, door, content=content)

        assert (answer.status_code, code(answer)) == (400, "BAD_REQUEST")
        assert len(answer.content) < 500
        assert door == "graphql" or answer.json()["detail"].startswith(("The body is not", "The body cannot be read: "))

    @pytest.mark.parametrize("content", [b"[]", b'"x"', b"1", b"null", b"true", b"[{}]"])
    async def test_json_that_is_no_object_is_refused(self, ada: Person, database: Database, content: bytes) -> None:
        async with unchanged(database):
            answer = await send(ada, "rest", content=content)

        assert (answer.status_code, code(answer)) == (422, "BAD_USER_INPUT")

    @pytest.mark.parametrize("field", ["priority", "title", "parent_id", "assignee_ids", "due_at", "no_such_field"])
    async def test_impossible_number_is_refused_where_it_stands(
        self, ada: Person, database: Database, field: str
    ) -> None:
        for number in IMPOSSIBLE:
            content = f'{{"title": "x", "{field}": {number}}}'.encode()
            async with unchanged(database):
                answer = await send(ada, "rest", content=content)

            assert (answer.status_code, code(answer)) == (422, "BAD_USER_INPUT"), number
            assert {item["pointer"] for item in answer.json()["errors"]} == {f"/{field}"}
            said = answer.text.replace(answer.headers["x-request-id"], "")
            assert not any(word in said for word in ("NaN", "nfinity", number.strip("-")))

    async def test_impossible_number_in_a_variable_is_refused(self, ada: Person) -> None:
        query = "query($n: Int) { tasks(first: $n) { totalCount } }"
        for number in IMPOSSIBLE:
            content = f'{{"query": "{query}", "variables": {{"n": {number}}}}}'.encode()
            answer = await send(ada, "graphql", content=content)

            assert answer.status_code == 422, number
            assert code(answer) in {"BAD_USER_INPUT", "BAD_REQUEST"}
            assert "data" not in answer.json()


class TestSize:
    @pytest.fixture
    async def small(self, ada: Person, database: Database) -> AsyncIterator[Anonymous]:
        """Ada, at an application that takes small bodies only."""
        async with another_instance(database, max_body_bytes=SMALL) as app, calling(app) as anonymous:
            yield bearer(anonymous, ada.access_token)

    @on_both_doors
    async def test_declared_body_is_refused_unread(self, small: Anonymous, database: Database, door: Door) -> None:
        read = False

        async def unread() -> AsyncIterator[bytes]:
            nonlocal read
            read = True
            yield TOO_LARGE

        async with unchanged(database):
            answer = await send(small, door, content=unread(), headers=JSON | {"Content-Length": str(len(TOO_LARGE))})

        assert (answer.status_code, code(answer)) == (413, "PAYLOAD_TOO_LARGE")
        assert answer.headers["connection"] == "close"
        assert not read

    @on_both_doors
    async def test_undeclared_body_is_refused_at_the_limit(
        self, small: Anonymous, database: Database, door: Door
    ) -> None:
        async with unchanged(database):
            answer = await send(small, door, content=in_pieces(TOO_LARGE[:600], TOO_LARGE[600:]))

        assert (answer.status_code, code(answer)) == (413, "PAYLOAD_TOO_LARGE")

    @on_both_doors
    async def test_endless_body_is_read_no_further_than_the_limit(self, small: Anonymous, door: Door) -> None:
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                sent += 100
                yield b" " * 100

        assert (await send(small, door, content=endless())).status_code == 413
        assert sent <= SMALL + 200

    async def test_form_is_bounded_too(self, small: Anonymous) -> None:
        anonymous = Anonymous(small.client)
        for options in ({"data": {"username": "x" * SMALL}}, {"files": {"file": b"x" * SMALL}}):
            answer = await anonymous.rest("POST", "/token", **options)
            assert (answer.status_code, code(answer)) == (413, "PAYLOAD_TOO_LARGE")

    @pytest.mark.parametrize("length", ["9" * 30, "9" * 5_000])
    async def test_absurd_length_is_too_large(self, small: Anonymous, length: str) -> None:
        answer = await send(small, "rest", content=in_pieces(b"{}"), headers=JSON | {"Content-Length": length})

        assert answer.status_code == 413

    async def test_body_of_just_the_limit_is_taken(self, small: Anonymous) -> None:
        content = b'{"title": "x"}'.ljust(SMALL)

        assert (await send(small, "rest", content=content)).status_code == 201
        assert (await send(small, "rest", content=in_pieces(content[:500], content[500:]))).status_code == 201


class TestSlowness:
    @on_both_doors
    async def test_body_that_comes_too_slowly_is_not_waited_for(
        self, ada: Person, database: Database, door: Door
    ) -> None:
        slow = in_pieces(*[b" "] * 50, seconds=0.1)
        async with (
            unchanged(database),
            another_instance(database, body_timeout_seconds=0.25) as app,
            calling(app) as anonymous,
        ):
            started = time.monotonic()
            answer = await send(bearer(anonymous, ada.access_token), door, content=slow)

        assert (answer.status_code, code(answer)) == (408, "REQUEST_TIMEOUT")
        assert answer.headers["connection"] == "close"
        assert time.monotonic() - started < 2

    async def test_slow_answer_is_no_slow_body(
        self, ada: Person, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with another_instance(database, body_timeout_seconds=0.1) as app, calling(app) as anonymous:
            authenticate = app.state.tandem.authenticator.authenticate

            async def slowly(credentials: object) -> object:
                await anyio.sleep(0.3)
                return await authenticate(credentials)

            monkeypatch.setattr(app.state.tandem.authenticator, "authenticate", slowly)
            assert (await bearer(anonymous, ada.access_token).post("/tasks", {"title": "x"})).status_code == 201

    def test_connection_ends_after_a_slow_body(self, database_urls: dict[str, str]) -> None:
        request = b"POST /api/v1/token HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\nContent-Type: %b\r\n\r\nusername="
        settings = settings_for(database_urls["sqlite"], body_timeout_seconds=0.2)
        with LiveServer(settings) as server:
            host, _, port = server.base_url.removeprefix("http://").partition(":")
            with socket.create_connection((host, int(port)), timeout=5) as connection:
                connection.sendall(request % b"application/x-www-form-urlencoded")
                received = b""
                while piece := connection.recv(4096):
                    received += piece

        assert received.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"REQUEST_TIMEOUT"' in received


OPTIONAL = {
    "/users/me/api-keys/{key_id}/rotate": 200,
    "/projects/{project_id}/duplicate": 201,
    "/tasks/{task_id}/duplicate": 201,
    "/webhooks/{webhook_id}/rotate": 200,
    "/webhooks/{webhook_id}/redeliver": 202,
}


class TestLeftOut:
    """Of an operation that wants nothing but its address."""

    def test_which_may_be_left_out(self, openapi: dict[str, Any]) -> None:
        left_out = {
            path.removeprefix("/api/v1")
            for path, item in openapi["paths"].items()
            for operation in item.values()
            if isinstance(operation, dict) and not operation.get("requestBody", {"required": True}).get("required")
        }
        assert left_out == {*OPTIONAL}

    @pytest.mark.parametrize("path", OPTIONAL)
    async def test_nothing_is_as_an_empty_object(self, ada: Person, path: str) -> None:
        task = await ada.task()
        hook = {"name": "CI", "url": "https://hooks.example.com/x"}
        ids = {
            "task_id": task["id"],
            "project_id": task["project_id"],
            "key_id": (await ada.post("/users/me/api-keys", {"name": "k", "scopes": ["tasks:read"]})).json()["id"],
            "webhook_id": (await ada.post("/webhooks", hook)).json()["id"],
        }
        at, status = path.format(**ids), OPTIONAL[path]
        answers = [
            await ada.post(at, {}),
            await ada.post(at),
            await ada.rest("POST", at, headers=JSON),
        ]
        assert [answer.status_code for answer in answers] == [status] * 3
        assert len({tuple(answer.json()) for answer in answers}) == 1

        for body, headers, refused in (
            (b"{", JSON, 400),
            (b"[]", JSON, 422),
            (b"{}", {"Content-Type": "text/plain"}, 415),
        ):
            assert (await ada.rest("POST", at, content=body, headers=headers)).status_code == refused
