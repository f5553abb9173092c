"""Waiting for locks of others for so long, and no longer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from db.driver.sessions import Session
from db.errors import is_lock_timeout


class LockTimeout(Exception):
    """Others held a lock for too long. The transaction has failed."""


@asynccontextmanager
async def lock_timeout(session: Session, seconds: int) -> AsyncIterator[None]:
    """Within the block, statements of a transaction wait at most so long for each lock.

    Raises ``LockTimeout``. SQLite's one writer waits for nobody: it has no such bound.
    """
    if session.dialect != "postgresql":
        yield
        return
    await session.execute(select(func.set_config("lock_timeout", f"{seconds}s", True)))
    try:
        yield
    except DBAPIError as error:
        if is_lock_timeout(error):
            raise LockTimeout from error
        raise
    await session.execute(select(func.set_config("lock_timeout", "0", True)))
