"""What is kept of a call with a key, and where a key is taken: by name, or refused by name."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import delete, insert, select, update

from api.http.route import StrictRoute
from core.clock import now
from db.driver.database import Database
from db.models import IdempotencyKey, Membership, Task
from graphql_schema.shared.context import Context
from services.features import OPERATIONS
from services.shared import idempotency
from services.shared.actors import ANONYMOUS, Scope
from services.shared.idempotency import Operation, while_readable
from tests.actors import Person
from tests.doors import Door, on_both_doors
from tests.operations import run
from tests.test_idempotency import CREATE

KEYED = {name for name, operation in OPERATIONS.items() if operation.repeatable}


class TestWhatIsKept:
    async def test_is_an_object_by_field_names_with_a_version(self, ada: Person, database: Database) -> None:
        key = str(uuid4())
        made = await run("rest", "create_tasks", ada, {"tasks": [{"title": "Kept"}]}, key=key)
        async with database.reading() as session:
            row = await session.one(
                select(IdempotencyKey.operation, IdempotencyKey.answer).where(IdempotencyKey.key == key)
            )

        kept = json.loads(row.answer)
        assert row.operation == "task.bulk_create"
        assert kept["v"] == 2
        assert kept["record"]["results"][0]["task"]["title"] == "Kept"
        assert set(kept["record"]["results"][0]) == {"position", "id", "version", "error", "task", "outcome"}
        assert kept["record"]["succeeded"] == made.body["succeeded"]

    @on_both_doors
    @pytest.mark.parametrize(
        "damage",
        [
            lambda kept: kept | {"v": 3},
            lambda kept: {"record": kept["record"]},
            lambda kept: kept | {"record": kept["record"] | {"colour": "red"}},
            lambda kept: kept | {"record": {name: kept["record"][name] for name in kept["record"] if name != "title"}},
            lambda kept: kept | {"record": kept["record"] | {"version": "many"}},
            lambda kept: kept | {"more": 1},
            lambda kept: [*kept["record"].values()],
            lambda kept: None,
        ],
        ids=["newer", "no version", "unknown field", "missing field", "wrong type", "more", "positions", "null"],
    )
    async def test_is_refused_by_name_where_it_cannot_be_read(
        self, door: Door, damage: Callable[[Any], Any], ada: Person, database: Database
    ) -> None:
        key, title = str(uuid4()), f"Kept {uuid4()}"
        await run("rest", "create_task", ada, {"title": title}, key=key)
        mine = IdempotencyKey.key == key
        async with database.writing() as session:
            kept = json.loads(await session.scalar(select(IdempotencyKey.answer).where(mine)))
            await session.execute(update(IdempotencyKey).where(mine).values(answer=json.dumps(damage(kept))))

        repeat = await run(door, "create_task", ada, {"title": title}, key=key)

        assert (repeat.code, repeat.message) == ("IDEMPOTENCY_CONFLICT", idempotency.UNREADABLE)
        assert "Retry-After" not in repeat.headers
        async with database.reading() as session:
            assert await session.count(select(Task.id).where(Task.title == title)) == 1

    @on_both_doors
    async def test_of_before_is_refused_by_name_with_other_numbers_of_fields(
        self, door: Door, ada: Person, database: Database
    ) -> None:
        key, title = str(uuid4()), f"Old {uuid4()}"
        await run("rest", "create_task", ada, {"title": title}, key=key)
        old = "services.tasks.commands.create"
        values = {
            "operation": old,
            "answer": "[1, 2]",
            "fingerprint": idempotency._fingerprint(old, {"data": {"title": title}}),
        }
        async with database.writing() as session:
            await session.execute(update(IdempotencyKey).where(IdempotencyKey.key == key).values(values))

        repeat = await run(door, "create_task", ada, {"title": title}, key=key)

        assert (repeat.code, repeat.message) == ("IDEMPOTENCY_CONFLICT", idempotency.UNREADABLE)

    @on_both_doors
    async def test_under_the_name_of_another_operation_is_another_call(
        self, door: Door, ada: Person, database: Database
    ) -> None:
        key, title = str(uuid4()), f"Named {uuid4()}"
        await run("rest", "create_task", ada, {"title": title}, key=key)
        async with database.writing() as session:
            await session.execute(
                update(IdempotencyKey).where(IdempotencyKey.key == key).values(operation="project.create")
            )

        assert (await run(door, "create_task", ada, {"title": title}, key=key)).code == "IDEMPOTENCY_MISMATCH"

    def test_a_field_with_a_default_may_have_come_since(self) -> None:
        class Record(NamedTuple):
            id: int
            colour: str = "none"

        operation = Operation("test.default", scope=Scope.TASKS_READ, record=lambda: Record)

        row: Any = SimpleNamespace(operation="test.default", answer='{"v": 2, "record": {"id": 1}}')
        assert operation.restored(row) == Record(1, "none")

    def test_two_operations_have_two_names(self) -> None:
        Operation("test.once", scope=Scope.TASKS_READ, record=lambda: int)

        with pytest.raises(ValueError, match="two operations are called"):
            Operation("test.once", scope=Scope.TASKS_READ, record=lambda: int)
        with pytest.raises(ValueError, match="1 to 40 characters"):
            Operation("test." + "x" * 36, scope=Scope.TASKS_READ, record=lambda: int)

    async def test_is_read_with_the_function_that_reads_the_thing(self, database: Database) -> None:
        async def get(_session: Any, _actor: Any, item: int) -> Any:
            raise LookupError(item)

        class Thing(NamedTuple):
            id: int

        with pytest.raises(LookupError):
            await while_readable(get)(database.reads, ANONYMOUS, Thing(7))


class TestHeader:
    async def test_every_route_takes_a_key_or_refuses_it(self, app: FastAPI, ada: Person) -> None:
        """Walks the routes, so that a new one is asked too."""
        taken, refused = set(), set()
        for route in app.router.routes:
            if not isinstance(route, APIRoute) or not isinstance(route, StrictRoute):
                continue
            method = next(iter(route.methods or ()))
            names = dict.fromkeys(route.param_convertors, "1")
            body: dict[str, Any] = {"json": {}} if method in {"POST", "PUT", "PATCH"} else {}
            if route.name == "create_token":
                body = {"data": {"username": ada.username, "password": "x"}}
            headers = ada.headers | {"Idempotency-Key": str(uuid4())}
            answer = await ada.client.request(method, route.path_format.format(**names), headers=headers, **body)
            problems = [] if answer.is_success else answer.json()["errors"]
            about_it = [each for each in problems if each["pointer"] == "/Idempotency-Key"]
            if about_it:
                assert (answer.status_code, answer.json()["code"]) == (422, "BAD_USER_INPUT")
                assert about_it[0]["location"] == "header"
                refused.add((method, route.name))
            else:
                taken.add((method, route.name))

        assert {method for method, _ in taken} == {"POST"}
        assert {name for _, name in taken} == KEYED
        assert {name for method, name in refused if method == "POST"} == {
            "create_token",
            "refresh_token",
            "revoke_token",
            "register_user",
            "change_password",
            "delete_me",
            "request_password_reset",
            "reset_password",
            "request_email_verification",
            "verify_email",
            "create_api_key",
            "rotate_api_key",
            "pause_webhook",
            "resume_webhook",
            "snooze_reminder",
            "unsubscribe",
            "preview_occurrences",
            *(name for name in OPERATIONS if name.startswith("query_")),
        }

    async def test_that_is_refused_leaves_nothing(self, ada: Person) -> None:
        task = await ada.task()
        headers = {"Idempotency-Key": str(uuid4())}

        changed = await ada.patch(f"/tasks/{task['id']}", {"title": "Changed"}, headers=headers)
        deleted = await ada.delete(f"/tasks/{task['id']}", headers=headers)

        assert (changed.status_code, deleted.status_code) == (422, 422)
        assert (await ada.get(f"/tasks/{task['id']}")).json() == task

    async def test_given_twice_is_refused(self, ada: Person) -> None:
        headers = [*ada.headers.items(), ("Idempotency-Key", "one"), ("Idempotency-Key", "two")]

        answer = await ada.client.post("/api/v1/tasks", json={"title": "Twice"}, headers=headers)

        assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
        assert "Idempotency-Key" in answer.json()["detail"]

    @pytest.mark.parametrize(
        ("accept", "status"),
        [("application/json", 422), ("application/graphql-response+json", 422), ("text/event-stream", 400)],
    )
    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_is_refused_by_name_on_graphql(self, ada: Person, accept: str, status: int, method: str) -> None:
        headers = ada.headers | {"Idempotency-Key": str(uuid4()), "Accept": accept}
        given: dict[str, Any] = {"params": {"query": "{ me { id } }"}}
        if method == "POST":
            given = {"json": {"query": CREATE, "variables": {"input": {"title": "By a header"}}}}

        answer = await ada.client.request(method, "/graphql", headers=headers, **given)

        [error] = answer.json()["errors"]
        assert (answer.status_code, error["extensions"]["code"]) == (status, "BAD_USER_INPUT")
        assert error["extensions"]["errors"][0]["pointer"] == "/Idempotency-Key"
        assert (await ada.get("/tasks")).json() == []


class TestVanishing:
    async def test_a_project_that_went_after_the_commit_is_not_found(
        self, ada: Person, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between a mutation and what its payload nests, anything may happen."""
        project = await ada.project()
        opened = Context.writing

        def writing(context: Context) -> Any:
            inner = opened(context)

            class AndThen:
                async def __aenter__(self) -> Any:
                    return await inner.__aenter__()

                async def __aexit__(self, *error: Any) -> Any:
                    left = await inner.__aexit__(*error)
                    async with database.writing() as session:
                        await session.execute(delete(Membership).where(Membership.project_id == project["id"]))
                    return left

            return AndThen()

        monkeypatch.setattr(Context, "writing", writing)
        async with database.writing() as session:
            await session.execute(delete(Membership).where(Membership.project_id == project["id"]))
        for mutation, payload, values in (
            ("createTask", "task { title project { id } }", {"title": "There", "projectId": project["node_id"]}),
            ("createTag", "tag { name project { id } }", {"name": "There", "projectId": project["node_id"]}),
        ):
            async with database.writing() as session:
                member = {"project_id": project["id"], "user_id": ada.id, "role": "owner", "created_at": now()}
                await session.execute(insert(Membership).values(member))
            kind = f"{mutation[0].upper()}{mutation[1:]}Input!"
            document = f"mutation($input: {kind}) {{ {mutation}(input: $input) {{ {payload} }} }}"

            answer = await ada.gql(document, {"input": values})

            [error] = answer.errors
            assert (error["extensions"]["code"], error["path"][-1]) == ("NOT_FOUND", "project")
