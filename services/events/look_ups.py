"""What has to be known to say who may be told of what has waited, looked up for all who ask in the same moment."""

import asyncio
import time
from collections.abc import Sequence
from contextvars import Context

from db.driver.database import Database
from services.events.audience import Facts, look_up
from services.events.happenings import Happening


class _Asked:
    """What is to be looked up together."""

    __slots__ = ("answer", "items", "keys", "readers")

    def __init__(self) -> None:
        self.items: dict[int, Happening] = {}
        self.readers: set[int] = set()
        self.keys: set[int] = set()
        self.answer: asyncio.Task[tuple[float, Facts]] | None = None


class LookUps:
    """One worker's. While something is looked up, those who ask gather for the next time: an event that has waited for
    thousands of followers is not asked for thousands of times."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asking = asyncio.Lock()
        self._asked: _Asked | None = None

    async def of(self, items: Sequence[Happening], reader: int, key: int | None) -> tuple[float, Facts]:
        """What has to be known of a reader, and of the key that it comes by, for some events; and when it was so, in
        seconds of the monotonic clock."""
        asked = self._asked
        if asked is None:
            asked = self._asked = _Asked()
        asked.items |= {item.position: item for item in items}
        asked.readers.add(reader)
        if key is not None:
            asked.keys.add(key)
        if asked.answer is None:
            # of all of them, not in the time of the one who came first
            asked.answer = asyncio.create_task(self._look_up(asked), context=Context())
        return await asyncio.shield(asked.answer)

    async def _look_up(self, asked: _Asked) -> tuple[float, Facts]:
        async with self._asking:
            self._asked = None  # for whoever comes from now on this one began too early
            moment = time.monotonic()
            return moment, await look_up(self._database.reads, [*asked.items.values()], asked.readers, asked.keys)
