"""The hosts of a URL of PostgreSQL: one that stands still is found out soon, left, and asked again beside the requests.

A host that stands still (a frozen virtual machine, a disk that does not answer) goes on taking connections and bytes,
which its kernel does, and answers nothing: no time limit of TCP's is ever reached. So what has no answer after
``SILENT_SECONDS`` makes us ask the host a small question on a connection of its own: whether it would speak TLS, which
is answered before anybody is known (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL). A
host that is only busy, or a statement that waits for a lock, is told from one that stands still by that.

Where there is no answer to that either, every connection to the host is given up: what was under way there ends as on
a connection that was lost. Until there is a host that takes a connection again, nobody waits for one: they are refused
at once, and one task asks.
"""

import asyncio
import logging
import struct
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakSet

import psycopg

from db.driver.postgresql.connection import UNLIMITED, PgConnection, ServerLimits
from db.driver.postgresql.exchange import SILENT_SECONDS, ConnectionLost, NotAnswered

logger = logging.getLogger("tandem.database")

ANSWER_SECONDS = 2.0
"""How long a host may take to answer the small question."""
FIRST_SECONDS = 0.5
"""The same before the first connection, where it decides of nothing but the order in which several are tried."""
AGAIN_SECONDS = 4.0
"""A host that has answered is not asked again for so long: statements may take long."""
PAUSE_SECONDS = 0.5
"""Between two rounds of asking all hosts, while there is none."""
_ASK_FOR_TLS = struct.pack("!ii", 8, 80877103)
_SEVERAL = ("host", "hostaddr", "port")
"""What libpq takes as lists of equal length, separated by commas."""

Host = tuple[str, str]
"""Name or address (of a Unix socket, its folder), and port."""


class Hosts:
    """Makes connections to whichever of the hosts is the one that is asked for, for all pools of a process.

    Raises ``ConnectionLost`` where there is none: at once while they are known to stand still.
    """

    def __init__(self, arguments: Mapping[str, Any], limits: ServerLimits = UNLIMITED) -> None:
        self._arguments, self.limits = dict(arguments), limits
        self._order = _listed(arguments)
        """The one that served last comes first, those that stood still come last."""
        self._connections: WeakSet[PgConnection] = WeakSet()
        self._renewals: list[Callable[[], None]] = []
        self._speaking: set[Host] = set()
        """Those that have answered the small question once: nobody else is judged by it."""
        self._asked = 0.0
        self._task: asyncio.Task[None] | None = None
        self._away: str | None = None
        self._timeline = 0
        self._sorted: asyncio.Task[None] | None = None

    @property
    def several(self) -> bool:
        return len(self._order) > 1

    def when_left(self, renew: Callable[[], None]) -> None:
        """Have something called when a host was left: no connection is to be used again that was made until then."""
        self._renewals.append(renew)

    def when_left_no_more(self, renew: Callable[[], None]) -> None:
        """Call it no more."""
        self._renewals.remove(renew)

    @property
    def arguments(self) -> dict[str, Any]:
        """What a connection is made with now: the host that served last comes first."""
        return self._arguments | _lists(self._order) if self._order else self._arguments

    async def connect(self) -> PgConnection:
        """A new connection."""
        if self._away is not None:
            raise NotAnswered(self._away)
        if self.several:
            self._sorted = self._sorted or asyncio.create_task(self._sort())
            if not self._sorted.done():
                await asyncio.shield(self._sorted)
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            return await self._connect(self._order)
        except (ConnectionLost, asyncio.CancelledError):
            if loop.time() - started >= SILENT_SECONDS:
                self._begin(self._judge({host: host for host in self._order}))
            raise

    async def close(self) -> None:
        """Ask nobody any more."""
        for task in (self._task, self._sorted):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait([task])

    async def _sort(self) -> None:
        """Put those last that say nothing: trying to connect to one of them takes seconds."""
        hosts = list(self._order)
        answers = await asyncio.gather(*(_answers(host, FIRST_SECONDS) for host in hosts))
        self._order.sort(key=lambda host: not answers[hosts.index(host)])

    async def _connect(self, order: list[Host]) -> PgConnection:
        connection = await PgConnection.connect(
            self._arguments | _lists(order) if self._order else self._arguments, self.limits
        )
        if self.several and not await self._is_newest(connection):
            connection.close()
            self._move(connection.host, first=False)
            raise ConnectionLost("another host was promoted after this one")
        self._move(connection.host, first=True)
        self._connections.add(connection)
        connection.when_silent = partial(self._suspect, connection.host, connection.address)
        if connection.host not in self._speaking:
            self._begin(self._learn(connection.host, connection.address))
        return connection

    async def _is_newest(self, connection: PgConnection) -> bool:
        """Whether a primary has not been left behind: what stood still and goes on takes itself for the primary still,
        but whoever was promoted since is on a later timeline."""
        timeline = await connection.timeline()
        if timeline is None:
            return True
        newest, self._timeline = timeline >= self._timeline, max(timeline, self._timeline)
        return newest

    def _suspect(self, host: Host, address: Host) -> None:
        """Something has had no answer for a while from a host."""
        if host in self._speaking and asyncio.get_running_loop().time() - self._asked >= AGAIN_SECONDS:
            self._begin(self._judge({host: address}))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Find out more, unless that is being done."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(work)
        else:
            work.close()

    async def _learn(self, host: Host, address: Host) -> None:
        if await _answers(address):
            self._speaking.add(host)

    async def _judge(self, addresses: Mapping[Host, Host]) -> None:
        """Leave those of some hosts that stand still, and whatever is under way there, until one takes connections."""
        self._asked = asyncio.get_running_loop().time()
        answers = await asyncio.gather(*map(_answers, addresses.values()))
        silent = [host for host, answer in zip(addresses, answers, strict=True) if not answer]
        if not silent:
            return
        self._away = "the host of the database stands still"
        logger.error("%s: its connections are given up", self._away)
        for host in silent:
            self._move(host, first=False)
        for renew in tuple(self._renewals):
            renew()
        for connection in list(self._connections):
            if connection.host in silent:
                connection.abandon(NotAnswered(self._away))
        try:
            while not await self._find():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            self._away = None
        logger.warning("the database takes connections again")

    async def _find(self) -> bool:
        """Whether there is a host again that takes a connection."""
        answers = await asyncio.gather(*map(_answers, self._order))
        order = [
            host for host, answer in zip(self._order, answers, strict=True) if answer or host not in self._speaking
        ]
        if not order and self._order:
            return False
        try:
            connection = await self._connect(order)
        except psycopg.Error:
            return False
        connection.close()
        return True

    def _move(self, host: Host, *, first: bool) -> None:
        if self.several and host in self._order:
            self._order.remove(host)
            self._order.insert(0 if first else len(self._order), host)


def _listed(arguments: Mapping[str, Any]) -> list[Host]:
    """The hosts in the order of the URL; none where they are not ours to order, or to ask."""
    if "hostaddr" in arguments or "load_balance_hosts" in arguments or "service" in arguments:
        return []
    hosts = str(arguments.get("host", "")).split(",")
    ports = str(arguments.get("port", "5432")).split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    if not all(hosts) or len(ports) != len(hosts):
        return []
    return [(host, port or "5432") for host, port in zip(hosts, ports, strict=True)]


def _lists(order: list[Host]) -> dict[str, str]:
    return {"host": ",".join(host for host, _ in order), "port": ",".join(port for _, port in order)}


async def _answers(host: Host, seconds: float | None = None) -> bool:
    """Whether a host says anything at all.

    The time is counted in small steps, so that a process that was put aside itself does not take it for silence.
    """
    task = asyncio.ensure_future(_ask(*host))
    steps = 8
    for _ in range(steps):
        await asyncio.wait([task], timeout=(seconds or ANSWER_SECONDS) / steps)
        if task.done():
            return task.result()
    task.cancel()
    return False


async def _ask(host: str, port: str) -> bool:
    writer: asyncio.StreamWriter | None = None
    try:
        if host.startswith("/"):
            reader, writer = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(_ASK_FOR_TLS)
        return bool(await reader.read(1))
    except (OSError, ValueError):
        return False
    finally:
        if writer is not None:
            writer.close()
            with suppress(OSError):
                writer.transport.abort()
