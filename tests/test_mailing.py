"""What people are told by mail: notifications, gathered, and a digest of the day; once each, and no more when it is
ended."""

import asyncio
import smtplib
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from sqlalchemy import select, update

from api.state import State
from core.clock import now, wire_format
from core.mail import Message, written
from db.driver.database import Database
from db.driver.sessions import Session
from db.models import Job, Mail, MailNotice, NotificationPreferences, User
from services.events.consumers import catch_up
from services.events.notifier import CONSUMER
from services.events.numbering import number_all
from services.mailing import digests, sending
from services.mailing.days import next_digest
from services.mailing.digests import Digests
from services.mailing.queue import JOB
from services.mailing.sending import AN_HOUR, DELAYS, Mailing
from services.mailing.texts import MOST, Addresses, bounded
from services.mailing.tokens import MailTokens, Unsubscribed
from tests.actors import PASSWORD, Anonymous, Person
from tests.conftest import SECRET
from tests.doors import Door, Result, from_graphql, from_rest, on_both_doors

PUBLIC = "https://tasks.example.com"
ALL_KINDS = ["mentioned", "assigned", "commented", "added"]
HOSTILE = [
    "x\r\nBcc: evil@example.com",
    "x\u2028Bcc: evil@example.com",
    "🦄" * 200,
    "=?utf-8?q?Bcc:_evil?=",
    "=?utf-8?q?x=0D=0ABcc:_evil@example.com?=",
    "=?utf-7?q?+2AA-?=",  # half of a character
    "Ünïcödé " * 20,
    "\x1b[31mred",
]


class Post:
    """A server of mail: keeps what it takes, and refuses as it is told to."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.refusals: list[Exception] = []

    def __call__(self, message: EmailMessage) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        # as it goes over the wire, and comes to whoever reads it
        self.taken.append(message_from_bytes(bytes(message), policy=policy.default))

    def to(self, person: Person) -> list[EmailMessage]:
        return [message for message in self.taken if message["To"] == f"{person.username}@example.com"]


class Clock:
    """What the jobs take for the present."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def mailing(database: Database, post: Post) -> Mailing:
    addresses = Addresses(MailTokens(SECRET), PUBLIC, "https://app.example.com/{ref}")
    return Mailing(database, post, addresses, sender="Tandem <tandem@example.com>")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(now())
    for module in (sending, digests):
        monkeypatch.setattr(module, "now", lambda: made.moment)
    return made


@pytest.fixture
async def project(ada: Person, bob: Person, database: Database) -> dict[str, Any]:
    made = await ada.project()
    await ada.invite(made, bob, "member")
    await settle(database)
    await bob.patch("/notifications/preferences", {"mailed_kinds": ALL_KINDS})
    return made


async def settle(database: Database) -> None:
    await number_all(database)
    await catch_up(database, CONSUMER)


async def deliver(mailing: Mailing, person: Person) -> Any:
    """Everybody was told of what happened, and the person's job is done, more than once; by one worker at a time, as
    jobs are. Returns when it is due again."""
    await settle(mailing.database)
    await mailing.handlers[JOB](person.id)
    return (await mailing.handlers[JOB](person.id)).again_at


class TestNotifications:
    async def test_what_comes_together_is_one_message_that_says_what_happened(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database, mailing: Mailing, post: Post
    ) -> None:
        first = await ada.task(project_id=project["id"], title="Write the docs", assignee_ids=[bob.id])
        second = await ada.task(project_id=project["id"], title="Publish", assignee_ids=[bob.id])
        await ada.patch(f"/tasks/{second['id']}", {"status": "in_progress"})  # which he is told, but not by mail
        await settle(database)
        async with database.reading() as session:
            due = await session.scalar(select(Job.due_at).where(Job.kind == JOB, Job.subject_id == bob.id))
        assert timedelta(seconds=30) < due - now() <= timedelta(seconds=60)

        await deliver(mailing, bob)
        [message] = post.to(bob)
        assert message["From"] == "Tandem <tandem@example.com>"
        assert message["Subject"] == f"2 notifications: {first['ref']} Write the docs"
        assert message["Auto-Submitted"] == "auto-generated"
        assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert message["List-Unsubscribe"].startswith(f"<{PUBLIC}/api/v1/notifications/preferences/unsubscribe/")
        text = message.get_content()
        assert message.get_content_type() == "text/plain"
        for line in (
            f"{first['ref']} Write the docs\n  {ada.username} assigned it to you\n",
            f"  https://app.example.com/{second['ref']}\n",
        ):
            assert line in text
        assert "changed its status" not in text

        await deliver(mailing, bob)
        assert len(post.to(bob)) == 1
        await ada.comment(first["id"], f"@{bob.username}")
        await deliver(mailing, bob)
        assert post.to(bob)[1]["Subject"] == f"{first['ref']} Write the docs: {ada.username} mentioned you"

    async def test_nothing_is_sent_of_what_was_read_put_off_or_may_not_be_read_any_more(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database, mailing: Mailing, post: Post
    ) -> None:
        tasks = [await ada.task(project_id=project["id"], title=f"T{n}", assignee_ids=[bob.id]) for n in range(3)]
        await settle(database)
        newest = (await bob.get("/notifications")).json()
        await bob.patch(f"/notifications/{newest[0]['id']}", {"read": True})
        await bob.patch(f"/notifications/{newest[1]['id']}", {"snoozed_until": wire_format(now() + timedelta(hours=1))})
        await ada.delete(f"/tasks/{tasks[0]['id']}")
        await deliver(mailing, bob)
        assert post.to(bob) == []
        async with database.reading() as session:
            assert await session.scalar(select(MailNotice.user_id).where(MailNotice.user_id == bob.id)) is None

    async def test_an_hour_has_twenty_and_what_comes_then_goes_as_one(
        self,
        ada: Person,
        bob: Person,
        project: dict[str, Any],
        mailing: Mailing,
        post: Post,
        clock: Clock,
    ) -> None:
        task, again_at = await ada.task(project_id=project["id"], title="Busy", assignee_ids=[bob.id]), None
        for _ in range(AN_HOUR + 2):
            await ada.comment(task["id"])
            again_at = await deliver(mailing, bob)
        assert len(post.to(bob)) == AN_HOUR
        assert again_at is not None
        clock.moment = again_at + timedelta(seconds=1)
        await deliver(mailing, bob)
        assert len(post.to(bob)) == AN_HOUR + 1
        assert post.to(bob)[-1]["Subject"].startswith("2 notifications")

    async def test_a_long_message_says_how_many_more(
        self, ada: Person, bob: Person, project: dict[str, Any], mailing: Mailing, post: Post
    ) -> None:
        task = await ada.task(project_id=project["id"])
        for _ in range(MOST + 2):
            await ada.patch(f"/tasks/{task['id']}", {"assignee_ids": [bob.id]})
            await ada.patch(f"/tasks/{task['id']}", {"assignee_ids": []})
        await deliver(mailing, bob)
        [message] = post.to(bob)
        assert message["Subject"].startswith(f"{MOST + 2} notifications")
        assert "And 2 more.\n" in message.get_content()

    @pytest.mark.parametrize("title", HOSTILE)
    async def test_no_title_makes_a_header(self, title: str, post: Post) -> None:
        subject = bounded(f"WEB-1 {title}: ada mentioned you")
        made = written(
            Message("bob@example.com", subject, f"{title}\n"),
            sender="Tandem <tandem@example.com>",
            message_id="<1@example.com>",
            moment=now(),
        )
        post(made)
        [message] = post.taken
        assert message["Bcc"] is None
        assert {name.lower() for name in message} <= {
            *("from", "to", "subject", "date", "message-id", "auto-submitted"),
            *("content-type", "content-transfer-encoding", "mime-version"),
        }
        assert str(message["Subject"]).replace("\u2060", "") == subject
        assert all(len(line) < 1000 for line in bytes(made).splitlines())  # RFC 5321, section 4.5.3.1.6

    @pytest.mark.parametrize("code", ["b=2C=20evil=40example.com", "a=0D=0ABcc=3Aevil=40example.com"])
    async def test_no_address_is_read_as_another_one(self, code: str, anonymous: Anonymous) -> None:
        address = f"=?utf-8?q?{code}?=@example.com"
        values = {"username": "coded", "email": address, "password": PASSWORD}
        refused = await anonymous.post("/users", values)
        assert refused.json()["errors"][0]["pointer"] == "/email"
        with pytest.raises(ValueError, match="address"):
            written(
                Message(address, "Hello", "Hello\n"), sender="t@example.com", message_id="<1@example.com>", moment=now()
            )

    async def test_only_a_verified_address_where_addresses_are_verified(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database, post: Post
    ) -> None:
        strict = Mailing(database, post, Addresses(MailTokens(SECRET)), verified_only=True)
        await ada.task(project_id=project["id"], assignee_ids=[bob.id])
        await deliver(strict, bob)
        assert post.taken == []
        async with database.writing() as session:
            await session.execute(update(User).where(User.id == bob.id).values(email_verified_at=now()))
        await ada.task(project_id=project["id"], assignee_ids=[bob.id])
        await deliver(strict, bob)
        [message] = post.to(bob)
        assert message["List-Unsubscribe"] is None  # where it leads is not known
        assert "http" not in message.get_content()


class TestAttempts:
    async def test_it_is_tried_again_with_the_same_id_and_then_given_up(
        self,
        ada: Person,
        bob: Person,
        project: dict[str, Any],
        database: Database,
        mailing: Mailing,
        post: Post,
        clock: Clock,
    ) -> None:
        await ada.task(project_id=project["id"], assignee_ids=[bob.id])
        await settle(database)
        seen = []
        for delay in DELAYS:
            post.refusals = [smtplib.SMTPServerDisconnected("gone")]
            outcome = await mailing.handlers[JOB](bob.id)
            assert outcome.failing
            assert outcome.again_at == clock.moment + timedelta(seconds=delay)
            assert (await mailing.handlers[JOB](bob.id)).again_at == outcome.again_at  # not before
            async with database.reading() as session:
                mail = await session.first(select(Mail.message_id, Mail.body).where(Mail.user_id == bob.id))
            assert mail is not None
            seen.append((mail.message_id, mail.body))
            clock.moment = outcome.again_at
        assert len(set(seen)) == 1
        post.refusals = [OSError("no route")]
        await mailing.handlers[JOB](bob.id)
        async with database.reading() as session:
            row = await session.first(select(Mail.state, Mail.tries, Mail.body).where(Mail.user_id == bob.id))
        assert tuple(row or ()) == ("failed", len(DELAYS) + 1, "")
        assert mailing.counts == {"deferred": len(DELAYS), "failed": 1}

    async def test_what_is_refused_for_good_is_not_tried_again(
        self, ada: Person, bob: Person, project: dict[str, Any], mailing: Mailing, post: Post
    ) -> None:
        await ada.task(project_id=project["id"], assignee_ids=[bob.id])
        post.refusals = [smtplib.SMTPRecipientsRefused({"bob": (550, b"no such user")})] * 2
        await deliver(mailing, bob)
        assert mailing.counts["failed"] >= 1
        assert mailing.counts["deferred"] == 0

    async def test_who_is_killed_after_sending_leaves_a_message_that_is_known_for_the_same(
        self,
        ada: Person,
        bob: Person,
        project: dict[str, Any],
        mailing: Mailing,
        post: Post,
        database: Database,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        await ada.task(project_id=project["id"], assignee_ids=[bob.id])
        await settle(database)

        async def killed(*_: Any) -> None:
            raise RuntimeError("killed before it could note that it was sent")

        with monkeypatch.context() as patch:
            patch.setattr(Mailing, "_end", killed)
            with pytest.raises(RuntimeError):
                await mailing.handlers[JOB](bob.id)
        await mailing.handlers[JOB](bob.id)
        first, second = post.to(bob)
        assert (first["Message-ID"], first["Date"]) == (second["Message-ID"], second["Date"])
        assert first.get_content() == second.get_content()


class TestDigest:
    @pytest.fixture(autouse=True)
    async def wish(self, bob: Person, project: dict[str, Any]) -> None:
        await bob.patch("/users/me", {"timezone": "Europe/Vienna"})
        body = {"digest": "daily", "digest_hour": 8, "mailed_kinds": []}
        assert (await bob.patch("/notifications/preferences", body)).status_code == 200

    async def make(self, mailing: Mailing, person: Person) -> None:
        for _ in range(2):  # once a day, however often
            await asyncio.gather(*(Digests(mailing.database, mailing).make() for _ in range(2)))
            await deliver(mailing, person)

    async def test_it_says_what_is_overdue_due_today_and_new_once_a_day(
        self,
        ada: Person,
        bob: Person,
        project: dict[str, Any],
        mailing: Mailing,
        post: Post,
        clock: Clock,
    ) -> None:
        clock.moment = moment = datetime(2035, 6, 1, 6, 0, tzinfo=UTC)  # 8 in Vienna
        mine = {"project_id": project["id"], "assignee_ids": [bob.id]}
        for title, due in (
            ("Late", moment - timedelta(days=1)),
            ("Today", moment + timedelta(hours=15)),
            ("Tomorrow", moment + timedelta(hours=17)),
        ):
            await ada.task(**mine, title=title, due_at=wire_format(due))
        await ada.task(project_id=project["id"], title="Hers", due_at=wire_format(moment))
        await settle(mailing.database)
        await self.make(mailing, bob)
        [message] = post.to(bob)
        assert message["Subject"] == "Your day: 1 overdue, 1 due today, 3 new for you"
        text = message.get_content()
        assert "Overdue\n  " in text
        assert "Hers" not in text
        assert text.index("Late") < text.index("Due today\n") < text.index("Today\n") < text.index("New for you\n")
        assert "unsubscribe" in message["List-Unsubscribe"]

        clock.moment += timedelta(hours=12)
        await self.make(mailing, bob)
        assert len(post.to(bob)) == 1
        clock.moment += timedelta(hours=12)
        await self.make(mailing, bob)
        assert post.to(bob)[1]["Subject"] == "Your day: 3 overdue"  # what was new is not new any more

    async def test_what_breaks_in_one_keeps_no_other_one_from_being_made(
        self,
        ada: Person,
        bob: Person,
        project: dict[str, Any],
        mailing: Mailing,
        post: Post,
        clock: Clock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        clock.moment = datetime(2035, 6, 1, 6, 0, tzinfo=UTC)
        await ada.patch("/notifications/preferences", {"digest": "daily", "digest_hour": 0, "mailed_kinds": []})
        for person in (ada, bob):
            await ada.task(
                project_id=project["id"], assignee_ids=[person.id], due_at=wire_format(clock.moment - timedelta(days=1))
            )
        await settle(mailing.database)
        written = Digests._written

        async def breaking(self: Digests, session: Session, wish: Any, moment: datetime) -> Any:
            if wish.user_id == ada.id:
                raise OverflowError
            return await written(self, session, wish, moment)

        with monkeypatch.context() as patch:
            patch.setattr(Digests, "_written", breaking)
            await Digests(mailing.database, mailing).make()
        for person in (ada, bob):
            await deliver(mailing, person)
        assert (len(post.to(ada)), len(post.to(bob))) == (0, 1)
        clock.moment += timedelta(minutes=11)
        await Digests(mailing.database, mailing).make()
        await deliver(mailing, ada)
        assert len(post.to(ada)) == 1

    async def test_there_is_none_where_there_is_nothing_to_say(
        self, bob: Person, mailing: Mailing, post: Post, clock: Clock
    ) -> None:
        clock.moment = datetime(2035, 6, 1, 6, 0, tzinfo=UTC)
        await self.make(mailing, bob)
        assert post.to(bob) == []

    async def test_it_shows_twenty_of_each(
        self,
        ada: Person,
        bob: Person,
        project: dict[str, Any],
        mailing: Mailing,
        post: Post,
        clock: Clock,
    ) -> None:
        due = "2035-05-01T00:00:00Z"
        tasks = [{"title": f"T{n}", "project_id": project["id"], "due_at": due} for n in range(23)]
        made = await bob.post("/tasks/bulk/create", {"tasks": tasks})
        assert made.status_code == 200, made.text
        clock.moment = datetime(2035, 6, 1, 6, 0, tzinfo=UTC)
        await self.make(mailing, bob)
        [message] = post.to(bob)
        assert message["Subject"] == "Your day: 23 overdue"
        assert "  and 3 more\n" in message.get_content()

    async def test_it_follows_the_time_zone(self, bob: Person, database: Database) -> None:
        next_at = select(NotificationPreferences.digest_at).where(NotificationPreferences.user_id == bob.id)
        async with database.reading() as session:
            before = await session.scalar(next_at)
        await bob.patch("/users/me", {"timezone": "Asia/Tokyo"})
        await settle(database)
        async with database.reading() as session:
            after = await session.scalar(next_at)
        assert before.hour in (6, 7)
        assert after.hour == 23
        await bob.patch("/notifications/preferences", {"digest": "off"})
        async with database.reading() as session:
            assert await session.scalar(next_at) is None


@pytest.mark.parametrize(
    ("zone", "hour", "begins", "days"),
    [
        ("Europe/Vienna", 2, datetime(2035, 3, 23, tzinfo=UTC), 4),  # on the 25th there is no 2 o'clock
        ("Europe/Vienna", 2, datetime(2035, 10, 26, tzinfo=UTC), 4),  # on the 28th there are two
        ("America/New_York", 1, datetime(2035, 11, 2, tzinfo=UTC), 4),
        ("Australia/Lord_Howe", 2, datetime(2035, 3, 30, tzinfo=UTC), 4),
        ("Nowhere/Unknown", 7, datetime(2035, 3, 30, tzinfo=UTC), 4),
    ],
)
def test_there_is_one_a_day_whatever_clocks_do(zone: str, hour: int, begins: datetime, days: int) -> None:
    from services.mailing.days import day_of

    moment = begins
    seen: list[date] = []
    for _ in range(days):
        moment = next_digest(moment, zone, hour, after=seen[-1] if seen else None)
        seen.append(day_of(moment, zone))
    assert seen == [seen[0] + timedelta(days=number) for number in range(days)]


class TestTokens:
    async def end(self, door: Door, caller: Anonymous, token: str) -> Result:
        if door == "rest":
            path = f"/notifications/preferences/unsubscribe/{token}"
            form = {"List-Unsubscribe": "One-Click"}  # RFC 8058, section 3.2
            return from_rest(await caller.rest("POST", path, data=form))
        document = "mutation($i: UnsubscribeInput!) { result: unsubscribe(input: $i) { ended } }"
        return from_graphql(await caller.gql(document, {"i": {"token": token}}))

    @on_both_doors
    async def test_one_click_ends_what_a_message_was_sent_for_without_a_login(
        self, anonymous: Anonymous, bob: Person, state: State, door: Door
    ) -> None:
        body = {"mailed_kinds": ["assigned"], "digest": "daily"}
        await bob.patch("/notifications/preferences", body)
        for what, field, left in (
            (Unsubscribed.DIGEST, "digest", "off"),
            (Unsubscribed.NOTIFICATIONS, "mailed_kinds", []),
        ):
            token = state.security.mail_tokens.make(bob.id, what)
            for _ in range(2):
                result = await self.end(door, anonymous, token)
                assert result.code is None, result.message
            assert (await bob.get("/notifications/preferences")).json()[field] == left

    async def test_whoever_reads_the_address_ends_nothing_and_finds_a_button(
        self, anonymous: Anonymous, bob: Person, state: State
    ) -> None:
        await bob.patch("/notifications/preferences", {"digest": "daily"})
        token = state.security.mail_tokens.make(bob.id, Unsubscribed.DIGEST)
        answer = await anonymous.get(f"/notifications/preferences/unsubscribe/{token}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert '<form method="post">' in answer.text
        assert (await bob.get("/notifications/preferences")).json()["digest"] == "daily"

    @on_both_doors
    async def test_no_other_token_does(self, anonymous: Anonymous, bob: Person, state: State, door: Door) -> None:
        await bob.patch("/notifications/preferences", {"mailed_kinds": ["assigned"]})
        mine = state.security.mail_tokens.make(bob.id, Unsubscribed.NOTIFICATIONS)
        said, _, signature = mine.rpartition(".")
        other = MailTokens("another secret").make(bob.id, Unsubscribed.NOTIFICATIONS)
        for token in (
            "x",
            f"{said}.",
            f"{bob.id}.digest.{signature}",
            f"{bob.id + 1}.notifications.{signature}",
            other,
        ):
            assert (await self.end(door, anonymous, token)).code == "BAD_USER_INPUT", token
        assert (await bob.get("/notifications/preferences")).json()["mailed_kinds"] == ["assigned"]
