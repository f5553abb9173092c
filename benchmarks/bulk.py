"""The data at any scale: as data.py makes it, but in the way that each database takes very many rows.

In one transaction and without the indexes, which are built when all rows are there. SQLite's search index is not: its
triggers keep it, row by row.
"""

import asyncio
import random
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Dialect, make_url

from benchmarks import data, rows
from benchmarks.rows import USUAL, Row, Shape
from db import upkeep
from db.driver.database import Database
from db.driver.urls import normalise_url
from db.models import Base, Comment, CommentText, Event, Task, TaskAssignee, TaskTag, TaskText

BATCH = 10_000
RARE = 20
"""How many of the caller's tasks have the rare words in their title, in a data set of any size."""
RARE_WORDS = ("zeppelin", "thermostat")
"""The trigrams of the first are in no other text; half of the second's are in most texts."""
COMMON_WORD = "invoice"
"""In every tenth title."""

Write = Callable[[type[Base], Sequence[Row]], None]


def make(url: str, tasks: int, shape: Shape = USUAL) -> data.Dataset:
    """Fill an empty, migrated database with ``tasks`` tasks for the caller, and a tenth of that for others."""
    random_ = random.Random(data.SEED)
    sizes = rows.sizes(tasks, shape)
    with data.connect(url) as connection:
        dataset = data.write_people(connection)
        data.write_projects(connection, random_, sizes)
    with bulk(url) as write:
        _write_tasks(write, random_, sizes, shape)
    with data.connect(url) as connection:
        data.finish(connection)
    analyze(url)
    return dataset


def analyze(url: str) -> None:
    """What the project's own import does in the end."""

    async def run() -> None:
        database = Database(url)
        try:
            await upkeep.analyze(database)
        finally:
            await database.dispose()

    asyncio.run(run())


def _write_tasks(write: Write, random_: random.Random, sizes: rows.Sizes, shape: Shape) -> None:
    written = comments = 0
    stream = _with_rare_words(rows.tasks(random_, sizes, shape), sizes)
    while tasks := list(islice(stream, BATCH)):
        attached = []
        for task in tasks:
            attached.append(rows.attached(random_, task, comments + 1))
            comments += len(attached[-1].comments)
        remarks = [comment for each in attached for comment in each.comments]
        write(Task, tasks)
        write(TaskText, list(map(rows.task_text, tasks)))
        write(TaskAssignee, [row for each in attached for row in each.assignees])
        write(TaskTag, [row for each in attached for row in each.tags])
        write(Comment, remarks)
        write(CommentText, list(map(rows.comment_text, remarks)))
        write(Event, [rows.event(number, task) for number, task in enumerate(tasks, written + 1)])
        written += len(tasks)


def _with_rare_words(tasks: Iterable[Row], sizes: rows.Sizes) -> Iterator[Row]:
    """The tasks, ``RARE`` of the caller's with the rare words, evenly spread."""
    every = sum(list(sizes.values())[:-1]) // RARE
    own = 0
    for task in tasks:
        if rows.is_own(task, sizes):
            own += 1
            if own % every == 0 and own <= RARE * every:
                task |= {"title": f"{task['title']} {' '.join(RARE_WORDS)}", "deleted_at": None}
        yield task


@contextmanager
def bulk(url: str) -> Iterator[Write]:
    """Write very many rows: what the block writes is one transaction."""
    with _bulk_postgresql(url) if make_url(url).get_backend_name() == "postgresql" else _bulk_sqlite(url) as write:
        yield write


class _Insert:
    """What a batch of rows of one table is made of: names of columns, and values as the driver takes them."""

    def __init__(self, model: type[Base], row: Row, dialect: Dialect) -> None:
        self.table, self.names = model.__tablename__, list(row)
        types = [model.__table__.c[name].type.dialect_impl(dialect) for name in self.names]
        self._processors = [type_.bind_processor(dialect) for type_ in types]

    def values(self, row: Row) -> list[Any]:
        return [
            value if process is None else process(value)
            for value, process in zip(row.values(), self._processors, strict=True)
        ]


@contextmanager
def _bulk_sqlite(url: str) -> Iterator[Write]:
    dialect = normalise_url(url).get_dialect()()
    with closing(sqlite3.connect(make_url(url).database or "", isolation_level=None)) as connection:
        # a file that is thrown away when this does not come to its end
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        indexes = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        definitions = indexes.fetchall()
        for name, _ in definitions:
            connection.execute(f"DROP INDEX {name}")

        def write(model: type[Base], values: Sequence[Row]) -> None:
            if values:
                new = _Insert(model, values[0], dialect)
                marks = ", ".join("?" * len(new.names))
                statement = f"INSERT INTO {new.table} ({', '.join(new.names)}) VALUES ({marks})"  # noqa: S608 - names of ours
                connection.executemany(statement, map(new.values, values))

        yield write
        for _, definition in definitions:
            connection.execute(definition)
        connection.execute("COMMIT")


_INDEXES = """
    SELECT relname, pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = current_schema()::regnamespace
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""


@contextmanager
def without_indexes(url: str) -> Iterator[psycopg.Connection]:
    """A transaction on PostgreSQL, in which tables have no indexes but those of constraints until the block ends."""
    with psycopg.connect(url) as connection:
        connection.execute("SET LOCAL session_replication_role = replica")  # foreign keys hold as rows are made
        connection.execute("SET LOCAL maintenance_work_mem = '500MB'")
        definitions = connection.execute(_INDEXES).fetchall()
        for name, _ in definitions:
            connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
        yield connection
        for _, definition in definitions:
            connection.execute(definition)


@contextmanager
def _bulk_postgresql(url: str) -> Iterator[Write]:
    dialect = normalise_url(url).get_dialect()()
    with without_indexes(url) as connection:

        def write(model: type[Base], values: Sequence[Row]) -> None:
            if values:
                new = _Insert(model, values[0], dialect)
                columns = sql.SQL(", ").join(map(sql.Identifier, new.names))
                statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(new.table), columns)
                with connection.cursor().copy(statement) as copy:
                    for row in values:
                        copy.write_row(new.values(row))

        yield write
