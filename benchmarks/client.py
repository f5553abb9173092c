"""A small HTTP/1.1 client over keep-alive connections: it costs little, so that it can keep a server busy."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import cast

CONNECTIONS = 8
OPEN_LOOP_CONNECTIONS = 64
TIMEOUT_SECONDS = 60.0

Accepts = Callable[[int, bytes], bool]
"""Whether an answer is the right kind of answer, by its status and body."""


class BadAnswer(Exception):
    """A server answered a measured request with something else than what it is measured for."""


class Connection(asyncio.Protocol):
    """One keep-alive connection, for one request at a time. Answers must have a Content-Length."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._body_at = 0
        self._end = 0
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._end:
            separator = self._received.find(b"\r\n\r\n")
            if separator < 0:
                return
            head = bytes(self._received[:separator]).lower()
            length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
            self._body_at = separator + 4
            self._end = self._body_at + int(length or 0)
        if len(self._received) >= self._end:
            answer = (int(self._received[9:12]), bytes(self._received[self._body_at : self._end]))
            self._received.clear()
            self._end = 0
            assert self._answer is not None
            if not self._answer.done():  # it came for one who has given up waiting
                self._answer.set_result(answer)

    def send(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """The status and body of the answer, to be awaited before the next request."""
        assert self.transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._answer


class Client:
    """Connections to one server; an async context manager."""

    def __init__(self, port: int, connections: int = CONNECTIONS) -> None:
        self._port, self._size = port, connections
        self._connections: list[Connection] = []

    async def __aenter__(self) -> "Client":
        loop = asyncio.get_running_loop()
        for _ in range(self._size):
            self._connections.append((await loop.create_connection(Connection, "127.0.0.1", self._port))[1])
        return self

    async def __aexit__(self, *_error: object) -> None:
        for connection in self._connections:
            if connection.transport is not None:
                connection.transport.close()

    async def one(self, request: bytes) -> tuple[int, bytes]:
        """The status and body of an answer."""
        return await asyncio.wait_for(self._connections[0].send(request), TIMEOUT_SECONDS)

    async def closed_loop(self, requests: Sequence[bytes], count: int, accepts: Accepts) -> list[float]:
        """Send ``count`` of the requests in turn, each connection the next one when it has its answer.

        Returns the seconds each took. Raises ``BadAnswer``.
        """
        waiting = islice(cycle(requests), count)
        latencies: list[float] = []

        async def work(connection: Connection) -> None:
            for request in waiting:
                begun = time.perf_counter()
                status, body = await connection.send(request)
                latencies.append(time.perf_counter() - begun)
                _check(status, body, accepts)

        async with asyncio.timeout(TIMEOUT_SECONDS + count):
            await asyncio.gather(*map(work, self._connections))
        return latencies

    async def open_loop(self, requests: Sequence[bytes], rate: float, seconds: float, accepts: Accepts) -> list[float]:
        """Send requests evenly spaced (to the millisecond), ``rate`` a second, whether or not others were answered.

        Returns the seconds that each took, with its wait for a free connection: a server that stalls makes all wait
        that come due meanwhile. Raises ``BadAnswer``.
        """
        latencies: list[float] = []
        free = deque(self._connections)
        freed = asyncio.Semaphore(len(free))

        async def work(request: bytes) -> None:
            due = time.perf_counter()
            await freed.acquire()
            connection = free.popleft()
            try:
                status, body = await connection.send(request)
            finally:
                free.append(connection)
                freed.release()
            latencies.append(time.perf_counter() - due)
            _check(status, body, accepts)

        tasks = []
        begun = time.perf_counter()
        async with asyncio.timeout(TIMEOUT_SECONDS + seconds):
            for number, request in enumerate(islice(cycle(requests), int(rate * seconds))):
                if (early := begun + number / rate - time.perf_counter()) > 0:
                    await asyncio.sleep(early)
                tasks.append(asyncio.create_task(work(request)))
            await asyncio.gather(*tasks)
        return latencies


def _check(status: int, body: bytes, accepts: Accepts) -> None:
    if not accepts(status, body):
        raise BadAnswer(f"status {status}: {body[:300]!r}")
