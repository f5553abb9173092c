"""Large answers are compressed with gzip, for clients that take it (RFC 9110, sections 8.4.1.3 and 12.5.3).

Starlette's ``GZipMiddleware`` does most of this, but compresses for ``gzip;q=0``, knows nothing of ETags and HEAD,
flushes streams piece by piece, and makes objects of the headers of every request and every answer. Here a small answer,
as nearly all of them are, costs a look at its ``Content-Length`` (1.0 to 1.4 µs in all).

**What.** Text of 2,048 bytes or more whose length is known. An answer without a length comes as it is made, such as an
event stream, and each piece of it must go out at once: it is left alone.

**Level 1.** Of a real list of 100 tasks, imported from Jira, it makes 43,816 bytes out of 138,823 in 1.4 ms of CPU;
level 6, zlib's own choice, makes 36,983 in 3.9 ms: nearly three times the time for five percent of the bytes.

**Versions.** A strong ``ETag`` names one representation, byte by byte: the compressed one may not share it (section
8.8.3.3). Clients send the tag back in ``If-Match``, where a weak one never matches. So what has a tag is left as it is:
single things, which are seldom large. Lists have weak tags, which do in ``If-None-Match``, and assets are immutable,
nobody writes to them, and they carry weak tags when compressed.

**Secrets.** The length of a compressed answer tells how much of it repeats; who can have a secret answered again and
again, beside guesses of his own, finds it out by that (BREACH). What nobody may keep (``no-store``: tokens, API keys)
is never compressed, on either door. What is, is safe from that as well: no stranger's page can ask for it, since
credentials are headers here, and no cookies.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Iterable
from functools import lru_cache

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.headers import headers_of

MINIMUM_SIZE = 2_048
LEVEL = 1
THREAD_SIZE = 128 * 1024
"""From here on (about 1.4 ms) a body is compressed in a thread, while the event loop goes on."""
STREAM = "tandem.stream"
"""Set in the scope of a request that is answered with an event stream: it lasts as long as somebody follows."""

_GZIP = 16 + zlib.MAX_WBITS
_NO_BODY = frozenset({204, 206, 304})
"""206: its ``Content-Range`` counts the bytes of what is not compressed."""

Header = tuple[bytes, bytes]
Sent = Awaitable[None]


class Compression:
    """Compresses answers; to stand outside of what makes them, and inside of what adds no body to them."""

    HTTP_ALONE = True

    def __init__(self, app: ASGIApp, *, minimum_size: int = MINIMUM_SIZE) -> None:
        self.app = app
        self._minimum_size = minimum_size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer: _Compressed | None = None

        # no coroutine of its own: it stands in the way of every answer, and concerns few
        def send_compressed(message: Message) -> Sent:
            nonlocal answer
            if message["type"] == "http.response.start" and self._prepare(scope, message):
                answer = _Compressed(send, head=scope["method"] == "HEAD")
            return send(message) if answer is None else answer.send(message)

        await self.app(scope, receive, send_compressed)

    def _prepare(self, scope: Scope, start: Message) -> bool:
        """Whether to compress the answer; what could have been says so in ``Vary``."""
        found = dict(start["headers"])
        length = found.get(b"content-length")
        if length is None:
            _note(scope, start)
            return False
        if int(length) < self._minimum_size or start["status"] in _NO_BODY or not _compressible(found):
            return False
        start["headers"] = _varied(start["headers"])
        # HTTP/1.0 has no chunks, which a file comes in whose compressed length nobody knows yet
        if scope.get("http_version") == "1.0" or b"accept-encoding" not in headers_of(scope):
            return False
        return _accepts_gzip(scope["headers"])


class _Compressed:
    """Sends one answer compressed."""

    def __init__(self, send: Send, *, head: bool) -> None:
        self._send, self._head = send, head
        self._start: Message | None = None
        self._compressor: zlib._Compress | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self._head:
                # as GET's, but for the length, which nobody knows without the body
                await self._begin(message)
            else:
                self._start = message  # what its headers say depends on the body
        elif self._start is not None:
            start, self._start = self._start, None
            await self._first(start, message)
        elif self._compressor is not None and message["type"] == "http.response.body":
            body = self._compressor.compress(message.get("body", b""))
            if not message.get("more_body"):
                body += self._compressor.flush()
            await self._send({**message, "body": body})
        else:
            await self._send(message)

    async def _first(self, start: Message, message: Message) -> None:
        body = message.get("body", b"")
        if message["type"] != "http.response.body":  # a server's own way to send a file
            await self._send(start)
        elif message.get("more_body"):
            self._compressor = zlib.compressobj(LEVEL, wbits=_GZIP)
            message = {**message, "body": self._compressor.compress(body)}
            await self._begin(start)
        else:
            message = {**message, "body": await _compress(body)}
            await self._begin(start, len(message["body"]))
        await self._send(message)

    async def _begin(self, start: Message, length: int | None = None) -> None:
        await self._send({**start, "headers": _compressed(start["headers"], length)})


def _note(scope: Scope, start: Message) -> None:
    """Of an answer without a length: that it is a stream, or that what it confirms was compressed."""
    found = dict(start["headers"])
    if found.get(b"content-type", b"").startswith(b"text/event-stream"):
        scope[STREAM] = True
    elif start["status"] == 304 and found.get(b"etag", b"").startswith(b"W/"):
        start["headers"] = _varied(start["headers"])
    elif start["status"] == 304 and b"immutable" in found.get(b"cache-control", b""):
        # a 304 has the tag and the Vary of the 200 (RFC 9110, section 15.4.5): of the one that the client holds
        headers = _varied(start["headers"])
        tag = b"W/" + found.get(b"etag", b"")
        if any(name == b"if-none-match" and tag in value for name, value in scope["headers"]):
            headers = [(name, tag if name == b"etag" else value) for name, value in headers]
        start["headers"] = headers


def _compressible(found: dict[bytes, bytes]) -> bool:
    caching = found.get(b"cache-control", b"")
    if b"content-encoding" in found or b"no-store" in caching:
        return False
    if b"immutable" not in caching and not found.get(b"etag", b"W/").startswith(b"W/"):
        return False
    return _is_text(found.get(b"content-type", b""))


@lru_cache(maxsize=100)
def _is_text(content_type: bytes) -> bool:
    media_type = content_type.partition(b";")[0].strip().lower()
    if media_type.startswith(b"text/"):
        return media_type != b"text/event-stream"
    return media_type.endswith((b"json", b"javascript", b"xml"))


def _accepts_gzip(headers: Iterable[Header]) -> bool:
    """Whether the client takes gzip, and likes it no less than what is not compressed."""
    given = b",".join(value for name, value in headers if name == b"accept-encoding").decode("latin-1").lower()
    qualities: dict[str, float] = {}
    for part in given.split(","):
        coding, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
        try:
            qualities[coding] = float(quality)
        except ValueError:
            qualities[coding] = 0.0
    gzip = qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0)))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def _varied(headers: Iterable[Header]) -> list[Header]:
    """The headers, with a ``Vary`` that says also that another encoding would have got another answer."""
    varied = list(headers)
    for index, (name, value) in enumerate(varied):
        if name == b"vary":
            if value.strip() != b"*" and b"accept-encoding" not in value.lower():
                varied[index] = (name, value + b", Accept-Encoding")
            return varied
    return [*varied, (b"vary", b"Accept-Encoding")]


def _compressed(headers: Iterable[Header], length: int | None = None) -> list[Header]:
    """The headers of the compressed answer: a weak tag, its own length if that is known, and no ranges of bytes."""
    kept = [
        (name, b"W/" + value if name == b"etag" and not value.startswith(b"W/") else value)
        for name, value in headers
        if name not in {b"content-length", b"accept-ranges"}
    ]
    kept.append((b"content-encoding", b"gzip"))
    if length is not None:
        kept.append((b"content-length", b"%d" % length))
    return kept


async def _compress(body: bytes) -> bytes:
    if len(body) < THREAD_SIZE:
        return zlib.compress(body, LEVEL, _GZIP)
    return await asyncio.to_thread(zlib.compress, body, LEVEL, _GZIP)
