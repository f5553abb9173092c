"""What processes tell one another through the database (PostgreSQL's NOTIFY); on SQLite nothing is told."""

from sqlalchemy import String, bindparam, func, select

from db.driver.sessions import Session
from db.driver.statements import Prepared

_NOTIFY = Prepared(select(func.pg_notify(bindparam("channel", type_=String), "")))


async def notify(session: Session, channel: str) -> None:
    """Once the transaction is committed, tell every process that hears the channel (``Database.hear``).

    Commits that notify wait for one another in the whole server: it is for transactions of which there are few.
    """
    if session.dialect == "postgresql":
        await session.execute_deferred(_NOTIFY, [{"channel": channel}])
