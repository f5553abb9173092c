"""Engines for both databases, and the sessions that services are given."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from sqlalchemy import (
    URL,
    CursorResult,
    Executable,
    Row,
    Select,
    event,
    func,
    make_url,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
AnySelect = Select[*tuple[Any, ...]]
AnyRow = Row[*tuple[Any, ...]]
DialectName = Literal["sqlite", "postgresql"]


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


class Session:
    """One unit of work, as services see it: statements in, rows out.

    The connection is taken (and a transaction begun) by the first statement, so that input that is refused before it
    costs the database nothing.
    """

    __slots__ = ("_connection", "_engine", "_transactional", "dialect")

    def __init__(self, engine: AsyncEngine, *, transactional: bool) -> None:
        self._engine = engine
        self._transactional = transactional
        self._connection: AsyncConnection | None = None
        self.dialect: DialectName = "sqlite" if engine.dialect.name == "sqlite" else "postgresql"

    async def all(self, statement: Executable, rows: Parameters = None) -> Sequence[AnyRow]:
        """Every row; with ``rows``, of an INSERT … RETURNING of them, in any order."""
        return (await self._run(statement, rows)).all()

    async def first(self, statement: Executable) -> AnyRow | None:
        return (await self._run(statement)).first()

    async def one(self, statement: Executable) -> AnyRow:
        """The only row, as of an INSERT … RETURNING."""
        return (await self._run(statement)).one()

    async def scalar(self, statement: Executable) -> Any:
        return (await self._run(statement)).scalar()

    async def scalars(self, statement: Executable) -> Sequence[Any]:
        return (await self._run(statement)).scalars().all()

    async def count(self, statement: AnySelect) -> int:
        """How many rows a statement would answer."""
        return int(await self.scalar(select(func.count()).select_from(statement.order_by(None).subquery())))

    async def execute(self, statement: Executable, rows: Parameters = None) -> int:
        """Run a statement for its effect; with ``rows``, once for each. Returns the number of rows it touched."""
        return int((await self._run(statement, rows)).rowcount)

    @asynccontextmanager
    async def rehearsal(self) -> AsyncIterator[None]:
        """What is written in the block is taken back at its end (SAVEPOINT). For a transaction."""
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

    async def _run(self, statement: Executable, rows: Parameters = None) -> CursorResult[*tuple[Any, ...]]:
        return await (await self._connect()).execute(statement, rows)

    async def _connect(self) -> AsyncConnection:
        if self._connection is None:
            self._connection = await self._engine.connect()
            if self._transactional:
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
        self._readers, self._writers = (
            _sqlite_engines(self.url, pool_size, pool_timeout)
            if self.dialect == "sqlite"
            else _postgresql_engines(self.url, pool_size, pool_timeout)
        )

    @property
    def engines(self) -> tuple[AsyncEngine, ...]:
        """Every engine with a pool of its own: for instrumentation."""
        return (self._readers, self._writers) if self.dialect == "sqlite" else (self._writers,)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Session]:
        """A short session for reads."""
        session = Session(self._readers, transactional=False)
        try:
            yield session
        finally:
            await session.close()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Session]:
        """A transaction: committed when the block ends, rolled back when it raises.

        An exception whose ``keeps_changes`` is true commits and is raised on: refusing a stolen refresh token must
        also end its session.
        """
        session = Session(self._writers, transactional=True)
        try:
            yield session
            await session.commit()
        except BaseException as error:
            if getattr(error, "keeps_changes", False):
                await session.commit()
            raise
        finally:
            await session.close()

    async def dispose(self) -> None:
        for engine in self.engines:
            await engine.dispose()


def _sqlite_engines(url: URL, pool_size: int, pool_timeout: float) -> tuple[AsyncEngine, AsyncEngine]:
    readers = create_async_engine(url, pool_size=pool_size, max_overflow=pool_size, pool_timeout=pool_timeout)
    writers = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=max(pool_timeout, 30.0))
    for engine, begin in ((readers, "BEGIN"), (writers, "BEGIN IMMEDIATE")):
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _beginner(begin))
    return readers, writers


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions by itself
    cursor = connection.cursor()
    for pragma in (
        "busy_timeout = 15000",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "cache_size = -16000",
        "temp_store = MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _beginner(statement: str) -> Any:
    def begin(connection: Any) -> None:
        connection.exec_driver_sql(statement)

    return begin


def _postgresql_engines(url: URL, pool_size: int, pool_timeout: float) -> tuple[AsyncEngine, AsyncEngine]:
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=pool_timeout,
        pool_pre_ping=True,
        connect_args={"options": "-c timezone=UTC -c statement_timeout=30s -c idle_in_transaction_session_timeout=60s"},
    )
    return engine.execution_options(isolation_level="AUTOCOMMIT"), engine
