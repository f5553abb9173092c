"""Clients that cost little, so that the servers have the machine: requests, event streams, GraphQL's sockets."""

import asyncio
import base64
import json
import os
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self, cast

import orjson

from benchmarks.client import Connection
from tests.raw_sockets import PING, PONG, TEXT, frame

CUT = 0
"""Instead of a status: no answer, or nobody to ask."""
PATIENCE_SECONDS = 60.0


async def within(seconds: float, holds: Callable[[], Any]) -> bool:
    """Whether something comes to hold in that time, by what others do."""
    deadline = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < deadline:  # noqa: ASYNC110 - they tell nothing
        await asyncio.sleep(0.05)
    return bool(held)


class Caller:
    """Somebody who asks, one request at a time, on a connection that is opened anew where it was lost."""

    def __init__(self, port: int, headers: Mapping[str, str]) -> None:
        self.port = port
        self._head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._connection: Connection | None = None

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status and the body, as JSON has it; ``CUT`` where there is no answer."""
        content = b"" if body is None else orjson.dumps(body)
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{self._head}"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                status, answer = await (await self._connected()).send(f"{head}\r\n".encode() + content)
        except (OSError, TimeoutError):
            self.leave()
            return CUT, None
        return status, orjson.loads(answer) if answer else None

    async def _connected(self) -> Connection:
        made = self._connection
        if made is None or made.transport is None or made.transport.is_closing():
            loop = asyncio.get_running_loop()
            _, made = await loop.create_connection(Connection, "127.0.0.1", self.port)
            self._connection = made
        return made

    def move(self, port: int) -> None:
        """Ask another server from now on."""
        self.leave()
        self.port = port

    def leave(self) -> None:
        """Hang up."""
        made, self._connection = self._connection, None
        if made is not None and made.transport is not None:
            made.transport.abort()


class Message(NamedTuple):
    """What a follower was told."""

    kind: str
    """The event's; of a socket, nothing."""
    cursor: str
    data: Any
    at: float
    """When it came, by the wall's clock, which is the database's, too."""


Hear = Callable[[Message], None]


class _Follower(asyncio.Protocol):
    """A connection on which one is told."""

    def __init__(self, hear: Hear) -> None:
        self._hear = hear
        self._received = bytearray()
        self.status = 0
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once it is followed. Raises ``ConnectionError`` where that was refused."""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        moment = time.time()
        self._received += data
        if not self.status:
            head, found, rest = bytes(self._received).partition(b"\r\n\r\n")
            if not found:
                return
            self.status = int(head[9:12])
            self._received = bytearray(rest)
            if self.status not in (101, 200):
                self._close(ConnectionError(f"refused with {self.status}: {rest[:200]!r}"))
                return
            self._welcome()
        self._read(moment)

    def connection_lost(self, error: Exception | None) -> None:
        self._close(error or ConnectionError("the server closed the connection"))

    def _close(self, error: Exception) -> None:
        if not self.begun.done():
            self.begun.set_exception(error)
            self.begun.exception()  # whoever waits hears of it; others need not
        if not self.ended.done():
            self.ended.set_result(None)
        if self.transport is not None:
            self.transport.abort()

    def leave(self) -> None:
        """Hang up."""
        if self.transport is not None:
            self.transport.abort()

    def _begin(self) -> None:
        if not self.begun.done():
            self.begun.set_result(None)

    def _welcome(self) -> None:
        raise NotImplementedError

    def _read(self, moment: float) -> None:
        raise NotImplementedError


class Stream(_Follower):
    """An event stream (HTML Standard, section 9.2), in chunks (RFC 9112, section 7.1)."""

    def __init__(self, hear: Hear) -> None:
        super().__init__(hear)
        self._text = bytearray()

    @classmethod
    async def open(cls, port: int, path: str, headers: Mapping[str, str], hear: Hear) -> Self:
        """Ask for a stream; ``begun`` says when it is there. Raises ``OSError``."""
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(lambda: cls(hear), "127.0.0.1", port)
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Accept: text/event-stream"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        assert made.transport is not None
        made.transport.write("\r\n".join([*lines, "", ""]).encode())
        return made

    def _welcome(self) -> None:
        """What is promised begins with the first bytes."""

    def _read(self, moment: float) -> None:
        received, start = self._received, 0
        while (end := received.find(b"\r\n", start)) >= 0:
            size = int(received[start:end], 16)
            if len(received) < end + 4 + size:
                break
            self._text += received[end + 2 : end + 2 + size]
            start = end + 4 + size
        del received[:start]
        *events, rest = self._text.split(b"\n\n")
        if events:
            self._text = rest
            for each in events:
                self._take(each, moment)

    def _take(self, text: bytearray, moment: float) -> None:
        self._begin()
        told = dict(line.split(b": ", 1) for line in bytes(text).split(b"\n") if b": " in line[1:])
        if b"event" in told:
            kind, cursor = told[b"event"].decode(), told.get(b"id", b"").decode()
            self._hear(Message(kind, cursor, orjson.loads(told[b"data"]), moment))


class Socket(_Follower):
    """Subscriptions over graphql-transport-ws. Frames are those of servers that neither split nor compress."""

    def __init__(self, hear: Hear, payload: Mapping[str, str], operations: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(hear)
        self._payload, self._operations = payload, operations

    @classmethod
    async def open(
        cls, port: int, headers: Mapping[str, str], operations: Sequence[Mapping[str, Any]], hear: Hear
    ) -> Self:
        """Open a socket and subscribe; ``begun`` says when the server has taken it. Raises ``OSError``."""
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(lambda: cls(hear, headers, operations), "127.0.0.1", port)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["GET /graphql HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        lines += ["Sec-WebSocket-Protocol: graphql-transport-ws", "", ""]
        assert made.transport is not None
        made.transport.write("\r\n".join(lines).encode())
        return made

    def _welcome(self) -> None:
        self._send({"type": "connection_init", "payload": dict(self._payload)})

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self.transport is not None
        self.transport.write(frame(TEXT, json.dumps(message).encode()))

    def _read(self, moment: float) -> None:
        received = self._received
        while len(received) >= 2:
            length, start = received[1] & 127, 2
            if length > 125:
                start = 4 if length == 126 else 10
                if len(received) < start:
                    return
                [length] = struct.unpack(">H" if start == 4 else ">Q", received[2:start])
            if len(received) < start + length:
                return
            opcode, data = received[0] & 15, bytes(received[start : start + length])
            del received[: start + length]
            self._take(opcode, data, moment)

    def _take(self, opcode: int, data: bytes, moment: float) -> None:
        assert self.transport is not None
        if opcode == PING:
            self.transport.write(frame(PONG, data))
        if opcode != TEXT:
            return
        message = orjson.loads(data)
        if message["type"] == "connection_ack":
            for number, operation in enumerate(self._operations):
                self._send({"id": str(number), "type": "subscribe", "payload": operation})
            self._begin()
        elif message["type"] == "next" and (payload := message["payload"]).get("data"):
            for value in payload["data"].values():
                self._hear(Message("", value.get("cursor", ""), value, moment))
        elif message["type"] in ("next", "error"):
            self._close(ConnectionError(f"refused: {message['payload']}"))
