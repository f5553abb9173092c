"""What the figures were measured on, and with what."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("fastapi", "starlette", "strawberry-graphql", "graphql-core", "sqlalchemy", "pydantic", "uvicorn", "orjson")


def describe() -> dict[str, str]:
    """The machine, Python and the packages that matter, by name."""
    return {
        "cpu": _cpu(),
        "cores": str(len(os.sched_getaffinity(0))),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Model"}:
            return value.strip()
    return platform.machine()
