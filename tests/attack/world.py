"""The server that is attacked, and who is on it: one who means harm, one who notices, and others with many texts."""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

from api.main import create_app
from benchmarks.processes import cpu_ns, memory_mb
from tests.conftest import SECRET, SERVER_KEY, migrate, settings_for
from tests.infrastructure import scratch_database
from tests.processes import ROOT, end, free_port

PASSWORD = "correct horse battery"
OTHERS, BATCHES, BATCH = 6, 6, 1_000
"""So many other people, each with so many calls' worth of tasks of some 800 characters: 29 MB of texts."""
LONG_TEXTS, LONG = 50, 60_000
START_SECONDS = 60
WORDS = random.Random(7).sample([a + b + c for a in "bdgklmprst" for b in "aeiou" for c in "ndrlstkmpq"], 400)


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody with a login, and the tokens of it."""

    name: str
    token: str
    refresh: str
    user_id: int
    task_id: int
    project_id: int

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True, slots=True)
class World:
    """A running server with ``workers`` processes, and the accounts on it."""

    port: int
    pid: int
    workers: int
    database_url: str
    mallory: Account
    """Who attacks: 90 tasks, and 50 with a text of 60,000 characters."""
    victim: Account
    """Who only wants to read a task."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def processes(self) -> list[int]:
        """Those that answer: the workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(child) for child in children]

    def cpu_seconds(self) -> float:
        """Of all workers together, so far."""
        return sum(map(cpu_ns, self.processes)) / 1e9

    def memory_mb(self) -> float:
        """RSS of the largest worker."""
        return max(memory_mb(pid)[0] for pid in self.processes)

    def statements(self) -> int:
        """How many statements PostgreSQL works on throughout half a second: none is of what servers look for now
        and then beside requests. On SQLite, how many workers are busy."""
        if self.database_url.startswith("sqlite"):
            before = {pid: cpu_ns(pid) for pid in self.processes}
            time.sleep(0.5)
            return sum(cpu_ns(pid) - before[pid] > 0.25e9 for pid in before)
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            counts = []
            for _ in range(6):
                [found] = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
                    " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
                ).fetchall()
                counts.append(int(found[0]))
                time.sleep(0.1)
        return min(counts)


@contextmanager
def database(kind: str, server: str | None) -> Iterator[str]:
    """An empty, migrated database of a kind. Raises ``RuntimeError`` where there is no PostgreSQL."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="tandem-attack-") as folder:
            url = f"sqlite:///{folder}/attacked.db"
            migrate(url)
            yield url
    else:
        if server is None:
            raise RuntimeError("there is no PostgreSQL here to start, nor TEST_DATABASE_URL")
        with scratch_database(server) as url:
            migrate(url)
            yield url


async def people(url: str, say: Any) -> tuple[Account, Account]:
    """Make the accounts and what they have, through the doors of an application without limits."""
    async with _application(url) as client:
        mallory, victim = await _account(client, url, "mallory"), await _account(client, url, "victim")
        mine = [{"title": f"Task {number}", "tags": ["a", "b"]} for number in range(89)]
        await _add(client, mallory, mine)
        for start in range(0, LONG_TEXTS, 10):
            long = [{"title": f"Long {start + number}", "description": "x" * LONG} for number in range(10)]
            await _add(client, mallory, long)
        chance = random.Random(11)
        await _add(client, victim, [{"title": " ".join(chance.choices(WORDS, k=5))} for _ in range(200)])
        for number in range(OTHERS):
            other = await _account(client, url, f"other{number}")
            for batch in range(BATCHES):
                texts = [" ".join(chance.choices(WORDS, k=200)) for _ in range(BATCH)]
                drafts = [{"title": text[:60], "description": text, "tags": [text[:3]]} for text in texts]
                await _add(client, other, drafts)
                say(f"{(number * BATCHES + batch + 1) * BATCH:,} of {OTHERS * BATCHES * BATCH:,} tasks of other people")
    return mallory, victim


@asynccontextmanager
async def _application(url: str) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings_for(url), compile_after=0)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://attacked/api/v1", timeout=120) as client,
    ):
        yield client


async def _account(client: httpx.AsyncClient, url: str, name: str) -> Account:
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    user = (await client.post("/users", json=body)).raise_for_status().json()
    login = await client.post("/token", data={"username": name, "password": PASSWORD})
    tokens = login.raise_for_status().json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    task = (await client.post("/tasks", json={"title": "The first"}, headers=bearer)).raise_for_status().json()
    return Account(name, tokens["access_token"], tokens["refresh_token"], user["id"], task["id"], task["project_id"])


async def _add(client: httpx.AsyncClient, account: Account, drafts: list[dict[str, Any]]) -> None:
    answer = await client.post("/tasks/bulk/create", json={"tasks": drafts}, headers=account.headers)
    answer.raise_for_status()


@contextmanager
def served(url: str, accounts: tuple[Account, Account], workers: int, folder: Path) -> Iterator[World]:
    """Run the server as its image does, with the settings that it has of itself."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "ENVIRONMENT": "production",
        "DATABASE_URL": url,
        "SECRET_KEY": SECRET,
        "API_KEY": SERVER_KEY,
        "ALLOWED_ORIGINS": "https://app.example.com",
        "ACCESS_TOKEN_MINUTES": "600",
        "LOG_LEVEL": "WARNING",
        "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics"),
        "PORT": str(port),
        "WORKERS": str(workers),
    }
    command = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "gunicorn.conf.py"), "--chdir", str(ROOT)]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen([*command, "api.main:app"], cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            _wait(process, f"http://127.0.0.1:{port}/health/ready", folder / "server.log")
            yield World(port, process.pid, workers, url, *accounts)
        finally:
            end(process, 30)


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(address, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise RuntimeError(f"the server did not start:\n{log.read_text()[-3000:]}")
