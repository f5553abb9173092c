"""Sends people their messages: the job of one person, which one worker does at a time.

A message is written once, with its ``Message-ID``, in the transaction that takes what it tells of from the queue; then
it is sent until a server of mail has taken it. A worker that ends in between leaves it to another one, which may send
it once more, with the same ``Message-ID``, by which mail systems know it for the same.
"""

import asyncio
import logging
import smtplib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import NamedTuple

from sqlalchemy import delete as sql_delete
from sqlalchemy import func, insert, literal_column, select
from sqlalchemy import update as sql_update
from uuid_utils import uuid7

from core.clock import now
from core.mail import Mailer, Message, written
from db.driver.database import Database
from db.driver.sessions import AnyRow, Session
from db.driver.statements import Prepared
from db.models import Mail, MailNotice, Notification, User
from services.jobs.worker import Handler, Outcome
from services.mailing import texts
from services.mailing.queue import JOB
from services.mailing.texts import Addresses, NoticeRow, Written
from services.mailing.tokens import Unsubscribed
from services.shared.statements import parameter

logger = logging.getLogger("tandem.mail")

DELAYS = (60, 5 * 60, 30 * 60, 2 * 3600, 6 * 3600, 12 * 3600)
"""Seconds between attempts: seven of them in a day."""
AN_HOUR = 20
"""Messages of notifications to a person in an hour, at most; what comes then waits, and goes as one."""
PURGE = "mail.purge"
PURGE_AGAIN = timedelta(hours=1)
KEPT = timedelta(days=30)
"""How long it is known that a message was sent; its text is not kept."""


class _Mail(NamedTuple):
    id: int
    user_id: int
    kind: str
    message_id: str
    subject: str
    body: str
    tries: int
    next_attempt_at: datetime
    created_at: datetime


class Recipient(NamedTuple):
    """Whom messages go to."""

    email: str | None
    email_verified_at: datetime | None
    disabled: bool
    timezone: str


_WAITING = Prepared(
    select(*(getattr(Mail, name) for name in _Mail._fields))
    .where(Mail.user_id == parameter("user_id"), Mail.state == literal_column("'waiting'"))
    .order_by(Mail.id)
    .limit(1),
    _Mail,
)
_RECIPIENT = Prepared(
    select(*(getattr(User, name) for name in Recipient._fields)).where(User.id == parameter("user_id")), Recipient
)
_LATELY = Prepared(
    select(func.count(), func.min(Mail.created_at)).where(
        Mail.user_id == parameter("user_id"), Mail.kind == "notices", Mail.created_at > parameter("since")
    )
)
_ANY = Prepared(select(MailNotice.event_id).where(MailNotice.user_id == parameter("user_id")).limit(1))
_TAKE = Prepared(
    sql_delete(MailNotice).where(MailNotice.user_id == parameter("user_id")).returning(MailNotice.event_id)
)
_NEW: Prepared[AnyRow] = Prepared(
    insert(Mail),
    keys=[column.key for column in Mail.__table__.columns if column.key not in {"id", "finished_at"}],
)
_ENDED = Prepared(
    sql_update(Mail)
    .where(Mail.id == parameter("mail_id"), Mail.state == literal_column("'waiting'"))
    .values(state=parameter("what"), finished_at=parameter("moment"), tries=Mail.tries + 1, body="")
)
_AGAIN = Prepared(
    sql_update(Mail)
    .where(Mail.id == parameter("mail_id"), Mail.state == literal_column("'waiting'"))
    .values(next_attempt_at=parameter("again_at"), tries=Mail.tries + 1)
)
_OLD = Prepared(sql_delete(Mail).where(Mail.finished_at < parameter("before")))


@dataclass(frozen=True, slots=True)
class Mailing:
    """The jobs, for a database. Without a ``mailer`` nothing is written or sent: what waits is dropped."""

    database: Database
    mailer: Mailer | None
    addresses: Addresses
    sender: str = "tandem@localhost"
    verified_only: bool = False
    """Whether addresses have to be known to be their accounts'."""
    delays: Sequence[float] = DELAYS
    counts: Counter[str] = field(default_factory=Counter)
    """How many messages were sent, failed for now (``deferred``), or were given up (``failed``)."""

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {JOB: self._work, PURGE: self._purge}

    def may_be_sent(self, person: Recipient | None) -> bool:
        """Whether messages go to somebody."""
        return (
            self.mailer is not None
            and person is not None
            and not person.disabled
            and person.email is not None
            and (person.email_verified_at is not None or not self.verified_only)
        )

    async def recipient(self, session: Session, user_id: int) -> Recipient | None:
        """Whom an account's messages go to, as of now."""
        return await session.first(_RECIPIENT(user_id=user_id))

    async def add(
        self, session: Session, user_id: int, kind: str, message: Written, moment: datetime, *, day: str | None = None
    ) -> None:
        """Have a message sent that was written."""
        domain = parseaddr(self.sender)[1].rpartition("@")[2]
        values = {
            "user_id": user_id,
            "kind": kind,
            "day": day,
            "message_id": f"<{uuid7()}@{domain}>",
            "subject": message.subject,
            "body": message.body,
            "state": "waiting",
            "tries": 0,
            "next_attempt_at": moment,
            "created_at": moment,
        }
        await session.execute(_NEW, values)

    async def _work(self, user_id: int) -> Outcome:
        while True:
            mail = await self.database.reads.first(_WAITING(user_id=user_id))
            if mail is None:
                if await self.database.reads.scalar(_ANY(user_id=user_id)) is None:
                    return Outcome(gone=True)
                again_at = await self._write(user_id)
                if again_at is not None:
                    return Outcome(again_at)
            elif mail.next_attempt_at > now():
                return Outcome(mail.next_attempt_at, failing=mail.tries > 0)
            else:
                again_at = await self._send(mail)
                if again_at is not None:
                    return Outcome(again_at, failing=True)

    async def _write(self, user_id: int) -> datetime | None:
        """Write what waits as one message. Returns when, where there were too many of late."""
        moment = now()
        async with self.database.writing() as session:
            lately, first = await session.one(_LATELY(user_id=user_id, since=moment - timedelta(hours=1)))
            if lately >= AN_HOUR:
                again_at: datetime = first + timedelta(hours=1)
                return again_at
            events = await session.scalars(_TAKE(user_id=user_id))
            if not self.may_be_sent(await self.recipient(session, user_id)):
                return None
            # what was read meanwhile, or snoozed, is not told
            rows = await session.all(
                select(*(getattr(Notification, name) for name in NoticeRow._fields))
                .where(
                    Notification.user_id == user_id,
                    Notification.event_id.in_(events),
                    Notification.read_at.is_(None),
                    Notification.snoozed_until.is_(None),
                )
                .order_by(Notification.id)
            )
            message = await texts.of_notifications(session, user_id, [*map(NoticeRow._make, rows)], self.addresses)
            if message is not None:
                await self.add(session, user_id, "notices", message, moment)
        return None

    async def _send(self, mail: _Mail) -> datetime | None:
        """Hand a message over. Returns when to try again."""
        person = await self.recipient(self.database.reads, mail.user_id)
        if self.mailer is None or person is None or person.email is None or not self.may_be_sent(person):
            await self._end(mail, "failed")
            return None
        try:
            message = written(
                Message(person.email, mail.subject, mail.body),
                sender=self.sender,
                message_id=mail.message_id,
                moment=mail.created_at,
                headers=self._headers(mail),
            )
            await asyncio.to_thread(self.mailer, message)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            return await self._not_sent(mail, error)
        await self._end(mail, "sent")
        return None

    async def _not_sent(self, mail: _Mail, error: Exception) -> datetime | None:
        if _is_final(error) or mail.tries >= len(self.delays):
            logger.error("a message was given up: %s", error, extra={"mail": mail.id})
            await self._end(mail, "failed")
            return None
        logger.warning("a message was not sent, and is tried again: %s", error, extra={"mail": mail.id})
        self.counts["deferred"] += 1
        again_at = now() + timedelta(seconds=self.delays[mail.tries])
        async with self.database.writing() as session:
            await session.execute(_AGAIN(mail_id=mail.id, again_at=again_at))
        return again_at

    async def _end(self, mail: _Mail, what: str) -> None:
        async with self.database.writing() as session:
            await session.execute(_ENDED(mail_id=mail.id, what=what, moment=now()))
        self.counts[what] += 1

    def _headers(self, mail: _Mail) -> dict[str, str]:
        what = Unsubscribed.DIGEST if mail.kind == "digest" else Unsubscribed.NOTIFICATIONS
        address = self.addresses.to_end(mail.user_id, what)
        if address is None:
            return {}
        # RFC 2369, and RFC 8058 for one click
        return {"List-Unsubscribe": f"<{address}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}

    async def _purge(self, _: int) -> Outcome:
        moment = now()
        async with self.database.writing() as session:
            await session.execute(_OLD(before=moment - KEPT))
        return Outcome(moment + PURGE_AGAIN)


def _is_final(error: Exception) -> bool:
    """Whether there is no use in trying again: the server refused it for good (RFC 5321, section 4.2.1), or it cannot
    be written."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return False  # the operator's to mend, and not the message's fault
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code >= 500
    return isinstance(error, ValueError)
