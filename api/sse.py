"""Event streams (HTML Standard, section 9.2): framing, heartbeats, and the response that sends one. For both doors."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import ExitStack, aclosing, suppress
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from api.http.transports import abort, bound_silence

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_SECONDS = 12.0
# proxies must neither keep an answer back nor keep it
_HEADERS = {"Cache-Control": "no-cache, no-store", "X-Accel-Buffering": "no"}

Ended = asyncio.Future[Callable[[], bytes]]
"""Done when a stream is to end before its messages do; answers what makes the last bytes."""


def accepted(accept: str) -> bool:
    """Whether an ``Accept`` header names event streams."""
    return any(part.partition(";")[0].strip().lower() == MEDIA_TYPE for part in accept.split(","))


def event(kind: str, data: bytes, *, id: str = "") -> bytes:
    """An event as the stream has it, with the ``id`` that a client goes on from. ``data`` is text in UTF-8 without a
    line break, such as JSON."""
    head = b"id: %s\n" % id.encode() if id else b""
    return b"%sevent: %s\ndata: %s\n\n" % (head, kind.encode(), data)


class EventStream(StreamingResponse):
    """An event stream that waits no longer than so many ``seconds`` for its client to read: then the connection is
    broken off. It ends with its messages, or when ``ended`` is done; ``places`` are given back when it is over."""

    def __init__(
        self,
        messages: AsyncGenerator[bytes],
        seconds: float,
        *,
        headers: Mapping[str, str] | None = None,
        ended: Ended | None = None,
        places: ExitStack | None = None,
    ) -> None:
        self._events = _with_heartbeat(messages, ended)
        super().__init__(self._events, headers={**_HEADERS, **(headers or {})}, media_type=MEDIA_TYPE)
        self._seconds = seconds
        self._places = places or ExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        bound_silence(scope, self._seconds)

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self._seconds):
                await send(message)

        try:
            with self._places:
                await super().__call__(scope, receive, send_in_time)
        except TimeoutError:
            abort(scope)
            with suppress(TimeoutError):
                # until the server knows it, too: it would complain of an answer without an end
                async with asyncio.timeout(1):
                    while (await receive())["type"] != "http.disconnect":
                        pass

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._events):
            await super().stream_response(send)


async def _following(source: AsyncIterator[bytes]) -> bytes | None:
    """The next message, None at the end (a task cannot raise StopAsyncIteration)."""
    return await anext(source, None)


async def _with_heartbeat(source: AsyncGenerator[bytes], ended: Ended | None) -> AsyncGenerator[bytes]:
    """The messages, with a comment whenever nothing has happened for a while, so that proxies keep the stream open."""
    waiting: asyncio.Task[bytes | None] | None = None
    try:
        while True:
            waiting = waiting or asyncio.create_task(_following(source))
            both: set[asyncio.Future[Any]] = {waiting} if ended is None else {waiting, ended}
            await asyncio.wait(both, timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if ended is not None and ended.done():
                yield ended.result()()
                return
            if not waiting.done():
                yield b":\n\n"
                continue
            message, waiting = waiting.result(), None
            if message is None:
                return
            yield message
    finally:
        if waiting is not None and not waiting.done():
            waiting.cancel()  # which ends the source, too
        else:
            await source.aclose()
