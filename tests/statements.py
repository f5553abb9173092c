"""Counting statements: what a request costs the database may depend on its shape, never on the number of rows."""

import asyncio
from types import TracebackType

from db.driver.database import Database
from services.shared.background import TASK_NAME

_NUMBERING = ("pg_try_advisory_xact_lock(", "UPDATE events SET position", "pg_notify(", "WHERE events.position IS NULL")
"""What gives events their positions, beside the requests and a moment after them."""


def is_numbering(sql: str) -> bool:
    """Whether a statement is of what numbers events, which is done for nobody in particular."""
    return any(part in sql for part in _NUMBERING)


def _is_background() -> bool:
    task = asyncio.current_task()
    return task is not None and task.get_name() == TASK_NAME


class StatementCounter:
    """The statements since the last ``reset``, but for those that number events; ``of_requests`` also leaves out what
    a process asks beside its requests, such as a feed that somebody has followed a moment ago."""

    def __init__(self, database: Database, *, of_requests: bool = False) -> None:
        self._database, self._of_requests = database, of_requests
        self.seen: list[str] = []

    def __enter__(self) -> "StatementCounter":
        self._database.observers.append(self._see)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.observers.remove(self._see)

    def _see(self, sql: str) -> None:
        if not is_numbering(sql) and not (self._of_requests and _is_background()):
            self.seen.append(sql)

    def reset(self) -> None:
        self.seen.clear()

    @property
    def count(self) -> int:
        return len(self.seen)
