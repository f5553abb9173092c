"""Tags: labels of one project, the same whatever the case."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from db.driver.database import Database
from services import tags
from services.tags import TagUpdate
from tests.actors import Person
from tests.doors import Door, on_both_doors
from tests.listings import rest_ids
from tests.operations import ok, run
from tests.stored import kinds, new_events, unchanged

REFUSED = [
    *(("name", value) for value in ("", " ", "x" * 51, "\x00")),
    *(("color", value) for value in ("red", "#fff", "#d73a4a ", "#d73a4a\n", "#GGGGGG", "")),
]


async def tagged(ada: Person, *names: str, **fields: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A task with tags, and all the tags of its project."""
    task = await ada.task(tags=list(names), **fields)
    return task, (await ada.get(f"/projects/{task['project_id']}/tags")).json()


class TestService:
    async def test_rename_and_its_event_are_one_transaction(self, ada: Person, database: Database) -> None:
        _, [tag] = await tagged(ada, "bug")
        async with unchanged(database):
            with suppress(ZeroDivisionError):
                async with database.writing() as session:
                    await tags.update(session, ada.actor, tag["id"], TagUpdate(name="New"))
                    raise ZeroDivisionError


@on_both_doors
class TestBothDoors:
    @pytest.mark.parametrize("color", [None, "#d73a4a", "#FFFFFF"])
    async def test_tag_is_created_with_its_event(
        self, ada: Person, door: Door, database: Database, color: str | None
    ) -> None:
        project = await ada.project()
        body = {"name": " Bug "} | ({"color": color} if color else {})
        async with new_events(database) as events:
            tag = await ok(door, "create_tag", ada, body, project_id=project["id"])

        assert (tag["name"], tag["color"], tag["project_id"]) == ("Bug", color, project["id"])
        assert await ok(door, "get_tag", ada, tag_id=tag["id"]) == tag
        changes = {"name": [None, "Bug"]} | ({"color": [None, color]} if color else {})
        assert [(event.kind, event.project_id, event.changes) for event in events] == [
            ("tag.created", project["id"], changes)
        ]

    async def test_tags_are_listed_by_name_whatever_the_case(self, ada: Person, door: Door) -> None:
        project = await ada.project()
        for name in ("zeta", "Alpha", "beta", "Ärger", "1st"):
            await ok(door, "create_tag", ada, {"name": name}, project_id=project["id"])
        listed = await ok(door, "list_tags", ada, project_id=project["id"])

        assert [tag["name"] for tag in listed] == ["1st", "Alpha", "beta", "zeta", "Ärger"]

    @pytest.mark.parametrize("name", ["Straße", "STRASSE", " strasse\n"])
    async def test_name_is_taken_whatever_the_case(
        self, ada: Person, door: Door, database: Database, name: str
    ) -> None:
        project = await ada.project()
        await ok(door, "create_tag", ada, {"name": "straSSe"}, project_id=project["id"])
        other = await ok(door, "create_tag", ada, {"name": "Weg"}, project_id=project["id"])
        async with unchanged(database):
            answers = [
                await run(door, "create_tag", ada, {"name": name}, project_id=project["id"]),
                await run(door, "update_tag", ada, {"name": name, "color": "#000000"}, tag_id=other["id"]),
            ]

        assert [answer.refusal for answer in answers] == [("CONFLICT", ["/name"])] * 2
        # in another project it is free
        await ok(door, "create_tag", ada, {"name": name}, project_id=(await ada.project())["id"])

    @pytest.mark.parametrize("name", ["CAFE\u0301", "caf\u00e9", "ca\u00adf\u00e9", "caf\u00e9\u200b"])
    async def test_name_is_taken_however_it_is_written(
        self, ada: Person, door: Door, database: Database, name: str
    ) -> None:
        project = await ada.project()
        cafe = await ok(door, "create_tag", ada, {"name": "Cafe\u0301"}, project_id=project["id"])
        async with unchanged(database):
            refused = await run(door, "create_tag", ada, {"name": name}, project_id=project["id"])
            same = await ok(door, "update_tag", ada, {"name": "Caf\u00e9"}, tag_id=cafe["id"])
        assert (refused.refusal, same) == (("CONFLICT", ["/name"]), cafe)

        tasks = [
            {"title": "x", "project_id": project["id"], "tags": [each, name]} for each in (name, "Cafe\u0301", "bug")
        ]
        made = [await ok(door, "create_task", ada, task) for task in tasks[:2]]
        made += [item["task"] for item in (await ok(door, "create_tasks", ada, {"tasks": tasks}))["results"]]
        changed = await ok(door, "update_task", ada, {"tags": ["x", name, "Cafe\u0301"]}, task_id=made[0]["id"])
        found = await ok(door, "list_tasks", ada, filter={"tags": {"all": [name, "Cafe\u0301"], "none": ["nothing"]}})

        assert {task["id"] for task in found} == {task["id"] for task in [*made, changed]}
        listed = await ok(door, "list_tags", ada, project_id=project["id"])
        assert [tag["name"] for tag in listed] == ["bug", "Caf\u00e9", "x"]

    async def test_only_what_is_sent_changes(self, ada: Person, door: Door, database: Database) -> None:
        project = await ada.project()
        tag = await ok(door, "create_tag", ada, {"name": "bug", "color": "#d73a4a"}, project_id=project["id"])
        async with new_events(database) as events:
            renamed = await ok(door, "update_tag", ada, {"name": "Defect"}, tag_id=tag["id"])
            recased = await ok(door, "update_tag", ada, {"name": "DEFECT"}, tag_id=tag["id"])
            plain = await ok(door, "update_tag", ada, {"color": None}, tag_id=tag["id"])

        assert renamed == tag | {"name": "Defect"}
        assert recased == tag | {"name": "DEFECT"}
        assert plain == tag | {"name": "DEFECT", "color": None}
        assert [(event.kind, event.changes) for event in events] == [
            ("tag.updated", {"name": ["bug", "Defect"]}),
            ("tag.updated", {"name": ["Defect", "DEFECT"]}),
            ("tag.updated", {"color": ["#d73a4a", None]}),
        ]

    async def test_same_values_again_write_nothing(self, ada: Person, door: Door, database: Database) -> None:
        _, [tag] = await tagged(ada, "bug")
        async with unchanged(database):
            for body in ({}, {"name": "bug", "color": None}):
                assert await ok(door, "update_tag", ada, body, tag_id=tag["id"]) == tag

    async def test_renamed_tag_is_found_under_its_new_name(self, ada: Person, door: Door) -> None:
        task, [tag] = await tagged(ada, "bug")
        await ok(door, "update_tag", ada, {"name": "Defect"}, tag_id=tag["id"])

        assert (await ok(door, "get_task_with_relations", ada, task_id=task["id"]))["tags"] == ["Defect"]
        assert await rest_ids(ada, tag="defect") == [task["id"]]
        assert await rest_ids(ada, tag="bug") == []

    async def test_deleted_tag_is_off_its_tasks(self, ada: Person, door: Door, database: Database) -> None:
        task, [bug, _] = await tagged(ada, "bug", "ui")
        async with new_events(database) as events:
            await ok(door, "delete_tag", ada, tag_id=bug["id"])

        assert (await ok(door, "get_task_with_relations", ada, task_id=task["id"]))["tags"] == ["ui"]
        assert (await run(door, "get_tag", ada, tag_id=bug["id"])).code == "NOT_FOUND"
        assert (await run(door, "delete_tag", ada, tag_id=bug["id"])).code == "NOT_FOUND"
        assert [event.kind for event in events][-1] == "tag.deleted"
        assert events[-1].changes["name"] == ["bug", None]

    async def test_value_outside_the_rules_is_refused(self, ada: Person, door: Door, database: Database) -> None:
        task, [tag] = await tagged(ada, "bug")
        async with unchanged(database):
            for field, value in REFUSED:
                answers = [
                    await run(door, "create_tag", ada, {"name": "new", field: value}, project_id=task["project_id"]),
                    await run(door, "update_tag", ada, {field: value}, tag_id=tag["id"]),
                ]
                assert [answer.refusal for answer in answers] == [("BAD_USER_INPUT", [f"/{field}"])] * 2, value

    async def test_null_is_no_name(self, ada: Person, door: Door, database: Database) -> None:
        _, [tag] = await tagged(ada, "bug")
        async with unchanged(database):
            refused = await run(door, "update_tag", ada, {"name": None}, tag_id=tag["id"])

        assert refused.refusal == ("BAD_USER_INPUT", ["/name"])

    @pytest.mark.parametrize(
        ("role", "reads", "writes"),
        [
            (None, "NOT_FOUND", "NOT_FOUND"),
            ("viewer", None, "FORBIDDEN"),
            ("member", None, None),
            ("owner", None, None),
        ],
    )
    async def test_members_write_and_viewers_read(
        self,
        ada: Person,
        bob: Person,
        door: Door,
        database: Database,
        role: str | None,
        reads: str | None,
        writes: str | None,
    ) -> None:
        project = await ada.project()
        _, [tag] = await tagged(ada, "bug", project_id=project["id"])
        if role:
            await ada.invite(project, bob, role)
        assert (await run(door, "get_tag", bob, tag_id=tag["id"])).code == reads
        assert (await run(door, "list_tags", bob, project_id=project["id"])).code == reads
        calls: list[tuple[str, Any, dict[str, int]]] = [
            ("create_tag", {"name": "new"}, {"project_id": project["id"]}),
            ("update_tag", {"name": "old"}, {"tag_id": tag["id"]}),
            ("delete_tag", None, {"tag_id": tag["id"]}),
        ]
        for name, body, ids in calls:
            if writes:
                async with unchanged(database):
                    assert (await run(door, name, bob, body, **ids)).refusal == (writes, [])
            else:
                await ok(door, name, bob, body, **ids)

    async def test_archived_project_keeps_its_tags_as_they_are(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        project = await ada.project()
        _, [tag] = await tagged(ada, "bug", project_id=project["id"])
        await ada.patch(f"/projects/{project['id']}", {"archived": True})
        async with unchanged(database):
            answers = [
                await run(door, "create_tag", ada, {"name": "new"}, project_id=project["id"]),
                await run(door, "update_tag", ada, {"name": "old"}, tag_id=tag["id"]),
                await run(door, "delete_tag", ada, tag_id=tag["id"]),
            ]

        assert [answer.code for answer in answers] == ["CONFLICT"] * 3

    async def test_same_name_at_the_same_time_is_one_tag(self, ada: Person, door: Door, database: Database) -> None:
        project = await ada.project()
        async with new_events(database) as events:
            answers = await asyncio.gather(
                *(run(door, "create_tag", ada, {"name": "bug"}, project_id=project["id"]) for _ in range(6))
            )

        assert sorted(str(answer.code) for answer in answers) == [*["CONFLICT"] * 5, "None"]
        assert kinds(events) == ["tag.created"]

    async def test_project_has_room_for_so_many(
        self, ada: Person, door: Door, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tags, "MAX_TAGS", 2)
        project = await ada.project()
        task = await ok(door, "create_task", ada, {"title": "x", "project_id": project["id"], "tags": ["a", "b"]})
        async with unchanged(database):
            answers = [
                await run(door, "create_tag", ada, {"name": "c"}, project_id=project["id"]),
                await run(door, "create_task", ada, {"title": "y", "project_id": project["id"], "tags": ["A", "c"]}),
                await run(door, "update_task", ada, {"tags": ["c"]}, task_id=task["id"]),
            ]
        assert [answer.code for answer in answers] == ["CONFLICT"] * 3
        # those that are there are no new ones
        assert await ok(door, "create_task", ada, {"title": "y", "project_id": project["id"], "tags": ["B", "a"]})

    async def test_list_ends_where_there_are_more_than_that(
        self, ada: Person, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task, listed = await tagged(ada, "c", "a", "b")
        monkeypatch.setattr(tags, "MAX_TAGS", 2)
        shown = await ok(door, "list_tags", ada, project_id=task["project_id"])
        assert [tag["name"] for tag in shown] == ["a", "b"]
        assert len(listed) == 3

    async def test_tags_made_by_tasks_at_the_same_time_meet(self, ada: Person, door: Door, database: Database) -> None:
        project = await ada.project()
        tasks = [await ada.task(project_id=project["id"]) for _ in range(4)]
        names = [f"tag {n}" for n in range(10)]
        async with new_events(database) as events:
            changes = [
                run(door, "update_task", ada, {"tags": names[::step]}, task_id=task["id"])
                for task, step in zip(tasks, (1, -1, 1, -1), strict=True)
            ]
            new = [
                run(door, "create_task", ada, {"title": "x", "project_id": project["id"], "tags": names[::step]})
                for step in (1, -1)
            ]
            answers = await asyncio.gather(*changes, *new)

        assert {answer.code for answer in answers} == {None}
        assert [tag["name"] for tag in await ok(door, "list_tags", ada, project_id=project["id"])] == names
        assert kinds(events).count("tag.created") == 10
        assert len(await rest_ids(ada, tag=names[:5])) == 6


class TestRest:
    async def test_created_tag_says_where_it_is(self, ada: Person) -> None:
        project = await ada.project()
        made = await ada.post(f"/projects/{project['id']}/tags", {"name": "bug"})

        assert (made.status_code, made.headers["location"]) == (201, f"/api/v1/tags/{made.json()['id']}")
        deleted = await ada.delete(f"/tags/{made.json()['id']}")
        assert (deleted.status_code, deleted.content) == (204, b"")


class TestGraphQL:
    async def test_tag_leads_to_its_project(self, ada: Person) -> None:
        _, [tag] = await tagged(ada, "bug")
        answer = await ada.gql("query($id: ID!) { tag(id: $id) { name project { key } } }", {"id": tag["node_id"]})

        assert answer.data["tag"] == {"name": "bug", "project": {"key": "INBOX"}}
