"""The processes of an installation, each by itself, so that each can be asked and killed: the API's, and the worker."""

import asyncio
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

import httpx

from core.settings import LIMITS
from tests.conftest import SECRET, SERVER_KEY
from tests.processes import ROOT, end, lasting_port

START_SECONDS = 90
Role = Literal["api", "worker"]
_COMMANDS = {"api": ("api.server",), "worker": ("cli", "worker")}


class Server:
    """``python -m api.server`` on a port of its own, or ``python -m cli worker``."""

    def __init__(self, role: Role, database_url: str, folder: Path, more: Mapping[str, str]) -> None:
        self.role, self.port = role, lasting_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._log = folder / f"{role}-{self.port}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = os.environ | {
            "ENVIRONMENT": "test",
            "DATABASE_URL": database_url,
            "SECRET_KEY": SECRET,
            "API_KEY": SERVER_KEY,
            **dict.fromkeys(map(str.upper, LIMITS), "off"),
            "ARGON2_MEMORY_KIB": "64",
            "ARGON2_ROUNDS": "1",
            "ACCESS_TOKEN_MINUTES": "600",
            "REQUEST_TIMEOUT_SECONDS": "60",  # a machine that does everything at once is slow by itself
            "LOG_LEVEL": "WARNING",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "WORKERS": "1",
            **more,
        }

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has said so far, in all its lives."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    async def start(self) -> None:
        """Start it, and wait until it works. Raises ``RuntimeError``."""
        said = len(self.log)
        with self._log.open("a") as log:
            command = [sys.executable, "-m", *_COMMANDS[self.role]]
            # takes a millisecond or two
            self._process = subprocess.Popen(  # noqa: ASYNC220
                command, cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE, (most, most))
        deadline = time.monotonic() + START_SECONDS
        while not await self._works(said):
            if self._process.poll() is not None or time.monotonic() > deadline:
                *_, last = ["nothing was said", *self.log[said:].splitlines()]
                raise RuntimeError(f"the {self.role} did not start: {last}\n{self.log[-2000:]}")
            await asyncio.sleep(0.05)

    async def _works(self, said: int) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:  # whoever answers is somebody else
            return False
        if self.role == "worker":
            return "The worker runs." in self.log[said:]
        with suppress(httpx.HTTPError):
            async with httpx.AsyncClient(timeout=5) as client:
                return (await client.get(f"{self.base_url}/health/ready")).status_code == 200
        return False

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it in good order."""
        if self._process is not None and self._process.poll() is None:
            end(self._process, seconds=20)
