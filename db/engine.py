"""The database: its connections, and units of work on it."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Dialect, FromClause, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.orm import DeclarativeBase

from db.sessions import DialectName, Observe, Reader, ReadingSession, Session, Writer, WritingSession
from db.sqlite import SqliteReader
from db.sqlite_writer import SqliteWriter
from db.statements import Compiler
from db.trigrams import SEARCH_INDEXES
from db.urls import connect_arguments, normalise_url

_ANALYZE_SQLITE = (
    # all at once what the server else merges bit by bit (``db/sqlite_upkeep.py``)
    *[f"INSERT INTO {index} ({index}, rank) VALUES ('merge', 1000000)" for index in SEARCH_INDEXES],  # noqa: S608 - ours
    "PRAGMA analysis_limit = 1000",
    "ANALYZE",
)
_ANALYZE_POSTGRESQL = (
    # what searches would have to read through until the next VACUUM
    """SELECT gin_clean_pending_list(pg_class.oid) FROM pg_class JOIN pg_am ON pg_am.oid = relam
    WHERE amname = 'gin' AND pg_has_role(relowner, 'USAGE')
    AND relnamespace = current_schema()::regnamespace""",
    "ANALYZE",
)


MAX_LOCK_SECONDS = 5.0
"""How long work with a deadline waits for one lock in PostgreSQL at most (``lock_timeout``)."""


def insert_or_ignore(session: Session, model: type[DeclarativeBase]) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that does nothing where a unique row is already there, even one committed a moment ago."""
    if session.dialect == "sqlite":
        return sqlite.insert(model).on_conflict_do_nothing()
    return postgresql.insert(model).on_conflict_do_nothing()


class Database:
    """The connections to one database, and units of work on them.

    SQLite has one writer: writes queue for one connection inside the process and start with ``BEGIN IMMEDIATE``, so
    that reading first and then writing never fails half-way; readers have connections of their own (WAL).
    PostgreSQL reads run in autocommit, one round trip a statement.
    """

    def __init__(
        self, url: str, *, pool_size: int = 5, pool_timeout: float = 10.0, request_timeout: float | None = None
    ) -> None:
        """``request_timeout``: the longest that work on it may take, where there is a bound: PostgreSQL then ends by
        itself what takes longer, and what waits for one lock for half of that, or five seconds."""
        self.url = normalise_url(url)
        self.dialect: DialectName = "sqlite" if self.url.get_backend_name() == "sqlite" else "postgresql"
        self.observers: list[Observe] = []
        """Called with the SQL of every statement: for instrumentation."""
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        class_: Any = self.url.get_dialect()
        # $1, $2 … are libpq's own; psycopg's cursors would take them from %(name)s
        style = "qmark" if self.dialect == "sqlite" else "numeric_dollar"
        self.sql: Dialect = class_(
            dbapi=class_.import_dbapi(),
            paramstyle=style,
            json_serializer=lambda value: orjson.dumps(value).decode(),
            json_deserializer=orjson.loads,
        )
        """SQLAlchemy's knowledge of the database's language."""
        reader: Reader
        writer: Writer
        if self.dialect == "sqlite":
            self.sql.statement_compiler = _SqliteCompiler
            path = self.url.database or ""
            reader = SqliteReader(path, self.sql, threads=pool_size, timeout=pool_timeout)
            writer = SqliteWriter(path, self.sql, timeout=pool_timeout)
        else:
            from db.postgresql import PostgresqlReader, PostgresqlWriter  # the driver takes 90 ms and 8 MB to import
            from db.postgresql_hosts import Hosts
            from db.postgresql_wire import UNLIMITED, ServerLimits

            limits = UNLIMITED
            if request_timeout is not None:
                # ours comes first: this is for a process that is there no more
                limits = ServerLimits(request_timeout + 1.0, min(MAX_LOCK_SECONDS, request_timeout / 2))
            hosts = Hosts(connect_arguments(self.url, self.sql), limits)
            reader = PostgresqlReader(hosts, self.sql, size=pool_size, timeout=pool_timeout)
            writer = PostgresqlWriter(hosts, self.sql, size=pool_size, timeout=pool_timeout, reader=reader)
        self.reader, self.writer = reader, writer
        self._compiler = Compiler(self.sql)
        self.reads: Session = ReadingSession(self.dialect, reader, self._compiler, self.observers)
        """For reads. It holds nothing, so all share it."""
        self._reading = nullcontext(self.reads)

    def reading(self) -> AbstractAsyncContextManager[Session]:
        """A session for reads."""
        return self._reading

    def listen(self, topic: str, callback: Callable[[], None]) -> None:
        """Be told after each commit of a transaction that announced the topic (``Session.announce``).

        It is for what a process keeps in its memory: other processes hear nothing of it.
        """
        self._listeners.setdefault(topic, []).append(callback)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Session]:
        """A transaction: committed when the block ends, rolled back when it raises.

        An exception whose ``keeps_changes`` is true commits and is raised on: refusing a stolen refresh token must
        also end its session. What the session was given for afterwards is done after either commit.
        """
        session = WritingSession(self.dialect, self.writer, self._compiler, self.observers, self._listeners)
        try:
            yield session
            await session.commit()
        except BaseException as error:
            if getattr(error, "keeps_changes", False):
                await session.commit()
            raise
        finally:
            await session.close()

    def room(self) -> int | None:
        """How many bytes the disk has left for the database; None where that is not to be known from here."""
        if self.dialect != "sqlite":
            return None
        try:
            disk = os.statvfs(Path(self.url.database or "").absolute().parent)
        except OSError:
            return None
        return disk.f_bavail * disk.f_frsize

    async def analyze(self) -> None:
        """Tidy up after much was written at once: the planner is told what the tables hold, else it may guess wrong by
        far, and the search indexes are merged."""
        statements = _ANALYZE_SQLITE if self.dialect == "sqlite" else _ANALYZE_POSTGRESQL
        async with self.writing() as session:
            session.takes_long()
            for statement in statements:
                await session.execute(text(statement))

    async def dispose(self) -> None:
        await self.reader.close()
        await self.writer.close()


class _SqliteCompiler(SQLiteCompiler):
    """SQLAlchemy's, which has no words for ``with_hint``: SQLite's are INDEXED BY, after the table."""

    def get_from_hint_text(self, table: FromClause, text: str | None) -> str | None:
        return text
