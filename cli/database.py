"""The database that commands work on, and what they say when something is in the way."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

import typer
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.exc import ArgumentError, DBAPIError

from core.passwords import PasswordHasher
from core.settings import Settings
from db import revisions
from db.engine import Database
from services.errors import TandemError
from services.failures import from_database

T = TypeVar("T")

MIGRATE = "bring it up to date with: make migrate (alembic upgrade head)"
_DEFAULTS = Settings.model_fields


class CommandSettings(BaseSettings):
    """The settings that commands need. No secret is among them."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    database_url: str = _DEFAULTS["database_url"].default
    argon2_memory_kib: int = Field(default=_DEFAULTS["argon2_memory_kib"].default, ge=8)
    argon2_rounds: int = Field(default=_DEFAULTS["argon2_rounds"].default, ge=1)


def hasher() -> PasswordHasher:
    """What hashes passwords as the server does."""
    settings = CommandSettings()
    return PasswordHasher(memory_kib=settings.argon2_memory_kib, rounds=settings.argon2_rounds)


def fail(message: str) -> NoReturn:
    """One line on stderr, and exit status 1."""
    typer.secho(" ".join(message.split()), err=True, fg=typer.colors.RED)
    raise typer.Exit(1)


@contextmanager
def reported() -> Iterator[None]:
    """Say in a sentence what the user can do something about; anything else is a defect, and keeps its traceback."""
    try:
        yield
    except TandemError as error:
        fail(error.message)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'input'}: {e['msg']}" for e in error.errors()]
        fail("; ".join(problem.replace("Value error, ", "") for problem in problems))
    except DBAPIError as error:
        reason = str(error.orig).splitlines()[0]
        if _is_missing_table(error):
            fail(f"The database is not ready: {MIGRATE}")
        fail(f"The database {'cannot be used now' if from_database(error) else 'failed'}: {reason}")
    except OSError as error:
        fail(str(error))
    except KeyboardInterrupt:
        typer.secho("Stopped. What was committed stays.", err=True)
        raise typer.Exit(130) from None


def with_database(work: Callable[[Database], Awaitable[T]]) -> T:
    """Do something with the database of the settings, once it is sure that it is there and up to date."""
    with reported():
        return asyncio.run(_work(_open(CommandSettings().database_url), work))


def _open(url: str) -> Database:
    try:
        database = Database(url, pool_size=1)
    except (ValueError, ArgumentError) as error:
        fail(f"DATABASE_URL cannot be understood: {error}")
    # SQLite would create the file, and leave an empty one behind
    if database.dialect == "sqlite" and not Path(database.url.database or "").exists():
        fail(f"There is no database {database.url.database}: {MIGRATE}")
    return database


async def _work(database: Database, work: Callable[[Database], Awaitable[T]]) -> T:
    try:
        await _check_migrated(database)
        return await work(database)
    finally:
        await database.dispose()


async def _check_migrated(database: Database) -> None:
    async with database.reading() as session:
        current = await revisions.current(session)
    if current != revisions.NEWEST:
        fail(f"The database is at revision {current or 'none'}, this program needs {revisions.NEWEST}: {MIGRATE}")


def _is_missing_table(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) == "42P01" or "no such table" in str(error.orig)
