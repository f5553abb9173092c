"""Counting statements: what a request costs the database may depend on its shape, never on the number of rows."""

from types import TracebackType
from typing import Any

from sqlalchemy import event

from db.engine import Database

_TRANSACTION = ("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA")


class StatementCounter:
    """The statements since the last ``reset``, without those that only frame a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.seen: list[str] = []

    def __enter__(self) -> "StatementCounter":
        self._database.observers.append(self.seen.append)
        event.listen(self._database.engine.sync_engine, "before_cursor_execute", self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.observers.remove(self.seen.append)
        event.remove(self._database.engine.sync_engine, "before_cursor_execute", self._note)

    def _note(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(_TRANSACTION):
            self.seen.append(statement)

    def reset(self) -> None:
        self.seen.clear()

    @property
    def count(self) -> int:
        return len(self.seen)
