"""A request has a deadline: at its end it is 504 on both doors, and nothing goes on in the database."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import text

from core.deadlines import UNBOUNDED, DeadlinePassed, Work, current, working
from db.driver.database import Database
from db.driver.sqlite.writer import SqliteWriter
from tests.actors import Anonymous, Person, make_person
from tests.databases import on_postgresql
from tests.doors import Call, Door, another_instance, bearer, calling, nothing_written, on_both_doors
from tests.slow import ENDLESS, endless, settled
from tests.statements import is_numbering

SECONDS = 0.8
LIST = Call("GET /tasks", "{ result: tasks { edges { node { id databaseId } } } }")
CREATE = Call(
    "POST /tasks",
    "mutation($input: CreateTaskInput!) { result: createTask(input: $input) { task { id databaseId } } }",
    payload="task",
)
SAID = f"It took longer than {SECONDS:g} s, and was ended: ask for less at a time"


@pytest.fixture
async def hurried(database: Database) -> AsyncIterator[FastAPI]:
    """An application whose requests may not take long."""
    async with another_instance(database, request_timeout_seconds=SECONDS) as app:
        yield app


@pytest.fixture
async def caller(hurried: FastAPI) -> AsyncIterator[Person]:
    async with calling(hurried) as anonymous:
        yield await make_person(anonymous.client, hurried.state.tandem)


@pytest.fixture
def own(hurried: FastAPI) -> Database:
    """The connections of that application."""
    database: Database = hurried.state.tandem.database
    return database


class TestDoors:
    @on_both_doors
    @pytest.mark.parametrize(("call", "about"), [(LIST, " tasks"), (CREATE, "INSERT INTO tasks")])
    async def test_what_takes_too_long_is_ended_in_time_and_changes_nothing(
        self, own: Database, caller: Person, door: Door, call: Call, about: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        values = None if call is LIST else {"title": "never"}
        async with nothing_written(own):
            with endless(own, monkeypatch, about) as asked:
                started = time.monotonic()
                result = await call.on(door, caller, values)
                took = time.monotonic() - started

            assert (result.status, result.code, result.message) == (504, "DEADLINE_EXCEEDED", SAID)
            assert asked
            assert SECONDS <= took < SECONDS + 1.5
            assert await settled(own)
        assert (await call.on(door, caller, values)).code is None

    async def test_a_query_ends_as_a_whole(
        self, own: Database, caller: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        several = "{ me { id } a: tasks { totalCount } b: tasks { edges { node { title } } } c: tasks { totalCount } }"
        with endless(own, monkeypatch, " tasks"):
            answer = await caller.gql(several)

        assert (answer.status, answer.code) == (504, "DEADLINE_EXCEEDED")
        assert "data" not in answer.body

    async def test_of_a_mutation_what_was_carried_out_is_told(
        self, own: Database, caller: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        both = """mutation($task: CreateTaskInput!, $view: CreateSavedViewInput!) {
            task: createTask(input: $task) { task { title } }
            view: createSavedView(input: $view) { savedView { id } } }"""
        with endless(own, monkeypatch, "INSERT INTO saved_views"):
            answer = await caller.gql(both, {"task": {"title": "kept"}, "view": {"name": "never"}})

        assert (answer.status, answer.code) == (294, "DEADLINE_EXCEEDED")
        assert answer.body["data"] == {"task": {"task": {"title": "kept"}}, "view": None}

    async def test_waiting_for_a_turn_counts(
        self, own: Database, caller: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with endless(own, monkeypatch, " tasks"):
            results = await asyncio.gather(*(LIST.on("rest", caller) for _ in range(8)))

        assert {result.code for result in results} == {"DEADLINE_EXCEEDED"}
        assert await settled(own)

    async def test_the_time_that_a_body_takes_is_not_counted(self, caller: Person) -> None:
        async def slowly() -> AsyncIterator[bytes]:
            yield b'{"title": '
            await asyncio.sleep(SECONDS * 2)
            yield b'"late"}'

        answer = await caller.client.post(
            "/api/v1/tasks", headers=caller.headers | {"Content-Type": "application/json"}, content=slowly()
        )
        assert answer.status_code == 201


class TestWork:
    async def test_what_has_no_time_left_runs_nothing(self, database: Database) -> None:
        with working(2, None) as work:
            assert await database.reads.scalar(text("SELECT 1")) == 1
            work.deadline = time.monotonic()
            with pytest.raises(DeadlinePassed):
                await database.reads.scalar(text("SELECT 1"))
            with pytest.raises(DeadlinePassed):
                async with database.writing() as session:
                    await session.scalar(text("SELECT 1"))

    async def test_a_transaction_is_not_committed_too_late(self, database: Database) -> None:
        with working(5, None) as work, pytest.raises(DeadlinePassed):  # noqa: PT012 - it is the end of the block
            async with database.writing() as session:
                await session.execute(text("CREATE TABLE late (x INTEGER)"))
                work.deadline = time.monotonic()

        with pytest.raises(Exception, match="late"):
            await database.reads.scalar(text("SELECT * FROM late"))
        assert await settled(database)

    @pytest.mark.parametrize("how", ["read", "write"])
    async def test_what_is_begun_for_it_in_another_task_ends_with_it(self, database: Database, how: str) -> None:
        async def endlessly() -> None:
            async with database.writing() if how == "write" else database.reading() as session:
                await session.scalar(text(ENDLESS[database.dialect]))

        with working(30, 1):
            task = asyncio.create_task(endlessly())
            await asyncio.sleep(0.2)
        with pytest.raises(DeadlinePassed):
            await task
        assert await settled(database)

    async def test_commands_have_none(self) -> None:
        assert current.get() is UNBOUNDED
        UNBOUNDED.check()

    async def test_a_renewed_one_has_all_of_its_time_again(self) -> None:
        work = Work(0.05, 1)
        await asyncio.sleep(0.06)
        work.renew()
        work.check()


class TestCommit:
    async def test_it_is_not_cut_off(self, own: Database, caller: Person, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody could say what came of it."""
        if isinstance(own.writer, SqliteWriter):
            await CREATE.on("rest", caller, {"title": "first"})
            connection: Any = own.writer._connection
            commit = connection._commit
            connection._commit_seconds = 1.0  # in the thread

            def slowly() -> None:
                time.sleep(SECONDS * 2)
                commit()

            monkeypatch.setattr(connection, "_commit", slowly)
        else:
            async with own.writing() as session:
                await session.execute(
                    text(
                        "CREATE OR REPLACE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS "
                        f"$$ BEGIN PERFORM pg_sleep({SECONDS * 2}); RETURN NULL; END $$"
                    )
                )
                await session.execute(
                    text(
                        "CREATE CONSTRAINT TRIGGER linger AFTER INSERT ON tasks DEFERRABLE INITIALLY DEFERRED "
                        "FOR EACH ROW WHEN (NEW.title = 'lingering') EXECUTE FUNCTION linger()"
                    )
                )
        try:
            result = await CREATE.on("rest", caller, {"title": "lingering"})
        finally:
            if own.dialect == "postgresql":
                async with own.writing() as session:
                    await session.execute(text("DROP TRIGGER linger ON tasks"))

        assert (result.status, result.code) == (201, None)


@on_postgresql
class TestPostgresql:
    async def test_the_server_ends_by_itself_what_nobody_else_does(self, own: Database) -> None:
        settings = [await own.reads.scalar(text(f"SHOW {name}")) for name in ("statement_timeout", "lock_timeout")]

        assert settings == [f"{1000 + SECONDS * 1000:g}ms", f"{SECONDS * 500:g}ms"]

    async def test_a_lock_that_others_hold_is_unavailable(
        self, own: Database, database: Database, hurried: FastAPI, caller: Person
    ) -> None:
        async with database.writing() as session:
            await session.execute(text("LOCK TABLE tasks"))
            results = [await LIST.on(door, caller) for door in ("rest", "graphql")]

        said = "Others hold a lock on what this needs: it did not come free in time"
        assert [(result.status, result.code, result.message) for result in results] == [(503, "UNAVAILABLE", said)] * 2
        assert {result.headers["retry-after"] for result in results} == {"1"}


async def test_another_address_of_the_same_account_is_the_same_caller(hurried: FastAPI, caller: Person) -> None:
    seen: list[Any] = []
    own: Database = hurried.state.tandem.database

    def see(sql: str) -> None:
        if not is_numbering(sql):
            seen.append(current.get().caller)

    own.observers.append(see)
    async with calling(hurried, address="192.0.2.7") as elsewhere:
        await LIST.on("rest", caller)
        await LIST.on("graphql", bearer(elsewhere, caller.access_token))
        await LIST.on("rest", Anonymous(elsewhere.client, {"X-API-Key": "tk_unknown"}))

    assert set(seen) == {caller.id, "address:192.0.2.7"}
