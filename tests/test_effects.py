"""What a change of something else does to tasks is in the log of each of them: tags, members, projects, other tasks."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from core.clock import now
from db.driver.database import Database
from db.driver.sessions import AnyRow
from db.models import Task, TaskAssignee
from services import members, tags
from services import purge as trash
from services.accounts import OPERATOR
from services.projects import commands as projects
from services.shared import actors
from services.tasks import commands, effects
from services.tasks.models import TRASH_DAYS
from tests.actors import Anonymous, Person
from tests.conftest import SERVER_KEY
from tests.doors import Door, on_both_doors
from tests.operations import run
from tests.statements import StatementCounter
from tests.stored import kinds, new_events


async def ok(door: Door, name: str, caller: Anonymous, body: Any = None, **ids: Any) -> Any:
    result = await run(door, name, caller, body, **ids)
    assert result.code is None, result
    return result.body


async def stored(database: Database, task_id: int) -> AnyRow:
    row = await database.reads.first(select(Task.version, Task.updated_at, Task.deleted_at).where(Task.id == task_id))
    assert row is not None
    return row


async def tag_of(person: Person, project: dict[str, Any], name: str) -> int:
    listed = (await person.get(f"/projects/{project['id']}/tags")).json()
    [tag_id] = [tag["id"] for tag in listed if tag["name"] == name]
    return int(tag_id)


async def archive(person: Person, project: dict[str, Any]) -> None:
    assert (await person.patch(f"/projects/{project['id']}", {"archived": True})).status_code == 200


class TestTags:
    @on_both_doors
    async def test_renamed_tag_is_a_change_of_each_task_that_has_it(
        self, ada: Person, database: Database, door: Door
    ) -> None:
        project = await ada.project()
        task = await ada.task(project_id=project["id"], tags=["old", "Middle"])
        without = await ada.task(project_id=project["id"], tags=["Middle"])

        async with new_events(database) as events:
            await ok(door, "update_tag", ada, {"name": "able"}, tag_id=await tag_of(ada, project, "old"))

        assert ((await stored(database, task["id"])).version, (await stored(database, without["id"])).version) == (2, 1)
        changed = [event for event in events if event.kind == "task.updated"]
        assert [(event.task_id, event.changes) for event in changed] == [
            (task["id"], {"tags": [["Middle", "old"], ["able", "Middle"]]})
        ]
        # whoever knows the version of before cannot bring the old name back
        stale = await ada.patch(f"/tasks/{task['id']}", {"tags": ["old"]}, headers={"If-Match": '"1"'})
        assert stale.status_code == 412

    @on_both_doors
    async def test_another_colour_leaves_tasks_alone(self, ada: Person, database: Database, door: Door) -> None:
        project = await ada.project()
        task = await ada.task(project_id=project["id"], tags=["old"])

        await ok(door, "update_tag", ada, {"color": "#ff0000"}, tag_id=await tag_of(ada, project, "old"))

        assert (await stored(database, task["id"])).version == 1

    @on_both_doors
    async def test_deleted_tag_is_a_change_of_each_task_that_had_it(
        self, ada: Person, database: Database, door: Door
    ) -> None:
        project = await ada.project()
        both = await ada.task(project_id=project["id"], tags=["gone", "Able", "zeta"])
        only = await ada.task(project_id=project["id"], tags=["gone"])
        without = await ada.task(project_id=project["id"], tags=["Able"])
        trashed = await ada.task(project_id=project["id"], tags=["gone", "zeta"])
        await ada.delete(f"/tasks/{trashed['id']}")
        before = {task["id"]: await stored(database, task["id"]) for task in (both, only, without, trashed)}

        async with new_events(database) as events:
            await ok(door, "delete_tag", ada, tag_id=await tag_of(ada, project, "gone"))

        after = {task_id: await stored(database, task_id) for task_id in before}
        assert {task_id: row.version - before[task_id].version for task_id, row in after.items()} == {
            both["id"]: 1,
            only["id"]: 1,
            without["id"]: 0,
            trashed["id"]: 1,
        }
        for task_id, row in after.items():
            assert (row.updated_at > before[task_id].updated_at) == (task_id != without["id"])
            assert row.deleted_at == before[task_id].deleted_at
        assert [(event.kind, event.task_id) for event in events] == [
            ("task.updated", both["id"]),
            ("task.updated", only["id"]),
            ("task.updated", trashed["id"]),
            ("tag.deleted", None),
        ]
        assert [event.changes for event in events[:-1]] == [
            {"tags": [["Able", "gone", "zeta"], ["Able", "zeta"]]},
            {"tags": [["gone"], []]},
            {"tags": [["gone", "zeta"], ["zeta"]]},
        ]
        for event in events[:-1]:
            assert (event.entity_version, event.project_id) == (after[event.task_id].version, project["id"])
            assert event.actor_id == ada.id

        history = await ok(door, "list_task_history", ada, task_id=both["id"])
        assert history[0]["kind"] == "task.updated"

    @on_both_doors
    async def test_next_change_of_the_tags_starts_where_the_deletion_ended(self, ada: Person, door: Door) -> None:
        project = await ada.project()
        task = await ada.task(project_id=project["id"], tags=["keep", "gone"])
        await ok(door, "delete_tag", ada, tag_id=await tag_of(ada, project, "gone"))
        await ada.patch(f"/tasks/{task['id']}", {"tags": []})

        history = (await ada.get(f"/tasks/{task['id']}/history")).json()[::-1]

        steps = [(c["before"], c["after"]) for event in history for c in event["changes"] if c["field"] == "tags"]
        assert steps[1:] == [(["gone", "keep"], ["keep"]), (["keep"], [])]

    @on_both_doors
    async def test_old_version_is_refused_after_it(self, ada: Person, door: Door) -> None:
        project = await ada.project()
        task = await ada.task(project_id=project["id"], tags=["gone"])
        await ok(door, "delete_tag", ada, tag_id=await tag_of(ada, project, "gone"))

        refused = await ada.patch(f"/tasks/{task['id']}", {"title": "new"}, headers={"If-Match": '"1"'})

        assert refused.status_code == 412

    @on_both_doors
    async def test_tag_without_tasks_touches_none(self, ada: Person, database: Database, door: Door) -> None:
        project = await ada.project()
        tag = (await ada.post(f"/projects/{project['id']}/tags", {"name": "idle"})).json()
        async with new_events(database) as events:
            await ok(door, "delete_tag", ada, tag_id=tag["id"])
        assert kinds(events) == ["tag.deleted"]


class TestMembers:
    @on_both_doors
    async def test_member_who_goes_is_taken_off_every_task_trashed_and_archived_too(
        self, ada: Person, bob: Person, database: Database, door: Door
    ) -> None:
        project = await ada.project()
        await ada.invite(project, bob)
        both = await ada.task(project_id=project["id"], assignee_ids=[ada.id, bob.id])
        trashed = await ada.task(project_id=project["id"], assignee_ids=[bob.id])
        other = await ada.task(project_id=project["id"], assignee_ids=[ada.id])
        await ada.delete(f"/tasks/{trashed['id']}")
        await archive(ada, project)
        before = {task["id"]: await stored(database, task["id"]) for task in (both, trashed, other)}

        async with new_events(database) as events:
            await ok(door, "remove_member", ada, project_id=project["id"], user_id=bob.id)

        assert [(event.kind, event.task_id, event.changes) for event in events[:-1]] == [
            ("task.updated", both["id"], {"assignee_ids": [[ada.id, bob.id], [ada.id]]}),
            ("task.updated", trashed["id"], {"assignee_ids": [[bob.id], []]}),
        ]
        assert events[-1].kind == "member.removed"
        for task_id, changed in ((both["id"], 1), (trashed["id"], 1), (other["id"], 0)):
            row = await stored(database, task_id)
            assert row.version == before[task_id].version + changed
            assert (row.updated_at > before[task_id].updated_at) == bool(changed)
        left = select(TaskAssignee.task_id).where(TaskAssignee.user_id == bob.id)
        assert await database.reads.scalars(left) == []

    @on_both_doors
    async def test_assignments_elsewhere_stay(self, ada: Person, bob: Person, database: Database, door: Door) -> None:
        project, other = await ada.project(), await ada.project(name="Other")
        for each in (project, other):
            await ada.invite(each, bob)
        await ada.task(project_id=project["id"], assignee_ids=[bob.id])
        kept = await ada.task(project_id=other["id"], assignee_ids=[bob.id])

        await ok(door, "remove_member", ada, project_id=project["id"], user_id=bob.id)

        left = select(TaskAssignee.task_id).where(TaskAssignee.user_id == bob.id)
        assert await database.reads.scalars(left) == [kept["id"]]
        assert (await stored(database, kept["id"])).version == kept["version"]


async def relate(person: Person, task: dict[str, Any], other: dict[str, Any], kind: str = "blocks") -> int:
    made = await person.post(f"/tasks/{task['id']}/relations", {"kind": kind, "target_id": other["id"]})
    assert made.status_code == 201, made.text
    return int(made.json()["id"])


class TestGoneForGood:
    @on_both_doors
    async def test_deleted_project_leaves_an_event_of_each_task_and_of_relations_of_others(
        self, ada: Person, bob: Person, database: Database, door: Door
    ) -> None:
        project, other = await ada.project(), await ada.project(name="Other")
        await ada.invite(project, bob)
        task = await ada.task(project_id=project["id"])
        below = await ada.task(project_id=project["id"], parent_id=task["id"])
        trashed = await ada.task(project_id=project["id"])
        survivor = await ada.task(project_id=other["id"])
        out, into = await relate(ada, task, survivor), await relate(ada, survivor, below, "duplicates")
        hidden = await relate(ada, survivor, trashed, "relates_to")
        await relate(ada, task, below)
        await ada.delete(f"/tasks/{trashed['id']}")

        async with new_events(database) as events:
            await ok(door, "delete_project", ada, project_id=project["id"])

        gone = [event for event in events if event.kind == "task.purged"]
        assert [(event.task_id, event.entity_version) for event in gone] == [
            (task["id"], 1),
            (below["id"], 1),
            (trashed["id"], 2),
        ]
        assert [event.changes for event in gone] == [{"ref": [each["ref"], None]} for each in (task, below, trashed)]
        assert {event.project_id for event in gone} == {project["id"]}
        ended = [event for event in events if event.kind == "relation.deleted"]
        assert sorted((event.entity_id, event.changes["kind"][0]) for event in ended) == sorted(
            [(out, "blocks"), (into, "duplicates"), (hidden, "relates_to")]
        )
        # one of another project is not named
        assert all(set(event.changes) == {"kind"} and event.task_id == survivor["id"] for event in ended)
        assert {event.project_id for event in ended} == {other["id"]}
        # who was a member is told last that there is nothing more to be read
        assert kinds(events)[-3:] == ["project.deleted", "member.removed", "member.removed"]
        assert {(event.entity_id, event.project_id) for event in events[-2:]} == {
            (ada.id, project["id"]),
            (bob.id, project["id"]),
        }
        history = await ok(door, "list_task_history", ada, task_id=survivor["id"])
        # whoever may not read one of the tasks sees nothing of a relation, and nobody reads what is gone
        assert [entry["kind"] for entry in history] == ["task.created"]
        assert await database.reads.scalar(select(func.count()).where(Task.project_id == project["id"])) == 0

    @on_both_doors
    async def test_tasks_that_are_cleared_leave_an_event_each(
        self, ada: Person, database: Database, door: Door, client: Any
    ) -> None:
        project, other = await ada.project(), await ada.project(name="Other")
        task = await ada.task(project_id=project["id"])
        below = await ada.task(project_id=project["id"], parent_id=task["id"])
        deeper = await ada.task(project_id=project["id"], parent_id=below["id"])
        survivor = await ada.task(project_id=other["id"])
        relation = await relate(ada, survivor, deeper)
        administrator = Anonymous(client, {"X-API-Key": SERVER_KEY})

        async with new_events(database) as events:
            if door == "rest":
                response = await administrator.delete(f"/admin/clear-tasks?project_id={project['id']}")
                assert response.status_code == 200
            else:
                document = f'mutation {{ clearTasks(input: {{projectId: "{project["node_id"]}"}}) {{ message }} }}'
                assert (await administrator.gql(document)).data

        assert [(event.kind, event.entity_id) for event in events] == [
            ("relation.deleted", relation),
            *(("task.purged", each["id"]) for each in (task, below, deeper)),
            ("tasks.cleared", 0),
        ]
        assert events[-1].changes == {"tasks": [3, 0]}
        assert {event.actor_method for event in events} == {"server_key"}
        assert (await stored(database, survivor["id"])).version == 1

    async def test_purged_trash_leaves_its_relations_in_the_history_of_the_others(
        self, ada: Person, database: Database
    ) -> None:
        project, other = await ada.project(), await ada.project(name="Other")
        old, fresh = await ada.task(project_id=project["id"]), await ada.task(project_id=project["id"])
        far = await ada.task(project_id=other["id"])
        here, there = await relate(ada, old, fresh), await relate(ada, far, old)
        await ada.delete(f"/tasks/{old['id']}")
        async with database.writing() as session:
            await session.execute(
                update(Task).where(Task.id == old["id"]).values(deleted_at=now() - timedelta(days=TRASH_DAYS + 1))
            )

        async with new_events(database) as events:
            assert await trash.purge(database, OPERATOR) >= 1

        ended = {event.entity_id: event for event in events if event.kind == "relation.deleted"}
        assert (ended[here].task_id, ended[there].task_id) == (fresh["id"], far["id"])
        assert ended[here].changes == {
            "kind": ["blocks", None],
            "source_id": [old["id"], None],
            "target_id": [fresh["id"], None],
        }
        assert ended[there].changes == {"kind": ["blocks", None]}
        [gone] = [event for event in events if event.entity_id == old["id"] and event.kind == "task.purged"]
        assert gone.changes == {"ref": [old["ref"], None]}
        assert gone.actor_method == "system"

    async def test_task_that_is_restored_while_the_trash_is_emptied_stays(
        self, ada: Person, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task = await ada.task()
        await ada.delete(f"/tasks/{task['id']}")
        async with database.writing() as session:
            await session.execute(
                update(Task).where(Task.id == task["id"]).values(deleted_at=now() - timedelta(days=TRASH_DAYS + 1))
            )
        purge = effects.purge

        async def later(session: Any, actor: Any, condition: Any) -> int:
            # what another transaction may have done between finding it and locking it
            await session.execute(update(Task).where(Task.id == task["id"]).values(deleted_at=None))
            return await purge(session, actor, condition)

        monkeypatch.setattr(effects, "purge", later)
        await trash.purge(database, OPERATOR)

        assert (await ada.get(f"/tasks/{task['id']}")).status_code == 200


class TestMany:
    @pytest.mark.parametrize("what", ["tag", "member", "project", "clear"])
    async def test_statements_are_the_same_for_few_tasks_and_for_many(
        self, ada: Person, bob: Person, database: Database, statements: StatementCounter, what: str
    ) -> None:
        """A list of tasks is one parameter: a statement takes 65,535 on PostgreSQL, and 32,766 on SQLite."""
        seen = []
        for count in (2, 40):
            project, other = await ada.project(), await ada.project(name="Other")
            await ada.invite(project, bob)
            survivor = await ada.task(project_id=other["id"])
            made = [
                await ada.task(project_id=project["id"], tags=["gone"], assignee_ids=[bob.id]) for _ in range(count)
            ]
            for task in made:
                await relate(ada, task, survivor, "relates_to")
                await relate(ada, survivor, task)
            tag_id = await tag_of(ada, project, "gone")
            statements.reset()
            async with database.writing() as session:
                if what == "tag":
                    await tags.delete(session, ada.actor, tag_id)
                elif what == "member":
                    await members.remove(session, ada.actor, project["id"], bob.id)
                elif what == "project":
                    await projects.delete(session, ada.actor, project["id"])
                else:
                    await commands.clear(session, actors.SERVER_KEY, project_id=project["id"])
            seen.append(list(dict.fromkeys(statements.seen)))

        assert seen[0] == seen[1]
