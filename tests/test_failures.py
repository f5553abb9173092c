"""What both doors say when something is refused, unavailable or broken, and that they say no more."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError

from api.main import create_app
from db.driver.database import Database
from db.driver.sessions import Session
from services.events.numbering import number_all
from services.shared.errors import TandemError
from services.tasks import insertion, queries, refs
from tests.actors import Anonymous, Answer, Person
from tests.conftest import settings_for
from tests.databases import on_postgresql
from tests.doors import Call, Door, another_instance, bearer, calling, on_both_doors
from tests.stored import unchanged

SECRET = "postgresql://tandem:hunter2@db.internal/tandem"
TASKS = "{ tasks { edges { node { id } } } }"
LIST = Call("GET /tasks", "{ result: tasks { totalCount edges { node { id } } } }")
ONE = {"title": "x"}
# a file has no connection to lose

Ask = Callable[[Person], Awaitable[httpx.Response]]


def _raw(content: bytes, media_type: str = "application/json") -> Ask:
    return lambda ada: ada.rest("POST", "/tasks", content=content, headers={"Content-Type": media_type})


async def _stale(ada: Person) -> httpx.Response:
    task = await ada.task()
    return await ada.patch(f"/tasks/{task['id']}", ONE, headers={"If-Match": '"99"'})


async def _twice(ada: Person) -> httpx.Response:
    project = await ada.project()
    path, tag = f"/projects/{project['id']}/tags", {"name": "bug"}
    await ada.post(path, tag)
    return await ada.post(path, tag)


REFUSALS: dict[str, tuple[int, str, Ask]] = {
    "malformed": (400, "BAD_REQUEST", _raw(b"{")),
    "no token": (401, "UNAUTHENTICATED", lambda ada: Anonymous(ada.client).get("/tasks")),
    "bad token": (401, "UNAUTHENTICATED", lambda ada: ada.get("/tasks", headers={"Authorization": "Bearer x"})),
    "bad key": (403, "FORBIDDEN", lambda ada: ada.get("/tasks", headers={"X-API-Key": "x"})),
    "not for everybody": (403, "FORBIDDEN", lambda ada: ada.delete("/admin/clear-tasks")),
    "no such thing": (404, "NOT_FOUND", lambda ada: ada.get("/tasks/2147483647")),
    "no such path": (404, "NOT_FOUND", lambda ada: ada.get("/nowhere")),
    "method": (405, "METHOD_NOT_ALLOWED", lambda ada: ada.delete("/tasks")),
    "conflict": (409, "CONFLICT", _twice),
    "version": (412, "VERSION_CONFLICT", _stale),
    "too large": (413, "PAYLOAD_TOO_LARGE", _raw(b" " * 3_000_000)),
    "media type": (415, "UNSUPPORTED_MEDIA_TYPE", _raw(b"x", "text/plain")),
    "input": (422, "BAD_USER_INPUT", lambda ada: ada.post("/tasks", {"title": "", "priority": 10, "x": 1})),
    "parameter": (422, "BAD_USER_INPUT", lambda ada: ada.get("/tasks?limit=1000&skip=-1&nothing=1")),
    "path": (422, "BAD_USER_INPUT", lambda ada: ada.get("/tasks/0")),
}


class TestProblems:
    @pytest.mark.parametrize(("status", "code", "ask"), REFUSALS.values(), ids=REFUSALS)
    async def test_every_refusal_has_the_same_shape(
        self, ada: Person, status: int, code: str, ask: Callable[[Person], Awaitable[httpx.Response]]
    ) -> None:
        answer = await ask(ada)

        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        body = answer.json()
        assert set(body) == {"type", "title", "status", "detail", "code", "errors", "request_id"}
        assert body["type"] == f"urn:tandem:problem:{code.lower().replace('_', '-')}"
        assert (body["status"], body["code"]) == (status, code)
        assert body["title"]
        assert body["request_id"] == answer.headers["x-request-id"]
        assert body["detail"]
        for problem in body["errors"]:
            assert set(problem) == {"pointer", "location", "detail", "type"}
            assert problem["location"] in {"body", "query", "path", "header"}
            assert problem["pointer"].startswith("/")
        assert ("www-authenticate" in answer.headers) == (status == 401)

    async def test_each_part_that_is_wrong_is_named(self, ada: Person) -> None:
        answer = await ada.post("/tasks?a=1", {"title": "", "priority": 10, "x~/y": 1, "tags": ["ok", "", 1]})

        named = {(item["location"], item["pointer"]) for item in answer.json()["errors"]}
        of_the_body = {("body", f"/{name}") for name in ("title", "priority", "x~0~1y", "tags/1", "tags/2")}
        assert named == of_the_body | {("query", "/a")}

    async def test_a_thousand_mistakes_are_not_all_told(self, ada: Person) -> None:
        answer = await ada.post("/tasks", {"title": "x", "tags": [1] * 1000})

        assert answer.status_code == 422
        assert len(answer.json()["errors"]) <= 50

    async def test_what_was_sent_is_not_sent_back(self, ada: Person) -> None:
        body = {"title": {"hunter2": 1}, "priority": "hunter2", "due_at": "hunter2", "status": "hunter2"}
        answers = [await ada.post("/tasks", body), await ada.get("/tasks?status=hunter2&limit=hunter2&cursor=hunter2")]

        assert [answer.status_code for answer in answers] == [422, 422]
        assert not any("hunter2" in answer.text for answer in answers)


class TestGraphQLErrors:
    async def test_extensions_carry_code_pointers_and_request_id(self, ada: Person) -> None:
        create = "mutation($input: CreateTaskInput!) { createTask(input: $input) { task { id } } }"
        answer = await ada.gql(create, {"input": {"title": "", "assigneeIds": ["x"], "startAt": "soon"}})

        [error] = answer.errors
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert error["extensions"]["requestId"] == answer.headers["x-request-id"]
        assert sorted(answer.pointers) == ["/input/assigneeIds/0", "/input/startAt", "/input/title"] or sorted(
            answer.pointers
        ) == ["/assigneeIds/0", "/startAt", "/title"]
        assert all(item["detail"] and item["type"] for item in error["extensions"]["errors"])

    async def test_service_s_pointers_are_in_graphql_s_spelling(self, ada: Person) -> None:
        create = "mutation($input: CreateTaskInput!) { createTask(input: $input) { task { id } } }"
        late = {"title": "x", "startAt": "2026-02-01T00:00:00Z", "dueAt": "2026-01-01T00:00:00Z"}
        answer = await ada.gql(create, {"input": late})

        assert (answer.code, answer.pointers) == ("BAD_USER_INPUT", ["/dueAt"])

    async def test_long_names_are_not_repeated(self, ada: Person) -> None:
        """A name has at most 255 characters; what tells of one is cut."""
        for length, code in ((255, "GRAPHQL_VALIDATION_FAILED"), (60_000, "TOO_EXPENSIVE")):
            answer = await ada.gql("{ " + "x" * length + " }")

            assert answer.code == code
            assert len(answer.errors[0]["message"]) < 600

    async def test_long_message_is_cut(self, ada: Person) -> None:
        answer = await ada.gql(f'{{ tasks(first: "{"y" * 5_000}") {{ totalCount }} }}')

        assert answer.code in {"GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT"}
        assert all(len(error["message"]) < 600 for error in answer.errors)


def _breaks(error: Exception) -> Callable[..., Awaitable[Any]]:
    async def broken(*_: object, **__: object) -> None:
        raise error

    return broken


def _nothing_told(result: Any) -> None:
    assert result.message.startswith("Something went wrong on our side.")
    assert result.headers["x-request-id"] in str(result.body)
    for word in ("hunter2", "Error", "Traceback", "SELECT", ".py", "sqlalchemy", "psycopg"):
        assert word not in str(result.body).replace("INTERNAL_SERVER_ERROR", "").replace("Internal Server Error", "")


class TestUnexpected:
    UNEXPECTED = (
        RuntimeError(SECRET),
        RecursionError(SECRET),
        KeyError(SECRET),
        AssertionError(SECRET),
        NotImplementedError(SECRET),
        OperationalError("SELECT hunter2", {"password": "hunter2"}, Exception(SECRET)),
    )

    @on_both_doors
    @pytest.mark.parametrize("error", UNEXPECTED, ids=lambda error: type(error).__name__)
    async def test_says_nothing_but_the_request_id(
        self, ada: Person, door: Door, error: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "list_", _breaks(error))
        result = await LIST.on(door, ada)

        assert result.code == "INTERNAL_SERVER_ERROR"
        assert result.status == (500 if door == "rest" else 294)
        _nothing_told(result)

    async def test_cross_origin_page_may_read_it(self, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(queries, "list_", _breaks(RuntimeError(SECRET)))
        answer = await ada.get("/tasks", headers={"Origin": "http://localhost:3000"})

        assert answer.status_code == 500
        assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert answer.headers["x-process-time"]

    async def test_value_that_slipped_through_is_a_bad_request(
        self, ada: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "list_", _breaks(ValueError(SECRET)))
        answer = await ada.get("/tasks")

        assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
        assert "hunter2" not in answer.text

    @on_both_doors
    async def test_error_without_a_code_of_ours_is_unexpected(
        self, ada: Person, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "list_", _breaks(TandemError("Something went wrong on our side.")))

        assert (await LIST.on(door, ada)).code == "INTERNAL_SERVER_ERROR"

    @pytest.mark.parametrize("body", [ONE, ONE | {"tags": ["bug"]}], ids=["plain", "with a tag"])
    async def test_transaction_of_a_failed_write_is_rolled_back(
        self, ada: Person, database: Database, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any]
    ) -> None:
        def breaking(insert: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[None]]:
            async def broken(*given: Any) -> None:
                await insert(*given)
                raise RuntimeError(SECRET)

            return broken

        # a plain one is written in one statement where the database can do that
        for name in ("insert_tasks", "insert_plain_task"):
            monkeypatch.setattr(insertion, name, breaking(getattr(insertion, name)))
        async with unchanged(database):
            assert (await ada.post("/tasks", body)).status_code == 500


@asynccontextmanager
async def _nobody_there(backend: str, tmp_path: Any) -> AsyncIterator[FastAPI]:
    """An application whose database cannot be reached."""
    absent = {"postgresql": "postgresql://x:hunter2@127.0.0.1:1/x", "sqlite": f"sqlite:///{tmp_path}/none/hunter2.db"}
    app = create_app(settings_for(absent[backend]), compile_after=0)
    async with app.router.lifespan_context(app):
        yield app


@asynccontextmanager
async def _all_taken(app: FastAPI) -> AsyncIterator[None]:
    """Everything that the application may read through is in use."""
    database: Database = app.state.tandem.database
    async with database.reading() as session, asyncio.TaskGroup() as group:
        busy = [
            group.create_task(session.scalar(select(func.pg_sleep(20))))
            for _ in range(app.state.tandem.settings.database_pool_size)
        ]
        await asyncio.sleep(0.2)
        yield
        for task in busy:
            task.cancel()


async def _lose_connection(session: Session, *_: object, **_options: Any) -> None:
    await session.scalar(select(func.pg_terminate_backend(func.pg_backend_pid())))
    await session.scalar(text("SELECT 1"))


def _locked() -> OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return OperationalError("UPDATE", {}, error)


class TestDatabase:
    @on_postgresql  # fast reads on SQLite need no connection; of slow ones, see test_reading.py
    @on_both_doors
    async def test_exhausted_pool_is_soon_unavailable(self, ada: Person, database: Database, door: Door) -> None:
        pool = {"database_pool_size": 1, "database_pool_timeout": 0.2}
        await number_all(database)  # or the other instance would begin with that, by its only connection
        async with another_instance(database, **pool) as app, calling(app) as anonymous:
            caller = bearer(anonymous, ada.access_token)
            assert (await LIST.on(door, caller)).status == 200
            async with _all_taken(app):
                refused = [await LIST.on(door, caller), await LIST.on(door, bearer(anonymous, ada.access_token))]
                ready = await anonymous.get("//health/ready")
                alive = await anonymous.get("//health")
            again = await LIST.on(door, caller)

        assert [(result.status, result.code) for result in refused] == [(503, "UNAVAILABLE")] * 2
        assert all(int(result.headers["retry-after"]) >= 1 for result in refused)
        assert (ready.status_code, alive.status_code, again.status) == (503, 200, 200)

    @on_both_doors
    async def test_unreachable_database_is_unavailable(
        self, ada: Person, backend: str, door: Door, tmp_path: Any
    ) -> None:
        async with _nobody_there(backend, tmp_path) as app, calling(app) as anonymous:
            refused = await LIST.on(door, bearer(anonymous, ada.access_token))
            ready = await anonymous.get("//health/ready")
            alive = await anonymous.get("//health")

        assert (refused.status, refused.code) == (503, "UNAVAILABLE")
        assert int(refused.headers["retry-after"]) >= 1
        assert "hunter2" not in str(refused.body)
        assert (ready.status_code, ready.json()["code"], alive.status_code) == (503, "UNAVAILABLE", 200)

    @on_both_doors
    @on_postgresql
    async def test_connection_that_is_lost_meanwhile_is_unavailable(
        self, ada: Person, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "list_", _lose_connection)
        lost = await LIST.on(door, ada)
        monkeypatch.undo()

        assert (lost.status, lost.code) == (503, "UNAVAILABLE")
        assert (await LIST.on(door, ada)).status == 200

    @on_both_doors
    @on_postgresql
    async def test_restarted_database_is_found_again(self, ada: Person, database: Database, door: Door) -> None:
        async with another_instance(database) as app, calling(app) as anonymous:
            caller = bearer(anonymous, ada.access_token)
            assert (await LIST.on(door, caller)).status == 200
            async with app.state.tandem.database.reading() as idle:
                pid = await idle.scalar(select(func.pg_backend_pid()))
            async with database.reading() as session:
                await session.scalar(select(func.pg_terminate_backend(pid)))
            assert (await LIST.on(door, caller)).status == 200

    @on_both_doors
    async def test_lock_that_is_never_released_is_unavailable(
        self, ada: Person, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "list_", _breaks(_locked()))

        result = await LIST.on(door, ada)
        assert (result.status, result.code) == (503, "UNAVAILABLE")

    async def test_part_of_a_query_that_is_unavailable_leaves_the_rest(
        self, ada: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task = await ada.task()
        monkeypatch.setattr(refs, "by_ref", _breaks(_locked()))
        answer: Answer = await ada.gql(
            'query($id: ID!) { task(id: $id) { title } taskByRef(ref: "X-1") { title } }', {"id": task["node_id"]}
        )

        assert (answer.status, answer.code) == (294, "UNAVAILABLE")
        assert answer.body["data"] == {"task": {"title": task["title"]}, "taskByRef": None}
