"""Where the data lives: one database of each kind that is filled once, and a copy of it for each server."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from benchmarks.data import Dataset, migrate
from benchmarks.processes import cpu_ns, parent, reaped_cpu_ns
from tests.infrastructure import postgres_server, scratch_database

DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "autovacuum": "off"}
"""What the server that tests start does without, for their sake, and what would run at a time of its own choosing."""

Fill = Callable[[str], Dataset]
"""Fills the empty, migrated database of a URL."""
Opened = AbstractContextManager["Database"]


@dataclass(frozen=True, slots=True)
class Database:
    """A kind of database, filled."""

    kind: str
    version: str
    dataset: Dataset
    copy: Callable[[str], str]
    """The URL, as ``DATABASE_URL`` takes it, of a copy for the server of that name."""
    cpu_ns: Callable[[str], int | None]
    """Nanoseconds of CPU time of the database's own processes that serve the copy of a URL, for differences; None where
    there are none, or on another machine."""


@contextmanager
def sqlite(fill: Fill) -> Iterator[Database]:
    """A file, copied for each server; removed in the end."""
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as name:
        folder = Path(name)
        template = folder / "template.db"
        url = f"sqlite:///{template}"
        migrate(url)
        dataset = fill(url)

        def copy(server: str) -> str:
            return f"sqlite:///{shutil.copyfile(template, folder / f'{server}.db')}"

        yield Database("sqlite", f"SQLite {sqlite3.sqlite_version}", dataset, copy, lambda _url: None)


@contextmanager
def postgresql(dsn: str, fill: Fill) -> Iterator[Database]:
    """A database on a server, copied for each of our servers; all are dropped in the end."""
    with ExitStack() as stack:
        template = stack.enter_context(scratch_database(dsn))
        migrate(template)
        dataset = fill(template)
        with psycopg.connect(template, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            version = f"PostgreSQL {connection.info.server_version // 10_000}.{connection.info.server_version % 10_000}"
        observer = stack.enter_context(psycopg.connect(dsn, autocommit=True))

        def copy(_server: str) -> str:
            # a copy has to be made when it is created, so this is an empty database that makes room for one
            url = stack.enter_context(scratch_database(dsn))
            source, target = (sql.Identifier(_name(each)) for each in (template, url))
            observer.execute(sql.SQL("DROP DATABASE {}").format(target))
            observer.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(target, source))
            return url

        def backends_cpu_ns(url: str) -> int | None:
            if not _is_here(observer):
                return None
            rows = observer.execute("SELECT pid FROM pg_stat_activity WHERE datname = %s", [_name(url)]).fetchall()
            living = 0
            for (pid,) in rows:
                with suppress(OSError):  # ended just now
                    living += cpu_ns(pid)
            return living + reaped_cpu_ns(parent(observer.info.backend_pid))

        yield Database("postgresql", version, dataset, copy, backends_cpu_ns)


@contextmanager
def postgresql_dsn() -> Iterator[str | None]:
    """BENCH_DATABASE_URL, else a server of our own, as durable as PostgreSQL is by default; None without either."""
    given = os.environ.get("BENCH_DATABASE_URL") or os.environ.get("TEST_DATABASE_URL")
    if given:
        yield None if given == "off" else given.replace("postgresql+psycopg://", "postgresql://", 1)
        return
    with postgres_server() as dsn:
        if dsn is not None:
            with psycopg.connect(dsn, autocommit=True) as connection:
                for name, value in DURABLE.items():
                    connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), value))
                connection.execute("SELECT pg_reload_conf()")
        yield dsn


def _name(url: str) -> str:
    return urlsplit(url).path[1:]


def _is_here(connection: psycopg.Connection) -> bool:
    """Whether the server's processes are among those of this machine."""
    try:
        return Path(f"/proc/{connection.info.backend_pid}/comm").read_text().startswith("postgres")
    except OSError:
        return False
