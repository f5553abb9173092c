"""What a connection may ask of the process before the application hears of it (api/server/)."""

import hashlib
import inspect
import json
import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.server.bounds import MAX_HEAD, MAX_HEADERS, MAX_PIPELINED
from api.server.connection import USED
from api.server.door import Door
from api.server.hosts import is_host
from api.server.refusals import ALL
from tests.conftest import ROOT, migrate, settings_for
from tests.live import LiveServer
from tests.raw import HEALTH, HOST, connect, listen, send

GET = b"GET /health HTTP/1.1\r\n"
POST = b"POST /api/v1/tasks HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
QUICK = 1.0
"""Seconds that heads and readers have here."""

REFUSED: dict[str, tuple[bytes, int]] = {
    "no Host": (GET + b"\r\n", 400),
    "two Hosts": (GET + HOST + HOST + b"\r\n", 400),
    "two Hosts, HTTP/1.0": (b"GET /health HTTP/1.0\r\n" + HOST + HOST + b"\r\n", 400),
    "empty Host": (GET + b"Host:\r\n\r\n", 400),
    "Host with a blank": (GET + b"Host: a b\r\n\r\n", 400),
    "Host with a user": (GET + b"Host: me@tandem\r\n\r\n", 400),
    "Host with a path": (GET + b"Host: tandem/x\r\n\r\n", 400),
    "Host with two ports": (GET + b"Host: tandem:1:2\r\n\r\n", 400),
    "Host with a port too large": (GET + b"Host: tandem:65536\r\n\r\n", 400),
    "two lengths": (POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
    "lengths in a list": (POST + b"Content-Length: 2,2\r\n\r\n{}", 400),
    "signed length": (POST + b"Content-Length: +2\r\n\r\n{}", 400),
    "length and coding": (POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "coding and length": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", 400),
    "two codings": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "a coding twice": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "another coding": (POST + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400),
    "coding, HTTP/1.0": (CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n", 400),
    "folded header": (GET + HOST + b"X-A: b\r\n c\r\n\r\n", 400),
    "folded first": (GET + b" " + HOST + b"\r\n", 400),
    "bare line feeds": (GET.replace(b"\r", b"") + HOST.replace(b"\r", b"") + b"\n", 400),
    "bare carriage return": (GET + HOST + b"X-A: b\rc\r\n\r\n", 400),
    "blank before the colon": (GET + b"Host : x\r\n\r\n", 400),
    "NUL in a value": (GET + HOST + b"X-A: b\0c\r\n\r\n", 400),
    "NUL in a name": (GET + HOST + b"X\0A: b\r\n\r\n", 400),
    "no colon": (GET + HOST + b"abc\r\n\r\n", 400),
    "no name": (GET + HOST + b": b\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /health HTTP/0.9\r\n" + HOST + b"\r\n", 400),
    "HTTP/1.2": (b"GET /health HTTP/1.2\r\n" + HOST + b"\r\n", 400),
    "HTTP/2": (b"GET /health HTTP/2.0\r\n" + HOST + b"\r\n", 400),
    "preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "CONNECT": (b"CONNECT tandem:80 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "unknown method": (b"FOO /health HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "absolute, no host": (b"GET http:///health HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "chunk of no size": (CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n", 400),
    "chunk of an absurd size": (CHUNKED + b"f" * 20 + b"\r\n{}\r\n0\r\n\r\n", 400),
    "one header too many": (GET + HOST + b"".join(b"X-%d: a\r\n" % n for n in range(MAX_HEADERS)) + b"\r\n", 431),
    "header of 1 MB": (GET + HOST + b"X-A: " + b"a" * 1_000_000 + b"\r\n\r\n", 431),
    "name of 1 MB": (GET + HOST + b"a" * 1_000_000 + b": a\r\n\r\n", 431),
    "request line of 70 kB": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "line breaks without end": (b"\r\n" * 40_000, 414),
}
TAKEN = {
    "HTTP/1.0 without Host": (GET.replace(b"1.1", b"1.0") + b"\r\n", 200),
    "IPv6": (GET + b"Host: [::1]:8000\r\n\r\n", 200),
    "absolute": (b"GET http://elsewhere/health HTTP/1.1\r\n" + HOST + b"\r\n", 200),
    "line breaks before": (b"\r\n\r\n" + HEALTH, 200),
    "another protocol": (GET + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 200),
    "TRACE": (b"TRACE /health HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    "as many headers as there may be": (
        GET + HOST + b"".join(b"X-%d: a\r\n" % n for n in range(MAX_HEADERS - 1)) + b"\r\n",
        200,
    ),
    "extension of a chunk": (CHUNKED + b"2;a=b\r\n{}\r\n0\r\n\r\n", 422),
    "trailer": (CHUNKED + b"2\r\n{}\r\n0\r\nX-A: b\r\n\r\n", 422),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    url = f"sqlite:///{tmp_path_factory.mktemp('edges') / 'test.db'}"
    migrate(url)
    settings = settings_for(url, header_timeout_seconds=QUICK, write_timeout_seconds=QUICK)
    with LiveServer(settings) as live:
        yield live


def door(server: LiveServer) -> Door:
    held: Door = server.app.state.door
    return held


def padded(head: bytes, size: int) -> bytes:
    """The head, with a header that makes it so long."""
    return head + b"X-A: " + b"a" * (size - len(head) - 9) + b"\r\n\r\n"


def flood(connection: socket.socket, size: int) -> int:
    """Send as much as is taken, up to so much."""
    sent = 0
    with suppress(ConnectionError):
        while sent < size:
            sent += connection.send(b"a" * 65_536)
    return sent


def drip(connection: socket.socket, data: bytes) -> None:
    for byte in data:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def until(look: Any, expected: Any, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while (found := look()) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


class TestHeads:
    @pytest.mark.parametrize("name", REFUSED)
    def test_refused(self, server: LiveServer, name: str) -> None:
        """At once, as a problem, and nothing else is taken on the connection."""
        request, status = REFUSED[name]
        before = sum(door(server).counts.values())

        answer = send(server.base_url, request, HEALTH, quiet=5)

        assert answer.statuses == [status]
        assert answer.ended
        assert answer.seconds < 3
        assert b"connection: close\r\n" in answer.content
        assert b"content-type: application/problem+json\r\n" in answer.content
        problem = json.loads(answer.body)
        assert (problem["status"], problem["errors"], problem["request_id"]) == (status, [], None)
        assert problem["code"] in {"BAD_REQUEST", "HEADERS_TOO_LARGE", "URI_TOO_LONG"}
        assert sum(door(server).counts.values()) > before

    @pytest.mark.parametrize("name", TAKEN)
    def test_taken(self, server: LiveServer, name: str) -> None:
        request, status = TAKEN[name]
        answer = send(server.base_url, request)
        assert answer.statuses == [status]
        assert answer.ended == (b"1.0" in request)

    @pytest.mark.parametrize("name", [name for name in TAKEN if "1.0" not in name])
    def test_a_request_that_was_taken_is_followed_by_others(self, server: LiveServer, name: str) -> None:
        request, status = TAKEN[name]
        assert send(server.base_url, request + HEALTH).statuses == [status, 200]

    @pytest.mark.parametrize(("size", "status"), [(MAX_HEAD, 200), (MAX_HEAD + 1, 431)])
    @pytest.mark.parametrize("pieces", [1, 7])
    def test_a_head_ends_with_the_last_byte_it_may_have(
        self, server: LiveServer, size: int, status: int, pieces: int
    ) -> None:
        head = padded(GET + HOST, size)
        length = len(head) // pieces + 1
        cut = [head[at : at + length] for at in range(0, len(head), length)]
        assert send(server.base_url, *cut, pause=0.01, quiet=0.5).statuses == [status]

    def test_a_body_may_follow_a_head_at_any_length(self, server: LiveServer) -> None:
        body = b'{"title": "' + b"x" * 1_000_000 + b'"}'
        head = padded(POST + b"Content-Length: %d\r\n" % len(body), 60_000)
        assert send(server.base_url, head + body + HEALTH, quiet=1).statuses == [422, 200]

    def test_a_header_without_end_costs_nothing(self, server: LiveServer) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        before = used.ru_utime + used.ru_stime
        with connect(server.base_url) as connection:
            connection.sendall(GET + HOST + b"X-A: ")
            sent = flood(connection, 100_000_000)
        used = resource.getrusage(resource.RUSAGE_SELF)
        assert sent < 20_000_000  # what the kernel took
        assert used.ru_utime + used.ru_stime - before < 1

    def test_trailers_and_extensions_are_bounded(self, server: LiveServer) -> None:
        for endless in (b"2;a=", b"2\r\n{}\r\n0\r\nX-A: "):
            body = CHUNKED.replace(b"/tasks", b"/users") + endless
            answer = send(server.base_url, body, *[b"a" * 50_000] * 8, quiet=3, pause=0.01)
            assert answer.ended
            assert set(answer.statuses) <= {401, 415, 422, 431}

    def test_small_chunks_are_no_framing_without_end(self, server: LiveServer) -> None:
        body = b"".join(b"1\r\n%c\r\n" % byte for byte in b'{"title": "' + b"x" * 100_000 + b'"}')
        assert send(server.base_url, CHUNKED + body + b"0\r\n\r\n", quiet=1).statuses == [422]

    def test_what_comes_before_a_malformed_request_is_answered(self, server: LiveServer) -> None:
        answer = send(server.base_url, HEALTH * 2 + b"\x16\x03\x01\r\n\r\n", quiet=3)
        assert answer.statuses == [200, 200]
        assert answer.ended

    def test_requests_behind_one_another_are_bounded(self, server: LiveServer) -> None:
        answer = send(server.base_url, HEALTH * 1_000, quiet=3)
        assert set(answer.statuses) == {200}
        assert MAX_PIPELINED <= len(answer.statuses) <= MAX_PIPELINED + 2
        assert answer.ended

    def test_a_few_behind_one_another_are_answered_in_turn(self, server: LiveServer) -> None:
        other = b"GET /nothing HTTP/1.1\r\n" + HOST + b"\r\n"
        assert send(server.base_url, HEALTH + other + HEALTH).statuses == [200, 404, 200]


class TestTime:
    @pytest.mark.parametrize("begun", [b"", b"\r\n", b"GET /hea", GET + b"X-A: b\r\n"], ids=repr)
    def test_a_head_that_does_not_come(self, server: LiveServer, begun: bytes) -> None:
        answer = send(server.base_url, begun, quiet=10)
        assert answer.ended
        assert QUICK * 0.4 < answer.seconds < QUICK + 2.5
        assert answer.statuses == ([408] if begun else [])

    def test_a_head_that_drips(self, server: LiveServer) -> None:
        with connect(server.base_url) as connection:
            began = time.monotonic()
            with pytest.raises(ConnectionError):
                drip(connection, GET + HOST + b"X-A: " + b"a" * 1_000)
            assert time.monotonic() - began < QUICK + 6

    def test_another_request_has_its_own_time(self, server: LiveServer) -> None:
        with connect(server.base_url) as connection:
            for _ in range(3):
                time.sleep(QUICK * 0.6)
                connection.sendall(HEALTH)
                assert listen(connection).statuses == [200]
            time.sleep(QUICK + 1)  # idle connections have another time, which is longer
            connection.sendall(HEALTH[:20])
            answer = listen(connection, quiet=10)
        assert answer.statuses == [408]

    def test_a_client_that_reads_nothing_is_given_up(self, server: LiveServer) -> None:
        request = b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n"
        before = door(server).counts["not_read"]
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            host, _, port = server.base_url.removeprefix("http://").partition(":")
            connection.connect((host, int(port)))
            connection.sendall(request * 90)
            until(lambda: door(server).counts["not_read"], before + 1)
            answer = listen(connection, quiet=3)
        assert answer.ended

    def test_a_slow_reader_is_waited_for(self, server: LiveServer) -> None:
        """Slower than the answer comes, and faster than the least."""
        with connect(server.base_url) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            request = b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n"
            connection.sendall(request * 12)
            got, began = 0, time.monotonic()
            while time.monotonic() - began < 3 * QUICK:
                got += len(connection.recv(65_536))
                time.sleep(0.1)
            rest = listen(connection, quiet=1)
        assert not rest.ended
        assert got + len(rest.content) > 12 * 170_000


class TestConnections:
    def test_idle_ones_make_room(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'test.db'}"
        migrate(url)
        with LiveServer(settings_for(url, max_connections=8)) as server:
            idle = [connect(server.base_url) for _ in range(8)]
            until(lambda: len(door(server).connections), 8)
            assert send(server.base_url, HEALTH).statuses == [200]
            assert door(server).counts["idle"] == 1
            for connection in idle:
                connection.close()


class TestPages:
    def test_refusals_are_documented(self) -> None:
        told = (ROOT / "docs" / "deployment.md").read_text()
        errors = (ROOT / "docs" / "errors.md").read_text()
        for refusal in ALL:
            assert f"`{refusal.reason}`" in told, refusal.reason
            assert re.search(rf"`{refusal.code}` \| {refusal.status} ", errors), refusal.code

    def test_plain_uvicorn_is_told_what_it_lacks(self, tmp_path: Path) -> None:
        """Nothing but a line in the log: the application works there."""
        code = (
            "import asyncio\nfrom api.main import app\nasyncio.run(app({'type': 'lifespan', 'state': {}}, None, None))"
        )
        environment = os.environ | {
            "SECRET_KEY": "k7Jq2vXz9pLm4RtY8wBn3sDf6gHc1aEu5oIi0QWx",
            "DATABASE_URL": f"sqlite:///{tmp_path}/x.db",
        }
        run = [sys.executable, "-c", code]
        told = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, check=False).stderr
        assert "served without --http api.server.protocol:Protocol" in told


@pytest.mark.parametrize(
    "value", ["a", "a.b-c_d~", "a:80", "a:", "127.0.0.1:8000", "[::1]", "[::1]:80", "[v1.a:b]", "%41"]
)
def test_hosts(value: str) -> None:
    assert is_host(value.encode())


@pytest.mark.parametrize(
    "value",
    ["", ":80", "a b", "a/b", "a@b", "a:b", "a:99999", "[::1", "[::1]x", "[1.2.3]", "[:::]", "a,b[", "%4", "ä", '"a"'],
)
def test_no_hosts(value: str) -> None:
    assert not is_host(value.encode())


async def test_a_client_may_use_it_as_any_server(server: LiveServer) -> None:
    async with httpx.AsyncClient(base_url=server.base_url) as client:
        for _ in range(3):
            assert (await client.get("/health")).json() == {"status": "healthy"}


UVICORN = "70e7393260abf01c"
"""Of the class that ours is made from, and of its cycle."""


def test_uvicorn_is_the_one_that_was_read() -> None:
    """Another one may do something else with what we use of it: read what has changed, then note its digest here."""
    source = inspect.getsource(HttpToolsProtocol) + inspect.getsource(RequestResponseCycle)
    for names, owner in (("methods", HttpToolsProtocol), ("attributes", HttpToolsProtocol)):
        for name in USED[names]:
            assert f"self.{name}" in source or hasattr(owner, name), name
    for name in USED["cycle"]:
        assert f"self.{name}" in inspect.getsource(RequestResponseCycle) or hasattr(RequestResponseCycle, name), name
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == UVICORN
