"""What databases say went wrong, as the real ones say it: an upgrade that words or numbers it otherwise shows here."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from db.driver.database import Database
from db.errors import is_lock_timeout, is_missing_table, is_unavailable, violated
from db.lock_timeouts import LockTimeout, lock_timeout

TABLES = (
    """CREATE TEMPORARY TABLE things (id INTEGER, a INTEGER, b INTEGER,
        CONSTRAINT pk_things PRIMARY KEY (id), CONSTRAINT uq_things_a_b UNIQUE (a, b),
        CONSTRAINT ck_things_a CHECK (a > 0))""",
    """CREATE TEMPORARY TABLE parts (thing_id INTEGER,
        CONSTRAINT fk_parts_thing_id_things FOREIGN KEY (thing_id) REFERENCES things (id))""",
    "INSERT INTO things (id, a, b) VALUES (1, 1, 1)",
)


async def failure(database: Database, statement: str, raised: type[Any] = DBAPIError) -> Any:
    """What the database raises for a statement, where there are the tables."""

    async def run() -> None:
        async with database.writing() as session:
            for each in (*TABLES, statement):
                await session.execute(text(each))

    with pytest.raises(raised) as failed:
        await run()
    return failed.value


class TestViolated:
    @pytest.mark.parametrize(
        ("statement", "constraint"),
        [
            ("INSERT INTO things (id, a, b) VALUES (2, 1, 1)", "uq_things_a_b"),
            ("INSERT INTO parts (thing_id) VALUES (7)", "fk_"),
        ],
    )
    async def test_constraint_is_known_by_its_name(self, database: Database, statement: str, constraint: str) -> None:
        assert violated(await failure(database, statement, IntegrityError)).startswith(constraint)

    async def test_key_is_told_though_it_is_named_otherwise(self, database: Database) -> None:
        told = violated(await failure(database, "INSERT INTO things (id, a, b) VALUES (1, 2, 2)", IntegrityError))
        assert told == {"sqlite": "uq_things_id", "postgresql": "pk_things"}[database.dialect]

    async def test_check_is_no_unique_constraint(self, database: Database) -> None:
        told = violated(await failure(database, "INSERT INTO things (id, a, b) VALUES (2, 0, 0)", IntegrityError))
        assert told == {"sqlite": "", "postgresql": "ck_things_a"}[database.dialect]


class TestNotMigrated:
    @pytest.mark.parametrize(
        ("statement", "is_a_table"),
        [
            ("SELECT * FROM nothing_of_the_kind", True),
            ("INSERT INTO nothing_of_the_kind VALUES (1)", True),
            ("SELECT absent FROM things", False),
            ("INSERT INTO things (absent) VALUES (1)", False),
        ],
    )
    async def test_what_is_not_there_may_come_with_a_migration(
        self, database: Database, statement: str, is_a_table: bool
    ) -> None:
        error = await failure(database, statement)
        assert (is_unavailable(error), is_missing_table(error)) == (True, is_a_table)

    @pytest.mark.parametrize("statement", ["SELEKT 1", "INSERT INTO things (id) VALUES (1, 2)"])
    async def test_what_is_wrong_with_a_statement_is_our_defect(self, database: Database, statement: str) -> None:
        error = await failure(database, statement)
        assert not is_unavailable(error)
        assert not is_missing_table(error)

    @pytest.mark.parametrize("judge", [is_unavailable, is_missing_table])
    async def test_text_of_a_caller_is_not_taken_for_the_databases(
        self, database: Database, judge: Callable[[DBAPIError], bool]
    ) -> None:
        error = await failure(database, "INSERT INTO things (id, a, b) VALUES (1, 1, 1) -- no such table")
        assert not judge(error)


class TestLockTimeout:
    @pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
    async def test_ends_the_waiting_and_no_other_statement(self, database: Database) -> None:
        key = text("SELECT pg_advisory_xact_lock(4711)")
        async with database.writing() as first:
            await first.execute(key)
            with pytest.raises(LockTimeout) as failed:
                async with database.writing() as second, lock_timeout(second, 1):
                    await second.execute(key)
        assert is_lock_timeout(failed.value.__cause__)  # type: ignore[arg-type]  # what the database raised
        async with database.writing() as session:
            async with lock_timeout(session, 1):
                assert await session.scalar(text("SHOW lock_timeout")) == "1s"
            assert await session.scalar(text("SHOW lock_timeout")) == "0"

    @pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
    async def test_is_nothing_to_one_writer(self, database: Database) -> None:
        async with database.writing() as session, lock_timeout(session, 1):
            assert await session.scalar(text("SELECT 1")) == 1
