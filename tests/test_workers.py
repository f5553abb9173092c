"""Several workers on one database: no write is lost, none happens twice, whatever dies."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import select

from api.state import State
from db.driver.database import Database
from db.models import Event, Task
from tests.actors import Person, make_person
from tests.conftest import SECRET
from tests.doors import Door, on_both_doors
from tests.operations import ok, run
from tests.processes import CRASH, Processes
from tests.test_idempotency import counted, create


@pytest.fixture(scope="module")
def workers(database_urls: dict[str, str]) -> Iterator[dict[str, Processes]]:
    """Two workers on each database."""
    started: dict[str, Processes] = {}
    try:
        for name, url in database_urls.items():
            started[name] = Processes(url, SECRET, forked=True).__enter__()
        yield started
    finally:
        for server in started.values():
            server.__exit__(None, None, None)


@pytest.fixture
def server(workers: dict[str, Processes], database: Database) -> Processes:
    return workers[database.dialect]


@pytest.fixture
async def remote(server: Processes, state: State, client: httpx.AsyncClient) -> AsyncIterator[Person]:
    """Somebody whose requests go to the workers, each on a connection of its own."""
    person = await make_person(client, state)
    limits = httpx.Limits(max_connections=60, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=server.base_url, limits=limits, timeout=60) as outside:
        person.client = outside
        yield person


async def events(database: Database, task_id: int) -> list[Any]:
    """Version and changes of each event of the task, by version."""
    async with database.reading() as session:
        return list(
            await session.all(
                select(Event.entity_version, Event.changes)
                .where(Event.entity_id == task_id, Event.entity_type == "task")
                .order_by(Event.entity_version)
            )
        )


class TestVersions:
    @on_both_doors
    async def test_of_fifty_writers_with_one_version_one_wins(
        self, door: Door, remote: Person, database: Database
    ) -> None:
        task = await remote.task(title="Before")

        results = await asyncio.gather(
            *(
                run(
                    door,
                    "update_task",
                    remote,
                    {"title": f"Writer {n}", "tags": [f"t{n}"]},
                    expected=1,
                    task_id=task["id"],
                )
                for n in range(50)
            )
        )

        won = [n for n, result in enumerate(results) if result.code is None]
        assert len(won) == 1
        assert {result.code for n, result in enumerate(results) if n not in won} == {"VERSION_CONFLICT"}
        stored = await ok(door, "get_task", remote, task_id=task["id"])
        assert (stored["title"], stored["version"]) == (f"Writer {won[0]}", 2)
        assert [version for version, _ in await events(database, task["id"])] == [1, 2]
        tags = (await remote.get(f"/projects/{task['project_id']}/tags")).json()
        assert [tag["name"] for tag in tags] == [f"t{won[0]}"]

    async def test_five_hundred_updates_of_two_fields_are_all_kept(self, remote: Person, database: Database) -> None:
        task = await remote.task(title="Start", priority=1)
        gate = asyncio.Semaphore(40)

        async def change(number: int) -> str | None:
            body = {"title": f"Title {number}"} if number % 2 else {"priority": number // 2 % 5 + 1}
            async with gate:
                door: Door = "rest" if number % 4 < 2 else "graphql"
                return (await run(door, "update_task", remote, body, task_id=task["id"])).code

        codes = await asyncio.gather(*(change(number) for number in range(500)))

        assert set(codes) == {None}
        chain = await events(database, task["id"])
        assert [version for version, _ in chain] == list(range(1, len(chain) + 1))
        state: dict[str, Any] = {"title": "Start", "priority": 1}
        titles = set()
        for _, changes in chain[1:]:
            for field, (before, after) in changes.items():
                assert state[field] == before, "an update was made on a state that nobody saw"
                state[field] = after
                if field == "title":
                    titles.add(after)
        assert titles == {f"Title {number}" for number in range(1, 500, 2)}
        async with database.reading() as session:
            row = await session.one(select(Task.title, Task.priority, Task.version).where(Task.id == task["id"]))
        assert tuple(row) == (state["title"], state["priority"], len(chain))


class TestRepeats:
    @on_both_doors
    async def test_twenty_at_once_on_several_workers_are_one(
        self, door: Door, remote: Person, database: Database
    ) -> None:
        title, key = f"Twenty {uuid4()}", str(uuid4())

        answers = await asyncio.gather(*(create(door, remote, {"title": title}, key) for _ in range(20)))

        assert {code for _, code, _ in answers} == {None}
        assert [replayed for _, _, replayed in answers].count(False) == 1
        assert all(body == answers[0][0] for body, _, _ in answers)
        assert await counted(database, title) == (1, 1)

    @on_both_doors
    async def test_a_worker_that_dies_between_commit_and_answer_leaves_the_answer(
        self, door: Door, server: Processes, remote: Person, database: Database
    ) -> None:
        title, key = f"Killed {uuid4()}", str(uuid4())
        headers = dict(remote.headers)

        remote.headers = headers | {CRASH: "1"}
        with pytest.raises(httpx.TransportError):
            await create(door, remote, {"title": title}, key)
        assert await counted(database, title) == (1, 1)
        await asyncio.to_thread(server.wait)
        remote.headers = headers
        answer, code, replayed = await create(door, remote, {"title": title}, key)

        assert (code, replayed) == (None, True)
        assert title in str(answer)
        assert await counted(database, title) == (1, 1)
