"""What earlier releases left behind is honoured, or refused by name: samples of each, as their own code wrote them.

A sample's rows are loaded into a database of either kind at the revision of the release, which is then migrated; after
that everything the sample says is said again, and answered as it was.
"""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, update

from api.main import create_app
from core.clock import now
from db.driver.database import Database
from db.models import Base, Event, IdempotencyKey, LoginSession, Task, User
from services.transfers.runs import ImportOptions, import_jira
from tests.conftest import settings_for, upgrade
from tests.infrastructure import require, scratch_database
from tests.samples.make import IMPORTED, PAGES, page_ids, tracker

SAMPLES = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent / "samples").glob("*.json")}


def _load_into_sqlite(url: str, tables: dict[str, list[dict[str, Any]]]) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        for table, rows in tables.items():
            for row in rows:
                values = [json.dumps(value) if isinstance(value, (dict, list)) else value for value in row.values()]
                marks, names = ", ".join("?" for _ in row), ", ".join(f'"{name}"' for name in row)
                connection.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', values)  # noqa: S608 - a sample's


def _load_into_postgresql(url: str, tables: dict[str, list[dict[str, Any]]]) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")  # in any order, as SQLite's
        for table, rows in tables.items():
            for row in rows:
                names = ", ".join(f'"{name}"' for name in row)
                statement = (
                    f'INSERT INTO "{table}" ({names}) SELECT {names} FROM json_populate_record(NULL::"{table}", %s)'  # noqa: S608 - a sample's
                )
                connection.execute(statement, [json.dumps(row)])
            if rows and "id" in rows[0]:
                connection.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM \"{table}\"")  # noqa: S608 - a sample's


@pytest.fixture(params=SAMPLES, scope="module")
def sample(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = SAMPLES[request.param]
    return found


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(
    request: pytest.FixtureRequest, sample: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A database that the release has used, migrated since."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('sample') / 'sample.db'}"
        upgrade(url, sample["revision"])
        _load_into_sqlite(url, sample["tables"])
        upgrade(url)
        yield url
    else:
        with scratch_database(require("postgresql")) as url:
            upgrade(url, sample["revision"])
            _load_into_postgresql(url, sample["tables"])
            upgrade(url)
            yield url


@pytest.fixture(scope="module")
async def app(url: str) -> AsyncIterator[FastAPI]:
    app = create_app(settings_for(url), compile_after=0)
    async with app.router.lifespan_context(app):
        database: Database = app.state.tandem.database
        async with database.writing() as session:  # the sample was made a moment ago
            await session.execute(update(IdempotencyKey).values(created_at=now()))
            await session.execute(update(LoginSession).values(expires_at=now() + timedelta(days=1)))
        yield app


@pytest.fixture
def database(app: FastAPI) -> Database:
    held: Database = app.state.tandem.database
    return held


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.fixture
def bearer(sample: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {sample['credentials']['access_token']}"}


async def again(http: httpx.AsyncClient, bearer: dict[str, str], exchange: dict[str, Any]) -> httpx.Response:
    """The same call as then."""
    return await http.request(
        exchange["method"], exchange["path"], headers=bearer | exchange["headers"], json=exchange.get("json")
    )


def holds(now_: Any, then: Any) -> bool:
    """Whether an answer has all that it had then; it may have more members."""
    if isinstance(then, dict):
        return isinstance(now_, dict) and all(name in now_ and holds(now_[name], then[name]) for name in then)
    if isinstance(then, list):
        return isinstance(now_, list) and len(now_) == len(then) and all(map(holds, now_, then))
    return bool(now_ == then)


async def test_repeats_of_its_calls_are_answered_as_they_were(
    http: httpx.AsyncClient, bearer: dict[str, str], sample: dict[str, Any], database: Database
) -> None:
    async with database.reading() as session:
        before = [await session.count(select(model.id)) for model in (Task, Event)]

    for exchange in sample["exchanges"]["repeats"]:
        answer, then = await again(http, bearer, exchange), exchange["answer"]

        assert answer.status_code == then["status"], (exchange["name"], answer.text)
        assert answer.headers.get("Idempotency-Replayed") == "true", exchange["name"]
        assert holds(answer.json(), then["body"]), (exchange["name"], answer.text)
        assert {name: answer.headers[name] for name in then["headers"]} == then["headers"]
    async with database.reading() as session:
        assert [await session.count(select(model.id)) for model in (Task, Event)] == before
    assert {row["operation"] for row in sample["tables"]["idempotency_keys"]} >= {
        "create_tasks",
        "services.tags.create",
    }


async def test_another_call_with_its_keys_is_refused(
    http: httpx.AsyncClient, bearer: dict[str, str], sample: dict[str, Any]
) -> None:
    [exchange] = [each for each in sample["exchanges"]["repeats"] if each["name"] == "tasks-short"]

    answer = await again(http, bearer, exchange | {"json": {"title": "Another"}})

    assert answer.json()["code"] == "IDEMPOTENCY_MISMATCH"


async def test_pages_go_on_from_its_cursors(
    http: httpx.AsyncClient, bearer: dict[str, str], sample: dict[str, Any]
) -> None:
    for kind in PAGES:
        for exchange in sample["exchanges"][kind]:
            answer = await again(http, bearer, exchange)

            assert answer.status_code == 200, (exchange["name"], answer.text)
            assert page_ids(answer.json()) == exchange["answer"]["body"], exchange["name"]


async def test_its_saved_views_and_histories_are_as_they_were(
    http: httpx.AsyncClient, bearer: dict[str, str], sample: dict[str, Any]
) -> None:
    for kind in ("saved views", "histories"):
        for exchange in sample["exchanges"][kind]:
            answer = await again(http, bearer, exchange)

            assert holds(answer.json(), exchange["answer"]["body"]), (exchange["name"], answer.text)


async def test_its_access_tokens_and_api_keys_are_taken(
    http: httpx.AsyncClient, bearer: dict[str, str], sample: dict[str, Any]
) -> None:
    held = sample["credentials"]

    me = await http.get("/api/v1/users/me", headers=bearer)
    tasks = await http.get("/api/v1/tasks?limit=1", headers={"X-API-Key": held["api_key"]})
    tags = await http.delete("/api/v1/projects/1", headers={"X-API-Key": held["api_key"]})

    assert me.json()["username"] == held["username"]
    assert (tasks.status_code, len(tasks.json())) == (200, 1)
    assert tags.json()["code"] == "FORBIDDEN"  # its scopes are still its scopes


async def test_its_refresh_tokens_work_once(http: httpx.AsyncClient, sample: dict[str, Any]) -> None:
    body = {"refresh_token": sample["credentials"]["refresh_token"]}

    first = await http.post("/api/v1/token/refresh", json=body)
    second = await http.post("/api/v1/token/refresh", json=body)

    assert first.json()["access_token"]
    assert second.json()["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("kind", ["argon2", "bcrypt"])
async def test_its_passwords_log_in(
    http: httpx.AsyncClient, sample: dict[str, Any], database: Database, kind: str
) -> None:
    held = sample["credentials"]
    async with database.writing() as session:
        await session.execute(
            update(User).where(User.username == held["username"]).values(password_hash=held["hashes"][kind])
        )
    form = {"username": held["username"], "password": held["password"]}

    right = await http.post("/api/v1/token", data=form)
    wrong = await http.post("/api/v1/token", data=form | {"password": "another"})

    assert (right.status_code, wrong.status_code) == (200, 401)


async def test_what_it_imported_is_known_to_the_next_import(
    sample: dict[str, Any], database: Database, tmp_path: Path
) -> None:
    # what an import remembers besides, such as whose description it took, may grow
    tables = [table for table in Base.metadata.sorted_tables if table.name != "external_ids"]
    async with database.reading() as session:
        before = [await session.scalar(select(func.count()).select_from(table)) for table in tables]
    options = ImportOptions(source=tracker().source, owner=sample["credentials"]["username"])

    summary = await import_jira(database, tracker().pack(tmp_path), options)

    async with database.reading() as session:
        after = [await session.scalar(select(func.count()).select_from(table)) for table in tables]
    assert (summary.counts.tasks, summary.counts.tasks_known, after) == (0, IMPORTED, before)
