"""Pings of the server, and what answers them (RFC 6455, sections 5.5.2 and 5.5.3): ``api/server/sockets.py``."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from api.server.sockets import PING_MOMENTS
from tests.actors import Person
from tests.live import LiveServer
from tests.raw_sockets import PING, PONG, TEXT, Raw, frame
from tests.raw_sockets import opened as raw_socket
from tests.waiting import until

MESSAGE = frame(TEXT, b'{"type":"ping"}')
MASK = b"\xea\xea\xea\xea"
"""With which bytes that look like a pong are letters."""


class Pinged(NamedTuple):
    """A socket whose server can be told to send a ping."""

    raw: Raw
    protocol: Any
    parsed: list[int]
    """How many bytes were parsed, each time that some were."""

    async def ping(self) -> bytes:
        """What is in a ping that the server sends now."""
        self.protocol.loop.call_soon_threadsafe(self.protocol.send_keepalive_ping)
        found = await self.raw.next_frame()
        assert found is not None
        opcode, data = found
        assert (opcode, len(data)) == (PING, 4)
        self.parsed.clear()
        return data

    async def is_answered(self) -> bool:
        """Whether the server has taken the last ping for answered, once it has answered a message."""
        await asyncio.sleep(0.05)  # in a segment of its own
        await self.raw.send(MESSAGE)
        assert await self.raw.next_frame() == (TEXT, b'{"type":"pong"}')
        return bool(self.protocol.pending_ping_payload is None)


@asynccontextmanager
async def pinged(server: LiveServer, caller: Person) -> AsyncIterator[Pinged]:
    async with raw_socket(server) as raw:
        message = {"type": "connection_init", "payload": caller.headers}
        await raw.send(frame(TEXT, json.dumps(message).encode()))
        assert await raw.next_frame() == (TEXT, b'{"type":"connection_ack"}')
        held: list[Any] = [*server._server.server_state.connections]
        [protocol] = [one for one in held if hasattr(one, "bound_messages") and not one.disconnected]
        parsed: list[int] = []
        pump = protocol._pump

        def counted() -> None:
            parsed.append(len(protocol._unparsed))
            pump()

        protocol._pump = counted
        yield Pinged(raw, protocol, parsed)
        raw.writer.close()
        await until(lambda: bool(protocol.disconnected))


def masked(opcode: int, data: bytes, mask: bytes = MASK) -> bytes:
    """A short frame of a client, masked."""
    covered = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
    return bytes([0x80 | opcode, 0x80 | len(data)]) + mask + covered


async def test_answer_is_known_by_its_bytes(server: LiveServer, ada: Person) -> None:
    async with pinged(server, ada) as socket:
        for mask in (bytes(4), MASK, b"\x01\x02\x03\x04"):
            await socket.raw.send(masked(PONG, await socket.ping(), mask))
            assert await socket.is_answered()
            assert socket.parsed == [len(MESSAGE)]  # which came behind it


async def test_next_ping_follows_the_answer(server: LiveServer, ada: Person) -> None:
    async with pinged(server, ada) as socket:
        protocol = socket.protocol
        await socket.raw.send(masked(PONG, await socket.ping()))
        assert await socket.is_answered()
        left = protocol.ping_timer.when() - protocol.loop.time()
        assert protocol.ping_interval * (1 - 1 / PING_MOMENTS) - 1 < left <= protocol.ping_interval
        assert protocol.pong_timer is None


async def test_answer_in_pieces_is_parsed(server: LiveServer, ada: Person) -> None:
    async with pinged(server, ada) as socket:
        answer = masked(PONG, await socket.ping())
        await socket.raw.send(answer[:3])
        await asyncio.sleep(0.05)
        await socket.raw.send(answer[3:])
        assert await socket.is_answered()
        assert socket.parsed == [3, len(answer) - 3, len(MESSAGE)]


@pytest.mark.parametrize("answer", [b"", b"none", b"and more", b"123"])
async def test_another_answer_is_none(server: LiveServer, ada: Person, answer: bytes) -> None:
    async with pinged(server, ada) as socket:
        await socket.ping()
        await socket.raw.send(masked(PONG, answer))
        assert not await socket.is_answered()
        assert socket.parsed == [6 + len(answer), len(MESSAGE)]


async def test_answer_that_nobody_asked_for_is_passed_over(server: LiveServer, ada: Person) -> None:
    async with pinged(server, ada) as socket:
        await socket.raw.send(masked(PONG, b"none"))
        assert await socket.is_answered()  # there was no ping


async def test_answer_between_fragments(server: LiveServer, ada: Person) -> None:
    async with pinged(server, ada) as socket:
        data = await socket.ping()
        await socket.raw.send(frame(TEXT, b'{"type":', fin=False))
        await asyncio.sleep(0.05)
        await socket.raw.send(masked(PONG, data))
        await asyncio.sleep(0.05)
        await socket.raw.send(frame(0, b'"ping"}'))
        assert await socket.raw.next_frame() == (TEXT, b'{"type":"pong"}')
        assert await socket.is_answered()


async def test_message_that_has_the_bytes_of_an_answer_in_it_stays_whole(server: LiveServer, ada: Person) -> None:
    """They come as a segment of their own, in the middle of a frame."""
    async with pinged(server, ada) as socket:
        await socket.ping()
        socket.protocol.pending_ping_payload = b"\x01\x02\x03\x04"
        looks_so = b"\x8a\x84" + b"\x8b\x8b\x8b\x8b" + b"\x8a\x89\x88\x8f"
        # so long that the mask begins anew with them
        before = b'{"type":"ping","payload":{"is":"'
        assert len(before) % 4 == 0
        letters = bytes(byte ^ MASK[0] for byte in looks_so)
        covered = masked(TEXT, before + letters + b'"}}')
        start = 6 + len(before)
        assert covered[start : start + 10] == looks_so
        for piece in (covered[:start], covered[start : start + 10], covered[start + 10 :]):
            await socket.raw.send(piece)
            await asyncio.sleep(0.05)
        assert await socket.raw.next_frame() == (TEXT, b'{"type":"pong"}')
        assert socket.parsed == [start, 10, len(covered) - start - 10]
        assert socket.protocol.pending_ping_payload is not None


async def test_who_does_not_answer_is_cut_off(server: LiveServer, ada: Person) -> None:
    async with pinged(server, ada) as socket:
        socket.protocol.ping_timeout = 0.1
        await socket.ping()
        assert (await socket.raw.close_code())[0] == 1011


async def test_flood_of_answers_ends(server: LiveServer, ada: Person) -> None:
    async with pinged(server, ada) as socket:
        await socket.ping()
        sending = asyncio.create_task(socket.raw.send(masked(PONG, b"none") * 20_000))
        assert await socket.raw.close_code() == (1008, "Too many frames")
        sending.cancel()
