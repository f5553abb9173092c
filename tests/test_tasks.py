"""Tasks: the service, and both doors on it."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.driver.database import Database
from services.shared.actors import ANONYMOUS, SERVER_KEY
from services.shared.errors import Forbidden, TandemError, Unauthenticated
from services.tasks import commands, queries
from services.tasks.models import TaskCreate, TaskUpdate
from tests.actors import Person
from tests.doors import Door, on_both_doors
from tests.operations import ok, run
from tests.statements import StatementCounter
from tests.stored import kinds, new_events, unchanged

JANUARY, FEBRUARY, MARCH = "2026-01-31T12:00:00Z", "2026-02-10T00:00:00Z", "2026-03-01T08:30:00.500000Z"
NOTHING_YET: dict[str, Any] = {
    "description": None,
    "status": "pending",
    "priority": 1,
    "start_at": None,
    "due_at": None,
    "completed_at": None,
    "parent_id": None,
    "deleted_at": None,
    "version": 1,
}


async def everything(ada: Person, project_id: int, **changes: Any) -> dict[str, Any]:
    """A body that sends every field of a new task."""
    parent = await ada.task(project_id=project_id)
    body = {
        "title": "Ship it ☃",
        "description": "In two\nlines.",
        "status": "in_progress",
        "priority": 4,
        "start_at": JANUARY,
        "due_at": MARCH,
        "assignee_ids": [ada.id],
        "tags": ["Release", "bug"],
        "project_id": project_id,
        "parent_id": parent["id"],
    }
    return body | changes


@on_both_doors
async def test_one_that_names_only_its_project_is_written_with_its_number(
    door: Door, ada: Person, bob: Person, statements: StatementCounter, database: Database
) -> None:
    project = await ada.project()
    await ada.invite(project, bob, role="viewer")
    first = await ok(door, "create_task", ada, {"title": "first", "project_id": project["id"]})
    statements.reset()
    second = await ok(door, "create_task", ada, {"title": "second", "project_id": project["id"]})

    written = [each for each in statements.seen if "last_number" in each or "INTO tasks" in each]
    assert len(written) == (1 if database.reads.planner.writes_in_with else 2)
    assert (second["number"], second["version"]) == (first["number"] + 1, 1)
    refused = await run(door, "create_task", bob, {"title": "third", "project_id": project["id"]})
    assert refused.code == "FORBIDDEN"
    third = await ok(door, "create_task", ada, {"title": "third", "project_id": project["id"]})
    assert third["number"] == second["number"] + 1


class TestService:
    async def test_task_and_its_event_are_one_transaction(self, ada: Person, database: Database) -> None:
        async with unchanged(database):
            with suppress(ZeroDivisionError):
                async with database.writing() as session:
                    task = await commands.create(session, ada.actor, TaskCreate(title="Never"))
                    await commands.update(session, ada.actor, task.id, TaskUpdate(title="Ever"))
                    raise ZeroDivisionError

    async def test_caller_sees_its_own_change_before_the_commit_and_others_after(
        self, ada: Person, database: Database
    ) -> None:
        task = await ada.task()
        async with database.writing() as session, database.reading() as other:
            await commands.update(session, ada.actor, task["id"], TaskUpdate(title="New"))
            assert (await queries.get(session, ada.actor, task["id"])).title == "New"
            assert (await queries.get(other, ada.actor, task["id"])).title == task["title"]
        async with database.reading() as session:
            assert (await queries.get(session, ada.actor, task["id"])).title == "New"

    @pytest.mark.parametrize(("actor", "error"), [(ANONYMOUS, Unauthenticated), (SERVER_KEY, Forbidden)])
    async def test_callers_without_an_account_have_no_tasks(
        self, database: Database, actor: Any, error: type[TandemError]
    ) -> None:
        async with unchanged(database), database.writing() as session:
            with pytest.raises(error):
                await commands.create(session, actor, TaskCreate(title="Whose?"))
            with pytest.raises(error):
                await queries.get(session, actor, 1)


@on_both_doors
class TestCreation:
    async def test_title_is_enough(self, ada: Person, door: Door) -> None:
        task = await ok(door, "create_task", ada, {"title": "  Write the docs "})

        assert task["title"] == "Write the docs"
        assert task["ref"] == "INBOX-1"
        assert task["created_by_id"] == ada.id
        assert task["created_at"] == task["updated_at"]
        assert {name: task[name] for name in NOTHING_YET} == NOTHING_YET
        read = await ok(door, "get_task_with_relations", ada, task_id=task["id"])
        assert read == task | {"assignees": [], "tags": []}

    async def test_every_field_is_kept(self, ada: Person, door: Door) -> None:
        project = await ada.project()
        body = await everything(ada, project["id"])

        task = await ok(door, "create_task", ada, body)

        assert task["ref"] == f"{project['key']}-2"
        read = await ok(door, "get_task_with_relations", ada, task_id=task["id"])
        assert read == task | {"assignees": [ada.id], "tags": ["bug", "Release"]}
        stored = {name: value for name, value in body.items() if name not in {"assignee_ids", "tags"}}
        assert {name: read[name] for name in stored} == stored

    async def test_timestamps_are_kept_in_utc(self, ada: Person, door: Door) -> None:
        task = await ok(door, "create_task", ada, {"title": "x", "due_at": "2026-06-01T01:30:00.25+05:30"})

        assert task["due_at"] == "2026-05-31T20:00:00.250000Z"

    async def test_numbers_count_within_the_project(self, ada: Person, door: Door) -> None:
        first, second = await ada.project(), await ada.project()
        refs = [
            (await ok(door, "create_task", ada, {"title": "x", "project_id": project["id"]}))["ref"]
            for project in (first, second, first)
        ]

        assert refs == [f"{first['key']}-1", f"{second['key']}-1", f"{first['key']}-2"]

    async def test_completed_from_the_start_has_a_time_of_completion(self, ada: Person, door: Door) -> None:
        task = await ok(door, "create_task", ada, {"title": "x", "status": "completed"})

        assert task["completed_at"] == task["created_at"]

    async def test_same_person_or_tag_twice_counts_once(self, ada: Person, door: Door, database: Database) -> None:
        async with new_events(database) as events:
            body = {"title": "x", "assignee_ids": [ada.id, ada.id], "tags": ["Straße", "STRASSE", " bug "]}
            task = await ok(door, "create_task", ada, body)

        read = await ok(door, "get_task_with_relations", ada, task_id=task["id"])
        assert read["assignees"] == [ada.id]
        assert read["tags"] == ["bug", "Straße"]
        assert sorted(kinds(events)) == ["tag.created", "tag.created", "task.created"]

    async def test_tag_that_is_there_keeps_its_spelling(self, ada: Person, door: Door, database: Database) -> None:
        await ada.task(tags=["Bug"])
        async with new_events(database) as events:
            task = await ok(door, "create_task", ada, {"title": "x", "tags": ["bUG"]})

        assert (await ok(door, "get_task_with_relations", ada, task_id=task["id"]))["tags"] == ["Bug"]
        assert kinds(events) == ["task.created"]

    async def test_only_members_are_assigned(self, ada: Person, bob: Person, door: Door, database: Database) -> None:
        for stranger in (bob.id, 2**31 - 1):
            async with unchanged(database):
                body = {"title": "x", "tags": ["new"], "assignee_ids": [ada.id, stranger]}
                refused = await run(door, "create_task", ada, body)
            assert refused.refusal == ("NOT_FOUND", ["/assignee_ids"])

    async def test_parent_must_be_a_task_of_the_project(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        project = await ada.project()
        elsewhere, foreign, trashed = (
            await ada.task(),
            await bob.task(),
            await ada.task(project_id=project["id"]),
        )
        await ada.delete(f"/tasks/{trashed['id']}")
        for parent in (elsewhere, foreign, trashed, {"id": 2**31 - 1}):
            async with unchanged(database):
                body = {"title": "x", "project_id": project["id"], "parent_id": parent["id"]}
                refused = await run(door, "create_task", ada, body)
            assert refused.refusal == ("NOT_FOUND", ["/parent_id"])

    async def test_range_that_ends_before_it_starts_is_refused(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        async with unchanged(database):
            refused = await run(door, "create_task", ada, {"title": "x", "start_at": MARCH, "due_at": JANUARY})

        assert refused.refusal == ("BAD_USER_INPUT", ["/due_at"])

    async def test_range_may_be_an_instant(self, ada: Person, door: Door) -> None:
        task = await ok(door, "create_task", ada, {"title": "x", "start_at": MARCH, "due_at": MARCH})

        assert task["start_at"] == task["due_at"] == MARCH


NEW_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "title": st.sampled_from(["Ship it ☃", "Another", "é" * 200]),
    "description": st.sampled_from([None, "", "Other\nwords"]),
    "status": st.sampled_from(["pending", "in_progress", "completed", "cancelled"]),
    "priority": st.integers(1, 5),
    "start_at": st.sampled_from([None, JANUARY, "2025-12-24T18:00:00Z"]),
    "due_at": st.sampled_from([None, MARCH, "2026-12-24T18:00:00Z"]),
    "tags": st.lists(st.sampled_from(["bug", "Release", "zz top"]), unique=True).map(
        lambda tags: sorted(tags, key=str.casefold)
    ),
    "assignee_ids": st.booleans(),
    "parent_id": st.booleans(),
}
WAYS: list[tuple[Door, str]] = [("rest", "update_task"), ("rest", "put_task"), ("graphql", "update_task")]


class TestPartialUpdate:
    @pytest.mark.parametrize(("door", "operation"), WAYS)
    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(sent=st.fixed_dictionaries({}, optional=NEW_VALUES))
    async def test_any_subset_leaves_every_other_field_as_it_was(
        self, ada: Person, door: Door, operation: str, sent: dict[str, Any]
    ) -> None:
        inbox = (await ada.get("/projects")).json()[0]["id"]
        made = await ada.task(**await everything(ada, inbox))
        before = await ok(door, "get_task_with_relations", ada, task_id=made["id"])
        # what belongs to the person is drawn as: the same, or none
        sent = sent | {"assignee_ids": [ada.id] if sent["assignee_ids"] else []} if "assignee_ids" in sent else sent
        sent = sent | {"parent_id": before["parent_id"] if sent["parent_id"] else None} if "parent_id" in sent else sent

        answer = await ok(door, operation, ada, sent, task_id=made["id"])

        after = await ok(door, "get_task_with_relations", ada, task_id=made["id"])
        assert answer == {name: value for name, value in after.items() if name not in {"assignees", "tags"}}
        named = {{"assignee_ids": "assignees"}.get(name, name): value for name, value in sent.items()}
        changed = {name for name, value in named.items() if before[name] != value}
        expected = before | named
        if changed:
            expected |= {"version": before["version"] + 1, "updated_at": after["updated_at"]}
            assert after["updated_at"] > before["updated_at"]
        if "status" in changed:
            expected["completed_at"] = after["updated_at"] if sent["status"] == "completed" else None
        assert after == expected


@on_both_doors
class TestUpdate:
    async def test_same_values_again_write_nothing(self, ada: Person, door: Door, database: Database) -> None:
        body = await everything(ada, (await ada.project())["id"], assignee_ids=[ada.id, ada.id], tags=["BUG", "bug"])
        task = await ada.task(**body)
        del body["project_id"]
        for again in (body, body | {"tags": ["bug"], "due_at": "2026-03-01T09:30:00.5+01:00"}, {}):
            async with unchanged(database):
                assert await ok(door, "update_task", ada, again, task_id=task["id"]) == task

    @pytest.mark.parametrize("field", ["title", "status", "priority", "assignee_ids", "tags"])
    async def test_null_is_no_value_for_what_every_task_has(
        self, ada: Person, door: Door, database: Database, field: str
    ) -> None:
        task = await ada.task(tags=["bug"])
        async with unchanged(database):
            refused = await run(door, "update_task", ada, {field: None}, task_id=task["id"])

        assert refused.refusal == ("BAD_USER_INPUT", [f"/{field}"])

    async def test_null_takes_away_what_may_be_missing(self, ada: Person, door: Door) -> None:
        project = await ada.project()
        task = await ada.task(**await everything(ada, project["id"]))
        nothing = dict.fromkeys(("description", "start_at", "due_at", "parent_id"))

        after = await ok(door, "update_task", ada, nothing, task_id=task["id"])

        assert after == task | nothing | {"version": 2, "updated_at": after["updated_at"]}

    @pytest.mark.parametrize(
        "sent",
        [
            {"due_at": "2026-01-31T11:59:59Z"},
            {"start_at": "2026-03-01T08:30:01Z"},
            {"start_at": MARCH, "due_at": FEBRUARY},
        ],
    )
    async def test_range_is_checked_against_what_is_stored(
        self, ada: Person, door: Door, database: Database, sent: dict[str, str]
    ) -> None:
        task = await ada.task(start_at=JANUARY, due_at=MARCH)
        async with unchanged(database):
            refused = await run(door, "update_task", ada, sent | {"title": "x"}, task_id=task["id"])

        assert refused.refusal == ("BAD_USER_INPUT", ["/due_at"])

    async def test_range_may_move_as_a_whole(self, ada: Person, door: Door) -> None:
        task = await ada.task(start_at=JANUARY, due_at=FEBRUARY)
        later = {"start_at": MARCH, "due_at": "2026-04-01T00:00:00Z"}

        after = await ok(door, "update_task", ada, later, task_id=task["id"])

        assert {name: after[name] for name in later} == later

    async def test_completion_has_a_time_for_as_long_as_it_lasts(self, ada: Person, door: Door) -> None:
        task = await ada.task()
        times = []
        for status in ("completed", "completed", "in_progress", "completed", "cancelled"):
            task = await ok(door, "update_task", ada, {"status": status, "priority": 2}, task_id=task["id"])
            times.append(task["completed_at"])

        assert times[0] == times[1] < times[3]
        assert times[2] is times[4] is None

    async def test_tags_and_assignees_are_replaced_as_sets(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        project = await ada.project()
        await ada.invite(project, bob, "viewer")
        task = await ada.task(project_id=project["id"], tags=["a", "b"], assignee_ids=[ada.id])
        async with new_events(database) as events:
            sent = {"tags": ["C", "B"], "assignee_ids": [bob.id]}
            await ok(door, "update_task", ada, sent, task_id=task["id"])

        read = await ok(door, "get_task_with_relations", ada, task_id=task["id"])
        assert (read["tags"], read["assignees"], read["version"]) == (["b", "C"], [bob.id], 2)
        assert kinds(events) == ["tag.created", "task.updated"]
        assert events[1].changes == {
            "tags": [["a", "b"], ["b", "C"]],
            "assignee_ids": [[ada.id], [bob.id]],
        }

    async def test_refused_assignee_undoes_the_whole_change(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        task = await ada.task()
        async with unchanged(database):
            sent = {"title": "New", "tags": ["new"], "assignee_ids": [bob.id]}
            refused = await run(door, "update_task", ada, sent, task_id=task["id"])

        assert refused.refusal == ("NOT_FOUND", ["/assignee_ids"])

    async def test_project_of_a_task_does_not_change(self, ada: Person, door: Door, database: Database) -> None:
        task, project = await ada.task(), await ada.project()
        async with unchanged(database):
            refused = await run(door, "update_task", ada, {"project_id": project["id"]}, task_id=task["id"])

        assert refused.refusal == ("BAD_USER_INPUT", ["/project_id"])


class TestRest:
    async def test_created_task_says_where_it_is(self, ada: Person) -> None:
        made = await ada.post("/tasks", {"title": "Write the docs"})

        assert made.status_code == 201
        assert made.headers["location"] == f"/api/v1/tasks/{made.json()['id']}"
        assert made.headers["etag"] == '"1"'
        assert (await ada.get(made.headers["location"].removeprefix("/api/v1"))).json() == made.json()

    async def test_node_ids_are_taken_for_ids(self, ada: Person) -> None:
        project = await ada.project()
        task = await ada.task(project_id=project["node_id"], assignee_ids=[ada.node_id])

        assert task["project_id"] == project["id"]

    async def test_put_under_the_project_says_whether_to_notify(self, ada: Person, database: Database) -> None:
        project = await ada.project()
        task = await ada.task(project_id=project["id"])
        path = f"/projects/{project['id']}/tasks/{task['id']}"
        for query, notify in (("", True), ("?notify=true", True), ("?notify=false", False)):
            async with new_events(database) as events:
                changed = await ada.put(path + query, {"title": f"Told {notify} {query}".strip()})
            assert (changed.status_code, changed.json()["title"]) == (200, f"Told {notify} {query}".strip())
            assert changed.headers["etag"] == f'"{changed.json()["version"]}"'
            assert [event.notify for event in events] == [notify]

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    async def test_a_change_says_whether_to_notify(self, ada: Person, database: Database, method: str) -> None:
        """As GraphQL's ``updateTask`` does."""
        task = await ada.task()
        for query, notify in (("", True), ("?notify=true", True), ("?notify=false", False)):
            async with new_events(database) as events:
                changed = await ada.rest(method, f"/tasks/{task['id']}{query}", json={"title": f"Told {query}"})
            assert changed.status_code == 200
            assert [event.notify for event in events] == [notify]

    @pytest.mark.parametrize("query", ["notify=perhaps", "notify="])
    async def test_notify_is_true_or_false(self, ada: Person, database: Database, query: str) -> None:
        task = await ada.task()
        async with unchanged(database):
            refused = await ada.put(f"/projects/{task['project_id']}/tasks/{task['id']}?{query}", {"title": "New"})

        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "/notify"

    async def test_task_is_not_found_under_another_project(self, ada: Person, database: Database) -> None:
        task, other = await ada.task(), await ada.project()
        async with unchanged(database):
            missing = await ada.put(f"/projects/{other['id']}/tasks/{task['id']}", {"title": "New"})

        assert (missing.status_code, missing.json()["code"]) == (404, "NOT_FOUND")


class TestGraphQL:
    async def test_update_says_whether_to_notify(self, ada: Person, database: Database) -> None:
        task = await ada.task()
        for notify in (True, False):
            async with new_events(database) as events:
                variables = {"input": {"id": task["node_id"], "title": f"Told: {notify}", "notify": notify}}
                await ada.gql(
                    "mutation($input: UpdateTaskInput!) { updateTask(input: $input) { task { id } } }", variables
                )
            assert [event.notify for event in events] == [notify]

    async def test_input_may_stand_in_the_document(self, ada: Person) -> None:
        made = await ada.gql(
            'mutation { createTask(input: {title: "Write the docs", priority: 3, status: IN_PROGRESS, tags: ["bug"]}) '
            "{ task { ref priority status tags { name } } } }"
        )

        expected = {"ref": "INBOX-1", "priority": 3, "status": "IN_PROGRESS", "tags": [{"name": "bug"}]}
        assert made.data["createTask"]["task"] == expected

    async def test_mutations_of_one_request_are_transactions_of_their_own(self, ada: Person) -> None:
        answer = await ada.gql(
            'mutation { one: createTask(input: {title: "One"}) { task { ref } } '
            'two: createTask(input: {title: ""}) { task { ref } } '
            'three: createTask(input: {title: "Three"}) { task { ref } } }'
        )

        assert [error["path"] for error in answer.errors] == [["two"]]
        assert answer.body["data"] == {
            "one": {"task": {"ref": "INBOX-1"}},
            "two": None,
            "three": {"task": {"ref": "INBOX-2"}},
        }
