"""Clients of bytes: WebSocket frames and requests that no library would send, and clients that never read."""

import asyncio
import base64
import os
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.live import LiveServer

TEXT, CONTINUATION, CLOSE, PING, PONG = 1, 0, 8, 9, 10
PATIENCE = 30
Headers = Sequence[tuple[str, str]]


def frame(opcode: int, data: bytes = b"", *, fin: bool = True) -> bytes:
    """A frame of a client, masked with zeros."""
    head = bytes([fin << 7 | opcode])
    if len(data) < 126:
        head += bytes([0x80 | len(data)])
    elif len(data) < 65_536:
        head += bytes([0x80 | 126]) + struct.pack(">H", len(data))
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", len(data))
    return head + bytes(4) + data


def handshake(server: LiveServer, *, headers: Headers = (), drop: Sequence[str] = (), path: str = "/graphql") -> bytes:
    host = urlsplit(server.base_url).netloc
    given = [
        ("Host", host),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", base64.b64encode(os.urandom(16)).decode()),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Protocol", "graphql-transport-ws"),
    ]
    lines = [f"{name}: {value}" for name, value in [*((n, v) for n, v in given if n not in drop), *headers]]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")


@dataclass
class Raw:
    """A connection, and what was read of its head."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    status: int = 0
    head: str = ""

    async def read_head(self) -> int:
        async with asyncio.timeout(PATIENCE):
            self.head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.status = int(self.head.split()[1])
        return self.status

    async def send(self, *frames: bytes) -> None:
        """Send, as far as the server takes it."""
        self.writer.write(b"".join(frames))
        with suppress(ConnectionError):
            await self.writer.drain()

    async def next_frame(self) -> tuple[int, bytes] | None:
        """The opcode and the data; None where the connection is gone."""
        async with asyncio.timeout(PATIENCE):
            try:
                first, second = await self.reader.readexactly(2)
                length = second & 127
                if length == 126:
                    length = struct.unpack(">H", await self.reader.readexactly(2))[0]
                elif length == 127:
                    length = struct.unpack(">Q", await self.reader.readexactly(8))[0]
                return first & 15, await self.reader.readexactly(length)
            except (ConnectionError, asyncio.IncompleteReadError):
                return None

    async def close_code(self) -> tuple[int, str]:
        """What the server closes with; other frames are passed over. 1006 where it breaks the connection off."""
        while (found := await self.next_frame()) is not None:
            opcode, data = found
            if opcode == CLOSE:
                return struct.unpack(">H", data[:2])[0], data[2:].decode()
        return 1006, ""

    async def is_gone(self, seconds: float) -> bool:
        """Whether the server ends the connection within so long. Reads what there is."""
        try:
            async with asyncio.timeout(seconds):
                while await self.reader.read(65_536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True


@asynccontextmanager
async def connection(server: LiveServer, *, receive_buffer: int | None = None) -> AsyncIterator[Raw]:
    """A connection on which nothing has been sent. With a small ``receive_buffer``, the server soon has to wait for a
    client that does not read."""
    import socket

    address = urlsplit(server.base_url)
    plain = socket.socket()
    if receive_buffer is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, (address.hostname, address.port))
    limit = {} if receive_buffer is None else {"limit": 1_024}
    options: dict[str, Any] = {"sock": plain, **limit}
    reader, writer = await asyncio.open_connection(**options)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def opened(server: LiveServer, *, headers: Headers = (), receive_buffer: int | None = None) -> AsyncIterator[Raw]:
    """A socket that has not been initialised."""
    async with connection(server, receive_buffer=receive_buffer) as raw:
        raw.writer.write(handshake(server, headers=headers))
        assert await raw.read_head() == 101, raw.head
        yield raw
