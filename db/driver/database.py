"""The database: its connections, and units of work on it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from sqlalchemy.util import LRUCache

from db.driver.dialects import dialect_for, dialect_name
from db.driver.planners import PLANNERS
from db.driver.sessions import Observe, Reader, ReadingSession, Session, Writer, WritingSession
from db.driver.sqlite.reader import SqliteReader
from db.driver.sqlite.writer import SqliteWriter
from db.driver.statements import Compiler
from db.driver.urls import connect_arguments, normalise_url

if TYPE_CHECKING:
    from db.driver.postgresql.hosts import Hosts

MAX_KNOWN = 1_000
"""How much is remembered of a database (``Session.known``)."""
MAX_LOCK_SECONDS = 5.0
"""How long work with a deadline waits for one lock in PostgreSQL at most (``lock_timeout``)."""


class Database:
    """The connections to one database, and units of work on them.

    SQLite has one writer: writes queue for one connection inside the process and start with ``BEGIN IMMEDIATE``, so
    that reading first and then writing never fails half-way; readers have connections of their own (WAL).
    PostgreSQL reads run in autocommit, one round trip a statement.
    """

    _hosts: "Hosts | None"

    def __init__(
        self, url: str, *, pool_size: int = 5, pool_timeout: float = 10.0, request_timeout: float | None = None
    ) -> None:
        """``request_timeout``: the longest that work on it may take, where there is a bound: PostgreSQL then ends by
        itself what takes longer, and what waits for one lock for half of that, or five seconds."""
        self.url = normalise_url(url)
        self.dialect = dialect_name(self.url)
        self.planner = PLANNERS[self.dialect]
        self.observers: list[Observe] = []
        """Called with the SQL of every statement: for instrumentation."""
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        self.sql = dialect_for(self.url.drivername)
        """SQLAlchemy's knowledge of the database's language."""
        self._hosts = None
        reader: Reader
        writer: Writer
        if self.dialect == "sqlite":
            path = self.url.database or ""
            reader = SqliteReader(path, self.sql, threads=pool_size, timeout=pool_timeout)
            writer = SqliteWriter(path, self.sql, timeout=pool_timeout)
        else:
            from db.driver.postgresql.connection import UNLIMITED, ServerLimits
            from db.driver.postgresql.hosts import Hosts
            from db.driver.postgresql.pool import (  # the driver takes 90 ms and 8 MB to import
                PostgresqlReader,
                PostgresqlWriter,
            )

            limits = UNLIMITED
            if request_timeout is not None:
                # ours comes first: this is for a process that is there no more
                limits = ServerLimits(request_timeout + 1.0, min(MAX_LOCK_SECONDS, request_timeout / 2))
            self._hosts = hosts = Hosts(connect_arguments(self.url, self.sql), limits)
            reader = PostgresqlReader(hosts, self.sql, size=pool_size, timeout=pool_timeout)
            writer = PostgresqlWriter(hosts, self.sql, size=pool_size, timeout=pool_timeout, reader=reader)
        self.reader, self.writer = reader, writer
        self._compiler = Compiler(self.sql)
        self.known: Any = LRUCache(MAX_KNOWN)
        """What sessions have found out about it (``Session.known``)."""
        self.reads: Session = ReadingSession(self.dialect, self.known, reader, self._compiler, self.observers)
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

    def tell(self, topic: str) -> None:
        """Tell those in this process who listen for a topic."""
        for callback in self._listeners.get(topic, ()):
            callback()

    @asynccontextmanager
    async def hearing(self, topic: str) -> AsyncIterator[None]:
        """While the block lasts, those who listen for a topic are also told when other processes notify it
        (``db.notifications``): on PostgreSQL, by a connection of its own."""
        if self._hosts is None:
            yield
            return
        from db.driver.postgresql.hearing import Hearing  # as above

        hearing = Hearing(self._hosts, topic, lambda: self.tell(topic))
        try:
            yield
        finally:
            await hearing.stop()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Session]:
        """A transaction: committed when the block ends, rolled back when it raises.

        An exception whose ``keeps_changes`` is true commits and is raised on: refusing a stolen refresh token must
        also end its session. What the session was given for afterwards is done after either commit.
        """
        session = WritingSession(self.dialect, self.known, self.writer, self._compiler, self.observers, self._listeners)
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
        await self.reader.close()
        await self.writer.close()
