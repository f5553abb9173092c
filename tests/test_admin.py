"""Administration: clearing tasks with a key, as the source guide has it; seeing, disabling and enabling accounts."""

from typing import Any

import pytest
from sqlalchemy import func, select, update

from db.driver.database import Database
from db.models import Comment, Event, Project, Task, User
from tests.actors import PASSWORD, Anonymous, Person
from tests.conftest import SERVER_KEY, People
from tests.doors import Call, Door, as_rest, log_in, nothing_written, on_both_doors, spelt

FIELDS = "id databaseId username fullName email timezone isAdmin disabled createdAt"
ME = Call("GET /users/me", "{ result: me { databaseId id } }")
CLEAR = Call(
    "DELETE /admin/clear-tasks",
    "mutation($input: ClearTasksInput!) { result: clearTasks(input: $input) { message } }",
)
CLEAR_UNVERSIONED = Call("DELETE //admin/clear-tasks", CLEAR.graphql)
LIST_USERS = Call("GET /users?limit=100", f"{{ result: users(last: 100) {{ edges {{ node {{ {FIELDS} }} }} }} }}")
UPDATE_USER = Call(
    "PATCH /admin/users/{id}",
    f"mutation($input: UpdateUserInput!) {{ result: updateUser(input: $input) {{ user {{ {FIELDS} }} }} }}",
    node="User",
    payload="user",
    id_in_input=True,
)
REFRESH = Call(
    "POST /token/refresh",
    "mutation($input: RefreshTokenInput!) { result: refreshToken(input: $input) { refreshToken } }",
)
USERS_PAGE = f"""query($after: String) {{
    users(first: 100, after: $after) {{ edges {{ node {{ {FIELDS} }} }} pageInfo {{ hasNextPage endCursor }} }}
}}"""


def server(caller: Anonymous) -> Anonymous:
    """Whoever holds the key of the settings."""
    return Anonymous(caller.client, {"X-API-Key": SERVER_KEY})


async def count(database: Database, model: type[Any]) -> int:
    async with database.reading() as session:
        return int(await session.scalar(select(func.count()).select_from(model)))


@pytest.fixture
async def administrator(people: People) -> Person:
    return await people(is_admin=True)


class TestClearTasks:
    @on_both_doors
    @pytest.mark.parametrize("call", [CLEAR, CLEAR_UNVERSIONED], ids=["versioned", "unversioned"])
    async def test_nobody_without_the_right_key(
        self, anonymous: Anonymous, ada: Person, administrator: Person, database: Database, door: Door, call: Call
    ) -> None:
        await ada.task()
        others = [await ada.api_key("tasks:write"), await administrator.api_key("tasks:write", "projects:admin")]
        for key in others:
            await key.get("/users/me")
        wrong = [Anonymous(ada.client, {"X-API-Key": value}) for value in ("wrong", "", SERVER_KEY[:-1])]
        beside = [Anonymous(ada.client, administrator.headers | key.headers) for key in wrong]

        async with nothing_written(database):
            for caller in (anonymous, ada, administrator, *others, *wrong, *beside):
                refused = await call.on(door, caller)
                assert refused.code == "FORBIDDEN"
                assert "API key" in refused.message
                if door == "rest":
                    assert refused.status == 403

    @on_both_doors
    @pytest.mark.parametrize("call", [CLEAR, CLEAR_UNVERSIONED], ids=["versioned", "unversioned"])
    @pytest.mark.parametrize("whose", ["server", "administrator"])
    async def test_everybodys_tasks_go_and_nothing_else(
        self,
        ada: Person,
        bob: Person,
        administrator: Person,
        database: Database,
        door: Door,
        call: Call,
        whose: str,
    ) -> None:
        parent = await ada.task(tags=["bug"])
        await ada.task(parent_id=parent["id"])
        await bob.comment((await bob.task())["id"])
        trashed = await bob.task()
        await bob.delete(f"/tasks/{trashed['id']}")
        projects, accounts = await count(database, Project), await count(database, User)
        key = server(ada) if whose == "server" else await administrator.api_key("admin")

        cleared = await call.on(door, key)

        assert (cleared.status, cleared.body) == (200, {"message": "All tasks deleted"})
        assert (await count(database, Task), await count(database, Comment)) == (0, 0)
        assert (await count(database, Project), await count(database, User)) == (projects, accounts)
        assert (await ada.task())["ref"] == "INBOX-3"  # numbers are not used again

    async def test_a_project_alone_can_be_cleared(self, ada: Person, database: Database) -> None:
        project, kept = await ada.project(), await ada.task()
        await ada.task(project_id=project["id"])

        cleared = await server(ada).delete(f"/admin/clear-tasks?project_id={project['id']}")

        assert cleared.status_code == 200
        assert [task["id"] for task in (await ada.get("/tasks")).json()] == [kept["id"]]

    @on_both_doors
    async def test_event_says_how_many_and_by_whom(self, ada: Person, database: Database, door: Door) -> None:
        await CLEAR.on(door, server(ada))
        await ada.task()

        await CLEAR.on(door, server(ada))

        async with database.reading() as session:
            event = await session.first(
                select(Event.changes, Event.actor_id, Event.actor_method)
                .where(Event.kind == "tasks.cleared")
                .order_by(Event.id.desc())
                .limit(1)
            )
        assert event is not None
        assert tuple(event) == ({"tasks": [1, 0]}, None, "server_key")


class TestUsers:
    @on_both_doors
    async def test_administrators_see_every_account_with_its_address(
        self, ada: Person, administrator: Person, door: Door
    ) -> None:
        for caller in (administrator, await administrator.api_key("admin"), server(ada)):
            listed = await everybody(door, caller)

            assert [account["id"] for account in listed] == sorted(account["id"] for account in listed)
            [account] = [each for each in listed if each["id"] == ada.id]
            assert (account["username"], account["email"], account["is_admin"]) == (ada.username, ada.email, False)
            [own] = [each for each in listed if each["id"] == administrator.id]
            assert own["is_admin"] is True

    @on_both_doors
    async def test_others_see_whom_they_share_a_project_with(
        self, ada: Person, bob: Person, administrator: Person, door: Door
    ) -> None:
        await ada.invite(await ada.project(), bob)

        for caller in (ada, await ada.api_key("tasks:read")):
            listed = (await LIST_USERS.on(door, caller)).body
            assert [(account["id"], account["email"]) for account in listed] == [(ada.id, ada.email), (bob.id, None)]
        scoped = await administrator.api_key("tasks:write")
        assert [account["id"] for account in (await LIST_USERS.on(door, scoped)).body] == [administrator.id]

    @on_both_doors
    async def test_nobody_sees_a_list(self, anonymous: Anonymous, door: Door) -> None:
        refused = await LIST_USERS.on(door, anonymous)

        assert (refused.status, refused.code) == (401, "UNAUTHENTICATED")


async def everybody(door: Door, caller: Anonymous) -> list[dict[str, Any]]:
    """Every account, page by page."""
    found: list[dict[str, Any]] = []
    following: str | None = "/users?limit=100"
    cursor = None
    while following:
        if door == "rest":
            page = await caller.get(following)
            found += page.json()
            following = "/" + page.links["next"]["url"] if "next" in page.links else None
        else:
            users = (await caller.gql(USERS_PAGE, {"after": cursor})).data["users"]
            found += [as_rest(edge["node"]) for edge in users["edges"]]
            cursor = users["pageInfo"]["endCursor"]
            following = following if users["pageInfo"]["hasNextPage"] else None
    return found


class TestDisabling:
    @on_both_doors
    async def test_disabled_account_is_shut_out_until_it_is_enabled(
        self, ada: Person, administrator: Person, door: Door
    ) -> None:
        key = await ada.api_key("tasks:read")
        refresh = {"refresh_token": ada.refresh_token}

        disabled = await UPDATE_USER.on(door, administrator, {"disabled": True}, id=ada.id)

        assert (disabled.body["id"], disabled.body["disabled"]) == (ada.id, True)
        assert (await ME.on(door, ada)).code == "UNAUTHENTICATED"
        assert (await ME.on(door, key)).code == "FORBIDDEN"
        assert (await REFRESH.on(door, Anonymous(ada.client), refresh)).code == "UNAUTHENTICATED"
        assert (await log_in(door, Anonymous(ada.client), ada.username, PASSWORD)).code == "UNAUTHENTICATED"

        enabled = await UPDATE_USER.on(door, administrator, {"disabled": False}, id=ada.id)

        assert enabled.body["disabled"] is False
        assert (await log_in(door, Anonymous(ada.client), ada.username, PASSWORD)).code is None
        assert (await ME.on(door, key)).code is None

    @on_both_doors
    async def test_every_way_to_be_an_administrator_may(
        self, ada: Person, administrator: Person, database: Database, door: Door
    ) -> None:
        for caller in (administrator, await administrator.api_key("admin"), server(ada)):
            for disabled in (True, False):
                assert (await UPDATE_USER.on(door, caller, {"disabled": disabled}, id=ada.id)).code is None

        async with database.reading() as session:
            events = await session.all(
                select(Event.actor_method, Event.actor_id, Event.changes)
                .where(Event.kind == "user.updated", Event.entity_id == ada.id)
                .order_by(Event.id)
            )
        assert [tuple(event) for event in events[::2]] == [
            ("token", administrator.id, {"disabled": [False, True]}),
            ("api_key", administrator.id, {"disabled": [False, True]}),
            ("server_key", None, {"disabled": [False, True]}),
        ]

    @on_both_doors
    async def test_others_may_not(
        self, anonymous: Anonymous, ada: Person, bob: Person, administrator: Person, database: Database, door: Door
    ) -> None:
        scoped = await administrator.api_key("tasks:write", "projects:admin")
        await scoped.get("/users/me")

        async with nothing_written(database):
            refused = [
                (await UPDATE_USER.on(door, caller, {"disabled": True}, id=bob.id)).code
                for caller in (anonymous, ada, bob, scoped)
            ]

        assert refused == ["UNAUTHENTICATED", "FORBIDDEN", "FORBIDDEN", "FORBIDDEN"]
        assert (await ME.on(door, bob)).code is None

    @on_both_doors
    async def test_administrators_do_not_shut_themselves_out(
        self, administrator: Person, database: Database, door: Door
    ) -> None:
        async with nothing_written(database):
            refused = await UPDATE_USER.on(door, administrator, {"disabled": True}, id=administrator.id)

        assert refused.refusal == ("BAD_USER_INPUT", ["/disabled"])

    @on_both_doors
    async def test_account_that_is_not_there_is_not_found(
        self, ada: Person, administrator: Person, database: Database, door: Door
    ) -> None:
        async with nothing_written(database):
            refused = await UPDATE_USER.on(door, administrator, {"disabled": True}, id=ada.id + 1_000_000)

        assert refused.code == "NOT_FOUND"

    @on_both_doors
    async def test_what_is_as_wanted_is_not_written(
        self, ada: Person, administrator: Person, database: Database, door: Door
    ) -> None:
        async with nothing_written(database):
            for values in ({"disabled": False}, {}):
                assert (await UPDATE_USER.on(door, administrator, values, id=ada.id)).body["disabled"] is False

    @on_both_doors
    @pytest.mark.parametrize("values", [{"disabled": None}, {"disabled": "yes"}, {"disabled": 1}])
    async def test_bad_value_is_refused(
        self, ada: Person, administrator: Person, database: Database, door: Door, values: dict[str, Any]
    ) -> None:
        async with nothing_written(database):
            refused = await UPDATE_USER.on(door, administrator, values, id=ada.id)

        assert refused.code == "BAD_USER_INPUT"
        assert "disabled" in refused.message

    @on_both_doors
    @pytest.mark.parametrize("field", ["is_admin", "email", "password", "username"])
    async def test_administrators_change_nothing_else(
        self, ada: Person, administrator: Person, database: Database, door: Door, field: str
    ) -> None:
        async with nothing_written(database):
            refused = await UPDATE_USER.on(door, administrator, {"disabled": True, field: "x"}, id=ada.id)

        assert refused.code == "BAD_USER_INPUT"
        assert spelt(door, field) in refused.message

    async def test_imported_account_without_a_password_can_be_disabled(
        self, ada: Person, administrator: Person, database: Database
    ) -> None:
        async with database.writing() as session:
            await session.execute(update(User).where(User.id == ada.id).values(password_hash=None, email=None))

        changed = await administrator.patch(f"/admin/users/{ada.id}", {"disabled": True})

        assert (changed.status_code, changed.json()["email"]) == (200, None)
