"""The digest of the day: what is overdue, what is due today, and what is new and unread, as one message at an hour of
the person's own. It is sent once a day at most, and not where there is nothing to say."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy import update as sql_update

from core import turns
from core.clock import now
from db.driver.database import Database
from db.driver.sessions import AnyRow, Session
from db.driver.statements import Prepared
from db.models import Mail, Notification, NotificationPreferences, User
from services.events.notices import NotificationKind
from services.jobs import queue
from services.jobs.worker import Handler, Outcome
from services.mailing import texts
from services.mailing.days import bounds_of, day_of, next_digest
from services.mailing.queue import JOB as SENDING
from services.mailing.sending import Mailing
from services.mailing.texts import NoticeRow, Written
from services.mailing.tokens import Unsubscribed
from services.shared.pagination import PageRequest
from services.shared.statements import parameter
from services.tasks import queries as tasks
from services.tasks.filters import TaskFilter
from services.tasks.query import Direction, TaskQuery, TaskSort

logger = logging.getLogger("tandem.mail")

JOB = "mail.digests"
AGAIN = timedelta(minutes=1)
LATER = timedelta(minutes=10)
"""When one that could not be made is tried again."""
BATCH = 100
SHOWN = 20
"""What a digest tells of each sort: of more, how many."""
NEW_KINDS = (NotificationKind.MENTIONED, NotificationKind.ASSIGNED)


class _Wish(NamedTuple):
    user_id: int
    digest_hour: int
    digested_at: datetime | None
    timezone: str


_DUE = Prepared(
    select(NotificationPreferences.user_id)
    .where(NotificationPreferences.digest_at <= parameter("moment"))
    .order_by(NotificationPreferences.digest_at)
    .limit(BATCH)
)
_wish = (
    select(
        NotificationPreferences.user_id,
        NotificationPreferences.digest_hour,
        NotificationPreferences.digested_at,
        User.timezone,
    )
    .join(User, User.id == NotificationPreferences.user_id)
    .where(
        NotificationPreferences.user_id == parameter("user_id"),
        NotificationPreferences.digest_at <= parameter("moment"),
    )
)
_WISH = Prepared(_wish, _Wish)
_HELD = Prepared(_wish.with_for_update(of=NotificationPreferences, key_share=True), _Wish)
_SENT = Prepared(select(Mail.id).where(Mail.user_id == parameter("user_id"), Mail.day == parameter("day")))
_NEXT: Prepared[AnyRow] = Prepared(
    sql_update(NotificationPreferences)
    .where(NotificationPreferences.user_id == parameter("whose"))
    .values(digest_at=parameter("again_at"), digested_at=parameter("moment"))
)
_POSTPONE: Prepared[AnyRow] = Prepared(
    sql_update(NotificationPreferences)
    .where(NotificationPreferences.user_id == parameter("whose"))
    .values(digest_at=parameter("again_at"))
)
_new = (
    Notification.user_id == parameter("user_id"),
    Notification.kind.in_([kind.value for kind in NEW_KINDS]),
    Notification.read_at.is_(None),
    Notification.snoozed_until.is_(None),
    Notification.created_at > parameter("since"),
)
_NEW = Prepared(
    select(*(getattr(Notification, name) for name in NoticeRow._fields))
    .where(*_new)
    .order_by(Notification.id.desc())
    .limit(SHOWN),
    NoticeRow,
)
_COUNT = Prepared(select(func.count()).select_from(Notification).where(*_new))


@dataclass(frozen=True, slots=True)
class Digests:
    """The job, for a database."""

    database: Database
    mailing: Mailing

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {JOB: self._look}

    async def _look(self, _: int) -> Outcome:
        await self.make()
        return Outcome(now() + AGAIN)

    async def make(self) -> None:
        """Write the digest of everybody whose hour has come."""
        while ids := await self.database.reads.scalars(_DUE(moment=now())):
            for user_id in ids:
                await self._try(user_id)
                await turns.give()

    async def _try(self, user_id: int) -> None:
        """What breaks in one person's digest keeps nobody else's from being made."""
        try:
            await self._of(user_id)
        except Exception:
            logger.exception("the digest of the account %s could not be made; it is tried again", user_id)
            async with self.database.writing() as session:
                await session.execute(_POSTPONE(whose=user_id, again_at=now() + LATER))

    async def _of(self, user_id: int) -> None:
        """Written of what is read, before the transaction: where there is one writer at a time, others do not wait."""
        moment, reads = now(), self.database.reads
        wish, message = await reads.first(_WISH(user_id=user_id, moment=moment)), None
        if wish is not None and self.mailing.may_be_sent(await self.mailing.recipient(reads, user_id)):
            message = await self._written(reads, wish, moment)
        async with self.database.writing() as session:
            held = await session.first(_HELD(user_id=user_id, moment=moment))
            if held is None or held != wish:
                return  # somebody has made it, or the person wants another one: it is looked at again
            day = day_of(moment, held.timezone)
            again_at = next_digest(moment, held.timezone, held.digest_hour, after=day)
            await session.execute(_NEXT(whose=user_id, again_at=again_at, moment=moment))
            sent = await session.scalar(_SENT(user_id=user_id, day=day.isoformat()))
            if message is not None and sent is None:
                await self.mailing.add(session, user_id, "digest", message, moment, day=day.isoformat())
                await queue.schedule(session, SENDING, [user_id], moment)

    async def _written(self, session: Session, wish: _Wish, moment: datetime) -> Written | None:
        user_id, day = wish.user_id, day_of(moment, wish.timezone)
        _, ends = bounds_of(day, wish.timezone)
        mine = {
            "status": {"in": ["pending", "in_progress"]},
            "project": {"archived": False},
            "or": [
                {"assignees": {"me": True}},
                {"assignees": {"is_empty": True}, "created_by": {"eq": user_id}},
            ],
        }
        overdue = await self._tasks(session, wish, {**mine, "due_at": {"lte": moment.isoformat()}})
        today = await self._tasks(session, wish, {**mine, "due_at": {"gt": moment.isoformat(), "lt": ends.isoformat()}})
        since = wish.digested_at or moment - timedelta(days=1)
        rows = await session.all(_NEW(user_id=user_id, since=since))
        new = _Part(await session.scalar(_COUNT(user_id=user_id, since=since)) or 0, [])
        if rows:
            new = new._replace(lines=await texts.lines_of(session, user_id, rows))
        parts = [("Overdue", overdue), ("Due today", today), ("New for you", new)]
        said = [(title, part) for title, part in parts if part.lines]
        if not said:
            return None
        subject = f"Your day: {', '.join(f'{part.number} {title.lower()}' for title, part in said)}"
        body = "\n".join(line for title, part in said for line in (title, *part.shown(), ""))
        return Written(
            texts.bounded(subject), body + texts.ending(self.mailing.addresses, user_id, Unsubscribed.DIGEST)
        )

    async def _tasks(self, session: Session, wish: _Wish, which: Mapping[str, object]) -> "_Part":
        query = TaskQuery(TaskFilter.model_validate(which), TaskSort.DUE_AT, Direction.ASC)
        # what is due on a day is compared by the person's clock
        actor = texts.reader(wish.user_id, wish.timezone)
        page = await tasks.list_(session, actor, query, PageRequest(first=SHOWN))
        number = len(page.items)
        if page.has_next:
            number = (await tasks.count(session, actor, query)).number
        lines = []
        for task in page.items:
            address = self.mailing.addresses.of_task(task)
            lines.append(texts.title_of(task) + (f"\n    {address}" if address else ""))
        return _Part(number, lines)


class _Part(NamedTuple):
    number: int
    lines: Sequence[str]

    def shown(self) -> list[str]:
        more = self.number - len(self.lines)
        return [f"  {line}" for line in self.lines] + ([f"  and {more} more"] if more > 0 else [])
