"""Tasks that go to another project."""

from dataclasses import dataclass
from typing import Any

import pytest

from db.driver.database import Database
from services.events.numbering import number_all
from services.tasks import moving
from tests.actors import Person
from tests.conftest import People
from tests.doors import Door, on_both_doors
from tests.operations import ok, run
from tests.statements import StatementCounter
from tests.stored import kinds, new_events, unchanged


@dataclass
class Places:
    """Two projects: ada writes in both; bob is a member of both, cid of the first alone, dan of the second alone."""

    ada: Person
    bob: Person
    cid: Person
    dan: Person
    here: dict[str, Any]
    there: dict[str, Any]

    async def milestone(self, project: dict[str, Any], name: str) -> int:
        made = await self.ada.post(f"/projects/{project['id']}/milestones", {"name": name})
        return int(made.json()["id"])

    async def task(self, **fields: Any) -> dict[str, Any]:
        return await self.ada.task(**({"project_id": self.here["id"]} | fields))

    @property
    def body(self) -> dict[str, Any]:
        return {"project_id": self.there["id"]}


@pytest.fixture
async def places(people: People) -> Places:
    ada, bob, cid, dan = [await people() for _ in range(4)]
    here, there = await ada.project(), await ada.project(name="Other")
    for project, members in ((here, (bob, cid)), (there, (bob, dan))):
        for person in members:
            await ada.invite(project, person)
    return Places(ada, bob, cid, dan, here, there)


async def changes_of(events: list[Any], kind: str) -> dict[str, Any]:
    [event] = [event for event in events if event.kind == kind]
    return dict(event.changes)


@on_both_doors
class TestMoves:
    async def test_all_that_a_task_says_goes_along(self, places: Places, door: Door, database: Database) -> None:
        ada, bob = places.ada, places.bob
        task = await places.task(
            title="Go",
            description="Far",
            priority=4,
            due_at="2027-01-02T00:00:00Z",
            status="completed",
            assignee_ids=[bob.id],
            external_source="crm",
            external_id="1",
        )
        comment = await ada.comment(task["id"])
        async with new_events(database) as events:
            answer = await ok(door, "move_task", ada, places.body, task_id=task["id"])

        moved = answer["task"]
        changed = {"project_id", "ref", "number", "version", "updated_at"}
        assert {name for name in moved if moved[name] != task[name]} <= changed
        assert (moved["ref"], moved["version"]) == (f"{places.there['key']}-1", 2)
        assert (answer["moved"], answer["left_behind"]) == (1, [])
        assert await ok(door, "get_task", ada, task_id=task["id"]) == moved
        hung = await ok(door, "get_task_with_relations", ada, task_id=task["id"])
        assert hung["assignees"] == [bob.id]
        assert [each["id"] for each in await ok(door, "list_comments", ada, task_id=task["id"])] == [comment["id"]]
        assert kinds(events) == ["task.left", "task.moved"]
        assert [event.project_id for event in events] == [places.here["id"], places.there["id"]]
        assert await changes_of(events, "task.moved") == {
            "project_id": [places.here["id"], places.there["id"]],
            "ref": [task["ref"], moved["ref"]],
        }

    async def test_what_is_not_there_stays_behind_and_is_told(
        self, places: Places, door: Door, database: Database
    ) -> None:
        parent = await places.task()
        milestone = await places.milestone(places.here, "Beta")
        task = await places.task(
            parent_id=parent["id"], milestone_id=milestone, assignee_ids=[places.bob.id, places.cid.id]
        )
        async with new_events(database) as events:
            answer = await ok(door, "move_task", places.ada, places.body, task_id=task["id"])

        assert (answer["task"]["parent_id"], answer["task"]["milestone_id"]) == (None, None)
        told = {each["what"].lower(): each["id"] for each in answer["left_behind"]}
        assert told == {"parent": parent["id"], "milestone": milestone, "assignee": places.cid.id}
        assert {each["task_id"] for each in answer["left_behind"]} == {task["id"]}
        changes = await changes_of(events, "task.moved")
        people = sorted([places.bob.id, places.cid.id])
        assert changes["assignee_ids"] == [people, [places.bob.id]]
        assert (changes["parent_id"], changes["milestone_id"]) == ([parent["id"], None], [milestone, None])
        hung = await ok(door, "get_task_with_relations", places.ada, task_id=task["id"])
        assert hung["assignees"] == [places.bob.id]

    async def test_tags_and_milestones_are_matched_by_name(
        self, places: Places, door: Door, database: Database
    ) -> None:
        await places.ada.post(f"/projects/{places.there['id']}/tags", {"name": "BUG"})
        near, far = await places.milestone(places.here, "beta"), await places.milestone(places.there, "Beta")
        task = await places.task(tags=["bug", "ux"], milestone_id=near)
        async with new_events(database) as events:
            answer = await ok(door, "move_task", places.ada, places.body, task_id=task["id"])

        assert (answer["task"]["milestone_id"], answer["left_behind"]) == (far, [])
        hung = await ok(door, "get_task_with_relations", places.ada, task_id=task["id"])
        assert hung["tags"] == ["BUG", "ux"]
        assert kinds(events) == ["tag.created", "task.left", "task.moved"]
        assert (await changes_of(events, "task.moved"))["tags"] == [["bug", "ux"], ["BUG", "ux"]]
        [left] = [tag["name"] for tag in (await places.ada.get(f"/projects/{places.here['id']}/tags")).json()][:1]
        assert left == "bug"

    async def test_subtasks_go_along_with_those_in_the_trash(self, places: Places, door: Door) -> None:
        root = await places.task(title="Root")
        child = await places.task(title="Child", parent_id=root["id"])
        deep = await places.task(title="Deep", parent_id=child["id"])
        gone = await places.task(title="Gone", parent_id=root["id"])
        await places.ada.delete(f"/tasks/{gone['id']}")
        await places.ada.task(project_id=places.there["id"])
        answer = await ok(door, "move_task", places.ada, places.body, task_id=root["id"])

        assert answer["moved"] == 4
        rows = [await ok(door, "get_task", places.ada, task_id=each["id"]) for each in (root, child, deep)]
        assert [row["number"] for row in rows] == [2, 3, 4]
        assert [row["parent_id"] for row in rows] == [None, root["id"], child["id"]]
        assert {row["project_id"] for row in rows} == {places.there["id"]}
        back = await ok(door, "restore_task", places.dan, task_id=gone["id"])
        assert (back["project_id"], back["parent_id"], back["number"]) == (places.there["id"], root["id"], 5)

    async def test_former_refs_go_on_finding_it(self, places: Places, door: Door) -> None:
        third = await places.ada.project(name="Third")
        task = await places.task()
        refs = [task["ref"]]
        for project in (places.there, third, places.here):
            answer = await ok(door, "move_task", places.ada, {"project_id": project["id"]}, task_id=task["id"])
            refs.append(answer["task"]["ref"])
        assert len(set(refs)) == 4
        for ref in refs:
            assert await found(door, places.ada, ref.lower()) == task["id"]
        assert await found(door, places.dan, refs[1]) is None  # who may not read it where it is now
        assert await found(door, places.cid, refs[2]) == task["id"]
        await places.ada.delete(f"/projects/{third['id']}")
        assert await found(door, places.ada, refs[2]) is None

    async def test_a_ref_of_an_inbox_is_its_owners_alone(self, places: Places, door: Door) -> None:
        task = await places.ada.task(title="Mine")
        await ok(door, "move_task", places.ada, places.body, task_id=task["id"])
        assert await found(door, places.ada, task["ref"]) == task["id"]
        assert await found(door, places.bob, task["ref"]) is None

    async def test_relations_stay_and_cross(self, places: Places, door: Door) -> None:
        other, task = await places.task(), await places.task()
        await places.ada.post(f"/tasks/{task['id']}/relations", {"kind": "blocks", "target_id": other["id"]})
        await ok(door, "move_task", places.ada, places.body, task_id=task["id"])
        counts = [
            len(await ok(door, "list_relations", person, task_id=each["id"]))
            for person, each in ((places.ada, task), (places.bob, other), (places.cid, other), (places.dan, task))
        ]
        assert counts == [1, 1, 0, 0]

    async def test_history_tells_of_it_once(self, places: Places, door: Door) -> None:
        task = await places.task()
        await ok(door, "move_task", places.ada, places.body, task_id=task["id"])
        history = await ok(door, "list_task_history", places.dan, task_id=task["id"])
        assert [event["kind"] for event in history] == ["task.moved", "task.created"]

    async def test_followers_of_either_project_are_told(self, places: Places, door: Door, database: Database) -> None:
        task = await places.task()
        await number_all(database)
        [end] = [(await places.ada.get("/changes", params={"after": "now"})).json()["cursor"]]
        await ok(door, "move_task", places.ada, places.body, task_id=task["id"])
        await number_all(database)
        told = []
        for person in (places.cid, places.dan, places.bob):
            found = (await person.get("/changes", params={"after": end})).json()["changes"]
            told.append([(each["kind"], each["project_id"], each["task_id"]) for each in found])
        left = ("task.left", places.here["id"], task["id"])
        came = ("task.moved", places.there["id"], task["id"])
        assert told == [[left], [came], [left, came]]

    async def test_it_is_searched_for_where_it_is(self, places: Places, door: Door) -> None:
        task = await places.task(title="Unmistakable")
        await places.ada.comment(task["id"], "peculiarities")
        await ok(door, "move_task", places.ada, places.body, task_id=task["id"])
        for words in ("unmistakable", "peculiarities"):
            rows = [await ok(door, "list_tasks", who, filter={"search": words}) for who in (places.dan, places.cid)]
            assert [len(each) for each in rows] == [1, 0]

    async def test_nothing_is_written_where_it_is_there(self, places: Places, door: Door, database: Database) -> None:
        task = await places.task()
        async with unchanged(database):
            answer = await ok(door, "move_task", places.ada, {"project_id": places.here["id"]}, task_id=task["id"])
        assert (answer["task"], answer["moved"], answer["left_behind"]) == (task, 0, [])

    async def test_repeat_with_a_key_moves_nothing(self, places: Places, door: Door, database: Database) -> None:
        task = await places.task(assignee_ids=[places.cid.id])
        key = f"{door}-{task['id']}"
        first = await ok(door, "move_task", places.ada, places.body, task_id=task["id"], key=key)
        await ok(door, "move_task", places.ada, {"project_id": places.here["id"]}, task_id=task["id"])
        async with unchanged(database):
            again = await ok(door, "move_task", places.ada, places.body, task_id=task["id"], key=key)
        assert again == first
        assert len(again["left_behind"]) == 1

    async def test_statements_do_not_grow_with_the_tasks(
        self, places: Places, door: Door, statements: StatementCounter
    ) -> None:
        used = []
        for size in (2, 8):
            root = await places.task(tags=["a"], assignee_ids=[places.cid.id])
            for number in range(size):
                await places.task(parent_id=root["id"], tags=[f"t{number}"], assignee_ids=[places.bob.id])
            statements.reset()
            await ok(door, "move_task", places.ada, places.body, task_id=root["id"])
            used.append(statements.count)
        assert used[1] <= used[0] + 1  # who calls is looked up again after a second


async def found(door: Door, person: Person, ref: str) -> int | None:
    if door == "rest":
        answer = await person.get(f"/tasks/by-ref/{ref}")
        assert answer.status_code in (200, 404)
        return answer.json().get("id") if answer.status_code == 200 else None
    task = (await person.gql("query($ref: String!) { taskByRef(ref: $ref) { databaseId } }", {"ref": ref})).data
    return task["taskByRef"]["databaseId"] if task["taskByRef"] else None


@on_both_doors
class TestRefusals:
    async def test_a_member_of_both_may_and_nobody_else(self, places: Places, door: Door, database: Database) -> None:
        task = await places.task()
        viewer_here, viewer_there = places.cid, places.bob
        await places.ada.invite(places.there, viewer_here)
        await places.ada.patch(f"/projects/{places.here['id']}/members/{viewer_here.id}", {"role": "viewer"})
        await places.ada.patch(f"/projects/{places.there['id']}/members/{viewer_there.id}", {"role": "viewer"})
        async with unchanged(database):
            refused = [
                (await run(door, "move_task", person, places.body, task_id=task["id"])).refusal
                for person in (viewer_here, viewer_there, places.dan)
            ]
        assert refused == [("FORBIDDEN", []), ("FORBIDDEN", []), ("NOT_FOUND", [])]

    async def test_a_project_that_may_not_be_read_is_not_there(
        self, places: Places, door: Door, database: Database
    ) -> None:
        task = await places.task()
        async with unchanged(database):
            refused = [
                (await run(door, "move_task", places.cid, {"project_id": id_}, task_id=task["id"])).refusal
                for id_ in (places.there["id"], 2_000_000_000)
            ]
        assert refused == [("NOT_FOUND", ["/project_id"])] * 2

    @pytest.mark.parametrize("which", ["here", "there"])
    async def test_an_archive_is_left_alone(self, places: Places, door: Door, database: Database, which: str) -> None:
        task = await places.task()
        await places.ada.patch(f"/projects/{getattr(places, which)['id']}", {"archived": True})
        async with unchanged(database):
            assert (await run(door, "move_task", places.ada, places.body, task_id=task["id"])).code == "CONFLICT"

    async def test_what_is_in_the_trash_stays_there(self, places: Places, door: Door, database: Database) -> None:
        task = await places.task()
        await places.ada.delete(f"/tasks/{task['id']}")
        async with unchanged(database):
            assert (await run(door, "move_task", places.ada, places.body, task_id=task["id"])).code == "NOT_FOUND"

    async def test_external_ids_stay_unique(self, places: Places, door: Door, database: Database) -> None:
        called = {"external_source": "crm", "external_id": "7"}
        first, second = await places.task(**called), await places.task()
        there = await places.task(project_id=places.there["id"], **called)
        for task in (second, there):
            made = await places.ada.post(f"/tasks/{task['id']}/comments", {"body": "x"} | called)
            assert made.status_code == 201, made.text
        async with unchanged(database):
            refused = [
                (await run(door, "move_task", places.ada, places.body, task_id=task["id"])).refusal
                for task in (first, second)
            ]
        assert refused == [("CONFLICT", ["/project_id"])] * 2

    async def test_external_ids_of_comments_go_along(self, places: Places, door: Door) -> None:
        called = {"body": "x", "external_source": "crm", "external_id": "8"}
        task = await places.task()
        await places.ada.post(f"/tasks/{task['id']}/comments", called)
        await ok(door, "move_task", places.ada, places.body, task_id=task["id"])
        taken = await places.task(project_id=places.there["id"])
        free = await places.task()
        assert (await run(door, "create_comment", places.ada, called, task_id=taken["id"])).code == "CONFLICT"
        assert (await run(door, "create_comment", places.ada, called, task_id=free["id"])).code is None

    async def test_more_than_go_at_once_are_refused(
        self, places: Places, door: Door, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(moving, "MAX_MOVED", 2)
        root = await places.task()
        for _ in range(2):
            await places.task(parent_id=root["id"])
        async with unchanged(database):
            assert (await run(door, "move_task", places.ada, places.body, task_id=root["id"])).code == "CONFLICT"

    @pytest.mark.parametrize("body", [{}, {"project_id": None}, {"project_id": "x"}, {"project_id": -1}])
    async def test_a_body_without_a_project_is_refused(
        self, places: Places, door: Door, database: Database, body: dict[str, Any]
    ) -> None:
        task = await places.task()
        async with unchanged(database):
            answer = await run(door, "move_task", places.ada, body, task_id=task["id"])
        assert answer.code == "BAD_USER_INPUT"
