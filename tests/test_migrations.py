"""The migrations: the same on both databases, there and back, and equal to the models."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect

from db.engine import normalise_url
from db.models.base import Base
from tests.conftest import ROOT, migrate
from tests.infrastructure import require, scratch_database


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
    else:
        with scratch_database(require("postgresql")) as dsn:
            yield dsn


def _config(url: str) -> Config:
    config = Config(str(ROOT / "alembic.ini"))
    config.set_main_option("script_location", str(ROOT / "db" / "migrations"))
    config.attributes["database_url"] = url
    return config


def _tables(url: str) -> set[str]:
    parsed = normalise_url(url)
    driver = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}[parsed.get_backend_name()]
    engine = create_engine(parsed.set(drivername=driver))
    try:
        return set(inspect(engine).get_table_names()) - {"alembic_version", "sqlite_sequence"}
    finally:
        engine.dispose()


def test_up_down_and_up_again(url: str) -> None:
    everything = set(Base.metadata.tables)
    migrate(url)
    assert _tables(url) == everything

    command.downgrade(_config(url), "base")
    assert _tables(url) == set()

    migrate(url)
    assert _tables(url) == everything


def test_models_need_no_further_migration(url: str) -> None:
    migrate(url)

    command.check(_config(url))


async def test_two_deployments_at_once_migrate_once(url: str) -> None:
    if url.startswith("sqlite"):
        pytest.skip("several hosts do not share an SQLite file")
    command_line = (sys.executable, "-m", "alembic", "upgrade", "head")
    environment = os.environ | {"DATABASE_URL": url}
    processes = [await asyncio.create_subprocess_exec(*command_line, cwd=ROOT, env=environment) for _ in range(3)]

    assert [await process.wait() for process in processes] == [0, 0, 0]
    assert await asyncio.to_thread(_tables, url) == set(Base.metadata.tables)
