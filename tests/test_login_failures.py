"""Failed logins: for each account and address, so that owners are not locked out; names that are nobody's alike."""

import asyncio
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from core.clock import now
from core.passwords import PasswordHasher
from db.driver.database import Database
from db.models import LoginFailure, LoginSession
from services.accounts import OPERATOR
from services.allowances import login_failures
from services.allowances.login_failures import LoginFailures
from services.purge import purge as purge_trash
from tests.actors import PASSWORD, Anonymous, Person
from tests.doors import Door, another_instance, calling, log_in, on_both_doors
from tests.statements import StatementCounter

THREE = {"login_failure_limit": "3/15 minutes"}
HOME, ELSEWHERE = "198.51.100.1", "203.0.113.1"


async def codes(door: Door, caller: Anonymous, names: Sequence[str]) -> list[str | None]:
    return [(await log_in(door, caller, name, "wrong")).code for name in names]


def failed(*counts: int) -> list[str]:
    """So many failures, and then so many refusals."""
    return ["UNAUTHENTICATED"] * counts[0] + ["RATE_LIMITED"] * (counts[1] if len(counts) > 1 else 0)


@pytest.fixture(autouse=True)
def own_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The databases are never emptied: addresses of one test are not those of another."""
    salt = secrets.token_hex(8)
    real = LoginFailures.place
    monkeypatch.setattr(LoginFailures, "place", lambda self, client: real(self, f"{client}-{salt}"))


class TestPairs:
    @on_both_doors
    async def test_owner_is_not_locked_out_from_elsewhere(self, ada: Person, database: Database, door: Door) -> None:
        async with another_instance(database, **THREE) as app:
            async with calling(app, address=ELSEWHERE) as attacker:
                assert await codes(door, attacker, [ada.username] * 5) == failed(3, 2)
                refused = await log_in(door, attacker, ada.username, PASSWORD)
                assert refused.code == "RATE_LIMITED"
                assert 14 * 60 < int(refused.headers["retry-after"]) <= 15 * 60
            async with calling(app, address=HOME) as owner:
                assert (await log_in(door, owner, ada.username, PASSWORD)).code is None

    @on_both_doors
    async def test_username_and_address_are_one_account(self, ada: Person, database: Database, door: Door) -> None:
        names = [ada.username, ada.email, ada.username.upper(), f" {ada.email.upper()} ", ada.username]
        async with another_instance(database, **THREE) as app, calling(app) as anonymous:
            assert await codes(door, anonymous, names) == failed(3, 2)

    @on_both_doors
    async def test_name_of_nobody_is_refused_alike(self, database: Database, door: Door) -> None:
        name = f"nobody_{secrets.token_hex(4)}"
        async with another_instance(database, **THREE) as app, calling(app) as anonymous:
            assert await codes(door, anonymous, [name, name.upper(), name, name]) == failed(3, 1)

    @on_both_doors
    async def test_success_counts_for_nothing_and_forgets_failures(
        self, ada: Person, database: Database, door: Door
    ) -> None:
        async with another_instance(database, **THREE) as app, calling(app) as anonymous:
            for _ in range(3):
                assert await codes(door, anonymous, [ada.username] * 2) == failed(2)
                for _ in range(2):
                    assert (await log_in(door, anonymous, ada.username, PASSWORD)).code is None
            assert await codes(door, anonymous, [ada.username] * 4) == failed(3, 1)

    async def test_workers_count_together_without_redis(self, ada: Person, database: Database) -> None:
        async with (
            another_instance(database, **THREE) as app,
            another_instance(database, **THREE) as other,
            calling(app) as here,
            calling(other) as there,
        ):
            found = [await codes("rest", caller, [ada.username]) for caller in (here, there) * 2]
        assert [code for [code] in found] == failed(3, 1)

    async def test_attempts_at_once_are_as_many(self, ada: Person, database: Database) -> None:
        async with another_instance(database, **THREE) as app, calling(app) as anonymous:
            answers = await asyncio.gather(*(log_in("rest", anonymous, ada.username, "wrong") for _ in range(20)))
        assert sorted(answer.code or "" for answer in answers) == sorted(failed(3, 17))

    async def test_each_alias_of_a_document_is_an_attempt(self, ada: Person, database: Database) -> None:
        aliases = " ".join(
            f'a{n}: login(input: {{username: "{ada.username}", password: "{n}"}}) {{ accessToken }}' for n in range(20)
        )
        async with another_instance(database, **THREE) as app, calling(app) as anonymous:
            answer = await anonymous.gql(f"mutation {{ {aliases} }}")
        assert [error["extensions"]["code"] for error in answer.errors] == failed(3, 17)

    async def test_next_window_begins_anew(
        self, ada: Person, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with another_instance(database, **THREE) as app, calling(app) as anonymous:
            assert await codes("rest", anonymous, [ada.username] * 4) == failed(3, 1)
            _set_clock(monkeypatch, now() + timedelta(minutes=15, seconds=1))
            assert await codes("rest", anonymous, [ada.username] * 4) == failed(3, 1)

    async def test_clock_that_is_set_back_keeps_nobody_out(
        self, ada: Person, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with another_instance(database, **THREE) as app, calling(app) as anonymous:
            assert await codes("rest", anonymous, [ada.username] * 4) == failed(3, 1)
            _set_clock(monkeypatch, now() - timedelta(hours=1))
            assert await codes("rest", anonymous, [ada.username] * 4) == failed(3, 1)

    async def test_off_counts_nothing(self, ada: Person, database: Database) -> None:
        before = await _rows(database)
        async with another_instance(database) as app, calling(app) as anonymous:
            assert await codes("rest", anonymous, [ada.username] * 12) == failed(12)
        assert await _rows(database) == before


class TestWideBounds:
    @on_both_doors
    async def test_address_that_tries_many_names(
        self, ada: Person, bob: Person, database: Database, door: Door
    ) -> None:
        """It is refused, but for whoever has logged in from there before."""
        limits = THREE | {"login_address_failure_limit": "4/hour"}
        async with another_instance(database, **limits) as app, calling(app, address=HOME) as anonymous:
            assert (await log_in(door, anonymous, bob.username, PASSWORD)).code is None
            names = [f"nobody_{secrets.token_hex(4)}" for _ in range(5)]

            assert await codes(door, anonymous, names) == failed(4, 1)
            assert (await log_in(door, anonymous, ada.username, PASSWORD)).code == "RATE_LIMITED"
            assert (await log_in(door, anonymous, bob.email, PASSWORD)).code is None

            async with calling(app, address=ELSEWHERE) as other:
                assert (await log_in(door, other, ada.username, PASSWORD)).code is None

    async def test_own_account_in_between_does_not_clear_an_address(
        self, ada: Person, bob: Person, database: Database
    ) -> None:
        limits = THREE | {"login_address_failure_limit": "4/hour"}
        async with another_instance(database, **limits) as app, calling(app) as anonymous:
            for number in range(4):
                assert (await log_in("rest", anonymous, bob.username, PASSWORD)).code is None
                assert await codes("rest", anonymous, [f"nobody_{number}"]) == failed(1)
            assert await codes("rest", anonymous, [ada.username]) == failed(0, 1)

    @on_both_doors
    async def test_guesses_from_many_addresses_are_slowed_and_shut_nobody_out(
        self, ada: Person, database: Database, door: Door
    ) -> None:
        limits = THREE | {"login_account_failure_limit": "6/hour"}
        async with another_instance(database, **limits) as app:
            async with calling(app, address=HOME) as owner:
                assert (await log_in(door, owner, ada.username, PASSWORD)).code is None
            for number in range(2):
                async with calling(app, address=f"203.0.113.{number}") as bot:
                    assert await codes(door, bot, [ada.username] * 3) == failed(3)
            async with calling(app, address="203.0.113.2") as bot:
                assert await codes(door, bot, [ada.username] * 3) == failed(1, 2)
            async with calling(app, address="192.0.2.7") as hotel:
                assert (await log_in(door, hotel, ada.username, PASSWORD)).code is None
            async with calling(app, address=HOME) as owner:
                assert await codes(door, owner, [ada.username] * 2) == failed(2)
                assert (await log_in(door, owner, ada.username, PASSWORD)).code is None


class TestWhatIsKept:
    async def test_neither_addresses_nor_what_was_typed(self, ada: Person, database: Database) -> None:
        typed = f"my-password-{secrets.token_hex(4)}"
        async with another_instance(database, **THREE) as app, calling(app, address=HOME) as anonymous:
            await codes("rest", anonymous, [typed, ada.username])
            await log_in("rest", anonymous, ada.username, PASSWORD)
        rows = await database.reads.all(select(LoginFailure.subject, LoginFailure.place))
        places = await database.reads.scalars(select(LoginSession.place).where(LoginSession.place.is_not(None)))
        kept = " ".join([*map(str, rows), *places])
        assert kept
        assert not any(word in kept for word in (typed, ada.username, HOME))

    async def test_what_has_ended_is_cleared_away_in_passing(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(login_failures, "PURGE_EVERY", 3)
        async with another_instance(database, **THREE) as app, calling(app) as anonymous:
            await codes("rest", anonymous, [f"nobody_{secrets.token_hex(4)}" for _ in range(2)])
            old = now() - timedelta(days=1)
            async with database.writing() as session:
                await session.execute(update(LoginFailure).values(ends_at=old))
            await codes("rest", anonymous, ["nobody"])
        assert await database.reads.scalar(select(func.count()).where(LoginFailure.ends_at == old)) == 0

    async def test_and_by_the_operator_s_command(self, database: Database) -> None:
        async with another_instance(database, **THREE) as app, calling(app) as anonymous:
            await codes("rest", anonymous, ["nobody"])
        async with database.writing() as session:
            await session.execute(update(LoginFailure).values(ends_at=now()))
        await purge_trash(database, OPERATOR)
        assert await _rows(database) == 0

    async def test_refusals_are_only_read(self, ada: Person, database: Database, statements: Any) -> None:
        limits = LoginFailures(pair="1/minute", address="9/minute", account="9/minute", secret=secrets.token_hex())
        place = limits.place("192.0.2.1")

        async def attempt() -> None:
            await limits.begin(database, account_id=1, name="", place=place)

        await attempt()
        for expected in (2, 1, 1):  # the first one is told, the others read alone
            statements.seen.clear()
            with pytest.raises(Exception, match="Too many requests"):
                await attempt()
            assert len([sql for sql in statements.seen if "login_failures" in sql]) == expected


class TestTiming:
    async def test_names_of_nobody_take_as_many_statements_and_hashes(
        self, ada: Person, database: Database, statements: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hashes: list[str | None] = []
        real = PasswordHasher._try

        def counted(self: PasswordHasher, password: str, hashed: str | None) -> Any:
            hashes.append(hashed)
            return real(self, password, hashed)

        monkeypatch.setattr(PasswordHasher, "_try", counted)
        seen: dict[str, Any] = {}
        for name in (ada.username, f"nobody_{secrets.token_hex(4)}"):
            async with another_instance(database, **THREE) as app, calling(app) as anonymous:
                hashes.clear()
                with StatementCounter(app.state.tandem.database) as observed:
                    assert await codes("rest", anonymous, [name] * 5) == failed(3, 2)
                seen[name] = [len(hashes), [sql for sql in observed.seen if "INSERT INTO events" not in sql]]
        assert len({str(each) for each in seen.values()}) == 1

    def test_first_login_of_a_process_does_not_tell_either(self) -> None:
        hasher = PasswordHasher(memory_kib=64, rounds=1)
        hasher._verify_now("wrong", hasher.hash_now("right"))
        assert hasher._decoy is not None


def _set_clock(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    monkeypatch.setattr(login_failures, "now", lambda: moment)


async def _rows(database: Database) -> int:
    count: int = await database.reads.scalar(select(func.count()).select_from(LoginFailure))
    return count
