"""What an error of the database means for the caller: it cannot serve now, a name is taken, a thing is gone."""

import logging
import re
import sqlite3

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from core.deadlines import DeadlinePassed
from services.errors import Conflict, DeadlineExceeded, NotFound, Problem, TandemError, Unavailable

_POINTERS = {
    "uq_users_username_folded": "/username",
    "uq_users_email": "/email",
    "uq_projects_key": "/key",
    "uq_tags_project_id_name_folded": "/name",
    "uq_memberships_project_id_user_id": "/username",
    "uq_relations_source_id_target_id_kind": "/target_id",
}
"""Where callers give what has to be unique, by the index that says so."""
_THINGS = {"users": "User", "projects": "Project", "tasks": "Task", "tags": "Tag", "comments": "Comment"}
_SQLITE_UNIQUE = re.compile(r"UNIQUE constraint failed: (?P<columns>\w+\.\w+(?:, \w+\.\w+)*)")
_FOREIGN_KEY = "fk_"


def violated(error: IntegrityError) -> str:
    """The constraint, by its name: ``uq_users_email``. Of SQLite's foreign keys no more is known than that: ``fk_``.

    PostgreSQL tells the name; SQLite tells the columns, of which the names are made (``db.models.base``).
    """
    name: str | None = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    if name is not None:
        return name
    if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return _FOREIGN_KEY
    match = _SQLITE_UNIQUE.search(str(error.orig))
    if match is None:
        return ""
    tables, columns = zip(*(column.split(".") for column in match["columns"].split(", ")), strict=True)
    return f"uq_{tables[0]}_{'_'.join(columns)}"


def taken(*pointers: str, message: str | None = None) -> Conflict:
    """The error for what has to be unique, and is not."""
    problems = [Problem(pointer, "is taken", "taken") for pointer in pointers]
    told = "; ".join(f"{problem.pointer}: {problem.detail}" for problem in problems)
    return Conflict(message or told, errors=problems)


def explain(error: IntegrityError) -> TandemError | None:
    """The refusal for the caller: ``Conflict`` that points at what is taken, ``NotFound`` for what has gone meanwhile.

    None for any other constraint: a row that the rules should not have let come so far.
    """
    constraint = violated(error)
    if constraint in _POINTERS:
        return taken(_POINTERS[constraint])
    if constraint.startswith(_FOREIGN_KEY):
        return NotFound(
            next((thing for table, thing in _THINGS.items() if constraint.endswith(f"_{table}")), "Resource")
        )
    return None


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
_LOCKED = "55P03"
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
_NOT_MIGRATED = re.compile("no such (?:table|column)|has no column named")
"""SQLite has no code of its own for that."""


def from_database(error: Exception) -> TandemError | None:
    """What a database failure means for the caller; None where it is a defect of ours.

    A database that cannot do what it is asked for now, whatever the reason, is no defect: it has been away, full,
    read-only, locked or not migrated, and the same call may succeed later. See PostgreSQL's appendix A for SQLSTATE.
    """
    if isinstance(error, DeadlinePassed):
        return DeadlineExceeded(error.seconds)
    if isinstance(error, PoolTimeout):
        return Unavailable("The server is busy: no database connection was free")
    if isinstance(error, IntegrityError):
        return explain(error)
    if not isinstance(error, DBAPIError):
        return None
    state = getattr(error.orig, "sqlstate", None) or ""
    if state == _LOCKED:
        return Unavailable("Others hold a lock on what this needs: it did not come free in time")
    if state[:2] in _UNAVAILABLE_CLASSES or state in _UNAVAILABLE_STATES:
        return Unavailable()
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None and (code & 0xFF in _UNAVAILABLE_SQLITE or _NOT_MIGRATED.search(str(error.orig))):
        return Unavailable()
    return None


def log_failure(logger: logging.Logger, known: TandemError, error: Exception) -> None:
    """Log what ``from_database`` has explained: with where it came from, but for what is only a matter of load."""
    if isinstance(error, (DeadlinePassed, PoolTimeout)):
        logger.warning("%s: %s", known.code, known.message)
    else:
        logger.warning("database unavailable", exc_info=error)
