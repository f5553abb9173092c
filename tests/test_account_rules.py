"""Who may register, and what becomes of an account that its owner deletes; on both doors."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from api.state import State
from db.driver.database import Database
from db.models import ApiKey, Event, Project, SavedView, Task, User
from services import accounts
from services.accounts import OPERATOR, Invitation
from services.invitations import BAD_INVITATION, BY_INVITATION, CLOSED, FOR_ANOTHER
from tests.actors import PASSWORD, Anonymous, Person
from tests.conftest import People
from tests.doors import Door, Result, from_graphql, from_rest, log_in, on_both_doors
from tests.operations import ACCOUNTS
from tests.test_password_resets import server

NAMES = iter(range(10_000))
DELETE = ACCOUNTS["delete_me"]


async def register(door: Door, caller: Anonymous, **fields: Any) -> Result:
    name = f"new_{door[0]}{next(NAMES)}"
    values = {"username": name, "email": f"{name}@example.com", "password": PASSWORD} | fields
    if door == "rest":
        return from_rest(await caller.post("/users", values))
    document = "mutation($i: RegisterInput!) { result: register(input: $i) { user { id } } }"
    return from_graphql(await caller.gql(document, {"i": values}))


async def invitation(state: State, email: str | None = None, days: int = 7) -> str:
    async with state.database.writing() as session:
        return await accounts.invite(session, OPERATOR, Invitation(email=email), lifetime=timedelta(days=days))


@on_both_doors
class TestRegistration:
    async def test_closed(self, database: Database, door: Door) -> None:
        async with server(database, registration="closed") as (caller, state):
            for fields in ({}, {"invitation": await invitation(state)}):
                refused = await register(door, caller, **fields)
                assert (refused.code, refused.message) == ("FORBIDDEN", CLOSED)

    async def test_by_invitation(self, database: Database, door: Door) -> None:
        async with server(database, registration="invite") as (caller, state):
            refused = await register(door, caller)
            assert (refused.code, refused.message) == ("FORBIDDEN", BY_INVITATION)

            token = await invitation(state)
            assert (await register(door, caller, invitation=token)).code is None
            spent = await register(door, caller, invitation=token)
            assert spent.refusal == ("BAD_USER_INPUT", ["/invitation"])
            assert BAD_INVITATION in spent.message

    async def test_invitation_of_an_address_is_its_owners(self, database: Database, door: Door) -> None:
        async with server(database, registration="invite") as (caller, state):
            mine = f"guest_{door}_{database.dialect}@example.com"
            token = await invitation(state, email=mine.upper())

            other = await register(door, caller, invitation=token)
            assert (other.refusal, FOR_ANOTHER in other.message) == (("BAD_USER_INPUT", ["/invitation"]), True)
            assert (await register(door, caller, invitation=token, email=mine)).code is None

    async def test_refused_registration_leaves_the_invitation(
        self, database: Database, ada: Person, door: Door
    ) -> None:
        async with server(database, registration="invite") as (caller, state):
            token = await invitation(state)
            taken = await register(door, caller, invitation=token, username=ada.username)
            assert taken.refusal == ("CONFLICT", ["/username"])
            assert (await register(door, caller, invitation=token)).code is None

    async def test_invitation_counts_where_none_is_asked_for(self, anonymous: Anonymous, door: Door) -> None:
        assert (await register(door, anonymous, invitation="made up")).refusal == ("BAD_USER_INPUT", ["/invitation"])

    async def test_administrator_registers_others_always(self, database: Database, people: People, door: Door) -> None:
        boss = await people(is_admin=True)
        async with server(database, registration="closed") as (caller, _):
            assert (await register(door, Anonymous(caller.client, boss.headers))).code is None


@on_both_doors
class TestDeletion:
    async def test_what_is_ones_own_goes_and_what_is_shared_stays_without_the_name(
        self, ada: Person, bob: Person, anonymous: Anonymous, database: Database, door: Door
    ) -> None:
        shared = await bob.project()
        await bob.invite(shared, ada)
        task = await ada.task(project_id=shared["id"], assignee_ids=[ada.id])
        comment = await ada.comment(task["id"])
        alone, own = await ada.project(), await ada.task()
        await ada.api_key("tasks:read")
        await ada.post("/saved-views", {"name": "Mine"})

        assert (await DELETE.on(door, ada, {"password": PASSWORD})).code is None

        for name in (ada.username, ada.email):
            assert (await log_in(door, anonymous, name, PASSWORD)).code == "UNAUTHENTICATED"
        assert (await anonymous.get("/users/me", headers=ada.headers)).status_code == 401
        async with database.reading() as session:
            left = [
                await session.scalars(select(Project.id).where(Project.id == alone["id"])),
                await session.scalars(select(Project.id).where(Project.inbox_of_id == ada.id)),
                await session.scalars(select(Task.id).where(Task.id == own["id"])),
                await session.scalars(select(ApiKey.id).where(ApiKey.user_id == ada.id)),
                await session.scalars(select(SavedView.id).where(SavedView.owner_id == ada.id)),
            ]
            row = await session.first(select(User.email, User.password_hash, User.full_name).where(User.id == ada.id))
            kinds = await session.scalars(select(Event.kind).where(Event.account_id == ada.id))
        assert [list(each) for each in left] == [[]] * 5
        assert row is not None
        assert tuple(row) == (None, None, "Deleted account")
        assert "user.deleted" in kinds
        seen = (await bob.get(f"/tasks/{task['id']}?expand=assignees&expand=comments&expand=created_by")).json()
        assert seen["assignees"] == []
        assert [each["id"] for each in seen["comments"]] == [comment["id"]]
        assert seen["created_by"]["username"].startswith(f"deleted_{ada.id}_")
        assert ada.username not in str(seen)
        again = await register("rest", anonymous, username=ada.username, email=ada.email)
        assert again.code is None

    async def test_wrong_password(self, ada: Person, door: Door) -> None:
        refused = await DELETE.on(door, ada, {"password": "not the one"})
        assert refused.refusal == ("BAD_USER_INPUT", ["/password"])
        assert (await ada.get("/users/me")).status_code == 200

    async def test_last_owner_of_what_others_are_in_is_told_which(self, ada: Person, bob: Person, door: Door) -> None:
        project, _ = await ada.project(), await ada.project()
        await ada.invite(project, bob, "admin")

        refused = await DELETE.on(door, ada, {"password": PASSWORD})
        assert refused.code == "CONFLICT"
        told = f"You are the last owner of {project['key']}: give them another owner, or delete them, first"
        assert refused.message == told
        assert (await ada.get(f"/projects/{project['id']}")).status_code == 200

        await ada.patch(f"/projects/{project['id']}/members/{bob.id}", {"role": "owner"})
        assert (await DELETE.on(door, ada, {"password": PASSWORD})).code is None
        assert (await bob.get(f"/projects/{project['id']}")).status_code == 200

    async def test_last_administrator_stays(self, people: People, database: Database, door: Door) -> None:
        boss, other = await people(is_admin=True), await people(is_admin=True)
        async with database.writing() as session:
            others = update(User).where(User.is_admin, User.id.not_in([boss.id, other.id]))
            await session.execute(others.values(is_admin=False))

        assert (await DELETE.on(door, other, {"password": PASSWORD})).code is None
        refused = await DELETE.on(door, boss, {"password": PASSWORD})
        assert refused.code == "CONFLICT"
        assert refused.message == "You are the last administrator of this server: make another one first"

    async def test_key_deletes_nobody(self, ada: Person, door: Door) -> None:
        key = await ada.api_key("tasks:read", "tasks:write", "projects:admin")
        assert (await DELETE.on(door, key, {"password": PASSWORD})).code == "FORBIDDEN"


@pytest.mark.parametrize("limit", ["2/15 minutes"])
async def test_guesses_count_like_those_of_a_change(database: Database, people: People, limit: str) -> None:
    ada = await people()
    async with server(database, login_failure_limit=limit) as (caller, _):
        person = Anonymous(caller.client, ada.headers)
        codes = [(await DELETE.on("rest", person, {"password": "not the one"})).code for _ in range(3)]
    assert codes == ["BAD_USER_INPUT", "BAD_USER_INPUT", "RATE_LIMITED"]
