"""What is the matter with a server: each thing that it needs looked at once, in a sentence that says how to mend it."""

import asyncio
import platform
import re
import smtplib
import sqlite3
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from core import refused_settings
from core.clock import now
from core.sentences import did_you_mean
from core.settings import Settings
from db import diagnosis, revisions
from db.driver.database import Database
from db.errors import is_missing_table
from db.upkeep import free_disk_bytes, server_time
from services.readiness import MIN_ROOM_BYTES

SECONDS = 8.0
"""How long a database may take to answer somebody who asks once."""
PEER_SECONDS = 3.0
ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
MOST_APART = timedelta(seconds=5)
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", re.MULTILINE)
_ASSIGNED = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=", re.MULTILINE)


class Finding(NamedTuple):
    """What was looked at, whether it is well, and what is to be said of it."""

    what: str
    well: bool
    sentence: str


async def examine(dotenv: Path) -> AsyncIterator[Finding]:
    """Look at everything, in the order in which one thing needs another."""
    for each in (_python(), _libraries(_pinned())):
        yield each
    if (problem := refused_settings.unreadable(dotenv)) is not None:
        yield Finding("settings", False, problem)
        return
    for each in _names(dotenv):
        yield each
    try:
        settings = Settings(_env_file=dotenv)
    except ValidationError as error:
        yield Finding("settings", False, refused_settings.explain(error))
        return
    yield Finding("settings", True, f"All can be read; ENVIRONMENT is {settings.environment}")
    try:
        database = Database(settings.database_url, pool_size=1, pool_timeout=SECONDS)
    except ValueError as error:
        yield Finding("database", False, refused_settings.mended(str(error)))
    else:
        async for each in _of_database(database):
            yield each
        await database.dispose()
    yield await _redis(settings.redis_url)
    yield await _mail(settings)


async def _of_database(database: Database) -> AsyncIterator[Finding]:
    problem = diagnosis.missing_file(database.url) or await database_problem(database)
    yield Finding(
        "database", problem is None, problem or f"{diagnosis.shown(database.url)}, at revision {revisions.NEWEST}"
    )
    if problem is not None:
        return
    yield await _writes(database)
    yield await _clock(database)


async def database_problem(database: Database) -> str | None:
    """Why a database cannot be used, and how to mend it; None where it can be read and is up to date."""
    try:
        async with asyncio.timeout(SECONDS):
            return diagnosis.of_revision(await revisions.current(database.reads))
    except DBAPIError as error:
        return diagnosis.NO_TABLES if is_missing_table(error) else diagnosis.explain(database.url, error)
    except (TimeoutError, PoolTimeout):
        shown = diagnosis.shown(database.url)
        return f"The database does not answer ({shown}): look at what it is doing, or at the way to it"


async def writing_problem(database: Database) -> str | None:
    """Why a database that can be read takes no writes, and how to mend it; None where it takes them."""
    try:
        async with asyncio.timeout(SECONDS), database.writing() as session:
            await revisions.write(session)
    except DBAPIError as error:
        return diagnosis.explain(database.url, error)
    except (TimeoutError, PoolTimeout):
        return "The database takes no write in time: find who holds its locks"
    return None


async def _writes(database: Database) -> Finding:
    if (problem := await writing_problem(database)) is not None:
        return Finding("writing", False, problem)
    room = free_disk_bytes(database)
    if room is not None and room < 100 * MIN_ROOM_BYTES:
        return Finding("writing", False, f"The disk of the database has {room / 1e6:,.0f} MB left: make room")
    return Finding("writing", True, "The database takes writes")


async def _clock(database: Database) -> Finding:
    here = now()
    if here < _made_at() - timedelta(days=1):
        return Finding("clock", False, f"It is {here:%Y-%m-%d} here, before this program was made: set the clock (NTP)")
    there = await server_time(database)
    if there is not None:
        apart = abs(there - now())
        if apart > MOST_APART:
            seconds = apart.total_seconds()
            return Finding("clock", False, f"The database's clock is {seconds:,.0f} s from this one: set both by NTP")
    return Finding("clock", True, f"It is {here:%Y-%m-%d %H:%M:%S} UTC")


def _made_at() -> datetime:
    return datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)


async def _redis(url: str | None) -> Finding:
    if url is None:
        return Finding("redis", True, "Not used: each worker counts rate limits for itself (REDIS_URL)")
    from redis.asyncio import Redis  # with the driver, 100 ms to import
    from redis.exceptions import RedisError

    client = Redis.from_url(url, socket_connect_timeout=PEER_SECONDS, socket_timeout=PEER_SECONDS)
    try:
        await client.ping()
    except (RedisError, OSError, TimeoutError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return Finding("redis", False, f"Redis does not answer ({reason}): start it, or mend REDIS_URL")
    finally:
        await client.aclose()
    return Finding("redis", True, "Redis answers")


async def _mail(settings: Settings) -> Finding:
    if settings.mail_by != "smtp":
        said = "No messages are sent" if settings.mail_by == "off" else f"Messages go to the {settings.mail_by}"
        return Finding("mail", True, f"{said} (MAILER)")
    host, port = settings.smtp_host or "", settings.smtp_port
    made = smtplib.SMTP_SSL if settings.smtp_tls == "tls" else smtplib.SMTP
    try:
        (await asyncio.to_thread(made, host, port, timeout=PEER_SECONDS)).close()
    except (OSError, smtplib.SMTPException) as error:
        return Finding("mail", False, f"{host}:{port} takes no mail ({error}): mend SMTP_HOST, SMTP_PORT or SMTP_TLS")
    return Finding("mail", True, f"{host}:{port} answers")


def _python() -> Finding:
    version = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Finding("python", False, f"{version}: Tandem needs Python 3.11 or newer (make PYTHON=/path/to/python3)")
    return Finding("python", True, version)


def _pinned() -> Mapping[str, set[str]]:
    """The versions of the lock file, by name, several where they depend on Python's; none where there is no file."""
    path, found = ROOT / "requirements.txt", defaultdict[str, set[str]](set)
    for name, version in _PINNED.findall(path.read_text("utf-8")) if path.exists() else ():
        found[name].add(version)
    return found


def _libraries(pinned: Mapping[str, set[str]]) -> Finding:
    others = []
    for name, wanted in pinned.items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:  # of another platform, or absent: its import would say so
            continue
        if found not in wanted:
            others.append(f"{name} is {found}, not {' or '.join(sorted(wanted))}")
    if others:
        shown = ", ".join(others[:5]) + (" and others" if len(others) > 5 else "")
        return Finding("libraries", False, f"Not those of requirements.txt ({shown}): install them with make setup")
    return Finding("libraries", True, "As requirements.txt has them")


def _names(dotenv: Path) -> Iterator[Finding]:
    """Names in .env that are nearly those of settings, which would be ignored."""
    if not dotenv.is_file():
        return
    known = {name.upper() for name in Settings.model_fields}
    for name in dict.fromkeys(_ASSIGNED.findall(dotenv.read_text("utf-8", errors="replace"))):
        if name.upper() not in known and (meant := did_you_mean(name.upper(), known, cutoff=0.85)):
            yield Finding("settings", False, f"{name} in {dotenv} is not a setting{meant}")
