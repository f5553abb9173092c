"""Milestones: goals of a project that its tasks may name, one each."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from db.driver.database import Database
from services import milestones
from services.milestones import MilestoneUpdate
from tests.actors import Person
from tests.conftest import People
from tests.doors import Door, on_both_doors
from tests.listings import filtered_ids, ids, rest_ids
from tests.operations import ok, run
from tests.statements import StatementCounter
from tests.stored import kinds, new_events, unchanged

DUE = "2027-01-31T00:00:00Z"
REFUSED = [
    *(("name", value) for value in ("", " ", "x" * 101, "\x00", "two\nlines")),
    *(("description", value) for value in ("x" * 65_537, "\x00")),
    *(("due_at", value) for value in ("soon", "2027-01-31", "2027-01-31T00:00:00")),
    *(("state", value) for value in ("done", "")),
]


async def made(ada: Person, name: str = "Beta", **fields: Any) -> dict[str, Any]:
    """A milestone, of a new project unless one is given."""
    project_id = fields.pop("project_id", None) or (await ada.project())["id"]
    answer = await ada.post(f"/projects/{project_id}/milestones", {"name": name, **fields})
    assert answer.status_code == 201, answer.text
    milestone: dict[str, Any] = answer.json()
    return milestone


async def named(ada: Person, milestone: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A task of the milestone's project that names it."""
    return await ada.task(project_id=milestone["project_id"], milestone_id=milestone["id"], **fields)


class TestService:
    async def test_change_and_its_event_are_one_transaction(self, ada: Person, database: Database) -> None:
        milestone = await made(ada)
        async with unchanged(database):
            with suppress(ZeroDivisionError):
                async with database.writing() as session:
                    await milestones.update(session, ada.actor, milestone["id"], MilestoneUpdate(name="New"))
                    raise ZeroDivisionError


@on_both_doors
class TestMilestones:
    async def test_milestone_is_created_with_its_event(self, ada: Person, door: Door, database: Database) -> None:
        project = await ada.project()
        body = {"name": " Beta ", "description": "All of it", "due_at": DUE, "state": "closed"}
        async with new_events(database) as events:
            full = await ok(door, "create_milestone", ada, body, project_id=project["id"])
            plain = await ok(door, "create_milestone", ada, {"name": "Gamma"}, project_id=project["id"])

        assert (full["name"], full["description"], full["due_at"], full["state"]) == (
            "Beta",
            "All of it",
            DUE,
            "closed",
        )
        assert (plain["description"], plain["due_at"], plain["state"], plain["version"]) == (None, None, "open", 1)
        assert await ok(door, "get_milestone", ada, milestone_id=full["id"]) == full
        assert await ok(door, "list_milestones", ada, project_id=project["id"]) == [full, plain]
        assert [(event.kind, event.entity_version, event.project_id) for event in events] == [
            ("milestone.created", 1, project["id"])
        ] * 2
        assert events[0].changes["name"] == [None, "Beta"]

    @pytest.mark.parametrize("name", ["Straße", "STRASSE", " strasse "])
    async def test_name_is_taken_whatever_the_case(
        self, ada: Person, door: Door, database: Database, name: str
    ) -> None:
        first = await made(ada, "straSSe")
        other = await made(ada, "Weg", project_id=first["project_id"])
        async with unchanged(database):
            answers = [
                await run(door, "create_milestone", ada, {"name": name}, project_id=first["project_id"]),
                await run(door, "update_milestone", ada, {"name": name, "due_at": DUE}, milestone_id=other["id"]),
            ]

        assert [answer.refusal for answer in answers] == [("CONFLICT", ["/name"])] * 2
        # in another project it is free
        await ok(door, "create_milestone", ada, {"name": name}, project_id=(await ada.project())["id"])

    async def test_only_what_is_sent_changes(self, ada: Person, door: Door, database: Database) -> None:
        milestone = await made(ada, description="Old", due_at=DUE)
        id_ = milestone["id"]
        async with new_events(database) as events:
            renamed = await ok(door, "update_milestone", ada, {"name": "BETA"}, milestone_id=id_, expected=1)
            closed = await ok(door, "update_milestone", ada, {"state": "closed", "due_at": None}, milestone_id=id_)

        moments = {"updated_at": renamed["updated_at"]}
        assert renamed == milestone | {"name": "BETA", "version": 2} | moments
        assert closed == renamed | {"state": "closed", "due_at": None, "version": 3, "updated_at": closed["updated_at"]}
        assert [(event.kind, event.entity_version, event.changes) for event in events] == [
            ("milestone.updated", 2, {"name": ["Beta", "BETA"]}),
            ("milestone.updated", 3, {"state": ["open", "closed"], "due_at": [DUE, None]}),
        ]

    async def test_same_values_again_write_nothing(self, ada: Person, door: Door, database: Database) -> None:
        milestone = await made(ada, due_at=DUE)
        async with unchanged(database):
            for body in ({}, {"name": "Beta", "due_at": DUE, "state": "open", "description": None}):
                assert await ok(door, "update_milestone", ada, body, milestone_id=milestone["id"]) == milestone

    async def test_other_version_changes_nothing(self, ada: Person, door: Door, database: Database) -> None:
        milestone = await made(ada)
        async with unchanged(database):
            id_ = milestone["id"]
            answers = [
                await run(door, "update_milestone", ada, {"name": "New"}, milestone_id=id_, expected=2),
                await run(door, "delete_milestone", ada, milestone_id=id_, expected=2),
            ]

        assert [answer.code for answer in answers] == ["VERSION_CONFLICT"] * 2

    async def test_value_outside_the_rules_is_refused(self, ada: Person, door: Door, database: Database) -> None:
        milestone = await made(ada)
        project_id, id_ = milestone["project_id"], milestone["id"]
        async with unchanged(database):
            for field, value in REFUSED:
                body = {"name": "new", field: value}
                answers = [
                    await run(door, "create_milestone", ada, body, project_id=project_id),
                    await run(door, "update_milestone", ada, {field: value}, milestone_id=id_),
                ]
                assert [answer.code for answer in answers] == ["BAD_USER_INPUT"] * 2, (field, value)
            for field in ("name", "state"):
                refused = await run(door, "update_milestone", ada, {field: None}, milestone_id=id_)
                assert refused.refusal == ("BAD_USER_INPUT", [f"/{field}"])

    async def test_project_has_so_many(
        self, ada: Person, door: Door, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(milestones, "MAX_MILESTONES", 1)
        milestone = await made(ada)
        async with unchanged(database):
            refused = await run(door, "create_milestone", ada, {"name": "New"}, project_id=milestone["project_id"])

        assert refused.code == "CONFLICT"

    async def test_repeat_with_a_key_creates_nothing(self, ada: Person, door: Door, database: Database) -> None:
        project = await ada.project()
        first = await ok(door, "create_milestone", ada, {"name": "Beta"}, project_id=project["id"], key="one")
        async with unchanged(database):
            again = await run(door, "create_milestone", ada, {"name": "Beta"}, project_id=project["id"], key="one")

        assert again.body == first
        assert again.headers["idempotency-replayed"] == "true"

    async def test_archived_project_is_read_only(self, ada: Person, door: Door, database: Database) -> None:
        milestone = await made(ada)
        await ok(door, "update_project", ada, {"archived": True}, project_id=milestone["project_id"])
        async with unchanged(database):
            answers = [
                await run(door, "create_milestone", ada, {"name": "New"}, project_id=milestone["project_id"]),
                await run(door, "update_milestone", ada, {"name": "New"}, milestone_id=milestone["id"]),
                await run(door, "delete_milestone", ada, milestone_id=milestone["id"]),
            ]

        assert [answer.code for answer in answers] == ["CONFLICT"] * 3
        assert await ok(door, "get_milestone", ada, milestone_id=milestone["id"]) == milestone


@on_both_doors
class TestTasks:
    async def test_task_names_one_and_another_and_none(self, ada: Person, door: Door, database: Database) -> None:
        beta = await made(ada)
        gamma = await made(ada, "Gamma", project_id=beta["project_id"])
        body = {"title": "x", "project_id": beta["project_id"], "milestone_id": beta["id"]}
        async with new_events(database) as events:
            task = await ok(door, "create_task", ada, body)
            moved = await ok(door, "update_task", ada, {"milestone_id": gamma["id"]}, task_id=task["id"])
            same = await ok(door, "update_task", ada, {"milestone_id": gamma["id"]}, task_id=task["id"])
            freed = await ok(door, "update_task", ada, {"milestone_id": None}, task_id=task["id"])

        told = [(each["milestone_id"], each["version"]) for each in (task, moved, same, freed)]
        assert told == [(beta["id"], 1), (gamma["id"], 2), (gamma["id"], 2), (None, 3)]
        assert [event.changes["milestone_id"] for event in events] == [
            [None, beta["id"]],
            [beta["id"], gamma["id"]],
            [gamma["id"], None],
        ]

    async def test_milestone_has_to_be_of_the_project(
        self, ada: Person, people: People, door: Door, database: Database
    ) -> None:
        task, foreign, hidden = await ada.task(), await made(ada), await made(await people())
        async with unchanged(database):
            for id_ in (foreign["id"], hidden["id"], 2**31 - 1):
                change = {"milestone_id": id_}
                bulk = {"tasks": [{"title": "x", **change}]}
                answers = [
                    await run(door, "create_task", ada, {"title": "x", **change}),
                    await run(door, "update_task", ada, change, task_id=task["id"]),
                ]
                assert [answer.refusal for answer in answers] == [("NOT_FOUND", ["/milestone_id"])] * 2
                assert (await run(door, "create_tasks", ada, bulk)).refusal == ("NOT_FOUND", ["/tasks/0/milestone_id"])
                matching = {"filter": {}, "changes": change}
                assert (await run(door, "update_matching_tasks", ada, matching)).code == "NOT_FOUND"

    async def test_many_tasks_at_once(self, ada: Person, door: Door) -> None:
        beta = await made(ada)
        new = {"title": "x", "project_id": beta["project_id"], "milestone_id": beta["id"]}
        created = await ok(door, "create_tasks", ada, {"tasks": [new, new | {"milestone_id": None}]})
        ids_ = [result["task"]["id"] for result in created["results"]]
        changes = [{"id": ids_[0], "milestone_id": None}, {"id": ids_[1], "milestone_id": beta["id"]}]
        changed = await ok(door, "update_tasks", ada, {"tasks": changes})
        matching = {"filter": {"milestone": {"is_null": True}}, "changes": {"milestone_id": beta["id"]}}
        matched = await ok(door, "update_matching_tasks", ada, matching)

        assert [result["task"]["milestone_id"] for result in created["results"]] == [beta["id"], None]
        assert [result["task"]["milestone_id"] for result in changed["results"]] == [None, beta["id"]]
        assert matched["succeeded"] == 1

    async def test_deleted_milestone_is_off_its_tasks(self, ada: Person, door: Door, database: Database) -> None:
        beta = await made(ada)
        live, trashed, other = await named(ada, beta), await named(ada, beta), await ada.task()
        await ada.delete(f"/tasks/{trashed['id']}")
        async with new_events(database) as events:
            await ok(door, "delete_milestone", ada, milestone_id=beta["id"])

        after = await ok(door, "get_task", ada, task_id=live["id"])
        assert (after["milestone_id"], after["version"]) == (None, 2)
        assert (await ok(door, "get_task", ada, task_id=other["id"]))["version"] == 1
        restored = await ok(door, "restore_task", ada, task_id=trashed["id"])
        assert (restored["milestone_id"], restored["version"]) == (None, 4)  # trashed, taken off, restored
        assert (await run(door, "get_milestone", ada, milestone_id=beta["id"])).code == "NOT_FOUND"
        assert (await run(door, "delete_milestone", ada, milestone_id=beta["id"])).code == "NOT_FOUND"
        assert kinds(events) == ["task.updated", "task.updated", "milestone.deleted"]
        assert [event.changes for event in events[:2]] == [{"milestone_id": [beta["id"], None]}] * 2
        history = await ok(door, "list_task_history", ada, task_id=live["id"])
        assert history[0]["changes"] == [{"field": "milestone_id", "before": beta["id"], "after": None}]

    async def test_tasks_are_filtered_by_milestone(self, ada: Person, door: Door) -> None:
        beta = await made(ada)
        gamma = await made(ada, "Gamma", project_id=beta["project_id"])
        one, two, none = await named(ada, beta), await named(ada, gamma), await ada.task()
        for condition, expected in (
            ({"eq": beta["node_id"]}, [one]),
            ({"in": [beta["node_id"], gamma["node_id"]]}, [one, two]),
            ({"is_null": True}, [none]),
            ({"is_null": False}, [one, two]),
        ):
            found = await ok(door, "list_tasks", ada, filter={"milestone": condition})
            assert sorted(ids(found)) == [task["id"] for task in expected], condition
        found = await ok(door, "list_tasks", ada, filter={"not": {"milestone": {"eq": beta["node_id"]}}})
        assert sorted(ids(found)) == [two["id"], none["id"]]

    async def test_saved_view_keeps_the_filter(self, ada: Person, door: Door) -> None:
        beta = await made(ada)
        task, _ = await named(ada, beta), await ada.task()
        body = {"name": "Beta", "filter": {"milestone": {"eq": beta["node_id"]}}}
        view = await ok(door, "create_saved_view", ada, body)

        assert view["filter"] == {"milestone": {"eq": beta["id"]}}
        assert ids(await ok(door, "list_tasks", ada, view=view["id"])) == [task["id"]]

    async def test_tasks_are_counted_by_milestone(self, ada: Person, door: Door) -> None:
        beta = await made(ada)
        for milestone in (beta, await made(ada, "BETA"), await made(ada, "Gamma")):
            await named(ada, milestone)
        await ada.task()
        counted = await ok(door, "count_tasks", ada, group_by="milestone")

        told = [(group["key"], group["count"]) for group in counted]
        assert told == [("beta", 2), ("gamma", 1), (None, 1)]

    async def test_tasks_are_not_sorted_by_milestone(self, ada: Person, door: Door) -> None:
        refused = await run(door, "list_tasks", ada, sort_by="milestone", order="asc")
        assert refused.code == "BAD_USER_INPUT"


class TestRest:
    async def test_flat_parameter_takes_several(self, ada: Person) -> None:
        beta = await made(ada)
        gamma = await made(ada, "Gamma", project_id=beta["project_id"])
        one, two, _ = await named(ada, beta), await named(ada, gamma), await ada.task()
        assert await rest_ids(ada, milestone_id=beta["id"]) == [one["id"]]
        assert sorted(await rest_ids(ada, milestone_id=[beta["id"], gamma["id"]])) == [one["id"], two["id"]]
        assert await filtered_ids(ada, {"milestone": {"eq": beta["node_id"]}}) == [one["id"]]
        counted = (await ada.get("/tasks/counts/status", params={"milestone_id": beta["id"]})).json()
        assert counted == [{"key": "pending", "count": 1, "exact": True}]

    async def test_milestone_is_read_along(self, ada: Person) -> None:
        beta = await made(ada)
        task, other = await named(ada, beta), await ada.task()
        alone = (await ada.get(f"/tasks/{task['id']}?expand=milestone")).json()
        listed = (await ada.get("/tasks?expand=milestone&fields=id&sort_by=id&order=asc")).json()

        assert alone["milestone"] == beta
        assert listed == [{"id": task["id"], "milestone": beta}, {"id": other["id"], "milestone": None}]

    async def test_etag_is_the_version(self, ada: Person) -> None:
        beta = await made(ada)
        path = f"/milestones/{beta['id']}"
        first = await ada.get(path)
        assert first.headers["etag"] == '"1"'
        assert (await ada.get(path, headers={"If-None-Match": '"1"'})).status_code == 304
        changed = await ada.rest("PATCH", path, json={"state": "closed"}, headers={"If-Match": '"1"'})
        assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
        refused = await ada.rest("DELETE", path, headers={"If-Match": '"1"'})
        assert (refused.status_code, refused.headers["etag"]) == (412, '"2"')

    async def test_list_has_pages_and_a_total(self, ada: Person) -> None:
        project = await ada.project()
        all_ = [await made(ada, f"M{number}", project_id=project["id"]) for number in range(3)]
        path = f"/projects/{project['id']}/milestones"
        page = await ada.get(f"{path}?limit=2&total=true")

        assert (page.json(), page.headers["x-total-count"]) == (all_[:2], "3")
        assert (await ada.get(f"{path}?skip=2")).json() == all_[2:]
        assert 'rel="next"' in page.headers["link"]


BELOW = """query($id: ID!) {
    project(id: $id) { milestones(first: 50) { totalCount edges { node {
        name project { id } tasks(first: 5) { totalCount edges { node { title milestone { name } } } }
    } } } }
    tasks(first: 50) { edges { node { milestone { id name } } } }
}"""


class TestGraphql:
    async def test_milestones_are_read_from_project_and_task(self, ada: Person) -> None:
        beta = await made(ada)
        await named(ada, beta, title="x")
        document = "query($id: ID!) { milestone(id: $id) { node: id databaseId } node(id: $id) { id } }"
        found = (await ada.gql(document, {"id": beta["node_id"]})).data
        project = (await ada.get(f"/projects/{beta['project_id']}")).json()
        below = (await ada.gql(BELOW, {"id": project["node_id"]})).data

        assert found == {
            "milestone": {"node": beta["node_id"], "databaseId": beta["id"]},
            "node": {"id": beta["node_id"]},
        }
        [edge] = below["project"]["milestones"]["edges"]
        assert below["project"]["milestones"]["totalCount"] == edge["node"]["tasks"]["totalCount"] == 1
        assert edge["node"]["project"] == {"id": project["node_id"]}
        assert edge["node"]["tasks"]["edges"][0]["node"] == {"title": "x", "milestone": {"name": "Beta"}}
        assert below["tasks"]["edges"][0]["node"]["milestone"] == {"id": beta["node_id"], "name": "Beta"}

    async def test_statements_do_not_grow_with_rows(self, ada: Person, statements: StatementCounter) -> None:
        async def graphql() -> None:
            assert (await ada.gql(BELOW, {"id": project["node_id"]})).data

        async def rest() -> None:
            assert (await ada.get("/tasks?expand=milestone&limit=100")).status_code == 200

        async def created() -> None:
            tasks = [{"title": "x", "project_id": project["id"], "milestone_id": beta["id"]}] * number
            assert (await ada.post("/tasks/bulk/create", {"tasks": tasks})).status_code == 200

        project = await ada.project()
        beta = await made(ada, project_id=project["id"])
        counted: dict[int, list[int]] = {}
        calls: list[Callable[[], Awaitable[None]]] = [created, graphql, graphql, graphql, rest]
        for number in (2, 20):
            for each in range(number):
                await made(ada, f"{number} {each}", project_id=project["id"])
            counted[number] = []
            for call in calls:
                statements.reset()
                await call()
                counted[number].append(statements.count)

        assert counted[2][0] == counted[20][0]
        assert counted[2][3:] == counted[20][3:]


async def test_tasks_that_name_a_milestone_while_it_is_deleted_lose_it_or_are_refused(ada: Person) -> None:
    for _ in range(5):
        beta = await made(ada)
        task = {"title": "x", "project_id": beta["project_id"], "milestone_id": beta["id"]}
        *created, deleted = await asyncio.gather(
            *(ada.post("/tasks", task) for _ in range(4)), ada.delete(f"/milestones/{beta['id']}")
        )
        there = (await ada.get(f"/tasks?project_id={beta['project_id']}")).json()

        assert deleted.status_code == 204
        assert {answer.status_code for answer in created} <= {201, 404}
        assert len(there) == [answer.status_code for answer in created].count(201)
        assert {(each["milestone_id"], each["version"]) for each in there} <= {(None, 2)}


SITUATIONS = ["read", "left", "trash"]


@pytest.mark.parametrize("situation", SITUATIONS)
async def test_who_may_not_read_the_project_is_not_told_the_milestone(ada: Person, bob: Person, situation: str) -> None:
    beta = await made(ada)
    task = await named(ada, beta)
    await ada.invite({"id": beta["project_id"]}, bob, "viewer")
    view = (await bob.post("/saved-views", {"name": "v", "filter": {"milestone": {"eq": beta["id"]}}})).json()
    if situation == "left":
        await ada.delete(f"/projects/{beta['project_id']}/members/{bob.id}")
    elif situation == "trash":
        await ada.delete(f"/tasks/{task['id']}")
    paths = (
        f"/milestones/{beta['id']}",
        f"/tasks/{task['id']}?expand=milestone",
        "/tasks?expand=milestone&limit=100",
        f"/tasks?milestone_id={beta['id']}&expand=milestone",
        f"/tasks?saved_view_id={view['id']}&expand=milestone",
    )
    shown = [beta["node_id"] in (await bob.get(path)).text for path in paths]
    trashed = beta["node_id"] in (await bob.get("/tasks?trashed=true&expand=milestone")).text

    assert (shown, trashed) == {
        "read": ([True] * 5, False),
        "left": ([False] * 5, False),
        "trash": ([True, *[False] * 4], True),
    }[situation]
