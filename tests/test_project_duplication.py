"""Making a project again: what goes along, what stays behind, and what is told of it, on both doors."""

from typing import Any

import pytest

from db.driver.database import Database
from services.projects import duplication
from tests.actors import Person
from tests.conftest import People
from tests.doors import Door, on_both_doors
from tests.operations import ok, run
from tests.stored import new_events, unchanged


async def full_project(ada: Person, bob: Person) -> dict[str, Any]:
    """A project with a little of everything."""
    project = await ada.project(name="Website", description="What visitors see.")
    place = {"project_id": project["id"]}
    await ada.invite(project, bob, "admin")
    path = f"/projects/{project['id']}"
    await ada.post(f"{path}/tags", {"name": "Ärger", "color": "#d73a4a"})
    milestone = (await ada.post(f"{path}/milestones", {"name": "Beta", "description": "Soon"})).json()
    top = await ada.task(
        title="top", priority=4, tags=["Ärger", "bug"], assignee_ids=[bob.id, ada.id], status="completed", **place
    )
    await ada.patch(f"/tasks/{top['id']}", {"milestone_id": milestone["id"]})
    below = await ada.task(title="below", parent_id=top["id"], external_source="crm", external_id="1", **place)
    deep = await ada.task(title="deep", parent_id=below["id"], **place)
    gone = await ada.task(title="gone", **place)
    elsewhere = await ada.task(title="elsewhere")
    await ada.comment(top["id"])
    for source, kind, target in ((deep, "blocks", top), (top, "relates_to", below), (top, "blocks", elsewhere)):
        await ada.post(f"/tasks/{source['id']}/relations", {"kind": kind, "target_id": target["id"]})
    await ada.delete(f"/tasks/{gone['id']}")
    return project


@on_both_doors
class TestBothDoors:
    @pytest.mark.parametrize("members", [True, False])
    async def test_everything_is_there_again(
        self, ada: Person, people: People, door: Door, database: Database, members: bool
    ) -> None:
        bob = await people()
        project = await full_project(ada, bob)
        async with new_events(database) as events:
            made = await ok(
                door, "duplicate_project", ada, {"name": "Again", "members": members}, project_id=project["id"]
            )
        path = f"/projects/{made['id']}"

        assert (made["name"], made["description"], made["role"]) == ("Again", "What visitors see.", "owner")
        assert made["key"] != project["key"]
        people_ = (await ada.get(f"{path}/members")).json()
        assert {one["user"]["id"]: one["role"] for one in people_} == {ada.id: "owner"} | (
            {bob.id: "admin"} if members else {}
        )
        assert [(tag["name"], tag["color"]) for tag in (await ada.get(f"{path}/tags")).json()] == [
            ("bug", None),
            ("Ärger", "#d73a4a"),
        ]
        [milestone] = (await ada.get(f"{path}/milestones")).json()
        assert (milestone["name"], milestone["description"]) == ("Beta", "Soon")
        query = f"/tasks?project_id={made['id']}&sort_by=number&order=asc&expand=assignees&expand=tags"
        top, below, deep = (await ada.get(query)).json()
        assert [task["title"] for task in (top, below, deep)] == ["top", "below", "deep"]
        assert (top["status"], top["completed_at"], top["priority"]) == ("pending", None, 4)
        assert top["milestone_id"] == milestone["id"]
        assert {user["id"] for user in top["assignees"]} == ({ada.id, bob.id} if members else {ada.id})
        assert [tag["name"] for tag in top["tags"]] == ["bug", "Ärger"]
        assert (below["parent_id"], deep["parent_id"], below["external_id"]) == (top["id"], below["id"], None)
        relations = (await ada.get(f"/tasks/{top['id']}/relations")).json()
        assert {(one["kind"], one["source_id"], one["target_id"]) for one in relations} == {
            ("blocks", deep["id"], top["id"]),
            ("relates_to", top["id"], below["id"]),
        }
        assert (await ada.get(f"/tasks/{top['id']}/comments")).json() == []
        kinds = [event.kind for event in events]
        expected = {"project.created": 1, "tag.created": 2, "milestone.created": 1, "task.created": 3}
        expected |= {"relation.created": 4} | ({"member.added": 1} if members else {})
        assert {kind: kinds.count(kind) for kind in kinds} == expected
        assert {event.project_id for event in events} == {made["id"]}

    async def test_without_tasks(self, ada: Person, people: People, door: Door) -> None:
        project = await full_project(ada, await people())
        made = await ok(door, "duplicate_project", ada, {"tasks": False}, project_id=project["id"])

        assert made["name"] == "Website"
        assert (await ada.get(f"/tasks?project_id={made['id']}")).json() == []
        assert len((await ada.get(f"/projects/{made['id']}/tags")).json()) == 2

    async def test_a_viewer_may_and_a_stranger_finds_nothing(self, ada: Person, people: People, door: Door) -> None:
        bob, eve = await people(), await people()
        project = await ada.project()
        await ada.invite(project, bob, "viewer")
        await ada.patch(f"/projects/{project['id']}", {"archived": True})

        made = await ok(door, "duplicate_project", bob, {}, project_id=project["id"])
        assert (made["role"], made["archived_at"]) == ("owner", None)
        assert (await run(door, "duplicate_project", eve, {}, project_id=project["id"])).code == "NOT_FOUND"

    async def test_a_key_that_is_taken_writes_nothing(self, ada: Person, door: Door, database: Database) -> None:
        project = await ada.project()
        async with unchanged(database):
            refused = await run(door, "duplicate_project", ada, {"key": project["key"]}, project_id=project["id"])
            inbox = await run(door, "duplicate_project", ada, {"key": "INBOX"}, project_id=project["id"])

        assert refused.refusal == ("CONFLICT", ["/key"])
        assert inbox.refusal == ("BAD_USER_INPUT", ["/key"])

    async def test_a_repeat_makes_none(self, ada: Person, door: Door) -> None:
        project = await ada.project()
        first = await ok(door, "duplicate_project", ada, {}, project_id=project["id"], key="once")
        second = await ok(door, "duplicate_project", ada, {}, project_id=project["id"], key="once")

        assert first == second

    @pytest.mark.parametrize("bound", ["MAX_TASKS", "MAX_MEMBERS", "MAX_RELATIONS"])
    async def test_more_than_can_be_is_refused(
        self, ada: Person, people: People, door: Door, database: Database, monkeypatch: pytest.MonkeyPatch, bound: str
    ) -> None:
        project = await full_project(ada, await people())
        monkeypatch.setattr(duplication, bound, 0)
        async with unchanged(database):
            refused = await run(door, "duplicate_project", ada, {"members": True}, project_id=project["id"])

        assert refused.code == "CONFLICT"
        assert "more than 0" in refused.message

    async def test_a_key_needs_both_scopes(self, ada: Person, door: Door) -> None:
        project = await ada.project()
        key = await ada.api_key("projects:admin")

        assert (await run(door, "duplicate_project", key, {}, project_id=project["id"])).code == "FORBIDDEN"
        assert (await run(door, "duplicate_project", key, {"tasks": False}, project_id=project["id"])).code is None
