"""Members: who may add, change and remove whom, and that a project never lacks an owner."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from db.driver.database import Database
from services import members
from services.members import MemberUpdate
from services.projects.models import Role
from tests.actors import Person
from tests.conftest import People
from tests.doors import Door, on_both_doors
from tests.operations import ok, run
from tests.stored import kinds, new_events, unchanged

ROLES = ("viewer", "member", "admin", "owner")
RANK = {role: rank for rank, role in enumerate(ROLES)}


async def roles(ada: Person, project: dict[str, Any]) -> dict[int, str]:
    """The roles of a project's members by account."""
    listed = (await ada.get(f"/projects/{project['id']}/members")).json()
    return {member["user"]["id"]: member["role"] for member in listed}


def allowed(caller: str, *concerned: str) -> str | None:
    """The code for managing people of these roles: admins do, but never above their own rank."""
    manages = RANK[caller] >= RANK["admin"] and all(RANK[caller] >= RANK[role] for role in concerned)
    return None if manages else "FORBIDDEN"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "/username"),
    ({"username": None}, "/username"),
    ({"username": ""}, "/username"),
    ({"username": "x" * 51}, "/username"),
    ({"username": "\x00"}, "/username"),
    ({"username": "somebody", "role": "king"}, "/role"),
    ({"username": "somebody", "role": None}, "/role"),
    ({"username": "somebody", "user_id": 1}, "/user_id"),
]


class TestService:
    async def test_role_and_its_event_are_one_transaction(self, ada: Person, bob: Person, database: Database) -> None:
        project = await ada.project()
        await ada.invite(project, bob)
        async with unchanged(database):
            with suppress(ZeroDivisionError):
                async with database.writing() as session:
                    await members.update(session, ada.actor, project["id"], bob.id, MemberUpdate(role=Role.ADMIN))
                    raise ZeroDivisionError


@on_both_doors
class TestAdding:
    @pytest.mark.parametrize("role", [None, *ROLES])
    async def test_person_is_added_by_username_in_any_case(
        self, ada: Person, bob: Person, door: Door, database: Database, role: str | None
    ) -> None:
        project = await ada.project()
        body = {"username": bob.username.upper()} | ({"role": role} if role else {})
        async with new_events(database) as events:
            member = await ok(door, "add_member", ada, body, project_id=project["id"])

        user = {"id": bob.id, "node_id": bob.node_id, "username": bob.username, "full_name": None}
        assert member == member | {"user": user, "role": role or "member", "project_id": project["id"]}
        assert (await ok(door, "list_members", ada, project_id=project["id"]))[1:] == [member]
        assert [(event.kind, event.entity_id, event.project_id, event.changes) for event in events] == [
            ("member.added", bob.id, project["id"], {"user_id": [None, bob.id], "role": [None, role or "member"]})
        ]

    async def test_who_is_unknown_or_disabled_is_not_found(
        self, ada: Person, bob: Person, people: People, door: Door, database: Database
    ) -> None:
        project, admin = await ada.project(), await people(is_admin=True)
        assert (await admin.patch(f"/admin/users/{bob.id}", {"disabled": True})).status_code == 200
        for username in (bob.username, "nobody_of_that_name", "no such name!"):
            async with unchanged(database):
                refused = await run(door, "add_member", ada, {"username": username}, project_id=project["id"])
            assert refused.refusal == ("NOT_FOUND", ["/username"])

    async def test_member_is_not_added_again(self, ada: Person, bob: Person, door: Door, database: Database) -> None:
        project = await ada.project()
        await ada.invite(project, bob, "viewer")
        for person in (ada, bob):
            async with unchanged(database):
                body = {"username": person.username, "role": "owner"}
                refused = await run(door, "add_member", ada, body, project_id=project["id"])
            assert refused.code == "CONFLICT"

    async def test_same_person_added_at_the_same_time_is_one_member(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        project = await ada.project()
        body = {"username": bob.username}
        async with new_events(database) as events:
            answers = await asyncio.gather(
                *(run(door, "add_member", ada, body, project_id=project["id"]) for _ in range(6))
            )

        assert sorted(str(answer.code) for answer in answers) == [*["CONFLICT"] * 5, "None"]
        assert kinds(events) == ["member.added"]

    async def test_value_outside_the_rules_is_refused(
        self, ada: Person, door: Door, database: Database, subtests: pytest.Subtests
    ) -> None:
        project = await ada.project()
        async with unchanged(database):
            for body, pointer in REFUSED:
                with subtests.test(body=str(body)[:60]):
                    refused = await run(door, "add_member", ada, body, project_id=project["id"])
                    assert refused.refusal == ("BAD_USER_INPUT", [pointer])


@on_both_doors
class TestRoles:
    @pytest.mark.parametrize("caller", ROLES)
    async def test_admins_give_roles_up_to_their_own(
        self, ada: Person, bob: Person, people: People, door: Door, database: Database, caller: str
    ) -> None:
        project = await ada.project()
        await ada.invite(project, bob, caller)
        for role in ROLES:
            new = await people()
            body = {"username": new.username, "role": role}
            if code := allowed(caller, role):
                async with unchanged(database):
                    refused = await run(door, "add_member", bob, body, project_id=project["id"])
                assert refused.refusal == (code, [])
            else:
                assert (await ok(door, "add_member", bob, body, project_id=project["id"]))["role"] == role

    @pytest.mark.parametrize("caller", ROLES)
    async def test_admins_change_and_remove_people_up_to_their_own_rank(
        self, ada: Person, bob: Person, people: People, door: Door, database: Database, caller: str
    ) -> None:
        project = await ada.project()
        await ada.invite(project, bob, caller)
        for before in ROLES:
            eve = await people()
            await ada.invite(project, eve, before)
            place = {"project_id": project["id"], "user_id": eve.id}
            for after in (role for role in ROLES if role != before):
                if code := allowed(caller, before, after):
                    async with unchanged(database):
                        refused = await run(door, "update_member", bob, {"role": after}, **place)
                    assert refused.refusal == (code, [])
                else:
                    async with new_events(database) as events:
                        assert (await ok(door, "update_member", bob, {"role": after}, **place))["role"] == after
                        await ok(door, "update_member", bob, {"role": before}, **place)
                    assert [event.changes["role"] for event in events] == [[before, after], [after, before]]
            if code := allowed(caller, before):
                async with unchanged(database):
                    assert (await run(door, "remove_member", bob, **place)).refusal == (code, [])
            else:
                await ok(door, "remove_member", bob, **place)
                assert eve.id not in await roles(ada, project)

    async def test_same_role_again_writes_nothing(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        project = await ada.project()
        await ada.invite(project, bob)
        async with unchanged(database):
            member = await ok(door, "update_member", ada, {"role": "member"}, project_id=project["id"], user_id=bob.id)

        assert member["role"] == "member"

    async def test_nobody_is_managed_where_they_are_no_member(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        project, foreign = await ada.project(), await bob.project()
        cases = [(project["id"], bob.id), (project["id"], 2**31 - 1), (foreign["id"], bob.id), (2**31 - 1, ada.id)]
        for project_id, user_id in cases:
            place = {"project_id": project_id, "user_id": user_id}
            async with unchanged(database):
                answers = [
                    await run(door, "update_member", ada, {"role": "viewer"}, **place),
                    await run(door, "remove_member", ada, **place),
                ]
            assert [answer.refusal for answer in answers] == [("NOT_FOUND", [])] * 2

    async def test_archived_project_may_be_left_and_nothing_else(
        self, ada: Person, bob: Person, people: People, door: Door, database: Database
    ) -> None:
        project, eve = await ada.project(), await people()
        await ada.invite(project, bob)
        await ada.patch(f"/projects/{project['id']}", {"archived": True})
        async with unchanged(database):
            answers = [
                await run(door, "add_member", ada, {"username": eve.username}, project_id=project["id"]),
                await run(door, "update_member", ada, {"role": "admin"}, project_id=project["id"], user_id=bob.id),
            ]

        assert [answer.code for answer in answers] == ["CONFLICT"] * 2
        await ok(door, "remove_member", bob, project_id=project["id"], user_id=bob.id)

    async def test_people_are_managed_with_a_key_of_that_scope(
        self, ada: Person, bob: Person, people: People, door: Door, database: Database
    ) -> None:
        project, eve = await ada.project(), await people()
        await ada.invite(project, bob)
        manager, writer = await ada.api_key("projects:admin"), await ada.api_key("tasks:write")
        place = {"project_id": project["id"], "user_id": bob.id}
        async with unchanged(database):
            answers = [
                await run(door, "add_member", writer, {"username": eve.username}, project_id=project["id"]),
                await run(door, "update_member", writer, {"role": "viewer"}, **place),
                await run(door, "remove_member", writer, **place),
            ]
        assert [answer.code for answer in answers] == ["FORBIDDEN"] * 3
        await ok(door, "add_member", manager, {"username": eve.username}, project_id=project["id"])
        await ok(door, "update_member", manager, {"role": "viewer"}, **place)
        await ok(door, "remove_member", manager, **place)


@on_both_doors
class TestLeaving:
    @pytest.mark.parametrize("role", ROLES)
    async def test_anybody_may_leave(self, ada: Person, bob: Person, door: Door, database: Database, role: str) -> None:
        project = await ada.project()
        await ada.invite(project, bob, role)
        task = await ada.task(project_id=project["id"], assignee_ids=[ada.id, bob.id])
        elsewhere = await bob.task(assignee_ids=[bob.id])
        async with new_events(database) as events:
            await ok(door, "remove_member", bob, project_id=project["id"], user_id=bob.id)

        assert await roles(ada, project) == {ada.id: "owner"}
        assert (await run(door, "get_project", bob, project_id=project["id"])).code == "NOT_FOUND"
        # who is gone does nothing there any more, and the tasks say so
        read = await ok(door, "get_task_with_relations", ada, task_id=task["id"])
        assert (read["assignees"], read["version"]) == ([ada.id], 2)
        assert (await ok(door, "get_task_with_relations", bob, task_id=elsewhere["id"]))["assignees"] == [bob.id]
        changes = {event.kind: event.changes for event in events}
        assert changes == {
            "task.updated": {"assignee_ids": [sorted([ada.id, bob.id]), [ada.id]]},
            "member.removed": {"user_id": [bob.id, None], "role": [role, None]},
        }

    async def test_last_owner_stays(self, ada: Person, bob: Person, door: Door, database: Database) -> None:
        project = await ada.project()
        await ada.invite(project, bob, "admin")
        async with unchanged(database):
            answers = [
                await run(door, "remove_member", ada, project_id=project["id"], user_id=ada.id),
                await run(door, "update_member", ada, {"role": "admin"}, project_id=project["id"], user_id=ada.id),
            ]
        assert [answer.refusal for answer in answers] == [("CONFLICT", [])] * 2

        await ok(door, "update_member", ada, {"role": "owner"}, project_id=project["id"], user_id=bob.id)
        await ok(door, "update_member", ada, {"role": "viewer"}, project_id=project["id"], user_id=ada.id)
        assert await roles(ada, project) == {ada.id: "viewer", bob.id: "owner"}

    async def test_owners_who_leave_at_the_same_time_leave_one(self, ada: Person, people: People, door: Door) -> None:
        project = await ada.project()
        owners = [ada, *[await people() for _ in range(3)]]
        for owner in owners[1:]:
            await ada.invite(project, owner, "owner")
        answers = await asyncio.gather(
            *(run(door, "remove_member", owner, project_id=project["id"], user_id=owner.id) for owner in owners)
        )

        assert sorted(str(answer.code) for answer in answers) == ["CONFLICT", "None", "None", "None"]
        [left] = [owner for owner, answer in zip(owners, answers, strict=True) if answer.code]
        assert await roles(left, project) == {left.id: "owner"}


class TestRest:
    async def test_members_are_listed_longest_first_in_pages(self, ada: Person, people: People) -> None:
        project = await ada.project()
        # accounts older than the project's, and younger: the order is of joining
        joined = [ada, *[await people() for _ in range(3)]]
        for person in (joined[2], joined[1], joined[3]):
            await ada.invite(project, person, "viewer")
        path = f"/projects/{project['id']}/members"
        first = await ada.get(f"{path}?limit=3")
        following = first.headers["link"].partition('>; rel="next"')[0].rpartition("<")[2]
        rest = await ada.client.get(following, headers=ada.headers)

        seen = [member["user"]["id"] for member in (*first.json(), *rest.json())]
        assert seen == [joined[n].id for n in (0, 2, 1, 3)]
        assert (await ada.get(f"{path}?skip=1&limit=1")).json() == [first.json()[1]]

    async def test_member_is_found_by_the_account(self, ada: Person, bob: Person) -> None:
        project = await ada.project()
        made = await ada.post(f"/projects/{project['id']}/members", {"username": bob.username})

        assert made.headers["location"] == f"/api/v1/projects/{project['id']}/members/{bob.id}"
        assert (await bob.get(f"/projects/{project['id']}/members/{bob.id}")).json() == made.json()
        assert (await ada.get(f"/projects/{project['id']}/members/{2**31 - 1}")).status_code == 404
        assert "email" not in made.json()["user"]


class TestGraphQL:
    async def test_members_are_a_connection(self, ada: Person, bob: Person) -> None:
        project = await ada.project()
        await ada.invite(project, bob, "viewer")
        query = (
            "query($id: ID!, $after: String) { project(id: $id) { members(first: 1, after: $after) "
            "{ totalCount pageInfo { hasNextPage endCursor } "
            "edges { node { role user { username } project { key } } } } } }"
        )
        first = (await bob.gql(query, {"id": project["node_id"]})).data["project"]["members"]
        variables = {"id": project["node_id"], "after": first["pageInfo"]["endCursor"]}
        rest = (await bob.gql(query, variables)).data["project"]["members"]

        assert (first["totalCount"], first["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]) == (
            2,
            True,
            False,
        )
        assert [edge["node"] for edge in (*first["edges"], *rest["edges"])] == [
            {"role": "OWNER", "user": {"username": ada.username}, "project": {"key": project["key"]}},
            {"role": "VIEWER", "user": {"username": bob.username}, "project": {"key": project["key"]}},
        ]
