"""What is in the way of using a database, in a sentence with a way out: for whoever starts a server or a command.

libpq has no codes for a connection that was not made, so those are told apart by its messages and the server's, of
which a test has each made. What is none of them is told as it stands.
"""

import os
import re
import sqlite3
from pathlib import Path

from sqlalchemy import URL

from db import revisions
from db.driver.urls import normalise_url

MIGRATE = "make migrate (alembic upgrade head)"
NO_TABLES = f"The database has no tables yet: make them with {MIGRATE}"
_DATABASE_MISSING = re.compile(r'database "(?P<name>[^"]*)" does not exist')
_ROLE_MISSING = re.compile(r'role "(?P<name>[^"]*)" does not exist')
_PASSWORD_WRONG = re.compile(r"(?:password|SASL|SCRAM|GSSAPI|peer|ident|certificate) authentication failed", re.I)
_PASSWORD_MISSING = re.compile(r"no password supplied")
_REFUSED = re.compile(r"Connection refused|No such file or directory|actively refused")
_UNKNOWN_HOST = re.compile(r"failed to resolve host|could not translate host name|Name or service not known")
_TIMEOUT = re.compile(r"timeout|timed out|No route to host|Network is unreachable", re.I)
_NOT_LET_IN = re.compile(r"no pg_hba\.conf entry|pg_hba\.conf rejects")
_FORBIDDEN = re.compile(r"permission denied for (?P<what>database|schema|table|relation)")
_READ_ONLY = re.compile(r"in a read-only transaction|cannot execute \w+ during recovery")
_FULL = re.compile(r"too many (?:clients|connections)|remaining connection slots")
_TLS = re.compile(r"SSL|certificate|TLS")


def shown(url: URL) -> str:
    """A database without its password: what may be printed."""
    if url.get_backend_name() == "sqlite":
        return f"SQLite, {url.database}"
    return f"PostgreSQL, {url.database or url.username or ''} at {_place(url)}"


def shown_url(url: str) -> str:
    """As ``shown``, of a URL as users write it. Raises ``ValueError``."""
    return shown(normalise_url(url))


def explain(url: URL, error: BaseException) -> str:
    """Why a database cannot be used, and what to do about it, in one line."""
    reason = " ".join(str(getattr(error, "orig", None) or error).split())
    return _of_sqlite(url, error, reason) if url.get_backend_name() == "sqlite" else _of_postgresql(url, reason)


def missing_file(url: URL) -> str | None:
    """What is to be done where there is no file of the database; None where there is, or it is none. It is to be looked
    for before the database is opened, for SQLite would make it."""
    path = Path(url.database or "")
    if url.get_backend_name() != "sqlite" or path.exists():
        return None
    return f"There is no database {path}: make it with {MIGRATE}"


def of_revision(revision: str | None) -> str | None:
    """What is to be done about a database at a revision; None where it is the newest that this program knows."""
    if revision == revisions.NEWEST:
        return None
    if revision is None:
        return NO_TABLES
    if revision in revisions.REVISIONS:
        needs = f"this program needs {revisions.NEWEST}"
        return f"The database is at revision {revision}, {needs}: bring it up to date with {MIGRATE}"
    return (
        f"The database is at revision {revision}, which is newer than this program, which knows {revisions.NEWEST}: "
        "start the newer program, or restore a backup of before the upgrade"
    )


def _of_postgresql(url: URL, reason: str) -> str:
    place, role = _place(url), url.username or os.environ.get("PGUSER") or "the user of the system"
    flags = _flags(url)
    as_role = f" -U {url.username}" if url.username else ""
    if match := _DATABASE_MISSING.search(reason):
        return f"There is no database {match['name']} on {place}: make it with createdb{flags}{as_role} {match['name']}"
    if match := _ROLE_MISSING.search(reason):
        return f"There is no role {match['name']} on {place}: make it with createuser{flags} --pwprompt {match['name']}"
    if _PASSWORD_MISSING.search(reason):
        return f"{place} asks for the password of {role}: put it into DATABASE_URL, postgresql://{role}:password@…"
    if _PASSWORD_WRONG.search(reason):
        return f"{place} does not let {role} in: mend the user or the password in DATABASE_URL"
    if _UNKNOWN_HOST.search(reason):
        return f"There is no host {url.host}: mend it in DATABASE_URL"
    if _REFUSED.search(reason):
        return f"No PostgreSQL answers at {place}: start it, or mend the host and the port in DATABASE_URL"
    if _TIMEOUT.search(reason):
        return (
            f"PostgreSQL at {place} does not answer in time: mend the host in DATABASE_URL, or what is on the way to it"
        )
    if _NOT_LET_IN.search(reason):
        return f"{place} takes no connection of {role} from here: allow it in its pg_hba.conf"
    if _READ_ONLY.search(reason):
        return f"PostgreSQL at {place} takes no writes, as a standby does: name the primary in DATABASE_URL"
    if _FULL.search(reason):
        return f"PostgreSQL at {place} has no connection left: raise max_connections, or lower DATABASE_POOL_SIZE"
    if match := _FORBIDDEN.search(reason):
        return f"{role} may not use the {match['what']} on {place}: GRANT it, or let it own the database ({reason})"
    if _TLS.search(reason):
        return f"No connection by TLS to {place}: mend sslmode and sslrootcert in DATABASE_URL ({reason})"
    return f"The database cannot be used ({place}): {reason}"


def _place(url: URL) -> str:
    host = url.host or url.query.get("host") or os.environ.get("PGHOST") or "the local socket"
    hosts = host if isinstance(host, str) else ",".join(host)
    port = url.port or os.environ.get("PGPORT")
    return f"{hosts}:{port}" if port else hosts


def _flags(url: URL) -> str:
    given = (("-h", url.host), ("-p", url.port))
    return "".join(f" {flag} {value}" for flag, value in given if value)


def _of_sqlite(url: URL, error: BaseException, reason: str) -> str:
    path = Path(url.database or "")
    code = getattr(getattr(error, "orig", None) or error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_NOTADB:
        return f"{path} is not an SQLite database: name another file in DATABASE_URL"
    if path.is_dir():
        return f"{path} is a folder: name a file in it in DATABASE_URL"
    if not path.parent.is_dir():
        return f"There is no folder {path.parent}: make it, or name another file in DATABASE_URL"
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        what = path.parent if not path.exists() or os.access(path, os.W_OK) else path
        return (
            f"{what} cannot be written: give the user of the server the right to, or name another file in DATABASE_URL"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"Another process holds {path}: wait for it, or end it"
    if code == sqlite3.SQLITE_CORRUPT:
        return f"{path} is damaged: put a backup in its place"
    if code == sqlite3.SQLITE_FULL:
        return f"The disk of {path} is full: make room"
    return f"The database cannot be used ({path}): {reason}"
