"""A project numbers its tasks up to what GraphQL's Int and PostgreSQL's integer hold, and no further."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import func, insert, literal, select, text, update

from api.main import create_app
from core.clock import now
from db.driver.database import Database
from db.models import Membership, Project, Task, TaskAssignee
from services.shared.node_ids import MAX_DATABASE_ID
from tests.actors import Person
from tests.conftest import settings_for
from tests.databases import empty_database
from tests.doors import Call, Door, on_both_doors
from tests.operations import run
from tests.stored import unchanged

BULK = Call(
    "POST /tasks/bulk/create",
    "mutation($input: CreateTasksInput!) { result: createTasks(input: $input) "
    "{ succeeded failed results { position error { code message } task { number } } } }",
)


async def _numbered(database: Database, project: dict[str, Any], last: int) -> None:
    async with database.writing() as session:
        await session.execute(update(Project).where(Project.id == project["id"]).values(last_number=last))


@pytest.fixture
async def project(ada: Person) -> dict[str, Any]:
    return await ada.project()


class TestNumbers:
    @on_both_doors
    async def test_the_last_number_is_given_and_none_behind_it(
        self, ada: Person, database: Database, project: dict[str, Any], door: Door
    ) -> None:
        await _numbered(database, project, MAX_DATABASE_ID - 1)
        last = await run(door, "create_task", ada, {"project_id": project["id"], "title": "last"})
        async with unchanged(database):
            refused = await run(door, "create_task", ada, {"project_id": project["id"], "title": "one more"})

        assert last.body["number"] == MAX_DATABASE_ID
        assert refused.code == "CONFLICT"
        assert "number" in refused.message

    @on_both_doors
    async def test_bulk_call_refuses_the_tasks_of_that_project_alone(
        self, ada: Person, database: Database, project: dict[str, Any], door: Door
    ) -> None:
        other = await ada.project()
        await _numbered(database, project, MAX_DATABASE_ID - 1)
        spelt = {"id": "node_id"} if door == "graphql" else {"id": "id"}
        name = "projectId" if door == "graphql" else "project_id"
        items = [{"title": "x", name: place[spelt["id"]]} for place in (project, other, project)]
        mode = "PARTIAL" if door == "graphql" else "partial"
        answer = await BULK.on(door, ada, {"mode": mode, "tasks": items})

        results = answer.body["results"]
        assert [result["error"] and result["error"]["code"] for result in results] == ["CONFLICT", None, "CONFLICT"]
        assert (answer.body["succeeded"], answer.body["failed"]) == (1, 2)

    async def test_project_with_more_drafts_than_numbers_is_a_conflict(
        self, ada: Person, database: Database, project: dict[str, Any]
    ) -> None:
        await _numbered(database, project, MAX_DATABASE_ID)
        child = await ada.post("/tasks", {"project_id": project["id"], "title": "x", "parent_id": None})

        assert (child.status_code, child.json()["code"]) == (409, "CONFLICT")


MANY = 66_000
"""More than the 65,535 parameters of PostgreSQL's protocol."""


class TestMany:
    """In a database of their own, whose rows are in nobody's way, before an application that does not give up."""

    @pytest.fixture
    def backend(self) -> str:
        return "postgresql"

    @pytest.fixture
    async def app(self, tmp_path: Path) -> AsyncIterator[FastAPI]:
        with empty_database("postgresql", tmp_path) as url:
            app = create_app(settings_for(url, request_timeout_seconds=3600))
            async with app.router.lifespan_context(app):
                yield app

    async def _tasks(self, database: Database, project: dict[str, Any], parent_id: int | None) -> None:
        row = {"project_id": project["id"], "title": "x", "parent_id": parent_id, "created_at": now()}
        row["updated_at"] = row["created_at"]
        values = [literal(value, Task.__table__.c[name].type) for name, value in row.items()]
        numbers = func.generate_series(10, MANY + 9).column_valued()
        async with database.writing() as session:
            session.takes_long()
            await session.execute(insert(Task).from_select([*row, "number"], select(*values, numbers)))

    async def test_member_with_very_many_tasks_can_be_removed(
        self, ada: Person, bob: Person, database: Database, project: dict[str, Any]
    ) -> None:
        await ada.invite(project, bob, "member")
        await self._tasks(database, project, None)
        theirs = select(Task.id, literal(bob.id)).where(Task.project_id == project["id"])
        async with database.writing() as session:
            session.takes_long()
            await session.execute(insert(TaskAssignee).from_select(["task_id", "user_id"], theirs))
        removed = await ada.delete(f"/projects/{project['id']}/members/{bob.id}")

        assert removed.status_code == 204
        assert await database.reads.scalar(select(TaskAssignee.task_id).where(TaskAssignee.user_id == bob.id)) is None
        mine = select(Membership.id).where(Membership.project_id == project["id"], Membership.user_id == bob.id)
        assert await database.reads.scalar(mine) is None

    async def test_task_with_very_many_subtasks_can_be_deleted_and_restored(
        self, ada: Person, database: Database, project: dict[str, Any]
    ) -> None:
        parent = await ada.task(project_id=project["id"])
        await self._tasks(database, project, parent["id"])
        async with database.writing() as session:
            await session.execute(text("ANALYZE tasks"))  # so that it expects none in the trash
        deleted = await ada.delete(f"/tasks/{parent['id']}")
        restored = await ada.post(f"/tasks/{parent['id']}/restore")

        assert (deleted.status_code, restored.status_code) == (204, 200)
        trashed = select(Task.id).where(Task.project_id == project["id"], Task.deleted_at.is_not(None))
        assert await database.reads.scalar(trashed) is None
