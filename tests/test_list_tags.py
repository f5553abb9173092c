"""Tags of lists: 304 for whoever has one, cheaply where nothing has happened, and never where something has."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from db.driver.database import Database
from services import list_states
from services.events.numbering import number_all
from tests.actors import Person
from tests.conftest import People
from tests.statements import StatementCounter


async def again(person: Person, path: str, tag: str) -> httpx.Response:
    return await person.rest("GET", path, headers={"If-None-Match": tag})


async def settled(person: Person, path: str, tag: str, statements: StatementCounter) -> list[str]:
    """The statements of a confirmation, once what happened before has its place in the feed."""
    for _ in range(50):
        statements.reset()
        assert (await again(person, path, tag)).status_code == 304
        if statements.count == 1:
            break
        await asyncio.sleep(0.02)
    return statements.seen


@pytest.fixture
async def task(ada: Person) -> dict[str, Any]:
    project = await ada.project()
    return await ada.task(project_id=project["id"], tags=["bug"])


LISTS = [
    "/tasks",
    "/tasks?expand=tags&expand=comment_count&fields=id,title",
    "/tasks?envelope=true",
    "/projects",
    "/projects/{project}/members",
    "/projects/{project}/tags",
    "/projects/{project}/milestones",
    "/tasks/{id}/comments?expand=author",
    "/tasks/{id}/history?expand=actor",
    "/tasks/{id}/relations",
    "/saved-views",
    "/users",
    "/users/me/sessions",
    "/users/me/security-events",
    "/users/me/api-keys",
]


class TestTags:
    @pytest.mark.parametrize("path", LISTS)
    async def test_every_list_has_one_and_confirms_it(self, ada: Person, task: dict[str, Any], path: str) -> None:
        path = path.format(project=task["project_id"], id=task["id"])
        first = await ada.get(path)
        tag = first.headers["etag"]
        confirmed = [await again(ada, path, tag) for _ in range(3)]

        assert tag.startswith('W/"')
        for answer in confirmed:
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
        assert (await again(ada, path, 'W/"another"')).json() == first.json()
        assert (await again(ada, path, f'"x", {tag}')).status_code == 304
        assert (await again(ada, path, "*")).status_code == 304

    async def test_the_next_page_and_the_total_are_in_it(self, ada: Person) -> None:
        await ada.task(title="a")
        path = "/tasks?limit=1&sort_by=created_at&order=asc&total=true"
        before = (await ada.get(path)).headers["etag"]
        await ada.task(title="b")
        after = await again(ada, path, before)

        assert (after.status_code, after.headers["x-total-count"]) == (200, "2")
        assert after.json()[0]["title"] == "a"

    async def test_queries_have_them_and_posts_do_not(self, ada: Person, task: dict[str, Any]) -> None:
        condition = {"priority": {"gte": 1}}
        first = await ada.rest("QUERY", "/tasks", json=condition)
        same = await ada.rest("QUERY", "/tasks", json=condition, headers={"If-None-Match": first.headers["etag"]})
        other = await ada.rest(
            "QUERY", "/tasks", json={"priority": {"gte": 5}}, headers={"If-None-Match": first.headers["etag"]}
        )
        posted = await ada.rest("POST", "/tasks/query", json=condition, headers={"If-None-Match": "*"})

        assert (same.status_code, other.status_code, other.json()) == (304, 200, [])
        assert (posted.status_code, posted.json()) == (200, first.json())
        assert "etag" not in posted.headers


class TestCheapConfirmation:
    async def test_no_row_is_read_where_nothing_has_happened(
        self, ada: Person, task: dict[str, Any], statements: StatementCounter, database: Database
    ) -> None:
        await number_all(database)
        tag = (await ada.get("/tasks")).headers["etag"]
        [statement] = await settled(ada, "/tasks", tag, statements)

        assert "FROM tasks" not in statement
        assert "events" in statement

    async def test_what_others_do_elsewhere_keeps_it_cheap(
        self, ada: Person, people: People, task: dict[str, Any], statements: StatementCounter, database: Database
    ) -> None:
        stranger = await people()
        await number_all(database)
        tag = (await ada.get("/tasks")).headers["etag"]
        await settled(ada, "/tasks", tag, statements)
        for number in range(5):
            await stranger.task(title=str(number))
        await number_all(database)
        statements.reset()
        assert (await again(ada, "/tasks", tag)).status_code == 304

        assert statements.count == 1, statements.seen

    @pytest.mark.parametrize(
        "change", ["task", "comment", "tag", "rename", "member", "leave", "purge", "move to the trash"]
    )
    async def test_whatever_changes_it_is_seen_at_once(
        self, ada: Person, people: People, task: dict[str, Any], change: str
    ) -> None:
        bob, path = await people(), "/tasks?expand=tags&expand=comment_count&expand=project&expand=assignees"
        await ada.invite({"id": task["project_id"]}, bob)
        assert (await ada.patch(f"/tasks/{task['id']}", {"assignee_ids": [bob.id]})).status_code == 200
        before = await bob.get(path)
        tag = before.headers["etag"]
        assert [(await again(bob, path, tag)).status_code for _ in range(2)] == [304, 304]

        project = f"/projects/{task['project_id']}"
        [label] = (await ada.get(f"{project}/tags")).json()
        changes: dict[str, Callable[[], Awaitable[Any]]] = {
            "task": lambda: ada.patch(f"/tasks/{task['id']}", {"title": "Another"}),
            "comment": lambda: ada.comment(task["id"]),
            "tag": lambda: ada.patch(f"/tags/{label['id']}", {"name": "defect"}),
            "rename": lambda: ada.patch(project, {"name": "Another"}),
            "member": lambda: bob.patch("/users/me", {"full_name": "Robert"}),
            "leave": lambda: ada.delete(f"{project}/members/{bob.id}"),
            "purge": lambda: ada.delete(project),
            "move to the trash": lambda: ada.delete(f"/tasks/{task['id']}"),
        }
        await changes[change]()
        after = await again(bob, path, tag)

        assert after.status_code == 200
        assert after.json() == (await bob.get(path)).json() != before.json()

    async def test_what_one_may_not_read_any_more_is_not_confirmed(
        self, ada: Person, people: People, task: dict[str, Any]
    ) -> None:
        bob, path = await people(), f"/tasks/{task['id']}/comments"
        await ada.invite({"id": task["project_id"]}, bob)
        tag = (await bob.get(path)).headers["etag"]
        assert [(await again(bob, path, tag)).status_code for _ in range(2)] == [304, 304]
        await ada.delete(f"/projects/{task['project_id']}/members/{bob.id}")

        assert (await again(bob, path, tag)).status_code == 404

    async def test_nobody_is_confirmed_what_another_has(
        self, ada: Person, people: People, task: dict[str, Any]
    ) -> None:
        bob = await people()
        tag = (await ada.get("/tasks")).headers["etag"]
        await again(ada, "/tasks", tag)

        assert (await again(bob, "/tasks", tag)).status_code == 200

    async def test_what_depends_on_the_clock_is_read(
        self, ada: Person, task: dict[str, Any], statements: StatementCounter
    ) -> None:
        for query in ("overdue=true", "trashed=true", 'filter={"overdue":false}'):
            path = f"/tasks?{query}"
            tag = (await ada.get(path)).headers["etag"]
            await again(ada, path, tag)
            statements.reset()
            assert (await again(ada, path, tag)).status_code == 304
            assert any("FROM tasks" in one or "tasks" in one for one in statements.seen), query

    async def test_many_events_are_no_dearer_than_the_list(
        self, ada: Person, task: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tag = (await ada.get("/tasks")).headers["etag"]
        await again(ada, "/tasks", tag)
        monkeypatch.setattr(list_states, "SCAN", -1)

        assert (await again(ada, "/tasks", tag)).status_code == 304
