"""How long the feed goes back, and what becomes of events then.

Retention ends the feed, not the history: whoever reads on from a position that lies further back is told to begin anew
(``ResyncRequired``), as nothing before the feed's beginning is promised any more. Of those events the rows are deleted
that nobody reads otherwise: the history of a task stays as long as the task, what concerns an account as long as the
account's security events are kept. What a consumer has still to take stays, however old it is.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, exists, literal, or_, select
from sqlalchemy import delete as sql_delete

from core import turns
from db.driver.database import Database
from db.driver.statements import Prepared
from db.models import Event, Task
from services.events import consumers
from services.events.consumers import Consumer
from services.shared.statements import parameter

BATCH = 1_000
"""Events that are looked at in one transaction."""

_OLD = Prepared(
    select(Event.position, Event.occurred_at)
    .where(Event.position > parameter("floor"))
    .order_by(Event.position)
    .limit(BATCH)
)
_DELETE = Prepared(
    sql_delete(Event).where(
        Event.position >= parameter("floor"),
        # the last one stays: positions go on from it, and whoever has read as far misses nothing
        Event.position < parameter("until"),
        Event.account_id.is_(None),
        or_(Event.task_id.is_(None), ~exists(select(literal(1)).where(and_(Task.id == Event.task_id)))),
    )
)


async def purge(database: Database, before: datetime, needed_by: Sequence[Consumer] = ()) -> int:
    """Have the feed begin at what happened after an instant, or at what one of some consumers has taken last. Returns
    how many rows were deleted.

    A thousand events are a transaction, so that nobody waits for long.
    """
    deleted = 0
    while True:
        async with database.writing() as session:
            floor = await consumers.floor(session)
            rows = await session.all(_OLD(floor=floor))
            needed = await consumers.still_needed(session, needed_by)
            rows = [row for row in rows if needed is None or row.position <= needed]
            old = [row.position for row in rows if row.occurred_at < before]
            if not old:
                return deleted
            # what is younger than what follows it stays where it is
            until = next((row.position for row in rows if row.occurred_at >= before), old[-1] + 1) - 1
            until = max((position for position in old if position <= until), default=0)
            if not until:
                return deleted
            deleted += await session.execute(_DELETE(floor=floor, until=until))
            await consumers.raise_floor(session, until)
        if len(rows) < BATCH:
            return deleted
        await turns.give()
