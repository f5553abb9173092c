"""What an error of the database was, by its codes: SQLSTATE of PostgreSQL, result codes of SQLite.

https://www.postgresql.org/docs/current/errcodes-appendix.html, https://www.sqlite.org/rescode.html. SQLite has no codes
for which constraint was violated, nor for what is not there: those are read out of its messages, of which a test has it
make each.
"""

import re
import sqlite3

from sqlalchemy.exc import DBAPIError, IntegrityError

_UNAVAILABLE_CLASSES = frozenset({"08", "28", "3D", "3F", "53", "57", "58"})
"""SQLSTATE's first two characters: no connection, no admission, no such database or schema, lack of resources,
intervention of an operator (a time limit too), failures outside of PostgreSQL."""
_UNAVAILABLE_STATES = frozenset(
    {
        "25006",  # read-only for a while: a standby, maintenance
        "25P03",  # idle in a transaction for too long
        "25P04",  # a transaction for too long
        "40001",  # could not be done beside others, or a migration came in between
        "40P01",  # deadlock
        "42501",  # the role may not
        "42703",  # no such column, table or function: not migrated to this version
        "42883",
        "42P01",
        "XX001",  # damaged data, or a damaged index
        "XX002",
    }
)
_UNAVAILABLE_SQLITE = frozenset(
    {
        sqlite3.SQLITE_ABORT,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_SCHEMA,
    }
)
_SQLITE_UNIQUE_CODES = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY})
_SQLITE_UNIQUE = re.compile(r"UNIQUE constraint failed: (?P<columns>\w+\.\w+(?:, \w+\.\w+)*)")
_SQLITE_NO_TABLE = re.compile("no such table")
_SQLITE_NOT_MIGRATED = re.compile("no such (?:table|column)|has no column named")
FOREIGN_KEY = "fk_"


def violated(error: IntegrityError) -> str:
    """The constraint, by its name: ``uq_users_email``; empty where that is not told.

    Of SQLite's foreign keys no more is known than that it was one: ``FOREIGN_KEY``.

    PostgreSQL tells the name; SQLite tells the columns, of which the names are made (``db.models.base``).
    """
    name: str | None = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    if name is not None:
        return name
    code = _sqlite_code(error)
    if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return FOREIGN_KEY
    match = _SQLITE_UNIQUE.search(str(error.orig)) if code in _SQLITE_UNIQUE_CODES else None
    if match is None:
        return ""
    tables, columns = zip(*(column.split(".") for column in match["columns"].split(", ")), strict=True)
    return f"uq_{tables[0]}_{'_'.join(columns)}"


def is_lock_timeout(error: DBAPIError) -> bool:
    """Whether others held a lock for longer than the statement was to wait (PostgreSQL)."""
    return _sqlstate(error) == "55P03"


def is_missing_table(error: DBAPIError) -> bool:
    """Whether a table is not there."""
    return _sqlstate(error) == "42P01" or _sqlite_says(_SQLITE_NO_TABLE, error)


def is_unavailable(error: DBAPIError) -> bool:
    """Whether the database cannot do for now what it was asked for, though it was asked rightly."""
    state, code = _sqlstate(error), _sqlite_code(error)
    if code is not None:
        return code & 0xFF in _UNAVAILABLE_SQLITE or _sqlite_says(_SQLITE_NOT_MIGRATED, error)
    return state[:2] in _UNAVAILABLE_CLASSES or state in _UNAVAILABLE_STATES


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _sqlite_code(error: DBAPIError) -> int | None:
    return getattr(error.orig, "sqlite_errorcode", None)


def _sqlite_says(pattern: re.Pattern[str], error: DBAPIError) -> bool:
    # the code that SQLite has for all that is wrong with a statement
    return _sqlite_code(error) == sqlite3.SQLITE_ERROR and pattern.search(str(error.orig)) is not None
