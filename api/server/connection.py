"""A connection of uvicorn's httptools class: who is let in, what ends it, and what becomes of its request then.

uvicorn starts a task for whatever comes, lets it run when its client has gone, waits for ever for a client to read, and
closes connections on which a request may be on its way. What comes in is ``protocol``'s.
"""

import asyncio
import contextvars
import re
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from api.server import refusals
from api.server.answers import Answer
from api.server.bounds import LEAST_TAKEN, LINGER_SECONDS, MAX_HEAD
from api.server.door import GONE, NEVER, door_of
from api.server.kernel import untaken
from api.server.places import Place
from api.server.refusals import Refusal

USED = {
    "attributes": (
        *("config", "connections", "cycle", "expect_100_continue", "flow", "headers", "parser", "pipeline", "scope"),
        *("server_state", "tasks", "timeout_keep_alive", "transport", "url"),
    ),
    "methods": (
        *("_should_upgrade", "_start_asgi_task", "handle_websocket_upgrade", "on_response_complete"),
        *("on_headers_complete", "on_message_begin", "on_message_complete", "on_body", "shutdown"),
    ),
    "cycle": (
        *("access_log", "body", "chunked_encoding", "default_headers", "disconnected", "expected_content_length"),
        *("flow", "keep_alive", "message_event", "more_body", "on_response", "response_complete", "response_started"),
        *("run_asgi", "scope", "send", "transport", "waiting_for_100_continue"),
    ),
}
"""What of uvicorn's class and of its cycle (a request with its answer) is relied on; a test compares."""

ALWAYS_LET_IN = frozenset({"/health", "/health/ready", "/metrics"})
"""Whoever watches over the server must get to see it when it is busy."""
_OTHERWISE = re.compile(rb"GET [^ ]{0,200}/(?:health|metrics|graphql)")
"""Requests that are not refused without a look, also below a proxy's prefix."""


class Connection(HttpToolsProtocol):
    """Who is let in, and how it ends."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.door = door_of(app_state)
        self.door.open(self.loop)
        self._places = self.door.places
        self.until = NEVER
        self._place: Place | None = None
        """That of the request which is answered now; those behind it are in ``pipeline``."""
        self._uploading = False
        """Whether its body is on the way."""
        self._fresh = True
        """Whether no request has come yet."""
        self._feeding = False
        self._begun: tuple[RequestResponseCycle, ASGI3Application] | None = None
        """A request whose head was in the bytes that are being read, and perhaps all of it."""
        self._reading_head = True
        self._head = 0
        """Bytes that came since the last request was complete."""
        self._hosts = 0
        self._chunked = False
        self._framing = MAX_HEAD
        """Bytes that a chunked body may still have beside its data."""
        self._refusal: Refusal | None = None
        self._deaf = False
        """What comes is thrown away: the client was refused, and shall get to read it."""
        self._thrown_away = 0
        self._left, self._look_at = 0, NEVER
        self._refused: bytes | None = None
        """The caller for whom there was no place when it asked last on this connection."""

    # --- The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self.until = self._soon()
        if self.door.is_full():
            self._refuse(refusals.CONNECTIONS)
        self.door.connections.add(self)
        self.door.connected()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave_the_door()
        self._begun = None
        self.pipeline.clear()
        if self._place is not None and not self._place.cycle.response_complete:
            if not self._place.cycle.response_started:
                self.door.counts["gone"] += 1
            self._abandon(self._place)
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        self._leave_the_door()
        super().handle_websocket_upgrade()
        # which has our methods: the two would stay until garbage is looked for, 6 KB for each socket
        self.parser = None  # type: ignore[assignment]  # as uvicorn's does where a connection is lost

    def _leave_the_door(self) -> None:
        self.door.connections.discard(self)
        self.door.unread.discard(self)
        self.until = NEVER

    def _abandon(self, place: Place) -> None:
        """Nobody waits for the answer any more: whatever is done for it ends."""
        place.cycle.disconnected = True
        place.cycle.message_event.set()
        self._place = None
        if place.task is None:
            self.door.places.forget(place)
        else:
            place.cycle.scope[GONE] = True  # type: ignore[literal-required]  # ours
            place.task.cancel()

    def _soon(self) -> float:
        """When a head that begins now must be complete."""
        return self.door.now + self.door.bounds.head_timeout

    # --- Who is let in

    def enter(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Let a request in, which is next on this connection."""
        place = self._place = Place(self, cycle, app)
        places = self._places
        if not cycle.more_body and len(places.running) < places.most:
            places.running.add(place)
            self.run(place)
        elif cycle.more_body:
            self._uploading = places.upload(place)
            if not self._uploading:
                self.refuse_place(place)
        elif not places.enter(place):
            path = cycle.scope["path"].removeprefix(self.root_path)
            if path in ALWAYS_LET_IN and len(places.running) < 4 * self.door.bounds.running:
                places.start(place)
            else:
                self.refuse_place(place)

    def run(self, place: Place) -> None:
        """Answer a request that has its place."""
        place.cycle.__class__ = Answer
        if self.config.reset_contextvars:
            task = self.loop.create_task(place.cycle.run_asgi(place.app), context=contextvars.Context())
        else:
            task = self.loop.create_task(place.cycle.run_asgi(place.app))
        place.task = task
        task.add_done_callback(place.done)
        self.tasks.add(task)

    def give_place(self) -> None:
        """The request that is answered waits for something to happen, and needs no place for that."""
        if self._place is not None:
            self._places.leave(self._place)

    def add(self, data: bytes) -> None:
        """Add a piece to the answer that is under way, which has no end yet; nothing while the client does not read."""
        cycle = None if self._place is None else self._place.cycle
        if cycle is not None and cycle.chunked_encoding and not cycle.response_complete and not self.flow.write_paused:
            self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def done(self, place: Place, task: asyncio.Task[None]) -> None:
        """A request's task has ended, however it did."""
        self.tasks.discard(task)
        self._places.leave(place)
        if self._place is place:
            self._place = None

    def refuse_place(self, place: Place) -> None:
        """There is no place: a few bytes say so, and the connection stays, since a new one costs more."""
        cycle = place.cycle
        self.door.count(refusals.OVERLOAD)
        cycle.response_started = cycle.response_complete = True
        self._place = None
        close = not cycle.keep_alive or cycle.more_body or self.flow.write_paused or self.door.draining
        head = cycle.scope["method"] == "HEAD"
        graphql = _graphql_type(cycle)
        self._refused = None if graphql or head or close else place.caller
        answer = refusals.OVERLOAD.answer(self.server_state.default_headers, close=close, head=head, graphql=graphql)
        self.transport.write(answer)
        if close:
            self.pipeline.clear()
            self._hang_up()
        else:
            self.on_response_complete()

    def refuse_again(self, data: bytes) -> bool:
        """Whether the bytes are another request of a caller who was just refused, and were refused without a look.

        Refusing has to be cheap where most is refused. It is one GET of nothing that is always let in.
        """
        caller = self._refused
        if caller is None or not self.door.places.packed or data[:4] != b"GET ":
            return False
        signed = b"uthorization:" in data or b"-API-Key:" in data
        if (
            (caller in data if signed else caller == self.address([]).encode())
            and data.find(b"\r\n\r\n") == len(data) - 4
            and not _OTHERWISE.match(data)
            and b"pgrade:" not in data
            and not (self._head or self._place or self.flow.write_paused or self.door.draining)
        ):
            self.door.count(refusals.OVERLOAD)
            self.server_state.total_requests += 1
            self.transport.write(self.door.overload_answer(self.server_state.default_headers))
            self.until = self.door.now + self.timeout_keep_alive
            return True
        return False

    def address(self, headers: list[tuple[bytes, bytes]]) -> str:
        """The client's, as far as a proxy is trusted to tell it."""
        own = self.client[0] if self.client else ""
        trusted = getattr(self.app, "trusted_hosts", None)
        if trusted is not None and own in trusted:
            told = b", ".join(value for name, value in headers if name == b"x-forwarded-for")
            host: str = trusted.get_trusted_client_address(told.decode("latin-1"))[0]
            return host or own
        return own

    # --- How it ends

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._place = None
        self._uploading = False
        if self.transport.is_closing():
            self.until = self.door.now + self.door.bounds.write_timeout
            return
        self.flow.resume_reading()
        if self.pipeline:
            self.enter(*self.pipeline.pop())
        elif self._head or not self._reading_head:
            self.until = self._soon()
        elif self.door.draining:
            self.until = self.door.now + self.door.bounds.idle_while_draining
        else:
            self.until = self.door.now + self.timeout_keep_alive

    def shutdown(self) -> None:
        """The process ends. No connection is closed on which a request may be on its way at this moment."""
        self.door.drain()
        cycle = self.pipeline[0][0] if self.pipeline else self._place.cycle if self._place is not None else None
        if cycle is not None:
            if not cycle.response_started:
                cycle.keep_alive = False
        elif self._reading_head and not self._head and not self._deaf:
            self.until = min(self.until, self._idle_since() + self.door.bounds.idle_while_draining)
            if self.until <= self.door.now:
                self.on_time()

    def _idle_since(self) -> float:
        return self.door.now if self._fresh else self.until - self.timeout_keep_alive

    def is_idle(self) -> bool:
        return self._place is None and self._begun is None and not self._deaf

    def on_time(self) -> None:
        if self._deaf or self.transport.is_closing():
            self.door.counts["linger" if self._deaf else "not_read"] += 1
            self.transport.abort()
        elif self._reading_head and self._head:
            self._refuse(refusals.SLOW_HEAD)
        else:
            self.door.counts["idle"] += 1
            self.transport.close()
            self.until = self.door.now + self.door.bounds.write_timeout

    def pause_writing(self) -> None:
        super().pause_writing()
        self.door.unread.add(self)
        self._look_again()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.door.unread.discard(self)

    def on_look_at_reader(self) -> None:
        """End the connection of a client that has hardly taken anything of its answer since the last look."""
        if self.door.now >= self._look_at:
            least = LEAST_TAKEN * self.door.bounds.write_timeout
            if self._untaken() > self._left - least:
                self.door.counts["not_read"] += 1
                self.transport.abort()
            else:
                self._look_again()

    def _look_again(self) -> None:
        self._left = self._untaken()
        self._look_at = self.door.now + self.door.bounds.write_timeout

    def _untaken(self) -> int:
        """Bytes that the client has not taken: the kernel's, too, which has room for megabytes, and takes more only
        when a third of them are gone, so that of ours alone nothing may go for a while."""
        return self.transport.get_write_buffer_size() + untaken(self.transport.get_extra_info("socket"))

    def _refuse(self, refusal: Refusal) -> None:
        """Refuse what is being read: a head, or the body of ``cycle``. Answers that are due before that are given."""
        self.door.count(refusal)
        broken = None if self._reading_head else self.cycle
        begun, self._begun = self._begun, None
        if begun is not None and begun[0] is not broken:
            self.enter(*begun)
        if self.pipeline and self.pipeline[0][0] is broken:
            self.pipeline.popleft()
        self._deaf = True
        last = self.pipeline[0][0] if self.pipeline else self._place.cycle if self._place is not None else None
        if last is not None and last is not broken:
            last.keep_alive = False
            return
        if self._place is not None:
            started = self._place.cycle.response_started
            self._abandon(self._place)
            if started:
                self.transport.close()
                return
        self.transport.write(refusal.answer(self.server_state.default_headers))
        self._hang_up(at_once=refusal is refusals.CONNECTIONS)

    def _hang_up(self, *, at_once: bool = False) -> None:
        """Close so that the client reads what it was sent: with unread bytes of its own, it would hear of a reset."""
        self._deaf = True
        self.until = self.door.now + LINGER_SECONDS
        if self.transport.can_write_eof() and not at_once:
            self.transport.write_eof()
            self.flow.resume_reading()
        else:
            self.transport.close()


def _graphql_type(cycle: RequestResponseCycle) -> bytes:
    """The media type of GraphQL's own form of a refusal, where the request is one of GraphQL."""
    if not cycle.scope["path"].endswith("/graphql"):
        return b""
    response = b"application/graphql-response+json"
    accept = b",".join(value for name, value in cycle.scope["headers"] if name == b"accept")
    return (response if response in accept else b"application/json") + b"; charset=utf-8"
