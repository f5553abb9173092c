"""API keys: making and deleting them, what their scopes allow, and when they stop working."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from api.state import State
from core.clock import now, wire_format
from db.driver.database import Database
from db.models import ApiKey, Event, User
from services import api_keys, authentication
from services.shared.actors import Scope
from tests.actors import Anonymous, Person
from tests.conftest import SERVER_KEY, People
from tests.doors import DOORS, Call, Door, Result, another_instance, calling, nothing_written, on_both_doors
from tests.statements import StatementCounter

FIELDS = "id databaseId name prefix scopes expiresAt lastUsedAt createdAt formerUntil"
NEW_KEY = f"apiKey {{ {FIELDS} }} secret"
ME = Call("GET /users/me", "{ result: me { databaseId id } }")
CREATE = Call(
    "POST /users/me/api-keys",
    f"mutation($input: CreateApiKeyInput!) {{ result: createApiKey(input: $input) {{ {NEW_KEY} }} }}",
    payload="api_key",
)
LIST = Call("GET /users/me/api-keys", f"{{ result: apiKeys {{ edges {{ node {{ {FIELDS} }} }} }} }}")
DELETE = Call(
    "DELETE /users/me/api-keys/{id}",
    "mutation($input: DeleteApiKeyInput!) { result: deleteApiKey(input: $input) { deletedApiKeyId } }",
    node="ApiKey",
    id_in_input=True,
)
RENAME = Call(
    "PATCH /users/me/api-keys/{id}",
    f"mutation($input: UpdateApiKeyInput!) {{ result: updateApiKey(input: $input) {{ apiKey {{ {FIELDS} }} }} }}",
    node="ApiKey",
    payload="api_key",
    id_in_input=True,
)
ROTATE = Call(
    "POST /users/me/api-keys/{id}/rotate",
    f"mutation($input: RotateApiKeyInput!) {{ result: rotateApiKey(input: $input) {{ {NEW_KEY} }} }}",
    node="ApiKey",
    payload="api_key",
    id_in_input=True,
)
UPDATE_USER = Call(
    "PATCH /admin/users/{id}",
    "mutation($input: UpdateUserInput!) { result: updateUser(input: $input) { user { id } } }",
    node="User",
    id_in_input=True,
)


def on_door(door: Door, scopes: list[str]) -> list[str]:
    """Scopes as the door spells them."""
    return scopes if door == "rest" else [Scope(scope).name for scope in scopes]


async def create(door: Door, person: Person, *scopes: str, **fields: Any) -> Result:
    return await CREATE.on(door, person, {"name": "key", "scopes": on_door(door, list(scopes))} | fields)


def with_key(person: Anonymous, secret: str) -> Anonymous:
    return Anonymous(person.client, {"X-API-Key": secret})


async def change_key(database: Database, key_id: int, **values: Any) -> None:
    async with database.writing() as session:
        await session.execute(update(ApiKey).where(ApiKey.id == key_id).values(**values))


async def expect_refused(door: Door, key: Anonymous) -> None:
    refused = await ME.on(door, key)
    assert (refused.status, refused.code, refused.message) == (403, "FORBIDDEN", "Invalid API key")


class TestManaging:
    @on_both_doors
    async def test_new_key_shows_its_secret_once(self, ada: Person, door: Door) -> None:
        made = await create(door, ada, "tasks:read", name="  nightly export ")

        assert made.code is None
        key = dict(made.body)
        secret = key.pop("secret")
        assert secret.startswith(key["prefix"])
        assert len(secret) > len(key["prefix"]) + 30
        assert (key["name"], key["expires_at"], key["last_used_at"]) == ("nightly export", None, None)
        assert key["scopes"] == on_door(door, ["tasks:read"])
        listed = await LIST.on(door, ada)
        assert listed.body == [key]
        assert secret not in str(listed.body)

    @on_both_doors
    async def test_account_has_so_many(
        self, ada: Person, bob: Person, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(api_keys, "MAX_KEYS", 2)
        made = [await create(door, ada, "tasks:read") for _ in range(3)]
        assert [result.code for result in made] == [None, None, "CONFLICT"]
        assert (await create(door, bob, "tasks:read")).code is None

    async def test_answer_with_the_secret_is_not_to_be_cached(self, ada: Person) -> None:
        assert (await create("rest", ada, "tasks:read")).headers["cache-control"] == "no-store"

    @on_both_doors
    async def test_secret_is_stored_as_a_fingerprint(self, ada: Person, database: Database, door: Door) -> None:
        made = (await create(door, ada, "tasks:read")).body

        async with database.reading() as session:
            key = await session.first(select(*ApiKey.__table__.columns).where(ApiKey.id == made["id"]))
            events = await session.scalars(select(Event.changes).where(Event.kind == "api_key.created"))
        assert key is not None
        assert key.key_hash == hashlib.sha256(made["secret"].encode()).hexdigest()
        assert made["secret"] not in f"{key} {events}"

    @on_both_doors
    async def test_scopes_are_kept_once_each(self, ada: Person, door: Door) -> None:
        made = await create(door, ada, "tasks:write", "projects:admin", "tasks:write")

        assert made.body["scopes"] == on_door(door, ["projects:admin", "tasks:write"])

    @on_both_doors
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            *(("name", ""), ("name", " \t"), ("name", "x" * 101), ("name", "x\x00"), ("scopes", [])),
            *(("expires_at", "2020-01-01T00:00:00Z"), ("expires_at", "2099-01-01T00:00:00")),
            *(("expires_at", "tomorrow"), ("expires_at", "9999-12-31T23:59:59-12:00")),
        ],
    )
    async def test_bad_value_is_refused_where_it_stands(
        self, ada: Person, database: Database, door: Door, field: str, value: object
    ) -> None:
        async with nothing_written(database):
            refused = await create(door, ada, "tasks:read", **{field: value})

        assert refused.refusal == ("BAD_USER_INPUT", [f"/{field}"])

    @on_both_doors
    @pytest.mark.parametrize(
        "fields",
        [{"scopes": ["tasks:all"]}, {"scopes": "tasks:read"}, {"scopes": None}, {"name": 5}, {"secret": "mine"}],
        ids=["unknown scope", "one scope", "no scopes", "name a number", "own secret"],
    )
    async def test_other_input_is_refused(
        self, ada: Person, database: Database, door: Door, fields: dict[str, Any]
    ) -> None:
        async with nothing_written(database):
            refused = await create(door, ada, "tasks:read", **fields)

        assert refused.code == "BAD_USER_INPUT"
        assert next(iter(fields)) in refused.message

    @on_both_doors
    async def test_scope_admin_takes_an_administrator(
        self, ada: Person, people: People, database: Database, door: Door
    ) -> None:
        async with nothing_written(database):
            assert (await create(door, ada, "tasks:read", "admin")).refusal == ("FORBIDDEN", [])

        assert (await create(door, await people(is_admin=True), "admin")).code is None

    @on_both_doors
    async def test_list_holds_the_callers_keys_newest_first(self, ada: Person, bob: Person, door: Door) -> None:
        made = [(await create(door, person, "tasks:read")).body["id"] for person in (ada, ada, bob)]

        assert [key["id"] for key in (await LIST.on(door, ada)).body] == [made[1], made[0]]

    async def test_pages_and_counts(self, ada: Person) -> None:
        for _ in range(2):
            await create("rest", ada, "tasks:read")
        query = "{ apiKeys(first: 1) { totalCount pageInfo { endCursor hasNextPage } } }"

        graphql = (await ada.gql(query)).data["apiKeys"]
        rest = await ada.get("/users/me/api-keys", params={"limit": 1, "cursor": graphql["pageInfo"]["endCursor"]})

        assert (graphql["totalCount"], graphql["pageInfo"]["hasNextPage"]) == (2, True)
        assert len(rest.json()) == 1
        assert 'rel="prev"' in rest.headers["link"]

    @on_both_doors
    async def test_deleted_key_is_gone_and_stops_working_everywhere(
        self, ada: Person, database: Database, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = (await create(door, ada, "tasks:read")).body
        key = with_key(ada, made["secret"])
        async with another_instance(database) as app, calling(app) as there:
            elsewhere = with_key(there, made["secret"])
            for caller in (key, elsewhere):
                assert (await ME.on(door, caller)).code is None

            assert (await DELETE.on(door, ada, id=made["id"])).code is None

            await expect_refused(door, key)
            monkeypatch.setattr(authentication, "MEMORY_SECONDS", -1.0)
            app.state.tandem.authenticator.forget()  # what a second does
            for each in DOORS:
                await expect_refused(each, elsewhere)
        assert (await LIST.on(door, ada)).body == []
        async with nothing_written(database):
            assert (await DELETE.on(door, ada, id=made["id"])).refusal == ("NOT_FOUND", [])

    @on_both_doors
    async def test_nobody_elses_can_be_deleted(self, ada: Person, bob: Person, database: Database, door: Door) -> None:
        made = (await create(door, ada, "tasks:read")).body

        async with nothing_written(database):
            assert (await DELETE.on(door, bob, id=made["id"])).refusal == ("NOT_FOUND", [])

        assert (await ME.on(door, with_key(ada, made["secret"]))).code is None
        assert (await bob.gql("query($id: ID!) { node(id: $id) { id } }", {"id": made["node_id"]})).data["node"] is None

    @on_both_doors
    async def test_nobody_has_none(self, anonymous: Anonymous, database: Database, door: Door) -> None:
        calls = ((LIST, None), (CREATE, {"name": "x", "scopes": on_door(door, ["tasks:read"])}), (DELETE, None))

        async with nothing_written(database):
            for call, values in calls:
                refused = await call.on(door, anonymous, values, id=1)
                assert (refused.status, refused.code) == (401, "UNAUTHENTICATED")


class TestAuthentication:
    @on_both_doors
    async def test_key_acts_for_its_owner(self, ada: Person, door: Door) -> None:
        assert (await ME.on(door, await ada.api_key("tasks:read"))).body["id"] == ada.id

    @on_both_doors
    @pytest.mark.parametrize(
        "secret",
        [b"", b"tdk_unknown", b"\xff\xfe\x00", "ключ".encode(), b"x" * 100_000, SERVER_KEY.encode() + b" x"],
        ids=["empty", "unknown", "not text", "not ASCII", "huge", "more than the server's"],
    )
    async def test_unknown_key_is_a_403(
        self, anonymous: Anonymous, database: Database, door: Door, secret: bytes
    ) -> None:
        headers: Any = {"X-API-Key": secret}

        async with nothing_written(database):
            await expect_refused(door, Anonymous(anonymous.client, headers))

    @on_both_doors
    async def test_part_of_a_key_is_a_403(self, ada: Person, door: Door) -> None:
        made = (await create(door, ada, "tasks:read")).body

        for secret in (made["prefix"], made["secret"][:-1], made["secret"] + "x", made["secret"].upper()):
            await expect_refused(door, with_key(ada, secret))

    @on_both_doors
    async def test_expired_key_is_a_403(self, ada: Person, database: Database, door: Door) -> None:
        made = (await create(door, ada, "tasks:read", expires_at=wire_format(now() + timedelta(hours=1)))).body
        assert (await ME.on(door, with_key(ada, made["secret"]))).code is None

        await change_key(database, made["id"], expires_at=now() - timedelta(seconds=1))

        async with another_instance(database) as app, calling(app) as there:
            await expect_refused(door, with_key(there, made["secret"]))

    @on_both_doors
    async def test_key_of_a_disabled_account_is_a_403(self, ada: Person, people: People, door: Door) -> None:
        key = await ada.api_key("tasks:read")
        assert (await ME.on(door, key)).code is None

        await (await people(is_admin=True)).patch(f"/admin/users/{ada.id}", {"disabled": True})

        await expect_refused(door, key)

    @on_both_doors
    async def test_key_decides_where_there_is_a_token_too(self, ada: Person, bob: Person, door: Door) -> None:
        key = await ada.api_key("tasks:read")

        both = await ME.on(door, Anonymous(bob.client, bob.headers | key.headers))
        bad_token = await ME.on(door, Anonymous(bob.client, key.headers | {"Authorization": "Bearer x"}))

        assert (both.body["id"], bad_token.body["id"]) == (ada.id, ada.id)
        await expect_refused(door, Anonymous(bob.client, bob.headers | {"X-API-Key": "tdk_unknown"}))

    @on_both_doors
    async def test_last_use_is_kept_to_the_minute(
        self, ada: Person, database: Database, state: State, statements: StatementCounter, door: Door
    ) -> None:
        made = (await create(door, ada, "tasks:read")).body
        key = with_key(ada, made["secret"])

        async def last_used() -> datetime:
            [listed] = (await LIST.on(door, ada)).body
            return datetime.fromisoformat(listed["last_used_at"])

        await ME.on(door, key)
        first = await last_used()
        assert abs(datetime.now(UTC) - first) < timedelta(minutes=1)

        state.authenticator.forget()
        statements.reset()
        await ME.on(door, key)
        assert not [statement for statement in statements.seen if statement.startswith("UPDATE")]
        assert await last_used() == first

        await change_key(database, made["id"], last_used_at=first - timedelta(minutes=2))
        state.authenticator.forget()
        await ME.on(door, key)
        assert await last_used() >= first

    @on_both_doors
    async def test_key_of_a_former_administrator_administers_nothing(
        self, ada: Person, people: People, database: Database, door: Door
    ) -> None:
        administrator = await people(is_admin=True)
        key = await administrator.api_key("admin")
        async with database.writing() as session:
            await session.execute(update(User).where(User.id == administrator.id).values(is_admin=False))

        refused = await UPDATE_USER.on(door, key, {"disabled": True}, id=ada.id)

        assert refused.refusal == ("FORBIDDEN", [])
        assert (await ME.on(door, key)).code is None

    @on_both_doors
    async def test_servers_key_has_no_account(self, anonymous: Anonymous, database: Database, door: Door) -> None:
        server = with_key(anonymous, SERVER_KEY)

        async with nothing_written(database):
            for call in (ME, LIST):
                assert (await call.on(door, server)).code == "FORBIDDEN"
            assert (await server.post("/tasks", {"title": "x"})).status_code == 403


@on_both_doors
class TestRenaming:
    async def test_name_changes_and_nothing_else(self, ada: Person, door: Door, database: Database) -> None:
        made = (await create(door, ada, "tasks:read")).body
        secret = made.pop("secret")
        renamed = await RENAME.on(door, ada, {"name": " weekly "}, id=made["id"])
        async with nothing_written(database):
            for body in ({}, {"name": "weekly"}):
                assert (await RENAME.on(door, ada, body, id=made["id"])).body == made | {"name": "weekly"}

        assert renamed.body == made | {"name": "weekly"}
        assert (await ME.on(door, with_key(ada, secret))).code is None
        async with database.reading() as session:
            changes = await session.scalars(select(Event.changes).where(Event.kind == "api_key.updated"))
        assert {"name": ["key", "weekly"]} in changes

    async def test_only_of_ones_own_and_within_the_rules(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        made = (await create(door, ada, "tasks:read")).body
        key = with_key(ada, made["secret"])
        await ME.on(door, key)
        async with nothing_written(database):
            answers = [
                await RENAME.on(door, bob, {"name": "mine"}, id=made["id"]),
                await ROTATE.on(door, bob, {}, id=made["id"]),
                await RENAME.on(door, key, {"name": "mine"}, id=made["id"]),
                await ROTATE.on(door, key, {}, id=made["id"]),
                await RENAME.on(door, ada, {"name": None}, id=made["id"]),
                *[
                    await ROTATE.on(door, ada, {"grace_seconds": wrong}, id=made["id"])
                    for wrong in (-1, api_keys.MAX_GRACE + 1, "60", None)
                ],
            ]
        assert [answer.code for answer in answers] == [
            *("NOT_FOUND", "NOT_FOUND", "FORBIDDEN", "FORBIDDEN"),
            *["BAD_USER_INPUT"] * 5,
        ]


@on_both_doors
class TestRotating:
    async def test_secret_ends_at_once(self, ada: Person, door: Door, database: Database) -> None:
        made = (await create(door, ada, "tasks:read")).body
        old = with_key(ada, made["secret"])
        assert (await ME.on(door, old)).code is None
        rotated = (await ROTATE.on(door, ada, {}, id=made["id"])).body

        await expect_refused(door, old)
        assert (await ME.on(door, with_key(ada, rotated["secret"]))).code is None
        assert rotated["secret"] != made["secret"]
        assert rotated["secret"].startswith(rotated["prefix"])
        same = ("id", "name", "scopes", "expires_at", "created_at")
        assert [rotated[name] for name in same] == [made[name] for name in same]
        assert rotated["former_until"] is None
        async with database.reading() as session:
            changes = await session.scalars(select(Event.changes).where(Event.kind == "api_key.rotated"))
        assert {"prefix": [made["prefix"], rotated["prefix"]], "former_until": [None, None]} in changes
        assert rotated["secret"] not in str(changes)

    async def test_both_secrets_work_for_the_time_given(self, ada: Person, door: Door, database: Database) -> None:
        made = (await create(door, ada, "tasks:read")).body
        first = (await ROTATE.on(door, ada, {"grace_seconds": 3600}, id=made["id"])).body
        for secret in (made["secret"], first["secret"]):
            assert (await ME.on(door, with_key(ada, secret))).code is None
        [listed] = (await LIST.on(door, ada)).body
        assert listed["former_until"] == first["former_until"] is not None

        await change_key(database, made["id"], former_until=now() - timedelta(seconds=1))
        async with another_instance(database) as app, calling(app) as elsewhere:
            await expect_refused(door, with_key(elsewhere, made["secret"]))
            assert (await ME.on(door, with_key(elsewhere, first["secret"]))).code is None
        assert (await LIST.on(door, ada)).body[0]["former_until"] is None

    async def test_second_rotation_ends_the_secret_before_the_last(self, ada: Person, door: Door) -> None:
        made = (await create(door, ada, "tasks:read")).body
        first = (await ROTATE.on(door, ada, {"grace_seconds": 3600}, id=made["id"])).body
        second = (await ROTATE.on(door, ada, {"grace_seconds": 3600}, id=made["id"])).body

        await expect_refused(door, with_key(ada, made["secret"]))
        for secret in (first["secret"], second["secret"]):
            assert (await ME.on(door, with_key(ada, secret))).code is None
