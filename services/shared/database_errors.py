"""What an error of the database means for the caller: it cannot serve now, a name is taken, a thing is gone."""

import logging

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from core.deadlines import DeadlinePassed
from db import errors as db_errors
from services.shared.errors import Conflict, DeadlineExceeded, NotFound, Problem, TandemError, Unavailable

MAX_REASON = 300
"""Characters of what the database said that are logged."""
_POINTERS = {
    "uq_users_username_folded": "/username",
    "uq_users_email": "/email",
    "uq_projects_key": "/key",
    "uq_tags_project_id_name_folded": "/name",
    "uq_memberships_project_id_user_id": "/username",
    "uq_tasks_project_id_external_source_external_id": "/external_id",
    "uq_projects_external_of_id_external_source_external_id": "/external_id",
    "uq_comments_external_project_id_external_source_external_id": "/external_id",
    "uq_relations_source_id_target_id_kind": "/target_id",
}
"""Where callers give what has to be unique, by the index that says so."""
_THINGS = {"users": "User", "projects": "Project", "tasks": "Task", "tags": "Tag", "comments": "Comment"}


def taken(*pointers: str, message: str | None = None) -> Conflict:
    """The error for what has to be unique, and is not."""
    return Conflict(message, errors=[Problem(pointer, "is taken", "taken") for pointer in pointers])


def explain(error: IntegrityError) -> TandemError | None:
    """The refusal for the caller: ``Conflict`` that points at what is taken, ``NotFound`` for what has gone meanwhile.

    None for any other constraint: a row that the rules should not have let come so far.
    """
    constraint = db_errors.violated(error)
    if constraint in _POINTERS:
        return taken(_POINTERS[constraint])
    if constraint.startswith(db_errors.FOREIGN_KEY):
        return NotFound(
            next((thing for table, thing in _THINGS.items() if constraint.endswith(f"_{table}")), "Resource")
        )
    return None


def from_database(error: Exception) -> TandemError | None:
    """What a database failure means for the caller; None where it is a defect of ours.

    A database that cannot do what it is asked for now, whatever the reason, is no defect: it has been away, full,
    read-only, locked or not migrated, and the same call may succeed later.
    """
    if isinstance(error, DeadlinePassed):
        return DeadlineExceeded(error.seconds)
    if isinstance(error, PoolTimeout):
        return Unavailable("The server is busy: no database connection was free")
    if isinstance(error, IntegrityError):
        return explain(error)
    if not isinstance(error, DBAPIError):
        return None
    if db_errors.is_lock_timeout(error):
        return Unavailable("Others hold a lock on what this needs: it did not come free in time")
    return Unavailable() if db_errors.is_unavailable(error) else None


def log_failure(logger: logging.Logger, known: TandemError, error: Exception) -> None:
    """Log what ``from_database`` has explained, in a line; at DEBUG also where it came from."""
    if isinstance(error, (DeadlinePassed, PoolTimeout)):
        logger.warning("%s: %s", known.code, known.message)
        return
    reason = " ".join(str(getattr(error, "orig", None) or error).split())
    where = error if logger.isEnabledFor(logging.DEBUG) else None
    logger.warning("database unavailable: %s", reason[:MAX_REASON], exc_info=where)
