"""Event streams (HTML Standard, section 9.2): framing, heartbeats, and the response that sends one. For both doors."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import ExitStack, aclosing, suppress
from typing import cast

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from api.http.transports import abort, adds, bound_silence

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_SECONDS = 20.0
"""Of the proxies those that wait least for an answer to go on wait for 30 s, the usual ones for 60; each sign costs."""
TOGETHER = 20
"""Signs of life fall on so many moments of that time, not each on its own: the process wakes for many together."""
# proxies must neither keep an answer back nor keep it
_HEADERS = {"Cache-Control": "no-cache, no-store", "X-Accel-Buffering": "no"}
_COMMENT = b":\n\n"

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
    broken off. It ends with its messages, or when ``ended`` is done; ``places`` are given back when it is over.

    There may be thousands of them that wait, so each has one task, that of its request, and a timer for signs of life.
    """

    def __init__(
        self,
        messages: AsyncGenerator[bytes],
        seconds: float,
        *,
        headers: Mapping[str, str] | None = None,
        ended: Ended | None = None,
        places: ExitStack | None = None,
    ) -> None:
        self._messages, self._ended = messages, ended
        super().__init__(messages, headers={**_HEADERS, **(headers or {})}, media_type=MEDIA_TYPE)
        self._seconds = seconds
        self._places = places or ExitStack()
        self._add: Callable[[bytes], None] | None = None
        """Of a server that ends the task when the client leaves: else somebody has to look out for that."""
        self._interrupted = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        bound_silence(scope, self._seconds)
        self._add = adds(scope)

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self._seconds):
                await send(message)

        try:
            with self._places:
                if self._add is not None:
                    await self.stream_response(send_in_time)
                else:
                    await super().__call__(scope, receive, send_in_time)
        except TimeoutError:
            abort(scope)
            with suppress(TimeoutError):
                # until the server knows it, too: it would complain of an answer without an end
                async with asyncio.timeout(1):
                    while (await receive())["type"] != "http.disconnect":
                        pass

    async def stream_response(self, send: Send) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        async with aclosing(self._messages):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            pulse = _Pulse(self._add, send)

            def interrupt(_: Ended) -> None:
                self._interrupted = True
                task.cancel()

            if self._ended is not None:
                self._ended.add_done_callback(interrupt)
            try:
                async for message in self._messages:
                    await send(_body(message))
                    pulse.sent()
            except asyncio.CancelledError:
                if not self._interrupted or task.uncancel():
                    raise
            finally:
                pulse.stop()
                if self._ended is not None:
                    self._ended.remove_done_callback(interrupt)
            if self._interrupted and self._ended is not None:
                await send(_body(self._ended.result()()))
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _body(message: bytes) -> Message:
    return {"type": "http.response.body", "body": message, "more_body": True}


class _Pulse:
    """A comment whenever nothing has happened for a while, so that proxies keep the stream open. Comments are sent
    between messages, each of which is sent in one piece."""

    __slots__ = ("_add", "_last", "_loop", "_send", "_task", "_timer")

    def __init__(self, add: Callable[[bytes], None] | None, send: Send) -> None:
        """By ``add``, which does not wait, where there is such."""
        self._add, self._send = add, send
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._timer = self._loop.call_at(self._due(), self._beat)
        self._task: asyncio.Future[None] | None = None

    def sent(self) -> None:
        """Something was sent just now."""
        self._last = self._loop.time()

    def stop(self) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _beat(self) -> None:
        if self._loop.time() >= self._due() - 0.001:
            self._last = self._loop.time()
            self._comment()
        self._timer = self._loop.call_at(self._due(), self._beat)

    def _due(self) -> float:
        """When the next one is, if nothing is sent before."""
        step = HEARTBEAT_SECONDS / TOGETHER
        return (self._last + HEARTBEAT_SECONDS) // step * step

    def _comment(self) -> None:
        if self._add is not None:
            self._add(_COMMENT)
        else:
            self._task = asyncio.ensure_future(self._send(_body(_COMMENT)))
