"""API keys that are limited to chosen projects: all others are not there for them, whichever way they ask."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import insert

from core.clock import now
from db.driver.database import Database
from db.models.notifications import Notification
from services import changes as changes_service
from services.events.numbering import number_all
from services.shared.actors import Actor, Scope
from services.shared.limited_keys import LimitedOwner
from services.shared.node_ids import encode
from tests.actors import Anonymous, Person
from tests.conftest import People
from tests.doors import Door, on_both_doors
from tests.operations import OPERATIONS, ok, run

SCOPES = ("tasks:write", "projects:admin")


@dataclass
class Two:
    """Two projects of the same person, with the same things in each; the key is for the first."""

    ada: Person
    key: Anonymous
    inside: dict[str, Any]
    outside: dict[str, Any]


async def _things(ada: Person, people: People, database: Database) -> dict[str, Any]:
    project = await ada.project()
    bob = await people()
    await ada.invite(project, bob)
    task = await ada.task(project_id=project["id"], tags=["bug"], title="needle")
    other = await ada.task(project_id=project["id"])
    comment = await ada.comment(task["id"], "needle")
    related = await ada.post(f"/tasks/{task['id']}/relations", {"kind": "blocks", "target_id": other["id"]})
    milestone = await ada.post(f"/projects/{project['id']}/milestones", {"name": "Beta"})
    reminder = await ada.post(f"/tasks/{task['id']}/reminders", {"remind_at": "2099-01-01T00:00:00Z"})
    [tag] = (await ada.get(f"/projects/{project['id']}/tags")).json()
    return {
        "project_id": project["id"],
        "task_id": task["id"],
        "comment_id": comment["id"],
        "relation_id": related.json()["id"],
        "milestone_id": milestone.json()["id"],
        "reminder_id": reminder.json()["id"],
        "tag_id": tag["id"],
        "user_id": bob.id,
        "notification_id": await _notified(ada, project["id"], database),
    }


async def _notified(ada: Person, project_id: int, database: Database) -> int:
    """A notification of what happened in a project, and its id."""
    async with database.writing() as session:
        values = {"user_id": ada.id, "event_id": f"{ada.id}-{project_id}", "kind": "assigned"}
        values |= {"project_id": project_id, "created_at": now()}
        await session.execute(insert(Notification).values(values))
    newest: dict[str, Any] = (await ada.get("/notifications")).json()[0]
    assert newest["project_id"] == project_id
    return int(newest["id"])


@pytest.fixture
async def two(ada: Person, people: People, database: Database) -> Two:
    inside, outside = [await _things(ada, people, database) for _ in range(2)]
    key = await ada.api_key(*SCOPES, project_ids=[inside["project_id"]])
    return Two(ada, key, inside, outside)


BODIES: dict[str, Any] = {
    "update_task": {"title": "x"},
    "put_task": {"title": "x"},
    "delete_task": None,
    "duplicate_task": {},
    "duplicate_project": {"name": "x"},
    "create_comment": {"body": "x"},
    "update_comment": {"body": "x"},
    "delete_comment": None,
    "create_relation": {"kind": "relates_to", "target_id": 1},
    "delete_relation": None,
    "create_tag": {"name": "x"},
    "update_tag": {"name": "y"},
    "delete_tag": None,
    "create_milestone": {"name": "x"},
    "update_milestone": {"name": "y"},
    "delete_milestone": None,
    "update_project": {"name": "x"},
    "follow_task": None,
    "unfollow_project": None,
    "delete_project": None,
    "add_member": {"username": "nobody"},
    "update_member": {"role": "viewer"},
    "remove_member": None,
}
READS = [
    name
    for name, operation in OPERATIONS.items()
    if name.startswith(("get_", "list_", "query_"))
    and "{" in operation.rest
    and "view" not in name
    and "webhook" not in name
]
OF_WEBHOOKS: dict[str, Any] = {
    name: {"name": "y"} if name == "update_webhook" else {} if "rotate" in name or "redeliver" in name else None
    for name in OPERATIONS
    if "webhook" in name
}
"""Every operation of webhooks, with what it is called with."""
HIDDEN = ("NOT_FOUND", None)
OF_WEBHOOKS_EXPECTED: dict[str, tuple[str | None, Any]] = {
    "create_webhook": ("FORBIDDEN", None),
    "list_webhooks": (None, []),
    "query_webhooks": (None, []),
}


@on_both_doors
class TestBothDoors:
    @pytest.mark.parametrize("name", READS)
    async def test_what_is_outside_is_not_found(self, two: Two, door: Door, name: str) -> None:
        names = [part.partition("}")[0] for part in OPERATIONS[name].rest.split("{")[1:]]
        inside = {each: two.inside[each] for each in names}
        outside = {each: two.outside[each] for each in names}

        assert (await run(door, name, two.key, **inside)).code is None
        assert (await run(door, name, two.ada, **outside)).code is None
        assert (await run(door, name, two.key, **outside)).code == "NOT_FOUND"

    @pytest.mark.parametrize("name", [name for name in BODIES if name in OPERATIONS])
    async def test_nothing_outside_can_be_changed(self, two: Two, door: Door, name: str) -> None:
        names = [part.partition("}")[0] for part in OPERATIONS[name].rest.split("{")[1:]]
        outside = {each: two.outside[each] for each in names}

        expected = "FORBIDDEN" if name == "duplicate_project" else "NOT_FOUND"
        assert (await run(door, name, two.key, BODIES[name], **outside)).code == expected

    async def test_lists_show_what_is_inside(self, two: Two, door: Door) -> None:
        projects = await ok(door, "list_projects", two.key)
        tasks = await ok(door, "list_tasks", two.key)
        found = await ok(door, "query_tasks", two.key, {"search": "needle"})
        outside = two.outside["project_id"] if door == "rest" else encode("Project", two.outside["project_id"])
        mine = await ok(door, "query_tasks", two.key, {"project": {"eq": outside}})

        assert [project["id"] for project in projects] == [two.inside["project_id"]]
        assert {task["project_id"] for task in tasks} == {two.inside["project_id"]}
        assert [task["id"] for task in found] == [two.inside["task_id"]]
        assert mine == []

    @pytest.mark.parametrize("name", OF_WEBHOOKS)
    async def test_its_owners_webhooks_are_not_there(self, two: Two, door: Door, name: str) -> None:
        """Neither those of its project: they tell their owner, who may read more."""
        values = {"name": "x", "url": "https://hooks.example.com/x", "project_id": two.inside["project_id"]}
        webhook = (await two.ada.post("/webhooks", values)).json()
        delivery = (await two.ada.post(f"/webhooks/{webhook['id']}/test")).json()
        ids = {"webhook_id": webhook["id"], "webhook_delivery_id": delivery["id"]}
        named = {each: id_ for each, id_ in ids.items() if f"{{{each}}}" in OPERATIONS[name].rest}
        body = values if name == "create_webhook" else OF_WEBHOOKS[name]

        seen = await run(door, name, two.key, body, **named)

        assert (seen.code, seen.body if seen.code is None else None) == OF_WEBHOOKS_EXPECTED.get(name, HIDDEN)
        assert (await two.ada.get(f"/webhooks/{webhook['id']}")).json()["version"] == webhook["version"]

    async def test_no_task_goes_outside(self, two: Two, door: Door) -> None:
        for body in ({"title": "x"}, {"title": "x", "project_id": two.outside["project_id"]}):
            assert (await run(door, "create_task", two.key, body)).code == "NOT_FOUND"
        related = {"kind": "blocks", "target_id": two.outside["task_id"]}
        refused = await run(door, "create_relation", two.key, related, task_id=two.inside["task_id"])
        assert refused.code == "NOT_FOUND"
        made = await ok(door, "create_task", two.key, {"title": "x", "project_id": two.inside["project_id"]})
        assert made["project_id"] == two.inside["project_id"]

    async def test_it_makes_no_projects(self, two: Two, door: Door) -> None:
        refused = await run(door, "create_project", two.key, {"name": "x"})

        assert refused.code == "FORBIDDEN"
        assert "limited to some projects" in refused.message

    async def test_bulk_calls_stay_inside(self, two: Two, door: Door) -> None:
        body = {"tasks": [{"id": two.inside["task_id"], "priority": 4}, {"id": two.outside["task_id"], "priority": 4}]}
        done = await ok(door, "update_tasks", two.key, body | {"mode": "partial"})
        matching = {"filter": {"search": "needle"}, "changes": {"priority": 5}}
        changed = await ok(door, "update_matching_tasks", two.key, matching)

        assert [one["outcome"] for one in done["results"]][1] == "refused"
        assert (changed["succeeded"], changed["failed"]) == (1, 0)
        assert (await two.ada.get(f"/tasks/{two.outside['task_id']}")).json()["priority"] == 1


async def changes(caller: Anonymous, after: str = "0") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    more = True
    while more:
        page = (await caller.get(f"/changes?limit=500&after={after}")).json()
        found, after, more = [*found, *page["changes"]], page["cursor"], page["has_more"]
    return found


class TestFeed:
    async def test_tells_of_what_is_inside(self, two: Two, people: People, database: Database) -> None:
        carl = await people()
        elsewhere = await carl.project()
        await carl.invite(elsewhere, two.ada)
        await number_all(database)
        told, all_ = await changes(two.key), await changes(two.ada)

        assert {each["project_id"] for each in told} <= {two.inside["project_id"], None}
        assert {two.outside["project_id"], elsewhere["id"]} <= {each["project_id"] for each in all_}

    async def test_streams_tell_of_what_is_inside(self, two: Two, app: Any, database: Database) -> None:
        state = app.state.tandem
        stored = (await two.ada.get("/users/me/api-keys")).json()[0]["id"]
        heard: list[int | None] = []

        async def listen() -> None:
            caller = Actor(
                "api_key", LimitedOwner(two.ada.id, stored), scopes=frozenset({Scope.TASKS_READ}), api_key_id=stored
            )
            async for told in changes_service.follow(database, state.feed, caller, None):
                heard.extend(item.project_id for item in told.items if item.kind == "task.created")

        await number_all(database)
        follower = asyncio.create_task(listen())
        await asyncio.sleep(0.1)
        for _ in range(2):
            for place in (two.outside, two.inside):
                await two.ada.task(project_id=place["project_id"])
        await number_all(database)
        for _ in range(100):
            await asyncio.sleep(0.05)
            if len(heard) >= 2:
                break
        follower.cancel()
        assert heard == [two.inside["project_id"]] * 2


class TestNotifications:
    async def test_are_of_what_is_inside(self, two: Two) -> None:
        shown = (await two.key.get("/notifications")).json()
        [other] = [one for one in (await two.ada.get("/notifications")).json() if one["id"] != shown[0]["id"]]
        hidden = await two.key.get(f"/notifications/{other['id']}")
        changed = await two.key.rest("PATCH", "/notifications", json={"read": True})

        assert [one["id"] for one in shown] == [two.inside["notification_id"]]
        assert [one["project_id"] for one in shown] == [two.inside["project_id"]]
        assert hidden.status_code == 404
        assert (changed.status_code, changed.json()) == (200, {"changed": 1})
        assert (await two.ada.get(f"/notifications/{other['id']}")).json()["read_at"] is None


class TestKeys:
    async def test_the_limit_is_visible_and_can_be_changed(self, two: Two) -> None:
        [shown] = (await two.ada.get("/users/me/api-keys")).json()
        path = f"/users/me/api-keys/{shown['id']}"
        inside, outside = two.inside["project_id"], two.outside["project_id"]
        assert shown["project_ids"] == [inside]

        for ids, seen in (([outside], [outside]), ([outside, inside, inside], sorted((inside, outside)))):
            changed = await two.ada.patch(path, {"project_ids": ids})
            assert (changed.status_code, changed.json()["project_ids"]) == (200, seen)
            assert [each["id"] for each in (await two.key.get("/projects")).json()] == seen
        assert (await two.ada.patch(path, {"name": "renamed"})).json()["project_ids"] == sorted((inside, outside))
        lifted = await two.ada.patch(path, {"project_ids": None})
        assert lifted.json()["project_ids"] is None
        assert len((await two.key.get("/projects")).json()) == 3

    async def test_rotating_keeps_it(self, two: Two) -> None:
        [shown] = (await two.ada.get("/users/me/api-keys")).json()
        rotated = (await two.ada.post(f"/users/me/api-keys/{shown['id']}/rotate", {})).json()
        key = Anonymous(two.ada.client, {"X-API-Key": rotated["secret"]})

        assert rotated["project_ids"] == [two.inside["project_id"]]
        assert [each["id"] for each in (await key.get("/projects")).json()] == [two.inside["project_id"]]

    async def test_a_project_that_is_deleted_lifts_no_limit(self, two: Two) -> None:
        await two.ada.delete(f"/projects/{two.inside['project_id']}")

        assert (await two.ada.get("/users/me/api-keys")).json()[0]["project_ids"] == []
        assert (await two.key.get("/projects")).json() == (await two.key.get("/tasks")).json() == []

    @pytest.mark.parametrize("ids", [[], [0], [10**9], "x", list(range(1, 102))])
    async def test_what_is_no_project_of_ones_own_is_refused(self, two: Two, people: People, ids: Any) -> None:
        body = {"name": "key", "scopes": ["tasks:read"], "project_ids": ids}
        refused = await two.ada.post("/users/me/api-keys", body)

        assert refused.status_code in (404, 422)
        assert refused.json()["errors"][0]["pointer"].startswith("/project_ids")

    async def test_others_projects_are_refused(self, two: Two, people: People) -> None:
        bob = await people()
        theirs = await bob.project()
        body = {"name": "key", "scopes": ["tasks:read"], "project_ids": [theirs["id"]]}

        assert (await two.ada.post("/users/me/api-keys", body)).status_code == 404

    async def test_the_scope_admin_cannot_be_limited(self, people: People) -> None:
        admin = await people(is_admin=True)
        project = await admin.project()
        body = {"name": "key", "scopes": ["admin"], "project_ids": [project["id"]]}
        refused = await admin.post("/users/me/api-keys", body)
        made = await admin.post("/users/me/api-keys", {"name": "key", "scopes": ["admin"]})
        later = await admin.patch(f"/users/me/api-keys/{made.json()['id']}", {"project_ids": [project["id"]]})

        for answer in (refused, later):
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/project_ids")

    async def test_changes_beside_one_another(self, two: Two) -> None:
        [shown] = (await two.ada.get("/users/me/api-keys")).json()
        path = f"/users/me/api-keys/{shown['id']}"
        inside, outside = two.inside["project_id"], two.outside["project_id"]
        answers = await asyncio.gather(
            *(two.ada.patch(path, {"project_ids": ids}) for ids in ([inside, outside], [outside], [inside], None) * 3),
            *(two.ada.post(f"{path}/rotate", {}) for _ in range(3)),
            two.ada.delete(f"/projects/{outside}"),
            *(two.key.post("/tasks", {"title": "x", "project_id": inside}) for _ in range(3)),
        )
        [after] = (await two.ada.get("/users/me/api-keys")).json()

        assert {answer.status_code for answer in answers} <= {200, 201, 204, 403, 404}
        assert after["project_ids"] in (None, [], [inside])

    async def test_a_304_is_no_way_around(self, two: Two) -> None:
        [shown] = (await two.ada.get("/users/me/api-keys")).json()
        tag = (await two.key.get("/tasks")).headers["etag"]
        for _ in range(3):
            await two.key.rest("GET", "/tasks", headers={"If-None-Match": tag})
        await two.ada.patch(f"/users/me/api-keys/{shown['id']}", {"project_ids": [two.outside["project_id"]]})
        answer: httpx.Response = await two.key.rest("GET", "/tasks", headers={"If-None-Match": tag})

        assert answer.status_code == 200


class TestSql:
    @pytest.mark.parametrize(
        ("sql", "narrowed"),
        [
            ("SELECT 1 FROM memberships WHERE x", 1),
            ("SELECT 1 FROM memberships AS m_1 JOIN memberships AS m_2 ON x", 2),
            ("SELECT memberships.role, memberships.id FROM projects, memberships\nWHERE x", 1),
            ("SELECT 1 FROM projects JOIN memberships ON x FOR KEY SHARE OF projects, memberships", 1),
            ("DELETE FROM memberships WHERE memberships.user_id = 1", 0),
            ("INSERT INTO memberships (user_id) VALUES (1)", 0),
            ("UPDATE memberships SET role = 'x'", 0),
        ],
    )
    def test_what_is_read_is_narrowed(self, sql: str, narrowed: int) -> None:
        assert LimitedOwner(7, 3).narrow(sql).count("api_key_id = 3") == narrowed
