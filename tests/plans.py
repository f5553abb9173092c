"""What a database does for a statement: its plan, and what running it takes."""

import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import psycopg

from db.driver.database import Database
from db.driver.sqlite.reader import PRAGMAS
from db.driver.statements import Command
from db.models import Base

GROWING = frozenset({"tasks", "comments", "events", "task_assignees", "task_tags", "task_texts", "comment_texts"})
"""Tables that grow with the number of tasks."""


@dataclass(slots=True)
class Findings:
    """What was found about a statement."""

    cost: int
    """Instructions of SQLite's machine, or rows that PostgreSQL read."""
    read_whole: list[str] = field(default_factory=list)
    """Steps that read all of a table that grows; on SQLite of any table."""
    sorts: list[str] = field(default_factory=list)
    """Sorts of more than a page: on SQLite those of a range of tasks, on PostgreSQL of more than ``most`` rows."""
    tasks_read: int = 0
    """Rows of tasks that PostgreSQL read; SQLite does not tell."""
    indexes: set[str] = field(default_factory=set)
    """Those by which something was read."""


class Explain(Protocol):
    def __call__(self, command: Command, *, most: int) -> Findings:
        """Run a statement and tell how. ``most`` is how many rows may be sorted."""
        ...


@contextmanager
def explainer(database: Database) -> Iterator[Explain]:
    """Explains statements of a database, on a connection like those that it is read with."""
    if database.dialect == "sqlite":
        with closing(sqlite3.connect(database.url.database or "")) as connection:
            for pragma in PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
            yield _Sqlite(connection)
    else:
        arguments: Any = database.sql.create_connect_args(database.url)[1]
        with psycopg.connect(**arguments, autocommit=True, cursor_factory=psycopg.ClientCursor) as other:
            _set_up(other)
            yield _Postgresql(other)


def reading_cost(database: Database, commands: Sequence[Command], *, times: int = 5) -> float:
    """What reading takes: on PostgreSQL pages; on SQLite, which does not tell what an index of texts reads, seconds of
    processor time, the least of some runs."""
    if database.dialect == "sqlite":
        took = []
        with closing(sqlite3.connect(database.url.database or "")) as connection:
            for pragma in PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
            for _ in range(times):
                started = time.thread_time()
                for command in commands:
                    connection.execute(command.sql, command.values).fetchall()
                took.append(time.thread_time() - started)
        return min(took)
    arguments: Any = database.sql.create_connect_args(database.url)[1]
    pages = 0
    with psycopg.connect(**arguments, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection_:
        _set_up(connection_)
        for command in commands:
            marks = ", ".join(["%s"] * len(command.values))
            connection_.execute(f"PREPARE reading AS {command.sql}")
            found = connection_.execute(
                f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE reading{f'({marks})' if marks else ''}",
                command.values,
            ).fetchone()
            connection_.execute("DEALLOCATE reading")
            assert found is not None
            plan = found[0][0]["Plan"]
            pages += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return pages


def _set_up(connection: psycopg.Connection[Any]) -> None:
    """Have the planner do as on connections of the server."""
    for setting in ("jit = off", "plan_cache_mode = force_generic_plan", "random_page_cost = 1.1"):
        connection.execute(f"SET {setting}")


class _Sqlite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __call__(self, command: Command, *, most: int) -> Findings:
        plan = self._connection.execute(f"EXPLAIN QUERY PLAN {command.sql}", command.values).fetchall()
        levels: dict[int, list[str]] = {}
        for _, parent, _, step in plan:
            levels.setdefault(parent, []).append(step)
        findings = Findings(self._instructions(command))
        findings.indexes = {name for *_, step in plan for name in _INDEX.findall(step)}
        for steps in levels.values():
            findings.read_whole += [step for step in steps if _reads_whole(step)]
            # what is sorted comes from the loops beside it; a page's rows are found one by one, by their keys
            if any(map(_reads_range_of_tasks, steps)):
                findings.sorts += [step for step in steps if step.startswith("USE TEMP B-TREE")]
        return findings

    def _instructions(self, command: Command) -> int:
        count = 0

        def counted() -> bool:
            nonlocal count
            count += 10
            return False

        self._connection.set_progress_handler(counted, 10)
        try:
            self._connection.execute(command.sql, command.values).fetchall()
        finally:
            self._connection.set_progress_handler(None, 0)
        return count


_STEP = re.compile(r"(?P<how>SCAN|SEARCH) (?P<table>[a-z_]+?)(?:_\d+)?(?: (?P<by>.*))?")
_INDEX = re.compile(r" INDEX ([a-z_]+)")
_KEYS = ("INTEGER PRIMARY KEY (rowid=?)", "uq_tasks_project_id_number (project_id=? AND number=?)")


def _reads_whole(step: str) -> bool:
    match = _STEP.fullmatch(step)
    return match is not None and match["how"] == "SCAN" and match["table"] in Base.metadata.tables


def _reads_range_of_tasks(step: str) -> bool:
    match = _STEP.fullmatch(step)
    return match is not None and match["table"] == "tasks" and not (match["by"] or "").endswith(_KEYS)


class _Postgresql:
    """As the server has it: statements are prepared, and from their sixth time on may get a plan for any values."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def __call__(self, command: Command, *, most: int) -> Findings:
        marks = ", ".join(["%s"] * len(command.values))
        execute = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE explained{f'({marks})' if marks else ''}"
        self._connection.execute(f"PREPARE explained AS {command.sql}")
        try:
            plans = [self._connection.execute(execute, command.values).fetchone() for _ in range(7)]
        finally:
            self._connection.execute("DEALLOCATE explained")
        found = [_findings(plan[0][0]["Plan"], most) for plan in (plans[0], plans[-1]) if plan is not None]
        return max(found, key=lambda findings: (len(findings.read_whole) + len(findings.sorts), findings.cost))


def _findings(plan: dict[str, Any], most: int) -> Findings:
    findings = Findings(0)
    for node in _nodes(plan):
        kind, table = node["Node Type"], node.get("Relation Name", "")
        findings.indexes |= {node["Index Name"]} if "Index Name" in node else set()
        if table:
            removed = sum(node.get(f"Rows Removed by {name}", 0) for name in ("Filter", "Index Recheck", "Join Filter"))
            read = (node["Actual Rows"] + removed) * node["Actual Loops"]
            findings.cost += read
            findings.tasks_read += read if table == "tasks" else 0
            if kind == "Seq Scan" and table in GROWING and node["Actual Loops"]:
                findings.read_whole.append(f"{kind} on {table}")
        elif kind in ("Sort", "Incremental Sort"):
            [below] = [each for each in node["Plans"] if each["Parent Relationship"] == "Outer"]
            fed = below["Actual Rows"] * below["Actual Loops"]
            if fed > most:
                findings.sorts.append(f"{kind} by {', '.join(node['Sort Key'])} of {fed} rows")
    return findings


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)
