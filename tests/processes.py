"""Servers as processes of their own, several workers of them: for what one process cannot show, such as dying."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import httpx

from api.server.options import PROTOCOL, SOCKETS
from core.settings import LIMITS

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
CRASH = "X-Test-Crash"
"""A request with this header is carried out by ``tests.processes:crashing_app`` and never answered: kill -9."""


def free_port() -> int:
    """A port that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def lasting_port() -> int:
    """A port that nobody uses at the moment, nor while a server is started anew that is to have it again: it is none of
    those that the kernel gives to clients."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def end(process: subprocess.Popen[bytes], seconds: float = 10) -> None:
    """End a server in good order, or in any order after so many seconds."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def crashing_app() -> object:
    """The application, in front of which SIGKILL stands between the commit and the answer."""
    from api.main import create_app

    inner = create_app()

    async def app(scope: dict[str, object], receive: object, send: object) -> None:
        headers = dict(scope.get("headers") or ())  # type: ignore[call-overload]  # ASGI's pairs

        async def send_or_die(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start" and CRASH.lower().encode() in headers:
                os.kill(os.getpid(), signal.SIGKILL)
            await send(message)  # type: ignore[operator]  # ASGI's send

        await inner(scope, receive, send_or_die)  # type: ignore[arg-type]  # ASGI's callables

    return app


class Processes:
    """``uvicorn`` with some workers on a database that is migrated already; or gunicorn, whose workers are ``forked``
    and need not import anything: a second less for each of them, and for each that takes the place of one that died."""

    def __init__(self, database_url: str, secret: str, *, workers: int = 2, forked: bool = False) -> None:
        self._port = free_port()
        self.base_url = f"http://127.0.0.1:{self._port}"
        self._workers, self._forked = workers, forked
        self._environment = os.environ | {
            "ENVIRONMENT": "test",
            "DATABASE_URL": database_url,
            "SECRET_KEY": secret,
            **dict.fromkeys(map(str.upper, LIMITS), "off"),
            "LOG_LEVEL": "ERROR",
            "PORT": str(self._port),
            "HOST": "127.0.0.1",
            "WORKERS": str(workers),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Processes":
        self._process = subprocess.Popen(
            [sys.executable, "-m", *(self._gunicorn() if self._forked else self._uvicorn())],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def _gunicorn(self) -> list[str]:
        return ["gunicorn", "-c", "gunicorn.conf.py", "tests.processes:crashing_app()"]

    def _uvicorn(self) -> list[str]:
        return [
            *("uvicorn", "--factory", "tests.processes:crashing_app", "--no-access-log"),
            *("--port", str(self._port), "--workers", str(self._workers), "--http", PROTOCOL, "--ws", SOCKETS),
        ]

    def wait(self) -> None:
        """Until it answers. The server starts a worker anew that has died."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.base_url}/health", timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)
            if self._process is not None and self._process.poll() is not None:
                break
        raise RuntimeError("the server did not start")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server and its workers."""
        assert self._process is not None
        end(self._process)
