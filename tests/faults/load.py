"""Callers of a server that remember what they were told: writers, readers, and somebody who asks how it is."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import uuid4

import httpx

from api.main import create_app
from tests.actors import make_person
from tests.conftest import settings_for

PATIENCE_SECONDS = 45.0
"""After which a caller takes it that there will be no answer."""
PAUSE_SECONDS = 0.02
"""Between two calls of a caller; after a refusal, it is ``RETRY_SECONDS``."""
RETRY_SECONDS = 0.1
HEALTH_SECONDS = 0.1
READY_SECONDS = 0.5
CUT = 0
"""Instead of a status: the connection ended without an answer."""
REFUSED = -1
"""Instead of a status: there was nobody to connect to."""
LATE = -2
"""Instead of a status: no answer in ``PATIENCE_SECONDS``."""
_NAMES = {CUT: "cut off", REFUSED: "not connected", LATE: "no answer"}


class Call(NamedTuple):
    """One call of somebody's, and what came of it."""

    kind: str
    """``write``, ``read`` (of tasks), ``others`` (which need none), ``health`` or ``ready``."""
    sent: float
    seconds: float
    status: int

    @property
    def outcome(self) -> str:
        return _NAMES.get(self.status, str(self.status))


@dataclass
class Ledger:
    """What callers were told, in seconds of the monotonic clock."""

    calls: list[Call] = field(default_factory=list)
    acknowledged: dict[str, float] = field(default_factory=dict)
    """The titles of tasks that were answered with 201, and when."""

    def of(self, *kinds: str) -> list[Call]:
        return [call for call in self.calls if call.kind in kinds]

    def longest(self, *kinds: str) -> float:
        """Seconds that the slowest call took."""
        return max((call.seconds for call in self.of(*kinds)), default=0.0)

    def outcomes(self, *kinds: str) -> Counter[str]:
        """How often which status was answered, besides success."""
        return Counter(call.outcome for call in self.of(*kinds) if call.status not in (200, 201))

    def first_write(self, since: float) -> float | None:
        """Seconds from a moment until a write was acknowledged that was sent after it."""
        ends = [call.sent + call.seconds for call in self.of("write") if call.status == 201 and call.sent >= since]
        # one that was sent before and waited is as good
        ends += [
            call.sent + call.seconds
            for call in self.of("write")
            if call.status == 201 and call.sent < since <= call.sent + call.seconds
        ]
        return min(ends) - since if ends else None

    def quantile(self, share: float, *kinds: str) -> float:
        """Seconds within which so large a share of the calls was answered."""
        times = sorted(call.seconds for call in self.of(*kinds))
        return times[min(len(times) - 1, int(len(times) * share))] if times else 0.0


async def sign_up(url: str, number: int) -> list[dict[str, str]]:
    """The headers of so many new accounts, made on the database beside the server."""
    app = create_app(settings_for(url), compile_after=0)
    async with app.router.lifespan_context(app), httpx.AsyncClient() as nobody:
        return [(await make_person(nobody, app.state.tandem)).headers for _ in range(number)]


class Load:
    """Callers who go on until the block ends.

    Every other writer repeats what was not acknowledged, with its ``Idempotency-Key``, until it is.
    """

    def __init__(
        self,
        servers: Sequence[str],
        people: Sequence[dict[str, str]],
        *,
        writers: int = 6,
        readers: int = 2,
        pause: float = PAUSE_SECONDS,
        description: Callable[[int], str] = lambda _turn: "",
        watched: bool = True,
    ) -> None:
        self.ledger = Ledger()
        self._servers, self._people, self._pause, self._description = servers, people, pause, description
        self._writers, self._readers, self._watched = writers, readers, watched
        self._ended = False
        self._run = uuid4().hex[:8]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Ledger]:
        """Go on while the block lasts; at its end every call is heard out."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._writers):
                group.create_task(self._write(number))
            for number in range(self._readers):
                group.create_task(self._read(number))
            if self._watched:
                group.create_task(self._ask("health", "/health", HEALTH_SECONDS))
                group.create_task(self._ask("ready", "/health/ready", READY_SECONDS))
            try:
                yield self.ledger
            finally:
                self._ended = True

    async def _write(self, number: int) -> None:
        headers = self._people[number % len(self._people)]
        repeats = number % 2 == 0
        async with self._client(number) as client:
            title, key, description = "", "", ""
            for turn in itertools.count():
                if self._ended:
                    return
                if not (repeats and title):
                    title, key = f"{self._run}-{number}-{turn}", uuid4().hex
                    description = self._description(turn)
                body = {"title": title, "description": description}
                status = await self._call(
                    client, "write", "POST", "/api/v1/tasks", headers | {"Idempotency-Key": key}, body
                )
                if status == 201:
                    self.ledger.acknowledged[title] = time.monotonic()
                    title = ""
                await asyncio.sleep(self._pause if status == 201 else RETRY_SECONDS)

    async def _read(self, number: int) -> None:
        headers = self._people[number % len(self._people)]
        # some read tasks, and some what has nothing to do with them
        kind = "others" if number % 2 else "read"
        paths = itertools.cycle(["/api/v1/users/me", "/api/v1/projects"] if number % 2 else ["/api/v1/tasks?limit=5"])
        async with self._client(number) as client:
            while not self._ended:
                status = await self._call(client, kind, "GET", next(paths), headers)
                await asyncio.sleep(self._pause if status == 200 else RETRY_SECONDS)

    async def _ask(self, kind: str, path: str, seconds: float) -> None:
        # a connection each, so that every worker is asked
        limits = httpx.Limits(max_keepalive_connections=0)
        for server in itertools.cycle(self._servers):
            if self._ended:
                return
            async with httpx.AsyncClient(base_url=server, timeout=PATIENCE_SECONDS, limits=limits) as client:
                await self._call(client, kind, "GET", path, {})
            await asyncio.sleep(seconds)

    def _client(self, number: int) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self._servers[number % len(self._servers)], timeout=PATIENCE_SECONDS)

    async def _call(
        self,
        client: httpx.AsyncClient,
        kind: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: dict[str, str] | None = None,
    ) -> int:
        sent = time.monotonic()
        try:
            status = (await client.request(method, path, headers=headers, json=body)).status_code
        except httpx.ConnectError:
            status = REFUSED
        except httpx.TimeoutException:
            status = LATE
        except httpx.TransportError:
            status = CUT
        self.ledger.calls.append(Call(kind, sent, time.monotonic() - sent, status))
        return status
