"""Answers as they go out: the head together with a body that is there in one piece, as nearly all are.

uvicorn writes one after the other, which uvloop sends at once: two system calls and two packets for every answer. It
also looks into each header for what may not be in it; here all of them are looked into together.
"""

from collections.abc import Iterable
from itertools import chain

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HEADER_RE, STATUS_LINE, RequestResponseCycle

TOGETHER_BYTES = 64 * 1024
"""A larger body is not copied for it."""
MAX_NAMES = 200
"""How many names of headers are known; an answer with another one is left to uvicorn."""
_CONTROLS = bytes([*range(0x09), *range(0x0A, 0x20), 0x7F])
"""What no value may have (RFC 9110, section 5.5)."""
_LEFT_TO_UVICORN = frozenset({b"transfer-encoding", b"connection"})
_LINES: dict[bytes, bytes] = {}
"""How the line of a header begins, by the name as the application spells it."""


class Answer(RequestResponseCycle):
    """uvicorn's request with its answer. What is no head of a known length, or no body of that length in one piece, is
    sent as uvicorn does; so a stream's head goes out at once, whose body may be long in coming."""

    _head: bytes | None = None
    """What waits for its body."""

    async def send(self, message: ASGISendEvent) -> None:
        """Raises ``RuntimeError`` for messages out of order, and for what cannot be sent, as uvicorn's does."""
        if message["type"] == "http.response.start":
            if not self.response_started and self.keep_alive and not (self.access_log or self.disconnected):
                made = _head(message["status"], chain(self.default_headers, message.get("headers", ())))
                if made is not None:
                    self._head, self.expected_content_length = made
                    self.response_started, self.waiting_for_100_continue = True, False
                    self.chunked_encoding = False
                    return
        elif self._head is not None:
            head, self._head = self._head, None
            if self.flow.write_paused and not self.disconnected:
                await self.flow.drain()
            if self.disconnected:
                return
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                body = message.get("body", b"")
                if len(body) == self.expected_content_length <= TOGETHER_BYTES and self.scope["method"] != "HEAD":
                    self.transport.write(head + body)
                    self.expected_content_length = 0
                    self.response_complete = True
                    self.message_event.set()
                    if not self.keep_alive:
                        self.transport.close()
                    self.on_response()
                    return
            self.transport.write(head)
        await super().send(message)


def _head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, int] | None:
    """The head of an answer, and the length of its body; None for one that is uvicorn's to send, or to refuse."""
    parts = [STATUS_LINE[status][:-2]]
    length = None
    for name, value in headers:
        line = _LINES.get(name) or _line(name)
        if line is None:
            return None
        if line == b"\r\ncontent-length: ":
            length = value
        parts.append(line)
        parts.append(value)
    line_ends = len(parts) // 2 + 2
    parts.append(b"\r\n\r\n")
    head = b"".join(parts)
    if length is None or not length.isdigit() or len(head) - len(head.translate(None, _CONTROLS)) != 2 * line_ends:
        return None
    return head, int(length)


def _line(name: bytes) -> bytes | None:
    lowered = name.lower()
    if lowered in _LEFT_TO_UVICORN or len(_LINES) >= MAX_NAMES or HEADER_RE.search(name):
        return None
    line = _LINES[name] = b"\r\n%b: " % lowered
    return line
