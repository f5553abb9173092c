"""Repeated calls: one effect, one answer, on both doors and through either."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select, update

from core.clock import now
from db.driver.database import Database
from db.models import Event, IdempotencyKey, Task
from services.shared import idempotency
from tests.actors import Anonymous, Person
from tests.doors import Door, on_both_doors
from tests.operations import to_graphql

TASK_FIELDS = "id databaseId title ref version createdAt"
CREATE = f"mutation($input: CreateTaskInput!) {{ createTask(input: $input) {{ task {{ {TASK_FIELDS} }} }} }}"


async def create(door: Door, caller: Anonymous, body: dict[str, Any], key: str) -> tuple[Any, str | None, bool]:
    """The body as it came, the error's code, and whether it is marked as replayed."""
    if door == "rest":
        response = await caller.rest("POST", "/tasks", json=body, headers={"Idempotency-Key": key})
        code = response.json().get("code")
        return response.content, code, response.headers.get("Idempotency-Replayed") == "true"
    variables = {"input": to_graphql(body) | {"idempotencyKey": key}}
    answer = await caller.gql(CREATE, variables)
    code = answer.code if "errors" in answer.body else None
    return answer.body, code, answer.headers.get("Idempotency-Replayed") == "true"


async def counted(database: Database, title: str) -> tuple[int, int]:
    """The tasks of a title, and the events of their creation."""
    async with database.reading() as session:
        ids = await session.scalars(select(Task.id).where(Task.title == title))
        created = select(Event.id).where(Event.kind == "task.created", Event.entity_id.in_(ids))
        return len(ids), await session.count(created)


class TestRepeats:
    @on_both_doors
    async def test_a_repeat_answers_the_same_and_does_nothing(
        self, door: Door, ada: Person, database: Database
    ) -> None:
        title, key = f"Once {uuid4()}", str(uuid4())

        first = await create(door, ada, {"title": title, "priority": 3}, key)
        second = await create(door, ada, {"title": title, "priority": 3}, key)

        assert first[1:] == (None, False)
        assert second == (first[0], None, True)
        assert await counted(database, title) == (1, 1)

    async def test_status_and_headers_are_repeated(self, ada: Person) -> None:
        headers = {"Idempotency-Key": str(uuid4())}

        first = await ada.rest("POST", "/tasks", json={"title": "Headers"}, headers=headers)
        second = await ada.rest("POST", "/tasks", json={"title": "Headers"}, headers=headers)

        assert first.status_code == second.status_code == 201
        for name in ("location", "etag", "content-type"):
            assert first.headers[name] == second.headers[name]
        assert "idempotency-replayed" not in first.headers

    async def test_a_repeat_answers_what_was_then_not_what_is_now(self, ada: Person) -> None:
        headers = {"Idempotency-Key": str(uuid4())}
        first = await ada.rest("POST", "/tasks", json={"title": "Then"}, headers=headers)
        await ada.rest("PATCH", f"/tasks/{first.json()['id']}", json={"title": "Now"})

        second = await ada.rest("POST", "/tasks", json={"title": "Then"}, headers=headers)

        assert second.content == first.content

    async def test_either_door_recognises_the_call_of_the_other(self, ada: Person, database: Database) -> None:
        title, key = f"Doors {uuid4()}", str(uuid4())

        _, _, _ = await create("rest", ada, {"title": title, "tags": ["a"]}, key)
        answer, code, replayed = await create("graphql", ada, {"title": title, "tags": ["a"]}, key)

        assert (code, replayed) == (None, True)
        assert answer["data"]["createTask"]["task"]["title"] == title
        assert await counted(database, title) == (1, 1)

    async def test_quotes_of_a_structured_field_are_not_part_of_the_key(self, ada: Person, database: Database) -> None:
        title, key = f"Quoted {uuid4()}", str(uuid4())

        await create("rest", ada, {"title": title}, f'"{key}"')
        _, _, replayed = await create("rest", ada, {"title": title}, key)

        assert replayed
        assert await counted(database, title) == (1, 1)

    @on_both_doors
    async def test_twenty_at_once_are_one(self, door: Door, ada: Person, database: Database) -> None:
        title, key = f"Twenty {uuid4()}", str(uuid4())

        answers = await asyncio.gather(*(create(door, ada, {"title": title}, key) for _ in range(20)))

        assert {code for _, code, _ in answers} == {None}
        assert [replayed for _, _, replayed in answers].count(False) == 1
        assert all(body == answers[0][0] for body, _, _ in answers)
        assert await counted(database, title) == (1, 1)


class TestRefusals:
    @on_both_doors
    async def test_another_payload_is_refused(self, door: Door, ada: Person, database: Database) -> None:
        title, key = f"Mine {uuid4()}", str(uuid4())
        await create(door, ada, {"title": title}, key)

        _, code, replayed = await create(door, ada, {"title": title + " too"}, key)

        assert (code, replayed) == ("IDEMPOTENCY_MISMATCH", False)
        assert await counted(database, title + " too") == (0, 0)

    async def test_the_statuses(self, ada: Person) -> None:
        headers = {"Idempotency-Key": str(uuid4())}
        await ada.rest("POST", "/tasks", json={"title": "One"}, headers=headers)

        other = await ada.rest("POST", "/tasks", json={"title": "Two"}, headers=headers)
        elsewhere = await ada.rest("POST", "/projects", json={"name": "One"}, headers=headers)

        assert (other.status_code, elsewhere.status_code) == (422, 422)

    @on_both_doors
    async def test_keys_are_per_caller(self, door: Door, ada: Person, bob: Person, database: Database) -> None:
        title, key = f"Ours {uuid4()}", str(uuid4())

        answers = [await create(door, caller, {"title": title}, key) for caller in (ada, bob)]

        assert [(code, replayed) for _, code, replayed in answers] == [(None, False), (None, False)]
        assert await counted(database, title) == (2, 2)

    @on_both_doors
    async def test_a_call_that_failed_may_be_repeated(self, door: Door, ada: Person, database: Database) -> None:
        title, key = f"Again {uuid4()}", str(uuid4())

        _, refused, _ = await create(door, ada, {"title": title, "project_id": 2**31 - 1}, key)
        _, code, replayed = await create(door, ada, {"title": title}, key)

        assert refused == "NOT_FOUND"
        assert (code, replayed) == (None, False)

    @on_both_doors
    @pytest.mark.parametrize("key", [" ", "x" * 256, "a b"])
    async def test_a_key_is_visible_ascii(self, door: Door, ada: Person, key: str) -> None:
        _, code, _ = await create(door, ada, {"title": "Key"}, key)

        assert code == "BAD_USER_INPUT"

    @on_both_doors
    async def test_an_anonymous_caller_is_refused_as_ever(self, door: Door, anonymous: Anonymous) -> None:
        _, code, _ = await create(door, anonymous, {"title": "Nobody"}, str(uuid4()))

        assert code == "UNAUTHENTICATED"

    @on_both_doors
    async def test_while_the_first_is_running(
        self, door: Door, ada: Person, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """PostgreSQL refuses after a while; SQLite has one writer, so there the repeat waits for its turn."""
        monkeypatch.setattr(idempotency, "WAIT_SECONDS", 1)
        title, key = f"Slow {uuid4()}", str(uuid4())

        async with database.writing() as session:
            await idempotency._claim(session, f"user:{ada.id}", key, "create_task", "?" * 64)
            repeat = asyncio.create_task(create(door, ada, {"title": title}, key))
            done, _ = await asyncio.wait({repeat}, timeout=2)
        _, code, _ = await repeat

        assert bool(done) == (database.dialect == "postgresql")
        assert code == "IDEMPOTENCY_CONFLICT"
        assert await counted(database, title) == (0, 0)


class TestKeeping:
    @on_both_doors
    async def test_after_a_day_a_key_is_new(self, door: Door, ada: Person, database: Database) -> None:
        title, key = f"Day {uuid4()}", str(uuid4())
        await create(door, ada, {"title": title}, key)
        async with database.writing() as session:
            await session.execute(
                update(IdempotencyKey)
                .where(IdempotencyKey.key == key)
                .values(created_at=now() - idempotency.KEPT * 1.001)
            )

        _, code, replayed = await create(door, ada, {"title": title}, key)

        assert (code, replayed) == (None, False)
        assert await counted(database, title) == (2, 2)

    async def test_purging_forgets_what_is_old(self, ada: Person, database: Database) -> None:
        key = str(uuid4())
        await create("rest", ada, {"title": "Old"}, key)
        mine = IdempotencyKey.key == key
        async with database.writing() as session:
            await session.execute(update(IdempotencyKey).where(mine).values(created_at=now() - 2 * idempotency.KEPT))
            assert await idempotency.purge(session) >= 1
            assert await session.scalar(select(func.count()).select_from(IdempotencyKey).where(mine)) == 0
