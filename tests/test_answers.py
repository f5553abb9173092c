"""Answers go out as uvicorn would send them, in fewer pieces (``api/server/answers.py``)."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from api.server import answers
from api.server.answers import MAX_NAMES, TOGETHER_BYTES, Answer

TYPE = (b"Content-Type", b"application/json")
DATE = (b"date", b"Sun, 29 Nov 2026 12:00:00 GMT")


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": [*headers]}


def body(data: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def length(number: int) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % number


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        if data:
            self.written.append(data)

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def sent(
    kind: type[RequestResponseCycle], messages: Sequence[Any], *, method: str = "GET", keep_alive: bool = True
) -> tuple[Wire, tuple[object, ...]]:
    """What is written, and how it ended."""
    wire, ended = Wire(), []
    transport: Any = wire
    scope: Any = {"type": "http", "method": method}
    logger = logging.getLogger("uvicorn.error")
    cycle = kind(
        scope=scope,
        transport=transport,
        flow=FlowControl(transport),
        logger=logger,
        access_logger=logger,
        access_log=False,
        default_headers=[DATE],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: ended.append("told"),
    )
    try:
        for message in messages:
            await cycle.send(message)
    except (RuntimeError, ValueError) as error:
        ended.append(str(error))
    state = (cycle.response_started, cycle.response_complete, cycle.message_event.is_set(), cycle.keep_alive)
    return wire, (*ended, *state, wire.closed)


CASES: dict[str, Sequence[Any]] = {
    "whole": [start(TYPE, length(2)), body(b"{}")],
    "empty": [start(length(0)), body()],
    "no body member": [start(length(0)), {"type": "http.response.body"}],
    "no content": [start(status=204), body()],
    "not modified": [start((b"etag", b'W/"1"'), status=304), body()],
    "too long": [start(length(1)), body(b"{}")],
    "too short": [start(length(3)), body(b"{}")],
    "in two pieces": [start(length(4)), body(b"ab", more=True), body(b"cd")],
    "in two pieces, too short": [start(length(5)), body(b"ab", more=True), body(b"cd")],
    "large": [start(length(TOGETHER_BYTES + 1)), body(b"x" * (TOGETHER_BYTES + 1))],
    "as large as may be": [start(length(TOGETHER_BYTES)), body(b"x" * TOGETHER_BYTES)],
    "stream": [start(TYPE), body(b"ab", more=True), body(b"cd", more=True), body()],
    "chunked by name": [start((b"transfer-encoding", b"chunked")), body(b"ab")],
    "closed": [start(length(2), (b"Connection", b"close")), body(b"ab")],
    "value with a line": [start(length(2), (b"x-name", b"a\r\nset-cookie: b=c")), body(b"ab")],
    "value with a line feed": [start(length(2), (b"x-name", b"a\nb")), body(b"ab")],
    "value with a control": [start(length(2), (b"x-name", b"a\x00b")), body(b"ab")],
    "value with a delete": [start(length(2), (b"x-name", b"a\x7fb")), body(b"ab")],
    "value with a tab": [start(length(2), (b"x-name", b"a\tb")), body(b"ab")],
    "value with a letter beyond ASCII": [start(length(2), (b"x-name", "ä".encode())), body(b"ab")],
    "name with a blank": [start(length(2), (b"x name", b"a")), body(b"ab")],
    "name with a line": [start(length(2), (b"x\r\nname", b"a")), body(b"ab")],
    "length that is none": [start((b"content-length", b"two")), body(b"ab")],
    "body first": [body(b"ab")],
    "head twice": [start(length(2)), start(length(2))],
    "head twice, then the body": [start(length(2)), start(length(2)), body(b"ab")],
    "body twice": [start(length(2)), body(b"ab"), body(b"ab")],
    "head alone": [start(TYPE)],
    "something else": [start(length(2)), {"type": "http.response.trailers"}],
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("keep_alive", [True, False], ids=["goes on", "ends"])
@pytest.mark.parametrize("messages", CASES.values(), ids=CASES)
async def test_as_uvicorn_sends_it(messages: Sequence[Any], keep_alive: bool, method: str) -> None:
    ours, end = await sent(Answer, messages, method=method, keep_alive=keep_alive)
    theirs, expected = await sent(RequestResponseCycle, messages, method=method, keep_alive=keep_alive)
    assert end == expected
    written, would_be = b"".join(ours.written), b"".join(theirs.written)
    # of an answer that breaks off, the head need not go out
    assert written == would_be or (not written and not end[-4])


@pytest.mark.parametrize(("case", "pieces"), [("whole", 1), ("as large as may be", 1), ("large", 2), ("stream", 4)])
async def test_pieces(case: str, pieces: int) -> None:
    wire, _ = await sent(Answer, CASES[case])
    assert len(wire.written) == pieces


async def test_head_of_a_stream_does_not_wait() -> None:
    wire, _ = await sent(Answer, CASES["head alone"])
    assert wire.written


async def test_head_of_a_known_length_waits_for_its_body() -> None:
    wire, _ = await sent(Answer, [start(length(2))])
    assert not wire.written


async def test_names_without_end_are_uvicorns(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not all kept."""
    monkeypatch.setattr(answers, "_LINES", {})
    wire = Wire()
    for number in range(MAX_NAMES + 10):
        wire, _ = await sent(Answer, [start(length(2), (b"x-%d" % number, b"a")), body(b"ab")])
        assert b"x-%d: a" % number in b"".join(wire.written)
    assert len(wire.written) == 2
    monkeypatch.undo()
    wire, _ = await sent(Answer, CASES["whole"])
    assert len(wire.written) == 1
