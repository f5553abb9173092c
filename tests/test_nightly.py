"""The example of a nightly job, run against a live server as anybody would run it."""

import csv
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import create_engine, func, select

from db.models import Event, Task
from tests.actors import PASSWORD
from tests.conftest import ROOT, settings_for
from tests.databases import empty_database
from tests.live import LiveServer

ROWS = 500


class Job:
    """The script, its file, and the project that it fills."""

    def __init__(self, url: str, folder: Path) -> None:
        self.file = folder / "rows.csv"
        with httpx.Client(base_url=f"{url}/api/v1") as client:
            account = {"username": "ada", "email": "ada@example.com", "password": PASSWORD}
            client.post("/users", json=account).raise_for_status()
            token = client.post("/token", data={"username": "ada", "password": PASSWORD}).json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            self.project: int = client.post("/projects", json={"name": "Nightly"}).json()["id"]
            made = client.post("/users/me/api-keys", json={"name": "nightly", "scopes": ["tasks:write"]})
            self.environment = {**os.environ, "TANDEM_URL": url, "TANDEM_API_KEY": made.json()["secret"]}

    def write(self, rows: list[dict[str, Any]]) -> None:
        with self.file.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["id", "title", "status", "priority", "due", "tags"])
            writer.writeheader()
            writer.writerows(rows)

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        script = [sys.executable, str(ROOT / "examples" / "nightly.py"), str(self.file)]
        given = ["--project", str(self.project), "--source", "crm", *options]
        return subprocess.run(
            [*script, *given], env=self.environment, capture_output=True, text=True, check=False, timeout=120
        )


def _counts(url: str) -> list[int]:
    """How many tasks and events there are, read past the server."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return [connection.scalar(select(func.count()).select_from(model)) or 0 for model in (Task, Event)]
    finally:
        engine.dispose()


def _rows() -> list[dict[str, Any]]:
    return [
        {
            "id": f"C-{number}",
            "title": f"Call customer {number}",
            "status": "pending" if number % 2 else "in_progress",
            "priority": number % 5 + 1,
            "due": "2027-01-31T17:00:00Z" if number % 3 else "",
            "tags": "crm;call" if number % 4 else "",
        }
        for number in range(ROWS)
    ]


def test_no_example_has_the_name_of_a_module_of_python() -> None:
    """Such a one would be imported in its place by any script beside it."""
    assert not {path.stem for path in (ROOT / "examples").glob("*.py")} & sys.stdlib_module_names


def test_what_is_not_as_it_should_be_is_a_sentence(backend: str, tmp_path: Path) -> None:
    with empty_database(backend, tmp_path) as url, LiveServer(settings_for(url)) as server:
        job = Job(server.base_url, tmp_path)
        told = {}
        for text in (
            "id,title,priority\nC-1,Call,high\n",
            "key,name\nC-1,Call\n",
            "id,title\nC-1,\n",
            "id,title\n,Call\n",
            "id,title\nC-1,J\xf6rg\n",
        ):
            job.file.write_text(text, encoding="latin-1")
            told[text] = job.run()
        job.file.unlink()
        told["absent"] = job.run()
        job.environment["TANDEM_API_KEY"] = ""
        told["no key"] = job.run()

    assert all(done.returncode and "Traceback" not in done.stderr for done in told.values()), told
    assert [done.stderr.splitlines()[0] for done in told.values()][:4] == [
        "C-1, priority: must be a whole number",
        f"{job.file} has no column id and no column title",
        "C-1, title: must not be blank",
        ", external_id: must not be blank",
    ]
    assert told["absent"].stderr.startswith("The file cannot be read as CSV in UTF-8: ")
    assert told["no key"].stderr.endswith("TANDEM_API_KEY must hold a key with the scope tasks:write\n")


def test_nightly_job_is_one_call_and_its_second_run_changes_nothing(backend: str, tmp_path: Path) -> None:
    with empty_database(backend, tmp_path) as url, LiveServer(settings_for(url)) as server:
        job, rows = Job(server.base_url, tmp_path), _rows()
        job.write(rows)
        rehearsed = job.run("--dry-run")
        before = _counts(url)
        first = job.run()
        after = _counts(url)
        started = time.perf_counter()
        second = job.run()
        elapsed = time.perf_counter() - started
        unchanged = _counts(url)
        rows[7]["title"] = "Call again"
        rows[8]["status"] = "nonsense"
        rows.append(rows[0] | {"id": "C-new"})
        job.write(rows)
        refused = job.run()
        rows[8]["status"] = "completed"
        job.write(rows)
        third = job.run()

    assert (rehearsed.stdout, rehearsed.returncode) == ("500 rows: 500 created\n", 0), rehearsed.stderr
    assert (first.stdout, first.returncode) == ("500 rows: 500 created\n", 0), first.stderr
    assert after[0] == before[0] + ROWS
    assert (second.stdout, second.returncode) == ("500 rows: 500 unchanged\n", 0), second.stderr
    assert unchanged == after
    assert elapsed < 20
    assert refused.returncode == 1
    # a value that no task can have refuses the call
    choices = "must be one of pending, in_progress, completed, cancelled"
    assert refused.stderr == f"C-8, status: {choices}\n422: Unprocessable Content\n"
    assert (third.stdout, third.returncode) == ("501 rows: 1 created, 498 unchanged, 2 updated\n", 0), third.stderr
