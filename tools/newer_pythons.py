"""Print the Pythons of this machine that are newer than the one that runs this, the newest first: a path a line.

    python tools/newer_pythons.py

Looked at are `python3.N` on PATH, and what pyenv has. Standard library only: nothing is installed when CI asks.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ASK = (
    "import json, sys, sysconfig; "
    "print(json.dumps([*sys.version_info[:3], sys.version_info.releaselevel == 'final'"
    " and sys.implementation.name == 'cpython' and not sysconfig.get_config_var('Py_GIL_DISABLED')]))"
)
"""Whose version, and whether it is an ordinary one: no pre-release, no other implementation, none without the lock."""


def candidates() -> Iterator[Path]:
    """What is called like a Python of some version."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for folder in [*folders, *pyenv.glob("versions/*/bin")]:
        for path in folder.glob("python3.*"):
            if path.name.removeprefix("python3.").isdigit():
                yield path


def version(path: Path) -> tuple[int, ...] | None:
    """Major, minor and micro version; None for what does not run, as pyenv's own shims, or is no ordinary one."""
    try:
        told = subprocess.run([path, "-c", ASK], capture_output=True, text=True, timeout=30, check=True).stdout
        *numbers, ordinary = json.loads(told)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return tuple(numbers) if ordinary else None


def newer() -> list[Path]:
    """One of each minor version that is newer than this one's."""
    found: dict[tuple[int, ...], Path] = {}
    for path in candidates():
        number = version(path)
        if number is not None and number[:2] > sys.version_info[:2]:
            found.setdefault(number, path)
    newest = {number[:2]: found[number] for number in sorted(found)}
    return [newest[minor] for minor in sorted(newest, reverse=True)]


if __name__ == "__main__":
    print(*newer(), sep="\n")
