"""Security events: what happened to an account, for its owner to read on either door, and for nobody else."""

import json
import secrets
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError

from api.state import State
from core.clock import now
from db.driver.database import Database
from db.driver.sessions import WritingSession
from db.models import Event, LoginSession, User
from services import accounts, security_events
from services.accounts import OPERATOR, AccountClaim
from services.allowances import login_failures
from tests.actors import PASSWORD, Anonymous, Person
from tests.conftest import People
from tests.doors import Call, Door, another_instance, bearer, calling, log_in, nothing_written, on_both_doors
from tests.test_after_commit import DELETE_KEY, NEW_PASSWORD
from tests.test_sessions import CHANGE_PASSWORD, END, REFRESH, REVOKE, UPDATE_USER, log_in_again, session_of

LIST = Call(
    "GET /users/me/security-events",
    """{ result: securityEvents(first: 100) { edges { node { id databaseId eventId kind entityType entityId actorMethod
    requestId occurredAt taskId projectId changes { field before after } actor { databaseId } } } } }""",
)
CREATE_KEY = Call(
    "POST /users/me/api-keys",
    "mutation($input: CreateApiKeyInput!) { result: createApiKey(input: $input) { apiKey { databaseId } secret } }",
)
UPDATE_ME = Call(
    "PATCH /users/me", "mutation($input: UpdateMeInput!) { result: updateMe(input: $input) { user { id } } }"
)
PASSWORDS = {"current_password": PASSWORD, "new_password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD}


async def listed(door: Door, person: Anonymous) -> list[dict[str, Any]]:
    """The events of the account, oldest first."""
    result = await LIST.on(door, person)
    assert result.code is None, result
    found: list[dict[str, Any]] = result.body
    return found[::-1]


async def kinds(door: Door, person: Anonymous) -> list[tuple[str, int]]:
    """What happened to what, oldest first, without the login that every person here begins with."""
    return [(event["kind"], event["entity_id"]) for event in await listed(door, person)][1:]


class TestKinds:
    @on_both_doors
    async def test_login(self, ada: Person, door: Door) -> None:
        first = await session_of(ada)
        again = await log_in_again(ada, door, headers={"User-Agent": "Phone/1.0", "X-Request-ID": "login-1"})
        session_id = await session_of(Person(ada.client, bearer(ada, again["access_token"]).headers))

        before, event = await listed(door, ada)

        assert (before["kind"], before["entity_id"]) == ("session.created", first)
        assert (event["kind"], event["entity_type"], event["entity_id"]) == ("session.created", "session", session_id)
        assert event["changes"] == [{"field": "user_agent", "before": None, "after": "Phone/1.0"}]
        assert (event["request_id"], event["actor_method"]) == ("login-1", "anonymous")
        assert (event["actor_id"] if door == "rest" else event["actor"]["id"]) == ada.id

    @on_both_doors
    async def test_failed_login_within_the_limit_is_none(self, ada: Person, door: Door, database: Database) -> None:
        async with nothing_written(database):
            assert (await log_in(door, Anonymous(ada.client), ada.username, "wrong")).status == 401

    @on_both_doors
    async def test_reuse_of_a_spent_token_and_the_end_that_it_brings(self, ada: Person, door: Door) -> None:
        stolen = await log_in_again(ada)
        session_id = await session_of(Person(ada.client, bearer(ada, stolen["access_token"]).headers))
        anonymous, values = Anonymous(ada.client), {"refresh_token": stolen["refresh_token"]}
        assert (await REFRESH.on(door, anonymous, values)).code is None

        for _ in range(3):
            assert (await REFRESH.on(door, anonymous, values)).code == "UNAUTHENTICATED"

        assert (await kinds(door, ada))[1:] == [("session.token_reused", session_id), ("session.ended", session_id)]
        assert (await listed(door, ada))[-1]["actor_method"] == "anonymous"

    @on_both_doors
    async def test_sessions_that_end(self, ada: Person, door: Door) -> None:
        tokens = [await log_in_again(ada) for _ in range(2)]
        ended, revoked = [
            await session_of(Person(ada.client, bearer(ada, each["access_token"]).headers)) for each in tokens
        ]

        await END.on(door, ada, id=ended)
        for _ in range(2):
            await REVOKE.on(door, Anonymous(ada.client), {"refresh_token": tokens[1]["refresh_token"]})

        assert (await kinds(door, ada))[2:] == [("session.ended", ended), ("session.ended", revoked)]

    @on_both_doors
    async def test_keys(self, ada: Person, door: Door) -> None:
        scope = "tasks:read" if door == "rest" else "TASKS_READ"
        made = (await CREATE_KEY.on(door, ada, {"name": "export", "scopes": [scope]})).body
        key_id = made["id"] if door == "rest" else made["api_key"]["id"]
        await DELETE_KEY.on(door, ada, id=key_id)

        created, deleted = (await listed(door, ada))[1:]

        assert [(event["kind"], event["entity_id"]) for event in (created, deleted)] == [
            ("api_key.created", key_id),
            ("api_key.deleted", key_id),
        ]
        assert {change["field"]: change["after"] for change in created["changes"]} == {
            "name": "export",
            "prefix": made["secret"][:12],
            "scopes": ["tasks:read"],
        }
        assert {change["field"]: change["before"] for change in deleted["changes"]} == {
            "name": "export",
            "prefix": made["secret"][:12],
        }

    @on_both_doors
    async def test_password_that_is_changed_ends_the_other_sessions(
        self, ada: Person, database: Database, door: Door
    ) -> None:
        ids = []
        for _ in range(3):
            other = await log_in_again(ada)
            ids.append(await session_of(Person(ada.client, bearer(ada, other["access_token"]).headers)))
        async with database.writing() as session:  # one that has expired is not said to end now
            await session.execute(
                update(LoginSession).where(LoginSession.id == ids[0]).values(expires_at=now() - timedelta(days=1))
            )

        assert (await CHANGE_PASSWORD.on(door, ada, PASSWORDS)).code is None

        assert sorted((await kinds(door, ada))[3:]) == sorted(
            [("session.ended", ids[1]), ("session.ended", ids[2]), ("user.password_changed", ada.id)]
        )

    @on_both_doors
    async def test_account_that_is_disabled_and_enabled(self, ada: Person, people: People, door: Door) -> None:
        administrator, session_id = await people(is_admin=True), await session_of(ada)
        for disabled in (True, False, False):
            assert (await UPDATE_USER.on(door, administrator, {"disabled": disabled}, id=ada.id)).code is None
        back = bearer(ada, (await log_in_again(ada))["access_token"])

        found = await listed(door, back)

        assert [(event["kind"], event["changes"]) for event in found[1:-1]] == [
            ("user.updated", [{"field": "disabled", "before": False, "after": True}]),
            ("session.ended", []),
            ("user.updated", [{"field": "disabled", "before": True, "after": False}]),
        ]
        assert found[2]["entity_id"] == session_id
        if door == "rest":
            assert {event["actor_id"] for event in found[1:-1]} == {administrator.id}
        assert (await kinds(door, administrator)) == []

    @on_both_doors
    async def test_account_that_is_promoted(self, ada: Person, database: Database, door: Door) -> None:
        for _ in range(2):
            async with database.writing() as session:
                await accounts.promote(session, OPERATOR, ada.username)

        [event] = (await listed(door, ada))[1:]

        assert (event["kind"], event["actor_method"]) == ("user.updated", "system")
        assert event["changes"] == [{"field": "is_admin", "before": False, "after": True}]

    @on_both_doors
    async def test_account_that_is_claimed(self, ada: Person, state: State, door: Door) -> None:
        async with state.database.writing() as session:
            await session.execute(update(User).where(User.id == ada.id).values(password_hash=None))
        claim = AccountClaim(email=ada.email, password=NEW_PASSWORD)
        await accounts.claim(state.database, OPERATOR, ada.username, claim, hasher=state.security.hasher)

        # the operator vouches for the address
        assert await kinds(door, ada) == [("user.claimed", ada.id), ("user.email_verified", ada.id)]

    @on_both_doors
    async def test_address_that_changes_but_no_other_part_of_the_profile(self, ada: Person, door: Door) -> None:
        await UPDATE_ME.on(door, ada, {"full_name": "Ada L."})
        await UPDATE_ME.on(door, ada, {"email": f"new-{ada.email}"})

        [event] = (await listed(door, ada))[1:]

        assert (event["kind"], event["changes"]) == (
            "user.updated",
            [{"field": "email", "before": None, "after": None}],
        )


class TestRefusals:
    @on_both_doors
    async def test_login_over_the_limit_is_recorded_once_in_a_window(
        self, ada: Person, database: Database, door: Door
    ) -> None:
        """Once for the account, however many addresses guess, and on however many workers."""
        limits = {"login_failure_limit": "2/minute", "login_account_failure_limit": "100/hour"}
        async with another_instance(database, **limits) as app, another_instance(database, **limits) as other:
            for number in range(6):
                name = (ada.username, ada.email, ada.username.upper())[number % 3]
                async with calling((app, other)[number % 2], address=f"10.0.1.{number}") as anonymous:
                    for _ in range(4):
                        await log_in(door, anonymous, name, "wrong")

        assert await kinds(door, ada) == [("login.refused", ada.id)]
        [event] = (await listed(door, ada))[1:]
        assert event["changes"] == []
        assert event.get("actor_id") is None
        assert event.get("actor") is None

    @on_both_doors
    async def test_next_window_has_its_own(
        self, ada: Person, database: Database, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with another_instance(database, login_failure_limit="1/minute") as app, calling(app) as anonymous:
            for _ in range(3):
                await log_in(door, anonymous, ada.username, "wrong")
            later = now() + timedelta(seconds=61)
            monkeypatch.setattr(login_failures, "now", lambda: later)
            for _ in range(3):
                await log_in(door, anonymous, ada.username, "wrong")

        assert await kinds(door, ada) == [("login.refused", ada.id)] * 2

    @on_both_doors
    async def test_attempts_that_an_address_has_too_many_of_write_nothing(
        self, ada: Person, database: Database, door: Door
    ) -> None:
        """Or whoever goes through a list of names would have an event written for each."""
        limits = {"login_rate_limit": "2/minute", "login_failure_limit": "5/minute"}
        async with another_instance(database, **limits) as app, calling(app) as anonymous:
            for _ in range(2):
                await log_in(door, anonymous, ada.username, "wrong")
            async with nothing_written(database):
                assert (await log_in(door, anonymous, ada.username, "wrong")).code == "RATE_LIMITED"

    @on_both_doors
    async def test_unknown_name_records_no_event(self, database: Database, door: Door) -> None:
        count = select(func.count()).select_from(Event)
        async with another_instance(database, login_failure_limit="1/minute") as app, calling(app) as anonymous:
            before = await database.reads.scalar(count)
            name = f"nobody_{secrets.token_hex(4)}"
            answers = [await log_in(door, anonymous, name, "wrong") for _ in range(3)]
            assert await database.reads.scalar(count) == before
        assert [answer.code for answer in answers] == ["UNAUTHENTICATED", "RATE_LIMITED", "RATE_LIMITED"]

    @on_both_doors
    async def test_guesses_at_the_password_of_ones_own_account(
        self, ada: Person, database: Database, door: Door
    ) -> None:
        """They are counted for a session: whoever has stolen one keeps the owner from nothing."""
        guess = PASSWORDS | {"current_password": "wrong"}
        async with another_instance(database, login_failure_limit="1/minute") as app, calling(app) as anonymous:
            stolen = bearer(anonymous, (await log_in_again(ada))["access_token"])
            answers = [await CHANGE_PASSWORD.on(door, stolen, guess) for _ in range(4)]
            assert [answer.code for answer in answers] == ["BAD_USER_INPUT", *["RATE_LIMITED"] * 3]

            owner = bearer(anonymous, ada.access_token)
            assert (await CHANGE_PASSWORD.on(door, owner, PASSWORDS)).code is None

        found = await kinds(door, ada)
        assert found[1] == ("user.password_change_refused", ada.id)
        assert [kind for kind, _ in found].count("user.password_change_refused") == 1

    @on_both_doors
    async def test_changes_of_a_password_are_bounded_too(self, ada: Person, database: Database, door: Door) -> None:
        """Each costs hashes, also one that is right."""
        new = [f"{NEW_PASSWORD}{number}" for number in range(4)]
        async with another_instance(database, login_rate_limit="3/minute") as app, calling(app) as anonymous:
            caller = bearer(anonymous, ada.access_token)
            codes = []
            for before, after in zip([PASSWORD, *new], new, strict=False):
                values = {"current_password": before, "new_password": after, "confirm_password": after}
                codes.append((await CHANGE_PASSWORD.on(door, caller, values)).code)

        assert codes == [None, None, None, "RATE_LIMITED"]

    @on_both_doors
    async def test_refusal_stands_where_the_database_takes_nothing(
        self, ada: Person, database: Database, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        warned: list[Any] = []
        monkeypatch.setattr(security_events.logger, "warning", lambda *message, **_: warned.append(message))

        async def failing(_: WritingSession) -> None:
            raise OperationalError("COMMIT", None, Exception("disk full"))

        async with another_instance(database, login_failure_limit="1/minute") as app, calling(app) as anonymous:
            await log_in(door, anonymous, ada.username, "wrong")
            monkeypatch.setattr(WritingSession, "commit", failing)
            refused = await log_in(door, anonymous, ada.username, "wrong")

        assert (refused.status if door == "rest" else 429, refused.code) == (429, "RATE_LIMITED")
        assert warned == [("%s could not be recorded", "login.refused")]


class TestReading:
    @on_both_doors
    async def test_nobody_else_reads_them(self, ada: Person, people: People, door: Door) -> None:
        administrator = await people(is_admin=True)
        [event] = await listed(door, ada)
        document = "query($id: ID!) { node(id: $id) { id ... on Event { kind } } }"

        assert event["id"] not in [other["id"] for other in await listed(door, administrator)]
        assert (await administrator.gql(document, {"id": event["node_id"]})).data == {"node": None}
        assert (await ada.gql(document, {"id": event["node_id"]})).data["node"]["kind"] == "session.created"

    @on_both_doors
    async def test_keys_do_not_read_them(self, people: People, door: Door) -> None:
        ada = await people(is_admin=True)
        event = (await listed(door, ada))[0]
        key = await ada.api_key("admin")

        assert (await LIST.on(door, key)).code == "FORBIDDEN"
        assert (await LIST.on(door, Anonymous(ada.client))).code == "UNAUTHENTICATED"
        assert (await key.gql("query($id: ID!) { node(id: $id) { id } }", {"id": event["node_id"]})).data == {
            "node": None
        }

    async def test_pages_and_counts_are_the_same_on_both_doors(self, ada: Person) -> None:
        for _ in range(4):
            await log_in_again(ada)
        query = """query($after: String) { securityEvents(first: 2, after: $after) {
            totalCount pageInfo { endCursor } edges { node { databaseId } } } }"""

        rest = await ada.get("/users/me/security-events?limit=2")
        graphql = (await ada.gql(query)).data["securityEvents"]
        ids = [event["id"] for event in rest.json()]
        assert ids == [edge["node"]["databaseId"] for edge in graphql["edges"]] == sorted(ids, reverse=True)
        assert graphql["totalCount"] == 5
        following = await ada.get(
            "/users/me/security-events", params={"limit": 2, "cursor": graphql["pageInfo"]["endCursor"]}
        )
        skipped = await ada.get("/users/me/security-events?limit=2&skip=2")
        assert following.json() == skipped.json()
        assert 'rel="next"' in rest.headers["link"]

    @on_both_doors
    async def test_they_hold_no_secrets(self, ada: Person, database: Database, door: Door) -> None:
        tokens = await log_in_again(ada, door)
        made = await ada.post("/users/me/api-keys", {"name": "key", "scopes": ["tasks:read"]})
        for _ in range(2):
            await REFRESH.on(door, Anonymous(ada.client), {"refresh_token": tokens["refresh_token"]})
        await CHANGE_PASSWORD.on(door, ada, PASSWORDS)

        text = json.dumps(await listed(door, ada))

        secrets = (PASSWORD, NEW_PASSWORD, made.json()["secret"], ada.email, *tokens.values())
        assert not [secret for secret in map(str, secrets) if len(secret) > 5 and secret in text.replace("bearer", "")]

    async def test_events_of_tasks_concern_no_account(self, ada: Person, database: Database) -> None:
        task = await ada.task()
        statement = select(func.count(Event.account_id)).where(Event.task_id == task["id"])
        assert await database.reads.scalar(statement) == 0
