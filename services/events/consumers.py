"""Who reads the feed for the server: consumers, each with a name and a cursor in the database.

What a consumer makes of events is written in the transaction that moves its cursor: either both are kept, or neither,
so each event is consumed once, whichever process does it and whenever that ends. One process at a time reads for a
consumer; it holds the cursor's row, and others pass by.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy import update as sql_update

from core import turns
from core.clock import now
from db.driver.database import Database
from db.driver.sessions import AnyRow, Session
from db.driver.statements import Prepared
from db.models import Event, EventConsumer
from db.upserts import insert_or_ignore
from services.events.happenings import COLUMNS, Happening
from services.events.numbering import END, is_waiting, number_events
from services.shared.statements import parameter

BATCH = 500
"""Events of one transaction."""

RETENTION = "retention"
"""The name of the cursor that is where the feed begins: what stands before it may be gone."""
FLOOR = select(EventConsumer.position).where(EventConsumer.name == RETENTION)
_AT = Prepared(select(EventConsumer.position).where(EventConsumer.name == parameter("name")))
_HOLD = Prepared(
    select(EventConsumer.position).where(EventConsumer.name == parameter("name")).with_for_update(skip_locked=True)
)
_HOLD_IN_TURN = Prepared(
    select(EventConsumer.position).where(EventConsumer.name == parameter("name")).with_for_update()
)
_NEW: Prepared[AnyRow] = Prepared(insert_or_ignore(EventConsumer), keys=["name", "position", "updated_at"])
_MOVE = Prepared(
    sql_update(EventConsumer)
    .where(EventConsumer.name == parameter("called"))
    .values(position=parameter("until"), updated_at=parameter("moment"))
)
_NEXT = Prepared(
    select(*COLUMNS, Event.id.label("row_id"))
    .where(Event.position > parameter("after"))
    .order_by(Event.position)
    .limit(BATCH)
)
_END = Prepared(END)


@dataclass(frozen=True, slots=True)
class Consumer:
    """Somebody who reads the feed.

    ``wanted`` answers the position behind which there is something to tell, or None where nobody wants to know of
    anything: the feed is not read for it then. ``take`` is given events in order, with the ``id`` of each one's row.
    ``gather_seconds`` is how long events are waited for that are taken together: on SQLite each time is a transaction
    among those of the requests.

    Where it has a ``plan``, that is given the events before anything is held, and asks what may take long: SQLite has
    one writer, who would keep all others waiting meanwhile. ``take`` is given what it answers, and raises ``Outdated``
    where that does not hold any more: then it is all done again.
    """

    name: str
    wanted: Callable[[Session], Awaitable[int | None]]
    take: Callable[[Session, Any], Awaitable[None]]
    gather_seconds: float = 0.0
    plan: "Plan | None" = None


class Outdated(Exception):
    """What was planned does not hold any more."""


@dataclass(frozen=True, slots=True)
class Taken:
    """An event, with the ``id`` of its row."""

    happening: Happening
    row_id: int


Plan = Callable[[Session, Sequence[Taken]], Awaitable[Any]]
"""What a consumer asks before it takes events."""


async def register(database: Database, consumer: Consumer) -> None:
    """Give a new consumer a cursor before the first event: where it begins is said by what it ``wanted``."""
    if await database.reads.scalar(_AT(name=consumer.name)) is None:
        async with database.writing() as session:
            await session.execute(_NEW, {"name": consumer.name, "position": 0, "updated_at": now()})


async def consume(database: Database, consumer: Consumer, *, wait: bool = False) -> bool | None:
    """Have a consumer take what comes next, a batch at most. Returns whether there may be more, or None where nobody
    wants to know. Where another process is about it, that one's turn is over first where it is to ``wait``."""
    since = await consumer.wanted(database.reads)
    if since is None:
        return None
    position = await database.reads.scalar(_AT(name=consumer.name))
    end = await database.reads.scalar(_END())
    if position is None or end <= max(position, since):
        if await is_waiting(database):
            # whoever committed it numbers it, unless it is there no more
            async with database.writing() as session:
                await number_events(session)
        return False
    if consumer.plan is not None:
        return await _consume_as_planned(database, consumer, consumer.plan, position, max(position, since), wait=wait)
    async with database.writing() as session:
        position = await session.scalar((_HOLD_IN_TURN if wait else _HOLD)(name=consumer.name))
        if position is None:
            return False  # another process is about it, and is told of what comes as this one is
        rows = await session.all(_NEXT(after=max(position, since)))
        if not rows:
            return False
        await consumer.take(session, _taken(rows))
        await session.execute(_MOVE(called=consumer.name, until=rows[-1].position, moment=now()))
    return len(rows) == BATCH


async def _consume_as_planned(
    database: Database, consumer: Consumer, plan: Plan, position: int, after: int, *, wait: bool
) -> bool:
    """As ``consume``, of what comes behind a position; the cursor stood at ``position``."""
    rows = await database.reads.all(_NEXT(after=after))
    if not rows:
        return False
    planned = await plan(database.reads, _taken(rows))
    try:
        async with database.writing() as session:
            held = await session.scalar((_HOLD_IN_TURN if wait else _HOLD)(name=consumer.name))
            if held is None:
                return False  # another process is about it
            if held != position:
                return True  # another process has been about it
            await consumer.take(session, planned)
            await session.execute(_MOVE(called=consumer.name, until=rows[-1].position, moment=now()))
    except Outdated:
        return True
    return len(rows) == BATCH


def _taken(rows: Sequence[Any]) -> Sequence[Taken]:
    return [Taken(Happening._make(row[:-1]), row[-1]) for row in rows]


async def hold_in_turn(session: Session, consumer: Consumer) -> None:
    """Let nobody read for a consumer until the transaction ends. Whoever does so now has his turn first."""
    if await session.scalar(_HOLD_IN_TURN(name=consumer.name)) is None:
        await session.execute(_NEW, {"name": consumer.name, "position": 0, "updated_at": now()})
        await session.scalar(_HOLD_IN_TURN(name=consumer.name))


async def catch_up(database: Database, consumer: Consumer) -> None:
    """Have a consumer take every event that has its position when this begins."""
    await register(database, consumer)
    while await consume(database, consumer, wait=True):
        await turns.give()


async def still_needed(session: Session, some: Sequence[Consumer]) -> int | None:
    """The position behind which events are still to be taken by one of some consumers; None where no one wants any."""
    found: int | None = None
    for consumer in some:
        since = await consumer.wanted(session)
        if since is not None:
            reached = max(since, await session.scalar(_AT(name=consumer.name)) or 0)
            found = reached if found is None else min(found, reached)
    return found


async def floor(session: Session) -> int:
    """The position where the feed begins: what stands before it may be gone, and 0 while nothing is."""
    return await session.scalar(_AT(name=RETENTION)) or 0


async def raise_floor(session: Session, position: int) -> None:
    """Have the feed begin at a position."""
    if not await session.execute(_MOVE(called=RETENTION, until=position, moment=now())):
        await session.execute(insert(EventConsumer).values(name=RETENTION, position=position, updated_at=now()))
