"""The operators' commands, started as a user starts them; what they say, and how they end."""

import asyncio
import io
import re
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from rich.console import Console
from sqlalchemy import func, insert, select, text
from typer.testing import CliRunner

from api.main import create_app
from cli import progress
from cli.main import app
from core.clock import now
from core.version import VERSION
from db.driver.database import Database
from db.models import Comment, Event, ExternalId, Project, Task, User
from services import doctor
from services.transfers.summary import Progress
from tests.conftest import ROOT, settings_for
from tests.databases import empty_database
from tests.importing import add_account, busy
from tests.jira_archives import Tracker, pack

T = TypeVar("T")
PASSWORD = "correct horse battery"


class Outcome:
    """How a command ended."""

    def __init__(self, code: int, output: str, errors: str) -> None:
        self.code, self.output, self.errors = code, output, errors

    @property
    def refusal(self) -> str:
        """The one line that a command that failed leaves on stderr."""
        assert self.code == 1, self.errors
        [line] = self.errors.splitlines()
        return line


class Cli:
    """Runs commands on a database, in an empty folder."""

    def __init__(self, url: str, environment: dict[str, str | None]) -> None:
        self.url = url
        cheap: dict[str, str | None] = {"ARGON2_MEMORY_KIB": "64", "ARGON2_ROUNDS": "1"}
        self._environment = {"DATABASE_URL": url, **cheap, **environment}

    def __call__(self, *words: str | Path, typed: str = "", **environment: str | None) -> Outcome:
        done = CliRunner().invoke(
            app, [str(word) for word in words], input=typed, env={**self._environment, **environment}
        )
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Outcome(done.exit_code, done.stdout, done.stderr)

    def ask(self, work: Callable[[Database], Awaitable[T]]) -> T:
        """Do something with the database."""

        async def run() -> T:
            database = Database(self.url)
            try:
                return await work(database)
            finally:
                await database.dispose()

        return asyncio.run(run())

    def row(self, statement: Any) -> Any:
        async def work(database: Database) -> Any:
            async with database.reading() as session:
                return await session.first(statement)

        return self.ask(work)

    def write(self, statement: Any) -> None:
        async def work(database: Database) -> None:
            async with database.writing() as session:
                await session.execute(statement)

        self.ask(work)

    def http(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request to a server on the database."""

        async def request() -> httpx.Response:
            server = create_app(settings_for(self.url), compile_after=0)
            transport = httpx.ASGITransport(server)
            async with (
                server.router.lifespan_context(server),
                httpx.AsyncClient(transport=transport, base_url="http://test") as client,
            ):
                return await client.request(method, path, **options)

        return asyncio.run(request())

    def login(self, username: str, password: str = PASSWORD) -> httpx.Response:
        return self.http("POST", "/token", data={"username": username, "password": password})


@pytest.fixture
def cli(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """Commands on each kind of database."""
    monkeypatch.chdir(tmp_path)
    with empty_database(backend, tmp_path) as url:
        yield Cli(url, {"SECRET_KEY": None})


@pytest.fixture
def lite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """Commands on SQLite: for what they say before, or whatever, the database answers."""
    monkeypatch.chdir(tmp_path)
    with empty_database("sqlite", tmp_path) as url:
        yield Cli(url, {"SECRET_KEY": None})


@pytest.fixture
def admin(cli: Cli) -> Cli:
    """The same, with an administrator called boss."""
    return with_boss(cli)


@pytest.fixture
def lite_admin(lite: Cli) -> Cli:
    return with_boss(lite)


def with_boss(cli: Cli) -> Cli:
    done = cli("create-admin", "boss", "--email", "boss@example.com", "--password-stdin", typed=f"{PASSWORD}\n")
    assert done.code == 0, done.errors
    return cli


@pytest.fixture
def tracker() -> Tracker:
    return Tracker()


def user(name: str) -> Any:
    return select(User).where(User.username_folded == name)


class TestCreateAdmin:
    def test_administrator_can_log_in(self, admin: Cli) -> None:
        token = admin.login("boss").json()["access_token"]

        me = admin.http("GET", "/users/me", headers={"Authorization": f"Bearer {token}"}).json()

        assert (me["username"], me["email"], me["is_admin"]) == ("boss", "boss@example.com", True)
        assert admin.row(select(Project.key).where(Project.inbox_of_id == me["id"])).key == "INBOX"

    def test_password_is_asked_for_twice(self, lite: Cli) -> None:
        typed = f"ada@example.com\n{PASSWORD}\nanother one\n{PASSWORD}\n{PASSWORD}\n"

        done = lite("create-admin", "ada", "--full-name", "Ada", typed=typed)

        assert (done.code, done.output.splitlines()[-1]) == (0, "ada is an administrator.")
        assert PASSWORD not in done.output + done.errors
        assert lite.row(user("ada")).full_name == "Ada"
        assert lite.login("ada@example.com").status_code == 200

    @pytest.mark.parametrize(
        ("name", "email", "password", "complaint"),
        [
            ("ada", "ada@example.com", "short", "password: "),
            ("ada", "nowhere", PASSWORD, "email: "),
            ("a!", "ada@example.com", PASSWORD, "username: "),
            ("ada", "ada@example.com", "", "password: "),
        ],
    )
    def test_what_registration_refuses_is_refused(
        self, lite: Cli, name: str, email: str, password: str, complaint: str
    ) -> None:
        done = lite("create-admin", name, "--email", email, "--password-stdin", typed=f"{password}\n")

        assert done.refusal.startswith(complaint)
        assert lite.row(select(func.count()).select_from(User))[0] == 0

    def test_no_password_on_standard_input(self, lite: Cli) -> None:
        done = lite("create-admin", "ada", "--email", "ada@example.com", "--password-stdin")

        assert done.refusal == "There is no password on standard input"

    def test_name_that_is_taken(self, admin: Cli) -> None:
        done = admin("create-admin", "BOSS", "--email", "b@example.com", "--password-stdin", typed=f"{PASSWORD}\n")

        assert "/username: is taken" in done.refusal

    def test_account_that_exists_is_promoted_and_keeps_its_password(self, cli: Cli) -> None:
        registered = cli.http(
            "POST", "/users", json={"username": "ada", "email": "ada@example.com", "password": PASSWORD}
        )
        assert registered.status_code == 201

        done = cli("create-admin", "Ada", "--promote")

        assert (done.code, done.output) == (0, "ada is an administrator.\n")
        assert cli.row(user("ada")).is_admin
        assert cli.login("ada").status_code == 200
        event = cli.row(select(Event.changes, Event.actor_method).where(Event.kind == "user.updated"))
        assert tuple(event) == ({"is_admin": [False, True]}, "system")

    def test_password_and_names_are_the_same_however_they_are_typed(self, cli: Cli) -> None:
        typed, other = "Schlu\u0308ssel-1", "Schl\u00fcssel-1"
        done = cli("create-admin", "ada", "--email", "Rene\u0301@example.com", "--password-stdin", typed=f"{typed}\n")
        assert done.code == 0, done.errors

        assert cli("create-admin", " \uff21DA", "--promote").output == "ada is an administrator.\n"
        assert [cli.login(name, other).status_code for name in ("ada", "REN\u00c9@example.com")] == [200, 200]
        assert (
            "control characters"
            in cli(
                "create-admin", "bob", "--email", "b@example.com", "--password-stdin", typed="tab\tand more\n"
            ).refusal
        )

    def test_nobody_is_promoted(self, lite: Cli) -> None:
        assert lite("create-admin", "nobody", "--promote").refusal == "Account nobody not found"


class TestClaimUser:
    def test_imported_account_is_handed_over(self, cli: Cli) -> None:
        cli.ask(lambda database: add_account(database, "mia", is_admin=False))
        assert cli.login("mia").status_code == 401

        done = cli("claim-user", "mia", "--email", "Mia@Example.com", "--password-stdin", typed=f"{PASSWORD}\r\n")

        assert (done.code, done.output) == (0, "mia can log in now.\n")
        assert cli.row(user("mia")).email == "mia@example.com"
        assert cli.login("mia").status_code == 200

    def test_account_with_a_password_is_not(self, lite_admin: Cli) -> None:
        done = lite_admin(
            "claim-user", "boss", "--email", "x@example.com", "--password-stdin", typed="another password\n"
        )

        assert done.refusal.startswith("The account boss has a password already")
        assert lite_admin.login("boss").status_code == 200

    @pytest.mark.parametrize(
        ("email", "password", "complaint"),
        [("boss@example.com", PASSWORD, "The e-mail address is taken"), ("x@example.com", "short", "password: ")],
    )
    def test_refusals(self, admin: Cli, email: str, password: str, complaint: str) -> None:
        admin.ask(lambda database: add_account(database, "mia", is_admin=False))

        done = admin("claim-user", "mia", "--email", email, "--password-stdin", typed=f"{password}\n")

        assert done.refusal.startswith(complaint)
        assert admin.row(user("mia")).email is None


class TestDisableUser:
    def test_disabled_account_is_shut_out_until_it_is_enabled(self, admin: Cli) -> None:
        bearer = {"Authorization": f"Bearer {admin.login('boss').json()['access_token']}"}

        assert admin("disable-user", "Boss").output == "boss is disabled.\n"
        assert admin.login("boss").status_code == 401
        assert admin.http("GET", "/users/me", headers=bearer).status_code == 401

        assert admin("enable-user", "boss").output == "boss is enabled.\n"
        assert admin.login("boss").status_code == 200
        # the sessions of before do not come back to life
        assert admin.http("GET", "/users/me", headers=bearer).status_code == 401

    def test_nobody_is_disabled(self, lite: Cli) -> None:
        assert lite("disable-user", "nobody").refusal == "Account nobody not found"


class TestPurgeTrash:
    def test_only_what_cannot_be_restored_is_removed(self, admin: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("services.purge.BATCH", 2)
        project_id = admin.row(select(Project.id)).id
        for number, days in enumerate([None, 1, 29, 31, 40, 400], 1):
            deleted_at = now() - timedelta(days=days) if days else None
            admin.write(
                insert(Task).values(
                    project_id=project_id, number=number, title="x", updated_at=now(), deleted_at=deleted_at
                )
            )
        old = admin.row(select(Task.id).where(Task.number == 5)).id
        admin.write(insert(Comment).values(task_id=old, body="gone too"))
        admin.write(insert(ExternalId).values(system="jira", kind="task", external_id="1", entity_id=old))

        assert admin("purge-trash").output == "Removed 3 tasks.\n"

        assert admin.row(select(func.count(), func.max(Task.number)).select_from(Task)) == (3, 3)
        assert admin.row(select(func.count()).select_from(Comment))[0] == 0
        assert admin.row(select(func.count()).select_from(ExternalId))[0] == 1
        event = admin.row(select(Event.changes).where(Event.kind == "task.purged", Event.entity_id == old))
        assert event.changes == {"ref": ["INBOX-5", None]}
        assert admin("purge-trash").output == "Removed 0 tasks.\n"


class TestImportJira:
    def test_summary_tells_what_was_done(self, admin: Cli, tracker: Tracker, tmp_path: Path) -> None:
        busy(tracker, 12)
        links = [tracker.link(tracker.issue(14)), tracker.link({"id": "absent"}), {}]
        tracker.issue(13, summary="a\0b", priority={"name": "Soonish"}, issuelinks=links, parent={"id": "9"})
        path = tracker.pack(tmp_path)

        first, second = admin("import", "jira", path), admin("import", "jira", path, "--batch", "3")

        assert (first.code, second.code) == (0, 0), first.errors + second.errors
        assert table(first.output) == {
            "Projects": ["1", "0"],
            "with a record of their own": ["1", "0"],
            "People": ["7", "0"],
            "Members of projects": ["7", "0"],
            "Tags": ["4", "0"],
            "Tasks": ["14", "0"],
            "of them subtasks": ["3", "0"],
            "with a due date": ["4", "0"],
            "Comments": ["18", "0"],
            "Relations": ["7", "0"],
        }
        assert table(second.output) == {label: ["0", new] for label, [new, _] in table(first.output).items()}
        said = " ".join(first.output.split())
        for fact in (
            "Subtasks whose parent is not here 1",
            "Links whose other issue is not here 1",
            f"{tracker.key}-13 (1)",
            "priority “Soonish” (1)",
            "Seconds ",
            "Peak memory ",
        ):
            assert fact in said

    def test_summary_tells_what_was_left_out(self, lite_admin: Cli, tracker: Tracker, tmp_path: Path) -> None:
        secret = tracker.comment(visibility={"type": "role", "value": "Administrators"})
        tracker.issue(
            1,
            components=[{"name": "a"}, {"name": "b"}],
            customfield_7="x",
            customfield_8=["y"],
            customfield_9=None,
            created="yesterday",
            labels=["ok", 7.5, {}],
            priority={"name": "[/none]"},
            comments=[secret, tracker.comment()],
        )
        tracker.issue(2, security={"name": "Staff"}, comments=[tracker.comment()], customfield_7="x")
        tracker.put(f"{tracker.key}-3.json", {"key": f"{tracker.key}-3000000000", "fields": {}})
        tracker.put("photo.png", b"")
        path = tracker.pack(tmp_path)

        plain = lite_admin("import", "jira", path, "--no-progress")
        included = lite_admin("import", "jira", path, "--no-progress", "--include-restricted")

        assert (plain.code, included.code) == (0, 0)
        said = " ".join(plain.output.split())
        for fact in (
            "Restricted issues (security level) 1",
            "Restricted comments (for a role, a group or internal, or of a restricted issue) 2",
            f"Times that could not be read 1: {tracker.key}-1 created",
            f"Issues that are none, or whose number is too high 1: {tracker.key}-3.json",
            "Other files 1: photo.png",
            "Components 2",
            "Values of custom fields 3: customfield_7 (2), customfield_8 (1)",
            "Values of another kind than they should be labels (1)",
            "Words not understood priority “[/none]” (1)",
        ):
            assert fact in said
        assert "(0)" not in said
        assert "sprint" not in said.lower()
        assert table(plain.output)["Comments"] == ["1", "0"]
        said = " ".join(included.output.split())
        assert "Restricted issues that every member of the project can read now 1" in said
        assert "Restricted comments that every member of the project can read now 1" in said
        assert table(included.output)["Comments"] == ["2", "1"]

    def test_project_that_cannot_be_imported_fails_after_the_others(
        self, lite_admin: Cli, tracker: Tracker, tmp_path: Path
    ) -> None:
        other = Tracker()
        other.key, here = "TOO_CLEVER", other.key
        other.issue(1, comments=[other.comment()])
        tracker.issue(1)
        path = pack(tmp_path / "both.tar", {**other.files, **tracker.files})

        refused = lite_admin("import", "jira", path)
        mapped = lite_admin("import", "jira", path, "--map-key", f"too_clever={here.lower()}")

        assert refused.refusal.startswith("TOO_CLEVER was not imported: a key has 2 to 10 capital letters and digits")
        assert "TOO_CLEVER 1 issues and 1 comments: a key has" in " ".join(refused.output.split())
        assert table(refused.output)["Tasks"] == ["1", "0"]
        assert (mapped.code, mapped.errors.replace("\n", "")) == (0, "")
        assert table(mapped.output)["Tasks"] == ["1", "1"]
        assert lite_admin.row(select(Project.key).where(Project.name == "Invented", Project.key == here)).key == here

    @pytest.mark.parametrize(
        ("words", "reason"),
        [
            (["--map-key", "A_B"], "--map-key takes OLD=NEW, not A_B"),
            (["--map-key", "=AB"], "--map-key takes OLD=NEW"),
            (["--map-key", "A_B=A_C"], "A_C cannot be the key of a project: a key has 2 to 10"),
            (["--map-key", "A_B=AB", "--map-key", "A_B=AC"], "--map-key gives A_B two keys, AB and AC"),
            (["--map-key", "A_B=AB", "--map-key", "A_C=AB"], "AB is given to more than one project"),
            (["--map-key", "A_B=AB"], "dump.tar.xz holds no issues of A_B"),
        ],
    )
    def test_wrong_keys_are_told(
        self, lite_admin: Cli, tracker: Tracker, tmp_path: Path, words: list[str], reason: str
    ) -> None:
        tracker.issue(1)

        assert reason in lite_admin("import", "jira", tracker.pack(tmp_path), "--no-progress", *words).refusal

    def test_projects_owner_and_source_can_be_chosen(self, lite_admin: Cli, tracker: Tracker, tmp_path: Path) -> None:
        lite_admin.ask(lambda database: add_account(database, "ada", is_admin=False))
        tracker.issue(1)
        path = tracker.pack(tmp_path)

        done = lite_admin(
            "import",
            "jira",
            path,
            "--project",
            tracker.key.lower(),
            "--owner",
            "ada",
            "--source",
            "old",
            "--no-progress",
        )

        assert (done.code, done.errors) == (0, "")
        assert lite_admin.row(select(Event.changes).where(Event.kind == "project.imported")).changes == {
            "source": [None, f"old:{tracker.key}"]
        }

    def test_lines_tell_the_progress_where_there_is_no_terminal(
        self, lite_admin: Cli, tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
        tracker.issue(1, comments=[tracker.comment()])

        done = lite_admin("import", "jira", tracker.pack(tmp_path))

        assert "100%  1 issues, 1 comments, " in done.errors
        assert " s left" in done.errors

    def test_bar_tells_it_in_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        screen = io.StringIO()
        monkeypatch.setattr(progress, "Console", lambda **_: Console(file=screen, force_terminal=True, width=140))

        with progress.display(wanted=True) as shown:
            shown(Progress(position=500, size=1000, tasks=1234, comments=5678))
            shown(Progress(position=1000, size=1000, tasks=2000, comments=9000))

        assert "100%" in screen.getvalue()
        assert "2,000 issues, 9,000 comments" in screen.getvalue()

    def test_project_that_is_not_there_fails_after_the_others(
        self, lite_admin: Cli, tracker: Tracker, tmp_path: Path
    ) -> None:
        tracker.issue(1)

        done = lite_admin("import", "jira", tracker.pack(tmp_path), "--project", tracker.key, "--project", "AWAY")

        assert done.refusal == "dump.tar.xz holds no issues of AWAY"
        assert table(done.output)["Tasks"] == ["1", "0"]

    def test_nobody_to_own_the_projects(self, lite: Cli, tracker: Tracker, tmp_path: Path) -> None:
        tracker.issue(1)

        assert "create-admin" in lite("import", "jira", tracker.pack(tmp_path)).refusal

    def test_broken_archive(self, lite_admin: Cli, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("no archive")

        assert lite_admin("import", "jira", "notes.txt").refusal.startswith("notes.txt is not a tar archive")
        assert lite_admin("import", "jira", "absent.tar").refusal == "Cannot open absent.tar: No such file or directory"

    @pytest.mark.parametrize("words", [["--batch", "0"], ["--batch", "many"], ["--unknown"]])
    def test_wrong_options(self, lite_admin: Cli, words: list[str]) -> None:
        assert lite_admin("import", "jira", "dump.tar", *words).code == 2

    @pytest.mark.parametrize("source", ["", "x" * 51])
    def test_source_must_fit(self, lite_admin: Cli, source: str) -> None:
        assert "--source" in lite_admin("import", "jira", "dump.tar", "--source", source).refusal


class TestDatabase:
    def test_database_that_is_not_there_is_not_made(self, tmp_path: Path) -> None:
        path = tmp_path / "absent.db"

        assert "make migrate" in Cli(f"sqlite:///{path}", {})("purge-trash").refusal
        assert not path.exists()

    def test_database_without_tables(self, tmp_path: Path) -> None:
        sqlite3.connect(tmp_path / "bare.db").close()
        (tmp_path / "bare.db").touch()

        assert "make migrate" in Cli(f"sqlite:///{tmp_path / 'bare.db'}", {})("purge-trash").refusal

    def test_database_of_another_revision(self, cli: Cli) -> None:
        cli.write(text("UPDATE alembic_version SET version_num = 'older'"))

        assert "is at revision older" in cli("purge-trash").refusal

    def test_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "text.db").write_text("This is no database, and long enough to be seen as none. " * 20)

        assert "is not an SQLite database" in Cli(f"sqlite:///{tmp_path / 'text.db'}", {})("purge-trash").refusal

    def test_server_that_does_not_answer_keeps_the_password_to_itself(self) -> None:
        done = Cli("postgresql://ada:hidden-word@127.0.0.1:1/tandem", {})("purge-trash")

        assert done.refusal.startswith("No PostgreSQL answers at 127.0.0.1:1: ")
        assert "hidden-word" not in done.errors

    @pytest.mark.parametrize("url", ["mysql://localhost/x", "sqlite://", "nonsense", "postgresql://h:port/x"])
    def test_url_that_says_nothing(self, url: str) -> None:
        assert Cli(url, {})("purge-trash").refusal.startswith("DATABASE_URL")

    def test_url_may_stand_in_the_env_file(self, lite: Cli, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text(f"DATABASE_URL={lite.url}\n")

        done = lite("purge-trash", DATABASE_URL=None)

        assert (done.code, done.output) == (0, "Removed 0 tasks.\n")

    def test_setting_that_is_wrong(self, lite: Cli) -> None:
        words = ("create-admin", "ada", "--email", "ada@example.com", "--password-stdin")

        assert (
            "ARGON2_ROUNDS must be a whole number. "
            in lite(*words, typed=f"{PASSWORD}\n", ARGON2_ROUNDS="many").refusal
        )


class TestSchema:
    def test_what_was_exported_is_checked(self, tmp_path: Path) -> None:
        cli = Cli("sqlite:///./unused.db", {"SECRET_KEY": None})
        folder = ("--directory", tmp_path)

        assert cli("schema", "export", *folder).code == 0
        first = {path.name: path.read_bytes() for path in tmp_path.rglob("*.*")}
        assert cli("schema", "check", *folder).code == 0
        cli("schema", "export", *folder)
        assert {path.name: path.read_bytes() for path in tmp_path.rglob("*.*")} == first
        assert set(first) == {"schema.graphql", "openapi.json", "asyncapi.json", "parity.md", "roles.md"}

        (tmp_path / "schema.graphql").write_bytes(first["schema.graphql"].replace(b"type Task ", b"type Chore "))
        done = cli("schema", "check", *folder)

        assert done.code == 1
        assert "-type Chore " in done.errors
        assert "+type Task " in done.errors
        assert done.errors.splitlines()[-1] == "schema.graphql: not what the code says. Run: make schema"

    def test_missing_files_are_stale(self, tmp_path: Path) -> None:
        done = Cli("sqlite:///./unused.db", {})("schema", "check", "--directory", tmp_path)

        assert done.code == 1
        assert "schema.graphql and openapi.json and asyncapi.json and docs/parity.md" in done.errors.splitlines()[-1]


def test_module_can_be_run() -> None:
    done = subprocess.run([sys.executable, "-m", "cli", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)

    for name in ("create-admin", "claim-user", "disable-user", "enable-user", "purge-trash", "import", "schema"):
        assert name in done.stdout


def table(output: str) -> dict[str, list[str]]:
    """The rows of the first table in an output: label to the columns that are not empty."""
    found = {}
    for line in output.splitlines():
        if line.startswith("│"):
            label, *cells = (cell.strip() for cell in line.strip("│").split("│"))
            found[label] = [cell for cell in cells if cell]
    return found


class TestPasswords:
    def test_new_password_from_standard_input_ends_sessions(self, admin: Cli) -> None:
        bearer = {"Authorization": f"Bearer {admin.login('boss').json()['access_token']}"}

        done = admin("set-password", "BOSS", "--password-stdin", typed="another horse\n")

        assert (done.code, done.output) == (0, "boss can log in with the new password; its sessions have ended.\n")
        assert admin.http("GET", "/users/me", headers=bearer).status_code == 401
        assert [admin.login("boss", word).status_code for word in (PASSWORD, "another horse")] == [401, 200]

    def test_it_is_no_argument_that_others_on_the_machine_could_read(self, lite_admin: Cli) -> None:
        assert lite_admin("set-password", "boss", "another horse").code == 2

    @pytest.mark.parametrize(
        ("name", "password", "told"),
        [("boss", "short", "password: must have at least 8"), ("nobody", PASSWORD, "Account nobody not found")],
    )
    def test_refusals(self, lite_admin: Cli, name: str, password: str, told: str) -> None:
        refused = lite_admin("set-password", name, "--password-stdin", typed=f"{password}\n").refusal
        assert refused.startswith(told)

    def test_token_is_all_that_is_on_standard_output_and_sets_a_password(self, admin: Cli) -> None:
        done = admin("reset-token", "boss", "--minutes", "5")

        token = done.output.strip()
        assert token.startswith("tdp_")
        assert done.errors.startswith("It works once, for 5 minutes: ")
        body = {"token": token, "new_password": "another horse"}
        assert admin.http("POST", "/password-reset/confirm", json=body).status_code == 204
        assert admin.login("boss", "another horse").status_code == 200

    def test_token_for_nobody(self, lite_admin: Cli) -> None:
        assert lite_admin("reset-token", "nobody").refusal == "Account nobody not found"
        lite_admin("disable-user", "boss")
        assert lite_admin("reset-token", "boss").refusal == "The account boss is disabled: enable it first"

    def test_invitation(self, admin: Cli) -> None:
        token = admin("invite", "--email", "Eve@example.com").output.strip()

        body = {"username": "eve", "email": "eve@example.com", "password": PASSWORD, "invitation": token}
        assert admin.http("POST", "/users", json=body).status_code == 201
        assert admin("invite", "--email", "nowhere").refusal.startswith("email: must be an e-mail address, such as")

    def test_accounts_are_listed(self, admin: Cli) -> None:
        admin.http("POST", "/users", json={"username": "eve", "email": "eve@example.com", "password": PASSWORD})
        admin("disable-user", "eve")

        listed = [line.split() for line in admin("list-users").output.splitlines()]
        assert [line[1:] for line in listed] == [
            ["boss", "boss@example.com", "administrator"],
            ["eve", "eve@example.com", "disabled"],
        ]


def test_version() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"Tandem {VERSION}\n")
    assert f'version = "{VERSION}"' in (ROOT / "pyproject.toml").read_text("utf-8")


class TestDoctor:
    """What it finds, and how to mend it; the exit status says whether all is well."""

    STRONG = "k7Jq2vXz9pLm4RtY8wBn3sDf6gHc1aEu5oIi0QWx"

    def found(self, cli: Cli, **environment: str | None) -> tuple[int, dict[str, tuple[str, str]]]:
        given = {"SECRET_KEY": self.STRONG, **environment}
        done = cli("doctor", typed="", **given)
        assert not done.errors
        lines = [re.split(r" {2,}", line, maxsplit=2) for line in done.output.splitlines()]
        return done.code, {what: (mark, sentence) for mark, what, sentence in lines}

    def test_all_is_well(self, cli: Cli) -> None:
        code, found = self.found(cli)

        assert (code, {mark for mark, _ in found.values()}) == (0, {"ok"})
        assert [*found] == ["python", "libraries", "settings", "database", "writing", "clock", "redis", "mail"]

    @pytest.mark.parametrize(
        ("environment", "what", "told"),
        [
            ({"SECRET_KEY": None}, "settings", "SECRET_KEY is required: `make dotenv` writes a random one into .env. "),
            ({"LOG_LEVEL": "loud"}, "settings", "LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR. Mend it in"),
            ({"DATABASE_URL": "mysql://h/x"}, "database", "DATABASE_URL: mysql is not supported; use sqlite"),
            ({"DATABASE_URL": "sqlite:///none.db"}, "database", "There is no database none.db: make it with make mig"),
            ({"DATABASE_URL": "postgresql://u@127.0.0.1:1/x"}, "database", "No PostgreSQL answers at 127.0.0.1:1: "),
            ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "redis", "Redis does not answer (Error 111 connecting to 127."),
            ({"MAILER": "smtp", "SMTP_HOST": "127.0.0.1", "SMTP_PORT": "1"}, "mail", "127.0.0.1:1 takes no mail ("),
        ],
    )
    def test_what_is_not(self, lite: Cli, environment: dict[str, str | None], what: str, told: str) -> None:
        code, found = self.found(lite, **environment)

        mark, sentence = found[what]
        assert (code, mark) == (1, "MEND")
        assert sentence.startswith(told)

    def test_name_in_the_env_file_that_is_nearly_a_settings(self, lite: Cli, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("DATABSE_URL=x\nPOSTGRES_PASSWORD=y\nSECRET_KEY=\n")

        done = lite("doctor", SECRET_KEY=self.STRONG)
        assert "DATABSE_URL in .env is not a setting; did you mean DATABASE_URL?\n" in done.output
        assert "POSTGRES" not in done.output

    def test_database_of_before(self, cli: Cli) -> None:
        cli.write(text("UPDATE alembic_version SET version_num = '0001'"))
        assert self.found(cli)[1]["database"][1].startswith("The database is at revision 0001, this program needs ")

    def test_libraries_of_another_set(self) -> None:
        finding = doctor._libraries({"pydantic": {"0.1"}, "nowhere-at-all": {"1"}})
        assert not finding.well
        assert re.match(
            r"Not those of requirements.txt \(pydantic is [\d.]+, not 0.1\): install them", finding.sentence
        )

    async def test_clock_of_before_the_program(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("services.doctor.now", lambda: now() - timedelta(days=20_000))
        assert "before this program was made: set the clock" in (await doctor._clock(database)).sentence
