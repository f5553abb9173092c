"""What a test's database holds: to show that a refused call wrote nothing, and which events a change left."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import func, select

from db.driver.database import Database
from db.driver.sessions import AnyRow
from db.driver.statements import Bound, Prepared
from db.models import Base, Event
from services.events.consumers import catch_up
from services.events.notifier import CONSUMER
from services.events.numbering import number_all

# authentication writes when a credential was used, whatever becomes of the request
_LOGINS = {"sessions", "refresh_tokens", "api_keys"}
_TABLES = [table for table in Base.metadata.sorted_tables if table.name not in _LOGINS]
_COUNTS = select(*(select(func.count()).select_from(table).scalar_subquery() for table in _TABLES))
_NEWEST = [select(table).order_by(*(column.desc() for column in table.primary_key)).limit(30) for table in _TABLES]
# hundreds of tests ask twice
_READS: list[Bound[Any]] = [Prepared(statement)() for statement in (_COUNTS, *_NEWEST)]


@asynccontextmanager
async def unchanged(database: Database) -> AsyncIterator[None]:
    """Fails if the block adds, takes or changes a row: of each table, all are counted and the newest compared."""
    await number_all(database)  # which is done beside, and changes nothing that is told
    await catch_up(database, CONSUMER)  # as this is
    before = await _contents(database)
    yield
    assert await _contents(database) == before


async def _contents(database: Database) -> list[Any]:
    async with database.reading() as session:
        return [await session.all(statement) for statement in _READS]


@asynccontextmanager
async def new_events(database: Database) -> AsyncIterator[list[AnyRow]]:
    """Fills its list, when the block ends, with the rows of the events written in it, in order."""
    async with database.reading() as session:
        last = await session.scalar(select(func.max(Event.id))) or 0
    seen: list[AnyRow] = []
    yield seen
    async with database.reading() as session:
        seen.extend(await session.all(select(*Event.__table__.columns).where(Event.id > last).order_by(Event.id)))


def kinds(events: list[AnyRow]) -> list[str]:
    return [event.kind for event in events]
