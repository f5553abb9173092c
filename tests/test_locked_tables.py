"""A table that somebody locks takes the turns of those alone who need it (PostgreSQL)."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import text

from db.driver.database import Database
from services import readiness
from tests.actors import Person, make_person
from tests.databases import on_postgresql
from tests.doors import another_instance, calling
from tests.slow import settled

pytestmark = on_postgresql
SECONDS = 4.0
LOCK_SECONDS = SECONDS / 2
OTHERS = ("/users/me", "/projects", "/saved-views", "//health/ready")


@pytest.fixture
async def served(database: Database) -> AsyncIterator[FastAPI]:
    async with another_instance(database, request_timeout_seconds=SECONDS, database_pool_timeout=SECONDS) as app:
        yield app


@pytest.fixture
async def people(served: FastAPI) -> AsyncIterator[list[Person]]:
    async with calling(served) as anonymous:
        yield [await make_person(anonymous.client, served.state.tandem) for _ in range(6)]


async def _again(call: Callable[[], Awaitable[Any]], until: asyncio.Event) -> list[tuple[int, float]]:
    """The status of each call, and the seconds that it took, until something happens."""
    found = []
    while not until.is_set():
        started = time.monotonic()
        status = (await call()).status_code
        found.append((status, time.monotonic() - started))
        await asyncio.sleep(0.01)
    return found


async def test_who_does_not_need_it_goes_on(
    database: Database, served: FastAPI, people: list[Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "REMEMBERED_SECONDS", 0)
    own: Database = served.state.tandem.database
    other, *askers = people
    over = asyncio.Event()
    view = f"/saved-views/{(await other.post('/saved-views', {'name': 'v', 'filter': {}})).json()['id']}"
    async with database.writing() as session:
        await session.execute(text("LOCK TABLE tasks"))
        asking = [asyncio.create_task(_again(partial(asker.get, "/tasks"), over)) for asker in askers * 4]
        create = [partial(asker.post, "/tasks", {"title": "x"}) for asker in askers[:3] * 2]
        writing = [asyncio.create_task(_again(call, over)) for call in create]
        await asyncio.sleep(0.3)
        calls: list[Callable[[], Awaitable[Any]]] = [partial(other.get, path) for path in OTHERS]
        # a change, not a creation: there can be 200 views, which a fast machine makes in these seconds
        calls.append(lambda: other.patch(view, {"name": f"v{time.monotonic()}"}))
        going = [asyncio.create_task(_again(call, over)) for call in calls]
        await asyncio.sleep(2 * LOCK_SECONDS)
        over.set()
        refused = [outcome for outcomes in await asyncio.gather(*asking, *writing) for outcome in outcomes]
        went = await asyncio.gather(*going)

    assert {status for status, _ in refused} <= {503, 504}
    assert 503 in {status for status, _ in refused}
    for outcomes in went:
        assert {status for status, _ in outcomes} <= {200, 201}
        assert max(seconds for _, seconds in outcomes) < LOCK_SECONDS
        assert len(outcomes) > 4
    assert await settled(own, seconds=3)
    # the lock is gone: everybody is served
    assert [(await person.get("/tasks")).status_code for person in people] == [200] * len(people)
    pools: tuple[Any, Any] = (own.reader, own.writer)
    assert [pool.set_aside.tables for pool in pools] == [frozenset()] * 2


async def test_who_needs_it_goes_on_when_it_comes_free(database: Database, people: list[Person]) -> None:
    async with database.writing() as session:
        await session.execute(text("LOCK TABLE tasks"))
        asking = [asyncio.create_task(person.get("/tasks")) for person in people * 4]
        await asyncio.sleep(LOCK_SECONDS / 2)
    answers = await asyncio.gather(*asking)

    assert {answer.status_code for answer in answers} == {200}
