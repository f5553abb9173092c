"""What keeps a database in order, whatever is written to it: statistics, search indexes, room on the disk."""

import os
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, select, text

from db.driver.database import Database
from db.text_search import SEARCH_INDEXES

_ANALYZE = {
    "sqlite": (
        # all at once what the server else merges bit by bit (``db/driver/sqlite/maintenance.py``)
        *[f"INSERT INTO {name} ({name}, rank) VALUES ('merge', 1000000)" for name in SEARCH_INDEXES],  # noqa: S608 - ours
        "PRAGMA analysis_limit = 1000",
        "ANALYZE",
    ),
    "postgresql": (
        # what searches would have to read through until the next VACUUM
        """SELECT gin_clean_pending_list(pg_class.oid) FROM pg_class JOIN pg_am ON pg_am.oid = relam
    WHERE amname = 'gin' AND pg_has_role(relowner, 'USAGE')
    AND relnamespace = current_schema()::regnamespace""",
        "ANALYZE",
    ),
}


async def analyze(database: Database) -> None:
    """Tidy up after much was written at once: the planner is told what the tables hold, else it may guess wrong by far,
    and the search indexes are merged."""
    async with database.writing() as session:
        session.takes_long()
        for statement in _ANALYZE[database.dialect]:
            await session.execute(text(statement))


def free_disk_bytes(database: Database) -> int | None:
    """How many bytes the disk has left for the database; None where that is not to be known from here."""
    if database.dialect != "sqlite":
        return None
    try:
        disk = os.statvfs(Path(database.url.database or "").absolute().parent)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


async def server_time(database: Database) -> datetime | None:
    """The time by the database's own clock, in UTC; None where it has none but this machine's."""
    if database.dialect == "sqlite":
        return None
    there: datetime = await database.reads.scalar(select(func.now()))
    return there.astimezone(UTC)
