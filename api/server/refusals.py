"""Refusals at the door: bytes that are made once. Problem documents (RFC 9457), on /graphql GraphQL's errors for 503.

They have no request id, as the application never hears of these requests: metrics count them by ``reason``.
"""

import json
from dataclasses import dataclass, field
from http import HTTPStatus

RETRY_AFTER = 1
_TITLES = {414: "URI Too Long", 431: "Request Header Fields Too Large"}


@dataclass(frozen=True, slots=True, eq=False)
class Refusal:
    """One reason to refuse a request."""

    reason: str
    """The label in the metrics."""
    status: int
    code: str
    detail: str
    headers: bytes = b""
    _body: bytes = field(init=False)
    _line: bytes = field(init=False)

    def __post_init__(self) -> None:
        title = _TITLES.get(self.status) or HTTPStatus(self.status).phrase
        body = {
            "type": f"urn:tandem:problem:{self.code.lower().replace('_', '-')}",
            "title": title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "errors": [],
            "request_id": None,
        }
        object.__setattr__(self, "_body", json.dumps(body, separators=(",", ":")).encode())
        object.__setattr__(self, "_line", b"HTTP/1.1 %d %s\r\n" % (self.status, title.encode()))

    def answer(
        self, defaults: list[tuple[bytes, bytes]], *, close: bool = True, head: bool = False, graphql: bytes = b""
    ) -> bytes:
        """The whole answer. ``defaults`` are the server's own headers, ``graphql`` the media type of GraphQL's form."""
        body = _as_graphql(self) if graphql else self._body
        pieces = [self._line]
        for name, value in defaults:
            pieces += name, b": ", value, b"\r\n"
        pieces.append(
            b"content-type: %b\r\ncontent-length: %d\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n"
            % (graphql or b"application/problem+json", len(body))
        )
        pieces.append(self.headers)
        pieces.append(b"connection: close\r\n\r\n" if close else b"\r\n")
        if not head:
            pieces.append(body)
        return b"".join(pieces)


def _as_graphql(refusal: Refusal) -> bytes:
    body = _graphql_bodies.get(refusal.reason)
    if body is None:
        extensions = {"code": refusal.code, "retryAfter": RETRY_AFTER, "requestId": None}
        errors = {"errors": [{"message": refusal.detail, "extensions": extensions}]}
        body = _graphql_bodies[refusal.reason] = json.dumps(errors, separators=(",", ":")).encode()
    return body


_graphql_bodies: dict[str, bytes] = {}
_RETRY = b"retry-after: %d\r\n" % RETRY_AFTER

OVERLOAD = Refusal("overload", 503, "UNAVAILABLE", "The server is busy: try again in a moment", _RETRY)
ENDING = Refusal("shutdown", 503, "UNAVAILABLE", "The server is shutting down: try again", _RETRY)
CONNECTIONS = Refusal("connections", 503, "UNAVAILABLE", "The server has too many connections", _RETRY)
MALFORMED = Refusal("malformed", 400, "BAD_REQUEST", "This is no request of HTTP/1.1")
HOST = Refusal("host", 400, "BAD_REQUEST", "The header Host must be there once, as a host and perhaps a port")
VERSION = Refusal("version", 400, "BAD_REQUEST", "The version of HTTP must be 1.1 or 1.0")
CODING = Refusal("transfer_coding", 400, "BAD_REQUEST", "The only transfer coding that is taken is chunked")
PIPELINE = Refusal("pipeline", 400, "BAD_REQUEST", "More than 100 requests wait on this connection")
ADDRESS = Refusal("address", 414, "URI_TOO_LONG", "The request line is longer than 65,536 bytes")
HEADERS = Refusal("headers", 431, "HEADERS_TOO_LARGE", "The headers are more than 200, or longer than 65,536 bytes")
SLOW_HEAD = Refusal("slow_head", 408, "REQUEST_TIMEOUT", "The request line and the headers came too slowly")

ALL = (OVERLOAD, ENDING, CONNECTIONS, MALFORMED, HOST, VERSION, CODING, PIPELINE, ADDRESS, HEADERS, SLOW_HEAD)
