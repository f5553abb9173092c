"""What things are called in other systems: unique, filterable, and what an upsert finds a task by."""

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from db.driver.database import Database
from tests.actors import Person
from tests.conftest import People
from tests.doors import Door, on_both_doors
from tests.operations import ok, run
from tests.statements import StatementCounter
from tests.stored import kinds, new_events, unchanged

CRM: dict[str, Any] = {"external_source": "crm", "external_id": "C-1"}
REFUSED = [
    *(("external_source", value) for value in ("", " ", "x" * 51, "\x00", "two\nlines")),
    *(("external_id", value) for value in ("", " ", "x" * 256, "\x00", "two\nlines")),
]


async def upserted(door: Door, person: Person, body: dict[str, Any], **options: Any) -> Any:
    ids = {**CRM, **{name: options.pop(name) for name in CRM if name in options}}
    return await ok(door, "upsert_task", person, body, **ids, **options)


@on_both_doors
class TestTasks:
    async def test_task_is_found_by_what_it_is_called_elsewhere(self, ada: Person, door: Door) -> None:
        project = await ada.project()
        task = await ok(door, "create_task", ada, {"title": "One", "project_id": project["id"], **CRM})
        other = await ok(door, "create_task", ada, {"title": "Two", "project_id": project["id"]})

        assert {name: task[name] for name in CRM} == CRM
        assert (other["external_source"], other["external_id"]) == (None, None)
        for asked in (
            {"external_id": {"eq": "C-1"}},
            {"external_id": {"in": ["C-0", "C-1"]}, "external_source": {"eq": "crm"}},
            {"external_source": {"is_null": False}},
        ):
            assert await ok(door, "list_tasks", ada, filter=asked) == [task], asked
        assert await ok(door, "list_tasks", ada, filter={"external_id": {"is_null": True}}) == [other]
        assert await ok(door, "list_tasks", ada, filter={"external_id": {"eq": "c-1"}}) == []  # to the letter

    async def test_id_is_unique_in_project_and_source(self, ada: Person, door: Door, database: Database) -> None:
        project, elsewhere = await ada.project(), await ada.project()
        place = {"project_id": project["id"]}
        first = await ok(door, "create_task", ada, {"title": "One", **place, **CRM})
        second = await ok(door, "create_task", ada, {"title": "Two", **place})
        async with unchanged(database):
            answers = [
                await run(door, "create_task", ada, {"title": "New", **place, **CRM}),
                await run(door, "update_task", ada, CRM, task_id=second["id"]),
            ]

        assert [answer.refusal for answer in answers] == [("CONFLICT", ["/external_id"])] * 2
        for free in (
            {**place, "external_source": "erp"},
            {**place, "external_id": "c-1"},
            {"project_id": elsewhere["id"]},
        ):
            await ok(door, "create_task", ada, {"title": "New", **CRM, **free})
        await ok(door, "update_task", ada, CRM, task_id=first["id"])  # its own
        await ok(door, "update_task", ada, dict.fromkeys(CRM), task_id=first["id"])
        moved = await ok(door, "update_task", ada, CRM, task_id=second["id"])
        assert moved["external_id"] == "C-1"

    async def test_task_in_the_trash_keeps_its_id(self, ada: Person, door: Door, database: Database) -> None:
        place = {"project_id": (await ada.project())["id"]}
        task = await ok(door, "create_task", ada, {"title": "One", **place, **CRM})
        await ok(door, "delete_task", ada, task_id=task["id"])
        async with unchanged(database):
            answers = [
                await run(door, "create_task", ada, {"title": "New", **place, **CRM}),
                await run(door, "upsert_task", ada, {"title": "New", **place}, **CRM),
            ]

        assert [answer.refusal for answer in answers] == [("CONFLICT", ["/external_id"])] * 2
        assert all("trash" in answer.message for answer in answers)
        restored = await ok(door, "restore_task", ada, task_id=task["id"])
        assert restored["external_id"] == "C-1"

    async def test_one_goes_with_the_other(self, ada: Person, door: Door, database: Database) -> None:
        task = await ada.task()
        called = await ada.task(**CRM)
        async with unchanged(database):
            answers = [
                await run(door, "create_task", ada, {"title": "New", "external_id": "1"}),
                await run(door, "create_task", ada, {"title": "New", "external_source": "crm"}),
                await run(door, "update_task", ada, {"external_id": "1"}, task_id=task["id"]),
                await run(door, "update_task", ada, {"external_id": None}, task_id=called["id"]),
            ]

        assert [answer.refusal for answer in answers] == [
            ("BAD_USER_INPUT", ["/external_source"]),
            ("BAD_USER_INPUT", ["/external_id"]),
            ("BAD_USER_INPUT", ["/external_source"]),
            ("BAD_USER_INPUT", ["/external_id"]),
        ]
        await ok(door, "update_task", ada, {"external_id": "C-2"}, task_id=called["id"])

    @pytest.mark.parametrize(("field", "value"), REFUSED)
    async def test_value_outside_the_rules_is_refused(
        self, ada: Person, door: Door, database: Database, field: str, value: str
    ) -> None:
        async with unchanged(database):
            answer = await run(door, "create_task", ada, {"title": "New", **CRM, field: value})
        assert answer.refusal == ("BAD_USER_INPUT", [f"/{field}"])

    async def test_events_tell_of_it(self, ada: Person, door: Door, database: Database) -> None:
        async with new_events(database) as events:
            task = await ok(door, "create_task", ada, {"title": "One", **CRM})
            await ok(door, "update_task", ada, {"external_id": "C-2"}, task_id=task["id"])

        assert (events[0].changes["external_source"], events[0].changes["external_id"]) == (
            [None, "crm"],
            [None, "C-1"],
        )
        assert events[1].changes == {"external_id": ["C-1", "C-2"]}


@on_both_doors
class TestUpsert:
    async def test_first_call_creates_and_second_changes_nothing(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        project = await ada.project()
        body = {
            "title": "One",
            "project_id": project["id"],
            "tags": ["b", "a"],
            "assignee_ids": [ada.id],
            "due_at": "2027-01-01T00:00:00Z",
            "status": "in_progress",
        }
        async with new_events(database) as events:
            task = await upserted(door, ada, body)
        async with unchanged(database):
            again = await upserted(door, ada, body)

        assert again == task
        assert {name: task[name] for name in CRM} == CRM
        assert (task["project_id"], task["status"], task["version"]) == (project["id"], "in_progress", 1)
        assert kinds(events) == ["tag.created", "tag.created", "task.created"]

    async def test_what_is_sent_changes_and_the_rest_stays(self, ada: Person, door: Door, database: Database) -> None:
        place = {"project_id": (await ada.project())["id"]}
        await upserted(door, ada, {"title": "One", "priority": 4, "status": "completed", "tags": ["a"], **place})
        async with new_events(database) as events:
            task = await upserted(door, ada, {"title": "Two", **place})

        assert (task["title"], task["priority"], task["status"], task["version"]) == ("Two", 4, "completed", 2)
        assert [(event.kind, event.changes) for event in events] == [("task.updated", {"title": ["One", "Two"]})]

    async def test_without_a_project_it_is_the_inbox(self, ada: Person, door: Door) -> None:
        first = await upserted(door, ada, {"title": "One"})
        again = await upserted(door, ada, {"title": "Two"})

        assert (again["id"], again["title"]) == (first["id"], "Two")
        assert first["ref"].startswith("INBOX-")

    async def test_expected_version_is_of_a_task_that_is_there(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        async with unchanged(database):
            absent = await run(door, "upsert_task", ada, {"title": "One"}, expected=1, **CRM)
        task = await upserted(door, ada, {"title": "One"})
        async with unchanged(database):
            other = await run(door, "upsert_task", ada, {"title": "Two"}, expected=2, **CRM)
        changed = await upserted(door, ada, {"title": "Two"}, expected=1)

        assert (absent.code, other.code) == ("NOT_FOUND", "VERSION_CONFLICT")
        assert (changed["id"], changed["version"]) == (task["id"], 2)

    async def test_only_members_find_it(self, ada: Person, people: People, door: Door, database: Database) -> None:
        project = await ada.project()
        body = {"title": "One", "project_id": project["id"]}
        await upserted(door, ada, body)
        stranger, viewer = await people(), await people()
        await ada.invite(project, viewer, "viewer")
        async with unchanged(database):
            answers = [
                await run(door, "upsert_task", person, body | {"title": title}, **CRM)
                for person in (stranger, viewer)
                for title in ("One", "Two")
            ]

        assert [answer.code for answer in answers] == ["NOT_FOUND", "NOT_FOUND", "FORBIDDEN", "FORBIDDEN"]

    async def test_what_is_written_with_it_is_checked(self, ada: Person, door: Door, database: Database) -> None:
        place = {"project_id": (await ada.project())["id"]}
        task = await upserted(door, ada, {"title": "One", **place})
        async with unchanged(database):
            answers = [
                await run(
                    door, "upsert_task", ada, {"title": "One", **place, **wrong}, external_source="crm", external_id=id_
                )
                for id_ in ("C-1", "C-2")
                for wrong in (
                    {"assignee_ids": [999_999_999]},
                    {"parent_id": 999_999_999},
                    {"milestone_id": 999_999_999},
                    {"start_at": "2027-01-02T00:00:00Z", "due_at": "2027-01-01T00:00:00Z"},
                )
            ]
            circle = await run(door, "upsert_task", ada, {"title": "One", "parent_id": task["id"], **place}, **CRM)

        fields = ["/assignee_ids", "/parent_id", "/milestone_id", "/due_at"]
        assert [answer.refusal[1] for answer in answers] == [[field] for field in fields] * 2
        assert {answer.code for answer in answers} == {"NOT_FOUND", "BAD_USER_INPUT"}
        assert circle.code in {"CONFLICT", "BAD_USER_INPUT"}


IN_PATHS = [
    *("owner/repo#12", "/leading", "trailing/", "a//b", "https://example.com/a?b=c&d#e", "one/two/three/four/five/six"),
    *("100%", "%2F", "a%2Fb", "a b", "a+b", "..", ".", "../x", "x/./y", "é/ü", "日本/1", "relations/5", ";a=b"),
    "x" * 255,
]
"""Ids that an address has to escape in some way."""


def address(external_id: str, source: str = "crm", *, plain: str = "") -> str:
    """Where a task is upserted; ``plain`` is what stands as it is."""
    escaped = quote(external_id, safe=plain).replace(".", "%2E")  # else the client takes dots for another address
    return f"/tasks/by-external-id/{quote(source, safe='')}/{escaped}"


class TestUpsertOnRest:
    @pytest.mark.parametrize("external_id", IN_PATHS)
    async def test_an_id_may_hold_anything(self, ada: Person, external_id: str, database: Database) -> None:
        """It is the same one on either door, in bulk, and below the path without a version."""
        made = await ada.rest("PUT", address(external_id), json={"title": "One"})
        assert (made.status_code, made.json()["external_id"]) == (201, external_id)
        ids = {"external_source": "crm", "external_id": external_id}
        async with unchanged(database):
            for path in (address(external_id), address(external_id, plain="/"), "/" + address(external_id)):
                again = await ada.rest("PUT", path, json={"title": "One"})
                assert (again.status_code, again.json()) == (200, made.json()), path
            assert await upserted("graphql", ada, {"title": "One"}, **ids) == made.json()
            bulk = {"tasks": [{"title": "One", **ids}], "mode": "upsert"}
            [result] = (await ok("rest", "create_tasks", ada, bulk))["results"]
        assert (result["outcome"], result["id"]) == ("unchanged", made.json()["id"])

    async def test_a_source_ends_where_a_slash_is_not_escaped(self, ada: Person) -> None:
        for source, external_id in (("a/b", "c"), ("a", "b/c"), ("https://example.com", "1"), ("%2F", "1")):
            made = await ada.rest("PUT", address(external_id, source), json={"title": "One"})
            assert made.status_code == 201
            assert (made.json()["external_source"], made.json()["external_id"]) == (source, external_id)

    @pytest.mark.parametrize("door", ["rest", "graphql"])
    @pytest.mark.parametrize("external_id", ["", " ", "x" * 256, "a/" * 128, "two\nlines", "a/\x00", "\u200b"])
    async def test_an_id_outside_the_rules_is_refused_alike(
        self, ada: Person, door: Door, external_id: str, database: Database
    ) -> None:
        async with unchanged(database):
            if door == "rest":
                answer = await ada.rest("PUT", address(external_id), json={"title": "One"})
                refused = answer.status_code, answer.json()["code"], answer.json()["errors"][0]["pointer"]
                assert refused == (422, "BAD_USER_INPUT", "/external_id")
            else:
                ids: dict[str, Any] = {"external_source": "crm", "external_id": external_id}
                found = await run(door, "upsert_task", ada, {"title": "One"}, **ids)
                assert found.refusal == ("BAD_USER_INPUT", ["/external_id"])

    async def test_a_source_alone_is_no_address_of_a_task(self, ada: Person, database: Database) -> None:
        async with unchanged(database):
            lacking = await ada.rest("PUT", "/tasks/by-external-id/crm", json={"title": "One"})
            empty = await ada.rest("PUT", "/tasks/by-external-id/a%2Fb", json={"title": "One"})
        # a segment with an escaped slash is one segment: what it would be called is not said
        assert empty.json()["errors"][0]["pointer"] == "/external_id"
        assert lacking.status_code == 404

    @pytest.mark.parametrize("path", ["crm/1", "crm/owner/repo", "crm/owner%2Frepo", "crm/a/b/c/d/e/f/g", "comments/5"])
    async def test_other_methods_are_refused(self, ada: Person, path: str) -> None:
        for prefix in ("", "/"):
            for method in ("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "BREW"):
                answer = await ada.rest(method, f"{prefix}/tasks/by-external-id/{path}", json={})
                assert (answer.status_code, answer.headers["allow"]) == (405, "PUT"), method

    async def test_status_tells_whether_it_is_new(self, ada: Person) -> None:
        project = await ada.project()
        path = "/tasks/by-external-id/crm/C%201%3F"
        made = await ada.rest("PUT", f"{path}?project_id={project['id']}", json={"title": "One"})
        again = await ada.rest("PUT", f"{path}?project_id={project['id']}", json={"title": "Two"})

        assert (made.status_code, again.status_code) == (201, 200)
        assert made.json()["external_id"] == "C 1?"
        assert made.headers["location"].endswith(f"/tasks/{made.json()['id']}")
        assert "location" not in again.headers
        assert (made.headers["etag"], again.headers["etag"]) == ('"1"', '"2"')

    async def test_project_is_named_in_body_or_query(self, ada: Person, database: Database) -> None:
        one, two = await ada.project(), await ada.project()
        path = "/tasks/by-external-id/crm/1"
        for body, query in (({"project_id": one["id"]}, ""), ({}, f"?project_id={one['id']}")):
            answer = await ada.rest("PUT", path + query, json={"title": "One", **body})
            assert answer.json()["project_id"] == one["id"]
        async with unchanged(database):
            refused = await ada.rest(
                "PUT", f"{path}?project_id={two['id']}", json={"title": "One", "project_id": one["id"]}
            )
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/project_id")

    @pytest.mark.parametrize("field", ["external_source", "external_id"])
    async def test_body_does_not_name_it_again(self, ada: Person, field: str) -> None:
        answer = await ada.rest("PUT", "/tasks/by-external-id/crm/1", json={"title": "One", field: "x"})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{field}")

    async def test_flat_parameters_filter(self, ada: Person) -> None:
        task = await ada.task(**CRM)
        await ada.task(external_source="erp", external_id="C-1")
        found = await ada.get("/tasks?external_source=crm&external_id=C-1&external_id=C-2")
        counted = await ada.get("/tasks/counts/status?external_id=C-1")

        assert [each["id"] for each in found.json()] == [task["id"]]
        assert counted.json() == [{"key": "pending", "count": 2, "exact": True}]


@on_both_doors
class TestBulk:
    async def test_second_run_changes_nothing(self, ada: Person, door: Door, database: Database) -> None:
        project = await ada.project()
        rows = [
            {
                "title": f"Row {number}",
                "project_id": project["id"],
                "tags": ["nightly", f"t{number % 3}"],
                "external_source": "crm",
                "external_id": str(number),
            }
            for number in range(40)
        ]
        first = await ok(door, "create_tasks", ada, {"tasks": rows, "mode": "upsert"})
        async with unchanged(database):
            second = await ok(door, "create_tasks", ada, {"tasks": rows, "mode": "upsert"})
        rows[3] = rows[3] | {"title": "Changed", "status": "completed"}
        async with new_events(database) as events:
            third = await ok(
                door, "create_tasks", ada, {"tasks": [*rows, rows[0] | {"external_id": "new"}], "mode": "upsert"}
            )

        outcomes = [[result["outcome"] for result in answer["results"]] for answer in (first, second, third)]
        assert outcomes[0] == ["created"] * 40
        assert outcomes[1] == ["unchanged"] * 40
        assert outcomes[2] == [*["unchanged"] * 3, "updated", *["unchanged"] * 36, "created"]
        assert [result["task"] for result in second["results"]] == [result["task"] for result in first["results"]]
        assert kinds(events) == ["task.updated", "task.created"]

    async def test_modes_say_what_becomes_of_the_others(self, ada: Person, door: Door, database: Database) -> None:
        there = await ada.task(**CRM)
        await ada.task(external_source="crm", external_id="gone")
        gone = await ok(door, "list_tasks", ada, filter={"external_id": {"eq": "gone"}})
        await ok(door, "delete_task", ada, task_id=gone[0]["id"])
        rows = [
            {"title": "Changed", **CRM},
            {"title": "Twice", **CRM},
            {"title": "In the trash", "external_source": "crm", "external_id": "gone"},
            {"title": "Not called anything"},
            {"title": "Not there", "project_id": 999_999_999, "external_source": "crm", "external_id": "9"},
            {"title": "New", "external_source": "crm", "external_id": "new"},
        ]
        async with unchanged(database):
            refused = await run(door, "create_tasks", ada, {"tasks": rows, "mode": "upsert"})
            rehearsed = await ok(door, "create_tasks", ada, {"tasks": rows, "mode": "upsert_partial", "dry_run": True})
        done = await ok(door, "create_tasks", ada, {"tasks": rows, "mode": "upsert_partial"})

        assert refused.code == "BULK_REFUSED" or refused.code is not None
        assert [result["outcome"] for result in done["results"]] == [
            "updated",
            *["refused"] * 4,
            "created",
        ]
        assert [result["outcome"] for result in rehearsed["results"]] == [
            result["outcome"] for result in done["results"]
        ]
        assert [(result["error"] or {}).get("code") for result in done["results"]] == [
            None,
            "BAD_USER_INPUT",
            "CONFLICT",
            "BAD_USER_INPUT",
            "NOT_FOUND",
            None,
        ]
        assert done["results"][0]["task"]["id"] == there["id"]
        assert rehearsed["results"][5]["task"] is None

    @pytest.mark.parametrize("mode", ["upsert", "upsert_partial"])
    async def test_upsert_is_for_creating(self, ada: Person, door: Door, database: Database, mode: str) -> None:
        task = await ada.task()
        async with unchanged(database):
            answers = [
                await run(door, "update_tasks", ada, {"tasks": [{"id": task["id"], "title": "New"}], "mode": mode}),
                await run(door, "delete_tasks", ada, {"tasks": [{"id": task["id"]}], "mode": mode}),
                await run(
                    door, "update_matching_tasks", ada, {"filter": {}, "changes": {"title": "New"}, "mode": mode}
                ),
            ]
        assert [answer.refusal for answer in answers] == [("BAD_USER_INPUT", ["/mode"])] * 3

    async def test_outcome_tells_what_was_done(self, ada: Person, door: Door) -> None:
        one, two = await ada.task(title="Same"), await ada.task(title="Old")
        body = {"tasks": [{"id": task["id"], "title": "Same"} for task in (one, two)]}
        updated = await ok(door, "update_tasks", ada, body)
        matching = await ok(door, "update_matching_tasks", ada, {"filter": {}, "changes": {"title": "Same"}})
        deleted = await ok(door, "delete_tasks", ada, {"tasks": [{"id": one["id"]}]})

        assert [result["outcome"] for result in updated["results"]] == ["unchanged", "updated"]
        assert {result["outcome"] for result in matching["results"]} == {"unchanged"}
        assert [result["outcome"] for result in deleted["results"]] == ["deleted"]

    async def test_ids_that_change_hands_in_one_call_are_refused(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        one = await ada.task(**CRM)
        two = await ada.task(external_source="crm", external_id="C-2")
        swap = [{"id": one["id"], "external_id": "C-2"}, {"id": two["id"], "external_id": "C-1"}]
        same = [{"id": each["id"], "external_id": "C-3"} for each in (one, two)]
        async with unchanged(database):
            refused = await ok(door, "update_tasks", ada, {"tasks": swap, "mode": "partial"})
        half = await ok(door, "update_tasks", ada, {"tasks": same, "mode": "partial"})

        assert [result["error"]["code"] for result in refused["results"]] == ["CONFLICT"] * 2
        assert [result["outcome"] for result in half["results"]] == ["updated", "refused"]


class TestCost:
    async def test_statements_do_not_grow_with_rows(self, ada: Person, database: Database) -> None:
        project = await ada.project()

        def body(count: int) -> dict[str, Any]:
            rows = [
                {
                    "title": f"Row {number}",
                    "project_id": project["id"],
                    "tags": ["nightly"],
                    "assignee_ids": [ada.id],
                    "external_source": "crm",
                    "external_id": str(number),
                }
                for number in range(count)
            ]
            return {"tasks": rows, "mode": "upsert"}

        await ada.post("/tasks/bulk/create", body(200))
        counted = []
        for count in (10, 200):
            with StatementCounter(database) as statements:
                answer = await ada.post("/tasks/bulk/create", body(count))
            assert {result["outcome"] for result in answer.json()["results"]} == {"unchanged"}
            counted.append(statements.count)
        assert counted[1] <= counted[0] <= 8, counted

    async def test_calls_at_once_make_one_task(self, ada: Person) -> None:
        project = await ada.project()
        path = f"/tasks/by-external-id/crm/{quote('C-1')}?project_id={project['id']}"
        answers = await asyncio.gather(*(ada.rest("PUT", path, json={"title": "One"}) for _ in range(8)))

        assert sorted(answer.status_code for answer in answers) == [*[200] * 7, 201]
        assert len({answer.json()["id"] for answer in answers}) == 1


@on_both_doors
class TestProjects:
    async def test_id_is_unique_for_each_account_and_source(
        self, ada: Person, people: People, door: Door, database: Database
    ) -> None:
        first = await ok(door, "create_project", ada, {"name": "One", **CRM})
        second = await ok(door, "create_project", ada, {"name": "Two"})
        async with unchanged(database):
            answers = [
                await run(door, "create_project", ada, {"name": "New", **CRM}),
                await run(door, "create_project", ada, {"name": "New", "key": "NEW", **CRM}),
                await run(door, "update_project", ada, CRM, project_id=second["id"]),
            ]

        assert [answer.refusal for answer in answers] == [("CONFLICT", ["/external_id"])] * 3
        await ok(door, "create_project", await people(), {"name": "His", **CRM})
        changed = await ok(door, "update_project", ada, CRM | {"external_id": "C-2"}, project_id=second["id"])
        assert {name: first[name] for name in CRM} == CRM
        assert (changed["external_id"], changed["version"]) == ("C-2", 2)

    async def test_events_tell_of_it(self, ada: Person, door: Door, database: Database) -> None:
        async with new_events(database) as events:
            project = await ok(door, "create_project", ada, {"name": "One", **CRM})
            await ok(door, "update_project", ada, dict.fromkeys(CRM), project_id=project["id"])
        async with unchanged(database):
            again = await ok(door, "update_project", ada, dict.fromkeys(CRM), project_id=project["id"])

        assert again["external_id"] is None
        assert events[0].changes["external_id"] == [None, "C-1"]
        assert events[1].changes == {"external_source": ["crm", None], "external_id": ["C-1", None]}

    async def test_one_goes_with_the_other(self, ada: Person, door: Door, database: Database) -> None:
        project = await ada.project()
        async with unchanged(database):
            answers = [
                await run(door, "create_project", ada, {"name": "New", "external_id": "1"}),
                await run(door, "update_project", ada, {"external_source": "crm"}, project_id=project["id"]),
            ]
        assert [answer.refusal for answer in answers] == [
            ("BAD_USER_INPUT", ["/external_source"]),
            ("BAD_USER_INPUT", ["/external_id"]),
        ]

    async def test_list_is_narrowed(self, ada: Person, door: Door) -> None:
        project = await ok(door, "create_project", ada, {"name": "One", **CRM})
        await ok(door, "create_project", ada, {"name": "Two", "external_source": "crm", "external_id": "C-2"})
        if door == "rest":
            answer = await ada.get("/projects?external_source=crm&external_id=C-1&total=true")
            found, total = [each["id"] for each in answer.json()], int(answer.headers["x-total-count"])
            refused = (await ada.get(f"/projects?external_id={'x' * 256}")).json()
        else:
            document = """query($id: String) { projects(externalSource: "crm", externalId: $id) {
                totalCount edges { node { databaseId } } } }"""
            listed = (await ada.gql(document, {"id": "C-1"})).data["projects"]
            found, total = [edge["node"]["databaseId"] for edge in listed["edges"]], listed["totalCount"]
            refused = (await ada.gql(document, {"id": "x" * 256})).errors[0]["extensions"]

        assert (found, total) == ([project["id"]], 1)
        assert refused["code"] == "BAD_USER_INPUT"


@on_both_doors
class TestComments:
    async def test_id_is_unique_in_the_project(self, ada: Person, door: Door, database: Database) -> None:
        project = await ada.project()
        one, two = await ada.task(project_id=project["id"]), await ada.task(project_id=project["id"])
        first = await ok(door, "create_comment", ada, {"body": "One", **CRM}, task_id=one["id"])
        second = await ok(door, "create_comment", ada, {"body": "Two"}, task_id=two["id"])
        async with unchanged(database):
            answers = [
                await run(door, "create_comment", ada, {"body": "New", **CRM}, task_id=two["id"]),
                await run(door, "update_comment", ada, CRM, task_id=two["id"], comment_id=second["id"]),
            ]

        assert [answer.refusal for answer in answers] == [("CONFLICT", ["/external_id"])] * 2
        assert {name: first[name] for name in CRM} == CRM
        await ok(door, "create_comment", ada, {"body": "New", **CRM}, task_id=(await ada.task())["id"])

    async def test_only_what_is_sent_changes(self, ada: Person, door: Door, database: Database) -> None:
        task = await ada.task()
        comment = await ok(door, "create_comment", ada, {"body": "One", **CRM}, task_id=task["id"])
        ids = {"task_id": task["id"], "comment_id": comment["id"]}
        async with new_events(database) as events:
            renamed = await ok(door, "update_comment", ada, {"external_id": "C-2"}, **ids)
            edited = await ok(door, "update_comment", ada, {"body": "Two"}, **ids)
        async with unchanged(database):
            assert await ok(door, "update_comment", ada, {}, **ids) == edited
            half = await run(door, "update_comment", ada, {"external_source": None}, **ids)

        assert renamed == comment | {"external_id": "C-2", "version": 2}
        assert edited == renamed | {"body": "Two", "version": 3, "edited_at": edited["edited_at"]}
        assert edited["edited_at"] is not None
        assert [event.changes for event in events] == [{"external_id": ["C-1", "C-2"]}, {"body": ["One", "Two"]}]
        assert half.refusal == ("BAD_USER_INPUT", ["/external_source"])

    async def test_list_is_narrowed(self, ada: Person, door: Door) -> None:
        task = await ada.task()
        comment = await ok(door, "create_comment", ada, {"body": "One", **CRM}, task_id=task["id"])
        await ok(door, "create_comment", ada, {"body": "Two"}, task_id=task["id"])
        if door == "rest":
            answer = await ada.get(f"/tasks/{task['id']}/comments?external_source=crm&external_id=C-1&total=true")
            found, total = [each["id"] for each in answer.json()], int(answer.headers["x-total-count"])
        else:
            document = """query($id: ID!) { task(id: $id) {
                comments(externalSource: "crm", externalId: "C-1") { totalCount edges { node { databaseId } } }
                all: comments { totalCount }
            } }"""
            # before the document is compiled, and after
            answers = [(await ada.gql(document, {"id": task["node_id"]})).data["task"] for _ in range(3)]
            assert answers == answers[:1] * 3
            assert answers[0]["all"] == {"totalCount": 2}
            listed = answers[0]["comments"]
            found, total = [edge["node"]["databaseId"] for edge in listed["edges"]], listed["totalCount"]

        assert (found, total) == ([comment["id"]], 1)
