"""Positions: the order in which events are told, which no event that commits later comes before.

Transactions commit out of order, so a follower that remembers the highest id would lose events. On PostgreSQL a
position is given after commit, by one process at a time. SQLite has one writer, whose transactions commit in the order
of their writing: there an event is written with its position, and what is numbered here was written by a release before
that.
"""

import asyncio
import logging

from sqlalchemy import func, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from core import turns
from db import advisory_locks, notifications
from db.driver.database import Database
from db.driver.sessions import Session
from db.models import Event
from services.shared.background import Background
from services.shared.outages import Outage

logger = logging.getLogger("tandem.numbering")

RECORDED = "events recorded"
"""What a transaction announces that records events (``Session.announce``)."""
NUMBERED = "events numbered"
"""What a transaction announces that gave them positions."""
BATCH = 1_000
GATHER_SECONDS = 0.01
"""How long events are waited for that get their positions together: so there are fewer transactions for it."""
BUSY_SECONDS = 0.01
"""How soon to look again where another process is about it."""
RETRY_SECONDS = 1.0
LOCK_KEY = 7_264_702

END = select(func.coalesce(func.max(Event.position), 0))
"""The last position that was given; 0 where there is none."""
_WAITING = select(Event.id).where(Event.position.is_(None)).limit(1)


async def number_events(session: Session, *, wait: bool = False) -> int | None:
    """Give positions to committed events that have none, in the order of their ids. Returns how many, a batch at most.

    Only one process does so at a time. Another that tries meanwhile waits for its turn, or returns None.
    """
    if wait:
        await advisory_locks.lock(session, LOCK_KEY)
    elif not await advisory_locks.try_lock(session, LOCK_KEY):
        return None
    first = select(Event.id).where(Event.position.is_(None)).order_by(Event.id).limit(BATCH).subquery()
    # after the lock, in a statement of its own: it sees what whoever had the lock before has committed
    ranked = select(
        first.c.id, (func.row_number().over(order_by=first.c.id) + END.scalar_subquery()).label("position")
    ).subquery()
    numbered = await session.execute(update(Event).where(Event.id == ranked.c.id).values(position=ranked.c.position))
    if numbered:
        session.announce(NUMBERED)
        await notifications.notify(session, NUMBERED)
    return numbered


async def number_all(database: Database) -> None:
    """Give a position to every event that has been committed when this begins."""
    numbered = BATCH
    while numbered == BATCH and await is_waiting(database):
        async with database.writing() as session:
            numbered = await number_events(session, wait=True) or 0
        await turns.give()


async def is_waiting(database: Database) -> bool:
    """Whether an event has no position yet."""
    return await database.reads.scalar(_WAITING) is not None


class Numberer:
    """One process's: it numbers what the process commits, a moment later. It does nothing while nothing happens.

    A process that ends between a commit and its numbering leaves that to the next one that commits anything, or that
    is asked for changes (``wake``).
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._due = False
        self._numbering = Background(self._run)
        self._outage = Outage(logger, "events could not be numbered")

    def start(self) -> None:
        """From now on; what others have left is numbered first."""
        if self._database.planner.commits_in_order:
            # what is committed has its positions
            self._database.listen(RECORDED, lambda: self._database.tell(NUMBERED))
        else:
            self._database.listen(RECORDED, self.wake)
        self._numbering.begin()

    def wake(self) -> None:
        """Have what waits numbered soon; after ``stop`` the next process that starts does it."""
        self._due = True
        if not self._numbering.ended:
            self._numbering.begin()

    async def stop(self) -> None:
        """Number no more, at shutdown."""
        await self._numbering.end()

    async def _run(self) -> None:
        if not self._due:
            try:
                waiting = await is_waiting(self._database)
            except (DBAPIError, PoolTimeout):
                waiting = False  # the next commit shows that there is a database again
            if waiting:  # and where not, there may have been a commit meanwhile
                self._due = True
        while self._due:
            self._due = False
            await asyncio.sleep(GATHER_SECONDS)
            try:
                await self._catch_up()
                self._outage.succeeded()
            except Exception as error:
                self._outage.failed(error)
                self._due = True
                await asyncio.sleep(RETRY_SECONDS)

    async def _catch_up(self) -> None:
        while True:
            async with self._database.writing() as session:
                numbered = await number_events(session)
            if numbered is None:
                # what it has found may not have had the last of ours yet
                await asyncio.sleep(BUSY_SECONDS)
                if not await is_waiting(self._database):
                    return
            elif numbered < BATCH:
                return
            else:
                await turns.give()
