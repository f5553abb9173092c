"""HTTP as uvicorn's httptools has it, within bounds: ``uvicorn --http api.server.protocol:Protocol``.

uvicorn's own class takes heads of any size and waits for them for ever. What happens to a request that is all right is
``connection``'s.
"""

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from api.server import refusals
from api.server.bounds import FRAMING_PER_BYTE, MAX_HEAD, MAX_HEADERS, MAX_PIPELINED, MAX_THROWN_AWAY
from api.server.connection import Connection
from api.server.door import NEVER
from api.server.hosts import is_host
from api.server.refusals import Refusal

_WATCHED = frozenset({b"expect", b"host", b"transfer-encoding"})
_FRAMING_CAP = 4 * MAX_HEAD


class _Refused(Exception):
    """Ends the parser; ``Protocol._refusal`` says why."""


class Protocol(Connection):
    """One connection."""

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._thrown_away += len(data)
            if self._thrown_away > MAX_THROWN_AWAY:
                self.transport.abort()
            return
        if self._refused is not None and self.refuse_again(data):
            return
        if not self._reading_head:
            if self._chunked:
                self._framing -= len(data)
            self._feed(data)
            if self._framing < 0 and not self._reading_head:
                self._refuse(refusals.HEADERS)
            return
        first = not self._head
        if self._head + len(data) <= MAX_HEAD:
            self._head += len(data)
            self._feed(data)
        else:
            self._feed_in_slices(data)
        if first and self._head and self._place is None and not self._fresh and not self._deaf:
            self.until = self._soon()  # the first bytes of another request, and no more as yet

    def _feed_in_slices(self, data: bytes) -> None:
        """A head ends with its last byte that is allowed, or is refused; a body may follow it at any length."""
        while data and not self._deaf and self.parser is not None:
            if self._reading_head and self._head >= MAX_HEAD:
                self._refuse(refusals.HEADERS if self.headers else refusals.ADDRESS)
                return
            room = MAX_HEAD - self._head if self._reading_head else MAX_HEAD
            piece, data = data[:room], data[room:]
            if self._reading_head:
                self._head += len(piece)
            self._feed(piece)

    def _feed(self, data: bytes) -> None:
        self._feeding = True
        try:
            while True:
                try:
                    self.parser.feed_data(data)
                except httptools.HttpParserUpgrade as upgrade:
                    if self._should_upgrade():
                        self._feeding = False
                        self._open_socket()
                        return
                    # another protocol is not taken, and the request is one of HTTP (RFC 9110, section 7.8)
                    data = data[upgrade.args[0] :]
                    if data:
                        continue
                break
        except httptools.HttpParserError:
            self._feeding = False
            refusal, self._refusal = self._refusal or refusals.MALFORMED, None
            self._refuse(refusal)
            return
        self._feeding = False
        if self._begun is not None:
            begun, self._begun = self._begun, None
            self.enter(*begun)

    def _open_socket(self) -> None:
        if self.door.draining or self.door.places.standing:
            self._refuse(refusals.ENDING if self.door.draining else refusals.OVERLOAD)
        elif self._place is not None or self._begun is not None:
            self._refuse(refusals.MALFORMED)  # behind a request that is not answered yet
        else:
            self.handle_websocket_upgrade()

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in _WATCHED and self._reading_head:
            self._watch(name, value)
        self.headers.append((name, value))

    def _watch(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self._hosts += 1
            if not is_host(value):
                self._fail(refusals.HOST)
        elif name == b"transfer-encoding":
            if self._chunked or value.lower() != b"chunked":
                self._fail(refusals.CODING)
            self._chunked = True
        elif value.lower() == b"100-continue":
            self.expect_100_continue = True

    def on_headers_complete(self) -> None:
        if self._hosts != 1 and (self._hosts or self.parser.get_http_version() == "1.1"):
            self._fail(refusals.HOST)
        if len(self.headers) > MAX_HEADERS:
            self._fail(refusals.HEADERS)
        super().on_headers_complete()
        if self.pipeline:
            if len(self.pipeline) > MAX_PIPELINED:
                self.pipeline.popleft()
                self._fail(refusals.PIPELINE)
            self.flow.resume_reading()  # they are few enough; and it would not be noticed when the client leaves
        self._reading_head = self._fresh = False
        self.until = NEVER
        version = self.scope["http_version"]
        if version != "1.1" and (version != "1.0" or self._chunked):
            self._fail(refusals.VERSION)
        if self._chunked:
            # trailers go into a list of their own, which nobody reads (RFC 9110, section 6.5.1)
            self.headers = self.headers.copy()
        if self.door.draining and not (self.parser.should_upgrade() and self._should_upgrade()):
            self.cycle.keep_alive = False

    def _fail(self, refusal: Refusal) -> None:
        """Out of a callback of the parser, which then ends with an error."""
        self._refusal = refusal
        raise _Refused

    def on_body(self, body: bytes) -> None:
        if self._chunked:
            self._framing = min(_FRAMING_CAP, self._framing + (1 + FRAMING_PER_BYTE) * len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._begun is not None:  # as uvicorn's does
            self.cycle.more_body = False
            self.cycle.message_event.set()
        else:
            super().on_message_complete()
        self._reading_head = True
        self._head = self._hosts = 0
        if self._chunked:
            self._chunked, self._framing = False, MAX_HEAD
        if self._begun is not None:
            return
        if self._uploading:
            self._uploading = False
            if self._place is not None:
                self.door.places.uploaded(self._place)
        elif self._place is None:
            self.until = self.door.now + self.timeout_keep_alive  # it was answered before it was all there

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Called by uvicorn as soon as a head is complete: wait for what came with it."""
        if self._feeding:
            self._begun = cycle, app
        else:
            self.enter(cycle, app)
