"""Statements that wait for a lock in PostgreSQL take no turn from those that do not.

Somebody locks a table for a while, a migration or a person. Everything that reads it waits then, and soon every
connection would be taken by statements that wait. So, where others queue, PostgreSQL is asked what the statements that
are under way wait for. One that waits for a lock is set aside: its turn is given to somebody else, on a connection more
(up to as many again). While a table is known to be locked, what would read it waits without a connection, and what
would write it is refused where no more can be set aside. Those that wait for other locks, and cannot be set aside, have
``PATIENCE_SECONDS`` while others queue.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from contextvars import Context
from functools import lru_cache

import psycopg
from psycopg.errors import LockNotAvailable

from core.deadlines import Caller, Work
from db.driver.postgresql.connection import PgConnection
from db.driver.slots import Slots

logger = logging.getLogger("tandem.database")

LATE_SECONDS = 0.05
"""What takes longer may be waiting for a lock."""
SELDOM_SECONDS = 0.2
"""How often is asked when nothing is found."""
PATIENCE_SECONDS = 1.0
ANSWER_SECONDS = 2.0
_WAITING = """
    SELECT pid, CASE locktype WHEN 'relation' THEN (SELECT relname::text FROM pg_class WHERE oid = relation) END
    FROM pg_locks WHERE NOT granted AND pid = ANY ($1::integer[])"""
"""Which servers' processes wait for a lock; and for which table, if it is a table's."""


class SetAside:
    """The statements of one pool that wait for locks. Not used where nothing bounds how long they may (``seconds``)."""

    def __init__(
        self, slots: Slots, connect: Callable[[], Awaitable[PgConnection]], *, most: int, seconds: float, counted: bool
    ) -> None:
        """``counted``: a turn that is given away still counts to its caller's share, as where nobody knows beforehand
        what another one of his will wait for."""
        self.tables: frozenset[str] = frozenset()
        """Those that are known to be locked."""
        self._slots, self._connect = slots, connect
        self._most, self._seconds, self._counted = most, seconds, counted
        self._in_use: dict[PgConnection, Caller] = {}
        self._aside: dict[PgConnection, str | None] = {}
        """Connections whose turn was given away, and the table that each waits for."""
        self._patient: set[asyncio.Future[None]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._connection: PgConnection | None = None

    def begin(self, connection: PgConnection, caller: Caller) -> None:
        """A connection is used, in somebody's turn."""
        self._in_use[connection] = caller

    def end(self, connection: PgConnection | None, caller: Caller) -> None:
        """It is used no more: the turn is over, if it was not given away before."""
        if connection is not None:
            self._in_use.pop(connection, None)
            if connection in self._aside:
                del self._aside[connection]
                self._look_at_tables()
                if self._counted:
                    self._slots.settle(caller)
                return
        self._slots.release(caller)

    def forget(self, connection: PgConnection) -> None:
        """It is of no use; its turn is still somebody's."""
        self._in_use.pop(connection, None)

    def concerns(self, sql: str) -> bool:
        """Whether a statement names a table that is known to be locked."""
        return any(_names(sql, table) for table in self.tables)

    async def wait(self, sql: str, work: Work) -> None:
        """Until no table that a statement names is known to be locked. Raises as PostgreSQL does after that long."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._seconds
        while self.concerns(sql):
            freed = loop.create_future()
            self._patient.add(freed)
            try:
                async with asyncio.timeout(max(min(until - loop.time(), work.left), 0)):
                    await freed
            except TimeoutError:
                work.check()
                raise LockNotAvailable("a table is locked") from None
            finally:
                self._patient.discard(freed)

    def go_aside(self, connection: PgConnection, sql: str) -> None:
        """Give the turn away before a statement of a transaction that would have to wait. Raises as PostgreSQL does
        where that cannot be."""
        table = next((table for table in self.tables if _names(sql, table)), None)
        if table is not None and connection not in self._aside and not self._set_aside(connection, table):
            raise LockNotAvailable("a table is locked, and enough wait for it")

    def watch(self) -> None:
        """Somebody waits for a turn: look whether one is held by somebody who waits himself."""
        if self._watching is None and self._seconds:
            self._watching = asyncio.create_task(self._watch(), context=Context())

    async def close(self) -> None:
        """Watch no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait((self._watching,))
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _watch(self) -> None:
        seconds = LATE_SECONDS
        try:
            while self._slots.waiting or self._aside or self._patient:
                await asyncio.sleep(seconds)
                seconds = min(2 * seconds, SELDOM_SECONDS)
                late = {connection.pid: connection for connection in self._in_use if connection.lasted > LATE_SECONDS}
                if await self._look_at(late):
                    seconds = LATE_SECONDS
                self._look_at_tables()
        except (psycopg.Error, OSError, TimeoutError) as error:
            logger.warning("what statements wait for could not be asked", exc_info=error)
        finally:
            self._watching = None
            if self._connection is not None and (self._connection.busy or self._connection.closed):
                self._connection.close()
                self._connection = None

    async def _look_at(self, late: dict[int, PgConnection]) -> bool:
        """Set aside those that wait for a lock; whether there were any."""
        waiting: dict[int, str | None] = {}
        if late:
            async with asyncio.timeout(ANSWER_SECONDS):
                if self._connection is None:
                    self._connection = await self._connect()
                waiting = dict((await self._connection.run(_WAITING, (list(late),))).rows)
        found = False
        for connection in [*self._aside]:
            if connection.pid not in waiting:
                self._aside[connection] = None
        for pid, table in waiting.items():
            connection = late[pid]
            if connection in self._aside:
                self._aside[connection] = table
            elif connection in self._in_use and connection.lasted > LATE_SECONDS:  # still, after the asking
                found |= self._set_aside(connection, table)
                if connection not in self._aside and self._slots.waiting and connection.lasted > PATIENCE_SECONDS:
                    connection.give_up(LockNotAvailable("others wait for a turn, and enough wait for locks"))
        return found

    def _set_aside(self, connection: PgConnection, table: str | None) -> bool:
        caller = self._in_use[connection]
        theirs = sum(self._in_use[other] == caller for other in self._aside)
        if len(self._aside) >= self._most or (caller is not None and theirs >= self._slots.share):
            return False
        self._aside[connection] = table
        self._look_at_tables()
        if self._counted:
            self._slots.lend()
        else:
            self._slots.release(caller)
        return True

    def _look_at_tables(self) -> None:
        before, self.tables = self.tables, frozenset(table for table in self._aside.values() if table is not None)
        if before - self.tables:
            for freed in self._patient:
                if not freed.done():
                    freed.set_result(None)


@lru_cache(maxsize=1_000)
def _names(sql: str, table: str) -> bool:
    return re.search(rf"\b{re.escape(table)}\b", sql) is not None
