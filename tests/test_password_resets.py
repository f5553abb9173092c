"""Forgotten passwords: a token that works once and not for long, and an answer that tells nobody who there is."""

import asyncio
import dataclasses
import smtplib
import socket
import statistics
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from api.main import create_app
from api.state import State
from core.clock import now
from core.mail import MAX_WAITING, FileMailer, Message, Outbox, SmtpMailer
from core.tokens import fingerprint
from db.driver.database import Database
from db.models import AccountToken, Event, User
from services import account_tokens, accounts, password_resets
from services.accounts import OPERATOR, NewPassword
from services.shared.errors import Conflict, NotFound
from tests.actors import PASSWORD, Anonymous, Person
from tests.conftest import settings_for
from tests.doors import Door, Result, from_graphql, from_rest, log_in, on_both_doors

NEW = "another horse battery"


class Sent:
    """Keeps messages, and what was sent is in them."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []

    def __call__(self, message: EmailMessage) -> None:
        self.messages.append(message)

    @property
    def token(self) -> str:
        [found] = [word for word in self.messages[-1].get_content().split() if word.startswith("tdp_")]
        return str(found)


async def ask(door: Door, caller: Anonymous, login: str) -> Result:
    if door == "rest":
        return from_rest(await caller.post("/password-reset", {"login": login}))
    document = "mutation($i: RequestPasswordResetInput!) { result: requestPasswordReset(input: $i) { accepted } }"
    return from_graphql(await caller.gql(document, {"i": {"login": login}}))


async def confirm(door: Door, caller: Anonymous, token: str, password: str = NEW) -> Result:
    if door == "rest":
        return from_rest(await caller.post("/password-reset/confirm", {"token": token, "new_password": password}))
    document = "mutation($i: ResetPasswordInput!) { result: resetPassword(input: $i) { reset } }"
    return from_graphql(await caller.gql(document, {"i": {"token": token, "newPassword": password}}))


@pytest.fixture
def sent(state: State, monkeypatch: pytest.MonkeyPatch) -> Sent:
    """What the application sends."""
    sent = Sent()
    monkeypatch.setattr(state.security.outbox, "_mailer", sent)
    return sent


@asynccontextmanager
async def server(database: Database, **changes: Any) -> AsyncIterator[tuple[Anonymous, State]]:
    """Another server on the same database, with other settings."""
    app = create_app(settings_for(database.url.render_as_string(hide_password=False), **changes))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as http,
    ):
        yield Anonymous(http), app.state.tandem


async def token_for(state: State, person: Person, minutes: int = 30) -> str:
    async with state.database.writing() as session:
        return await accounts.reset_token(session, OPERATOR, person.username, lifetime=timedelta(minutes=minutes))


@on_both_doors
class TestBothDoors:
    async def test_token_that_was_sent_sets_a_password_once(
        self, ada: Person, anonymous: Anonymous, state: State, sent: Sent, door: Door
    ) -> None:
        asked = await ask(door, anonymous, ada.email.upper())
        await state.security.outbox.idle()
        assert (asked.code, asked.body) == (None, {"accepted": True})
        assert sent.messages[-1]["To"] == ada.email

        assert (await confirm(door, anonymous, sent.token)).code is None
        assert (await log_in(door, anonymous, ada.username, PASSWORD)).code == "UNAUTHENTICATED"
        assert (await log_in(door, anonymous, ada.username, NEW)).code is None
        again = await confirm(door, anonymous, sent.token)
        assert again.refusal == ("BAD_USER_INPUT", ["/token"])
        assert password_resets.BAD_TOKEN in again.message

    async def test_every_session_ends(self, ada: Person, anonymous: Anonymous, state: State, door: Door) -> None:
        other = (await log_in("rest", anonymous, ada.username, PASSWORD)).body["access_token"]

        assert (await confirm(door, anonymous, await token_for(state, ada))).code is None

        for token in (ada.access_token, other):
            answer = await anonymous.get("/users/me", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 401
        refreshed = await anonymous.post("/token/refresh", {"refresh_token": ada.refresh_token})
        assert refreshed.status_code == 401

    async def test_nobody_learns_who_there_is(
        self, ada: Person, anonymous: Anonymous, state: State, sent: Sent, door: Door
    ) -> None:
        told = [
            (await ask(door, anonymous, name)) for name in (ada.username, "nobody_at_all", "no@example.com", "x" * 200)
        ]
        await state.security.outbox.idle()

        assert {(each.status, str(each.body)) for each in told} == {(told[0].status, str(told[0].body))}
        assert [message["To"] for message in sent.messages] == [ada.email]

    async def test_another_token_ends_with_the_one_that_was_used(
        self, ada: Person, anonymous: Anonymous, state: State, door: Door
    ) -> None:
        first, second = await token_for(state, ada), await token_for(state, ada)

        assert (await confirm(door, anonymous, first)).code is None
        assert (await confirm(door, anonymous, second)).refusal == ("BAD_USER_INPUT", ["/token"])

    async def test_token_ends(self, ada: Person, anonymous: Anonymous, state: State, door: Door) -> None:
        token = await token_for(state, ada)
        async with state.database.writing() as session:
            await session.execute(
                update(AccountToken)
                .where(AccountToken.token_hash == fingerprint(token))
                .values(expires_at=now() - timedelta(seconds=1))
            )
        assert (await confirm(door, anonymous, token)).refusal == ("BAD_USER_INPUT", ["/token"])
        assert (await log_in(door, anonymous, ada.username, PASSWORD)).code is None

    async def test_password_that_nobody_may_have_leaves_the_token(
        self, ada: Person, anonymous: Anonymous, state: State, door: Door
    ) -> None:
        token = await token_for(state, ada)

        assert (await confirm(door, anonymous, token, "short")).refusal == ("BAD_USER_INPUT", ["/new_password"])
        assert (await confirm(door, anonymous, token)).code is None

    async def test_disabled_account_gets_none(
        self, ada: Person, anonymous: Anonymous, state: State, sent: Sent, door: Door
    ) -> None:
        token = await token_for(state, ada)
        async with state.database.writing() as session:
            await accounts.set_disabled(session, OPERATOR, ada.username, disabled=True)

        assert (await ask(door, anonymous, ada.username)).code is None
        await state.security.outbox.idle()
        assert not sent.messages
        assert (await confirm(door, anonymous, token)).refusal == ("BAD_USER_INPUT", ["/token"])

    async def test_both_are_counted_by_address(self, database: Database, door: Door) -> None:
        async with server(database, password_reset_rate_limit="3/hour") as (caller, _):
            codes = [(await ask(door, caller, f"nobody_{n}")).code for n in range(2)]
            codes += [(await confirm(door, caller, "made up")).code for _ in range(2)]
        assert codes == [None, None, "BAD_USER_INPUT", "RATE_LIMITED"]

    async def test_server_that_sends_nothing_says_so(self, ada: Person, database: Database, door: Door) -> None:
        async with server(database, mailer="off") as (caller, _):
            told = [await ask(door, caller, name) for name in (ada.username, "nobody_at_all")]
        assert {(each.code, each.message) for each in told} == {
            ("FORBIDDEN", "This server sends no messages (MAILER): ask its operator for a token")
        }

    async def test_of_many_at_once_one_is_taken(
        self, ada: Person, anonymous: Anonymous, state: State, door: Door
    ) -> None:
        token = await token_for(state, ada)
        done = await asyncio.gather(*(confirm(door, anonymous, token, f"{NEW} {n}") for n in range(5)))
        assert sorted(str(each.code) for each in done) == ["BAD_USER_INPUT"] * 4 + ["None"]


class TestService:
    async def test_only_a_fingerprint_is_stored_and_the_owner_reads_of_it(
        self, ada: Person, anonymous: Anonymous, state: State
    ) -> None:
        token = await token_for(state, ada)
        async with state.database.reading() as session:
            rows = await session.all(select(AccountToken.token_hash).where(AccountToken.user_id == ada.id))
        assert [row[0] for row in rows] == [fingerprint(token)]

        await confirm("rest", anonymous, token)
        fresh = (await log_in("rest", anonymous, ada.username, NEW)).body["access_token"]
        listed = await anonymous.get("/users/me/security-events", headers={"Authorization": f"Bearer {fresh}"})
        kinds = [event["kind"] for event in listed.json()]
        assert {"user.password_reset", "user.password_reset_requested", "session.ended"} <= {*kinds}
        assert token not in listed.text

    async def test_account_is_sent_no_more_than_a_few_in_an_hour(
        self, ada: Person, anonymous: Anonymous, state: State, sent: Sent
    ) -> None:
        for _ in range(account_tokens.AN_HOUR + 3):
            assert (await ask("rest", anonymous, ada.username)).code is None
            await state.security.outbox.idle()
        assert len(sent.messages) == account_tokens.AN_HOUR

    async def test_known_and_unknown_take_as_long(
        self, ada: Person, anonymous: Anonymous, state: State, sent: Sent
    ) -> None:
        taken: dict[str, list[float]] = {ada.username: [], "nobody_at_all": []}
        for turn in range(40):
            for name, times in [*taken.items()][:: -1 if turn % 2 else 1]:
                started = time.perf_counter()
                await ask("rest", anonymous, name)
                times.append(time.perf_counter() - started)
                await state.security.outbox.idle()
        # the quick ones: what else the machine does makes some of them slow, of either kind
        known, unknown = (statistics.quantiles(times, n=4)[0] for times in taken.values())
        assert known < 2 * unknown
        assert unknown < 2 * known

    async def test_address_of_a_page_is_sent_where_there_is_one(self, ada: Person, state: State, sent: Sent) -> None:
        security = dataclasses.replace(
            state.security,
            accounts=dataclasses.replace(state.security.accounts, reset_url="https://a.example/?t={token}"),
        )
        message = await password_resets._message(state.database, security, ada.username)
        assert message is not None
        assert "https://a.example/?t=tdp_" in message.text

    async def test_operator_sets_a_password(self, ada: Person, anonymous: Anonymous, state: State) -> None:
        data, hasher = NewPassword(password=NEW), state.security.hasher
        await accounts.set_password(state.database, OPERATOR, ada.username.upper(), data, hasher=hasher)

        assert (await anonymous.get("/users/me", headers=ada.headers)).status_code == 401
        assert (await log_in("rest", anonymous, ada.username, NEW)).code is None
        with pytest.raises(NotFound):
            await accounts.set_password(state.database, OPERATOR, "nobody_at_all", data, hasher=hasher)
        async with state.database.writing() as session:
            await session.execute(update(User).where(User.id == ada.id).values(disabled=True))
        with pytest.raises(Conflict, match="is disabled: enable it first"):
            await accounts.set_password(state.database, OPERATOR, ada.username, data, hasher=hasher)

    async def test_made_up_tokens_cost_no_hash_and_write_nothing(
        self, anonymous: Anonymous, state: State, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def refuse(_password: str) -> str:
            raise AssertionError("hashed")

        monkeypatch.setattr(type(state.security.hasher), "hash", refuse)
        async with state.database.reading() as session:
            before = await session.scalar(select(func.count()).select_from(Event))
        assert (await confirm("rest", anonymous, "made up")).code == "BAD_USER_INPUT"
        async with state.database.reading() as session:
            assert await session.scalar(select(func.count()).select_from(Event)) == before


class TestOutbox:
    async def test_folder_gets_a_file_for_each(self, tmp_path: Path) -> None:
        outbox = Outbox(FileMailer(tmp_path / "mail"), sender="Tandem <tandem@example.com>")

        async def work() -> Message:
            return Message("ada@example.com", "Hello", "Grüße\n")

        outbox.later(work)
        outbox.later(work)
        await outbox.idle()
        first, _second = (tmp_path / "mail").iterdir()
        text = first.read_text()
        assert "From: Tandem <tandem@example.com>" in text
        assert "Auto-Submitted: auto-generated" in text
        assert first.stat().st_mode & 0o077 == 0

    async def test_what_goes_wrong_is_logged_and_stops_nothing(self, logged: list[Any]) -> None:
        def fail(_message: EmailMessage) -> None:
            raise smtplib.SMTPServerDisconnected("gone")

        async def work() -> Message:
            return Message("ada@example.com", "Hello", "x")

        async def breaks() -> Message:
            raise ValueError("broken")

        outbox = Outbox(fail)
        outbox.later(work)
        outbox.later(breaks)
        await outbox.close()
        assert [record.getMessage() for record in logged] == ["a message was not sent"] * 2

    async def test_what_waits_is_bounded_and_left_at_shutdown(
        self, logged: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("core.mail.CLOSE_SECONDS", 0.05)
        outbox = Outbox()

        async def never() -> None:
            await asyncio.sleep(60)

        for _ in range(MAX_WAITING + 1):
            outbox.later(never)
        assert logged[-1].getMessage() == "too much waits to be sent: a message was left out"
        await outbox.close()
        await outbox.idle()

    @pytest.mark.parametrize("encryption", ["off", "starttls"])
    def test_server_of_mail(self, encryption: Any) -> None:
        received: list[bytes] = []
        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = threading.Thread(target=_serve_mail, args=(listening, received), daemon=True)
            thread.start()
            mailer = SmtpMailer(
                "127.0.0.1", listening.getsockname()[1], user=None, password=None, encryption=encryption
            )
            message = EmailMessage()
            message["From"], message["To"] = "a@example.com", "b@example.com"
            message.set_content("the words")
            if encryption == "off":
                mailer(message)
                assert b"the words" in b"".join(received)
            else:  # never in the clear where TLS is asked for
                with pytest.raises(smtplib.SMTPNotSupportedError):
                    mailer(message)
                assert b"the words" not in b"".join(received)
            thread.join(5)


def _serve_mail(listening: socket.socket, received: list[bytes]) -> None:
    connection, _ = listening.accept()
    with connection, connection.makefile("rwb") as stream:
        stream.write(b"220 here\r\n")
        stream.flush()
        body = False
        for line in stream:
            received.append(line)
            if body and line != b".\r\n":
                continue
            command = line.upper()
            answer = b"354 go on\r\n" if command.startswith(b"DATA") else b"250 fine\r\n"
            body = command.startswith(b"DATA")
            stream.write(b"221 bye\r\n" if command.startswith(b"QUIT") else answer)
            stream.flush()
            if command.startswith(b"QUIT"):
                return
