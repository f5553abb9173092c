"""A server whose connections to PostgreSQL are reset now and then, under load: ``python -m tests.resets --help``.

Between them stands a proxy that resets every connection at once (RST), as a firewall, a pooler that is restarted or a
host that crashed does; it forwards nothing for a moment before, so that statements are under way and answers unread.
"""

import asyncio
import itertools
import socket
import struct
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import httpx
import typer

from tests.conftest import migrate, settings_for
from tests.infrastructure import postgres_server, scratch_database
from tests.live import LiveServer

WRITERS = 8
Loop = Literal["uvloop", "asyncio"]


class ResettingProxy:
    """Forwards to a server, in a thread of its own."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._moving = asyncio.Event()
        self._moving.set()
        user = parts.netloc.rpartition("@")[0]
        self._rest = parts, f"{user}@" if user else ""
        self.url = ""

    def reset(self, seconds: float = 0.0) -> int:
        """Reset every connection, both ways, after nothing was forwarded for so long. Returns how many there were."""
        return asyncio.run_coroutine_threadsafe(self._reset(seconds), self._loop).result()

    def freeze(self) -> None:
        """Forward nothing any more, and answer nothing, on connections that are there and on new ones."""
        self._loop.call_soon_threadsafe(self._moving.clear)

    def thaw(self) -> None:
        """Go on."""
        self._loop.call_soon_threadsafe(self._moving.set)

    def __enter__(self) -> "ResettingProxy":
        self._thread.start()
        port = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        parts, user = self._rest
        self.url = parts._replace(netloc=f"{user}127.0.0.1:{port}").geturl()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._reset(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._upstream)
        self._writers |= {writer, far_writer}
        for source, target in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pump(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                await self._moving.wait()
                target.write(data)
        self._writers.discard(target)
        target.close()

    async def _reset(self, seconds: float) -> int:
        for task in self._tasks if seconds else ():
            task.cancel()
        await asyncio.sleep(seconds)
        writers, self._writers = self._writers, set()
        for writer in writers:
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        return len(writers) // 2


@dataclass
class Probe:
    """What came of a run."""

    statuses: Counter[int] = field(default_factory=Counter)
    """Of the writes; 0 for one that was not answered."""
    longest: float = 0.0
    """Seconds that the slowest of the writes took."""
    first_afterwards: int = 0
    free: tuple[int, int] = (0, 0)
    """How many slots of the pool of writers, and of that of readers, are free in the end."""

    @property
    def passed(self) -> bool:
        return (
            self.longest <= 1.0
            and self.first_afterwards == 201
            and self.free == (SLOTS, SLOTS)
            and self.statuses.keys() <= {201, 503}
        )


SLOTS = 5
PATIENCE = 10.0
"""Seconds after which a client takes it that there will be no answer."""


def probe(database_url: str, *, loop: Loop, resets: int, between: float = 0.1) -> Probe:
    """Write from eight clients while every connection to the database is reset so often."""
    found = Probe()
    with (
        ResettingProxy(database_url) as proxy,
        LiveServer(settings_for(proxy.url, database_pool_size=SLOTS), loop=loop) as server,
        httpx.Client(base_url=f"{server.base_url}/api/v1", timeout=PATIENCE) as client,
    ):
        token = _register(client)
        ended = threading.Event()

        def write(number: int) -> None:
            with httpx.Client(base_url=f"{server.base_url}/api/v1", timeout=PATIENCE, headers=token) as mine:
                # answers of any size, and statements that do not fit into a socket's buffer
                for turn in itertools.count():
                    if ended.is_set():
                        return
                    started = time.monotonic()
                    body = {"title": f"{number}", "description": "x" * (turn % 3 * 30_000)}
                    status = 0
                    with suppress(httpx.TimeoutException):
                        status = mine.post("/tasks", json=body).status_code
                        mine.get("/tasks?limit=100")
                    found.longest = max(found.longest, time.monotonic() - started)
                    found.statuses[status] += 1

        with ThreadPoolExecutor(WRITERS) as pool:
            writers = [pool.submit(write, number) for number in range(WRITERS)]
            for turn in range(resets):
                time.sleep(between)
                proxy.reset(0.02 * (turn % 3))
            time.sleep(between)
            ended.set()
            for writer in writers:
                writer.result()
        with suppress(httpx.TimeoutException):
            answer = client.post("/tasks", json={"title": "afterwards"}, headers=token)
            found.first_afterwards = answer.status_code
        found.free = _free_slots(server, seconds=PATIENCE)
    return found


def _register(client: httpx.Client) -> dict[str, str]:
    name = f"writer_{time.monotonic_ns()}"
    password = "correct horse battery"
    client.post("/users", json={"username": name, "email": f"{name}@example.com", "password": password})
    answer = client.post("/token", data={"username": name, "password": password})
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def _free_slots(server: LiveServer, *, seconds: float) -> tuple[int, int]:
    """How many are free once all are, or so many seconds later: after a write's answer its event gets its position."""
    database: Any = server.state.database
    until = time.monotonic() + seconds
    while (free := (database.writer.free, database.reader.free)) != (SLOTS, SLOTS) and time.monotonic() < until:
        time.sleep(0.01)
    return free


def main(
    runs: Annotated[int, typer.Option(min=1, help="On uvloop; a third as many on asyncio's own loop.")] = 10,
    resets: Annotated[int, typer.Option(min=1, help="In each run.")] = 20,
) -> None:
    """Write from eight clients while every connection to PostgreSQL is reset now and then. A line a run."""
    failed = 0
    with postgres_server() as dsn:
        if dsn is None:
            raise typer.BadParameter("there is no PostgreSQL here to start, nor TEST_DATABASE_URL")
        with scratch_database(dsn) as url:
            migrate(url)
            loops: list[Loop] = ["uvloop" for _ in range(runs)]
            loops += ["asyncio" for _ in range(max(1, runs // 3))]
            for loop in loops:
                found = probe(url, loop=loop, resets=resets)
                failed += not found.passed
                typer.echo(f"{loop:8} {'ok' if found.passed else 'FAILED':7} {found}")
    raise typer.Exit(failed > 0)


if __name__ == "__main__":
    typer.run(main)
