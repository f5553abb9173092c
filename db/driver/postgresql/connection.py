"""Running statements on a connection of psycopg's by libpq's own functions (``psycopg.pq``), one at a time.

psycopg makes a cursor, a query and a generator for every statement, and tells the event loop twice whom it waits for:
100 µs. Here the loop is told once for each connection; values go as text, whose type the statement's casts say, and
rows come back binary. What is rarer (connecting, cancelling, many sets of values) is psycopg's.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import InFailedSqlTransaction
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from core.deadlines import UNBOUNDED, DeadlinePassed
from db.driver.postgresql.exchange import (
    COMMIT_GRACE_SECONDS,
    COMMIT_SECONDS,
    GRACE_SECONDS,
    MARGIN_SECONDS,
    STATEMENT_SECONDS,
    ConnectionLost,
    Exchange,
)
from db.driver.sessions import Result

PREPARE_AFTER = 2
"""A statement that a connection has seen as often is prepared: PostgreSQL parses and, as a rule, plans it no more."""
MAX_PREPARED = 200
MAX_SEEN = 1_000
MANY = 500
"""Sets of values that are sent in a row; they may take as long together as one statement."""
# jit: compiling a statement takes longer than what it saves on the longest of ours (0.2 of 0.4 s);
# plan_cache_mode: planning takes longer than running (a list of 20: 310 µs with it, 86 without), and of a LIMIT that is
# a parameter PostgreSQL expects a tenth of all rows, so that by itself it plans such a statement each time;
# random_page_cost: what is read is in memory, or on an SSD: at 4, a hundred rows are not looked up, but all are read;
# client_connection_check_interval: a statement of a server that was killed ends, where PostgreSQL can tell (from 14)
_SET_UP = """
    SELECT set_config(name, value, false)
    FROM (VALUES ('jit', 'off'), ('plan_cache_mode', 'force_generic_plan'), ('random_page_cost', '1.1'),
        ('statement_timeout', $1), ('lock_timeout', $2),
        ('client_connection_check_interval', '1s'),
        ('idle_in_transaction_session_timeout', '60s'), ('TimeZone', 'UTC')) AS ours (name, value)
    JOIN pg_settings USING (name)
    WHERE name = 'TimeZone' OR source NOT IN ('client', 'user', 'database', 'database user')"""
"""How a connection begins: the settings that the URL, the role and the database say nothing of."""
_TIMELINE = """
    SELECT CASE WHEN NOT pg_is_in_recovery() THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END"""
_BINARY = 1
_STALE = frozenset({"0A000", "26000"})
"""What a prepared statement fails with when a migration has changed its tables, or somebody has forgotten it."""


class ServerLimits(NamedTuple):
    """What the server itself ends, in seconds; 0 for no limit."""

    statement: float = STATEMENT_SECONDS
    lock: float = 0.0

    def values(self) -> list[str]:
        """As PostgreSQL's settings."""
        return [f"{seconds * 1000:.0f}ms" for seconds in self]


UNLIMITED = ServerLimits()


class StaleStatement(psycopg.OperationalError):
    """A prepared statement that a migration has outdated, within a transaction, which has failed with it: another
    attempt succeeds."""

    sqlstate = "40001"


class PgConnection(Exchange):
    """A connection in autocommit. Raises psycopg's errors, ``ConnectionLost`` among them."""

    def __init__(self, connection: AsyncConnection[tuple[Any, ...]]) -> None:
        super().__init__(connection)
        self.generation = 0
        """For the pool: which of its generations the connection is of."""
        self.host = (connection.pgconn.host.decode(), connection.pgconn.port.decode())
        """Which of the hosts of the URL it leads to, and the port."""
        self.address = (connection.pgconn.hostaddr.decode() or self.host[0], self.host[1])
        """Where that is, as far as is known: of a name, the address; of a Unix socket, the folder."""
        self._adapt = Transformer(connection)
        self._prepared: OrderedDict[str, bytes] = OrderedDict()
        self._seen: dict[str, int] = {}
        self._names = 0

    @classmethod
    async def connect(cls, arguments: dict[str, Any], limits: ServerLimits = UNLIMITED) -> "PgConnection":
        """A new connection. Raises ``ConnectionLost`` where there is none to be had."""
        try:
            connection = await AsyncConnection.connect(**arguments, autocommit=True)
        except (psycopg.OperationalError, OSError) as error:
            raise ConnectionLost(str(error)) from error
        try:
            opened = cls(connection)
        except BaseException:
            connection.pgconn.finish()
            raise
        try:
            await opened.run(_SET_UP, limits.values())
            found = await opened.run(
                "SELECT extract(epoch FROM current_setting('statement_timeout')::interval)::float8"
            )
        except BaseException:
            opened.close()
            raise
        opened._limit = (found.rows[0][0] or STATEMENT_SECONDS) + MARGIN_SECONDS
        return opened

    async def timeline(self) -> int | None:
        """The timeline that a primary writes on: one more after each promotion. None for a standby, and where it is
        not told. https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-BACKUP"""
        try:
            found = await self.run(_TIMELINE)
        except ConnectionLost:
            raise
        except psycopg.Error:
            return None
        name: str | None = found.rows[0][0]
        return None if name is None else int(name, 16)

    async def run(self, sql: str, values: Sequence[Any] = ()) -> Result:
        """What a statement comes to, with values for ``$1``, ``$2`` and so on."""
        given = self._adapt.dump_sequence(values, [PyFormat.TEXT] * len(values)) if values else None
        name = await self._name(sql)
        try:
            return await self._run(sql, name, given)
        except psycopg.Error as error:
            if name is None or error.sqlstate not in _STALE:
                raise
            await self._forget(sql)
            if self._pg.transaction_status != TransactionStatus.IDLE:
                raise StaleStatement(str(error)) from error
            return await self._run(sql, None, given)

    async def run_all(self, statements: Sequence[tuple[str, Sequence[Any]]]) -> Result:
        """What the last of several statements comes to, which are sent in a row (libpq's pipeline mode).

        After one that fails, the others are not run.
        """
        names = [await self._name(sql) for sql, _ in statements]
        given = [
            self._adapt.dump_sequence(values, [PyFormat.TEXT] * len(values)) if values else None
            for _, values in statements
        ]
        self._begin()
        try:
            self._pg.enter_pipeline_mode()
            for (sql, _), name, values in zip(statements, names, given, strict=True):
                self._send(sql, name, values)
            self._pg.pipeline_sync()
        except psycopg.Error as error:
            raise self._lost(error) from error
        try:
            return self._result_of(await self._answered(), statements[-1][0])
        except psycopg.Error as error:
            if error.sqlstate in _STALE:
                for sql, _ in statements:
                    self._prepared.pop(sql, None)
                raise StaleStatement(str(error)) from error
            raise
        finally:
            self._leave_pipeline()

    async def commit(self, before: Sequence[tuple[str, Sequence[Any]]]) -> Result:
        """Commit, once the statements ``before`` have been run. Begun, it is ended, one way or the other, and soon."""
        self.work, self._grace = UNBOUNDED, COMMIT_GRACE_SECONDS
        limit, self._limit = self._limit, min(self._limit, COMMIT_SECONDS)
        try:
            result = await (self.run_all([*before, ("COMMIT", ())]) if before else self.run("COMMIT"))
        finally:
            self._limit = limit
        self._grace = GRACE_SECONDS
        return result

    async def run_many(self, sql: str, rows: Sequence[Sequence[Any]], *, returning: bool) -> Result:
        """What a statement comes to for each of many sets of values, sent in a row."""
        self._refuse_closed()
        found: list[Any] = []
        touched = 0
        self._loop.remove_reader(self._socket)  # psycopg waits by itself
        self._lent = True
        try:
            async with AsyncRawCursor(self._connection) as cursor:
                for start in range(0, len(rows), MANY):
                    timer = self._loop.call_later(self._limit, self._hang_up)
                    self._look_after()
                    left = self.work.left
                    try:
                        async with asyncio.timeout(left if left < self._limit else None):
                            await cursor.executemany(sql, rows[start : start + MANY], returning=returning)
                    except TimeoutError:
                        raise DeadlinePassed(self.work.seconds) from None
                    finally:
                        timer.cancel()
                    more = returning
                    while more:
                        found += await cursor.fetchall()
                        more = bool(cursor.nextset())
                    touched += max(cursor.rowcount, 0)
            return Result(found, len(found) if returning else touched)
        except BaseException as error:
            if self._pg.status != ConnStatus.OK and isinstance(error, psycopg.Error):
                raise self._lost(error) from error
            if not isinstance(error, psycopg.Error):
                self.close()  # psycopg has cancelled it; what else it was doing is not known
            raise
        finally:
            self._lent = False
            if not self._closed:
                self._loop.add_reader(self._socket, self._on_readable)

    async def _run(self, sql: str, name: bytes | None, given: Any) -> Result:
        self._begin()
        try:
            self._send(sql, name, given)
        except psycopg.Error as error:
            raise self._lost(error) from error
        return self._result_of(await self._answered(), sql)

    def _send(self, sql: str, name: bytes | None, given: Any) -> None:
        if name is None:
            self._pg.send_query_params(sql.encode(), given, result_format=_BINARY)
        else:
            self._pg.send_query_prepared(name, given, result_format=_BINARY)

    def _result_of(self, result: PGresult, sql: str) -> Result:
        if result.status != ExecStatus.TUPLES_OK:
            if sql == "COMMIT" and result.command_status == b"ROLLBACK":
                # to the server that is no error, where a statement has failed before (COMMIT, "Notes")
                raise InFailedSqlTransaction("COMMIT of a transaction in which a statement had failed")
            return Result((), result.command_tuples or 0)
        self._adapt.set_pgresult(result)
        return Result(self._adapt.load_rows(0, result.ntuples, tuple), result.command_tuples or 0)

    async def _name(self, sql: str) -> bytes | None:
        """What the statement is prepared as, if it is."""
        name = self._prepared.get(sql)
        if name is not None:
            self._prepared.move_to_end(sql)
        elif self._is_worth_preparing(sql):
            name = await self._prepare(sql)
        return name

    def _is_worth_preparing(self, sql: str) -> bool:
        if len(self._seen) >= MAX_SEEN:
            self._seen.clear()
        self._seen[sql] = times = self._seen.get(sql, 0) + 1
        return times > PREPARE_AFTER

    async def _prepare(self, sql: str) -> bytes:
        if len(self._prepared) >= MAX_PREPARED:
            await self._forget(next(iter(self._prepared)))
        self._names += 1
        name = b"t%d" % self._names
        self._begin()
        try:
            self._pg.send_prepare(name, sql.encode())
        except psycopg.Error as error:
            raise self._lost(error) from error
        await self._answered()
        self._prepared[sql] = name
        return name

    async def _forget(self, sql: str) -> None:
        """Deallocate a prepared statement; within a transaction that has failed, the server's copy stays."""
        name = self._prepared.pop(sql)
        if self._pg.transaction_status != TransactionStatus.INERROR:
            await self._run(f"DEALLOCATE {name.decode()}", None, None)
