"""The versions of the schema that this program knows, oldest first; a test holds them to the migrations."""

from sqlalchemy import column, false, select, table, text
from sqlalchemy import delete as sql_delete
from sqlalchemy import update as sql_update

from db.models import IdempotencyKey
from db.sessions import Session

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009")
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
