"""The migrations: the same on both databases, there and back, and equal to the models."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import column, create_engine, insert, inspect, table, text

from db.driver.database import Database
from db.driver.urls import normalise_url
from db.models.base import Base
from services.tags import fold
from services.tasks.listing.texts import fold_text
from tests.conftest import ROOT, upgrade
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
    engine = create_engine(normalise_url(url))
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
        upgrade(url)
        assert tables(url) == TABLES
        command.downgrade(config(url), "base")
        assert tables(url) == set()
        upgrade(url)
        assert tables(url) == TABLES

    def test_a_step_at_a_time(self, url: str) -> None:
        """Each migration goes down from where it went up to, so none leans on a later one."""
        scripts = ScriptDirectory.from_config(config(url))
        revisions = [script.revision for script in scripts.walk_revisions()][::-1]
        for revision in revisions:
            upgrade(url, revision)
            if revision != revisions[0]:
                command.downgrade(config(url), "-1")
                upgrade(url, revision)
        assert tables(url) == TABLES

    def test_models_need_no_further_migration(self, url: str) -> None:
        upgrade(url)

        command.check(config(url))

    def test_there_is_one_head(self, url: str) -> None:
        assert len(ScriptDirectory.from_config(config(url)).get_heads()) == 1

    def test_command_line_takes_the_database_from_the_environment(self, url: str) -> None:
        for _ in range(2):
            done = alembic("upgrade", "head", url=url)
            assert done.returncode == 0, done.stderr
        assert tables(url) == TABLES

    def test_no_database_is_a_failure(self, backend: str, tmp_path: Path) -> None:
        absent = {"sqlite": f"sqlite:///{tmp_path}/none/x.db", "postgresql": "postgresql://x@127.0.0.1:1/x"}
        assert alembic("upgrade", "head", url=absent[backend]).returncode != 0


MOMENT = "2026-01-31T12:00:00.000000Z"
NFD_TITLE, NFD_ADDRESS = "Cafe\u0301", "j\u030ca@example.com"
TAGS = [  # id, project, name, as it was folded, after 0006: the name and the fold, or the tag that it became
    (1, 1, "Cafe\u0301", "cafe\u0301", ("Caf\u00e9", "caf\u00e9")),
    (2, 1, "CAF\u00c9", "caf\u00e9", 1),
    (3, 2, "CAF\u00c9", "caf\u00e9", ("CAF\u00c9", "caf\u00e9")),
    (4, 1, "bug", "bug", ("bug", "bug")),
    (5, 1, "bu\u00adg", "bu\u00adg", 4),
    (6, 1, "two\nlines", "two\nlines", ("two lines", "two lines")),
    (7, 1, "two\u00a0lines", "two\u00a0lines", 6),
    (8, 1, "\u01f0", "j\u030c", ("\u01f0", "\u01f0")),
    (9, 1, "\u0958" * 50, "\u0958" * 50, ("\u0958" * 50, "\u0915\u093c" * 50)),
    (10, 1, "Stra\u00dfe", "strasse", ("Stra\u00dfe", "strasse")),
]
TAGGED = {1: [1, 2, 4], 2: [2, 5, 7], 3: [6, 8]}


def read(url: str, statement: str) -> list[tuple[Any, ...]]:
    engine = create_engine(normalise_url(url))
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(text(statement))]
    engine.dispose()
    return rows


def rows_of_before(url: str) -> None:
    """A few of what the versions before 0006 left."""
    made = {"created_at": MOMENT}
    kept = made | {"updated_at": MOMENT}
    user = kept | {"timezone": "UTC", "is_admin": False, "disabled": False}
    task = kept | {"project_id": 1, "status": "pending", "priority": 1, "version": 1}
    titles = {1: NFD_TITLE, 2: "\u65e5", 3: "a"}
    rows: dict[str, list[dict[str, Any]]] = {
        "users": [
            user | {"id": 1, "username": "ada", "username_folded": "ada", "email": NFD_ADDRESS},
            user | {"id": 2, "username": "bob", "username_folded": "bob", "email": "B@example.com"},
        ],
        "projects": [
            kept | {"id": id_, "key": f"P{id_}", "name": "P", "last_number": 9, "version": 1} for id_ in (1, 2)
        ],
        "tasks": [task | {"id": id_, "number": id_, "title": title} for id_, title in titles.items()],
        "task_texts": [
            {"task_id": 1, "folded": "caf\u00e9\n"},
            {"task_id": 2, "folded": "\u03b9\u0308\u0301 of the past\n"},
        ],
        "tags": [
            made | {"id": id_, "project_id": project, "name": name, "name_folded": folded}
            for id_, project, name, folded, _ in TAGS
        ],
        "task_tags": [{"task_id": task_id, "tag_id": tag} for task_id, tags in TAGGED.items() for tag in tags],
    }
    engine = create_engine(normalise_url(url))
    with engine.begin() as connection:
        for name, some in rows.items():
            connection.execute(insert(table(name, *map(column, some[0]))), some)
    engine.dispose()


BEFORE, ONE_FORM = "0005", "0006"


class TestOneFormOfNames:
    """What was stored before."""

    @pytest.fixture(autouse=True)
    def moved(self, url: str) -> None:
        upgrade(url, BEFORE)
        rows_of_before(url)
        upgrade(url, ONE_FORM)

    def test_tags_that_look_the_same_become_the_oldest_of_them(self, url: str) -> None:
        into = {id_: new if isinstance(new, int) else id_ for id_, _, _, _, new in TAGS}

        assert read(url, "SELECT id, name, name_folded FROM tags ORDER BY id") == [
            (id_, *new) for id_, _, _, _, new in TAGS if isinstance(new, tuple)
        ]
        assert read(url, "SELECT task_id, tag_id FROM task_tags ORDER BY task_id, tag_id") == sorted(
            {(task, into[tag]) for task, tags in TAGGED.items() for tag in tags}
        )

    def test_folds_are_those_of_the_service(self, url: str) -> None:
        assert all(folded == fold(name) for name, folded in read(url, "SELECT name, name_folded FROM tags"))

    def test_titles_and_addresses_are_composed(self, url: str) -> None:
        assert read(url, "SELECT title, version FROM tasks ORDER BY id") == [("Caf\u00e9", 1), ("\u65e5", 1), ("a", 1)]
        assert read(url, "SELECT email FROM users ORDER BY id") == [("\u01f0a@example.com",), ("B@example.com",)]

    def test_what_search_reads_is_composed_in_its_index_too(self, backend: str, url: str) -> None:
        new = fold_text("\u0390 OF THE past\n")

        assert read(url, "SELECT folded FROM task_texts ORDER BY task_id") == [("caf\u00e9\n",), (new,)]
        if backend == "sqlite":
            found = "SELECT rowid FROM task_texts_fts WHERE task_texts_fts MATCH '\"\u0390 of\"'"
            assert read(url, found) == [(2,)]

    def test_way_down_keeps_the_rows(self, url: str) -> None:
        before = read(url, "SELECT id, name, name_folded FROM tags ORDER BY id")
        command.downgrade(config(url), BEFORE)
        assert read(url, "SELECT id, name, name_folded FROM tags ORDER BY id") == before
        upgrade(url, ONE_FORM)
        assert read(url, "SELECT id, name, name_folded FROM tags ORDER BY id") == before


class TestTimesOfCompletion:
    def test_are_those_of_completed_tasks_alone(self, url: str) -> None:
        upgrade(url, BEFORE)
        rows_of_before(url)
        upgrade(url, "0025")
        engine = create_engine(normalise_url(url))
        with engine.begin() as connection:
            connection.execute(text("UPDATE tasks SET status = 'completed' WHERE id < 3"))
            connection.execute(text("UPDATE tasks SET completed_at = created_at WHERE id > 1"))
            connection.execute(text("UPDATE tasks SET updated_at = '2026-02-01T12:00:00.000000Z'"))
        engine.dispose()

        upgrade(url, "0026")

        times = "completed_at = updated_at, completed_at = created_at, completed_at IS NULL"
        assert [[*map(bool, row)] for row in read(url, f"SELECT {times} FROM tasks ORDER BY id")] == [  # noqa: S608
            [True, False, False],
            [False, True, False],
            [False, False, True],
        ]


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
            second = threading.Thread(target=upgrade, args=(url,))
            second.start()
            second.join(1.5)
            assert second.is_alive()
            assert tables(url) == set()
        second.join(30)

        assert tables(url) == TABLES


class TestWhatIsInstalled:
    def test_server_and_migrations_need_neither_greenlet_nor_an_asynchronous_driver_of_sqlalchemys(
        self, url: str
    ) -> None:
        lacking = "import sys; sys.modules |= dict.fromkeys(['aiosqlite', 'greenlet', 'sqlalchemy.ext.asyncio']); "
        steps = "import api.main; from alembic.config import main; main(['upgrade', 'head'])"
        done = subprocess.run(
            [sys.executable, "-c", lacking + steps],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": url, "ENVIRONMENT": "test", "SECRET_KEY": "x" * 32},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert tables(url) == TABLES


class TestUrls:
    @pytest.mark.parametrize(
        ("given", "driver", "database"),
        [
            ("sqlite:///./tandem.db", "sqlite", "./tandem.db"),
            ("sqlite:////var/lib/tandem.db", "sqlite", "/var/lib/tandem.db"),
            ("sqlite+aiosqlite:///tandem.db", "sqlite", "tandem.db"),
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
