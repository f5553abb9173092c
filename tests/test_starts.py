"""A server as whoever starts it sees it: what it prints on a database that it cannot use, and when it is stopped."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core import refused_settings
from services import doctor
from tests.conftest import ROOT
from tests.databases import empty_database
from tests.infrastructure import require
from tests.processes import free_port

STRONG = "k7Jq2vXz9pLm4RtY8wBn3sDf6gHc1aEu5oIi0QWx"
NOT_UTF_8 = f"SECRET_KEY={STRONG}\nMAIL_FROM=J\xf6rg <joerg@example.com>\n".encode("latin-1")


@contextmanager
def _server(url: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "SECRET_KEY": STRONG, "DATABASE_URL": url, "PORT": str(free_port())}
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "api.server"], cwd=ROOT, env=environment, stderr=file)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def _said(log: Path, process: subprocess.Popen[bytes], words: str, times: int = 1) -> None:
    """Wait until the server has said it."""
    for _ in range(600):
        if log.read_text().count(words) >= times or process.poll() is not None:
            break
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
    assert log.read_text().count(words) >= times, log.read_text()


class TestStopping:
    def test_ctrl_c_ends_it_without_a_traceback(self, tmp_path: Path) -> None:
        with empty_database("sqlite", tmp_path) as url, _server(url, tmp_path / "log") as process:
            _said(tmp_path / "log", process, "what next: ")
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 128 + signal.SIGINT

        told = (tmp_path / "log").read_text()
        assert "Traceback" not in told
        assert told.splitlines()[-1].endswith(f"Finished server process [{process.pid}]")


class TestDatabaseThatCannotBeUsed:
    @pytest.mark.parametrize(
        ("url", "sentence"),
        [
            ("sqlite:///{folder}/none.db", "The database has no tables yet: make them with make migrate"),
            ("sqlite:///{folder}/none/none.db", "There is no folder {folder}/none: make it, or name another file"),
            ("postgresql://u@127.0.0.1:1/x", "No PostgreSQL answers at 127.0.0.1:1: start it, or mend the host"),
            ("{postgresql}_absent", "There is no database {name}_absent on "),
        ],
    )
    def test_server_says_it_in_a_line_and_what_waits_for_it_in_another(
        self, url: str, sentence: str, tmp_path: Path
    ) -> None:
        postgresql = require("postgresql") if "{postgresql}" in url else ""
        known = {"folder": str(tmp_path), "postgresql": postgresql, "name": postgresql.rpartition("/")[2]}
        with _server(url.format(**known), tmp_path / "log") as process:
            _said(tmp_path / "log", process, "Until then, requests are answered with 503")
            _said(tmp_path / "log", process, "the worker could not run; trying again: ")
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1.5)  # it has tried again
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 128 + signal.SIGINT

        told = (tmp_path / "log").read_text()
        assert "Traceback" not in told
        assert told.count("the worker could not run") == 1
        assert sentence.format(**known) in told


class TestDotenv:
    @pytest.mark.parametrize(
        ("command", "prefix"),
        [
            (["-m", "api.server"], "Tandem cannot start: "),
            (["-m", "alembic", "upgrade", "head"], "Cannot migrate: "),
            (["-m", "cli", "purge-trash"], ""),
        ],
        ids=lambda value: value[1] if isinstance(value, list) else "",
    )
    def test_file_that_is_no_text(self, command: list[str], prefix: str, tmp_path: Path) -> None:
        for name in ("db", "alembic.ini"):
            (tmp_path / name).symlink_to(ROOT / name)
        (tmp_path / ".env").write_bytes(NOT_UTF_8)
        kept = {name: value for name, value in os.environ.items() if name not in ("SECRET_KEY", "DATABASE_URL")}
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env={**kept, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 1
        assert done.stderr == f"{prefix}.env is not in UTF-8: save it in that encoding\n"

    async def test_doctor_says_it_too(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_bytes(NOT_UTF_8)
        found = [each async for each in doctor.examine(tmp_path / ".env")]
        assert not found[-1].well
        assert found[-1].sentence == f"{tmp_path}/.env is not in UTF-8: save it in that encoding"

    def test_file_that_may_not_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(path: Path, _encoding: str) -> str:
            raise PermissionError(13, "Permission denied", str(path))

        dotenv = tmp_path / ".env"
        assert refused_settings.unreadable(dotenv) is None
        dotenv.touch()
        assert refused_settings.unreadable(dotenv) is None
        monkeypatch.setattr(Path, "read_text", refuse)
        assert refused_settings.unreadable(dotenv) == (
            f"{dotenv} cannot be read (permission denied): give the user of the server the right to"
        )
