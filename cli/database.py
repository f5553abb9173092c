"""The database that commands work on, and what they say when something is in the way."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NoReturn, TypeVar

import typer
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.exc import DBAPIError

from core import refused_settings
from core.passwords import PasswordHasher
from core.sentences import words_for
from core.settings import Settings
from db import diagnosis, revisions
from db.driver.database import Database
from db.driver.urls import normalise_url
from db.errors import is_missing_table
from services.shared.errors import TandemError

T = TypeVar("T")

_DEFAULTS = Settings.model_fields


class CommandSettings(BaseSettings):
    """The settings that commands need. No secret is among them."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    environment: Literal["development", "test", "production"] = _DEFAULTS["environment"].default
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
        if error.title in (CommandSettings.__name__, Settings.__name__):
            fail(refused_settings.explain(error))
        problems = (f"{'.'.join(map(str, e['loc'])) or 'input'}: {words_for({**e})}" for e in error.errors())
        fail("; ".join(problems))
    except DBAPIError as error:
        url = normalise_url(CommandSettings().database_url)
        fail(diagnosis.NO_TABLES if is_missing_table(error) else diagnosis.explain(url, error))
    except UnicodeDecodeError:
        if (problem := refused_settings.unreadable()) is None:
            raise
        fail(problem)
    except OSError as error:
        fail(refused_settings.unreadable() or str(error))
    except KeyboardInterrupt:
        typer.secho("Stopped. What was committed stays.", err=True)
        raise typer.Exit(130) from None


def with_database(work: Callable[[Database], Awaitable[T]], *, pool_size: int = 1) -> T:
    """Do something with the database of the settings, once it is sure that it is there and up to date."""
    with reported():
        return asyncio.run(_work(_open(CommandSettings().database_url, pool_size), work))


def _open(url: str, pool_size: int) -> Database:
    try:
        database = Database(url, pool_size=pool_size)
    except ValueError as error:
        fail(str(error))
    # SQLite would create the file, and leave an empty one behind
    if database.dialect == "sqlite" and not Path(database.url.database or "").exists():
        fail(f"There is no database {database.url.database}: make it with {diagnosis.MIGRATE}")
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
    if (problem := diagnosis.of_revision(current)) is not None:
        fail(problem)
