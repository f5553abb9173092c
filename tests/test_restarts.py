"""Servers that are replaced under load, by clients that repeat nothing: not one request fails.

``TANDEM_ROLLING`` says how many requests, at least, while everything is replaced twice; 10,000 take a minute or two.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from tests import rolling
from tests.conftest import SECRET, migrate
from tests.processes import ROOT, end, free_port
from tests.rolling import Hosts
from tests.test_gunicorn import until

REQUESTS = int(os.environ.get("TANDEM_ROLLING") or 600)
ROUNDS = 2 if "TANDEM_ROLLING" in os.environ else 1
PATH = "/api/v1/users/me"
THINK_SECONDS = rolling.THINK_SECONDS if "TANDEM_ROLLING" in os.environ else 0.15


class Host:
    """``python -m api.server`` on a port of its own."""

    def __init__(self, database_url: str, log: Path, *, workers: int = 1) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.log = log
        self._environment = os.environ | {
            "ENVIRONMENT": "test",
            "DATABASE_URL": database_url,
            "SECRET_KEY": SECRET,
            "LOG_LEVEL": "ERROR",
            "PORT": str(self._port),
            "WORKERS": str(workers),
        }
        self.start()

    def start(self) -> None:
        with self.log.open("a") as log:
            command = [sys.executable, "-m", "api.server"]
            self.process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def children(self) -> set[int]:
        told = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return {int(pid) for pid in told.split()}

    def restart(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.start()
        until(self.answers)

    def replace_workers(self) -> None:
        before = self.children()
        self.process.send_signal(signal.SIGHUP)
        until(lambda: len(self.children() - before) == len(before) and not self.children() & before)


Start = Callable[..., Awaitable[Host]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    await asyncio.to_thread(migrate, url)
    hosts: list[Host] = []

    async def started(workers: int = 1) -> Host:
        hosts.append(Host(url, tmp_path / f"log{len(hosts)}", workers=workers))
        await asyncio.to_thread(until, hosts[-1].answers)
        return hosts[-1]

    yield started
    for host in hosts:
        await asyncio.to_thread(end, host.process, 20)


async def under_load(urls: list[str], change: Callable[[], None]) -> Hosts:
    """What came of requests while something was changed."""
    async with httpx.AsyncClient(base_url=urls[0]) as client:
        account = {"username": "ada", "email": "ada@example.com", "password": "correct horse battery"}
        assert (await client.post("/users", json=account)).status_code == 201
        token = (await client.post("/token", data=account)).json()["access_token"]
    hosts, done = Hosts(urls, token, PATH, think_seconds=THINK_SECONDS), asyncio.Event()
    asking = asyncio.create_task(hosts.ask(REQUESTS, done))
    try:
        await asyncio.sleep(0.5)
        for _ in range(ROUNDS):
            await asyncio.to_thread(change)
    finally:
        done.set()
        await asking
    return hosts


@pytest.mark.skipif("TANDEM_ROLLING" not in os.environ, reason="takes a minute; TANDEM_ROLLING=10000 runs it")
async def test_two_hosts_are_restarted_in_turn(start: Start) -> None:
    one, other = await start(), await start()

    def change() -> None:
        one.restart()
        other.restart()

    hosts = await under_load([one.url, other.url], change)
    assert set(hosts.statuses) == {200}, hosts.statuses


async def test_workers_are_replaced(start: Start) -> None:
    host = await start(workers=2)
    hosts = await under_load([host.url], host.replace_workers)
    assert set(hosts.statuses) == {200}, hosts.statuses


async def test_two_hosts_with_workers_are_restarted_in_turn(start: Start) -> None:
    one, other = await start(workers=2), await start(workers=2)

    def change() -> None:
        one.restart()
        other.restart()

    hosts = await under_load([one.url, other.url], change)
    assert set(hosts.statuses) == {200}, hosts.statuses
