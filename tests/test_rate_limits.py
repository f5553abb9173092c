"""How often a caller may knock: what needs no account by address, everything by account or address."""

import secrets

import pytest
from pydantic import SecretStr

from core.settings import Settings
from db.driver.database import Database
from services.allowances import windows
from services.allowances.rate_limits import RateLimits
from tests.actors import PASSWORD, Anonymous, Person
from tests.conftest import SERVER_KEY, People
from tests.doors import DOORS, Call, Door, another_instance, bearer, calling, log_in, nothing_written, on_both_doors
from tests.infrastructure import require
from tests.test_security_events import UPDATE_ME
from tests.test_sessions import REFRESH, REVOKE

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
        async with limited as app, calling(app) as anonymous, nothing_written(database):
            await fail(anonymous, door, ada.username)

            refused = await log_in(door, anonymous, ada.username, PASSWORD)

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

    async def test_address_is_counted_over_every_name(self, ada: Person, bob: Person, database: Database) -> None:
        async with another_instance(database, login_rate_limit=THREE) as app:
            async with calling(app, address="10.0.0.1") as anonymous:
                for name in ("first_name", "second_name", bob.username):
                    await fail(anonymous, "rest", name, times=1)
                assert (await log_in("rest", anonymous, ada.username, PASSWORD)).code == "RATE_LIMITED"
            async with calling(app, address="10.0.0.2") as anonymous:
                assert (await log_in("rest", anonymous, ada.username, PASSWORD)).code is None

    @pytest.mark.parametrize(
        ("address", "others"),
        [
            ("2001:db8:1:2::1", ["2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"]),
            ("192.0.2.1", ["::ffff:192.0.2.1", "::ffff:c000:201"]),
        ],
    )
    async def test_whoever_has_a_network_has_one_address(
        self, ada: Person, database: Database, address: str, others: list[str]
    ) -> None:
        async with another_instance(database, login_rate_limit=THREE) as app:
            for each in (address, *others):
                async with calling(app, address=each) as anonymous:
                    await fail(anonymous, "rest", ada.username, times=1)
            for each in (address, *others):
                async with calling(app, address=each) as anonymous:
                    assert (await log_in("rest", anonymous, ada.username, PASSWORD)).code == "RATE_LIMITED"
            for each in ("2001:db8:1:3::1", "192.0.2.2"):
                async with calling(app, address=each) as anonymous:
                    assert (await log_in("rest", anonymous, ada.username, PASSWORD)).code is None

    async def test_header_of_whoever_is_no_proxy_is_no_address(self, ada: Person, database: Database) -> None:
        """The server alone takes it, from proxies that it trusts: here there is none."""
        async with another_instance(database, login_rate_limit=THREE) as app, calling(app) as anonymous:
            codes = [
                (
                    await log_in(
                        "rest",
                        anonymous,
                        ada.username,
                        "wrong",
                        headers={"X-Forwarded-For": f"192.0.2.{number}", "Forwarded": f"for=192.0.2.{number}"},
                    )
                ).code
                for number in range(4)
            ]
        assert codes == ["UNAUTHENTICATED"] * 3 + ["RATE_LIMITED"]

    async def test_workers_count_together_through_redis(
        self, ada: Person, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(windows, "ANSWER_SECONDS", 10)
        shared = {"login_rate_limit": THREE, "redis_url": require("redis")}
        async with another_instance(database, **shared) as app, another_instance(database, **shared) as other:
            address = f"fd00:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"
            async with calling(app, address=address) as here, calling(other, address=address) as there:
                await fail(here, "rest", ada.username, times=2)
                await fail(there, "rest", ada.username, times=1)

                assert (await log_in("rest", here, ada.username, PASSWORD)).code == "RATE_LIMITED"
                assert (await log_in("rest", there, ada.username, PASSWORD)).code == "RATE_LIMITED"

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
        async with another_instance(database, rate_limit="1/minute") as app, calling(app) as anonymous:
            callers = [
                bearer(anonymous, ada.access_token),
                bearer(anonymous, bob.access_token),
                Anonymous(anonymous.client, {"X-API-Key": SERVER_KEY}),
                anonymous,
            ]
            first = [(await caller.get("/users/me")).status_code for caller in callers]
            again = [(await caller.get("/users/me")).status_code for caller in callers]

        assert first == [200, 200, 403, 401]
        assert again == [429] * 4

    async def test_an_account_has_one_allowance_whatever_it_comes_with(self, ada: Person, database: Database) -> None:
        """Sessions, keys and both doors: three keys are not three times as much."""
        keys = [await ada.api_key("tasks:read") for _ in range(3)]
        other = (await log_in("rest", Anonymous(ada.client), ada.username, PASSWORD)).body["access_token"]
        async with another_instance(database, rate_limit="5/minute") as app, calling(app) as anonymous:
            callers = [*(Anonymous(anonymous.client, key.headers) for key in keys)]
            callers += [bearer(anonymous, ada.access_token), bearer(anonymous, other)]
            doors: tuple[Door, ...] = ("rest", "graphql", "rest", "graphql", "rest")
            first = [await ME.on(door, caller) for door, caller in zip(doors, callers, strict=True)]
            again = [await ME.on(door, caller) for door in DOORS for caller in callers]

        assert [answer.code for answer in first] == [None] * 5
        assert [answer.headers["ratelimit"].partition(";t=")[0] for answer in first] == [
            f'"default";r={left}' for left in (4, 3, 2, 1, 0)
        ]
        assert {answer.code for answer in again} == {"RATE_LIMITED"}

    async def test_no_limit_leaves_no_headers(self, ada: Person) -> None:
        assert "ratelimit" not in (await ada.get("/users/me")).headers


REGISTER = Call("POST /users", "mutation($input: RegisterInput!) { result: register(input: $input) { user { id } } }")
CREATE_PROJECT = Call(
    "POST /projects",
    "mutation($input: CreateProjectInput!) { result: createProject(input: $input) { project { id } } }",
)
ADD = Call(
    "POST /projects/{id}/members",
    "mutation($input: AddMemberInput!) { result: addMember(input: $input) { member { id } } }",
)


def somebody(**fields: str) -> dict[str, str]:
    name = f"n{secrets.token_hex(8)}"
    return {"username": name, "email": f"{name}@example.com", "password": PASSWORD} | fields


class TestWithoutAnAccount:
    @on_both_doors
    async def test_registrations_of_an_address_are_bounded_with_those_that_are_refused(
        self, ada: Person, database: Database, door: Door
    ) -> None:
        async with another_instance(database, registration_rate_limit=THREE) as app, calling(app) as anonymous:
            codes = [
                (await REGISTER.on(door, anonymous, somebody(**fields))).code
                for fields in ({}, {"email": ada.email}, {"username": ada.username}, {}, {"email": ada.email})
            ]
            async with calling(app, address="10.0.0.2") as elsewhere:
                assert (await REGISTER.on(door, elsewhere, somebody())).code is None

        assert codes == [None, "CONFLICT", "CONFLICT", "RATE_LIMITED", "RATE_LIMITED"]

    @on_both_doors
    async def test_administrators_register_as_many_as_they_like(
        self, people: People, database: Database, door: Door
    ) -> None:
        administrator = await people(is_admin=True)
        async with another_instance(database, registration_rate_limit="1/hour") as app, calling(app) as anonymous:
            caller = bearer(anonymous, administrator.access_token)
            assert [(await REGISTER.on(door, caller, somebody())).code for _ in range(3)] == [None] * 3

    async def test_each_alias_is_a_registration(self, database: Database) -> None:
        register = 'register(input: {username: "%s", email: "%s", password: "%s"}) { user { id } }'
        fields = " ".join(f"a{n}: " + register % tuple(somebody().values()) for n in range(4))
        async with another_instance(database, registration_rate_limit=THREE) as app, calling(app) as anonymous:
            answer = await anonymous.gql(f"mutation {{ {fields} }}")

        assert [error["path"] for error in answer.errors] == [["a3"]]
        assert answer.code == "RATE_LIMITED"

    @on_both_doors
    async def test_refresh_tokens_of_an_address_are_bounded(self, database: Database, door: Door) -> None:
        token = {"refresh_token": "guess"}
        async with another_instance(database, refresh_rate_limit=THREE) as app, calling(app) as anonymous:
            codes = [(await REFRESH.on(door, anonymous, token)).code for _ in range(2)]
            codes.append((await REVOKE.on(door, anonymous, token)).code)
            codes.append((await REFRESH.on(door, anonymous, token)).code)
            codes.append((await REVOKE.on(door, anonymous, token)).code)

        assert codes == ["UNAUTHENTICATED", "UNAUTHENTICATED", None, "RATE_LIMITED", "RATE_LIMITED"]

    @on_both_doors
    async def test_token_that_is_refused_for_the_limit_is_not_spent(
        self, ada: Person, database: Database, door: Door
    ) -> None:
        tokens = (await log_in("rest", Anonymous(ada.client), ada.username, PASSWORD)).body
        token = {"refresh_token": tokens["refresh_token"]}
        async with another_instance(database, refresh_rate_limit="1/minute") as app, calling(app) as anonymous:
            await REFRESH.on(door, anonymous, {"refresh_token": "guess"})
            assert (await REFRESH.on(door, anonymous, token)).code == "RATE_LIMITED"

        assert (await REFRESH.on(door, Anonymous(ada.client), token)).code is None

    def test_defaults_bound_what_needs_no_account(self) -> None:
        settings = Settings(_env_file=None, secret_key=SecretStr(secrets.token_urlsafe(48)))

        assert settings.rate_limit is None
        assert settings.login_rate_limit == "20/minute"
        assert (settings.registration_rate_limit, settings.refresh_rate_limit) == ("30/hour", "60/minute")


class TestProbes:
    """What tells of others is refused with another code when an account has been told often enough."""

    @on_both_doors
    async def test_names_of_people(self, ada: Person, bob: Person, database: Database, door: Door) -> None:
        project = await ada.project()
        async with another_instance(database, probe_rate_limit=THREE) as app, calling(app) as anonymous:
            caller = bearer(anonymous, ada.access_token)

            async def add(name: str) -> str | None:
                values = {"username": name} | ({"project_id": project["node_id"]} if door == "graphql" else {})
                return (await ADD.on(door, caller, values, id=project["id"])).code

            codes = [await add(f"nobody_{number}") for number in range(4)]
            assert codes == ["NOT_FOUND"] * 3 + ["RATE_LIMITED"]
            assert await add(bob.username) == "RATE_LIMITED"  # it would tell as much

    @on_both_doors
    async def test_keys_of_projects_and_addresses_count_together(
        self, ada: Person, bob: Person, database: Database, door: Door
    ) -> None:
        theirs = await bob.project()
        async with another_instance(database, probe_rate_limit=THREE) as app, calling(app) as anonymous:
            caller = bearer(anonymous, ada.access_token)
            taken = {"name": "x", "key": theirs["key"]}
            codes = [
                (await CREATE_PROJECT.on(door, caller, taken)).code,
                (await UPDATE_ME.on(door, caller, {"email": bob.email})).code,
                (await UPDATE_ME.on(door, caller, {"full_name": "Not counted"})).code,
                (await CREATE_PROJECT.on(door, caller, taken)).code,
                (await UPDATE_ME.on(door, caller, {"email": bob.email})).code,
                (await CREATE_PROJECT.on(door, caller, taken)).code,
            ]
            assert codes == ["CONFLICT", "CONFLICT", None, "CONFLICT", "RATE_LIMITED", "RATE_LIMITED"]
            assert (await CREATE_PROJECT.on(door, bearer(anonymous, bob.access_token), {"name": "x"})).code is None

    async def test_each_alias_of_an_operation_is_one(self, ada: Person, database: Database) -> None:
        project = (await ada.project())["node_id"]
        add = 'addMember(input: {projectId: "%s", username: "nobody_%s"}) { member { id } }'
        fields = " ".join(f"a{n}: " + add % (project, n) for n in range(6))
        async with another_instance(database, probe_rate_limit=THREE) as app, calling(app) as anonymous:
            answer = await bearer(anonymous, ada.access_token).gql(f"mutation {{ {fields} }}")

        codes = [error["extensions"]["code"] for error in answer.errors]
        assert codes == ["NOT_FOUND"] * 3 + ["RATE_LIMITED"] * 3

    async def test_administrators_are_not_counted(self, people: People, database: Database) -> None:
        administrator = await people(is_admin=True)
        project = await administrator.project()
        async with another_instance(database, probe_rate_limit="1/minute") as app, calling(app) as anonymous:
            caller = bearer(anonymous, administrator.access_token)
            for number in range(3):
                values = {"username": f"nobody_{number}"}
                assert (await ADD.on("rest", caller, values, id=project["id"])).code == "NOT_FOUND"
