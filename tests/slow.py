"""Statements that take as long as they are given, and a look at what still runs in a database."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text

from db.driver.database import Database
from db.driver.sqlite.reader import SqliteReader
from db.driver.sqlite.writer import SqliteWriter
from db.driver.statements import Command

ENDLESS = {
    "postgresql": "SELECT pg_sleep(60)",
    "sqlite": "SELECT count(*) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n)",
}
"""Takes a minute, or for ever."""


@contextmanager
def endless(database: Database, monkeypatch: pytest.MonkeyPatch, about: str) -> Iterator[list[str]]:
    """Every statement that mentions something takes as good as for ever. Yields those that were asked for."""
    asked: list[str] = []

    def instead(command: Command) -> Command:
        if about not in command.sql:
            return command
        asked.append(command.sql)
        return Command(ENDLESS[database.dialect], (), list)

    def wrap(run: Callable[[Command], Awaitable[Any]]) -> Callable[[Command], Awaitable[Any]]:
        async def slowly(command: Command) -> Any:
            return await run(instead(command))

        return slowly

    async def begin(*, long: bool = False) -> Any:
        transaction: Any = await begin_there(long=long)
        transaction.run = wrap(transaction.run)
        return transaction

    begin_there = database.writer.begin
    with monkeypatch.context() as patch:
        patch.setattr(database.reader, "run", wrap(database.reader.run))
        patch.setattr(database.writer, "begin", begin)
        yield asked


async def under_way(database: Database) -> int:
    """How many statements still run in the database, of its own connections or of others, but for this one."""
    if database.dialect == "postgresql":
        sql = "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' AND datname = current_database()"
        found: int = await database.reads.scalar(text(f"{sql} AND pid <> pg_backend_pid()"))
        return found
    reader, writer = database.reader, database.writer
    assert isinstance(reader, SqliteReader)
    assert isinstance(writer, SqliteWriter)
    return len(reader.slow_reads.jobs) + writer.taken


async def settled(database: Database, *, seconds: float = 1.0) -> bool:
    """Whether, after so long at the most, nothing runs in the database any more and every turn can be had again."""
    pools: tuple[Any, Any] = (database.reader, database.writer)
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until:
        free = [pool.free == pool.size for pool in pools if hasattr(pool, "free")]
        if all(free) and await under_way(database) == 0:
            return True
        await asyncio.sleep(0.02)
    return False
