"""What a create writes, piece by piece: the CPU that a piece takes is what is saved without it.

``python -m benchmarks.pieces create`` creates tasks by the service, in process and one after the other: with
everything, and with one piece after another left out, each on a database of its own, in turn. A piece's cost is the
median of the rounds' differences, for a machine that others share is often half as fast for a second. What is left in
the end are the transaction, the locked project with its number, and the task's row.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from statistics import median
from typing import Any, NamedTuple

from rich.console import Console
from sqlalchemy import text

from benchmarks import data, databases
from benchmarks.report import DATABASES, number, table
from benchmarks.works import DUE, NEW_TASK
from db.driver.database import Database
from services.events import log
from services.shared.actors import Actor, Scope
from services.tasks import commands, insertion
from services.tasks.models import TaskCreate

TASKS = 10_000
WARM_UP, ROUNDS, CREATES = 2, 15, 40
CALLER = Actor("token", user_id=1, scopes=frozenset(Scope))


class Piece(NamedTuple):
    """A part of what is written, and how it is left out: what is dropped from the database, or how the code is patched
    (which is undone)."""

    name: str
    kind: str = ""
    found_by: str = ""
    patch: Callable[[], AbstractContextManager[None]] | None = None


async def _nothing(*_arguments: object) -> None: ...


@contextmanager
def _instead(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _indexes(table_name: str, *, postgresql: bool) -> str:
    if postgresql:
        return (
            "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "  # noqa: S608 - names of ours
            f"WHERE i.indrelid = '{table_name}'::regclass AND NOT EXISTS "
            "(SELECT FROM pg_constraint WHERE conindid = i.indexrelid)"
        )
    return f"SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = '{table_name}' AND sql IS NOT NULL"  # noqa: S608


def pieces(kind: str) -> Sequence[Piece]:
    """What is left out, in turn."""
    postgresql = kind == "postgresql"
    texts = (
        Piece("index of texts", "INDEX", _indexes("task_texts", postgresql=True))
        if postgresql
        else Piece(
            "index of texts",
            "TRIGGER",
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'task_texts'",
        )
    )
    return [
        texts,
        Piece("row of the text", patch=lambda: _instead(insertion, "_insert_contents", _nothing)),
        Piece("indexes of events", "INDEX", _indexes("events", postgresql=postgresql)),
        Piece("row of the event", patch=lambda: _instead(log, "record", _nothing)),
        Piece("indexes of tasks", "INDEX", _indexes("tasks", postgresql=postgresql)),
    ]


class Cost(NamedTuple):
    """Microseconds of CPU of a create."""

    server: float
    database: float

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.server - other.server, self.database - other.database)


class Variant:
    """A database, and code, that some pieces are left out of."""

    def __init__(self, filled: databases.Database, number: int, left_out: Sequence[Piece]) -> None:
        self._url = filled.copy(f"pieces{number}")
        with data.connect(self._url) as connection:
            for piece in left_out:
                if piece.kind:
                    for name in connection.scalars(text(piece.found_by)).all():
                        connection.execute(text(f"DROP {piece.kind} {name}"))
        self._patches = [piece.patch for piece in left_out if piece.patch is not None]
        self._filled = filled
        self.database = Database(self._url, pool_size=1)

    async def create(self, new: TaskCreate) -> Cost:
        """What a create costs, of ``CREATES``."""
        with ExitStack() as stack:
            for patch in self._patches:
                stack.enter_context(patch())
            own, others = time.process_time_ns(), self._filled.cpu_ns(self._url) or 0
            for _ in range(CREATES):
                async with self.database.writing() as session:
                    await commands.create(session, CALLER, new)
            spent = time.process_time_ns() - own, (self._filled.cpu_ns(self._url) or 0) - others
        return Cost(*(each / CREATES / 1e3 for each in spent))


async def measure(kind: str, filled: databases.Database) -> list[list[str]]:
    """The table of a kind of database."""
    new = TaskCreate.model_validate({**NEW_TASK, "project_id": 1, "due_at": DUE})
    left = pieces(kind)
    variants = [Variant(filled, number, left[:number]) for number in range(len(left) + 1)]
    rounds = []
    try:
        for number in range(WARM_UP + ROUNDS):
            of_round = [await variant.create(new) for variant in variants]
            if number >= WARM_UP:
                rounds.append(of_round)
    finally:
        for variant in variants:
            await variant.database.dispose()
    rows = [["µs of CPU of a create", "server", "database", "in all"]]
    rows.append(_row("everything", [each[0] for each in rounds]))
    for number, piece in enumerate(left):
        rows.append(_row(piece.name, [each[number] - each[number + 1] for each in rounds]))
    rows.append(_row("the rest: transaction, number, task", [each[-1] for each in rounds]))
    return rows


def _row(name: str, costs: Sequence[Cost]) -> list[str]:
    own, others, both = (median(each) for each in zip(*((*cost, sum(cost)) for cost in costs), strict=True))
    return [name, number(own), number(others), number(both)]


def main(kinds: Sequence[str] = ("sqlite", "postgresql")) -> None:
    """Print a table for each kind of database that there is."""
    for kind in kinds:
        with ExitStack() as stack:
            fill = partial(data.make, tasks=TASKS)
            dsn = "" if kind == "sqlite" else stack.enter_context(databases.postgresql_dsn())
            if dsn is None:
                continue
            opened = databases.sqlite(fill) if kind == "sqlite" else databases.postgresql(dsn, fill)
            rows = asyncio.run(measure(kind, stack.enter_context(opened)))
            Console().print(table(DATABASES[kind], rows))
