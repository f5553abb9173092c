"""Load by an open loop: requests come when they come, whether or not the ones before them were answered.

A closed loop (so many clients, each of which waits for its answer) cannot overload a server: it slows down with it.
Here a request has an intended start, from which its time is counted, also the time that it waited for this client.

    python -m tests.faults.overload URL --token TOKEN [--path /api/v1/tasks] [--factor 5] [--seconds 15] [--rate N]

finds the rate that the server sustains (a closed loop of 32 clients), sends ``factor`` times that, and tells what came
of it, what ``/health`` took meanwhile, and how soon it was calm again.
"""

import argparse
import asyncio
import gc
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

GOOD_SECONDS = 2.0
"""An answer that takes longer is no use to its client any more."""
PATIENCE_SECONDS = 10.0
"""How long a client waits before it leaves."""
CLOSED_CLIENTS = 32
MAX_CONNECTIONS = 1_500
FAILED = 0
"""The status of a request that was not answered."""


@dataclass(slots=True)
class Result:
    """What came of a load. Times are in seconds, from the intended start of each request."""

    seconds: float
    offered: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    good: int = 0
    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    own: list[float] = field(default_factory=list)
    """How late this client itself was: with much of it, it is not the server that is measured."""

    @property
    def goodput(self) -> float:
        """Good answers a second."""
        return self.good / self.seconds

    def add(self, status: int, taken: float) -> None:
        self.statuses[status] += 1
        if 200 <= status < 300:
            self.answered.append(taken)
            self.good += taken <= GOOD_SECONDS
        elif status in (429, 503):
            self.refused.append(taken)

    def line(self) -> str:
        return (
            f"offered {self.offered / self.seconds:.0f}/s, good {self.goodput:.0f}/s, statuses {dict(self.statuses)}, "
            f"answered p50 {_ms(self.answered, 0.5)} p99 {_ms(self.answered, 0.99)}, "
            f"refused p99 {_ms(self.refused, 0.99)}, health p99 {_ms(self.health, 0.99)} max {_ms(self.health, 1)}, "
            f"this client late p99 {_ms(self.own, 0.99)} max {_ms(self.own, 1)}"
            + (f", failures {dict(self.failures)}" if self.failures else "")
        )


def percentile(times: list[float], part: float) -> float:
    """In seconds; 0 where there are none."""
    return sorted(times)[min(len(times) - 1, int(len(times) * part))] if times else 0.0


def _ms(times: list[float], part: float) -> str:
    return f"{percentile(times, part) * 1000:.0f} ms" if times else "-"


class _Connection(asyncio.Protocol):
    """One request at a time. Streams and timers of asyncio's own would take as long as the server does."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self.done: Callable[[int], None] | None = None
        self.until = 0.0
        self._pieces: list[bytes] = []
        self._lacking = -1
        self._status = FAILED
        self._closes = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def send(self, request: bytes, done: Callable[[int], None]) -> None:
        self.done = done
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._lacking < 0:
            self._pieces.append(data)
            head, found, body = b"".join(self._pieces).partition(b"\r\n\r\n")
            if not found:
                return
            self._pieces.clear()
            head = head.lower()
            length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self._status, self._lacking = int(head[9:12]), int(length) - len(body)
            self._closes = b"connection: close" in head
        else:
            self._lacking -= len(data)
        if self._lacking <= 0:
            self._lacking = -1
            if self._closes:
                self.transport.abort()
            else:
                self._client.idle.append(self)
            self._end(self._status)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.open.discard(self)
        if self in self._client.idle:
            self._client.idle.remove(self)
        self._end(FAILED)

    def _end(self, status: int) -> None:
        if self.done is not None:
            done, self.done = self.done, None
            done(status)


class Client:
    """HTTP/1.1 over connections that are kept, with as little of its own as can be."""

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        self._address = parts.hostname or "127.0.0.1", parts.port or 80
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self._headers = f"Host: {self._address[0]}\r\n{authorization}\r\n"
        self.idle: deque[_Connection] = deque()
        self.open: set[_Connection] = set()
        self.opening = 0

    async def get(self, path: str) -> int:
        """The status; ``FAILED`` where there is no answer."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        while not self.idle:  # somebody else may take the one that was made
            await self.connect()
        self.send(path, lambda status: None if answer.done() else answer.set_result(status))
        return await answer

    async def connect(self) -> None:
        self.opening += 1
        try:
            loop = asyncio.get_running_loop()
            _, made = await loop.create_connection(lambda: _Connection(self), *self._address)
            self.open.add(made)
            self.idle.append(made)
        finally:
            self.opening -= 1

    def send(self, path: str, done: Callable[[int], None]) -> None:
        """On a connection that is idle, of which there must be one."""
        connection = self.idle.pop()
        connection.until = time.perf_counter() + PATIENCE_SECONDS
        connection.send(f"GET {path} HTTP/1.1\r\n{self._headers}".encode(), done)

    def leave(self) -> None:
        """Leave those that take too long."""
        now = time.perf_counter()
        for connection in [one for one in self.open if one.done is not None and one.until < now]:
            connection.transport.abort()

    def close(self) -> None:
        for connection in list(self.open):
            connection.transport.abort()


async def sustained(url: str, token: str, path: str, seconds: float = 4.0) -> float:
    """Answers a second of a closed loop."""
    client = Client(url, token)
    until = time.perf_counter() + seconds
    done = 0

    async def ask() -> None:
        nonlocal done
        while time.perf_counter() < until:
            status = await client.get(path)
            if status != 200:
                raise RuntimeError(f"{path} answers {status}")
            done += 1

    await asyncio.gather(*(ask() for _ in range(CLOSED_CLIENTS)))
    client.close()
    return done / seconds


async def overload(url: str, token: str, path: str, *, rate: float, seconds: float) -> Result:
    """``rate`` requests a second for so long, and one to /health every 50 ms, on connections of their own.

    No garbage is collected meanwhile: it would take this client longer than an answer may take.
    """
    gc.collect()
    gc.disable()
    try:
        return await _overload(url, token, path, rate=rate, seconds=seconds)
    finally:
        gc.enable()


async def _overload(url: str, token: str, path: str, *, rate: float, seconds: float) -> Result:
    client, doctor, result = Client(url, token), Client(url), Result(seconds)
    queue: deque[float] = deque()
    """Intended starts of requests that wait for a connection."""
    unanswered = 0

    def ask(start: float) -> None:
        nonlocal unanswered
        unanswered += 1

        def done(status: int) -> None:
            nonlocal unanswered
            unanswered -= 1
            result.add(status, time.perf_counter() - start)
            if queue and client.idle:
                ask(queue.popleft())

        client.send(path, done)

    async def connect() -> None:
        try:
            await client.connect()
        except OSError:
            result.failures["not connected"] += 1
            return
        if queue and client.idle:
            ask(queue.popleft())

    async def examine(start: float) -> None:
        status = await doctor.get("/health")
        result.health.append(time.perf_counter() - start)
        if status != 200:
            result.failures[f"health {status}"] += 1

    tasks: set[asyncio.Task[None]] = set()
    begun = time.perf_counter()
    examined = 0
    last, looked = seconds + PATIENCE_SECONDS, 0.0
    while (now := time.perf_counter() - begun) < seconds or ((unanswered or tasks) and now < last):
        result.own.append(now - looked)
        looked = now
        while now < seconds and result.offered < now * rate:
            start = begun + result.offered / rate
            result.offered += 1
            if client.idle:
                ask(start)
                continue
            queue.append(start)
            if len(client.open) + client.opening < MAX_CONNECTIONS and client.opening < len(queue):
                tasks.add(asyncio.create_task(connect()))
        if now < seconds and examined < now * 20:
            examined += 1
            tasks.add(asyncio.create_task(examine(time.perf_counter())))
            client.leave()
        tasks = {task for task in tasks if not task.done()}
        await asyncio.sleep(0.002)
    if queue:
        result.failures["no connection left"] += len(queue)
    client.close()
    doctor.close()
    return result


async def calm_again(url: str, token: str, path: str, *, limit: float) -> float:
    """Seconds until ten requests in a row take less than ``limit`` each."""
    client, begun, row = Client(url, token), time.perf_counter(), 0
    while row < 10:
        start = time.perf_counter()
        row = row + 1 if await client.get(path) == 200 and time.perf_counter() - start < limit else 0
    client.close()
    return time.perf_counter() - begun


async def _main() -> None:
    parser = argparse.ArgumentParser(description="Load by an open loop")
    parser.add_argument("url")
    parser.add_argument("--token", default="")
    parser.add_argument("--path", default="/api/v1/tasks")
    parser.add_argument("--factor", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rate", type=float, default=0.0, help="what the server sustains, where it is known")
    options = parser.parse_args()
    target = (options.url, options.token, options.path)
    rate = options.rate or await sustained(*target)
    say = sys.stdout.write
    say(f"sustained {rate:.0f}/s\n")
    result = await overload(*target, rate=options.factor * rate, seconds=options.seconds)
    say(f"{options.factor:g} x: goodput {result.goodput / rate:.0%} of the sustained; {result.line()}\n")
    say(f"calm after {await calm_again(*target, limit=0.1):.1f} s\n")


if __name__ == "__main__":
    import uvloop

    uvloop.run(_main())
