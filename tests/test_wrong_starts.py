"""Every way to start wrong ends in a sentence with a way out, and never in a traceback."""

import logging
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import config as alembic
from pydantic import ValidationError
from sqlalchemy import make_url
from typer.testing import CliRunner

from api import startup
from api.server import __main__ as server
from cli.main import app as commands
from core import logs, refused_settings
from core.settings import Settings
from db import diagnosis, revisions
from db.driver.database import Database
from services import doctor
from tests.conftest import ROOT, migrate
from tests.infrastructure import require

STRONG = "k7Jq2vXz9pLm4RtY8wBn3sDf6gHc1aEu5oIi0QWx"
WHERE = refused_settings.WHERE

SETTINGS: dict[str, list[tuple[str, str]]] = {
    "environment": [("prod", "must be one of development, test, production")],
    "debug": [("perhaps", "must be true or false")],
    "database_pool_size": [("0", "must be at least 1"), ("many", "must be a whole number")],
    "database_pool_timeout": [("0", "must be more than 0"), ("inf", "must be a finite number")],
    "redis_url": [("localhost:6379", "REDIS_URL: must be redis://host:port/number, or rediss:// for TLS")],
    "secret_key": [("short", "SECRET_KEY is too weak: use at least 32 random characters")],
    "api_key": [("short", "API_KEY is too weak"), ("é" * 40, "API_KEY: must be visible ASCII characters")],
    "jwt_private_key_file": [("/nowhere", "JWT_PRIVATE_KEY_FILE: there is no file of this name")],
    "access_token_minutes": [("0", "must be at least 1"), ("9999", "must be at most 1,440")],
    "refresh_token_days": [("366", "must be at most 365")],
    "argon2_memory_kib": [("7", "must be at least 8")],
    "argon2_rounds": [("0", "must be at least 1")],
    "allowed_origins": [("localhost", "ALLOWED_ORIGINS: "), ("[", "ALLOWED_ORIGINS: begins like a JSON list")],
    **{
        name: [("often", "must be one number of requests in a time, from 1, e.g. 20/minute, or off")]
        for name in (
            *("rate_limit", "login_rate_limit", "login_failure_limit", "login_address_failure_limit"),
            *("login_account_failure_limit", "registration_rate_limit", "refresh_rate_limit", "probe_rate_limit"),
            "password_reset_rate_limit",
        )
    },
    "max_body_bytes": [("10", "must be at least 1,024")],
    "max_answer_bytes": [("10", "must be at least 1,048,576")],
    "body_timeout_seconds": [("-1", "must be more than 0")],
    "request_timeout_seconds": [("0", "must be at least 0.1"), ("4000", "must be at most 3,600")],
    "socket_init_seconds": [("0", "must be more than 0")],
    "socket_message_bytes": [("1", "must be at least 1,024")],
    "socket_send_seconds": [("0", "must be more than 0")],
    "sockets_per_address": [("0", "must be at least 1")],
    "sockets_per_caller": [("0", "must be at least 1")],
    "operations_per_caller": [("1.5", "must be a whole number")],
    "graphql_introspection": [("perhaps", "must be true or false")],
    "graphiql": [("2", "must be true or false")],
    "api_docs": [("x", "must be true or false")],
    "hsts_seconds": [("-1", "must be at least 0")],
    "header_timeout_seconds": [("soon", "must be a number")],
    "write_timeout_seconds": [("nan", "must be a finite number")],
    "max_connections": [("0", "must be at least 1")],
    "max_requests_in_progress": [("0", "must be at least 1")],
    "max_requests_waiting": [("-1", "must be at least 0")],
    "shutdown_delay_seconds": [("601", "must be at most 600")],
    "password_reset_minutes": [("0", "must be at least 1")],
    "password_reset_url": [("https://app.example.com/reset", "must be an address with {token} in it, e.g. https://")],
    "registration": [("invites", "must be one of open, invite, closed; did you mean invite?")],
    "email_verification": [("on", "must be one of off, optional, required")],
    "mailer": [
        ("smpt", "must be one of off, console, file, smtp; did you mean smtp?"),
        ("smtp", "SMTP_HOST is required"),
    ],
    "public_url": [("tasks.example.com", "PUBLIC_URL: must be where this server is reached, e.g. https://")],
    "task_url": [("https://app.example.com/tasks", "TASK_URL: must be an address with {ref} or {id} in it")],
    "mail_from": [("nobody", "must be an e-mail address, e.g. Tandem <tandem@example.com>")],
    "smtp_port": [("0", "must be at least 1"), ("99999", "must be at most 65,535")],
    "smtp_password": [("a secret of theirs", "SMTP_USER is required with SMTP_PASSWORD")],
    "smtp_tls": [("on", "must be one of starttls, tls, off")],
    "persisted_queries_bytes": [("-1", "must be at least 0")],
    "trusted_documents": [("/nowhere", "TRUSTED_DOCUMENTS: there is no file of this name")],
    "embedded_worker": [("maybe", "must be true or false")],
    "worker_lease_seconds": [("0", "must be at least 1")],
    "event_retention_days": [("3", "must be at least 4"), ("never", "must be a whole number")],
    "due_soon_days": [("-1", "must be at least 0"), ("soon", "must be a whole number")],
    "webhook_log_days": [("0", "must be at least 1")],
    "webhook_timeout_seconds": [("61", "must be at most 60")],
    "webhook_resolver": [("ns.example.com", "WEBHOOK_RESOLVER: must be an address and a port")],
    "webhook_test_ports": [("http", "WEBHOOK_TEST_PORTS: must be ports"), ("0", "WEBHOOK_TEST_PORTS: must be ports")],
    "webhook_test_delays": [("soon", "WEBHOOK_TEST_DELAYS: must be seconds")],
    "log_level": [("info", "must be one of DEBUG, INFO, WARNING, ERROR; did you mean INFO?")],
    "log_format": [("text", "must be one of console, json")],
}
WITHOUT_A_WRONG_VALUE = {"database_url", "jwt_issuer", "jwt_audience", "mail_folder", "smtp_host", "smtp_user"}
"""The URL is understood by those who open the database, below; names may be any."""


def one_line(text: str) -> str:
    """What was printed, which is a single line of people's words."""
    assert "Traceback" not in text
    [line] = text.strip().splitlines()
    return line


def wrong(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


class TestSettings:
    def test_every_setting_has_a_wrong_value_here(self) -> None:
        assert SETTINGS.keys() == Settings.model_fields.keys() - WITHOUT_A_WRONG_VALUE

    @pytest.mark.parametrize(
        ("name", "value", "words"), [(name, *case) for name, cases in SETTINGS.items() for case in cases]
    )
    def test_wrong_value_is_named_with_what_is_right(self, name: str, value: str, words: str) -> None:
        with pytest.raises(ValidationError) as refused:
            wrong(**{"secret_key": STRONG, name: value})
        sentence = startup.explained(refused.value)

        assert sentence is not None
        assert sentence.startswith(words if words.startswith((name.upper(), "SMTP_")) else f"{name.upper()} {words}"), (
            sentence
        )
        assert sentence.endswith(WHERE)
        assert STRONG not in sentence
        assert "\n" not in sentence

    def test_absent_secret_says_who_writes_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SECRET_KEY", raising=False)
        with pytest.raises(ValidationError) as refused:
            Settings(_env_file=None)
        assert refused_settings.explain(refused.value).startswith(refused_settings.MISSING_KEY)

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"debug": "true"}, "DEBUG is not for production: LOG_LEVEL=DEBUG logs as much. "),
            ({"allowed_origins": "*"}, "ALLOWED_ORIGINS must name origins in production, not '*'. "),
            ({"secret_key": f"changeme{STRONG}"}, "SECRET_KEY is too weak: "),
        ],
    )
    def test_what_production_refuses(self, values: dict[str, Any], words: str) -> None:
        with pytest.raises(ValidationError) as refused:
            Settings(_env_file=None, **{"secret_key": STRONG, "environment": "production"} | values)
        assert refused_settings.explain(refused.value).startswith(words)

    def test_several_are_told_at_once(self) -> None:
        with pytest.raises(ValidationError) as refused:
            Settings(_env_file=None, secret_key=STRONG, log_level="x", graphiql="x")  # type: ignore[arg-type]
        assert refused_settings.explain(refused.value).startswith("GRAPHIQL must be true or false; LOG_LEVEL must be ")

    def test_defect_is_no_sentence(self) -> None:
        assert startup.explained(ValueError("not enough values to unpack")) is None
        assert startup.explained(TypeError("DATABASE_URL is odd")) is None


def migrating(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """How ``alembic upgrade head`` ends."""
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(SystemExit) as end:
        alembic.main(["--config", str(ROOT / "alembic.ini"), "upgrade", "head"])
    prefix, _, sentence = one_line(str(end.value)).partition(": ")
    assert prefix == "Cannot migrate"
    return sentence


def commanding(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """How a command ends."""
    monkeypatch.setenv("DATABASE_URL", url)
    done = CliRunner().invoke(commands, ["purge-trash"])
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    return one_line(done.stderr)


WAYS = pytest.mark.parametrize("start", [migrating, commanding])
Start = Callable[[str, pytest.MonkeyPatch], str]


@pytest.fixture(autouse=True)
def _loggers_as_they_were(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(ROOT)
    found = [logging.getLogger(name) for name in ("tandem", "alembic.runtime.migration", *logs.FOREIGN)]
    before = [(each, each.handlers[:], each.filters[:], each.level, each.propagate) for each in found]
    yield
    for each, handlers, filters, level, propagate in before:
        each.handlers[:], each.filters[:], each.level, each.propagate = handlers, filters, level, propagate


@WAYS
class TestDatabases:
    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("mysql://host/db", "DATABASE_URL: mysql is not supported; use sqlite:///… or postgresql://…"),
            ("nonsense", "DATABASE_URL is no URL: use sqlite:///… or postgresql://…"),
            ("sqlite://", "DATABASE_URL: SQLite needs a file, e.g. sqlite:///./tandem.db"),
            ("sqlite:///x.db?mode=ro", "DATABASE_URL: SQLite takes no mode here: leave out the ?…"),
            ("postgresql://h/x?colour=red", "DATABASE_URL: PostgreSQL's connections have no colour that could be set"),
            ("postgresql://u@127.0.0.1:1/x", "No PostgreSQL answers at 127.0.0.1:1: start it, or mend the host"),
            ("postgresql://u@host.invalid/x", "There is no host host.invalid: mend it in DATABASE_URL"),
        ],
    )
    def test_url(self, url: str, words: str, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        assert start(url, monkeypatch).startswith(words)

    def test_host_that_does_not_answer(self, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(0)
            port = silent.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port)):
                sentence = start(f"postgresql://u@127.0.0.1:{port}/x?connect_timeout=2", monkeypatch)
        assert sentence.startswith(
            (f"PostgreSQL at 127.0.0.1:{port} does not answer in time: mend", "The database does")
        )

    def test_database_role_and_password(self, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        url = make_url(require("postgresql"))
        dsn = url.set(drivername="postgresql", database="nowhere_at_all")
        place = f"{url.host}:{url.port}" if url.port else str(url.host)
        flags = f" -h {url.host}{f' -p {url.port}' if url.port else ''} -U {url.username}"

        told = start(dsn.render_as_string(hide_password=False), monkeypatch)
        assert told == f"There is no database nowhere_at_all on {place}: make it with createdb{flags} nowhere_at_all"

        told = start(dsn.set(username="nobody_here", password="x").render_as_string(False), monkeypatch)
        assert told.startswith(
            (
                f"There is no role nobody_here on {place}: make it with createuser -h {url.host}",
                # where passwords are asked for first, nobody is told who there is
                f"{place} does not let nobody_here in: mend the user or the password in DATABASE_URL",
            )
        )

    def test_folder_in_place_of_a_file(self, start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        assert (
            start(f"sqlite:///{tmp_path}", monkeypatch) == f"{tmp_path} is a folder: name a file in it in DATABASE_URL"
        )

    def test_file_that_is_no_database(self, start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "letter.txt").write_text("Dear Ada, " * 200)
        told = start(f"sqlite:///{tmp_path}/letter.txt", monkeypatch)
        assert told == f"{tmp_path}/letter.txt is not an SQLite database: name another file in DATABASE_URL"

    def test_newer_than_the_program(self, start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/new.db"
        migrate(url)
        with sqlite3.connect(tmp_path / "new.db") as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
        assert start(url, monkeypatch).startswith(
            f"The database is at revision 9999, which is newer than this program, which knows {revisions.NEWEST}: start"
        )


class TestSqliteFolders:
    def test_absent_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told = migrating("sqlite:////nowhere/at/all.db", monkeypatch)
        assert told == "There is no folder /nowhere/at: make it, or name another file in DATABASE_URL"

    def test_folder_that_cannot_be_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told = migrating("sqlite:////proc/tandem.db", monkeypatch)  # not even by root
        assert told.startswith(
            "/proc cannot be written: give the user of the server the right to, or name another file"
        )

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_file_that_cannot_be_written(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "kept.db").touch(0o400)
        assert migrating(f"sqlite:///{tmp_path}/kept.db", monkeypatch).startswith(
            f"{tmp_path}/kept.db cannot be written"
        )

    def test_command_makes_no_file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        told = commanding(f"sqlite:///{tmp_path}/none.db", monkeypatch)
        assert told == f"There is no database {tmp_path}/none.db: make it with make migrate (alembic upgrade head)"
        assert not (tmp_path / "none.db").exists()

    def test_command_on_an_empty_one(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        sqlite3.connect(tmp_path / "empty.db").close()
        told = commanding(f"sqlite:///{tmp_path}/empty.db", monkeypatch)
        assert told == "The database has no tables yet: make them with make migrate (alembic upgrade head)"


class TestSentences:
    """What servers say that no test here has: another libpq, other rights."""

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            (
                'FATAL:  role "ada" does not exist',
                "There is no role ada on h:5433: make it with createuser -h h -p 5433 --pwprompt ada",
            ),
            ('FATAL:  password authentication failed for user "ada"', "h:5433 does not let ada in: mend the user"),
            ("fe_sendauth: no password supplied", "h:5433 asks for the password of ada: put it into DATABASE_URL"),
            ('no pg_hba.conf entry for host "10.0.0.1"', "h:5433 takes no connection of ada from here: allow it"),
            ("connection to server failed: timeout expired", "PostgreSQL at h:5433 does not answer in time"),
            ("FATAL:  sorry, too many clients already", "PostgreSQL at h:5433 has no connection left: raise"),
            ("permission denied for schema public", "ada may not use the schema on h:5433: GRANT it"),
            ("server does not support SSL, but SSL was required", "No connection by TLS to h:5433: mend sslmode"),
            ("DELETE in a read-only transaction", "PostgreSQL at h:5433 takes no writes, as a standby does"),
            ("something else", "The database cannot be used (h:5433): something else"),
        ],
    )
    def test_of_postgresql(self, said: str, told: str) -> None:
        url = make_url("postgresql://ada:secret-1@h:5433/tandem")
        sentence = diagnosis.explain(url, psycopg.OperationalError(said))
        assert sentence.startswith(told)
        assert "secret-1" not in sentence + diagnosis.shown(url)

    def test_revisions(self) -> None:
        assert diagnosis.of_revision(revisions.NEWEST) is None
        old = diagnosis.of_revision(revisions.REVISIONS[0])
        assert old is not None
        assert old.endswith(f"needs {revisions.NEWEST}: bring it up to date with make migrate (alembic upgrade head)")

    async def test_server_says_it_in_its_log(self, tmp_path: Path) -> None:
        database = Database(f"sqlite:///{tmp_path}/none.db")
        assert await doctor.database_problem(database) == diagnosis.of_revision(None)
        await database.dispose()


class TestAddresses:
    def test_port_that_is_taken(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(
                SystemExit, match=f"port {port} of 127.0.0.1 is taken: stop what listens there, or choose"
            ):
                startup.require_address("127.0.0.1", port)
        startup.require_address("127.0.0.1", port)

    @pytest.mark.parametrize("host", ["host.invalid", "192.0.2.1"])
    def test_host_of_another_machine(self, host: str) -> None:
        with pytest.raises(SystemExit, match=f"HOST names no address of this machine: {host}"):
            startup.require_address(host, 8000)

    def test_folder_of_metrics(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", f"{tmp_path}/file/folder")
        with pytest.raises(SystemExit, match=r"PROMETHEUS_MULTIPROC_DIR: the folder cannot be made .*\. Mend it in"):
            startup.require_metrics_folder()

    def test_places_are_told_once_it_serves(self) -> None:
        settings = Settings(_env_file=None, secret_key=STRONG, database_url="postgresql://u:hidden-1@h/db")  # type: ignore[arg-type]
        told = [*startup.places(settings, startup.address("0.0.0.0", 8000))]  # noqa: S104  nothing is opened
        assert told[:3] == [
            "playground: http://localhost:8000/graphql",
            "REST reference: http://localhost:8000/reference",
            "database: PostgreSQL, db at h",
        ]
        assert "make demo" in told[3]
        quiet = settings.model_copy(update={"environment": "production"})
        assert [*startup.places(quiet, startup.address("::1", 80))] == ["database: PostgreSQL, db at h"]


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "api.server"],
        ["-m", "uvicorn", "api.main:app", "--port", "0"],
        ["-m", "gunicorn", "--config", "gunicorn.conf.py", "api.main:app"],
    ],
    ids=lambda command: command[1],
)
def test_every_server_ends_in_the_sentence(command: list[str]) -> None:
    environment = {**os.environ, "SECRET_KEY": STRONG, "DATABASE_URL": "mysql://host/db", "LOG_LEVEL": "INFO"}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode != 0
    last = (done.stderr + done.stdout).strip().splitlines()[-1]
    assert (
        last == f"Tandem cannot start: DATABASE_URL: mysql is not supported; use sqlite:///… or postgresql://… {WHERE}"
    )
    assert "Traceback" not in done.stderr


def test_server_of_ours_takes_no_arguments(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It would start and listen where nobody expects it, with what was meant ignored."""
    monkeypatch.setattr(sys, "argv", ["api.server", "--port", "9000"])
    with pytest.raises(SystemExit, match="takes no arguments: HOST, PORT, WORKERS") as ended:
        server.main()
    assert ended.value.code not in (0, None)

    monkeypatch.setattr(sys, "argv", ["api.server", "--help"])
    server.main()
    assert "come from the environment" in capsys.readouterr().out
