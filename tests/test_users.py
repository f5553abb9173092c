"""Accounts: registration, the caller's own profile and password, and what others see of an account."""

import asyncio
import json
import secrets
from typing import Any

import pytest
from sqlalchemy import select

from api.state import State
from db.driver.database import Database
from db.models import Event, Project
from services.allowances.rate_limits import RateLimits
from services.shared.actors import ANONYMOUS, Actor
from services.shared.errors import Forbidden
from services.users import commands as users
from services.users.models import UserCreate, UserUpdate
from tests.actors import GRAPHQL_JSON, PASSWORD, Anonymous, Person
from tests.conftest import People
from tests.doors import Call, Door, bearer, from_rest, log_in, nothing_written, on_both_doors, spelt
from tests.operations import ok

FIELDS = "id databaseId username fullName email emailVerifiedAt timezone isAdmin disabled createdAt"
REGISTER = Call(
    "POST /users",
    f"mutation($input: RegisterInput!) {{ result: register(input: $input) {{ user {{ {FIELDS} }} }} }}",
    payload="user",
)
ME = Call("GET /users/me", f"{{ result: me {{ {FIELDS} }} }}")
UPDATE_ME = Call(
    "PATCH /users/me",
    f"mutation($input: UpdateMeInput!) {{ result: updateMe(input: $input) {{ user {{ {FIELDS} }} }} }}",
    payload="user",
)
USER = Call("GET /users/{id}", f"query($id: ID!) {{ result: user(id: $id) {{ {FIELDS} }} }}", node="User")
PRIVATE = ("email", "email_verified_at", "timezone", "is_admin", "disabled", "created_at")

BAD = {
    "username": ["", "ab", "a" * 51, "ada lovelace", "ada-l", "ada@example.com", "ädä", "ada\n", "ada\x00"],
    "email": [
        *("", "ada", "ada@", "@example.com", "a@example.com, b@example.com", "Ada <ada@example.com>"),
        *("ada\x00@example.com", f"ada@{'a.' * 130}com"),
    ],
    "password": ["", "1234567", "x" * 1025, "correct\x00horse"],
    "full_name": ["", " \t\n", "x" * 201, "Ada\x00"],
    "timezone": ["", "Mars/Olympus", "../../etc/passwd", "x" * 65, "UTC\x00"],
}


def new_account(**fields: Any) -> dict[str, Any]:
    name = f"New_{secrets.token_hex(6)}"
    return {"username": name, "email": f"{name}@example.com", "password": PASSWORD} | fields


class TestRegistration:
    @on_both_doors
    async def test_account_is_answered_as_its_owner_sees_it(self, anonymous: Anonymous, door: Door) -> None:
        data = new_account(full_name="  Ada Lovelace ", timezone="Europe/Vienna")

        made = await REGISTER.on(door, anonymous, data)

        assert made.code is None
        account = dict(made.body)
        assert account.pop("id") > 0
        assert account.pop("node_id")
        assert account.pop("created_at").endswith("Z")
        assert account == {
            "username": data["username"],
            "full_name": "Ada Lovelace",
            "email": data["email"].lower(),
            "email_verified_at": None,
            "timezone": "Europe/Vienna",
            "is_admin": False,
            "disabled": False,
        }

    @on_both_doors
    async def test_new_account_can_log_in_and_owns_an_inbox(
        self, anonymous: Anonymous, database: Database, door: Door
    ) -> None:
        data = new_account()
        user = (await REGISTER.on(door, anonymous, data)).body

        login = await log_in(door, anonymous, data["username"], PASSWORD)

        assert (await ME.on(door, bearer(anonymous, login.body["access_token"]))).body == user
        async with database.reading() as session:
            inboxes = await session.scalars(select(Project.name).where(Project.inbox_of_id == user["id"]))
        assert inboxes == ["Inbox"]

    async def test_rest_says_created_and_where(self, anonymous: Anonymous) -> None:
        made = await anonymous.post("/users", new_account())

        assert made.status_code == 201
        assert made.headers["location"] == "/api/v1/users/me"

    @on_both_doors
    @pytest.mark.parametrize(("start", "length"), [("x", 3), ("x", 50), ("_A_z_9", 20)])
    async def test_name_of_letters_digits_and_underscores_is_kept_as_written(
        self, anonymous: Anonymous, door: Door, start: str, length: int
    ) -> None:
        name = (start + secrets.token_hex(25))[:length]

        assert (await REGISTER.on(door, anonymous, new_account(username=name))).body["username"] == name

    @on_both_doors
    @pytest.mark.parametrize(("field", "value"), [(field, value) for field in BAD for value in BAD[field]])
    async def test_bad_value_is_refused_where_it_stands(
        self, anonymous: Anonymous, database: Database, door: Door, field: str, value: str
    ) -> None:
        async with nothing_written(database):
            refused = await REGISTER.on(door, anonymous, new_account(**{field: value}))

        assert refused.refusal == ("BAD_USER_INPUT", [f"/{field}"])
        assert PASSWORD not in str(refused.body)

    @on_both_doors
    async def test_every_problem_is_named_at_once(self, anonymous: Anonymous, database: Database, door: Door) -> None:
        async with nothing_written(database):
            refused = await REGISTER.on(door, anonymous, {"username": "a", "email": "b", "password": "c"})

        assert refused.refusal == ("BAD_USER_INPUT", ["/username", "/email", "/password"])

    @on_both_doors
    @pytest.mark.parametrize("field", ["id", "is_admin", "disabled", "created_at", "password_hash", "nickname"])
    async def test_unknown_and_read_only_fields_are_refused_by_name(
        self, anonymous: Anonymous, database: Database, door: Door, field: str
    ) -> None:
        async with nothing_written(database):
            refused = await REGISTER.on(door, anonymous, new_account(**{field: True}))

        assert refused.code == "BAD_USER_INPUT"
        assert spelt(door, field) in refused.message

    @on_both_doors
    @pytest.mark.parametrize(
        "change", [{"is_admin": True}, {"username": 5}, {"email": None}, {"password": [PASSWORD]}], ids=str
    )
    async def test_refusal_does_not_repeat_the_password(
        self, anonymous: Anonymous, door: Door, change: dict[str, Any]
    ) -> None:
        refused = await REGISTER.on(door, anonymous, new_account() | change)

        assert refused.code == "BAD_USER_INPUT"
        assert PASSWORD not in str(refused.body)

    @on_both_doors
    @pytest.mark.parametrize("field", ["username", "email", "password", "full_name", "timezone"])
    @pytest.mark.parametrize("value", [5, True, ["x"], {"x": 1}])
    async def test_wrong_type_is_refused(
        self, anonymous: Anonymous, database: Database, door: Door, field: str, value: object
    ) -> None:
        async with nothing_written(database):
            refused = await REGISTER.on(door, anonymous, new_account(**{field: value}))

        assert refused.code == "BAD_USER_INPUT"

    @on_both_doors
    @pytest.mark.parametrize("field", ["username", "email", "password"])
    async def test_required_field_may_be_neither_absent_nor_null(
        self, anonymous: Anonymous, database: Database, door: Door, field: str
    ) -> None:
        without = {name: value for name, value in new_account().items() if name != field}

        async with nothing_written(database):
            absent = await REGISTER.on(door, anonymous, without)
            null = await REGISTER.on(door, anonymous, without | {field: None})

        assert (absent.code, null.code) == ("BAD_USER_INPUT", "BAD_USER_INPUT")

    @pytest.mark.parametrize("field", ["username", "email", "password", "full_name", "timezone"])
    async def test_lone_surrogates_are_refused(self, anonymous: Anonymous, database: Database, field: str) -> None:
        data = new_account(**{field: "long enough \ud800"})
        graphql = {"query": REGISTER.graphql, "variables": {"input": data}}
        json_type = {"Content-Type": "application/json", "Accept": GRAPHQL_JSON}

        async with nothing_written(database):
            rest = await anonymous.rest("POST", "/users", content=json.dumps(data), headers=json_type)
            other = await anonymous.rest("POST", "//graphql", content=json.dumps(graphql), headers=json_type)

        assert from_rest(rest).refusal == ("BAD_USER_INPUT", [f"/{field}"])
        assert other.status_code == 422

    @on_both_doors
    async def test_name_is_unique_whatever_the_case(
        self, anonymous: Anonymous, ada: Person, database: Database, door: Door
    ) -> None:
        async with nothing_written(database):
            refused = await REGISTER.on(door, anonymous, new_account(username=ada.username.upper()))

        assert refused.refusal == ("CONFLICT", ["/username"])

    @on_both_doors
    async def test_both_are_named_where_both_are_taken(self, anonymous: Anonymous, ada: Person, door: Door) -> None:
        refused = await REGISTER.on(door, anonymous, new_account(username=ada.username, email=ada.email))

        assert refused.refusal == ("CONFLICT", ["/username", "/email"])

    @on_both_doors
    async def test_address_is_unique_whatever_the_case(
        self, anonymous: Anonymous, ada: Person, database: Database, door: Door
    ) -> None:
        async with nothing_written(database):
            refused = await REGISTER.on(door, anonymous, new_account(email=ada.email.upper()))

        assert refused.refusal == ("CONFLICT", ["/email"])

    @on_both_doors
    @pytest.mark.parametrize(
        ("registered", "kept", "same"),
        [
            ("Rene\u0301.{}@example.com", "ren\u00e9.{}@example.com", "REN\u00c9.{}@example.com"),
            ("J\u030c{}@example.com", "\u01f0{}@example.com", "\u01f0{}@example.com"),
            ("{}@b\u00fccher.example.com", "{}@b\u00fccher.example.com", "{}@xn--bcher-kva.example.com"),
            ("{}@BU\u0308CHER.example.com", "{}@b\u00fccher.example.com", " {}@b\u00fccher.example.com\u200b"),
            (" {}@example.com ", "{}@example.com", "{}@\uff45xample.com"),
            ("stra\u00dfe.{}@example.com", "stra\u00dfe.{}@example.com", "STRA\u1e9eE.{}@example.com"),
        ],
    )
    async def test_address_is_the_same_however_it_is_typed(
        self, anonymous: Anonymous, database: Database, door: Door, registered: str, kept: str, same: str
    ) -> None:
        tag = secrets.token_hex(4)
        made = await REGISTER.on(door, anonymous, new_account(email=registered.format(tag)))
        assert made.body["email"] == kept.format(tag)

        for address in (registered, kept, same):
            assert (await log_in(door, anonymous, address.format(tag), PASSWORD)).code is None
        async with nothing_written(database):
            refused = await REGISTER.on(door, anonymous, new_account(email=same.strip(" \u200b").format(tag)))
        assert refused.refusal == ("CONFLICT", ["/email"])

    @on_both_doors
    async def test_address_of_another_mailbox_is_another(self, anonymous: Anonymous, door: Door) -> None:
        tag = secrets.token_hex(4)
        for local in ("stra\u00dfe", "strasse"):
            assert (await REGISTER.on(door, anonymous, new_account(email=f"{local}.{tag}@example.com"))).code is None

    @on_both_doors
    async def test_name_is_found_however_it_is_typed(
        self, ada: Person, people: People, anonymous: Anonymous, door: Door
    ) -> None:
        kate = await people(username=f"Kate_{secrets.token_hex(4)}")
        wide = "".join(chr(ord(c) + 0xFEE0) for c in kate.username)
        for name in (f" {kate.username}\n", kate.username.replace("K", "\u212a"), wide, wide.upper()):
            assert (await log_in(door, anonymous, name, PASSWORD)).code is None
            project = await ada.project()
            assert (await ok(door, "add_member", ada, {"username": name}, project_id=project["id"]))["user"] == {
                "id": kate.id,
                "node_id": kate.node_id,
                "username": kate.username,
                "full_name": None,
            }
        for name in (kate.username.replace("a", "\u00e4"), kate.username.replace("e", "\u0435"), f"{kate.username} x"):
            assert (await log_in(door, anonymous, name, PASSWORD)).code == "UNAUTHENTICATED"

    @on_both_doors
    @pytest.mark.parametrize("field", ["username", "email"])
    async def test_two_at_once_cannot_take_the_same(self, anonymous: Anonymous, door: Door, field: str) -> None:
        value = new_account()[field]
        tries = [REGISTER.on(door, anonymous, new_account(**{field: each})) for each in (value, value.upper())]

        refusals = [result.refusal for result in await asyncio.gather(*tries)]

        assert sorted(refusals, key=str) == [("CONFLICT", [f"/{field}"]), (None, [])]


class TestProfile:
    @on_both_doors
    async def test_me_is_the_caller(self, ada: Person, bob: Person, door: Door) -> None:
        me = await ME.on(door, ada)

        assert (me.body["id"], me.body["node_id"]) == (ada.id, ada.node_id)
        assert (me.body["username"], me.body["email"]) == (ada.username, ada.email)

    @on_both_doors
    @pytest.mark.parametrize(("call", "values"), [(ME, None), (UPDATE_ME, {})], ids=["read", "update"])
    async def test_nobody_has_no_account(
        self, anonymous: Anonymous, database: Database, door: Door, call: Call, values: object
    ) -> None:
        async with nothing_written(database):
            refused = await call.on(door, anonymous, values)

        assert (refused.status, refused.code) == (401, "UNAUTHENTICATED")
        assert refused.headers["www-authenticate"] == "Bearer"

    @on_both_doors
    async def test_only_what_is_sent_changes(self, people: People, door: Door) -> None:
        ada = await people(full_name="Ada", timezone="Europe/Vienna")
        before = (await ME.on(door, ada)).body

        changed = await UPDATE_ME.on(door, ada, {"timezone": "Asia/Tokyo"})

        assert changed.body == before | {"timezone": "Asia/Tokyo"}
        assert (await ME.on(door, ada)).body == changed.body

    @on_both_doors
    async def test_null_clears_the_full_name(self, people: People, door: Door) -> None:
        ada = await people(full_name="Ada")

        assert (await UPDATE_ME.on(door, ada, {"full_name": None})).body["full_name"] is None

    @on_both_doors
    async def test_address_is_folded_and_logs_in(self, ada: Person, door: Door) -> None:
        changed = await UPDATE_ME.on(door, ada, {"email": f"New_{ada.username}@EXAMPLE.com"})

        assert changed.body["email"] == f"new_{ada.username}@example.com"
        assert (await log_in(door, ada, f"NEW_{ada.username}@example.com", PASSWORD)).code is None
        assert (await log_in(door, ada, ada.email, PASSWORD)).code == "UNAUTHENTICATED"

    @on_both_doors
    async def test_address_of_somebody_else_is_taken(
        self, ada: Person, bob: Person, database: Database, door: Door
    ) -> None:
        async with nothing_written(database):
            refused = await UPDATE_ME.on(door, ada, {"email": bob.email.upper(), "full_name": "Not written"})

        assert refused.refusal == ("CONFLICT", ["/email"])

    @on_both_doors
    @pytest.mark.parametrize("change", [{}, {"email": "SAME"}, {"timezone": "UTC"}], ids=["nothing", "email", "zone"])
    async def test_nothing_is_written_where_nothing_differs(
        self, ada: Person, database: Database, door: Door, change: dict[str, Any]
    ) -> None:
        values = {name: ada.email.upper() if value == "SAME" else value for name, value in change.items()}

        async with nothing_written(database):
            assert (await UPDATE_ME.on(door, ada, values)).code is None

    @on_both_doors
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            *(("email", None), ("email", "ada"), ("timezone", None), ("timezone", "Mars/Olympus")),
            *(("full_name", " "), ("full_name", "x" * 201), ("full_name", "Ada\x00")),
        ],
    )
    async def test_bad_value_is_refused_where_it_stands(
        self, ada: Person, database: Database, door: Door, field: str, value: object
    ) -> None:
        async with nothing_written(database):
            refused = await UPDATE_ME.on(door, ada, {field: value})

        assert refused.refusal == ("BAD_USER_INPUT", [f"/{field}"])

    @on_both_doors
    @pytest.mark.parametrize("field", ["id", "username", "password", "disabled", "nickname"])
    async def test_unknown_and_read_only_fields_are_refused_by_name(
        self, ada: Person, database: Database, door: Door, field: str
    ) -> None:
        async with nothing_written(database):
            refused = await UPDATE_ME.on(door, ada, {field: "x"})

        assert refused.code == "BAD_USER_INPUT"
        assert spelt(door, field) in refused.message


class TestOthers:
    @on_both_doors
    async def test_stranger_is_not_found(self, ada: Person, bob: Person, door: Door) -> None:
        assert await seen(door, ada, bob.id) is None
        assert await seen(door, ada, bob.id + 1_000_000) is None

    @on_both_doors
    async def test_people_of_a_shared_project_see_the_name_alone(self, ada: Person, people: People, door: Door) -> None:
        bob = await people(full_name="Bob")
        await ada.invite(await ada.project(), bob, "viewer")

        account = await seen(door, ada, bob.id)

        assert account is not None
        assert (account["username"], account["full_name"]) == (bob.username, "Bob")
        assert [account.get(name) for name in PRIVATE] == [None] * len(PRIVATE)

    @on_both_doors
    async def test_private_fields_are_the_owners_and_administrators(
        self, ada: Person, people: People, door: Door
    ) -> None:
        administrator = await people(is_admin=True)

        for caller in (ada, administrator):
            account = await seen(door, caller, ada.id)
            assert account is not None
            assert (account["email"], account["timezone"]) == (ada.email, "UTC")
            assert (account["is_admin"], account["disabled"]) == (False, False)

    @on_both_doors
    async def test_administrators_key_without_the_scope_sees_no_more_than_others(
        self, ada: Person, people: People, door: Door
    ) -> None:
        key = await (await people(is_admin=True)).api_key("tasks:write", "projects:admin")

        assert await seen(door, key, ada.id) is None

    @on_both_doors
    async def test_nobody_sees_anybody(self, anonymous: Anonymous, ada: Person, door: Door) -> None:
        assert (await USER.on(door, anonymous, id=ada.id)).refusal == ("UNAUTHENTICATED", [])

    @pytest.mark.parametrize("query", ["node(id: $id)", "nodes(ids: [$id])"])
    async def test_node_shows_strangers_no_more_than_user(self, ada: Person, bob: Person, query: str) -> None:
        answer = await ada.gql(f"query($id: ID!) {{ result: {query} {{ id }} }}", {"id": bob.node_id})

        assert answer.data["result"] in (None, [None])

    async def test_member_lists_keep_addresses_private(self, ada: Person, bob: Person) -> None:
        project = await ada.project()
        await ada.invite(project, bob)
        query = "query($id: ID!) { project(id: $id) { members { edges { node { user { username email } } } } } }"

        rest = await ada.get(f"/projects/{project['id']}/members")
        graphql = await ada.gql(query, {"id": project["node_id"]})

        assert bob.username in rest.text
        assert bob.email not in rest.text
        shown = {edge["node"]["user"]["username"]: edge["node"]["user"]["email"] for edge in members_of(graphql.data)}
        assert shown == {ada.username: ada.email, bob.username: None}


def members_of(data: Any) -> Any:
    return data["project"]["members"]["edges"]


async def seen(door: Door, caller: Anonymous, user_id: int) -> dict[str, Any] | None:
    """What a caller sees of an account; None where it is not found, in the door's own way."""
    result = await USER.on(door, caller, id=user_id)
    if door == "rest" and result.code is not None:
        assert (result.status, result.code) == (404, "NOT_FOUND")
        return None
    assert result.code is None
    account: dict[str, Any] | None = result.body
    return account


class TestService:
    async def test_events_tell_what_changed_but_no_address(self, state: State) -> None:
        data = UserCreate.model_validate(new_account(full_name="Ada"))
        user = await users.register(state.database, ANONYMOUS, data, security=state.security)
        change = UserUpdate.model_validate({"email": f"new_{data.email}", "timezone": "Asia/Tokyo"})
        async with state.database.writing() as session:
            await users.update_me(session, Actor("token", user_id=user.id), change, limits=state.security.limits)

        async with state.database.reading() as session:
            rows = await session.all(
                select(Event.kind, Event.actor_id, Event.changes)
                .where(Event.entity_type == "user", Event.entity_id == user.id)
                .order_by(Event.id)
            )
        assert [tuple(row) for row in rows] == [
            (
                "user.created",
                user.id,
                {"username": [None, data.username], "full_name": [None, "Ada"], "timezone": [None, "UTC"]},
            ),
            ("user.updated", user.id, {"email": [None, None], "timezone": ["UTC", "Asia/Tokyo"]}),
        ]

    async def test_keys_do_not_manage_the_account(self, ada: Person, database: Database) -> None:
        key = Actor("api_key", user_id=ada.id, scopes=ada.actor.scopes, api_key_id=1)

        async with nothing_written(database), database.writing() as session:
            with pytest.raises(Forbidden):
                await users.update_me(session, key, UserUpdate(full_name="Not written"), limits=RateLimits())
