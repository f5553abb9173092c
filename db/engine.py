"""Engines for both databases, and the sessions that services are given."""

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal, Protocol, TypeVar, cast, overload

from sqlalchemy import (
    URL,
    CursorResult,
    Executable,
    FromClause,
    Row,
    Select,
    event,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from db.sqlite import SqliteReader
from db.sqlite_writer import connect
from db.statements import Bound, Command, Compiler, Statement

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
AnySelect = Select[*tuple[Any, ...]]
AnyRow = Row[*tuple[Any, ...]]
R = TypeVar("R", bound=tuple[Any, ...])
DialectName = Literal["sqlite", "postgresql"]


class Reader(Protocol):
    """Runs statements that only read, each for itself. Raises ``DBAPIError``, and ``TimeoutError`` of the pool."""

    async def run(self, command: Command) -> Sequence[tuple[Any, ...]]:
        """The rows as the driver makes them."""
        ...

    async def close(self) -> None: ...


_SEVERAL_HOSTS = re.compile(
    r"(?P<before>postgresql://(?:[^/@]*@)?)(?P<hosts>[^/@?,]+(?:,[^/@?,]+)+)(?P<after>(?:[/?].*)?)"
)


def normalise_url(url: str) -> URL:
    """The URL as users write it, with the driver this server uses.

    ``sqlite:///file`` and ``postgresql://…`` (or ``postgres://…``, with several hosts too) work unchanged. Raises
    ``ValueError`` for another database, and for SQLite in memory, which several connections cannot share.
    """
    if url.startswith("postgres://"):
        url = url.replace("postgres://", "postgresql://", 1)
    hosts: tuple[str, ...] = ()
    if (match := _SEVERAL_HOSTS.fullmatch(url)) is not None and ":" in match["hosts"]:
        # libpq's own form; SQLAlchemy wants the hosts in the query
        hosts = tuple(host if ":" in host else f"{host}:5432" for host in match["hosts"].split(","))
        url = match["before"] + match["after"]
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("DATABASE_URL is no URL: use sqlite:///… or postgresql://…") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or ":memory:" in parsed.database:
            raise ValueError("DATABASE_URL: SQLite needs a file, e.g. sqlite:///./tandem.db")
        return parsed.set(drivername="sqlite+aiosqlite")
    if backend == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        return parsed.update_query_dict({"host": hosts}) if hosts else parsed
    raise ValueError(f"DATABASE_URL: {backend} is not supported; use sqlite:///… or postgresql://…")


_ANALYZE_SQLITE = ("PRAGMA analysis_limit = 1000", "ANALYZE")
_ANALYZE_POSTGRESQL = (
    # what searches would have to read through until the next VACUUM
    """SELECT gin_clean_pending_list(pg_class.oid) FROM pg_class JOIN pg_am ON pg_am.oid = relam
    WHERE amname = 'gin' AND pg_has_role(relowner, 'USAGE')
    AND relnamespace = current_schema()::regnamespace""",
    "ANALYZE",
)


class Session:
    """One unit of work, as services see it: statements in, rows out."""

    __slots__ = ("dialect",)

    def __init__(self, dialect: DialectName) -> None:
        self.dialect = dialect

    @overload
    async def all(self, statement: Bound[R]) -> Sequence[R]: ...

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
        raise NotImplementedError

    async def one(self, statement: Statement) -> AnyRow:
        """The only row, as of an INSERT … RETURNING."""
        raise NotImplementedError

    async def scalar(self, statement: Statement) -> Any:
        raise NotImplementedError

    async def scalars(self, statement: Statement) -> Sequence[Any]:
        raise NotImplementedError

    async def count(self, statement: AnySelect) -> int:
        """How many rows a statement would answer."""
        return int(await self.scalar(select(func.count()).select_from(statement.order_by(None).subquery())))

    async def execute(self, statement: Executable, rows: Parameters = None) -> int:
        """Run a statement for its effect; with ``rows``, once for each. Returns the number of rows it touched."""
        raise NotImplementedError

    def rehearsal(self) -> AbstractAsyncContextManager[None]:
        """What is written in the block is taken back at its end (SAVEPOINT). For a transaction."""
        raise NotImplementedError


class ReadingSession(Session):
    """Reads: each statement for itself, on whatever connection is free, so nothing is to be closed."""

    __slots__ = ("_compiler", "_database", "_reader")

    def __init__(self, database: "Database", reader: Reader, compiler: Compiler) -> None:
        super().__init__(database.dialect)
        self._database, self._reader, self._compiler = database, reader, compiler

    async def all(self, statement: Any, rows: Parameters = None) -> Sequence[Any]:
        if rows is not None:
            raise TypeError("a reading session writes nothing")
        command = self._compiler.command(statement)
        for observe in self._database.observers:
            observe(command.sql)
        return command.make_rows(await self._reader.run(command))

    async def first(self, statement: Any) -> Any:
        rows = await self.all(statement)
        return rows[0] if rows else None

    async def one(self, statement: Statement) -> AnyRow:
        [row] = await self.all(statement)
        return cast(AnyRow, row)

    async def scalar(self, statement: Statement) -> Any:
        rows = await self.all(statement)
        return rows[0][0] if rows else None

    async def scalars(self, statement: Statement) -> Sequence[Any]:
        return [row[0] for row in await self.all(statement)]


class WritingSession(Session):
    """A transaction. The connection is taken, and the transaction begun, by the first statement, so that input that is
    refused before it costs the database nothing."""

    __slots__ = ("_connection", "_engine")

    def __init__(self, engine: AsyncEngine, dialect: DialectName) -> None:
        super().__init__(dialect)
        self._engine = engine
        self._connection: AsyncConnection | None = None

    async def all(self, statement: Any, rows: Parameters = None) -> Sequence[Any]:
        found = (await self._run(statement, rows)).all()
        record = statement.prepared.record if isinstance(statement, Bound) else None
        return found if record is None else [record._make(row) for row in found]

    async def first(self, statement: Any) -> Any:
        rows = await self.all(statement)
        return rows[0] if rows else None

    async def one(self, statement: Statement) -> AnyRow:
        return (await self._run(statement)).one()

    async def scalar(self, statement: Statement) -> Any:
        return (await self._run(statement)).scalar()

    async def scalars(self, statement: Statement) -> Sequence[Any]:
        return (await self._run(statement)).scalars().all()

    async def execute(self, statement: Executable, rows: Parameters = None) -> int:
        return int((await self._run(statement, rows)).rowcount)

    @asynccontextmanager
    async def rehearsal(self) -> AsyncIterator[None]:
        savepoint = await (await self._connect()).begin_nested()
        try:
            yield
        finally:
            await savepoint.rollback()

    async def commit(self) -> None:
        """Keep what was written. For those who own the unit of work; services never commit."""
        if self._connection is not None:
            await self._connection.commit()

    async def close(self) -> None:
        """Give the connection back, without what was not committed."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    async def _run(self, statement: Statement, rows: Parameters = None) -> CursorResult[*tuple[Any, ...]]:
        connection = await self._connect()
        if isinstance(statement, Bound):
            return await connection.execute(statement.prepared.statement, statement.parameters)
        return await connection.execute(statement, rows)

    async def _connect(self) -> AsyncConnection:
        if self._connection is None:
            self._connection = await self._engine.connect()
            await self._connection.begin()
        return self._connection


def insert_or_ignore(session: Session, model: type[DeclarativeBase]) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that does nothing where a unique row is already there, even one committed a moment ago."""
    if session.dialect == "sqlite":
        return sqlite.insert(model).on_conflict_do_nothing()
    return postgresql.insert(model).on_conflict_do_nothing()


class Database:
    """The engines of one database, and units of work on it.

    SQLite has one writer: writes queue for one connection inside the process and start with ``BEGIN IMMEDIATE``, so
    that reading first and then writing never fails half-way; readers have connections of their own (WAL).
    PostgreSQL reads run in autocommit, one round trip a statement.
    """

    def __init__(self, url: str, *, pool_size: int = 5, pool_timeout: float = 10.0) -> None:
        self.url = normalise_url(url)
        self.dialect: DialectName = "sqlite" if self.url.get_backend_name() == "sqlite" else "postgresql"
        self.observers: list[Callable[[str], None]] = []
        """Called with the SQL of every statement that only reads: for instrumentation, beside the engine's events."""
        make_engine = _sqlite_engine if self.dialect == "sqlite" else _postgresql_engine
        self.engine = make_engine(self.url, pool_size, pool_timeout)
        dialect = self.engine.dialect
        self.reader: Reader
        if self.dialect == "sqlite":
            self.reader = SqliteReader(self.url.database or "", dialect, threads=pool_size, timeout=pool_timeout)
        else:
            from db.postgresql import PostgresqlReader  # the driver takes 90 ms and 8 MB to import

            arguments = {**dialect.create_connect_args(self.url)[1], "options": _POSTGRESQL_OPTIONS}
            self.reader = PostgresqlReader(arguments, dialect, size=pool_size, timeout=pool_timeout)
        self.reads: Session = ReadingSession(self, self.reader, Compiler(dialect))
        """For reads. It holds nothing, so all share it."""

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Session]:
        """A session for reads."""
        yield self.reads

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Session]:
        """A transaction: committed when the block ends, rolled back when it raises.

        An exception whose ``keeps_changes`` is true commits and is raised on: refusing a stolen refresh token must
        also end its session.
        """
        session = WritingSession(self.engine, self.dialect)
        try:
            yield session
            await session.commit()
        except BaseException as error:
            if getattr(error, "keeps_changes", False):
                await session.commit()
            raise
        finally:
            await session.close()

    async def analyze(self) -> None:
        """Tell the planner what the tables hold, after much was written at once; else it may guess wrong by far."""
        statements = _ANALYZE_SQLITE if self.dialect == "sqlite" else _ANALYZE_POSTGRESQL
        async with self.writing() as session:
            for statement in statements:
                await session.execute(text(statement))

    async def dispose(self) -> None:
        await self.reader.close()
        await self.engine.dispose()


class _SqliteCompiler(SQLiteCompiler):
    """SQLAlchemy's, which has no words for ``with_hint``: SQLite's are INDEXED BY, after the table."""

    def get_from_hint_text(self, table: FromClause, text: str | None) -> str | None:
        return text


def _sqlite_engine(url: URL, _pool_size: int, pool_timeout: float) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=1,
        max_overflow=0,
        pool_timeout=max(pool_timeout, 30.0),
        # the interface is aiosqlite's, as far as SQLAlchemy needs it
        async_creator=lambda: cast(Any, connect(url.database or "")),
    )
    engine.dialect.statement_compiler = _SqliteCompiler
    event.listen(engine.sync_engine, "begin", _begin_immediate)
    return engine


def _begin_immediate(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


# jit: compiling a statement takes longer than what it saves on the longest of ours (0.2 of 0.4 s)
_POSTGRESQL_OPTIONS = "-c timezone=UTC -c statement_timeout=30s -c idle_in_transaction_session_timeout=60s -c jit=off"


def _postgresql_engine(url: URL, pool_size: int, pool_timeout: float) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout,
        pool_pre_ping=True,
        connect_args={"options": _POSTGRESQL_OPTIONS},
    )
