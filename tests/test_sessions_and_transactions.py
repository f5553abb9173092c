"""Sessions under sibling fields, and transactions under many writers: what breaks naive applications, measured."""

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import delete, func, insert, literal, select, text
from sqlalchemy.exc import IntegrityError

from core.clock import now
from db.driver.database import Database
from db.driver.statements import Prepared
from db.models import Event, Project, Task, User
from services.shared.node_ids import encode
from services.tasks import commands, creation, updates
from services.tasks.models import TaskUpdate
from tests.actors import Anonymous, Person
from tests.doors import another_instance, bearer, calling
from tests.stored import unchanged

SIBLINGS = " ".join(f"l{n}: tasks(first: 20) {{ edges {{ node {{ title project {{ key }} }} }} }}" for n in range(6))
NOBODY = encode("User", 2_147_483_647)


class TestSiblings:
    async def test_fields_on_a_cold_pool_do_not_share_a_session(self, ada: Person, database: Database) -> None:
        await ada.task()
        async with another_instance(database) as app, calling(app) as anonymous:
            caller = bearer(anonymous, ada.access_token)
            answers = await asyncio.gather(*(caller.gql(f"{{ {SIBLINGS} }}") for _ in range(50)))

        assert [sorted(answer.data) for answer in answers] == [[f"l{n}" for n in range(6)]] * 50
        assert all(len(found["edges"]) == 1 for answer in answers for found in answer.data.values())

    async def test_many_loaders_at_once_are_served_by_few_connections(self, ada: Person, database: Database) -> None:
        for number in range(3):
            await ada.comment((await ada.task(tags=[f"t{number}"], assignee_ids=[ada.id]))["id"])
        node = "id assignees { id } tags { id } comments { edges { node { author { id } } } } history { totalCount }"
        fields = " ".join(f"l{n}: tasks {{ totalCount edges {{ node {{ {node} }} }} }}" for n in range(6))
        async with another_instance(database, database_pool_size=1) as app, calling(app) as anonymous:
            caller = bearer(anonymous, ada.access_token)
            answers = await asyncio.gather(*(caller.gql(f"{{ {fields} }}") for _ in range(10)))

        assert {found["totalCount"] for answer in answers for found in answer.data.values()} == {3}


class TestCommit:
    @pytest.mark.parametrize("door", ["rest", "graphql"])
    async def test_write_is_committed_before_its_response_starts(self, ada: Person, app: FastAPI, door: str) -> None:
        """Another connection sees the task when the first byte of the answer leaves the application."""
        seen: list[int] = []

        async def watched(scope: Any, receive: Any, send: Any) -> None:
            async def sending(message: Any) -> None:
                if message["type"] == "http.response.start":
                    seen.append(len((await ada.get("/tasks")).json()))
                await send(message)

            await app(scope, receive, sending)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(watched), base_url="http://test") as client:
            caller = Anonymous(client, ada.headers)
            if door == "rest":
                assert (await caller.post("/tasks", {"title": "x"})).status_code == 201
            else:
                assert (await caller.gql('mutation { createTask(input: {title: "x"}) { task { id } } }')).data

        assert seen == [1]

    async def test_refused_mutation_leaves_nothing_and_its_siblings_stay(self, ada: Person) -> None:
        answer = await ada.gql(
            f"""mutation {{
              one: createTask(input: {{title: "One"}}) {{ task {{ title }} }}
              bad: createTask(input: {{title: "Bad", assigneeIds: ["{NOBODY}"], tags: ["new"]}}) {{ task {{ title }} }}
              two: createTask(input: {{title: "Two"}}) {{ task {{ title }} }}
            }}"""
        )

        assert answer.code == "NOT_FOUND"
        assert answer.errors[0]["path"] == ["bad"]
        assert answer.body["data"] == {
            "one": {"task": {"title": "One"}},
            "bad": None,
            "two": {"task": {"title": "Two"}},
        }
        assert [task["title"] for task in (await ada.get("/tasks")).json()] == ["Two", "One"]
        [inbox] = (await ada.get("/projects")).json()
        assert (await ada.get(f"/projects/{inbox['id']}/tags")).json() == []

    async def test_write_that_breaks_at_its_end_leaves_nothing(
        self, ada: Person, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def broken(*_: object, **__: object) -> None:
            raise RuntimeError("after everything was written")

        task = await ada.task()
        insert = creation.insert_tasks

        async def broken_after(*given: Any) -> None:
            await insert(*given)
            await broken()

        monkeypatch.setattr(creation, "insert_tasks", broken_after)
        monkeypatch.setattr(updates, "by_ids", broken)
        async with unchanged(database):
            answers = [
                await ada.post("/tasks", {"title": "x", "tags": ["new"]}),
                await ada.patch(f"/tasks/{task['id']}", {"title": "x", "tags": ["new"]}),
            ]
            refused = await ada.gql('mutation { createTask(input: {title: "x", tags: ["new"]}) { task { id } } }')

        assert [answer.status_code for answer in answers] == [500, 500]
        assert refused.code == "INTERNAL_SERVER_ERROR"

    async def test_client_that_leaves_meanwhile_leaves_nothing_half_done(self, ada: Person, database: Database) -> None:
        project = await ada.project()
        draft = {
            "name": f"Large {ada.id}",
            "tasks": [{"title": f"{n}", "subtasks": [{"title": "sub"}]} for n in range(20)],
        }
        for number in range(8):
            request = asyncio.create_task(ada.post("/projects", draft))
            await asyncio.sleep(number / 100)
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)
        await ada.task(project_id=project["id"])  # the connections are well

        async with database.reading() as session:
            made = await session.scalars(
                select(Task.project_id)
                .join(Project, Project.id == Task.project_id)
                .where(Project.name == draft["name"])
            )
        assert set(Counter(made).values()) <= {40}


class TestWriters:
    async def test_reading_first_and_writing_then_never_locks(self, ada: Person, database: Database) -> None:
        """On two workers; each creation reads the project's row, counts and inserts."""
        project = await ada.project()
        async with another_instance(database) as app, calling(app) as anonymous:
            workers = (ada, bearer(anonymous, ada.access_token))
            body = {"title": "x", "project_id": project["id"], "tags": ["same"]}
            answers = await asyncio.gather(*(workers[n % 2].post("/tasks", body) for n in range(40)))

        assert [answer.status_code for answer in answers] == [201] * 40
        assert sorted(answer.json()["number"] for answer in answers) == list(range(1, 41))

    async def test_readers_do_not_wait_for_a_writer(self, ada: Person, database: Database) -> None:
        task = await ada.task()
        async with database.writing() as session:
            await commands.update(session, ada.actor, task["id"], TaskUpdate(title="Not committed"))
            async with asyncio.timeout(5):
                assert (await ada.get(f"/tasks/{task['id']}")).json()["title"] == task["title"]

    async def test_concurrent_changes_of_different_fields_are_all_kept(self, ada: Person, database: Database) -> None:
        """Each of 200 changes by two workers begins where the one before it ended: none is lost, none undone."""
        project = await ada.project()
        task = await ada.task(project_id=project["id"])
        changes: list[dict[str, Any]] = [
            (
                {"title": f"Title {n}"},
                {"description": f"Description {n}"},
                {"priority": n % 5 + 1},
                {"status": ("pending", "in_progress", "completed", "cancelled")[n // 5 % 4]},
                {"tags": [f"tag-{n}"]},
            )[n % 5]
            for n in range(200)
        ]
        async with another_instance(database) as app, calling(app) as anonymous:
            workers = (ada, bearer(anonymous, ada.access_token))
            path = f"/tasks/{task['id']}"
            answers = await asyncio.gather(*(workers[n % 2].patch(path, change) for n, change in enumerate(changes)))

        assert {answer.status_code for answer in answers} == {200}
        async with database.reading() as session:
            recorded = await session.all(
                select(Event.entity_version, Event.changes)
                .where(Event.task_id == task["id"])
                .order_by(Event.entity_version)
            )
        stored = (await ada.get(f"{path}?expand=tags")).json()
        assert [event.entity_version for event in recorded] == list(range(1, stored["version"] + 1))
        values: dict[str, Any] = {"description": None, "tags": []}
        for event in recorded:
            for field, (before, after) in event.changes.items():
                assert event.entity_version == 1 or before == values[field], field
                values[field] = after
        sent: dict[str, list[Any]] = {}
        for change in changes:
            for field, value in change.items():
                sent.setdefault(field, []).append(value)
        assert all(values[field] in options for field, options in sent.items())
        shown = stored | {"tags": [tag["name"] for tag in stored["tags"]]}
        assert {field: shown[field] for field in sent} == {field: values[field] for field in sent}
        titles = [event.changes["title"][1] for event in recorded if "title" in event.changes]
        assert sorted(titles) == sorted([task["title"], *sent["title"]])


ADDED: Prepared[Any] = Prepared(insert(User), keys=("username", "username_folded", "updated_at"))


def somebody(name: str) -> dict[str, Any]:
    return {"username": name, "username_folded": f"written-{name}", "updated_at": now()}


class TestWrite:
    """Statements that nobody waits for: PostgreSQL is sent them together with the next one."""

    async def test_they_come_in_order_and_are_there_for_what_follows(self, database: Database) -> None:
        async with database.writing() as session:
            for name in ("a", "b"):
                await session.execute_deferred(ADDED, [somebody(name)])
            added = select(User.username).where(User.username_folded.like("written-%")).order_by(User.id)
            assert await session.scalars(added) == ["a", "b"]
            await session.execute_deferred(ADDED, [somebody("c")])
            rows = [somebody(name) for name in "de"]
            await session.execute_deferred(ADDED, rows)
            await session.execute_deferred(ADDED, [somebody("f")])
        async with database.reading() as session:
            assert await session.scalars(added) == list("abcdef")
        async with database.writing() as session:
            await session.execute(delete(User).where(User.username_folded.like("written-%")))

    @pytest.mark.parametrize("followed", [False, True])
    async def test_an_error_takes_everything_back_and_leaves_a_connection_that_works(
        self, database: Database, followed: bool
    ) -> None:
        async def write_twice() -> None:
            async with database.writing() as session:
                for name in ("twice", "twice"):
                    await session.execute_deferred(ADDED, [somebody(name)])
                if followed:
                    await session.scalar(select(func.count()).select_from(User))

        for _ in range(5):  # prepared from the third time on
            with pytest.raises(IntegrityError):
                await write_twice()
            async with database.reading() as session:
                found = select(func.count()).select_from(User).where(User.username_folded == "written-twice")
                assert await session.scalar(found) == 0
            async with database.writing() as session:
                assert await session.scalar(select(literal(1))) == 1

    async def test_what_was_written_in_a_dry_run_is_taken_back(self, database: Database) -> None:
        async with database.writing() as session:
            async with session.dry_run():
                await session.execute_deferred(ADDED, [somebody("x")])
            found = select(func.count()).select_from(User).where(User.username_folded == "written-x")
            assert await session.scalar(found) == 0

    @pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
    async def test_dry_run_of_what_sqlite_has_rolled_back_tells_why(self, database: Database) -> None:
        async def fail() -> None:
            async with database.writing() as session, session.dry_run():
                # as SQLite does where the disk is full: nothing of the transaction is left, the savepoint neither
                await session.execute(text("CREATE TEMP TABLE once (x UNIQUE)"))
                await session.execute(text("INSERT OR ROLLBACK INTO once VALUES (1), (1)"))

        with pytest.raises(IntegrityError, match="UNIQUE"):
            await fail()
        async with database.writing() as session:
            assert await session.scalar(select(literal(1))) == 1

    async def test_what_is_rolled_back_was_never_there(self, database: Database) -> None:
        async def write_and_fail() -> None:
            async with database.writing() as session:
                await session.execute_deferred(ADDED, [somebody("y")])
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await write_and_fail()
        async with database.reading() as session:
            found = select(func.count()).select_from(User).where(User.username_folded == "written-y")
            assert await session.scalar(found) == 0
