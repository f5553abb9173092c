"""gunicorn, as the image runs it: workers that are forked from one application that is ready."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.actors import Person
from tests.conftest import SECRET
from tests.processes import ROOT, START_SECONDS, end, free_port

WORKERS = 3
SHARED_MB = 60
"""What a worker may hold for itself alone; one that imported everything by itself has more than 80."""


class Gunicorn:
    """The master process and what can be seen of it from outside."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self._port = free_port()
        self.base_url = f"http://127.0.0.1:{self._port}"
        self._environment = os.environ | {
            "ENVIRONMENT": "test",
            "DATABASE_URL": database_url,
            "SECRET_KEY": SECRET,
            "RATE_LIMIT": "",
            "LOG_LEVEL": "ERROR",
            "PORT": str(self._port),
            "WORKERS": str(WORKERS),
            "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics"),
        }
        self._log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Gunicorn":
        with self._log.open("w") as log:
            command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "api.main:app"]
            self.process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)
        try:
            until(lambda: self.answers() and len(self.workers()) == WORKERS)
        except BaseException:
            self.__exit__()
            raise RuntimeError(self._log.read_text()) from None
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        end(self.process, seconds=20)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.base_url}/health", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def workers(self) -> set[int]:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return {int(pid) for pid in children.split()}


def until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def own_mb(pid: int) -> float:
    """What a process shares with no other, in megabytes of 10⁶ bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kilobytes = {name: rest.split()[0] for name, _, rest in (line.partition(":") for line in lines[1:])}
    return (int(kilobytes["Private_Dirty"]) + int(kilobytes["Private_Clean"])) * 1024 / 1e6


@pytest.fixture(scope="module")
def servers(database_urls: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Gunicorn]]:
    started: dict[str, Gunicorn] = {}
    try:
        for name, url in database_urls.items():
            started[name] = Gunicorn(url, tmp_path_factory.mktemp(name)).__enter__()
        yield started
    finally:
        for server in started.values():
            server.__exit__()


@pytest.fixture
def server(servers: dict[str, Gunicorn], backend: str) -> Gunicorn:
    return servers[backend]


def ask(server: Gunicorn, ada: Person, times: int) -> list[httpx.Response]:
    """On a connection of its own each, so that every worker gets some."""
    return [httpx.get(f"{server.base_url}/api/v1/tasks", headers=ada.headers) for _ in range(times)]


async def test_all_workers_answer_and_none_repeats_another(server: Gunicorn, ada: Person) -> None:
    task = await ada.task(title="From one to the other")
    answers = ask(server, ada, 60)
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()[0]["title"] for answer in answers} == {task["title"]}
    made: list[Any] = [answer.headers["X-Request-ID"] for answer in answers]
    assert len(set(made)) == len(made), "two workers go on with the same random numbers"


async def test_workers_share_what_the_application_takes(server: Gunicorn, ada: Person) -> None:
    ask(server, ada, 30)
    for pid in server.workers():
        assert own_mb(pid) < SHARED_MB


async def test_a_worker_that_is_killed_is_replaced(server: Gunicorn, ada: Person) -> None:
    killed = next(iter(server.workers()))
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(server.workers() - {killed}) == WORKERS)
    until(server.answers)
    assert {answer.status_code for answer in ask(server, ada, 20)} == {200}
