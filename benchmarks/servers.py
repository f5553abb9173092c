"""The servers that are compared: one worker each, started the same way."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from api.server.options import PROTOCOL
from benchmarks.data import ROOT
from benchmarks.processes import cpu_ns
from core.tokens import AccessTokens

APPLICATIONS = {"ours": "api.main:app", "floor": "benchmarks.floor:app", "naive": "benchmarks.naive:app"}
POOL_SIZE = 10
"""Connections to PostgreSQL of each server: more than the client's, so that no request waits for one."""
START_SECONDS = 60
LOG_CHARACTERS = 3_000
ISSUER, AUDIENCE = "tandem", "tandem-api"
LIFETIME_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    name: str
    port: int
    pid: int
    url: str
    """Of its database."""
    start_seconds: float
    """From the start of the process until it answered."""

    def cpu_ns(self) -> int:
        return cpu_ns(self.pid)


def new_secret() -> str:
    return secrets.token_urlsafe(48)


def issue_token(secret: str, *, user_id: int, session_id: int) -> str:
    """An access token that all servers with that secret take, for a day."""
    tokens = AccessTokens(secret=secret, issuer=ISSUER, audience=AUDIENCE, lifetime_seconds=LIFETIME_MINUTES * 60)
    return tokens.issue(user_id=user_id, session_id=session_id)


@contextmanager
def serve(name: str, url: str, secret: str, log: Path) -> Iterator[Server]:
    """Run a server until the block ends. Errors in the block get its log as a note.

    Raises ``RuntimeError`` where it does not start.
    """
    # started elsewhere than in the project's folder, whose .env is the developer's
    port = _free_port()
    command = [sys.executable, "-m", "uvicorn", APPLICATIONS[name], "--host", "127.0.0.1", "--port", str(port)]
    command += [
        "--app-dir",
        str(ROOT),
        "--loop",
        "uvloop",
        "--http",
        PROTOCOL if name == "ours" else "httptools",
        "--no-access-log",
        "--no-server-header",
    ]
    command += ["--log-level", "warning", "--timeout-keep-alive", "600"]
    with _running(name, command, port, url, secret, log) as server:
        yield server


@contextmanager
def serve_with_workers(name: str, url: str, secret: str, log: Path, workers: int) -> Iterator[Server]:
    """Run a server with several workers: ours as the container image does, another one as uvicorn does.

    Raises ``RuntimeError`` where it does not start.
    """
    if name == "ours":
        with serve_forked(url, secret, log, workers) as server:
            yield replace(server, name=name)
        return
    port = _free_port()
    command = [sys.executable, "-m", "uvicorn", APPLICATIONS[name], "--host", "127.0.0.1", "--port", str(port)]
    command += ["--app-dir", str(ROOT), "--loop", "uvloop", "--http", "httptools", "--workers", str(workers)]
    command += ["--no-access-log", "--no-server-header", "--log-level", "warning"]
    with _running(name, command, port, url, secret, log) as server:
        yield server


@contextmanager
def serve_forked(url: str, secret: str, log: Path, workers: int) -> Iterator[Server]:
    """Run our server as the container image does: gunicorn, and workers that are forked from what it has imported.

    Raises ``RuntimeError`` where it does not start.
    """
    port = _free_port()
    command = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "gunicorn.conf.py"), "--chdir", str(ROOT)]
    command += ["--bind", f"127.0.0.1:{port}", "--workers", str(workers), APPLICATIONS["ours"]]
    with _running("gunicorn", command, port, url, secret, log) as server:
        yield server


@contextmanager
def _running(name: str, command: list[str], port: int, url: str, secret: str, log: Path) -> Iterator[Server]:
    environment = {
        "PATH": os.environ["PATH"],
        "ENVIRONMENT": "production",
        "DATABASE_URL": url,
        "DATABASE_POOL_SIZE": str(POOL_SIZE),
        "SECRET_KEY": secret,
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
        "ACCESS_TOKEN_MINUTES": str(LIFETIME_MINUTES),
        "RATE_LIMIT": "1000000000/minute",
        "LOG_LEVEL": "WARNING",
    }
    begun = time.perf_counter()
    with (
        log.open("w") as output,
        subprocess.Popen(command, cwd=log.parent, env=environment, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        try:
            _wait(process, f"http://127.0.0.1:{port}/health")
            yield Server(name, port, process.pid, url, time.perf_counter() - begun)
        except Exception as error:
            if (status := process.poll()) is not None:
                error.add_note(f"{name} has ended with status {status}")
            if words := log.read_text()[-LOG_CHARACTERS:]:
                error.add_note(f"{name} said:\n{words}")
            raise
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urlopen(address, timeout=5) as response:  # noqa: S310 - an address of our own making
                if response.status == 200:
                    return
        except (URLError, ConnectionError, TimeoutError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{process.args!r} did not start") from None
        time.sleep(0.01)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
