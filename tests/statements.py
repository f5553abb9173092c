"""Counting statements: what a request costs the database may depend on its shape, never on the number of rows."""

from types import TracebackType

from db.engine import Database


class StatementCounter:
    """The statements since the last ``reset``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.seen: list[str] = []

    def __enter__(self) -> "StatementCounter":
        self._database.observers.append(self.seen.append)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.observers.remove(self.seen.append)

    def reset(self) -> None:
        self.seen.clear()

    @property
    def count(self) -> int:
        return len(self.seen)
