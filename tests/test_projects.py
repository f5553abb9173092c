"""Projects: their keys, their life, the Inbox, and tasks that come with them."""

import asyncio
import random
import string
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import func, select

from db.driver.database import Database
from db.models import Comment, Membership, Project, Tag, Task, TaskText
from services.projects import commands
from services.projects.models import ProjectUpdate
from services.tasks.models import MAX_DRAFTS, MAX_SUBTASK_DEPTH
from tests.actors import Person
from tests.doors import Door, on_both_doors
from tests.operations import ok, run
from tests.stored import kinds, new_events, unchanged


def letters(count: int) -> str:
    """Capitals that no other test has drawn, as good as certainly."""
    return "".join(random.choices(string.ascii_uppercase, k=count))


async def inbox(ada: Person) -> dict[str, Any]:
    project: dict[str, Any] = (await ada.get("/projects")).json()[0]
    return project


class TestService:
    async def test_rename_and_its_event_are_one_transaction(self, ada: Person, database: Database) -> None:
        project = await ada.project()
        async with unchanged(database):
            with suppress(ZeroDivisionError):
                async with database.writing() as session:
                    await commands.update(session, ada.actor, project["id"], ProjectUpdate(name="New"))
                    raise ZeroDivisionError


REFUSED: list[dict[str, Any]] = [
    {"name": ""},
    {"name": " \n"},
    {"name": "x" * 101},
    {"name": "\x00"},
    {"name": "x", "key": "W"},
    {"name": "x", "key": "web"},
    {"name": "x", "key": "1WEB"},
    {"name": "x", "key": "WE-B"},
    {"name": "x", "key": "ÄB"},
    {"name": "x", "key": "WEB\n"},
    {"name": "x", "key": "A" * 11},
    {"name": "x", "key": "INBOX"},
    {"name": "x", "description": "x" * 65_537},
    {"name": "x", "description": "\x00"},
]


@on_both_doors
class TestCreation:
    async def test_name_is_enough(self, ada: Person, door: Door, database: Database) -> None:
        stem = letters(4)
        async with new_events(database) as events:
            project = await ok(door, "create_project", ada, {"name": f"  {stem} project "})

        assert project == await ok(door, "get_project", ada, project_id=project["id"])
        assert (project["name"], project["key"], project["description"]) == (f"{stem} project", stem, None)
        assert (project["role"], project["version"], project["is_inbox"]) == ("owner", 1, False)
        assert project["archived_at"] is None
        [member] = await ok(door, "list_members", ada, project_id=project["id"])
        assert (member["user"]["id"], member["role"]) == (ada.id, "owner")
        assert kinds(events) == ["project.created"]
        assert events[0].changes == {"key": [None, stem], "name": [None, f"{stem} project"]}

    async def test_every_field_is_kept(self, ada: Person, door: Door) -> None:
        body = {"name": "☃" * 100, "key": letters(10), "description": "In two\nlines."}
        project = await ok(door, "create_project", ada, body)

        assert project == project | body

    async def test_key_is_made_of_the_names_letters(self, ada: Person, door: Door) -> None:
        for name, key in (("{} & co", "{}"), ("1 {}", "{}"), ("ü{}", "{}"), ("ß{}", "SS{}")):
            stem = letters(4)
            project = await ok(door, "create_project", ada, {"name": name.format(stem.lower())})
            assert project["key"] == key.format(stem)[:4], name

    async def test_made_keys_are_unique(self, ada: Person, bob: Person, door: Door) -> None:
        stem = letters(4)
        made = [(await ok(door, "create_project", person, {"name": stem}))["key"] for person in (ada, bob, ada)]

        assert made == [stem, f"{stem}2", f"{stem}3"]

    async def test_name_without_letters_for_a_key_gets_one_all_the_same(self, ada: Person, door: Door) -> None:
        for name in ("123", "Ж", "x", "!"):
            assert (await ok(door, "create_project", ada, {"name": name}))["key"].startswith("PRJ")

    async def test_projects_made_at_the_same_time_get_keys_of_their_own(self, ada: Person, door: Door) -> None:
        stem = letters(4)
        made = await asyncio.gather(*(run(door, "create_project", ada, {"name": stem}) for _ in range(6)))

        assert {answer.code for answer in made} == {None}
        assert {answer.body["key"] for answer in made} == {stem, *(f"{stem}{n}" for n in range(2, 7))}

    async def test_taken_key_is_a_conflict(self, ada: Person, bob: Person, door: Door, database: Database) -> None:
        key = (await bob.project())["key"]
        async with unchanged(database):
            refused = await run(door, "create_project", ada, {"name": "x", "key": key, "tasks": [{"title": "x"}]})

        assert refused.refusal == ("CONFLICT", ["/key"])

    async def test_key_of_a_deleted_project_is_free_again(self, ada: Person, door: Door) -> None:
        project = await ada.project()
        await ok(door, "delete_project", ada, project_id=project["id"])

        assert (await ok(door, "create_project", ada, {"name": "x", "key": project["key"]}))["key"] == project["key"]

    async def test_value_outside_the_rules_is_refused_where_it_is(
        self, ada: Person, door: Door, database: Database, subtests: pytest.Subtests
    ) -> None:
        async with unchanged(database):
            for body in REFUSED:
                with subtests.test(body=str(body)[:60]):
                    refused = await run(door, "create_project", ada, body)
                    assert refused.refusal == ("BAD_USER_INPUT", [f"/{list(body)[-1]}"])


def drafts(depth: int) -> list[dict[str, Any]]:
    """A task with subtasks, as many levels below it as asked."""
    return [{"title": f"Level {depth}", "subtasks": drafts(depth - 1) if depth else []}]


@on_both_doors
class TestNestedTasks:
    async def test_project_comes_with_its_tasks_and_their_subtasks(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        body = {
            "name": "Website",
            "tasks": [
                {
                    "title": "A",
                    "tags": ["bug"],
                    "assignee_ids": [ada.id],
                    "priority": 5,
                    "subtasks": [{"title": "A1"}, {"title": "A2", "tags": ["BUG"]}],
                },
                {"title": "B", "status": "completed", "due_at": "2026-01-01T00:00:00Z"},
            ],
        }
        async with new_events(database) as events:
            project = await ok(door, "create_project", ada, body)

        answer = await ada.get(
            f"/tasks?project_id={project['id']}&sort_by=number&order=asc&expand=tags&expand=assignees"
        )
        tasks = {task["title"]: task for task in answer.json()}
        assert [task["ref"] for task in tasks.values()] == [f"{project['key']}-{n}" for n in (1, 2, 3, 4)]
        assert {title: task["parent_id"] for title, task in tasks.items()} == {
            "A": None,
            "B": None,
            "A1": tasks["A"]["id"],
            "A2": tasks["A"]["id"],
        }
        assert [tag["name"] for tag in tasks["A2"]["tags"]] == ["bug"]
        assert [person["id"] for person in tasks["A"]["assignees"]] == [ada.id]
        assert (tasks["A"]["priority"], tasks["B"]["status"]) == (5, "completed")
        assert tasks["B"]["completed_at"] == tasks["B"]["created_at"]
        assert sorted(kinds(events)) == ["project.created", "tag.created", *["task.created"] * 4]

    @pytest.mark.parametrize(
        ("deep", "code", "pointer"),
        [
            ({"title": ""}, "BAD_USER_INPUT", "title"),
            ({"title": "x", "priority": 6}, "BAD_USER_INPUT", "priority"),
            ({"title": "x", "tags": ["\x00"]}, "BAD_USER_INPUT", "tags/0"),
            (
                {"title": "x", "start_at": "2026-01-02T00:00:00Z", "due_at": "2026-01-01T00:00:00Z"},
                "BAD_USER_INPUT",
                "due_at",
            ),
            ({"title": "x", "assignee_ids": [2**31 - 1]}, "NOT_FOUND", "assignee_ids"),
        ],
        ids=str,
    )
    async def test_one_bad_task_deep_inside_writes_nothing_at_all(
        self, ada: Person, door: Door, database: Database, deep: dict[str, Any], code: str, pointer: str
    ) -> None:
        tasks = [
            {"title": "A", "tags": ["new"]},
            {"title": "B", "subtasks": [{"title": "B1"}, {"title": "B2", "subtasks": [deep]}]},
        ]
        async with unchanged(database):
            refused = await run(door, "create_project", ada, {"name": "Website", "tasks": tasks})

        assert refused.refusal == (code, [f"/tasks/1/subtasks/1/subtasks/0/{pointer}"])

    async def test_nesting_and_numbers_have_limits(self, ada: Person, door: Door, database: Database) -> None:
        many = [{"title": "x", "subtasks": [{"title": "y"}] * 99}] * (MAX_DRAFTS // 100)
        await ok(door, "create_project", ada, {"name": "x", "tasks": drafts(MAX_SUBTASK_DEPTH)})
        await ok(door, "create_project", ada, {"name": "x", "tasks": many})
        async with unchanged(database):
            answers = [
                await run(door, "create_project", ada, {"name": "x", "tasks": tasks})
                for tasks in (drafts(MAX_SUBTASK_DEPTH + 1), [*many, {"title": "z"}], [{"title": "z"}] * 101)
            ]

        assert [answer.refusal for answer in answers] == [("BAD_USER_INPUT", ["/tasks"])] * 3

    async def test_bottomless_nesting_is_refused(self, ada: Person, door: Door, database: Database) -> None:
        async with unchanged(database):
            refused = await run(door, "create_project", ada, {"name": "x", "tasks": drafts(200)})

        assert refused.code in {"BAD_USER_INPUT", "BAD_REQUEST", "TOO_EXPENSIVE"}


@on_both_doors
class TestLife:
    async def test_only_what_is_sent_changes(self, ada: Person, door: Door, database: Database) -> None:
        project = await ada.project(description="As it was.")
        async with new_events(database) as events:
            renamed = await ok(door, "update_project", ada, {"name": "New"}, project_id=project["id"])
            emptied = await ok(door, "update_project", ada, {"description": None}, project_id=project["id"])

        assert renamed == project | {"name": "New", "version": 2, "updated_at": renamed["updated_at"]}
        assert emptied == renamed | {"description": None, "version": 3, "updated_at": emptied["updated_at"]}
        assert [(event.kind, event.changes, event.entity_version) for event in events] == [
            ("project.updated", {"name": ["Website", "New"]}, 2),
            ("project.updated", {"description": ["As it was.", None]}, 3),
        ]

    async def test_same_values_again_write_nothing(self, ada: Person, door: Door, database: Database) -> None:
        project = await ada.project(description="As it was.")
        async with unchanged(database):
            for body in ({}, {"name": "Website"}, {"description": "As it was.", "archived": False}):
                assert await ok(door, "update_project", ada, body, project_id=project["id"]) == project

    @pytest.mark.parametrize(
        ("field", "value"), [("name", None), ("name", " "), ("archived", None), ("description", "\x00")]
    )
    async def test_value_outside_the_rules_is_refused(
        self, ada: Person, door: Door, database: Database, field: str, value: Any
    ) -> None:
        project = await ada.project()
        async with unchanged(database):
            refused = await run(door, "update_project", ada, {field: value}, project_id=project["id"])

        assert refused.refusal == ("BAD_USER_INPUT", [f"/{field}"])

    @pytest.mark.parametrize("body", [{"key": "NEW"}, {"archived_at": None}, {"role": "owner"}, {"archived": "yes"}])
    async def test_what_cannot_be_changed_is_named(
        self, ada: Person, door: Door, database: Database, body: dict[str, Any]
    ) -> None:
        project = await ada.project()
        async with unchanged(database):
            refused = await run(door, "update_project", ada, body, project_id=project["id"])

        assert refused.refusal == ("BAD_USER_INPUT", [f"/{next(iter(body))}"])

    async def test_archived_project_says_since_when_and_only_comes_back(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        project = await ada.project()
        archived = await ok(door, "update_project", ada, {"archived": True}, project_id=project["id"])
        async with unchanged(database):
            again = await ok(door, "update_project", ada, {"archived": True}, project_id=project["id"])
            refused = await run(door, "update_project", ada, {"name": "New"}, project_id=project["id"])
        back = await ok(door, "update_project", ada, {"archived": False, "name": "New"}, project_id=project["id"])

        assert archived["archived_at"] == archived["updated_at"]
        assert again == archived
        assert refused.refusal == ("CONFLICT", [])
        assert (back["archived_at"], back["name"], back["version"]) == (None, "New", 3)

    async def test_version_that_is_not_current_writes_nothing(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        project = await ada.project()
        async with unchanged(database):
            answers = [
                await run(door, "update_project", ada, {"name": "New"}, project_id=project["id"], expected=2),
                await run(door, "delete_project", ada, project_id=project["id"], expected=2),
            ]

        assert [answer.refusal for answer in answers] == [("VERSION_CONFLICT", [])] * 2
        await ok(door, "update_project", ada, {"name": "New"}, project_id=project["id"], expected=1)
        await ok(door, "delete_project", ada, project_id=project["id"], expected=2)

    async def test_deleted_project_takes_all_it_held_and_nothing_else(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        async def counted() -> list[int]:
            async with database.reading() as session:
                models = (Project, Membership, Task, TaskText, Tag, Comment)
                return [await session.scalar(select(func.count()).select_from(model)) for model in models]

        kept = await ada.task(tags=["bug"])
        await ada.comment(kept["id"])
        before = await counted()
        project = await ada.project(tasks=[{"title": "x", "tags": ["bug"], "subtasks": [{"title": "y"}]}])
        [task, _] = (await ada.get(f"/tasks?project_id={project['id']}")).json()
        await ada.comment(task["id"])
        async with new_events(database) as events:
            await ok(door, "delete_project", ada, project_id=project["id"])

        assert await counted() == before
        assert kinds(events) == ["task.purged", "task.purged", "project.deleted", "member.removed"]
        assert events[-2].changes == {"key": [project["key"], None], "name": ["Website", None]}
        assert (await run(door, "get_project", ada, project_id=project["id"])).code == "NOT_FOUND"
        assert (await run(door, "delete_project", ada, project_id=project["id"])).code == "NOT_FOUND"

    @pytest.mark.parametrize(
        ("role", "updates", "deletes"),
        [
            ("viewer", "FORBIDDEN", "FORBIDDEN"),
            ("member", "FORBIDDEN", "FORBIDDEN"),
            ("admin", None, "FORBIDDEN"),
            ("owner", None, None),
            (None, "NOT_FOUND", "NOT_FOUND"),
        ],
    )
    async def test_admins_change_and_owners_delete(
        self,
        ada: Person,
        bob: Person,
        door: Door,
        database: Database,
        role: str | None,
        updates: str | None,
        deletes: str | None,
    ) -> None:
        project = await ada.project()
        if role:
            await ada.invite(project, bob, role)
            seen = await ok(door, "get_project", bob, project_id=project["id"])
            assert seen == project | {"role": role}
        for name, body, code in (("update_project", {"name": "New"}, updates), ("delete_project", None, deletes)):
            if code:
                async with unchanged(database):
                    assert (await run(door, name, bob, body, project_id=project["id"])).refusal == (code, [])
            else:
                await ok(door, name, bob, body, project_id=project["id"])

    @pytest.mark.parametrize("scope", ["tasks:read", "tasks:write"])
    async def test_projects_are_managed_with_a_key_of_that_scope(
        self, ada: Person, door: Door, database: Database, scope: str
    ) -> None:
        project, manager, other = await ada.project(), await ada.api_key("projects:admin"), await ada.api_key(scope)
        async with unchanged(database):
            answers = [
                await run(door, "create_project", other, {"name": "x"}),
                await run(door, "update_project", other, {"name": "x"}, project_id=project["id"]),
                await run(door, "delete_project", other, project_id=project["id"]),
            ]
        assert [answer.code for answer in answers] == ["FORBIDDEN"] * 3
        await ok(door, "create_project", manager, {"name": "x"})
        await ok(door, "update_project", manager, {"name": "New"}, project_id=project["id"])
        await ok(door, "delete_project", manager, project_id=project["id"])


@on_both_doors
class TestInbox:
    async def test_everybody_has_one_of_their_own(self, ada: Person, bob: Person, door: Door) -> None:
        mine, theirs = [await ok(door, "list_projects", person) for person in (ada, bob)]

        assert [(project["key"], project["is_inbox"], project["role"]) for project in mine] == [
            ("INBOX", True, "owner")
        ]
        assert mine[0]["id"] != theirs[0]["id"]

    async def test_inbox_is_not_renamed_archived_shared_or_deleted(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        project = await inbox(ada)
        async with unchanged(database):
            answers = [
                *[
                    await run(door, "update_project", ada, body, project_id=project["id"])
                    for body in ({"name": "x"}, {"archived": True}, {"description": "x"})
                ],
                await run(door, "delete_project", ada, project_id=project["id"]),
                await run(door, "add_member", ada, {"username": bob.username}, project_id=project["id"]),
                await run(door, "update_member", ada, {"role": "viewer"}, project_id=project["id"], user_id=ada.id),
                await run(door, "remove_member", ada, project_id=project["id"], user_id=ada.id),
            ]
            same = await ok(door, "update_project", ada, {"name": "Inbox"}, project_id=project["id"])

        assert [answer.refusal for answer in answers] == [("CONFLICT", [])] * 7
        assert same == project


class TestRest:
    async def test_single_projects_carry_their_version(self, ada: Person) -> None:
        made = await ada.post("/projects", {"name": "Website"})
        path = f"/projects/{made.json()['id']}"
        assert made.headers["location"] == f"/api/v1{path}"
        changed = await ada.patch(path, {"name": "New"}, headers={"If-Match": made.headers["etag"]})
        known = await ada.get(path, headers={"If-None-Match": '"2"'})

        assert (made.headers["etag"], changed.headers["etag"]) == ('"1"', '"2"')
        assert (known.status_code, known.content) == (304, b"")
        refused = await ada.patch(path, {"name": "x"}, headers={"If-Match": '"1"'})
        assert (refused.status_code, refused.headers["etag"]) == (412, '"2"')

    async def test_projects_are_listed_oldest_first_in_pages(self, ada: Person) -> None:
        made = [await inbox(ada), *[await ada.project(name=name) for name in ("One", "Two", "Three")]]
        archived = (await ada.patch(f"/projects/{made[2]['id']}", {"archived": True})).json()
        made[2] = archived
        first = await ada.get("/projects?limit=3&total=true")

        assert first.json() == made[:3]
        assert first.headers["x-total-count"] == "4"
        following = first.headers["link"].partition('>; rel="next"')[0].rpartition("<")[2]
        assert (await ada.client.get(following, headers=ada.headers)).json() == made[3:]
        assert (await ada.get("/projects?archived=true")).json() == [archived]
        assert (await ada.get("/projects?archived=false&skip=1&limit=1")).json() == [made[1]]
        assert "x-total-count" not in (await ada.get("/projects")).headers


class TestGraphQL:
    async def test_projects_are_a_connection(self, ada: Person) -> None:
        names = ["Inbox", *[(await ada.project(name=name))["name"] for name in ("One", "Two")]]
        query = (
            "query($archived: Boolean, $after: String) { projects(first: 2, archived: $archived, after: $after) "
            "{ totalCount pageInfo { hasNextPage endCursor } edges { node { name } } } }"
        )
        first = (await ada.gql(query)).data["projects"]
        rest = (await ada.gql(query, {"after": first["pageInfo"]["endCursor"]})).data["projects"]
        none = (await ada.gql(query, {"archived": True})).data["projects"]

        assert [edge["node"]["name"] for edge in (*first["edges"], *rest["edges"])] == names
        assert (first["totalCount"], rest["totalCount"], none["totalCount"]) == (3, 3, 0)
        assert (first["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]) == (True, False)
