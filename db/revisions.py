"""The versions of the schema that this program knows: those of the migrations that it comes with."""

import re
from pathlib import Path

from sqlalchemy import column, false, select, table, text
from sqlalchemy import delete as sql_delete
from sqlalchemy import update as sql_update

from db.driver.sessions import Session
from db.models import IdempotencyKey

_MIGRATIONS = Path(__file__).parent / "migrations" / "versions"
_REVISION = re.compile(r'^revision = "(\d{4})"$', re.MULTILINE)
# read as text: Alembic, which runs them, need not be loaded to know them
REVISIONS = tuple(sorted(_REVISION.findall("".join(path.read_text("utf-8") for path in _MIGRATIONS.glob("*.py")))))
"""Oldest first."""
NEWEST = REVISIONS[-1]

_VERSIONS = table("alembic_version", column("version_num"))


async def current(session: Session) -> str | None:
    """The revision that the database is at; None where it was never migrated. Raises ``DBAPIError``."""
    found: str | None = await session.scalar(select(_VERSIONS.c.version_num))
    return found


def suffices(revision: str | None) -> bool:
    """Whether the program can work with a database at a revision: the newest it knows, or one that is newer still.

    A release is migrated to while servers of the one before it run.
    """
    return revision is not None and revision not in REVISIONS[:-1]


async def write(session: Session) -> None:
    """Write something of which nothing stays, to prove that the database takes it.

    Raises ``DBAPIError``, at the latest when the transaction is committed.
    """
    if session.dialect == "sqlite":
        await session.execute(sql_update(_VERSIONS).values(version_num=_VERSIONS.c.version_num))
        return
    await session.execute(sql_delete(IdempotencyKey).where(false()))  # what is read-only refuses to
    # a transaction with a number of its own is written to the disk
    await session.scalar(text("SELECT pg_current_xact_id()::text"))
