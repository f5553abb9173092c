"""PostgreSQL: a server goes on while a migration changes the tables that its prepared statements read."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy
from psycopg import sql
from sqlalchemy import Select, column, select
from sqlalchemy.exc import DBAPIError

from db.driver.database import Database
from db.driver.postgresql.connection import PREPARE_AFTER
from services.shared.database_errors import from_database
from services.shared.errors import Unavailable
from tests.databases import on_postgresql

pytestmark = on_postgresql
OFTEN = PREPARE_AFTER + 2
"""Runs after which a statement is prepared, and was run so."""


@pytest.fixture
def url(database: Database) -> str:
    return database.url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
async def one(url: str) -> AsyncIterator[Database]:
    """A database with one connection for reads, and one for writes."""
    database = Database(url, pool_size=1)
    yield database
    await database.dispose()


@pytest.fixture
def table(url: str) -> Iterator[str]:
    name = f"changing_{uuid4().hex[:8]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE TABLE {} AS SELECT 7 AS id").format(sql.Identifier(name)))
        yield name
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))


def change(url: str, table: str) -> None:
    """What a migration does, on a connection of its own: the statement's columns have other types then."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER TABLE {} ALTER COLUMN id TYPE bigint").format(sql.Identifier(table)))


def reading(name: str) -> Select[int]:
    """A statement that reads the table."""
    return select(column("id")).select_from(sqlalchemy.table(name))


async def test_a_read_that_was_prepared_before_is_repeated(one: Database, table: str, url: str) -> None:
    statement = reading(table)
    for _ in range(OFTEN):
        assert await one.reads.scalars(statement) == [7]

    change(url, table)

    for _ in range(OFTEN):
        assert await one.reads.scalars(statement) == [7]


async def test_a_transaction_fails_once_and_the_next_one_does_not(one: Database, table: str, url: str) -> None:
    statement = reading(table)
    for _ in range(OFTEN):
        async with one.writing() as session:
            assert await session.scalars(statement) == [7]

    change(url, table)

    with pytest.raises(DBAPIError) as failed:
        async with one.writing() as session:
            await session.scalars(statement)
    assert isinstance(from_database(failed.value), Unavailable)
    for _ in range(OFTEN):
        async with one.writing() as session:
            assert await session.scalars(statement) == [7]
