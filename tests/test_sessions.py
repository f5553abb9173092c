"""Logins: tokens and their rotation, the list of sessions, and how fast the end of one acts everywhere."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, update

from core.clock import now
from db.driver.database import Database
from db.models import LoginSession, RefreshToken, User
from services import authentication
from services.authentication import MEMORY_SECONDS
from tests.actors import PASSWORD, Anonymous, Person
from tests.conftest import People
from tests.doors import (
    DOORS,
    Call,
    Door,
    Result,
    another_instance,
    bearer,
    calling,
    from_rest,
    log_in,
    nothing_written,
    on_both_doors,
)

TOKENS = "{ accessToken refreshToken tokenType expiresIn }"
ME = Call("GET /users/me", "{ result: me { databaseId id username } }")
REFRESH = Call(
    "POST /token/refresh", f"mutation($input: RefreshTokenInput!) {{ result: refreshToken(input: $input) {TOKENS} }}"
)
REVOKE = Call(
    "POST /token/revoke", "mutation($input: RefreshTokenInput!) { result: revokeToken(input: $input) { revoked } }"
)
LIST = Call(
    "GET /users/me/sessions",
    "{ result: sessions { edges { node { id databaseId userAgent createdAt lastUsedAt expiresAt current } } } }",
)
END = Call(
    "DELETE /users/me/sessions/{id}",
    "mutation($input: EndSessionInput!) { result: endSession(input: $input) { endedSessionId } }",
    node="Session",
    id_in_input=True,
)
CHANGE_PASSWORD = Call(
    "POST /users/me/password",
    "mutation($input: ChangePasswordInput!) { result: changePassword(input: $input) { user { id } } }",
)
UPDATE_USER = Call(
    "PATCH /admin/users/{id}",
    "mutation($input: UpdateUserInput!) { result: updateUser(input: $input) { user { id } } }",
    node="User",
    id_in_input=True,
)


async def log_in_again(person: Person, door: Door = "rest", **options: Any) -> dict[str, Any]:
    result = await log_in(door, Anonymous(person.client), person.username, PASSWORD, **options)
    assert result.code is None
    tokens: dict[str, Any] = result.body
    return tokens


async def session_of(person: Person) -> int:
    """The id of the session that the person's token belongs to."""
    [current] = [item["id"] for item in (await LIST.on("rest", person)).body if item["current"]]
    return int(current)


async def ended_at(database: Database, session_id: int) -> Any:
    async with database.reading() as session:
        return await session.scalar(select(LoginSession.ended_at).where(LoginSession.id == session_id))


@pytest.fixture
def a_second_later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets the time pass that a worker may remember a caller for."""

    def move() -> None:
        later = SimpleNamespace(monotonic=lambda: time.monotonic() + MEMORY_SECONDS)
        monkeypatch.setattr(authentication, "time", later)

    assert MEMORY_SECONDS <= 1
    return move


class TestLogin:
    @on_both_doors
    async def test_tokens_are_for_the_account(self, anonymous: Anonymous, ada: Person, door: Door) -> None:
        tokens = (await log_in(door, anonymous, ada.username, PASSWORD)).body

        assert set(tokens) == {"access_token", "refresh_token", "token_type", "expires_in"}
        assert (tokens["token_type"], tokens["expires_in"]) == ("bearer", 15 * 60)
        assert (await ME.on(door, bearer(anonymous, tokens["access_token"]))).body["id"] == ada.id

    @on_both_doors
    async def test_name_in_any_case_and_address_log_in(self, anonymous: Anonymous, ada: Person, door: Door) -> None:
        for name in (ada.username.upper(), ada.email, ada.email.upper()):
            assert (await log_in(door, anonymous, name, PASSWORD)).code is None

    @on_both_doors
    async def test_every_failure_looks_the_same(
        self, anonymous: Anonymous, people: People, database: Database, door: Door
    ) -> None:
        ada, disabled, imported = await people(), await people(), await people()
        async with database.writing() as session:
            await session.execute(update(User).where(User.id == disabled.id).values(disabled=True))
            await session.execute(update(User).where(User.id == imported.id).values(password_hash=None))

        async with nothing_written(database):
            failures = [
                await log_in(door, anonymous, ada.username, "correct horse battery "),
                await log_in(door, anonymous, "nobody_of_this_name", PASSWORD),
                await log_in(door, anonymous, disabled.username, PASSWORD),
                await log_in(door, anonymous, imported.username, PASSWORD),
                await log_in(door, anonymous, "%", PASSWORD),
            ]

        assert {(result.status, result.code, result.message) for result in failures} == {
            (401, "UNAUTHENTICATED", "Incorrect username or password")
        }
        assert all(result.headers["www-authenticate"] == "Bearer" for result in failures)
        assert len({str(sorted(result.body)) for result in failures}) == 1

    @on_both_doors
    @pytest.mark.parametrize(
        ("username", "password", "pointer"),
        [
            ("ada\x00", PASSWORD, "/username"),
            ("a" * 255, PASSWORD, "/username"),
            ("", PASSWORD, "/username"),
            ("ada", "", "/password"),
            ("ada", "x\x00", "/password"),
            ("ada", "x" * 1025, "/password"),
        ],
        ids=["NUL in the name", "long name", "no name", "no password", "NUL in the password", "long password"],
    )
    async def test_bad_input_is_refused_where_it_stands(
        self, anonymous: Anonymous, database: Database, door: Door, username: str, password: str, pointer: str
    ) -> None:
        async with nothing_written(database):
            refused = await log_in(door, anonymous, username, password)

        assert refused.refusal == ("BAD_USER_INPUT", [pointer])

    async def test_form_takes_the_other_fields_of_the_password_grant(self, anonymous: Anonymous, ada: Person) -> None:
        form = {"username": ada.username, "password": PASSWORD, "grant_type": "password", "scope": "a b"}

        made = await anonymous.rest("POST", "//token", data=form | {"client_id": "c", "client_secret": "s"})

        assert made.status_code == 200
        assert made.headers["cache-control"] == "no-store"

    async def test_other_grants_and_other_bodies_are_refused(
        self, anonymous: Anonymous, ada: Person, database: Database
    ) -> None:
        form = {"username": ada.username, "password": PASSWORD}

        async with nothing_written(database):
            grant = from_rest(await anonymous.rest("POST", "/token", data=form | {"grant_type": "refresh_token"}))
            as_json = from_rest(await anonymous.post("/token", form))
            missing = from_rest(await anonymous.rest("POST", "/token", data={"username": ada.username}))
            no_text = from_rest(
                await anonymous.rest(
                    "POST",
                    "/token",
                    content=b"username=%ff%00&password=%ed%a0%80",
                    headers={"Content-Type": "application/x-www-form-urlencoded"},
                )
            )

        assert grant.refusal == ("BAD_USER_INPUT", ["/grant_type"])
        assert (as_json.status, as_json.code) == (415, "UNSUPPORTED_MEDIA_TYPE")
        assert missing.refusal == ("BAD_USER_INPUT", ["/password"])
        assert no_text.refusal == ("BAD_USER_INPUT", ["/username"])


class TestRefresh:
    @on_both_doors
    async def test_tokens_are_exchanged_for_new_ones_of_the_same_session(self, ada: Person, door: Door) -> None:
        before = await session_of(ada)

        new = (await REFRESH.on(door, Anonymous(ada.client), {"refresh_token": ada.refresh_token})).body

        assert new["refresh_token"] != ada.refresh_token
        assert new["access_token"] != ada.access_token
        me = bearer(ada, new["access_token"])
        assert [item["id"] for item in (await LIST.on(door, me)).body if item["current"]] == [before]
        assert (await REFRESH.on(door, ada, {"refresh_token": new["refresh_token"]})).code is None

    @on_both_doors
    @pytest.mark.parametrize("spent_on", DOORS)
    async def test_spent_token_ends_its_family_for_good(
        self, ada: Person, database: Database, door: Door, spent_on: Door, a_second_later: Callable[[], None]
    ) -> None:
        family, other = await session_of(ada), await log_in_again(ada)
        new = (await REFRESH.on(spent_on, ada, {"refresh_token": ada.refresh_token})).body

        reused = await REFRESH.on(door, Anonymous(ada.client), {"refresh_token": ada.refresh_token})

        assert (reused.status, reused.code) == (401, "UNAUTHENTICATED")
        assert await ended_at(database, family) is not None
        a_second_later()
        for token in (ada.access_token, new["access_token"]):
            assert (await ME.on(door, bearer(ada, token))).status == 401
        refused = await REFRESH.on(door, Anonymous(ada.client), {"refresh_token": new["refresh_token"]})
        assert (refused.status, refused.code) == (401, "UNAUTHENTICATED")
        assert (await ME.on(door, bearer(ada, other["access_token"]))).code is None

    @on_both_doors
    @pytest.mark.parametrize("other_door", DOORS)
    async def test_of_two_at_once_one_wins_and_the_family_ends(
        self, ada: Person, database: Database, door: Door, other_door: Door
    ) -> None:
        session_id = await session_of(ada)
        anonymous, token = Anonymous(ada.client), {"refresh_token": ada.refresh_token}

        results = await asyncio.gather(REFRESH.on(door, anonymous, token), REFRESH.on(other_door, anonymous, token))

        assert sorted(result.status for result in results) == [200, 401]
        assert await ended_at(database, session_id) is not None
        [won] = [result.body["refresh_token"] for result in results if result.code is None]
        assert (await REFRESH.on(door, anonymous, {"refresh_token": won})).status == 401

    @on_both_doors
    async def test_token_of_no_session_is_refused(
        self, anonymous: Anonymous, ada: Person, database: Database, door: Door
    ) -> None:
        async with nothing_written(database):
            for token in ("tdr_unknown", "", ada.access_token[:200], ada.refresh_token + " "):
                refused = await REFRESH.on(door, anonymous, {"refresh_token": token})
                assert (refused.status, refused.code) == (401, "UNAUTHENTICATED")

    @on_both_doors
    @pytest.mark.parametrize(
        ("values", "pointers"),
        [({"refresh_token": "x\x00"}, ["/refresh_token"]), ({"refresh_token": "x" * 201}, ["/refresh_token"])],
        ids=["NUL", "too long"],
    )
    async def test_bad_input_is_refused_where_it_stands(
        self, anonymous: Anonymous, database: Database, door: Door, values: Any, pointers: list[str]
    ) -> None:
        async with nothing_written(database):
            assert (await REFRESH.on(door, anonymous, values)).refusal == ("BAD_USER_INPUT", pointers)
            assert (await REVOKE.on(door, anonymous, values)).refusal == ("BAD_USER_INPUT", pointers)

    @on_both_doors
    @pytest.mark.parametrize("reason", ["expired", "ended", "disabled"])
    async def test_session_that_is_over_gives_no_tokens(
        self, ada: Person, database: Database, door: Door, reason: str
    ) -> None:
        session_id = await session_of(ada)
        values = {"expired": {"expires_at": now() - timedelta(seconds=1)}, "ended": {"ended_at": now()}}
        async with database.writing() as session:
            if reason == "disabled":
                await session.execute(update(User).where(User.id == ada.id).values(disabled=True))
            else:
                statement = update(LoginSession).where(LoginSession.id == session_id)
                await session.execute(statement.values(values[reason]))

        async with nothing_written(database):
            refused = await REFRESH.on(door, Anonymous(ada.client), {"refresh_token": ada.refresh_token})

        assert (refused.status, refused.code) == (401, "UNAUTHENTICATED")

    async def test_refresh_token_is_stored_as_a_fingerprint(self, ada: Person, database: Database) -> None:
        async with database.reading() as session:
            rows = await session.all(
                select(RefreshToken.token_hash).where(RefreshToken.session_id == await session_of(ada))
            )

        assert len(rows) == 1
        assert ada.refresh_token not in str(rows)


class TestSessions:
    @on_both_doors
    async def test_list_holds_the_callers_live_ones_newest_first(
        self, ada: Person, bob: Person, database: Database, door: Door
    ) -> None:
        first = await session_of(ada)
        for agent in ("Phone/1.0", "x" * 600):
            await log_in_again(ada, door, headers={"User-Agent": agent})
        over = bearer(ada, (await log_in_again(ada))["access_token"])
        [gone] = [item["id"] for item in (await LIST.on(door, over)).body if item["current"]]
        async with database.writing() as session:
            await session.execute(
                update(LoginSession).where(LoginSession.id == gone).values(expires_at=now() - timedelta(seconds=1))
            )

        listed = (await LIST.on(door, ada)).body

        assert [item["id"] for item in listed] == sorted((item["id"] for item in listed), reverse=True)
        assert [(item["user_agent"], item["current"]) for item in listed] == [
            ("x" * 500, False),
            ("Phone/1.0", False),
            (None, True),
        ]
        assert listed[-1]["id"] == first

    async def test_pages_and_counts(self, ada: Person) -> None:
        await log_in_again(ada)
        query = "query($after: String) { sessions(first: 1, after: $after) { totalCount pageInfo { endCursor } } }"

        rest = await ada.get("/users/me/sessions?limit=1")
        graphql = (await ada.gql(query)).data["sessions"]

        assert len(rest.json()) == 1
        assert 'rel="next"' in rest.headers["link"]
        assert graphql["totalCount"] == 2
        following = await ada.get("/users/me/sessions", params={"cursor": graphql["pageInfo"]["endCursor"]})
        assert [item["current"] for item in following.json()] == [True]

    @on_both_doors
    async def test_ended_one_is_gone(
        self, ada: Person, database: Database, door: Door, a_second_later: Callable[[], None]
    ) -> None:
        tokens = await log_in_again(ada)
        newest = (await LIST.on(door, ada)).body[0]["id"]

        ended = await END.on(door, ada, id=newest)

        assert ended.code is None
        assert [item["current"] for item in (await LIST.on(door, ada)).body] == [True]
        assert (await ME.on(door, bearer(ada, tokens["access_token"]))).status == 401
        assert (await REFRESH.on(door, ada, {"refresh_token": tokens["refresh_token"]})).status == 401
        async with nothing_written(database):
            assert (await END.on(door, ada, id=newest)).refusal == ("NOT_FOUND", [])

    @on_both_doors
    async def test_nobody_elses_can_be_seen_or_ended(
        self, ada: Person, bob: Person, database: Database, door: Door
    ) -> None:
        theirs = await session_of(bob)

        async with nothing_written(database):
            assert (await END.on(door, ada, id=theirs)).refusal == ("NOT_FOUND", [])
            assert (await END.on(door, ada, id=theirs + 1_000_000)).refusal == ("NOT_FOUND", [])
            assert theirs not in [item["id"] for item in (await LIST.on(door, ada)).body]

        assert (await ME.on(door, bob)).code is None

    @on_both_doors
    async def test_they_belong_to_logins(
        self, anonymous: Anonymous, ada: Person, database: Database, door: Door
    ) -> None:
        key, session_id = await ada.api_key("tasks:write"), await session_of(ada)
        await key.get("/users/me")

        async with nothing_written(database):
            for caller, code in ((anonymous, "UNAUTHENTICATED"), (key, "FORBIDDEN")):
                assert (await LIST.on(door, caller)).code == code
                assert (await END.on(door, caller, id=session_id)).code == code

    @on_both_doors
    async def test_revoking_an_unknown_token_is_no_error(
        self, anonymous: Anonymous, database: Database, door: Door
    ) -> None:
        async with nothing_written(database):
            assert (await REVOKE.on(door, anonymous, {"refresh_token": "tdr_unknown"})).code is None


Act = Callable[[Door, Person, Person], Awaitable[Result]]


async def revoke(door: Door, person: Person, _administrator: Person) -> Result:
    return await REVOKE.on(door, Anonymous(person.client), {"refresh_token": person.refresh_token})


async def end(door: Door, person: Person, _administrator: Person) -> Result:
    return await END.on(door, person, id=await session_of(person))


async def change_password(door: Door, person: Person, _administrator: Person) -> Result:
    """From another login of the same person."""
    new = {"current_password": PASSWORD, "new_password": "another horse", "confirm_password": "another horse"}
    other = bearer(person, (await log_in_again(person))["access_token"])
    return await CHANGE_PASSWORD.on(door, other, new)


async def disable(door: Door, person: Person, administrator: Person) -> Result:
    return await UPDATE_USER.on(door, administrator, {"disabled": True}, id=person.id)


class TestEverywhere:
    """What ends a session acts on the worker that did it at once, on every other within a second."""

    @on_both_doors
    @pytest.mark.parametrize("act", [revoke, end, change_password, disable])
    async def test_end_of_a_session_acts_on_every_worker(
        self, people: People, database: Database, door: Door, act: Act, a_second_later: Callable[[], None]
    ) -> None:
        person, administrator = await people(), await people(is_admin=True)
        async with another_instance(database) as app, calling(app) as there:
            elsewhere = bearer(there, person.access_token)
            for caller in (person, elsewhere):
                assert (await ME.on(door, caller)).code is None

            assert (await act(door, person, administrator)).code is None

            assert (await ME.on(door, person)).refusal == ("UNAUTHENTICATED", [])
            a_second_later()
            for again in DOORS:
                assert (await ME.on(again, elsewhere)).refusal == ("UNAUTHENTICATED", [])
            assert (await REFRESH.on(door, there, {"refresh_token": person.refresh_token})).status == 401

    async def test_busy_caller_costs_no_statement(self, ada: Person, database: Database, statements: Any) -> None:
        await ada.get("/users/me")
        statements.reset()

        await ada.get("/users/me")

        assert statements.count == 1
