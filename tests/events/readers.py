"""Those who read the feed, each in one of the ways that there are, and come back wherever they were cut off."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from tests.events.clients import CUT, Caller, Message, Socket, Stream

AGAIN_SECONDS = 0.1
LAST = 500
CHANGES = """subscription($after: String) {
  changes(after: $after) { cursor event_id: eventId kind entity_id: entityId entity_version: entityVersion }
}"""
LIVE = """subscription($after: String, $filter: TaskFilter) {
  liveTasks(after: $after, filter: $filter) {
    kind cursor task_id: taskId task { databaseId version } tasks { databaseId version } complete
  }
}"""
PRIORITY = 5
"""Of the tasks in the live lists."""


class Heard(NamedTuple):
    """An event as a reader was told of it."""

    event_id: str
    position: int
    kind: str
    entity_id: int
    entity_version: int | None
    at: float


class Reader:
    """One of them: it asks the servers in turn, from a cursor on, until it is stopped."""

    def __init__(self, name: str, ports: Sequence[int], headers: Mapping[str, str], cursor: str) -> None:
        self.name, self.headers, self.begins, self.cursor = name, headers, cursor, cursor
        self._ports = itertools.cycle(ports)
        self.heard: list[Heard] = []
        self.refused: list[str] = []
        """What it was told besides events, which nobody should be."""
        self.times = 0
        """How often it was cut off, or came anew."""
        self._came = asyncio.Event()

    async def run(self) -> None:
        """Read on, until cancelled."""
        while True:
            with contextlib.suppress(OSError):
                await self._read(next(self._ports))
            self.times += 1
            await asyncio.sleep(AGAIN_SECONDS)

    async def _read(self, port: int) -> None:
        raise NotImplementedError

    def hear(self, message: Message) -> None:
        """One event."""
        if message.kind == "error":
            self.refused.append(str(message.data.get("detail", message.data))[:200])
            return
        data = message.data
        self.cursor = data["cursor"]
        position = int(self.cursor.partition("-")[0])
        version = data["entity_version"]
        self.heard.append(Heard(data["event_id"], position, data["kind"], data["entity_id"], version, message.at))
        self._came.set()

    async def until(self, kind: str, entity_id: int, seconds: float) -> bool:
        """Whether it is told of something in that time, as one of the last things."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not any((each.kind, each.entity_id) == (kind, entity_id) for each in self.heard[-LAST:]):
                    self._came.clear()
                    await self._came.wait()
                return True
        return False


class Pages(Reader):
    """``GET /changes``, a page after the other; ``wait`` seconds for one that is empty."""

    def __init__(self, *args: Any, wait: int = 0) -> None:
        super().__init__(*args)
        self._wait = wait

    async def _read(self, port: int) -> None:
        caller = Caller(port, self.headers)
        try:
            while True:
                path = f"/api/v1/changes?after={self.cursor}&limit=500&wait={self._wait}"
                status, page = await caller.ask("GET", path)
                if status != 200:
                    if status not in (CUT, 503):
                        self.refused.append(f"{status} {page}"[:200])
                    return
                moment = time.time()
                for change in page["changes"]:
                    self.hear(Message(change["kind"], change["cursor"], change, moment))
                self.cursor = page["cursor"]
                if not page["changes"] and not self._wait:
                    await asyncio.sleep(AGAIN_SECONDS)
        finally:
            caller.leave()


class Streamed(Reader):
    """``GET /events``, which it leaves and comes back to now and then."""

    def __init__(self, *args: Any, stays: float = 0.0) -> None:
        super().__init__(*args)
        self._stays = stays

    async def _read(self, port: int) -> None:
        more = {"Last-Event-ID": self.cursor}
        stream = await Stream.open(port, "/api/v1/events", {**self.headers, **more}, self.hear)
        await _followed(stream, self._stays)


class Subscribed(Streamed):
    """GraphQL's subscription, over a socket."""

    async def _read(self, port: int) -> None:
        asked = {"query": CHANGES, "variables": {"after": self.cursor}}
        await _followed(await Socket.open(port, self.headers, [asked], self.hear), self._stays)


class Live(Streamed):
    """A live list, by either door: the tasks of a priority, and the version that each was told in."""

    def __init__(self, *args: Any, stays: float = 0.0, socket: bool = False) -> None:
        super().__init__(*args, stays=stays)
        self._socket = socket
        self.tasks: dict[int, int] = {}
        self._whole = True

    async def _read(self, port: int) -> None:
        if self._socket:
            variables = {"after": self.cursor or None, "filter": {"priority": {"eq": PRIORITY}}}
            asked = {"query": LIVE, "variables": variables}
            follower: Socket | Stream = await Socket.open(port, self.headers, [asked], self.hear)
        else:
            path = f"/api/v1/tasks/live?priority={PRIORITY}"
            if self.cursor:
                path += f"&after={quote(self.cursor)}"
            follower = await Stream.open(port, path, self.headers, self.hear)
        await _followed(follower, self._stays)

    def hear(self, message: Message) -> None:
        """What became of the list."""
        if message.kind == "error":
            self.refused.append(str(message.data.get("detail", message.data))[:200])
            return
        data = message.data
        kind = data["kind"].lower()
        if kind == "snapshot":
            if self._whole:
                self.tasks = {}
            self._whole = data["complete"]
            self.tasks |= {_id(task): task["version"] for task in data["tasks"]}
        elif kind == "leave":
            self.tasks.pop(data["task_id"], None)
        else:
            self.tasks[_id(data["task"])] = data["task"]["version"]
        self.cursor = data["cursor"]


def _id(task: Mapping[str, Any]) -> int:
    found: int = task["databaseId"] if "databaseId" in task else task["id"]
    return found


async def _followed(follower: Stream | Socket, stays: float) -> None:
    """Until it ends, or for so long."""
    try:
        await follower.begun
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(stays or None):
                await asyncio.shield(follower.ended)
    finally:
        follower.leave()
