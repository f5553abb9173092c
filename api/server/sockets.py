"""WebSockets as uvicorn has them, within bounds: ``uvicorn --ws api.server.sockets:SocketProtocol``.

uvicorn's own class parses whatever comes in one go (a quarter of a megabyte is 40,000 empty pings, half a second of the
event loop), answers pings that nobody reads the answers of, without end, and waits for ever for a client to take what
was sent to it before the connection closes. Here, bytes are parsed a few thousand at a time; nothing is read from who
does not read; frames that are no message of their own are counted; and what is closed is broken off soon afterwards.

Messages are not compressed (permessage-deflate, RFC 7692): it would take 45 KB of memory for each socket.
"""

import asyncio
import os
from typing import Any

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from core.buckets import Bucket

MESSAGE_BYTES = 65_536
"""The largest message, unless the application says otherwise (``bound_messages``)."""
SLICE = 8_192
"""Bytes that are parsed before anybody else has a turn: at most 1,400 frames, some 10 ms."""
FRAMES = (2_000, 100)
"""Pings, pongs and continuations: so many at once, and a second from then on."""
PING_MOMENTS = 30
"""Pings fall on so many moments of their interval, not each on its own: the process wakes for many together."""
_PING, _PONG = b"\x89\x04", b"\x8a\x84"
"""How a ping of ours begins, and the answer to it, which is masked (RFC 6455, section 5.2): four bytes are in them."""
_PONG_BYTES = 10
LINGER_SECONDS = 1.0
"""How long a client has to read why it was cut off, and how long after a close the connection is broken off."""


class _Messages:
    """What the application has not received yet, for the one task that does: an ``asyncio.Queue`` takes 3 KB, and there
    may be thousands of sockets on which nothing happens."""

    __slots__ = ("_messages", "_receiving")

    def __init__(self) -> None:
        self._messages: list[ASGIReceiveEvent] = []
        self._receiving: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        return not self._messages

    def put_nowait(self, message: ASGIReceiveEvent) -> None:
        self._messages.append(message)
        if self._receiving is not None and not self._receiving.done():
            self._receiving.set_result(None)

    async def get(self) -> ASGIReceiveEvent:
        while not self._messages:
            self._receiving = asyncio.get_running_loop().create_future()
            await self._receiving
        return self._messages.pop(0)


class _Gate:
    """Whether something may go on; an ``asyncio.Event`` has a queue of its own even while nobody waits."""

    __slots__ = ("_open", "_opened")

    def __init__(self) -> None:
        self._open = True
        self._opened: asyncio.Future[None] | None = None

    def is_set(self) -> bool:
        return self._open

    def set(self) -> None:
        self._open = True
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)

    def clear(self) -> None:
        self._open = False

    async def wait(self) -> None:
        while not self._open:
            if self._opened is None or self._opened.done():
                self._opened = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._opened)


class SocketProtocol(WebSocketsSansIOProtocol):
    """One socket."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.queue = _Messages()  # type: ignore[assignment]  # what of it is used
        self.writable = _Gate()  # type: ignore[assignment]  # as above
        self.conn.available_extensions = []
        self.bound_messages(MESSAGE_BYTES)
        self._unparsed = bytearray()
        self._pumping = False
        self._dropping = False
        self._frames = Bucket(*FRAMES)
        self._breaking_off: asyncio.TimerHandle | None = None

    def bound_messages(self, most: int) -> None:
        """Let messages have at most so many bytes: a larger one closes the socket with 1009 as soon as its length is
        known (RFC 6455, section 7.4.1)."""
        self.conn.max_message_size = most

    # --- reading

    def data_received(self, data: bytes) -> None:
        if self._dropping or (len(data) == _PONG_BYTES and data[:2] == _PONG and self._answers_ping(data)):
            return
        self._unparsed += data
        if not self._pumping:
            self._pump()

    def _pump(self) -> None:
        """Parse a little, and more when the others have had their turn, if nothing is in the way by then."""
        self._pumping = False
        if self._dropping or self.disconnected or self._is_held():
            return
        piece = bytes(self._unparsed[:SLICE])
        del self._unparsed[:SLICE]
        super().data_received(piece)
        if not self.handshake_initiated and self.conn.handshake_exc is not None:
            self._refuse_handshake()
        elif self._unparsed:
            self.transport.pause_reading()
            self._read_on()
        elif not self._is_held():
            self.transport.resume_reading()

    def _is_held(self) -> bool:
        """Whether the application has messages to take, or the client answers."""
        return self.read_paused or not self.writable.is_set()

    def _read_on(self) -> None:
        if self._is_held() or self._pumping:
            return
        if self._unparsed:
            self._pumping = True
            self.loop.call_soon(self._pump)
        else:
            self.transport.resume_reading()

    async def receive(self) -> ASGIReceiveEvent:
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            self._read_on()
        return message

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self._dropping:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._read_on()

    def handle_ping(self) -> None:
        if self._may_have_another():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        if self._may_have_another():
            super().handle_pong(event)

    def handle_cont(self, event: Frame) -> None:
        if self._may_have_another():
            super().handle_cont(event)

    def _may_have_another(self) -> bool:
        """Whether the client may send such a frame; else it is cut off."""
        if self._dropping:
            return False
        if self._frames.take():
            return True
        self.conn.fail(1008, "Too many frames")
        self.handle_parser_exception()
        return False

    # --- signs of life

    def schedule_ping(self) -> None:
        interval = self.ping_interval or 0.0  # uvicorn schedules none where there is none
        step = interval / PING_MOMENTS
        moment = (self.loop.time() + interval) // step * step
        self.ping_timer = self.loop.call_at(moment, self.send_keepalive_ping)

    def send_keepalive_ping(self) -> None:
        """As uvicorn's, in bytes: there may be thousands of sockets on which nothing else happens."""
        self.ping_timer = None
        if self.close_sent or self.transport.is_closing():
            return
        self.pending_ping_payload = os.urandom(4)
        self.transport.write(_PING + self.pending_ping_payload)
        if self.ping_timeout is None:
            self.schedule_ping()
        else:
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)

    def _answers_ping(self, data: bytes) -> bool:
        """Whether bytes are the whole answer to our ping, which need not be parsed then: not where they belong to a
        frame that has begun."""
        if self._unparsed or self.pending_ping_payload is None or not self._is_between_frames():
            return False
        told = int.from_bytes(data[2:6]) ^ int.from_bytes(data[6:])
        if told != int.from_bytes(self.pending_ping_payload):
            return False
        self.handle_pong(Frame(Opcode.PONG, self.pending_ping_payload))
        return True

    def _is_between_frames(self) -> bool:
        """Whether the parser waits for a frame to begin: there it asks whether there is anything to come at all."""
        waiting: Any = self.conn.parser
        while (inner := waiting.gi_yieldfrom) is not None:
            waiting = inner
        return bool(waiting.__name__ == "at_eof")

    # --- ending

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.accept":
            # nobody asks for the handshake any more
            self.request.headers.clear()
            self.response.headers.clear()
        if self.close_sent:
            self._read_on()
            self._break_off_in(self.close_timeout + LINGER_SECONDS)

    def handle_parser_exception(self) -> None:
        """Tell the client why, and the application that it is over. What is on its way is still read, and dropped: a
        connection that is closed with bytes unread is reset, and the client may not get to know the code."""
        self._dropping = True
        self._unparsed.clear()
        self.stop_keepalive()
        closed = self.conn.close_sent
        if closed is not None:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": closed.code, "reason": closed.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._linger()

    def _refuse_handshake(self) -> None:
        """A request that cannot be read: with its status where there is one, 431 or 414, and as 400 else."""
        answer = b"".join(self.conn.data_to_send())
        self._dropping = True
        self.transport.write(answer or b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self._linger()

    def _linger(self) -> None:
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.transport.resume_reading()
        self._break_off_in(LINGER_SECONDS)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._break_off_in(LINGER_SECONDS)

    def shutdown(self) -> None:
        super().shutdown()
        self._break_off_in(LINGER_SECONDS)

    def _break_off_in(self, seconds: float) -> None:
        """``close`` waits until all has been read."""
        if self._breaking_off is None:
            self._breaking_off = self.loop.call_later(seconds, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._dropping = True
        self._unparsed.clear()
        if self._breaking_off is not None:
            self._breaking_off.cancel()
            self._breaking_off = None
