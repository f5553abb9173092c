"""What one client of sockets and event streams can take: places, frames, memory, and the time of others."""

import asyncio
import json
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from api.graphql import websocket
from api.server.sockets import FRAMES, MESSAGE_BYTES
from core.buckets import Bucket
from tests.actors import Anonymous, Person
from tests.conftest import Servers
from tests.live import LiveServer
from tests.raw_sockets import CLOSE, CONTINUATION, PING, TEXT, Raw, connection, frame, handshake
from tests.raw_sockets import opened as raw_socket
from tests.sockets import initialised, opened
from tests.waiting import until

ME = "{ me { databaseId } }"
FOLLOW = "subscription { taskCreated { title } }"
STREAM = {"Accept": "text/event-stream"}
LARGE = "x" * 60_000


async def initialise(raw: Raw, caller: Anonymous) -> None:
    await raw.send(frame(TEXT, json.dumps({"type": "connection_init", "payload": caller.headers}).encode()))
    assert await raw.next_frame() == (TEXT, b'{"type":"connection_ack"}')


def subscribe(id: str, query: str) -> bytes:
    return frame(TEXT, json.dumps({"type": "subscribe", "id": id, "payload": {"query": query}}).encode())


def wait_for_send(server: LiveServer) -> int:
    """The bytes that wait in the server for clients to read them."""
    return sum(one.transport.get_write_buffer_size() for one in server._server.server_state.connections)


class TestHandshake:
    @pytest.mark.parametrize(
        ("headers", "drop", "said"),
        [
            ([("Authorization", "Bearer a"), ("Authorization", "Bearer b")], (), "Authorization is there more than"),
            ([("X-API-Key", "a"), ("x-api-key", "b")], (), "X-Api-Key is there more than once"),
            ([("Origin", "http://a"), ("Origin", "http://a")], (), "rigin"),
            ([("Host", "a"), ("Host", "a")], ("Host",), "Host"),
            ([("Host", "a b")], ("Host",), "Host"),
            ([("Host", "[::1")], ("Host",), "Host"),
            ([("Host", "")], ("Host",), "Host"),
            ((), ("Host",), "Host"),
        ],
    )
    async def test_headers_that_contradict_one_another_are_refused(
        self, server: LiveServer, headers: list[tuple[str, str]], drop: tuple[str, ...], said: str
    ) -> None:
        async with connection(server) as raw:
            await raw.send(handshake(server, headers=headers, drop=drop))
            assert await raw.read_head() == 400
            assert said in (await raw.reader.read(2_000)).decode()

    async def test_the_same_header_twice_is_one(self, server: LiveServer, ada: Person) -> None:
        token = ("Authorization", ada.headers["Authorization"])
        async with raw_socket(server, headers=[token, token]) as raw:
            await initialise(raw, Anonymous(ada.client))

    @pytest.mark.parametrize("headers", [[(f"X-{n}", "x") for n in range(150)], [("X-Long", "x" * 9_000)]])
    async def test_too_many_or_too_long_ones_are_431(self, server: LiveServer, headers: list[tuple[str, str]]) -> None:
        async with connection(server) as raw:
            await raw.send(handshake(server, headers=headers))
            assert await raw.read_head() == 431
            assert await raw.is_gone(3)

    async def test_long_address_is_414(self, server: LiveServer) -> None:
        async with connection(server) as raw:
            await raw.send(handshake(server, path="/graphql?" + "x" * 8_300))
            assert await raw.read_head() == 414

    async def test_foreign_origin_is_told_why(self, server: LiveServer) -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with opened(server, origin="https://evil.example.com"):
                pass
        assert refused.value.response.status_code == 403
        assert json.loads(refused.value.response.body or b"")["code"] == "FORBIDDEN"

    async def test_messages_are_not_compressed(self, server: LiveServer) -> None:
        async with raw_socket(server, headers=[("Sec-WebSocket-Extensions", "permessage-deflate")]) as raw:
            assert "sec-websocket-extensions" not in raw.head.lower()


class TestPlaces:
    async def test_strangers_of_an_address_are_bounded(self, servers: Servers, backend: str, ada: Person) -> None:
        server = servers(backend, sockets_per_address=2, socket_init_seconds=60)
        async with opened(server), opened(server) as second:
            with pytest.raises(InvalidStatus) as refused:
                async with opened(server):
                    pass
            response = refused.value.response
            assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
            assert json.loads(response.body or b"")["code"] == "RATE_LIMITED"
            # whoever says who it is needs the place no longer
            await second.send({"type": "connection_init", "payload": ada.headers})
            assert await second.receive() == {"type": "connection_ack"}
            async with opened(server):
                pass

    async def test_sockets_and_streams_of_an_account_are_bounded(
        self, servers: Servers, backend: str, ada: Person, bob: Person
    ) -> None:
        server = servers(backend, sockets_per_caller=2)
        connections = server.state.connections
        key = await ada.api_key("tasks:read")
        async with initialised(server, ada), httpx.AsyncClient(base_url=server.base_url) as http:
            asked: dict[str, Any] = {"json": {"query": FOLLOW}, "headers": key.headers | STREAM}
            async with http.stream("POST", "/graphql", **asked) as stream:
                assert stream.status_code == 200
                assert (connections.sockets, connections.streams) == (1, 1)
                async with opened(server) as third:
                    await third.send({"type": "connection_init", "payload": key.headers})
                    code, reason = await third.close_code()
                    assert (code, "at most 2 at once" in reason) == (4429, True)
                refused = await http.post("/graphql", **asked)
                assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
                [error] = refused.json()["errors"]
                assert error["extensions"]["code"] == "RATE_LIMITED"
                async with initialised(server, bob):
                    pass
            await until(lambda: not connections.streams)
            async with initialised(server, key):
                pass
        await until(lambda: not connections.sockets)

    async def test_operations_of_an_account_are_bounded_over_all_of_them(
        self, servers: Servers, backend: str, ada: Person, bob: Person
    ) -> None:
        server = servers(backend, operations_per_caller=3)
        async with initialised(server, ada) as one, initialised(server, ada) as two, initialised(server, bob) as other:
            for socket in (one, one, two):
                await socket.subscribe(FOLLOW)
            await until(lambda: server.state.feed.followers == 3)
            [refused] = (await two.run(ME))["refused"]
            assert (refused["extensions"]["code"], refused["extensions"]["retryAfter"]) == ("RATE_LIMITED", 1)
            async with httpx.AsyncClient(base_url=server.base_url) as http:
                stream = await http.post("/graphql", json={"query": FOLLOW}, headers=ada.headers | STREAM)
            assert stream.status_code == 429
            assert (await other.run(ME))["data"]
            await one.send({"type": "complete", "id": "operation-1"})
            await until(lambda: server.state.feed.followers == 2)
            assert (await two.run(ME))["data"]

    async def test_queries_of_a_socket_are_executed_a_few_at_a_time(self, server: LiveServer, ada: Person) -> None:
        async with initialised(server, ada) as socket:
            ids = {await socket.subscribe(ME) for _ in range(4 * websocket.MAX_RUNNING)}
            messages = [await socket.receive() for _ in range(2 * len(ids))]
        assert {message["id"] for message in messages if message["type"] == "complete"} == ids


class TestFrames:
    async def test_flood_of_pings_ends_and_holds_nobody_up(self, server: LiveServer, ada: Person) -> None:
        flood = frame(PING) * 50_000
        async with raw_socket(server) as raw, httpx.AsyncClient(base_url=server.base_url) as http:
            await initialise(raw, ada)
            assert (await http.get("/health")).status_code == 200
            sending = asyncio.create_task(raw.send(flood))
            code, reason = await raw.close_code()
            assert (await http.get("/health")).status_code == 200
            assert await raw.is_gone(3)
            await sending
        assert (code, reason) == (1008, "Too many frames")

    async def test_frames_are_parsed_in_turns(self, server: LiveServer, ada: Person) -> None:
        """Others have a turn between a few thousand bytes."""
        seen: list[int] = []
        number = 2_000
        async with raw_socket(server) as raw:
            await initialise(raw, ada)
            held: list[Any] = [*server._server.server_state.connections]
            [protocol] = [one for one in held if hasattr(one, "bound_messages")]
            answered = 0
            handle = protocol.handle_ping

            def counted() -> None:
                nonlocal answered
                answered += 1
                handle()

            protocol.handle_ping = counted

            def tick() -> None:
                seen.append(answered)
                if answered < number:
                    protocol.loop.call_soon(tick)

            protocol.loop.call_soon_threadsafe(tick)
            await until(lambda: bool(seen))
            await raw.send(frame(PING) * number)
            await until(lambda: answered == number)
        assert max(after - before for before, after in pairwise(seen)) < number

    async def test_pings_of_whoever_does_not_read_are_not_answered_without_end(
        self, server: LiveServer, ada: Person
    ) -> None:
        async with raw_socket(server, receive_buffer=4_096) as raw:
            await initialise(raw, ada)
            sending = asyncio.create_task(raw.send(frame(PING, b"x" * 125) * 200_000))  # 26 MB
            most = 0
            for _ in range(100):
                most = max(most, wait_for_send(server))
                await asyncio.sleep(0.01)
            sending.cancel()
        assert most < 500_000

    async def test_empty_fragments_are_bounded(self, server: LiveServer) -> None:
        async with raw_socket(server) as raw:
            await raw.send(frame(TEXT, fin=False), frame(CONTINUATION, fin=False) * 2 * FRAMES[0])
            assert await raw.close_code() == (1008, "Too many frames")

    async def test_message_is_bounded_in_fragments_too(self, server: LiveServer) -> None:
        async with raw_socket(server) as raw:
            await raw.send(frame(TEXT, b"x" * 40_000, fin=False), frame(CONTINUATION, b"x" * 40_000))
            assert (await raw.close_code())[0] == 1009

    async def test_length_alone_is_enough_to_refuse_a_message(self, server: LiveServer) -> None:
        async with raw_socket(server) as raw:
            await raw.send(frame(TEXT, b"x" * (MESSAGE_BYTES + 1))[:14])
            assert (await raw.close_code())[0] == 1009

    async def test_largest_message_is_that_of_the_settings(self, servers: Servers, backend: str, ada: Person) -> None:
        server = servers(backend, socket_message_bytes=200_000)
        async with initialised(server, ada) as socket:
            await socket.send({"type": "ping", "payload": {"x": "x" * 150_000}})
            assert await socket.receive() == {"type": "pong"}
            await socket.send({"type": "ping", "payload": {"x": "x" * 200_000}})
            assert (await socket.close_code())[0] == 1009

    async def test_chatter_is_bounded(self, server: LiveServer, ada: Person) -> None:
        async with initialised(server, ada) as socket:
            for _ in range(websocket.CHATTER[0] + 200):
                await socket.send('{"type":"pong"}')
            assert await socket.close_code() == (4429, "Too many messages")

    async def test_many_messages_in_one_segment_are_all_read(self, server: LiveServer, ada: Person) -> None:
        async with raw_socket(server) as raw:
            await initialise(raw, ada)
            await raw.send(frame(TEXT, b'{"type":"ping"}') * 900)
            for _ in range(900):
                assert await raw.next_frame() == (TEXT, b'{"type":"pong"}')

    async def test_frame_that_comes_byte_by_byte_is_one(self, server: LiveServer) -> None:
        async with raw_socket(server) as raw:
            for byte in frame(TEXT, b'{"type":"ping"}'):
                await raw.send(bytes([byte]))
                await asyncio.sleep(0.002)
            assert await raw.next_frame() == (TEXT, b'{"type":"pong"}')

    async def test_close_is_answered(self, server: LiveServer) -> None:
        async with raw_socket(server) as raw:
            await raw.send(frame(CLOSE, b"\x03\xe8"))
            assert await raw.next_frame() == (CLOSE, b"\x03\xe8")
            assert await raw.is_gone(2)


class TestWhoNeverReads:
    async def test_socket_is_cut_off(self, servers: Servers, backend: str, ada: Person) -> None:
        server = servers(backend, socket_send_seconds=0.5)
        for _ in range(40):
            await ada.task(title="Long", description=LARGE)
        query = "{ tasks(first: 40) { edges { node { description } } } }"
        async with raw_socket(server, receive_buffer=4_096) as raw:
            await initialise(raw, ada)
            await raw.send(*(subscribe(str(number), query) for number in range(20)))
            await asyncio.sleep(0.3)
            assert wait_for_send(server) < 10_000_000, "more answers are held than one or two"
            await until(lambda: not server.state.connections.sockets)
            assert await raw.is_gone(2)
        assert not wait_for_send(server)

    @pytest.mark.parametrize("door", ["socket", "stream"])
    async def test_follower_is_cut_off(self, servers: Servers, backend: str, ada: Person, door: str) -> None:
        server = servers(backend, socket_send_seconds=0.5)
        query = "subscription { taskCreated { description } }"
        async with AsyncExitStack() as stack:
            if door == "socket":
                raw = await stack.enter_async_context(raw_socket(server, receive_buffer=4_096))
                await initialise(raw, ada)
                await raw.send(subscribe("1", query))
            else:
                raw = await stack.enter_async_context(connection(server, receive_buffer=4_096))
                await ask_for_stream(raw, query, ada)
            await until(lambda: server.state.feed.followers == 1)
            await asyncio.sleep(0.5)
            for _ in range(80):
                await ada.task(title="Long", description=LARGE)
            await until(lambda: not server.state.feed.followers)
            await until(lambda: not (server.state.connections.sockets or server.state.connections.streams))
            assert await raw.is_gone(2)

    async def test_slow_reader_is_waited_for(self, servers: Servers, backend: str, ada: Person) -> None:
        server = servers(backend, socket_send_seconds=2)
        for _ in range(20):
            await ada.task(title="Long", description=LARGE)
        query = "{ tasks(first: 20) { edges { node { description } } } }"
        async with raw_socket(server, receive_buffer=4_096) as raw:
            await initialise(raw, ada)
            await raw.send(*(subscribe(str(number), query) for number in range(4)))
            await asyncio.sleep(1)
            kinds: list[str] = []
            while len(kinds) < 8:
                found = await raw.next_frame()
                assert found is not None
                kinds.append(json.loads(found[1])["type"])
        assert kinds.count("complete") == 4


async def ask_for_stream(raw: Raw, query: str, caller: Anonymous) -> None:
    body = json.dumps({"query": query}).encode()
    lines = ["POST /graphql HTTP/1.1", "Host: x", "Content-Type: application/json", "Accept: text/event-stream"]
    lines += [f"{name}: {value}" for name, value in caller.headers.items()]
    await raw.send("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body)
    assert await raw.read_head() == 200


class TestStreams:
    async def test_client_that_goes_ends_its_stream(self, server: LiveServer, ada: Person) -> None:
        async with connection(server) as raw:
            await ask_for_stream(raw, FOLLOW, ada)
            await until(lambda: server.state.feed.followers == 1)
        await until(lambda: not server.state.feed.followers, 1)
        assert not server.state.connections.streams

    async def test_query_takes_no_place(self, servers: Servers, backend: str, ada: Person) -> None:
        server = servers(backend, sockets_per_caller=1)
        async with initialised(server, ada), httpx.AsyncClient(base_url=server.base_url) as http:
            answer = await http.post("/graphql", json={"query": ME}, headers=ada.headers | STREAM)
        assert answer.status_code == 200
        assert answer.text.endswith("event: complete\ndata: \n\n")


class TestBucket:
    def test_it_is_filled_again_with_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = [100.0]
        monkeypatch.setattr("core.buckets.monotonic", lambda: clock[0])
        bucket = Bucket(3, 2)
        assert [bucket.take() for _ in range(4)] == [True, True, True, False]
        clock[0] += 1
        assert [bucket.take() for _ in range(3)] == [True, True, False]
        clock[0] += 100
        assert [bucket.take() for _ in range(4)] == [True, True, True, False]
