"""Saved views: a person's own filters and orders, which every list of tasks can show."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import update

from db.driver.database import Database
from db.models import SavedView
from services import saved_views
from services.saved_views import SavedViewCreate
from services.shared.errors import Conflict
from services.shared.node_ids import encode
from tests.actors import Person
from tests.doors import Door, Result, from_graphql, from_rest, on_both_doors
from tests.operations import ok, run
from tests.stored import new_events, unchanged

URGENT = {"priority": {"gte": 4}, "status": {"in": ["pending", "in_progress"]}}
LIST = """query($view: ID, $filter: TaskFilter, $order: TaskOrder, $search: String) {
    result: tasks(savedViewId: $view, filter: $filter, orderBy: $order, search: $search, first: 100) {
        edges { node { databaseId } }
    }
}"""
COUNT = "query($view: ID) { result: taskCounts(groupBy: PRIORITY, savedViewId: $view) { key count exact } }"


async def saved(person: Person, **fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = await ok("rest", "create_saved_view", person, {"name": "Urgent"} | fields)
    return body


async def listed(door: Door, person: Person, view_id: int, **options: Any) -> Result:
    """The list of tasks that a view shows. Options are REST's parameters."""
    if door == "rest":
        return from_rest(await person.get("/tasks", params={"saved_view_id": view_id, "limit": 100} | options))
    variables: dict[str, Any] = {"view": encode("SavedView", view_id)}
    if "sort_by" in options:
        variables["order"] = {"field": options["sort_by"].upper(), "direction": options["order"].upper()}
    if "search" in options:
        variables["search"] = options["search"]
    return from_graphql(await person.gql(LIST, variables))


def ids(result: Result) -> list[int]:
    assert result.code is None, result.message
    return [task["id"] if isinstance(task, dict) else task for task in result.body]


@on_both_doors
class TestBothDoors:
    async def test_view_is_kept_as_it_was_sent(self, ada: Person, database: Database, door: Door) -> None:
        condition = {"or": [{"tags": {"any": ["Bug"]}}, {"not": {"assignees": {"me": True}}}], "search": "50%"}
        body = {"name": " Mine ", "filter": condition, "sort_by": "due_at", "order": "asc"}
        async with new_events(database) as events:
            view = await ok(door, "create_saved_view", ada, body)

        assert view == view | body | {"name": "Mine", "version": 1}
        place = {"saved_view_id": view["id"]}
        assert await ok(door, "get_saved_view", ada, **place) == view
        assert await ok(door, "list_saved_views", ada) == [view]
        assert [(event.kind, event.entity_id, event.changes["filter"]) for event in events] == [
            ("saved_view.created", view["id"], [None, condition])
        ]

    async def test_without_anything_it_is_all_tasks_newest_first(self, ada: Person, door: Door) -> None:
        view = await ok(door, "create_saved_view", ada, {"name": "All"})

        assert (view["filter"], view["sort_by"], view["order"]) == ({}, "created_at", "desc")
        tasks = [(await ada.task())["id"] for _ in range(3)]
        assert ids(await listed(door, ada, view["id"])) == tasks[::-1]

    async def test_list_shows_what_the_view_says_in_its_order(self, ada: Person, door: Door) -> None:
        tasks = [(await ada.task(priority=n, title=f"Task {9 - n}"))["id"] for n in (5, 1, 4, 5)]
        view = await saved(ada, filter=URGENT, sort_by="title", order="asc")

        assert ids(await listed(door, ada, view["id"])) == [tasks[0], tasks[3], tasks[2]]
        assert ids(await listed(door, ada, view["id"], search="Task 5")) == [tasks[2]]
        assert ids(await listed(door, ada, view["id"], sort_by="id", order="desc")) == [tasks[3], tasks[2], tasks[0]]
        if door == "rest":
            counted = (await ada.get(f"/tasks/counts/priority?saved_view_id={view['id']}")).json()
            more = (await ada.get(f"/tasks?saved_view_id={view['id']}&priority=4&total=true")).headers
            assert more["X-Total-Count"] == "1"
        else:
            counted = (await ada.gql(COUNT, {"view": view["node_id"]})).data["result"]
        assert counted == [{"key": "4", "count": 1, "exact": True}, {"key": "5", "count": 2, "exact": True}]

    @pytest.mark.parametrize(
        ("changes", "after"),
        [
            ({"name": "Other"}, {"name": "Other"}),
            ({"filter": {}}, {"filter": {}}),
            ({"sort_by": "title", "order": "asc"}, {"sort_by": "title", "order": "asc"}),
        ],
    )
    async def test_change_touches_only_what_is_sent(
        self, ada: Person, database: Database, door: Door, changes: dict[str, Any], after: dict[str, Any]
    ) -> None:
        view = await saved(ada, filter=URGENT)
        async with new_events(database) as events:
            changed = await ok(door, "update_saved_view", ada, changes, saved_view_id=view["id"], expected=1)

        assert changed == view | after | {"version": 2, "updated_at": changed["updated_at"]}
        assert [set(event.changes) for event in events] == [set(changes)]
        async with unchanged(database):
            assert await ok(door, "update_saved_view", ada, changes, saved_view_id=view["id"]) == changed
            for name in ("update_saved_view", "delete_saved_view"):
                body = {"name": "x"} if name == "update_saved_view" else None
                late = await run(door, name, ada, body, saved_view_id=view["id"], expected=1)
                assert late.code == "VERSION_CONFLICT"

    async def test_deleted_view_is_gone(self, ada: Person, database: Database, door: Door) -> None:
        view = await saved(ada)
        await ok(door, "delete_saved_view", ada, saved_view_id=view["id"])

        assert await ok(door, "list_saved_views", ada) == []
        assert (await listed(door, ada, view["id"])).refusal == ("NOT_FOUND", ["/saved_view_id"])

    async def test_view_is_its_owners_alone(self, ada: Person, bob: Person, database: Database, door: Door) -> None:
        view = await saved(ada)
        place = {"saved_view_id": view["id"]}
        async with unchanged(database):
            answers = [
                await run(door, "get_saved_view", bob, **place),
                await run(door, "update_saved_view", bob, {"name": "x"}, **place),
                await run(door, "delete_saved_view", bob, **place),
            ]
        assert [answer.refusal for answer in answers] == [("NOT_FOUND", [])] * 3
        assert (await listed(door, bob, view["id"])).refusal == ("NOT_FOUND", ["/saved_view_id"])
        assert await ok(door, "list_saved_views", bob) == []
        node = await bob.gql("query($id: ID!) { node(id: $id) { id } }", {"id": view["node_id"]})
        assert node.data["node"] is None

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"name": ""}, "/name"),
            ({"name": None}, "/name"),
            ({"name": "x" * 101}, "/name"),
            ({}, "/name"),
            ({"name": "x", "sort_by": "size"}, "/sort_by"),
            ({"name": "x", "order": None}, "/order"),
            ({"name": "x", "filter": {"priority": {"gte": "high"}}}, "/filter/priority/gte"),
            ({"name": "x", "filter": {"colour": {"eq": 1}}}, "/filter/colour"),
            ({"name": "x", "filter": None}, "/filter"),
            ({"name": "x", "owner_id": 1}, "/owner_id"),
        ],
    )
    async def test_careless_input_is_refused(
        self, ada: Person, database: Database, door: Door, body: dict[str, Any], pointer: str
    ) -> None:
        async with unchanged(database):
            refused = await run(door, "create_saved_view", ada, body)

        assert refused.refusal == ("BAD_USER_INPUT", [pointer])

    async def test_filter_that_is_nested_too_deeply_is_refused(
        self, ada: Person, database: Database, door: Door
    ) -> None:
        deep: dict[str, Any] = {"overdue": True}
        view = await saved(ada)
        for _ in range(9):
            deep = {"not": deep}
        async with unchanged(database):
            created = await run(door, "create_saved_view", ada, {"name": "x", "filter": deep})
            changed = await run(door, "update_saved_view", ada, {"filter": deep}, saved_view_id=view["id"])

        assert created.refusal == changed.refusal == ("BAD_USER_INPUT", ["/filter"])

    async def test_view_from_before_a_change_of_the_language_says_so(
        self, ada: Person, database: Database, door: Door
    ) -> None:
        view = await saved(ada)
        async with database.writing() as session:
            await session.execute(
                update(SavedView).where(SavedView.id == view["id"]).values(filter={"colour": {"eq": "red"}})
            )

        assert (await listed(door, ada, view["id"])).refusal == ("BAD_USER_INPUT", ["/saved_view_id"])
        changed = await ok(door, "update_saved_view", ada, {"filter": {}}, saved_view_id=view["id"])
        assert changed["filter"] == {}

    @pytest.mark.parametrize("changed", [{"sort_by": "colour"}, {"order": "up"}])
    async def test_view_whose_order_is_gone_says_so(
        self, ada: Person, database: Database, door: Door, changed: dict[str, str]
    ) -> None:
        view = await saved(ada)
        async with database.writing() as session:
            await session.execute(update(SavedView).where(SavedView.id == view["id"]).values(changed))

        assert (await listed(door, ada, view["id"])).refusal == ("BAD_USER_INPUT", ["/saved_view_id"])
        parameters = {"view": view["id"], "sort_by": "title", "order": "asc"}
        assert (await run(door, "list_tasks", ada, **parameters)).code is None
        repaired = await ok(
            door, "update_saved_view", ada, {"sort_by": "title", "order": "asc"}, saved_view_id=view["id"]
        )
        assert (repaired["sort_by"], repaired["order"]) == ("title", "asc")

    async def test_view_shows_nothing_that_its_owner_may_not_read(self, ada: Person, bob: Person, door: Door) -> None:
        project = await ada.project()
        await ada.invite(project, bob)
        task = await ada.task(project_id=project["id"])
        view = await saved(bob, filter={"project": {"eq": project["id"]}})
        assert ids(await listed(door, bob, view["id"])) == [task["id"]]

        await ada.delete(f"/projects/{project['id']}/members/{bob.id}")
        assert ids(await listed(door, bob, view["id"])) == []

    async def test_repeat_with_a_key_answers_the_same(self, ada: Person, door: Door) -> None:
        bodies = []
        for _ in range(2):
            if door == "rest":
                answer = await ada.post("/saved-views", {"name": "x"}, headers={"Idempotency-Key": "view"})
                bodies.append((answer.status_code, answer.json()))
            else:
                document = "mutation($i: CreateSavedViewInput!) { createSavedView(input: $i) { savedView { id } } }"
                made = await ada.gql(document, {"i": {"name": "x", "idempotencyKey": "view"}})
                bodies.append((200, made.data))
        assert bodies[0] == bodies[1]
        assert len(await ok(door, "list_saved_views", ada)) == 1


class TestService:
    async def test_number_is_limited_also_at_the_same_time(
        self, ada: Person, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(saved_views, "MAX_VIEWS", 3)

        async def save() -> bool:
            try:
                async with database.writing() as session:
                    await saved_views.create(session, ada.actor, SavedViewCreate(name="x"))
            except Conflict:
                return False
            return True

        assert sorted(await asyncio.gather(*(save() for _ in range(5)))) == [False, False, True, True, True]
