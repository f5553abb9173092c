"""Running statements on a connection of psycopg's by libpq's own functions (``psycopg.pq``), one at a time.

psycopg makes a cursor, a query and a generator for every statement, and tells the event loop twice whom it waits for:
100 µs. Here the loop is told once for each connection; values go as text, whose type the statement's casts say, and
rows come back binary. What is rarer (connecting, many sets of values) is psycopg's.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from db.sessions import Result

PREPARE_AFTER = 2
"""A statement that a connection has seen as often is prepared: PostgreSQL parses and, as a rule, plans it no more."""
MAX_PREPARED = 200
MAX_SEEN = 1_000
_BINARY = 1
_DONE = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.EMPTY_QUERY, ExecStatus.PIPELINE_SYNC})
_STALE = frozenset({"0A000", "26000"})
"""What a prepared statement fails with when a migration has changed its tables, or somebody has forgotten it."""


class Wire:
    """A connection in autocommit. Raises psycopg's errors; one who is cancelled closes it."""

    def __init__(self, connection: AsyncConnection[tuple[Any, ...]]) -> None:
        self._connection = connection
        self._pg = connection.pgconn
        self._socket = self._pg.socket
        self._loop = asyncio.get_running_loop()
        self._adapt = Transformer(connection)
        self._prepared: OrderedDict[str, bytes] = OrderedDict()
        self._seen: dict[str, int] = {}
        self._names = 0
        self._results: list[PGresult] = []
        self._answer: asyncio.Future[None] | None = None
        self._closed = False
        self._loop.add_reader(self._socket, self._on_readable)

    @classmethod
    async def connect(cls, arguments: dict[str, Any]) -> "Wire":
        return cls(await AsyncConnection.connect(**arguments, autocommit=True))

    @property
    def closed(self) -> bool:
        return self._closed

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
                raise
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
        if self._closed:
            raise psycopg.OperationalError("the connection is closed")
        self._pg.enter_pipeline_mode()
        try:
            for (sql, _), name, values in zip(statements, names, given, strict=True):
                self._send(sql, name, values)
            self._pg.pipeline_sync()
            result = self._result_of(await self._answered())
        except psycopg.Error as error:
            if error.sqlstate in _STALE:
                for sql, _ in statements:
                    self._prepared.pop(sql, None)
            raise
        finally:
            if not self._closed:
                self._pg.exit_pipeline_mode()
        return result

    async def run_many(self, sql: str, rows: Sequence[Sequence[Any]], *, returning: bool) -> Result:
        """What a statement comes to for each of many sets of values, sent in a row."""
        found: list[Any] = []
        self._loop.remove_reader(self._socket)  # psycopg waits by itself
        try:
            async with AsyncRawCursor(self._connection) as cursor:
                await cursor.executemany(sql, rows, returning=returning)
                more = returning
                while more:
                    found += await cursor.fetchall()
                    more = bool(cursor.nextset())
                return Result(found, len(found) if returning else max(cursor.rowcount, 0))
        except BaseException as error:
            if not isinstance(error, psycopg.Error):
                self.close()  # what it is doing is not known
            raise
        finally:
            if self._pg.status != ConnStatus.OK:
                self.close()
            elif not self._closed:
                self._loop.add_reader(self._socket, self._on_readable)

    def close(self) -> None:
        """Close it, whatever it is doing."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._socket)
            self._pg.finish()

    async def _run(self, sql: str, name: bytes | None, given: Any) -> Result:
        if self._closed:
            raise psycopg.OperationalError("the connection is closed")
        self._send(sql, name, given)
        return self._result_of(await self._answered())

    def _send(self, sql: str, name: bytes | None, given: Any) -> None:
        if name is None:
            self._pg.send_query_params(sql.encode(), given, result_format=_BINARY)
        else:
            self._pg.send_query_prepared(name, given, result_format=_BINARY)

    def _result_of(self, result: PGresult) -> Result:
        if result.status != ExecStatus.TUPLES_OK:
            return Result((), result.command_tuples or 0)
        self._adapt.set_pgresult(result)
        return Result(self._adapt.load_rows(0, result.ntuples, tuple), result.command_tuples or 0)

    async def _answered(self) -> PGresult:
        """The result of what was sent. Raises where it is an error."""
        self._results = []
        self._answer = self._loop.create_future()
        try:
            while self._pg.flush():
                await self._writable()
            await self._answer
        except asyncio.CancelledError:
            self.close()  # nobody waits for it any more; what it is doing is not known
            raise
        finally:
            self._answer = None
        if not self._results or self._pg.status != ConnStatus.OK:
            message = self._pg.get_error_message()
            self.close()
            raise psycopg.OperationalError(message)
        for result in self._results:
            if result.status not in _DONE:
                raise error_from_result(result)
        return next(result for result in reversed(self._results) if result.status != ExecStatus.PIPELINE_SYNC)

    async def _writable(self) -> None:
        ready = asyncio.Event()
        self._loop.add_writer(self._socket, ready.set)
        try:
            await ready.wait()
        finally:
            self._loop.remove_writer(self._socket)

    def _on_readable(self) -> None:
        try:
            self._pg.consume_input()
            if self._answer is None:  # a notice, or the server's end
                if self._pg.status != ConnStatus.OK:
                    self.close()
                return
            while not self._pg.is_busy():
                result = self._pg.get_result()
                if result is not None:
                    self._results.append(result)
                # in a pipeline None ends one statement's results, and the mark that was sent last ends all
                last = ExecStatus.PIPELINE_SYNC if self._pg.pipeline_status else None
                if last == (result and result.status):
                    if not self._answer.done():
                        self._answer.set_result(None)
                    return
        except psycopg.Error as error:
            self.close()
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(error)

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
        if self._closed:
            raise psycopg.OperationalError("the connection is closed")
        self._pg.send_prepare(name, sql.encode())
        await self._answered()
        self._prepared[sql] = name
        return name

    async def _forget(self, sql: str) -> None:
        """Deallocate a prepared statement; within a transaction that has failed, the server's copy stays."""
        name = self._prepared.pop(sql)
        if self._pg.transaction_status != TransactionStatus.INERROR:
            self._pg.send_query_params(b"DEALLOCATE " + name, None)
            await self._answered()
