"""Which other Pythons CI finds: newer ones that run and are released, the newest first."""

import sys
from pathlib import Path

import pytest

from tools.newer_pythons import newer, version


def python(path: Path, says: str) -> Path:
    """Something that is called like a Python, and answers so when it is asked for its version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{says}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only one on PATH; pyenv's versions lie beside it."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return tmp_path / "bin"


def test_newest_is_first_and_each_minor_version_is_there_once(folder: Path) -> None:
    python(folder / "python3.97", "echo '[3, 97, 1, true]'")
    later = python(folder.parent / "pyenv/versions/3.97.2/bin/python3.97", "echo '[3, 97, 2, true]'")
    newest = python(folder.parent / "pyenv/versions/3.98.0/bin/python3.98", "echo '[3, 98, 0, true]'")
    assert newer() == [newest, later]


@pytest.mark.parametrize(
    "says",
    [
        "echo 'pyenv: python3.98: command not found' >&2; exit 127",
        "echo '[3, 98, 0, false]'",
        "echo nothing",
        "echo '[3, 4, 0, true]'",
    ],
    ids=["shim", "pre-release", "no version", "older"],
)
def test_what_cannot_be_used_is_left_out(folder: Path, says: str) -> None:
    python(folder / "python3.98", says)
    python(folder / "python3.98-config", "exit 1")
    assert newer() == []


def test_nothing_is_newer_than_what_runs_this(folder: Path) -> None:
    (folder / "python").mkdir(parents=True)
    assert newer() == []
    assert version(Path(sys.executable)) == sys.version_info[:3]
