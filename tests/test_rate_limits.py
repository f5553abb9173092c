"""How often a caller may knock: logins by address and by name, and everything by account, key or address."""

import secrets

import pytest

from db.engine import Database
from services.rate_limits import RateLimits
from tests.actors import PASSWORD, Anonymous, Person
from tests.conftest import SERVER_KEY
from tests.doors import Call, Door, another_instance, bearer, calling, log_in, nothing_written, on_both_doors
from tests.infrastructure import require

ME = Call("GET /users/me", "{ result: me { databaseId id } }")
THREE = "3/minute"


async def fail(caller: Anonymous, door: Door, name: str, *, times: int = 3) -> None:
    """Log in with a wrong password, which is refused as such."""
    for _ in range(times):
        assert (await log_in(door, caller, name, "wrong password")).code == "UNAUTHENTICATED"


class TestLogins:
    @on_both_doors
    async def test_fourth_attempt_is_told_to_wait(self, ada: Person, database: Database, door: Door) -> None:
        limited = another_instance(database, login_rate_limit=THREE)
        async with limited as app, calling(app) as anonymous:
            async with nothing_written(database):
                await fail(anonymous, door, ada.username)

            refused = await log_in(door, anonymous, ada.username, PASSWORD)
            async with nothing_written(database):  # the first one has left an event for the account's owner
                await log_in(door, anonymous, ada.username, PASSWORD)

        assert (refused.status, refused.code) == (429, "RATE_LIMITED")
        assert 1 <= int(refused.headers["retry-after"]) <= 60

    async def test_graphql_says_in_the_error_how_long(self, ada: Person, database: Database) -> None:
        async with another_instance(database, login_rate_limit=THREE) as app, calling(app) as anonymous:
            await fail(anonymous, "graphql", ada.username)

            refused = await log_in("graphql", anonymous, ada.username, PASSWORD)

        assert refused.code == "RATE_LIMITED"
        assert 1 <= refused.body["errors"][0]["extensions"]["retryAfter"] <= 60

    @pytest.mark.parametrize(("first", "then"), [("rest", "graphql"), ("graphql", "rest")])
    async def test_both_doors_count_together(self, ada: Person, database: Database, first: Door, then: Door) -> None:
        async with another_instance(database, login_rate_limit=THREE) as app, calling(app) as anonymous:
            await fail(anonymous, first, ada.username)

            assert (await log_in(then, anonymous, ada.username, PASSWORD)).code == "RATE_LIMITED"

    async def test_each_alias_of_an_operation_is_an_attempt(self, ada: Person, database: Database) -> None:
        attempt = f'login(input: {{username: "{ada.username}", password: "{PASSWORD}"}}) {{ accessToken }}'
        aliases = " ".join(f"attempt{number}: {attempt}" for number in range(4))

        async with another_instance(database, login_rate_limit=THREE) as app, calling(app) as anonymous:
            answer = await anonymous.gql(f"mutation {{ {aliases} }}")

        assert answer.code == "RATE_LIMITED"
        assert answer.errors[0]["path"] == ["attempt3"]

    async def test_name_is_counted_from_every_address(self, ada: Person, database: Database) -> None:
        async with another_instance(database, login_rate_limit=THREE) as app:
            for number, name in enumerate((ada.username, ada.username.upper(), ada.username)):
                async with calling(app, address=f"10.0.0.{number}") as anonymous:
                    await fail(anonymous, "rest", name, times=1)
            async with calling(app, address="10.0.0.9") as anonymous:
                assert (await log_in("rest", anonymous, ada.username, PASSWORD)).code == "RATE_LIMITED"

    async def test_address_is_counted_over_every_name(self, ada: Person, bob: Person, database: Database) -> None:
        async with another_instance(database, login_rate_limit=THREE) as app:
            async with calling(app, address="10.0.0.1") as anonymous:
                for name in ("first_name", "second_name", bob.username):
                    await fail(anonymous, "rest", name, times=1)
                assert (await log_in("rest", anonymous, ada.username, PASSWORD)).code == "RATE_LIMITED"
            async with calling(app, address="10.0.0.2") as anonymous:
                assert (await log_in("rest", anonymous, ada.username, PASSWORD)).code is None

    async def test_workers_count_together_through_redis(self, ada: Person, database: Database) -> None:
        shared = {"login_rate_limit": THREE, "redis_url": require("redis")}
        async with another_instance(database, **shared) as app, another_instance(database, **shared) as other:
            address = f"fd00::{secrets.token_hex(2)}:{secrets.token_hex(2)}"
            async with calling(app, address=address) as here, calling(other, address=address) as there:
                await fail(here, "rest", ada.username, times=2)
                await fail(there, "rest", ada.username, times=1)

                assert (await log_in("rest", here, ada.username, PASSWORD)).code == "RATE_LIMITED"
                assert (await log_in("rest", there, ada.username, PASSWORD)).code == "RATE_LIMITED"
            for each in (app, other):
                await each.state.tandem.security.limits.close()

    @on_both_doors
    async def test_without_redis_a_worker_counts_alone(
        self, ada: Person, bob: Person, database: Database, door: Door
    ) -> None:
        away = {"login_rate_limit": THREE, "rate_limit": "100/minute", "redis_url": "redis://127.0.0.1:1/0"}
        async with another_instance(database, **away) as app, calling(app) as anonymous:
            assert (await ME.on(door, bearer(anonymous, bob.access_token))).code is None
            await fail(anonymous, door, ada.username)

            assert (await log_in(door, anonymous, ada.username, PASSWORD)).code == "RATE_LIMITED"

    async def test_connections_to_redis_end_with_the_server(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        closed: list[RateLimits] = []

        async def close(limits: RateLimits) -> None:
            closed.append(limits)

        monkeypatch.setattr(RateLimits, "close", close)
        async with another_instance(database) as app:
            pass

        assert closed == [app.state.tandem.security.limits]


class TestEverything:
    @on_both_doors
    async def test_answers_say_what_is_left_until_it_is_too_much(
        self, ada: Person, database: Database, door: Door
    ) -> None:
        async with another_instance(database, rate_limit=THREE) as app, calling(app) as anonymous:
            caller = bearer(anonymous, ada.access_token)
            answers = [await ME.on(door, caller) for _ in range(4)]

        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        assert answers[-1].code == "RATE_LIMITED"
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"default";q=3;w=60'}
        left = [answer.headers["ratelimit"].partition(";t=")[0] for answer in answers]
        assert left == ['"default";r=2', '"default";r=1', '"default";r=0', '"default";r=0']

    async def test_every_caller_has_an_allowance_of_its_own(self, ada: Person, bob: Person, database: Database) -> None:
        key = await ada.api_key("tasks:read")
        async with another_instance(database, rate_limit="1/minute") as app, calling(app) as anonymous:
            callers = [
                bearer(anonymous, ada.access_token),
                bearer(anonymous, bob.access_token),
                Anonymous(anonymous.client, key.headers),
                Anonymous(anonymous.client, {"X-API-Key": SERVER_KEY}),
                anonymous,
            ]
            first = [(await caller.get("/users/me")).status_code for caller in callers]
            again = [(await caller.get("/users/me")).status_code for caller in callers]

        assert first == [200, 200, 200, 403, 401]
        assert again == [429] * 5

    async def test_no_limit_leaves_no_headers(self, ada: Person) -> None:
        assert "ratelimit" not in (await ada.get("/users/me")).headers
