"""GraphQL over Server-Sent Events, against a real server: a client in the same event loop cannot read a stream."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import httpx
import pytest
from starlette.types import Message as Sent

from api import sse
from tests.actors import PASSWORD
from tests.conftest import migrate, settings_for
from tests.live import LiveServer

STREAM = {"Accept": "text/event-stream"}
SUBSCRIPTION = {"query": "subscription { taskCreated { title } }"}
Message = tuple[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    url = f"sqlite:///{tmp_path_factory.mktemp('sse') / 'sse.db'}"
    migrate(url)
    with LiveServer(settings_for(url)) as live:
        account = {"username": "streamer", "email": "streamer@example.com", "password": PASSWORD}
        assert httpx.post(f"{live.base_url}/users", json=account).status_code == 201
        yield live.base_url


@pytest.fixture
def client(server: str) -> Iterator[httpx.Client]:
    token = httpx.post(f"{server}/token", data={"username": "streamer", "password": PASSWORD}).json()
    headers = {"Authorization": f"Bearer {token['access_token']}", "X-Refresh": token["refresh_token"]}
    with httpx.Client(base_url=server, headers=headers, timeout=10) as http:
        yield http


def messages(response: httpx.Response) -> Iterator[Message]:
    """The events of a stream, each with its data."""
    kind = ""
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value) if value else None


def test_query_is_one_message_and_the_end(client: httpx.Client) -> None:
    with client.stream("POST", "/graphql", json={"query": "{ me { username } }"}, headers=STREAM) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert "no-cache" in response.headers["cache-control"]
        assert list(messages(response)) == [("next", {"data": {"me": {"username": "streamer"}}}), ("complete", None)]


def test_subscription_brings_each_task_once_and_in_order(client: httpx.Client) -> None:
    with client.stream("GET", "/graphql", params=SUBSCRIPTION, headers=STREAM) as response:
        time.sleep(0.5)  # "from now on" begins a moment after the head of the response
        titles = [f"Task {number}" for number in range(5)]
        for title in titles:
            assert client.post("/tasks", json={"title": title}).status_code == 201
        stream = messages(response)
        seen = [next(stream) for _ in titles]

    assert seen == [("next", {"data": {"taskCreated": {"title": title}}}) for title in titles]


def test_invalid_operation_is_told_in_the_stream(client: httpx.Client) -> None:
    with client.stream("POST", "/graphql", json={"query": "{ nope }"}, headers=STREAM) as response:
        [(kind, body), end] = list(messages(response))

    assert kind == "next"
    assert body["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert end == ("complete", None)


def test_stream_ends_with_the_session(client: httpx.Client) -> None:
    with client.stream("POST", "/graphql", json=SUBSCRIPTION, headers=STREAM) as response:
        time.sleep(0.5)
        with httpx.Client(base_url=client.base_url) as other:
            token = other.post("/token", data={"username": "streamer", "password": PASSWORD}).json()["access_token"]
            revoked = other.post("/token/revoke", json={"refresh_token": client.headers["X-Refresh"]})
            made = other.post("/tasks", json={"title": "Unheard"}, headers={"Authorization": f"Bearer {token}"})
        [(_, body), end] = list(messages(response))

    assert (revoked.status_code, made.status_code) == (204, 201)
    assert body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert end == ("complete", None)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"json": SUBSCRIPTION, "headers": STREAM | {"Authorization": "Bearer not.a.token"}}, 401),
        ({"json": {}, "headers": STREAM}, 400),
        ({"json": SUBSCRIPTION, "headers": {"Accept": "application/graphql-response+json, text/event-stream"}}, 400),
        ({"json": SUBSCRIPTION, "headers": {"Accept": "image/png"}}, 406),
    ],
)
def test_refusals_come_before_any_stream(client: httpx.Client, options: dict[str, Any], status: int) -> None:
    response = client.post("/graphql", **options)

    assert response.status_code == status
    assert "json" in response.headers["content-type"]


def test_mutation_by_get_is_refused(client: httpx.Client) -> None:
    query = {"query": 'mutation { createTask(input: {title: "x"}) { task { id } } }'}

    assert client.get("/graphql", params=query, headers=STREAM).status_code == 405


def test_quiet_stream_is_kept_open(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.05)
    with client.stream("POST", "/graphql", json=SUBSCRIPTION, headers=STREAM) as response:
        lines = response.iter_lines()
        assert [next(lines) for _ in range(4)] == [":", "", ":", ""]


class TestStream:
    """The stream that both doors send, without a server."""

    async def test_events_are_framed(self) -> None:
        assert sse.event("next", b'{"a": 1}') == b'event: next\ndata: {"a": 1}\n\n'
        assert sse.event("complete", b"") == b"event: complete\ndata: \n\n"

    async def test_stream_that_ends_before_its_messages_says_why_and_closes_their_source(self) -> None:
        closed = asyncio.Event()
        ended: sse.Ended = asyncio.get_running_loop().create_future()

        async def messages() -> AsyncGenerator[bytes]:
            try:
                yield b"first"
                await asyncio.sleep(60)
            finally:
                closed.set()

        sent: list[bytes] = []

        async def send(message: Sent) -> None:
            sent.append(message.get("body", b""))
            if b"first" in sent[-1] and not ended.done():
                ended.set_result(lambda: b"last")

        stream = sse.EventStream(messages(), seconds=5, ended=ended)
        async with asyncio.timeout(5):
            await stream.stream_response(send)
            await closed.wait()
        assert b"".join(sent) == b"firstlast"

    @pytest.mark.parametrize(
        ("accept", "expected"),
        [("text/event-stream", True), ("text/html, TEXT/Event-Stream;q=0.5", True), ("*/*", False), ("", False)],
    )
    def test_streams_are_accepted_by_name(self, accept: str, expected: bool) -> None:
        assert sse.accepted(accept) is expected
