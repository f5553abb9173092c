"""A server with its workers, as an operator runs it."""

import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal

import httpx

from api.server.options import PROTOCOL, SOCKETS
from tests.conftest import SECRET, SERVER_KEY
from tests.faults.clusters import descendants
from tests.processes import ROOT, end, free_port

START_SECONDS = 90
Server = Literal["gunicorn", "uvicorn"]
_OPTIONS = (
    "--no-server-header --no-access-log --timeout-graceful-shutdown 10 --timeout-keep-alive 75"
    f" --http {PROTOCOL} --ws {SOCKETS}"
)


class Fleet:
    """gunicorn as in the image, or uvicorn as in ``make run``, on a database that is migrated already."""

    def __init__(
        self, database_url: str, folder: Path, *, workers: int = 2, server: Server = "gunicorn", **more: str
    ) -> None:
        self._port = free_port()
        self.base_url = f"http://127.0.0.1:{self._port}"
        self._workers, self._server = workers, server
        self._log = folder / f"server-{self._port}.log"
        self._environment = os.environ | {
            "ENVIRONMENT": "test",
            "DATABASE_URL": database_url,
            "SECRET_KEY": SECRET,
            "API_KEY": SERVER_KEY,
            "RATE_LIMIT": "",
            "LOGIN_RATE_LIMIT": "off",
            "ARGON2_MEMORY_KIB": "64",
            "ARGON2_ROUNDS": "1",
            "LOG_LEVEL": "ERROR",
            "HOST": "127.0.0.1",
            "PORT": str(self._port),
            "WORKERS": str(workers),
            **more,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the master."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start it, and wait until every worker is there and one of them answers."""
        command = ["gunicorn", "-c", "gunicorn.conf.py", "api.main:app"]
        if self._server == "uvicorn" and (ROOT / "api" / "server" / "__main__.py").exists():
            command = ["api.server"]
        elif self._server == "uvicorn":
            workers = ["--port", str(self._port), "--workers", str(self._workers)]
            command = ["uvicorn", "api.main:app", *workers, *_OPTIONS.split()]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while not (len(self.workers()) >= self._workers and self.answers()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the server did not start\n{self.log[-2000:]}")
            time.sleep(0.05)

    def workers(self) -> list[int]:
        """The processes that serve; with one worker, uvicorn serves by itself."""
        if self._server == "uvicorn" and self._workers == 1:
            return [self.pid]
        found = descendants(self.pid)
        return [pid for pid in found if b"resource_tracker" not in _command(pid)]

    def answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.base_url}/health", timeout=2).status_code == 200
        return False

    def signal(self, number: signal.Signals) -> None:
        """To the master."""
        os.kill(self.pid, number)

    def wait(self, seconds: float) -> bool:
        """Whether it ended in that time."""
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def limit_files(self, size: int = resource.RLIM_INFINITY) -> None:
        """Let no file that it writes grow beyond so many bytes, as on a disk that is full."""
        for pid in [self.pid, *self.workers()]:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def memory(self) -> int:
        """Bytes that its workers hold for themselves."""
        return sum(_own_bytes(pid) for pid in self.workers())

    def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            end(self._process, seconds=20)

    def __enter__(self) -> "Fleet":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b"resource_tracker"


def _own_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return (kilobytes["Private_Dirty"] + kilobytes["Private_Clean"]) * 1024
