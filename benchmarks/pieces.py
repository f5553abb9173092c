"""Pieces of our own beside what the libraries have: CPU of a request in process, in turn (docs/decisions/0033).

``python -m benchmarks.pieces create`` says what a create writes instead (``pieces_of_create``).
``SECRET_KEY=… python -m benchmarks.pieces`` prints microseconds: the least of nine rounds, and the median of what is
saved. The metrics are those of one process, or with ``PROMETHEUS_MULTIPROC_DIR`` those of several.
"""

import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import orjson
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.headers import headers_of
from api.main import EXPOSED_HEADERS, REQUEST_HEADERS
from api.metrics import BUCKETS, Metrics
from api.middleware.compression import LEVEL, MINIMUM_SIZE, Compression
from api.middleware.cors import Cors
from api.middleware.request import _bounded
from benchmarks import pieces_of_create
from core.deadlines import Work
from services.allowances.windows import Windows

ROUNDS = 9
HEADERS = [
    *((b"host", b"tandem.example"), (b"user-agent", b"python-httpx/0.28"), (b"accept", b"application/json")),
    *((b"accept-encoding", b"gzip, deflate"), (b"authorization", b"Bearer " + b"x" * 300), (b"content-length", b"13")),
]
CORS = {"allow_origins": ["https://app.example"], "allow_headers": REQUEST_HEADERS, "expose_headers": EXPOSED_HEADERS}
TASK = {"title": "Write it down", "description": "What there is to say of it. " * 12, "tags": ["a", "b"]}
LIST = orjson.dumps([TASK | {"id": number, "priority": number % 5} for number in range(100)])
Call = Callable[[], Awaitable[object]]


def answering(body: bytes) -> ASGIApp:
    """An application that does nothing else."""
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json"), (b"vary", b"X-API-Key")]

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [*headers]})
        await send({"type": "http.response.body", "body": body})

    return app


def asked(app: ASGIApp, *more: tuple[bytes, bytes]) -> Call:
    async def call() -> None:
        await app(
            {"type": "http", "method": "GET", "http_version": "1.1", "headers": [*HEADERS, *more]}, there, nowhere
        )

    return call


async def nowhere(_message: Message) -> None: ...


async def there() -> Message:
    return {"type": "http.request", "body": b'{"title":"x"}', "more_body": False}


async def coming() -> Message:
    await asyncio.sleep(0)
    return await there()


def by_ours(receive: Receive) -> Call:
    scope = {"headers": HEADERS}

    async def call() -> None:
        await _bounded(scope, receive, 2_000_000, 30.0, Work(60.0, "address:x"))()

    return call


def by_asyncio(receive: Receive) -> Call:
    """The same, but for how it is waited."""
    scope = {"headers": HEADERS}

    def bounded(limit: int, timeout: float, work: Work) -> Receive:
        length = headers_of(scope).get(b"content-length", b"")
        assert not (length.isdigit() and int(length[:20]) > limit)
        size, deadline = 0, 0.0

        async def receive_in_time() -> Message:
            nonlocal size, deadline
            began = asyncio.get_running_loop().time()
            deadline = deadline or began + timeout
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise AssertionError from None
            work.lengthen(asyncio.get_running_loop().time() - began)
            if message["type"] == "http.request":
                size += len(message.get("body", b""))
                assert size <= limit
            return message

        return receive_in_time

    async def call() -> None:
        await bounded(2_000_000, 30.0, Work(60.0, "address:x"))()

    return call


def windows() -> tuple[Call, Call]:
    item, ours, theirs = parse("100000000/minute"), Windows(), FixedWindowRateLimiter(MemoryStorage())

    async def hit() -> None:
        ours.hit(item, "general", "user:1")

    async def hit_theirs() -> None:
        theirs.hit(item, "general", "user:1")
        theirs.get_window_stats(item, "general", "user:1")

    return hit, hit_theirs


def metrics() -> tuple[Call, Call]:
    nobody: Any = SimpleNamespace(followers=0, sockets=0, streams=0)
    ours, registry = Metrics(version="", feed=nobody, connections=nobody, executed={}), CollectorRegistry()
    requests = Counter("requests", "Requests", ["method", "route", "status"], registry=registry)
    seconds = Histogram("seconds", "Durations", ["door"], buckets=BUCKETS, registry=registry)
    scope = {"route": SimpleNamespace(path="/api/v1/tasks/{task_id}", tags=())}

    async def count() -> None:
        ours.count(scope, "GET", 200, 0.0013)

    async def count_theirs() -> None:
        requests.labels("GET", "/api/v1/tasks/{task_id}", "200").inc()
        seconds.labels("rest").observe(0.0013)

    return count, count_theirs


def cases() -> dict[str, tuple[Call, Call]]:
    """By name: ours, and the library's."""
    small, whole, page = answering(b"x" * 600), answering(LIST), (b"origin", b"https://app.example")
    return {
        "nothing": (asked(small), asked(small)),
        "gzip, a small answer": (asked(Compression(small)), asked(GZipMiddleware(small, MINIMUM_SIZE, LEVEL))),
        "gzip, a list of 100": (asked(Compression(whole)), asked(GZipMiddleware(whole, MINIMUM_SIZE, LEVEL))),
        "CORS, no page": (asked(Cors(small, **CORS)), asked(CORSMiddleware(small, **CORS))),
        "CORS, a page": (asked(Cors(small, **CORS), page), asked(CORSMiddleware(small, **CORS), page)),
        "a body that is there": (by_ours(there), by_asyncio(there)),
        "a body that comes later": (by_ours(coming), by_asyncio(coming)),
        "windows in memory": windows(),
        "metrics": metrics(),
    }


async def timed(call: Call, times: int = 1_000) -> float:
    began = time.process_time()
    for _ in range(times):
        await call()
    return (time.process_time() - began) / times * 1e6


async def main() -> None:
    gc.disable()
    for name, (ours, theirs) in cases().items():
        rounds = [(await timed(ours), await timed(theirs)) for _ in range(ROUNDS)]
        least = [min(each) for each in zip(*rounds, strict=True)]
        saved = statistics.median(other - own for own, other in rounds)
        ratio = statistics.median(other / own for own, other in rounds)
        print(f"{name:26} ours {least[0]:6.2f}  theirs {least[1]:6.2f}  saves {saved:6.2f}  ratio {ratio:5.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["create"]:
        pieces_of_create.main(sys.argv[2:] or ("sqlite", "postgresql"))
    else:
        asyncio.run(main())
