"""Large answers are compressed for who takes it, on both doors; small ones, streams, secrets and versions are not."""

import gzip
import json
import random
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.middleware.compression import MINIMUM_SIZE, STREAM, THREAD_SIZE, Compression
from api.pages.assets import ASSETS
from tests.actors import PASSWORD, Anonymous, Person
from tests.conftest import SERVER_KEY
from tests.doors import Door, on_both_doors

TASKS = 30
LIST = "{ tasks(first: 50) { edges { node { id title description status createdAt } } } }"
GZIP = {"Accept-Encoding": "gzip"}
PLAIN = {"Accept-Encoding": "identity"}
ORIGIN = {"Origin": "http://localhost:3000"}
Headers = list[tuple[bytes, bytes]]


async def ask(caller: Anonymous, method: str, path: str, **options: Any) -> tuple[httpx.Response, bytes]:
    """The answer, and the bytes that were sent of it."""
    headers = caller.headers | options.pop("headers", {})
    async with caller.client.stream(method, path, headers=headers, **options) as response:
        return response, b"".join([piece async for piece in response.aiter_raw()])


async def ask_list(door: Door, caller: Anonymous, headers: dict[str, str]) -> tuple[httpx.Response, bytes]:
    if door == "rest":
        return await ask(caller, "GET", "/api/v1/tasks?limit=50", headers=headers)
    return await ask(caller, "POST", "/graphql", json={"query": LIST}, headers=headers)


def vary(response: httpx.Response) -> set[str]:
    return {name.strip().lower() for name in response.headers.get("vary", "").split(",")} - {""}


@pytest.fixture
async def busy(ada: Person) -> Person:
    """Somebody with a long list."""
    words = random.Random(7)
    tasks = [{"title": f"Task {n}", "description": f"{words.random():.15f} words. " * 5} for n in range(TASKS)]
    assert (await ada.post("/tasks/bulk/create", {"tasks": tasks})).status_code in {200, 201}
    return ada


class TestLists:
    @on_both_doors
    async def test_are_the_same_compressed(self, busy: Person, door: Door) -> None:
        plain, whole = await ask_list(door, busy, PLAIN)
        compressed, sent = await ask_list(door, busy, GZIP)

        assert gzip.decompress(sent) == whole
        assert len(json.loads(whole)) in {1, TASKS}
        assert len(sent) < len(whole) / 2
        assert compressed.headers["content-encoding"] == "gzip"
        assert compressed.headers.get_list("content-length") == [str(len(sent))]
        assert plain.headers["content-length"] == str(len(whole))
        assert "content-encoding" not in plain.headers
        own = {"content-encoding", "content-length", "x-request-id", "x-process-time"}
        assert {k: v for k, v in compressed.headers.items() if k not in own} == {
            k: v for k, v in plain.headers.items() if k not in own
        }

    @on_both_doors
    @pytest.mark.parametrize("origin", [{}, ORIGIN], ids=["no page", "a page"])
    async def test_vary_says_what_they_depend_on(self, busy: Person, door: Door, origin: dict[str, str]) -> None:
        for encoding in (GZIP, PLAIN):
            response, _ = await ask_list(door, busy, encoding | origin)

            credentials = {"authorization", "x-api-key"}
            assert vary(response) - credentials == {"accept-encoding", "origin"} | (
                {"accept"} if door == "graphql" else set()
            )
            assert credentials <= vary(response)
            assert ("access-control-allow-origin" in response.headers) == bool(origin)

    @on_both_doors
    async def test_short_ones_are_left_alone(self, ada: Person, door: Door) -> None:
        await ada.task()
        response, sent = await ask_list(door, ada, GZIP)

        assert len(sent) < MINIMUM_SIZE
        assert "content-encoding" not in response.headers
        assert "accept-encoding" not in vary(response)

    async def test_head_answers_as_get_but_for_the_length(self, busy: Person) -> None:
        get, _ = await ask(busy, "GET", "/api/v1/tasks?limit=50", headers=GZIP)
        head, sent = await ask(busy, "HEAD", "/api/v1/tasks?limit=50", headers=GZIP)
        plain, _ = await ask(busy, "HEAD", "/api/v1/tasks?limit=50", headers=PLAIN)

        assert sent == b""
        assert "content-length" not in head.headers
        for name in ("content-encoding", "content-type", "link", "vary"):
            assert head.headers[name] == get.headers[name]
        assert int(plain.headers["content-length"]) > int(get.headers["content-length"])
        assert "content-encoding" not in plain.headers

    async def test_refusals_are_kept_by_nobody_and_left_alone(self, ada: Person) -> None:
        tasks = [{"title": "x" * 201}] * 50
        response, sent = await ask(ada, "POST", "/api/v1/tasks/bulk/create", json={"tasks": tasks}, headers=GZIP)

        assert response.status_code == 422
        assert response.headers["cache-control"] == "no-store"
        assert "content-encoding" not in response.headers
        assert json.loads(sent)["code"] == "BAD_USER_INPUT"

    async def test_metrics_are_compressed(self, anonymous: Anonymous) -> None:
        response, sent = await ask(anonymous, "GET", "/metrics", headers=GZIP | {"X-API-Key": SERVER_KEY})

        assert response.headers["content-encoding"] == "gzip"
        assert b"tandem_http_requests_total" in gzip.decompress(sent)

    async def test_very_large_one_is_the_same_compressed(self, anonymous: Anonymous) -> None:
        _, whole = await ask(anonymous, "GET", "/openapi.json", headers=PLAIN)
        response, sent = await ask(anonymous, "GET", "/openapi.json", headers=GZIP)

        assert len(whole) > THREAD_SIZE
        assert gzip.decompress(sent) == whole
        assert response.headers["content-length"] == str(len(sent))


class TestVersions:
    async def test_what_has_a_strong_tag_is_left_as_it_is(self, ada: Person) -> None:
        task = await ada.task(description="A long story. " * 1_000)
        path = f"/api/v1/tasks/{task['id']}"
        response, sent = await ask(ada, "GET", path, headers=GZIP)

        assert len(sent) > MINIMUM_SIZE
        assert "content-encoding" not in response.headers
        assert "accept-encoding" not in vary(response)
        tag = response.headers["etag"]
        assert tag == '"1"'
        known, _ = await ask(ada, "GET", path, headers=GZIP | {"If-None-Match": tag})
        assert (known.status_code, known.headers["etag"]) == (304, tag)
        changed, _ = await ask(ada, "PATCH", path, json={"priority": 2}, headers=GZIP | {"If-Match": tag})
        assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')

    async def test_asset_is_compressed_under_a_weak_tag_that_confirms_it(self, anonymous: Anonymous) -> None:
        path = f"/{ASSETS.url('playground.js')}"
        plain, whole = await ask(anonymous, "GET", path, headers=PLAIN)
        compressed, sent = await ask(anonymous, "GET", path, headers=GZIP)

        strong, weak = plain.headers["etag"], compressed.headers["etag"]
        assert weak == f"W/{strong}"
        assert gzip.decompress(sent) == whole
        assert plain.headers["accept-ranges"] == "bytes"
        assert "accept-ranges" not in compressed.headers
        for tag in (strong, weak):
            known, nothing = await ask(anonymous, "GET", path, headers=GZIP | {"If-None-Match": tag})
            assert (known.status_code, nothing) == (304, b"")
            assert known.headers["etag"] == tag
            assert vary(known) == vary(compressed) == vary(plain) >= {"accept-encoding"}

    async def test_part_of_an_asset_is_a_part_of_the_file(self, anonymous: Anonymous) -> None:
        path = f"/{ASSETS.url('playground.js')}"
        plain, whole = await ask(anonymous, "GET", path, headers=PLAIN)
        headers = GZIP | {"Range": "bytes=0-2999", "If-Range": plain.headers["etag"]}
        part, sent = await ask(anonymous, "GET", path, headers=headers)

        assert (part.status_code, sent) == (206, whole[:3000])
        assert "content-encoding" not in part.headers
        weak = headers | {"If-Range": f"W/{plain.headers['etag']}"}
        anew, sent = await ask(anonymous, "GET", path, headers=weak)
        assert (anew.status_code, gzip.decompress(sent)) == (200, whole)


class TestSecrets:
    """With a middleware that compresses whatever it may, however short."""

    @pytest.fixture
    async def eager(self, app: FastAPI, ada: Person) -> AsyncIterator[Person]:
        transport = httpx.ASGITransport(Compression(app, minimum_size=1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=GZIP) as client:
            ada.client = client
            yield ada

    async def test_tokens_and_keys_are_never_compressed(self, eager: Person) -> None:
        form = {"username": eager.username, "password": PASSWORD}
        for prefix in ("/api/v1", ""):
            login, sent = await ask(Anonymous(eager.client), "POST", f"{prefix}/token", data=form)
            refresh = {"refresh_token": json.loads(sent)["refresh_token"]}
            key = {"name": "key", "scopes": ["tasks:read"]}
            answers = [
                login,
                (await ask(eager, "POST", f"{prefix}/token/refresh", json=refresh))[0],
                (await ask(eager, "POST", f"{prefix}/users/me/api-keys", json=key))[0],
            ]

            for answer in answers:
                assert answer.status_code in {200, 201}
                assert "content-encoding" not in answer.headers
                assert "accept-encoding" not in vary(answer)

    async def test_the_rest_is(self, eager: Person) -> None:
        answer, _ = await ask(eager, "GET", "/api/v1/users/me/sessions")

        assert answer.headers["content-encoding"] == "gzip"


def answering(*pieces: bytes, status: int = 200, headers: Headers | None = None, length: bool = True) -> ASGIApp:
    """An application with one answer."""
    given = list(headers or [(b"content-type", b"application/json")])
    if length:
        given.append((b"content-length", b"%d" % sum(map(len, pieces))))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(given)})
        for index, piece in enumerate(pieces):
            await send({"type": "http.response.body", "body": piece, "more_body": index < len(pieces) - 1})

    return app


async def sent_by(
    app: ASGIApp,
    accept: Iterable[str] = ("gzip",),
    method: str = "GET",
    scope: dict[str, Any] | None = None,
    messages: list[Message] | None = None,
) -> list[Message]:
    """The messages that go out for a request."""
    headers = [(b"accept-encoding", value.encode("latin-1")) for value in accept]
    messages = [] if messages is None else messages

    async def send(message: Message) -> None:
        messages.append(message)

    async def receive() -> Message:
        raise AssertionError("nobody asks")

    scope = {} if scope is None else scope
    scope |= {"type": "http", "method": method, "headers": headers}
    await Compression(app)(scope, receive, send)
    return messages


LONG = b'{"words": "' + b"word " * 1_000 + b'"}'


class TestAcceptance:
    @pytest.mark.parametrize(
        "accept",
        [
            ["gzip"],
            ["gzip, deflate, br, zstd"],
            ["br;q=1.0, gzip;q=0.2"],
            ["GZIP ; Q=0.5"],
            ["x-gzip"],
            ["*"],
            ["identity;q=0.5, *;q=0.5"],
            ["br", "gzip"],
            ["gzip;q=0.001;x=y,,"],
        ],
    )
    async def test_gzip_for_who_takes_it(self, accept: list[str]) -> None:
        start, body = await sent_by(answering(LONG), accept)

        assert dict(start["headers"])[b"content-encoding"] == b"gzip"
        assert gzip.decompress(body["body"]) == LONG

    @pytest.mark.parametrize(
        "accept",
        [
            [],
            [""],
            ["identity"],
            ["br, deflate"],
            ["gzip;q=0"],
            ["gzip;q=0.000, *"],
            ["*;q=0"],
            ["identity, gzip;q=0.5"],
            ["gzip;q=much"],
            ["gzip;q=nan"],
            ["gzip;q=-1"],
            ["gzipped, notgzip, gzip/1"],
            ["\xff\x00;=;;q"],
            [";,;" * 5_000],
        ],
    )
    async def test_nothing_for_who_does_not(self, accept: list[str]) -> None:
        start, body = await sent_by(answering(LONG), accept)

        assert body["body"] == LONG
        headers = dict(start["headers"])
        assert b"content-encoding" not in headers
        assert headers[b"content-length"] == b"%d" % len(LONG)
        assert headers[b"vary"] == b"Accept-Encoding"


class TestAnswers:
    @pytest.mark.parametrize(
        "media_type",
        [
            "application/json",
            "application/problem+json",
            "application/graphql-response+json; charset=utf-8",
            "text/html; charset=utf-8",
            "TEXT/CSS",
            "image/svg+xml",
        ],
    )
    async def test_text_is_compressed(self, media_type: str) -> None:
        start, _ = await sent_by(answering(LONG, headers=[(b"content-type", media_type.encode())]))

        assert (b"content-encoding", b"gzip") in start["headers"]

    @pytest.mark.parametrize(
        "media_type", ["image/png", "font/woff2", "application/octet-stream", "text/event-stream", ""]
    )
    async def test_other_media_are_not(self, media_type: str) -> None:
        start, body = await sent_by(answering(LONG, headers=[(b"content-type", media_type.encode())]))

        assert body["body"] == LONG
        assert {name for name, _ in start["headers"]} == {b"content-type", b"content-length"}

    @pytest.mark.parametrize("size", [MINIMUM_SIZE - 1, MINIMUM_SIZE])
    async def test_size_decides(self, size: int) -> None:
        start, _ = await sent_by(answering(b"x" * size))

        assert ((b"content-encoding", b"gzip") in start["headers"]) == (size == MINIMUM_SIZE)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("content-encoding", "br"), ("cache-control", "private, no-store"), ("etag", '"7"')],
    )
    async def test_header_forbids_it(self, name: str, value: str) -> None:
        headers = [(b"content-type", b"application/json"), (name.encode(), value.encode())]
        start, body = await sent_by(answering(LONG, headers=headers))

        assert body["body"] == LONG
        assert start["headers"] == [*headers, (b"content-length", b"%d" % len(LONG))]

    @pytest.mark.parametrize("status", [206, 304])
    async def test_part_and_confirmation_are_left_alone(self, status: int) -> None:
        start, body = await sent_by(answering(LONG, status=status))

        assert body["body"] == LONG
        assert b"vary" not in dict(start["headers"])

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("Accept", "Accept, Accept-Encoding"),
            ("accept-encoding", "accept-encoding"),
            ("Origin, Accept-Encoding", "Origin, Accept-Encoding"),
            ("*", "*"),
        ],
    )
    async def test_vary_is_kept(self, given: str, expected: str) -> None:
        headers = [(b"content-type", b"application/json"), (b"vary", given.encode())]
        for accept in ("gzip", "identity"):
            start, _ = await sent_by(answering(LONG, headers=headers), [accept])

            assert [value for name, value in start["headers"] if name == b"vary"] == [expected.encode()]

    async def test_file_that_comes_in_pieces_is_compressed_as_it_comes(self) -> None:
        pieces = [random.Random(n).randbytes(30_000).hex().encode() for n in range(5)] + [b""]
        start, *bodies = await sent_by(answering(*pieces))

        assert b"content-length" not in dict(start["headers"])
        assert [body["more_body"] for body in bodies] == [True] * 5 + [False]
        assert all(len(body["body"]) < len(piece) for body, piece in zip(bodies[:5], pieces[:5], strict=True))
        assert gzip.decompress(b"".join(body["body"] for body in bodies)) == b"".join(pieces)

    @pytest.mark.parametrize("media_type", ["text/event-stream", "application/json"])
    async def test_stream_is_sent_piece_by_piece(self, media_type: str) -> None:
        scope: dict[str, Any] = {}
        headers = [(b"content-type", media_type.encode())]
        start, *bodies = await sent_by(answering(LONG, LONG, b"", headers=headers, length=False), scope=scope)

        assert start["headers"] == headers
        assert [body["body"] for body in bodies] == [LONG, LONG, b""]
        assert (STREAM in scope) == (media_type == "text/event-stream")

    async def test_head_is_never_held_back(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            headers = [(b"content-type", b"text/plain"), (b"content-length", b"5000")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            await send({"type": "http.response.body", "body": b""})

        start, *bodies = await sent_by(app, method="HEAD")

        assert dict(start["headers"]).keys() == {b"content-type", b"vary", b"content-encoding"}
        assert [body["body"] for body in bodies] == [b"", b""]

    async def test_file_that_the_server_sends_itself_is_its_own_affair(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            headers = [(b"content-type", b"text/plain"), (b"content-length", b"5000")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.pathsend", "path": "/a/file"})

        start, path = await sent_by(app)

        assert dict(start["headers"])[b"content-length"] == b"5000"
        assert path == {"type": "http.response.pathsend", "path": "/a/file"}

    async def test_of_one_that_fails_before_its_body_nothing_is_sent(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            headers = [(b"content-type", b"text/plain"), (b"content-length", b"5000")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            raise RuntimeError("unforeseen")

        messages: list[Message] = []
        with pytest.raises(RuntimeError, match="unforeseen"):
            await sent_by(app, messages=messages)
        assert messages == []

    async def test_old_protocol_gets_what_it_understands(self) -> None:
        start, body = await sent_by(answering(LONG), scope={"http_version": "1.0"})

        assert body["body"] == LONG
        assert dict(start["headers"])[b"vary"] == b"Accept-Encoding"

    async def test_sockets_pass(self) -> None:
        seen: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.extend([scope, receive, send])

        async def receive() -> Message:
            return {}

        async def send(message: Message) -> None: ...

        scope = {"type": "websocket", "headers": []}
        await Compression(app)(scope, receive, send)

        assert seen == [scope, receive, send]
