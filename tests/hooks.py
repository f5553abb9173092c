"""A receiver of webhooks in the test's own event loop, and a server of its own that may send to it."""

import asyncio
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx
import orjson

from api.main import create_app
from api.state import State
from core.settings import LIMITS
from tests.actors import Person
from tests.conftest import SECRET, People, settings_for
from tests.databases import empty_database
from tests.processes import ROOT
from tests.waiting import until
from tests.working import forked

DELAYS = (0.1, 0.2)
HANG = -1
"""For a status: no answer at all."""


@dataclass(frozen=True, slots=True)
class Message:
    """What was received."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Receiver:
    """Answers each path with its statuses in turn, the last one from then on; 200 where nothing is said."""

    port: int = 0
    statuses: dict[str, list[int]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    got: list[Message] = field(default_factory=list)
    connections: int = 0
    pause: float = 0.0
    under_way: set[asyncio.Task[Any]] = field(default_factory=set)
    _counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def of(self, path: str) -> list[Message]:
        return [message for message in self.got if message.path == path]

    async def until(self, path: str, count: int, seconds: float = 15) -> list[Message]:
        """The messages of a path, once there are so many."""
        await until(lambda: len(self.of(path)) >= count, seconds)
        return self.of(path)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if (task := asyncio.current_task()) is not None:
            self.under_way.add(task)
            task.add_done_callback(self.under_way.discard)
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
            path = first.split(" ")[1]
            steps, number = self.statuses.get(path, [200]), self._counts[path]
            self._counts[path] += 1
            self.got.append(Message(path, headers, body, asyncio.get_running_loop().time()))
            status = steps[min(number, len(steps) - 1)]
            if status == HANG:
                await asyncio.sleep(60)
            await asyncio.sleep(self.pause)
            more = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
            writer.write(f"HTTP/1.1 {status} X\r\n{more}Content-Length: 2\r\nConnection: close\r\n\r\nok".encode())
            await writer.drain()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.answer, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in receiver.under_way:
            task.cancel()
        await asyncio.gather(*receiver.under_way, return_exceptions=True)
        await asyncio.sleep(0)  # sockets are closed a turn later


@dataclass
class Hooks:
    """A server with a database of its own, whose webhooks may lead to the receiver."""

    url: str
    state: State
    people: People
    receiver: Receiver
    ada: Person

    async def hook(self, path: str, person: Person | None = None, **fields: Any) -> dict[str, Any]:
        """A webhook that leads to a path of the receiver."""
        values = {"name": path, "url": self.receiver.url(path), **fields}
        made = await (person or self.ada).post("/webhooks", values)
        assert made.status_code == 201, made.text
        webhook: dict[str, Any] = made.json()
        return webhook

    async def deliveries(self, webhook: dict[str, Any], person: Person | None = None) -> list[dict[str, Any]]:
        """Oldest first."""
        answer = await (person or self.ada).get(f"/webhooks/{webhook['id']}/deliveries?limit=100")
        return list(reversed(answer.json()))

    async def states(self, webhook: dict[str, Any]) -> list[str]:
        return [delivery["state"] for delivery in await self.deliveries(webhook)]

    async def until_states(self, webhook: dict[str, Any], *states: str, seconds: float = 15) -> None:
        async with asyncio.timeout(seconds):
            while (found := await self.states(webhook)) != [*states]:
                await asyncio.sleep(0.05)
                assert len(found) <= len(states), found

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """While the block lasts, the server's worker works."""
        task = asyncio.create_task(self.state.work.worker.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    @contextmanager
    def worker(self) -> Iterator[ForkServerProcess]:
        """A worker of its own, until the block ends or somebody kills it."""
        process = forked(self._environment)
        try:
            yield process
        finally:
            process.terminate()
            process.join(20)

    @contextmanager
    def worker_command(self) -> Iterator[subprocess.Popen[bytes]]:
        """As ``worker``, and started as an operator does: ``python -m cli worker``."""
        command = [sys.executable, "-m", "cli", "worker"]
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | self._environment)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)

    @property
    def _environment(self) -> dict[str, str]:
        return {
            "ENVIRONMENT": "test",
            "DATABASE_URL": self.url,
            "SECRET_KEY": SECRET,
            **dict.fromkeys(map(str.upper, LIMITS), "off"),
            "LOG_LEVEL": "ERROR",
            "WEBHOOK_TEST_PORTS": str(self.receiver.port),
            "WEBHOOK_TEST_DELAYS": ",".join(map(str, DELAYS)),
            "WORKER_LEASE_SECONDS": "1",
        }


@asynccontextmanager
async def hooks_on(backend: str, folder: Path, **settings: Any) -> AsyncIterator[Hooks]:
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        url = stack.enter_context(empty_database(backend, folder))
        values = {"webhook_test_ports": (receiver.port,), "webhook_test_delays": DELAYS, "webhook_timeout_seconds": 1}
        app = create_app(settings_for(url, **(values | settings)))
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://test"))
        people = People(client, app.state.tandem)
        yield Hooks(url, app.state.tandem, people, receiver, await people())
