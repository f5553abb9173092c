"""Passwords: how they are hashed and checked, that it costs the event loop nothing, and how they are changed."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from passlib.context import CryptContext
from passlib.hash import argon2, bcrypt
from sqlalchemy import select, update

from api.state import State
from core.passwords import MAX_PASSWORD_LENGTH, PasswordHasher, prepared
from core.settings import Settings
from db.driver.database import Database
from db.models import Event, User
from services.shared.actors import Actor
from services.shared.errors import Forbidden
from services.users.commands import change_password
from services.users.models import PasswordChange
from tests.actors import PASSWORD, Anonymous, Person
from tests.conftest import People
from tests.doors import Call, Door, bearer, log_in, nothing_written, on_both_doors

NEW_PASSWORD = "another horse battery"
ME = Call("GET /users/me", "{ result: me { databaseId id } }")
REFRESH = Call(
    "POST /token/refresh",
    "mutation($input: RefreshTokenInput!) { result: refreshToken(input: $input) { refreshToken } }",
)
CHANGE = Call(
    "POST /users/me/password",
    "mutation($input: ChangePasswordInput!) { result: changePassword(input: $input) { user { databaseId id } } }",
    payload="user",
)


def change(current: Any = PASSWORD, new: Any = NEW_PASSWORD, confirm: Any = NEW_PASSWORD) -> dict[str, Any]:
    return {"current_password": current, "new_password": new, "confirm_password": confirm}


async def stored_hash(database: Database, user_id: int) -> str:
    async with database.reading() as session:
        return str(await session.scalar(select(User.password_hash).where(User.id == user_id)))


async def store_hash(database: Database, user_id: int, hashed: str) -> None:
    async with database.writing() as session:
        await session.execute(update(User).where(User.id == user_id).values(password_hash=hashed))


@pytest.fixture
def hasher() -> PasswordHasher:
    return PasswordHasher(memory_kib=64, rounds=1)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The hash that each check of a password was made against, and the thread that made it."""
    seen: list[tuple[str, int]] = []

    def spy(name: str) -> None:
        original: Callable[..., Any] = getattr(CryptContext, name)

        def note(self: CryptContext, secret: str, hashed: str, *arguments: Any, **options: Any) -> Any:
            seen.append((hashed, threading.get_ident()))
            return original(self, secret, hashed, *arguments, **options)

        monkeypatch.setattr(CryptContext, name, note)

    spy("verify")
    spy("verify_and_update")
    return seen


class TestHasher:
    async def test_hash_is_argon2id_of_the_cost_that_is_set(self) -> None:
        hashed = await PasswordHasher(memory_kib=128, rounds=3).hash(PASSWORD)

        assert hashed.startswith("$argon2id$v=19$m=128,t=3,p=1$")

    def test_default_cost_is_owasps_minimum(self) -> None:
        fields = Settings.model_fields

        assert (fields["argon2_memory_kib"].default, fields["argon2_rounds"].default) == (19_456, 2)

    async def test_each_hash_has_its_own_salt(self, hasher: PasswordHasher) -> None:
        assert await hasher.hash(PASSWORD) != await hasher.hash(PASSWORD)

    @pytest.mark.parametrize("password", [PASSWORD, "密码 пароль 🔑", "x" * MAX_PASSWORD_LENGTH, " blanks count "])
    async def test_password_fits_its_hash_alone(self, hasher: PasswordHasher, password: str) -> None:
        hashed = await hasher.hash(password)

        assert await hasher.verify(password, hashed) == (True, None)
        for other in (password[:-1], password.upper() + "x", password.strip() + "\t", ""):
            assert await hasher.verify(other, hashed) == (False, None)

    @pytest.mark.parametrize("ident", ["2a", "2b", "2y"])
    async def test_bcrypt_hash_fits_and_is_to_be_replaced(self, hasher: PasswordHasher, ident: str) -> None:
        old = bcrypt.using(rounds=4, ident=ident).hash(PASSWORD)

        fits, replacement = await hasher.verify(PASSWORD, old)

        assert fits
        assert replacement is not None
        assert replacement.startswith("$argon2id$")
        assert await hasher.verify(PASSWORD, replacement) == (True, None)
        assert await hasher.verify("wrong", old) == (False, None)

    async def test_bcrypt_hash_of_a_long_password_fits(self, hasher: PasswordHasher) -> None:
        """bcrypt itself reads 72 bytes; newer bindings refuse longer input."""
        long = "ä" * 100

        fits, _ = await hasher.verify(long, bcrypt.using(rounds=4).hash(long))

        assert fits

    async def test_cheaper_argon2_hash_is_to_be_replaced(self) -> None:
        cheap = await PasswordHasher(memory_kib=64, rounds=1).hash(PASSWORD)

        fits, replacement = await PasswordHasher(memory_kib=128, rounds=2).verify(PASSWORD, cheap)

        assert fits
        assert "m=128,t=2" in str(replacement)

    @pytest.mark.parametrize("hashed", ["", "!", PASSWORD, "$argon2id$v=19$m=64", "$2b$04$short", "$1$abc$def"])
    async def test_what_is_no_hash_fits_nothing(self, hasher: PasswordHasher, hashed: str) -> None:
        assert await hasher.verify(PASSWORD, hashed) == (False, None)

    async def test_without_a_hash_the_same_work_is_done(
        self, hasher: PasswordHasher, checked: list[tuple[str, int]]
    ) -> None:
        real = await hasher.hash(PASSWORD)
        await hasher.verify("wrong", real)
        checked.clear()

        for _ in range(2):
            assert await hasher.verify(PASSWORD, None) == (False, None)

        assert len(checked) == 2
        costs = {(argon2.from_string(hashed).memory_cost, argon2.from_string(hashed).rounds) for hashed, _ in checked}
        assert costs == {(64, 1)}

    async def test_event_loop_goes_on_meanwhile(self, checked: list[tuple[str, int]]) -> None:
        slow = PasswordHasher(memory_kib=8 * 1024, rounds=20)
        hashed = await slow.hash(PASSWORD)
        longest, stop = 0.0, asyncio.Event()

        async def tick() -> None:
            nonlocal longest
            while not stop.is_set():
                before = time.thread_time()
                await asyncio.sleep(0)
                longest = max(longest, time.thread_time() - before)

        ticking = asyncio.create_task(tick())
        await asyncio.gather(*(slow.verify(PASSWORD, hashed) for _ in range(4)))
        stop.set()
        await ticking

        assert threading.get_ident() not in {thread for _, thread in checked}
        assert longest < 0.05

    async def test_few_run_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        running, most, lock = 0, 0, threading.Lock()

        def slow(_self: PasswordHasher, _password: str) -> str:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.02)
            with lock:
                running -= 1
            return "hash"

        monkeypatch.setattr(PasswordHasher, "hash_now", slow)
        hasher = PasswordHasher(memory_kib=64, rounds=1, concurrency=2)

        await asyncio.gather(*(hasher.hash(PASSWORD) for _ in range(10)))

        assert most == 2


class TestLogin:
    async def test_registered_password_is_stored_as_argon2id(self, ada: Person, database: Database) -> None:
        assert (await stored_hash(database, ada.id)).startswith("$argon2id$")

    @on_both_doors
    async def test_bcrypt_hash_is_upgraded_by_the_right_password_alone(
        self, ada: Person, database: Database, door: Door
    ) -> None:
        await store_hash(database, ada.id, bcrypt.using(rounds=4).hash(PASSWORD))

        async with nothing_written(database):
            assert (await log_in(door, ada, ada.username, "wrong password")).code == "UNAUTHENTICATED"

        for _ in range(2):
            assert (await log_in(door, ada, ada.username, PASSWORD)).code is None
        assert (await stored_hash(database, ada.id)).startswith("$argon2id$")

    async def test_disabled_account_is_not_upgraded(self, ada: Person, database: Database) -> None:
        await store_hash(database, ada.id, bcrypt.using(rounds=4).hash(PASSWORD))
        async with database.writing() as session:
            await session.execute(update(User).where(User.id == ada.id).values(disabled=True))

        async with nothing_written(database):
            assert (await log_in("rest", ada, ada.username, PASSWORD)).code == "UNAUTHENTICATED"

    @on_both_doors
    async def test_logins_at_once_with_an_old_hash_all_succeed(
        self, ada: Person, database: Database, door: Door
    ) -> None:
        await store_hash(database, ada.id, bcrypt.using(rounds=4).hash(PASSWORD))

        logins = await asyncio.gather(*(log_in(door, ada, ada.username, PASSWORD) for _ in range(4)))

        assert [login.code for login in logins] == [None] * 4

    @on_both_doors
    async def test_login_overtaken_by_a_change_of_the_password_is_refused(
        self, ada: Person, database: Database, hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch, door: Door
    ) -> None:
        """Else its session would outlive those that the change has ended."""
        new, verify = await hasher.hash(NEW_PASSWORD), PasswordHasher.verify

        async def overtaken(self: PasswordHasher, password: str, hashed: str | None) -> tuple[bool, str | None]:
            answer = await verify(self, password, hashed)
            await store_hash(database, ada.id, new)
            return answer

        await store_hash(database, ada.id, new)
        async with nothing_written(database):
            await store_hash(database, ada.id, await hasher.hash(PASSWORD))
            monkeypatch.setattr(PasswordHasher, "verify", overtaken)

            assert (await log_in(door, ada, ada.username, PASSWORD)).code == "UNAUTHENTICATED"

    @on_both_doors
    @pytest.mark.parametrize("who", ["unknown", "wrong password", "without a password", "disabled"])
    async def test_every_refusal_costs_one_check_off_the_event_loop(
        self,
        anonymous: Anonymous,
        ada: Person,
        database: Database,
        checked: list[tuple[str, int]],
        door: Door,
        who: str,
    ) -> None:
        values: dict[str, dict[str, Any]] = {
            "without a password": {"password_hash": None},
            "disabled": {"disabled": True},
        }
        if who in values:
            async with database.writing() as session:
                await session.execute(update(User).where(User.id == ada.id).values(values[who]))
        await log_in(door, anonymous, "nobody_of_this_name", PASSWORD)  # makes the decoy
        checked.clear()

        name = "nobody_of_this_name" if who == "unknown" else ada.username
        refused = await log_in(door, anonymous, name, "wrong" if who == "wrong password" else PASSWORD)

        assert refused.code == "UNAUTHENTICATED"
        [(hashed, thread)] = checked
        assert (argon2.from_string(hashed).memory_cost, argon2.from_string(hashed).rounds) == (64, 1)
        assert thread != threading.get_ident()


class TestChange:
    @on_both_doors
    async def test_new_password_logs_in_and_the_old_one_does_not(self, ada: Person, door: Door) -> None:
        changed = await CHANGE.on(door, ada, change())

        assert changed.body["id"] == ada.id
        assert (await log_in(door, ada, ada.username, NEW_PASSWORD)).code is None
        assert (await log_in(door, ada, ada.username, PASSWORD)).code == "UNAUTHENTICATED"

    @on_both_doors
    async def test_other_sessions_end_and_this_one_stays(
        self, anonymous: Anonymous, ada: Person, bob: Person, door: Door
    ) -> None:
        other = (await log_in(door, anonymous, ada.username, PASSWORD)).body

        await CHANGE.on(door, ada, change())

        assert (await ME.on(door, bearer(anonymous, other["access_token"]))).code == "UNAUTHENTICATED"
        assert (await REFRESH.on(door, anonymous, {"refresh_token": other["refresh_token"]})).code == "UNAUTHENTICATED"
        assert (await ME.on(door, ada)).code is None
        assert (await REFRESH.on(door, anonymous, {"refresh_token": ada.refresh_token})).code is None
        assert (await ME.on(door, bob)).code is None

    @on_both_doors
    @pytest.mark.parametrize(
        ("values", "pointers"),
        [
            (change(current="wrong password"), ["/current_password"]),
            (change(current=""), ["/current_password"]),
            (change(confirm=NEW_PASSWORD + " "), ["/confirm_password"]),
            (change(confirm=""), ["/confirm_password"]),
            (change(new=PASSWORD, confirm=PASSWORD), ["/new_password"]),
            (change(new=PASSWORD, confirm=NEW_PASSWORD), ["/confirm_password", "/new_password"]),
            (change(new="1234567", confirm="1234567"), ["/new_password"]),
            (change(new="x" * 1025, confirm="x" * 1025), ["/new_password", "/confirm_password"]),
            (change(new="correct\x00horse", confirm="correct\x00horse"), ["/new_password", "/confirm_password"]),
            (change(current="x\x00"), ["/current_password"]),
        ],
        ids=["wrong", "none", "other", "no other", "same", "same and other", "short", "long", "NUL", "NUL before"],
    )
    async def test_every_rule_is_kept(
        self, ada: Person, database: Database, door: Door, values: dict[str, Any], pointers: list[str]
    ) -> None:
        async with nothing_written(database):
            refused = await CHANGE.on(door, ada, values)

        assert (refused.code, sorted(refused.pointers)) == ("BAD_USER_INPUT", sorted(pointers))
        assert not any(str(value) in str(refused.body) for value in values.values() if len(value) > 1)

    @on_both_doors
    @pytest.mark.parametrize("field", ["current_password", "new_password", "confirm_password"])
    async def test_all_three_are_needed(self, ada: Person, database: Database, door: Door, field: str) -> None:
        async with nothing_written(database):
            for values in ({name: value for name, value in change().items() if name != field}, {**change(), field: 5}):
                assert (await CHANGE.on(door, ada, values)).code == "BAD_USER_INPUT"

    @on_both_doors
    async def test_it_takes_a_login(self, anonymous: Anonymous, ada: Person, database: Database, door: Door) -> None:
        key = await ada.api_key("tasks:write", "projects:admin")
        await key.get("/users/me")

        async with nothing_written(database):
            assert (await CHANGE.on(door, anonymous, change())).refusal == ("UNAUTHENTICATED", [])
            assert (await CHANGE.on(door, key, change())).refusal == ("FORBIDDEN", [])

    async def test_of_two_at_once_one_wins(self, ada: Person) -> None:
        changes = [change(new=new, confirm=new) for new in (NEW_PASSWORD, "a third horse battery")]

        codes = [result.code for result in await asyncio.gather(*(CHANGE.on("rest", ada, each) for each in changes))]

        assert None in codes
        assert set(codes) <= {None, "CONFLICT", "BAD_USER_INPUT"}
        works = [(await log_in("rest", ada, ada.username, each["new_password"])).code is None for each in changes]
        assert works == [code is None for code in codes]

    async def test_event_holds_no_password(self, ada: Person, state: State) -> None:
        data = PasswordChange.model_validate(change())
        await change_password(state.database, ada.actor, data, security=state.security)

        async with state.database.reading() as session:
            [row] = await session.all(
                select(Event.actor_id, Event.changes).where(
                    Event.kind == "user.password_changed", Event.entity_id == ada.id
                )
            )
        assert tuple(row) == (ada.id, {})

    async def test_service_refuses_a_key(self, ada: Person, state: State) -> None:
        key = Actor("api_key", user_id=ada.id, scopes=ada.actor.scopes, api_key_id=1)

        with pytest.raises(Forbidden):
            await change_password(state.database, key, PasswordChange.model_validate(change()), security=state.security)


DECOMPOSED, COMPOSED = "Schlu\u0308ssel-1", "Schl\u00fcssel-1"
SPACED, PLAIN = "two\u00a0words\u3000\u00e9", "two words \u00e9"


def raw_hash(state: State, password: str) -> str:
    """What the versions before passwords were prepared stored."""
    return str(state.security.hasher._context.hash(password))


class TestForms:
    """The same password typed on another keyboard (RFC 8265, section 4.2)."""

    @pytest.mark.parametrize(
        ("typed", "kept"),
        [
            (DECOMPOSED, COMPOSED),
            (SPACED, PLAIN),
            ("\u212bngstrom", "\u00c5ngstrom"),
            ("Gro\u00df 1", "Gro\u00df 1"),
            ("\ufb01ne", "\ufb01ne"),
            (" both ends ", " both ends "),
        ],
    )
    def test_are_prepared_and_keep_their_case(self, typed: str, kept: str) -> None:
        assert prepared(typed) == prepared(kept) == kept

    @on_both_doors
    @pytest.mark.parametrize("forms", [(DECOMPOSED, COMPOSED), (SPACED, PLAIN)])
    async def test_registered_in_one_form_logs_in_with_each(
        self, people: People, anonymous: Anonymous, door: Door, forms: tuple[str, str]
    ) -> None:
        for registered in forms:
            person = await people(password=registered)
            for typed in forms:
                assert (await log_in(door, anonymous, person.username, typed)).code is None
            assert (await log_in(door, anonymous, person.username, forms[1].upper())).code == "UNAUTHENTICATED"

    @on_both_doors
    async def test_change_compares_prepared_forms(self, people: People, database: Database, door: Door) -> None:
        person = await people(password=COMPOSED)
        async with nothing_written(database):
            same = await CHANGE.on(door, person, change(current=COMPOSED, new=DECOMPOSED, confirm=COMPOSED))
        assert same.refusal == ("BAD_USER_INPUT", ["/new_password"])

        changed = await CHANGE.on(door, person, change(current=DECOMPOSED, new=SPACED, confirm=PLAIN))
        assert changed.code is None
        assert (await log_in(door, person, person.username, PLAIN)).code is None

    @on_both_doors
    async def test_hash_of_before_fits_as_it_was_typed_and_is_replaced(
        self, ada: Person, state: State, database: Database, door: Door
    ) -> None:
        old = raw_hash(state, DECOMPOSED)
        await store_hash(database, ada.id, old)
        assert (await log_in(door, ada, ada.username, COMPOSED)).code == "UNAUTHENTICATED"

        assert (await log_in(door, ada, ada.username, DECOMPOSED)).code is None
        assert await stored_hash(database, ada.id) != old
        for typed in (DECOMPOSED, COMPOSED):
            assert (await log_in(door, ada, ada.username, typed)).code is None

    @on_both_doors
    async def test_hash_of_before_lets_its_password_be_changed(
        self, ada: Person, state: State, database: Database, door: Door
    ) -> None:
        await store_hash(database, ada.id, raw_hash(state, DECOMPOSED))

        assert (await CHANGE.on(door, ada, change(current=DECOMPOSED))).code is None

    async def test_old_bcrypt_hash_of_before_fits_too(self, hasher: PasswordHasher) -> None:
        fits, replacement = await hasher.verify(DECOMPOSED, bcrypt.using(rounds=4).hash(DECOMPOSED))

        assert fits
        assert await hasher.verify(COMPOSED, replacement) == (True, None)

    @on_both_doors
    @pytest.mark.parametrize(("password", "checks"), [("wrong password", 1), ("wr\u00f6ng", 1), ("wro\u0308ng", 2)])
    async def test_unknown_name_costs_as_many_checks_as_a_known_one(
        self, anonymous: Anonymous, ada: Person, checked: list[tuple[str, int]], door: Door, password: str, checks: int
    ) -> None:
        await log_in(door, anonymous, "nobody_of_this_name", PASSWORD)  # makes the decoy
        for name in ("nobody_of_this_name", ada.username):
            checked.clear()
            assert (await log_in(door, anonymous, name, password)).code == "UNAUTHENTICATED"
            assert len(checked) == checks

    async def test_right_password_costs_one_check(
        self, people: People, anonymous: Anonymous, checked: list[tuple[str, int]]
    ) -> None:
        person = await people(password=COMPOSED)
        checked.clear()
        await log_in("rest", anonymous, person.username, DECOMPOSED)

        assert len(checked) == 1

    @on_both_doors
    @pytest.mark.parametrize("new", ["e\u0301" * 7, "tab\tand more", "bell\x07 and more", "two\nlines of it"])
    async def test_short_as_prepared_and_control_characters_are_refused(
        self, ada: Person, database: Database, door: Door, new: str
    ) -> None:
        async with nothing_written(database):
            refused = await CHANGE.on(door, ada, change(new=new, confirm=new))

        assert refused.refusal == ("BAD_USER_INPUT", ["/new_password"])

    @on_both_doors
    async def test_control_characters_of_before_still_log_in(
        self, ada: Person, state: State, database: Database, door: Door
    ) -> None:
        await store_hash(database, ada.id, raw_hash(state, "tab\tand more"))

        assert (await log_in(door, ada, ada.username, "tab\tand more")).code is None
