"""The migrations: the same on both databases, there and back, and equal to the models."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from db.engine import Database
from db.models.base import Base
from db.urls import normalise_url
from tests.conftest import ROOT, migrate
from tests.databases import on_postgresql
from tests.infrastructure import require, scratch_database

TABLES = set(Base.metadata.tables)


@pytest.fixture
def url(backend: str, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
    else:
        with scratch_database(require("postgresql")) as dsn:
            yield dsn


def config(url: str) -> Config:
    made = Config(str(ROOT / "alembic.ini"))
    made.set_main_option("script_location", str(ROOT / "db" / "migrations"))
    made.attributes["database_url"] = url
    return made


def tables(url: str) -> set[str]:
    parsed = normalise_url(url)
    driver = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}[parsed.get_backend_name()]
    engine = create_engine(parsed.set(drivername=driver))
    try:
        names = set(inspect(engine).get_table_names()) - {"alembic_version", "sqlite_sequence"}
        return {name for name in names if "_texts_fts" not in name}  # SQLite's search index
    finally:
        engine.dispose()


def alembic(*arguments: str, url: str) -> subprocess.CompletedProcess[str]:
    """Run the operator's command."""
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class TestWays:
    def test_up_down_and_up_again(self, url: str) -> None:
        migrate(url)
        assert tables(url) == TABLES
        command.downgrade(config(url), "base")
        assert tables(url) == set()
        migrate(url)
        assert tables(url) == TABLES

    def test_a_step_at_a_time(self, url: str) -> None:
        """Each migration goes down from where it went up to, so none leans on a later one."""
        scripts = ScriptDirectory.from_config(config(url))
        revisions = [script.revision for script in scripts.walk_revisions()][::-1]
        for revision in revisions:
            migrate(url, revision)
            if revision != revisions[0]:
                command.downgrade(config(url), "-1")
                migrate(url, revision)
        assert tables(url) == TABLES

    def test_models_need_no_further_migration(self, url: str) -> None:
        migrate(url)

        command.check(config(url))

    def test_there_is_one_head(self, url: str) -> None:
        assert len(ScriptDirectory.from_config(config(url)).get_heads()) == 1

    def test_command_line_takes_the_database_from_the_environment(self, url: str) -> None:
        for arguments in (("upgrade", "head"), ("check",), ("upgrade", "head")):
            done = alembic(*arguments, url=url)
            assert done.returncode == 0, done.stderr
        assert tables(url) == TABLES

    def test_no_database_is_a_failure(self, backend: str, tmp_path: Path) -> None:
        absent = {"sqlite": f"sqlite:///{tmp_path}/none/x.db", "postgresql": "postgresql://x@127.0.0.1:1/x"}
        assert alembic("upgrade", "head", url=absent[backend]).returncode != 0


class TestAtOnce:
    """Two deployments start at the same time."""

    def test_all_find_the_tables_there(self, url: str) -> None:
        failures: list[BaseException] = []

        def deploy() -> None:
            try:
                assert alembic("upgrade", "head", url=url).returncode == 0
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=deploy) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failures == []
        assert tables(url) == TABLES

    @on_postgresql
    def test_second_waits_for_the_first(self, url: str) -> None:
        with psycopg.connect(url) as first:
            first.execute("SELECT pg_advisory_xact_lock(7264701)")
            second = threading.Thread(target=migrate, args=(url,))
            second.start()
            second.join(1.5)
            assert second.is_alive()
            assert tables(url) == set()
        second.join(30)

        assert tables(url) == TABLES


class TestUrls:
    @pytest.mark.parametrize(
        ("given", "driver", "database"),
        [
            ("sqlite:///./tandem.db", "sqlite+aiosqlite", "./tandem.db"),
            ("sqlite:////var/lib/tandem.db", "sqlite+aiosqlite", "/var/lib/tandem.db"),
            ("sqlite+aiosqlite:///tandem.db", "sqlite+aiosqlite", "tandem.db"),
            ("postgresql://ada:secret@db.example.com:5433/tandem", "postgresql+psycopg", "tandem"),
            ("postgres://ada:secret@db.example.com/tandem?sslmode=require", "postgresql+psycopg", "tandem"),
            ("postgresql+psycopg://db.example.com/tandem", "postgresql+psycopg", "tandem"),
            ("postgresql+psycopg2://db.example.com/tandem", "postgresql+psycopg", "tandem"),
            ("postgresql+asyncpg://db.example.com/tandem", "postgresql+psycopg", "tandem"),
        ],
    )
    def test_are_taken_as_users_write_them(self, given: str, driver: str, database: str) -> None:
        url = normalise_url(given)

        assert (url.drivername, url.database) == (driver, database)

    def test_keep_what_is_in_them(self) -> None:
        url = normalise_url("postgres://ada:s%40cret@db.example.com:5433/tandem?sslmode=require&application_name=x")

        assert (url.username, url.password, url.host, url.port) == ("ada", "s@cret", "db.example.com", 5433)
        assert dict(url.query) == {"sslmode": "require", "application_name": "x"}

    def test_several_hosts_are_tried_one_after_the_other(self) -> None:
        url = normalise_url("postgresql://ada:secret@one:5433,two/tandem?target_session_attrs=read-write")

        assert (url.query["host"], url.query["port"]) == ("one,two", "5433,5432")
        assert url.query["target_session_attrs"] == "read-write"
        assert (url.username, url.database) == ("ada", "tandem")

    @pytest.mark.parametrize("given", ["sqlite://", "sqlite:///:memory:", "mysql://x/y", "nonsense", ""])
    def test_others_are_refused(self, given: str) -> None:
        with pytest.raises(ValueError, match="DATABASE_URL"):
            normalise_url(given)

    async def test_server_takes_the_same_as_the_migrations(self, url: str) -> None:
        database = Database(url.replace("postgresql://", "postgres://", 1))
        async with database.reading() as session:
            assert await session.scalar(text("SELECT 1")) == 1
        await database.dispose()
