"""The feed of events in the order of their positions, for whoever follows changes as they happen.

What a follower reads next always lies behind what it has read (``services.events.numbering``). Whether it may be told
is asked when events are read, for all followers at once; and once more, for those of a follower that have waited since:
so nobody is told of what happened in a project that he left, however slowly he reads.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from typing import Protocol, TypeVar

from sqlalchemy import select

from core import turns
from db.driver.database import Database
from db.driver.statements import Prepared
from db.models import Event
from services.events.audience import Facts, look_up, may_be_told
from services.events.catalogue import MEMBER_REMOVED
from services.events.happenings import COLUMNS, Happening
from services.events.interests import EVERYTHING, Interest
from services.events.look_ups import LookUps
from services.events.numbering import END, NUMBERED, is_waiting, number_all, number_events
from services.shared.background import Background
from services.shared.errors import Unavailable
from services.shared.outages import Outage
from services.shared.statements import parameter

logger = logging.getLogger("tandem.feed")

S_co = TypeVar("S_co", covariant=True)
S = TypeVar("S")
T = TypeVar("T")

POLL_SECONDS = 0.25
"""How often the database is asked beside what is told, by processes that it can tell something."""
POLL_ALONE_SECONDS = 0.04
"""The same on SQLite, where nobody tells what other processes write."""
BATCH = 500
QUEUE_LENGTH = 1_000
TAKEN = 100
"""How many a follower takes at once."""
ROOM_SECONDS = 0.1
"""How long a batch waits for those followers who have no room for it: whoever takes nothing delays nobody longer."""
FRESH_SECONDS = 0.25
"""How long it holds that somebody may be told of an event."""


_AFTER = Prepared(
    select(*COLUMNS).where(Event.position > parameter("position")).order_by(Event.position).limit(BATCH),
    Happening,
)


class ConsumerLagged(Unavailable):
    """A follower did not keep up; what it has not taken it has to read by itself."""

    title = "Too many events at once: follow again"


class Batch(Protocol[S_co]):
    """What somebody is to be told together, in order."""

    @property
    def items(self) -> Sequence[S_co]: ...

    @property
    def is_stale(self) -> bool:
        """Whether it has to be asked again whether it may be told."""
        ...

    async def again(self, first: int = 0) -> "Batch[S_co]":
        """What of it may be told now, from one of the items on."""
        ...


class Told:
    """Events that somebody is to be told of, in order, and since when that is known."""

    __slots__ = ("_feed", "_key", "_reader", "items", "judged_at")

    def __init__(
        self, items: Sequence[Happening], judged_at: float, feed: "Feed", reader: int | None, key: int | None
    ) -> None:
        self.items, self.judged_at = items, judged_at
        self._feed, self._reader, self._key = feed, reader, key

    @property
    def is_stale(self) -> bool:
        """Whether it has to be asked again whether they may be told."""
        return self._reader is not None and time.monotonic() - self.judged_at > FRESH_SECONDS

    async def again(self, first: int = 0) -> "Told":
        """What of them may be told now, from one of them on."""
        return await self._feed.judged(self.items[first:], self._reader, self._key)

    def only(self, items: Sequence[Happening]) -> "Told":
        """Some of them."""
        return Told(items, self.judged_at, self._feed, self._reader, self._key)


async def one_by_one(told: Batch[S], make: Callable[[Sequence[S]], Awaitable[Sequence[T]]]) -> AsyncGenerator[T]:
    """What is made of the items, which are handed over together; made again of those that became stale before they
    were taken."""
    while told.items:
        for index, made in enumerate(await make(told.items)):
            if index and told.is_stale:
                told = await told.again(index)
                break
            yield made
        else:
            return


class Follower:
    """Who follows: what it wants to hear of, and what it has not taken yet."""

    __slots__ = ("_feed", "_has_lagged", "_start", "_taking", "_waiting", "interest", "key", "reader")

    def __init__(self, feed: "Feed", interest: Interest, reader: int | None, key: int | None) -> None:
        self.interest, self.reader, self.key = interest, reader, key
        self._feed = feed
        self._start = 0
        # no asyncio.Queue: there may be thousands of followers, for each of whom it would take 3 KB
        self._waiting: list[tuple[float, Happening]] = []
        self._has_lagged = False
        self._taking: asyncio.Future[None] | None = None

    def has_room(self, number: int) -> bool:
        """Whether it can be handed so many events."""
        return len(self._waiting) + number <= QUEUE_LENGTH

    def begin(self, position: int) -> None:
        """It is told of what comes after a position."""
        self._start = position

    async def take(self) -> Told:
        """The next events that concern it, one at least. Raises ``ConsumerLagged`` when they are taken too slowly."""
        while True:
            while not self._waiting and not self._has_lagged:
                self._taking = asyncio.get_running_loop().create_future()
                await self._taking
            if self._has_lagged:
                raise ConsumerLagged
            taken = self._waiting[:TAKEN]
            del self._waiting[:TAKEN]
            if turns.due():
                await turns.give()
            items = [item for _, item in taken if item.position > self._start]
            told = Told(items, taken[0][0], self._feed, self.reader, self.key)
            if told.is_stale:
                told = await told.again()
            if told.items:
                return told

    def concerns(self, item: Happening, facts: Facts) -> bool:
        """Whether it is to be told of an event."""
        if not self.interest.concerns(item) and not self.ends_with(item):
            return False
        return self.reader is None or may_be_told(self.reader, self.key, item, facts)

    def ends_with(self, item: Happening) -> bool:
        """Whether an event says that it may not read any more what it follows: it left the project of that."""
        return (
            item.kind == MEMBER_REMOVED.name
            and item.entity_id == self.reader
            and self.interest.within is not None
            and item.project_id == self.interest.within
        )

    def hand(self, item: Happening, judged_at: float) -> bool:
        """Whether there was room for it."""
        if self.has_room(1):
            self._waiting.append((judged_at, item))
        else:
            # drop it all and say so, rather than lose one in the middle
            self._waiting.clear()
            self._has_lagged = True
        if self._taking is not None and not self._taking.done():
            self._taking.set_result(None)
        return not self._has_lagged


class Feed:
    """One worker's reader of the feed. It runs while somebody follows, and costs nothing otherwise.

    What an event means is worked out by each follower for itself. They do so in turns (``core/turns.py``): a thousand
    of them hold the loop no longer at a time than one does.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._poll = POLL_ALONE_SECONDS if database.planner.commits_in_order else POLL_SECONDS
        self._followers: set[Follower] = set()
        self._starting = asyncio.Lock()
        self._look_ups = LookUps(database)
        self._joining: asyncio.Task[int] | None = None
        self._reading = Background(self._read)
        self._position = 0
        self._ask_again_at = 0.0
        self._told = asyncio.Event()
        self._outage = Outage(logger, "the feed could not be read")
        database.listen(NUMBERED, self._told.set)

    @property
    def followers(self) -> int:
        """How many follow now."""
        return len(self._followers)

    @asynccontextmanager
    async def joined(
        self, interest: Interest = EVERYTHING, *, reader: int | None = None, key: int | None = None
    ) -> AsyncIterator[Follower]:
        """Hear of events from now on, while the block lasts: those that are asked for, but for the filter, and that an
        account may be told of, where there is one, by the API ``key`` that it follows by.

        Whether the account may read the thing itself is to be asked when it is read: memberships are looked up once for
        all followers, so that nobody pays for what happens in other people's projects.
        """
        follower = Follower(self, interest, reader, key)
        self._followers.add(follower)
        try:
            follower.begin(await self._start())
            yield follower
        finally:
            self._followers.discard(follower)

    async def judged(self, items: Sequence[Happening], reader: int | None, key: int | None = None) -> Told:
        """Those of some events that an account may be told of now."""
        moment = time.monotonic()
        if reader is not None and items:
            moment, facts = await self._look_ups.of(items, reader, key)
            items = [item for item in items if may_be_told(reader, key, item, facts)]
        return Told(items, moment, self, reader, key)

    async def stop(self) -> None:
        """End the reader, at shutdown."""
        await self._reading.end()

    async def _start(self) -> int:
        """Where the feed ends now. Those who come while others are being told so are told together, after them."""
        if self._joining is None:
            # of all of them, not in the time of the one who came first
            self._joining = asyncio.create_task(self._join(), context=Context())
        return await asyncio.shield(self._joining)

    async def _join(self) -> int:
        """Where the feed ends now; the reader runs from there, if it does not run already."""
        async with self._starting:
            self._joining = None  # for whoever comes from now on this one began too early
            # what has no position yet has happened before, and is not to be told now
            await number_all(self._database)
            end: int = await self._database.reads.scalar(END)
            if not self._reading.runs:
                self._position = end
                self._reading.begin()
            return end

    async def _read(self) -> None:
        while self._followers:  # asked once more after the listening has ended, for whoever came meanwhile
            async with self._database.hearing(NUMBERED):
                while self._followers:
                    await self._read_on()

    async def _read_on(self) -> None:
        self._told.clear()
        found = 0
        try:
            items = await self._next()
            found = len(items)
            await self._publish(items)
            self._outage.succeeded()
        except Exception as error:
            self._outage.failed(error)
            await asyncio.sleep(POLL_SECONDS)
        if found < BATCH:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll):
                    await self._told.wait()

    async def _next(self) -> Sequence[Happening]:
        rows: Sequence[Happening] = await self._database.reads.all(_AFTER(position=self._position))
        if not rows and self._may_wait() and await is_waiting(self._database):
            # whoever committed it numbers it, unless it is there no more
            async with self._database.writing() as session:
                await number_events(session)
        return rows

    def _may_wait(self) -> bool:
        """Whether to ask for events without a position. Where what is committed has its own, only a release before that
        one leaves such: it is asked once a second."""
        if self._database.planner.commits_in_order:
            if time.monotonic() < self._ask_again_at:
                return False
            self._ask_again_at = time.monotonic() + 1.0
        return True

    async def _publish(self, items: Sequence[Happening]) -> None:
        """Give events to those whom they concern. They count as read once that is known."""
        await self._make_room(len(items))
        moment = time.monotonic()
        facts = await self._facts(items)
        if items:
            self._position = items[-1].position
        for item in items:
            if turns.due():
                await turns.give()
            for follower in tuple(self._followers):
                if follower.concerns(item, facts) and not follower.hand(item, moment):
                    self._followers.discard(follower)

    async def _make_room(self, number: int) -> None:
        """Of much that happens at once, give the followers time to take what they were given before."""
        deadline = time.monotonic() + ROOM_SECONDS
        while number > TAKEN and time.monotonic() < deadline:
            if all(follower.has_room(number) for follower in self._followers):
                return
            await asyncio.sleep(ROOM_SECONDS / 20)

    async def _facts(self, items: Sequence[Happening]) -> Facts:
        """What says who of the followers may hear of what anybody wants to hear of; three statements at most for all of
        them."""
        asking = [follower for follower in self._followers if follower.reader is not None]
        wanted = [item for item in items if any(_wants(follower, item) for follower in asking)]
        readers = {follower.reader for follower in asking if follower.reader is not None}
        keys = {follower.key for follower in asking if follower.key is not None}
        return await look_up(self._database.reads, wanted, readers, keys)


def _wants(follower: Follower, item: Happening) -> bool:
    return follower.interest.concerns(item) or follower.ends_with(item)
