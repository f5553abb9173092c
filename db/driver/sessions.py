"""The sessions that services are given: statements in, rows out."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple, Protocol, TypeVar, cast, overload

from sqlalchemy import ColumnElement, Executable, Row, Select, func, select
from sqlalchemy.exc import DBAPIError

from db.driver.dialects import DialectName
from db.driver.planners import PLANNERS
from db.driver.statements import Bound, Command, Commands, Compiler, MakeRows, Prepared, Statement, Together

logger = logging.getLogger("tandem.database")

R = TypeVar("R", bound=tuple[Any, ...])
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
AnySelect = Select[*tuple[Any, ...]]
AnyRow = Row[*tuple[Any, ...]]
AnyColumn = ColumnElement[Any]
"""A column, or what is computed of some, whose type depends on what it stands for."""
Observe = Callable[[str], None]
Listeners = Mapping[str, Sequence[Callable[[], None]]]
"""Who is told, by topic."""
Written = Executable | Bound[Any] | Prepared[Any]
"""What a transaction runs; a prepared statement by itself takes its values from ``rows``."""


class Result(NamedTuple):
    """What a statement came to: the rows as the driver makes them, and how many it touched."""

    rows: Sequence[tuple[Any, ...]]
    touched: int


class Reader(Protocol):
    """Runs statements that only read, each for itself.

    Raises ``DBAPIError``, ``TimeoutError`` of the pool, and ``DeadlinePassed`` where the work in hand has no time left.
    """

    async def run(self, command: Command) -> Sequence[tuple[Any, ...]]:
        """The rows as the driver makes them."""
        ...

    def version(self) -> Hashable:
        """What is another one after whatever anybody, in any process, has committed since; None where nobody knows.
        To be asked before what is read."""
        ...

    async def close(self) -> None: ...


class Transaction(Protocol):
    """A transaction that has begun, for the work in hand. Raises ``DBAPIError``, ``DeadlinePassed``."""

    async def run(self, command: Command) -> Result: ...

    async def execute_deferred(self, command: Command) -> None:
        """Run a statement of which only an error is of interest, by the next one at the latest, or COMMIT."""
        ...

    async def run_many(self, commands: Commands) -> Result:
        """One statement for many sets of values; the rows of all of them."""
        ...

    async def commit(self) -> None:
        """Keep what was written, if there is still time; once begun, it is not given up for lack of it."""
        ...

    async def end(self) -> None:
        """Take back what was not committed, and give the connection back."""
        ...


class Writer(Protocol):
    """Begins transactions. Raises as ``Reader`` does."""

    async def begin(self, *, long: bool = False) -> Transaction:
        """A transaction; one that takes ``long`` is kept apart from those that do not, where that matters."""
        ...

    async def close(self) -> None: ...


class Session:
    """One unit of work, as services see it. What one for reads cannot do stays as it is here, and raises."""

    __slots__ = ("dialect", "known", "planner")

    def __init__(self, dialect: DialectName, known: MutableMapping[Hashable, Any]) -> None:
        self.dialect = dialect
        self.planner = PLANNERS[dialect]
        self.known = known
        """What was found out about the database and may be forgotten at any time: all sessions of it share that."""

    @overload
    async def all(self, statement: Bound[R]) -> Sequence[R]: ...

    @overload
    async def all(self, statement: Together[R]) -> Sequence[R]: ...

    @overload
    async def all(self, statement: Prepared[R], rows: Parameters) -> Sequence[R]: ...

    @overload
    async def all(self, statement: Executable, rows: Parameters = None) -> Sequence[AnyRow]: ...

    async def all(self, statement: Any, rows: Parameters = None) -> Sequence[Any]:
        """Every row; with ``rows``, of an INSERT … RETURNING of them, in any order."""
        raise NotImplementedError

    @overload
    async def first(self, statement: Bound[R]) -> R | None: ...

    @overload
    async def first(self, statement: Executable) -> AnyRow | None: ...

    async def first(self, statement: Any) -> Any:
        rows = await self.all(statement)
        return rows[0] if rows else None

    async def one(self, statement: Statement) -> AnyRow:
        """The only row, as of an INSERT … RETURNING. Raises ``ValueError`` where there is another number of them."""
        [row] = await self.all(cast(Executable, statement))
        return row

    async def scalar(self, statement: Statement) -> Any:
        """The first column of the first row; None where there is no row."""
        rows = await self.all(cast(Executable, statement))
        return rows[0][0] if rows else None

    async def scalars(self, statement: Statement) -> Sequence[Any]:
        """The first column of every row."""
        return [row[0] for row in await self.all(cast(Executable, statement))]

    async def count(self, statement: AnySelect) -> int:
        """How many rows a statement would answer."""
        return int(await self.scalar(select(func.count()).select_from(statement.order_by(None).subquery())))

    async def execute(self, statement: Written, rows: Parameters = None) -> int:
        """Run a statement for its effect; with ``rows``, once for each. Returns the number of rows it touched."""
        raise NotImplementedError

    async def execute_deferred(self, statement: Prepared[Any], rows: Sequence[Mapping[str, Any]]) -> None:
        """As ``execute``, where nobody waits for what comes of it: an error may come with a later statement, or when
        the transaction is committed. PostgreSQL is sent it together with those: a round trip less."""
        raise NotImplementedError

    def takes_long(self) -> None:
        """Say, before the first statement, that the transaction may take long: on SQLite, where transactions that wait
        for one another are committed together, nobody's answer waits for it."""

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Have something done once the transaction is committed, in order, and before anybody is answered.

        Nothing is done after a rollback, nor for what a dry run takes back. An exception is logged and undoes
        nothing. It is also done where the caller is cancelled during COMMIT, which may be carried out or not. For a
        transaction.
        """
        raise NotImplementedError

    def announce(self, topic: str) -> None:
        """Have those who listen on the database for a topic told once the transaction is committed."""
        raise NotImplementedError

    def dry_run(self) -> AbstractAsyncContextManager[None]:
        """What is written in the block is taken back at its end (SAVEPOINT). For a transaction."""
        raise NotImplementedError


class ReadingSession(Session):
    """Reads: each statement for itself, on whatever connection is free, so nothing is to be closed."""

    __slots__ = ("_compiler", "_observers", "_reader")

    def __init__(
        self,
        dialect: DialectName,
        known: MutableMapping[Hashable, Any],
        reader: Reader,
        compiler: Compiler,
        observers: Sequence[Observe],
    ) -> None:
        super().__init__(dialect, known)
        self._reader, self._compiler, self._observers = reader, compiler, observers

    async def all(self, statement: Any, rows: Parameters = None) -> Sequence[Any]:
        if rows is not None:
            raise TypeError("a reading session writes nothing")
        command = self._compiler.command(statement)
        for observe in self._observers:
            observe(command.sql)
        return command.make_rows(await self._reader.run(command))


class WritingSession(Session):
    """A transaction. It is begun by the first statement, so that input that is refused before it costs the database
    nothing."""

    __slots__ = ("_afterwards", "_compiler", "_listeners", "_long", "_observers", "_transaction", "_writer")

    def __init__(
        self,
        dialect: DialectName,
        known: MutableMapping[Hashable, Any],
        writer: Writer,
        compiler: Compiler,
        observers: Sequence[Observe],
        listeners: Listeners,
    ) -> None:
        super().__init__(dialect, known)
        self._writer, self._compiler, self._observers, self._listeners = writer, compiler, observers, listeners
        self._transaction: Transaction | None = None
        self._long = False
        self._afterwards: list[Callable[[], None]] = []

    def takes_long(self) -> None:
        self._long = True

    async def all(self, statement: Any, rows: Parameters = None) -> Sequence[Any]:
        result, make_rows = await self._run(statement, rows)
        return make_rows(result.rows)

    async def execute(self, statement: Written, rows: Parameters = None) -> int:
        return (await self._run(statement, rows))[0].touched

    async def execute_deferred(self, statement: Prepared[Any], rows: Sequence[Mapping[str, Any]]) -> None:
        if len(rows) != 1:
            await self._run(statement, rows)
            return
        transaction = self._transaction or await self._begin()
        command = self._compiler.command(statement, rows[0])
        self._observe(command.sql)
        await transaction.execute_deferred(command)

    def after_commit(self, callback: Callable[[], None]) -> None:
        self._afterwards.append(callback)

    def announce(self, topic: str) -> None:
        self._afterwards.extend(self._listeners.get(topic, ()))

    @asynccontextmanager
    async def dry_run(self) -> AsyncIterator[None]:
        await self._run_sql("SAVEPOINT dry_run")
        announced = len(self._afterwards)
        failed = False
        try:
            yield
        except DBAPIError:
            # the transaction is of no use any more, or gone already with its savepoints (SQLite, on a full disk)
            failed = True
            raise
        finally:
            del self._afterwards[announced:]
            if not failed:
                await self._run_sql("ROLLBACK TO SAVEPOINT dry_run")
                await self._run_sql("RELEASE SAVEPOINT dry_run")

    async def commit(self) -> None:
        """Keep what was written. For those who own the unit of work; services never commit."""
        if self._transaction is not None:
            try:
                await self._transaction.commit()
            except asyncio.CancelledError:
                self._follow_up()  # nobody waits, and yet it may be kept: who has to know of it is told
                raise
        self._follow_up()

    def _follow_up(self) -> None:
        for callback in self._afterwards:
            try:
                callback()
            except Exception:
                logger.exception("what was to follow a commit failed; the commit stands")

    async def close(self) -> None:
        """Give the connection back, without what was not committed."""
        if self._transaction is not None:
            transaction, self._transaction = self._transaction, None
            await transaction.end()

    async def _run(self, statement: Any, rows: Parameters) -> tuple[Result, MakeRows]:
        transaction = self._transaction or await self._begin()
        if rows is None or isinstance(rows, Mapping) or len(rows) == 1:
            row = rows if rows is None or isinstance(rows, Mapping) else rows[0]
            command = self._compiler.command(statement, row)
            self._observe(command.sql)
            return await transaction.run(command), command.make_rows
        commands = self._compiler.commands(statement, rows)
        self._observe(commands.sql)
        return await transaction.run_many(commands), commands.make_rows

    async def _run_sql(self, sql: str) -> None:
        await (self._transaction or await self._begin()).run(Command(sql, (), list))

    async def _begin(self) -> Transaction:
        self._transaction = transaction = await self._writer.begin(long=self._long)
        return transaction

    def _observe(self, sql: str) -> None:
        for observe in self._observers:
            observe(sql)
