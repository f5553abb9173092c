"""Databases that belong to one test, for what the shared ones cannot show: having nobody in them, and being killed;
and tests that belong to one database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import migrate, migrated_database
from tests.infrastructure import require

on_postgresql = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
"""For a test of what PostgreSQL alone does."""


@contextmanager
def empty_database(backend: str, folder: Path) -> Iterator[str]:
    """The URL of a migrated database without rows; a PostgreSQL one is dropped afterwards."""
    if backend == "sqlite":
        url = f"sqlite:///{folder / 'own.db'}"
        migrate(url)
        yield url
    else:
        with migrated_database(require("postgresql")) as url:
            yield url
