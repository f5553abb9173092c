"""Whether an address is its account's: the token that was sent there comes back, and what depends on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import ValidationError

from core.settings import Settings
from db.driver.database import Database
from services import accounts
from services.account_tokens import AN_HOUR
from services.accounts import OPERATOR
from services.email_verifications import BAD_TOKEN, OFF
from services.sessions import NOT_VERIFIED
from tests.actors import PASSWORD, Anonymous, Person
from tests.conftest import settings_for
from tests.doors import Door, Result, bearer, from_graphql, from_rest, log_in, on_both_doors
from tests.operations import ACCOUNTS
from tests.test_account_rules import register
from tests.test_password_resets import Sent, server


async def ask(door: Door, caller: Anonymous, login: str) -> Result:
    if door == "rest":
        return from_rest(await caller.post("/email-verification", {"login": login}))
    document = (
        "mutation($i: RequestEmailVerificationInput!) { result: requestEmailVerification(input: $i) { accepted } }"
    )
    return from_graphql(await caller.gql(document, {"i": {"login": login}}))


async def confirm(door: Door, caller: Anonymous, token: str) -> Result:
    if door == "rest":
        return from_rest(await caller.post("/email-verification/confirm", {"token": token}))
    document = "mutation($i: VerifyEmailInput!) { result: verifyEmail(input: $i) { verified } }"
    return from_graphql(await caller.gql(document, {"i": {"token": token}}))


def token_in(sent: Sent) -> str:
    [found] = [word for word in sent.messages[-1].get_content().split() if word.startswith("tde_")]
    return str(found)


@asynccontextmanager
async def verifying(database: Database, how: str) -> AsyncIterator[tuple[Anonymous, Any, Sent]]:
    """A server with the setting, and what it sends."""
    async with server(database, email_verification=how) as (caller, state):
        state.security.outbox._mailer = sent = Sent()
        yield caller, state.security.outbox, sent


@on_both_doors
class TestBothDoors:
    async def test_required(self, database: Database, door: Door) -> None:
        async with verifying(database, "required") as (caller, outbox, sent):
            made = await register(door, caller, username=f"req_{door}_{database.dialect}")
            assert made.code is None
            await outbox.idle()
            name = f"req_{door}_{database.dialect}"

            refused = await log_in(door, caller, name, PASSWORD)
            assert (refused.code, refused.message) == ("FORBIDDEN", NOT_VERIFIED)
            assert (await log_in(door, caller, name, "wrong")).code == "UNAUTHENTICATED"

            assert (await confirm(door, caller, token_in(sent))).code is None
            assert (await log_in(door, caller, name, PASSWORD)).code is None
            again = await confirm(door, caller, token_in(sent))
            assert (again.refusal, BAD_TOKEN in again.message) == (("BAD_USER_INPUT", ["/token"]), True)

    async def test_optional_is_told_and_keeps_nobody_out(self, database: Database, door: Door) -> None:
        name = f"opt_{door}_{database.dialect}"
        async with verifying(database, "optional") as (caller, outbox, sent):
            assert (await register(door, caller, username=name)).code is None
            await outbox.idle()
            tokens = (await log_in("rest", caller, name, PASSWORD)).body
            person = bearer(caller, tokens["access_token"])
            assert (await person.get("/users/me")).json()["email_verified_at"] is None

            assert (await confirm(door, caller, token_in(sent))).code is None
            assert (await person.get("/users/me")).json()["email_verified_at"].endswith("Z")
            kinds = [each["kind"] for each in (await person.get("/users/me/security-events")).json()]
            assert "user.email_verified" in kinds

    async def test_address_that_was_changed_is_another_one(self, database: Database, ada: Person, door: Door) -> None:
        async with verifying(database, "optional") as (caller, outbox, sent):
            person = bearer(caller, ada.access_token)
            assert (await ask(door, caller, ada.username)).code is None
            await outbox.idle()
            old = token_in(sent)
            changed = {"email": f"new_{ada.email}"}
            assert (await ACCOUNTS["update_me"].on(door, person, changed)).code is None
            await outbox.idle()

            assert sent.messages[-1]["To"] == f"new_{ada.email}"
            assert (await confirm(door, caller, old)).refusal == ("BAD_USER_INPUT", ["/token"])
            assert (await confirm(door, caller, token_in(sent))).code is None

    async def test_nobody_learns_who_there_is(self, database: Database, ada: Person, door: Door) -> None:
        async with verifying(database, "optional") as (caller, outbox, sent):
            told = [await ask(door, caller, name) for name in (ada.email, "nobody@example.com", *[ada.username] * 4)]
            await outbox.idle()
        assert {(each.status, str(each.body)) for each in told} == {(told[0].status, str({"accepted": True}))}
        assert [message["To"] for message in sent.messages] == [ada.email] * AN_HOUR

    async def test_off(self, anonymous: Anonymous, door: Door) -> None:
        for refused in (await ask(door, anonymous, "nobody"), await confirm(door, anonymous, "none")):
            assert (refused.code, refused.message) == ("FORBIDDEN", OFF)


class TestService:
    async def test_token_of_a_password_verifies_nothing(self, database: Database, ada: Person) -> None:
        async with verifying(database, "optional") as (caller, outbox, sent):
            await caller.post("/password-reset", {"login": ada.username})
            await outbox.idle()
            assert (await confirm("rest", caller, sent.token)).refusal == ("BAD_USER_INPUT", ["/token"])

    async def test_operator_vouches(self, database: Database, ada: Person) -> None:
        async with database.writing() as session:
            await accounts.verify_email(session, OPERATOR, ada.username)
        async with verifying(database, "required") as (caller, _, _sent):
            assert (await log_in("rest", caller, ada.username, PASSWORD)).code is None

    @pytest.mark.parametrize("how", ["optional", "required"])
    def test_nothing_to_send_with_is_refused_at_the_start(self, how: str) -> None:
        told = f"MAILER is off, and EMAIL_VERIFICATION={how} sends messages"
        with pytest.raises(ValidationError, match=told):
            settings_for("sqlite:///x.db", email_verification=how, mailer="off")
        assert isinstance(settings_for("sqlite:///x.db", email_verification=how, mailer="file"), Settings)
