"""A database that cannot serve now is no defect of ours: 503 with Retry-After on both doors, and readiness says no."""

import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from fastapi import FastAPI
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from api import startup
from api.main import create_app
from db import revisions
from db.driver.database import Database
from services import readiness
from services.shared.database_errors import from_database, log_failure
from services.shared.errors import Unavailable
from tests.actors import Anonymous, Person, make_person
from tests.conftest import ROOT, settings_for
from tests.databases import empty_database, on_postgresql
from tests.doors import Call, Door, calling, on_both_doors

CREATE = Call(
    "POST /tasks",
    "mutation($input: CreateTaskInput!) { result: createTask(input: $input) { task { id databaseId } } }",
    payload="task",
)
LIST = Call("GET /tasks", "{ result: tasks { edges { node { id databaseId } } } }")


@pytest.fixture(autouse=True)
def ask_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readiness is not remembered."""
    monkeypatch.setattr(readiness, "REMEMBERED_SECONDS", 0)


@pytest.fixture
def url(backend: str, tmp_path: Path) -> Iterator[str]:
    with empty_database(backend, tmp_path) as url:
        yield url


@asynccontextmanager
async def _serving(url: str) -> AsyncIterator[tuple[FastAPI, Anonymous, Person]]:
    app = create_app(settings_for(url), compile_after=0)
    async with app.router.lifespan_context(app), calling(app) as anonymous:
        yield app, anonymous, await make_person(anonymous.client, app.state.tandem)


async def _refused(door: Door, person: Person) -> None:
    result = await CREATE.on(door, person, {"title": "x"})
    assert (result.status, result.code) == (503, "UNAVAILABLE")
    assert int(result.headers["retry-after"]) >= 1


async def _works(door: Door, person: Person) -> None:
    assert (await CREATE.on(door, person, {"title": "x"})).code is None


@contextmanager
def _read_only(url: str) -> Iterator[None]:
    """As for maintenance; who is connected has to connect anew."""
    with psycopg.connect(url, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        yield
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name))


class TestReadOnly:
    @on_postgresql
    async def test_database_is_told_of_when_a_server_starts(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        async with _serving(url) as (app, _, _ada):
            with _read_only(url):
                await startup.report(app.state.tandem)
        [told] = [line for line in capsys.readouterr().err.splitlines() if " ERROR " in line]
        assert "takes no writes, as a standby does" in told
        assert told.endswith("Until then, requests that write are answered with 503")

    @on_postgresql
    @on_both_doors
    async def test_database_is_unavailable_for_writes_and_serves_reads(self, url: str, door: Door) -> None:
        async with _serving(url) as (_, anonymous, ada):
            with _read_only(url):
                await _refused(door, ada)
                assert (await LIST.on(door, ada)).status == 200
                assert (await anonymous.get("//health/ready")).status_code == 503
            # a connection that took no writes is not used for them again
            await _works(door, ada)
            assert (await anonymous.get("//health/ready")).status_code == 200

    @pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
    async def test_file_is_told_of_when_a_server_starts(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        async with _serving(url) as (app, _, _ada):
            _connection(app).execute("PRAGMA query_only = on")
            await startup.report(app.state.tandem)
        [told] = [line for line in capsys.readouterr().err.splitlines() if " ERROR " in line]
        assert " cannot be written: give the user of the server the right to" in told
        assert told.endswith("Until then, requests that write are answered with 503")

    @pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
    @on_both_doors
    async def test_file_is_unavailable_for_writes_and_serves_reads(self, url: str, door: Door) -> None:
        async with _serving(url) as (app, anonymous, ada):
            writing = _connection(app)
            writing.execute("PRAGMA query_only = on")
            await _refused(door, ada)
            assert (await LIST.on(door, ada)).status == 200
            assert (await anonymous.get("//health/ready")).status_code == 503
            writing.execute("PRAGMA query_only = off")
            await _works(door, ada)


def _connection(app: FastAPI) -> sqlite3.Connection:
    """The one that writes."""
    writer: Any = app.state.tandem.database.writer
    found: sqlite3.Connection = writer._connection._connection
    return found


async def _set_room(app: FastAPI, pages: int) -> None:
    async with app.state.tandem.database.writing() as session:
        await session.execute(text(f"PRAGMA max_page_count = {pages}"))


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
class TestFullDisk:
    @on_both_doors
    async def test_is_unavailable_until_there_is_room(self, url: str, door: Door) -> None:
        async with _serving(url) as (app, _, ada):
            await _set_room(app, 1)  # as large as it is now: SQLITE_FULL
            statuses = []
            for _ in range(40):
                body = {"title": "x", "description": "y" * 20_000}
                result = await CREATE.on(door, ada, body)
                statuses.append((result.status, result.code))
            await _set_room(app, 2**30)

            assert (503, "UNAVAILABLE") in statuses
            assert {code for _, code in statuses} <= {None, "UNAVAILABLE"}
            assert (await LIST.on(door, ada)).status == 200
            await _works(door, ada)


class TestLog:
    @pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
    def test_a_request_leaves_a_line_and_a_traceback_for_those_who_want_it(self, logged: list[Any], level: int) -> None:
        logger = logging.getLogger("tandem.of_this_test")
        logger.setLevel(level)
        cause = OperationalError("UPDATE", {}, sqlite3.OperationalError("attempt to write\na readonly database"))
        log_failure(logger, Unavailable(), cause)

        [record] = logged
        assert record.getMessage() == "database unavailable: attempt to write a readonly database"
        assert (record.exc_info is not None) is (level == logging.DEBUG)


class TestReadiness:
    async def test_database_at_its_newest_revision_is_ready(self, anonymous: Anonymous) -> None:
        assert (await anonymous.get("//health/ready")).status_code == 200

    @pytest.mark.parametrize(
        ("statement", "ready"),
        [
            ("UPDATE alembic_version SET version_num = '0001'", False),
            # a release that comes after this one is migrated to while this one runs
            ("UPDATE alembic_version SET version_num = '9999'", True),
            ("DELETE FROM alembic_version", False),
            ("DROP TABLE alembic_version", False),
        ],
    )
    async def test_schema_must_be_at_its_version(self, url: str, statement: str, ready: bool) -> None:
        async with _serving(url) as (app, anonymous, _):
            async with app.state.tandem.database.writing() as session:
                await session.execute(text(statement))
            answer = await anonymous.get("//health/ready")

        assert answer.status_code == (200 if ready else 503)
        assert ready or answer.json()["code"] == "UNAVAILABLE"

    async def test_database_that_takes_no_write_in_time_is_not_ready(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(readiness, "LIMIT_SECONDS", 0.3)
        async with _serving(url) as (app, anonymous, ada):
            async with _every_turn_taken(app.state.tandem.database):
                answer = await anonymous.get("//health/ready")
                alive = await anonymous.get("//health")
            afterwards = await anonymous.get("//health/ready")
            await _works("rest", ada)

        assert (answer.status_code, alive.status_code, afterwards.status_code) == (503, 200, 200)

    @pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
    async def test_disk_that_is_as_good_as_full_is_not_ready(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        async with _serving(url) as (_, anonymous, _ada):
            monkeypatch.setattr(readiness, "MIN_ROOM_BYTES", 2**62)
            answer = await anonymous.get("//health/ready")

        assert (answer.status_code, answer.json()["detail"]) == (503, "The disk of the database is full")

    async def test_is_found_once_for_all_who_ask_at_a_time(
        self, app: FastAPI, anonymous: Anonymous, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(readiness, "REMEMBERED_SECONDS", 60)
        asked: list[str] = []
        database: Database = app.state.tandem.database
        fresh = readiness.Readiness(database)
        database.observers.append(asked.append)
        for _ in range(5):
            await fresh.require()
        database.observers.remove(asked.append)

        assert sum("alembic_version" in statement for statement in asked) in (1, 2)

    def test_revisions_are_those_of_the_migrations(self) -> None:
        config = Config(str(ROOT / "alembic.ini"))
        config.set_main_option("script_location", str(ROOT / "db" / "migrations"))
        script = ScriptDirectory.from_config(config)

        assert [each.revision for each in script.walk_revisions()] == [*reversed(revisions.REVISIONS)]


@asynccontextmanager
async def _every_turn_taken(database: Database) -> AsyncIterator[None]:
    """Whatever could be written through is in use."""
    async with AsyncExitStack() as stack:
        for _ in range(5 if database.dialect == "postgresql" else 1):
            session = await stack.enter_async_context(database.writing())
            await session.scalar(text("SELECT 1"))
        yield


def _raise(state: str) -> str:
    return f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$"


POSTGRESQL = {
    "no connections left": _raise("53300"),
    "disk full": _raise("53100"),
    "out of memory": _raise("53200"),
    "cancelled": _raise("57014"),
    "shutting down": _raise("57P01"),
    "input or output": _raise("58030"),
    "serialization": _raise("40001"),
    "deadlock": _raise("40P01"),
    "time limit of a transaction": _raise("25P04"),
    "damaged": _raise("XX001"),
    "time limit of a statement": "SET LOCAL statement_timeout = 50; SELECT pg_sleep(1)",
    "read-only": "SET TRANSACTION READ ONLY; CREATE TABLE x (y int)",
    "not migrated: table": "SELECT * FROM nowhere",
    "not migrated: column": "SELECT missing FROM users",
    "no right": "SET LOCAL ROLE pg_monitor; SELECT * FROM pg_authid",
}
DEFECTS = {
    "syntax": "SELEC 1",
    "division": "SELECT 1/0",
    "type": "SELECT 'x'::int",
}


class TestCodes:
    """Of errors that the database itself has raised."""

    @on_postgresql
    @pytest.mark.parametrize("statement", POSTGRESQL.values(), ids=POSTGRESQL)
    async def test_failure_of_postgresql_is_unavailable(self, database: Database, statement: str) -> None:
        statements = [statement] if statement.startswith("DO") else statement.split("; ")

        assert isinstance(from_database(await _error(database, *statements)), Unavailable)

    @on_postgresql
    @pytest.mark.parametrize("statement", DEFECTS.values(), ids=DEFECTS)
    async def test_defect_is_not(self, database: Database, statement: str) -> None:
        assert from_database(await _error(database, statement)) is None

    @pytest.mark.parametrize("statement", ["SELECT * FROM nowhere", "SELECT missing FROM users"])
    async def test_database_that_is_not_migrated_is_unavailable(self, database: Database, statement: str) -> None:
        assert isinstance(from_database(await _error(database, statement)), Unavailable)

    async def test_damaged_file_of_sqlite_is_unavailable(self, tmp_path: Path) -> None:
        (tmp_path / "damaged.db").write_bytes(b"no database" * 1000)
        database = Database(f"sqlite:///{tmp_path / 'damaged.db'}")

        assert isinstance(from_database(await _error(database, "SELECT * FROM users")), Unavailable)
        await database.dispose()

    @pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
    async def test_syntax_error_of_sqlite_is_a_defect(self, database: Database) -> None:
        assert from_database(await _error(database, "SELEC 1")) is None


async def _error(database: Database, *statements: str) -> Exception:
    async def run() -> None:
        async with database.writing() as session:
            for statement in statements:
                await session.execute(text(statement.replace(":", "\\:")))

    with pytest.raises(DBAPIError) as failed:
        await run()
    return failed.value
