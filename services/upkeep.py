"""What the worker does from time to time without anybody's asking: it deletes what is kept no longer, and looks at how
far everything is behind."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import delete as sql_delete
from sqlalchemy import func, literal_column, select

from core import turns
from core.clock import now
from db.driver.database import Database
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import Event, Mail, Reminder, Webhook, WebhookDelivery
from services.events import retention
from services.events.consumers import Consumer
from services.jobs.worker import Handler, Outcome
from services.shared.statements import parameter

PURGE, LOOK = "upkeep.purge", "upkeep.look"
KINDS = (PURGE, LOOK)
PURGE_AGAIN = timedelta(hours=1)
LOOK_AGAIN = timedelta(seconds=15)
BATCH = 500
MOST_COUNTED = 100_000
"""Deliveries that wait are counted up to here."""

_OLD = Prepared(
    select(WebhookDelivery.id)
    .where(WebhookDelivery.created_at < parameter("before"), WebhookDelivery.state != "waiting")
    .order_by(WebhookDelivery.created_at)
    .limit(BATCH)
)
_FORSAKEN = Prepared(
    select(WebhookDelivery.id)
    .where(WebhookDelivery.created_at < parameter("before"))
    .order_by(WebhookDelivery.created_at)
    .limit(BATCH)
)
_DELETE = Prepared(sql_delete(WebhookDelivery).where(in_list(WebhookDelivery.id, "ids")))
_waiting = (
    select(WebhookDelivery.created_at)
    .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
    .where(WebhookDelivery.state == "waiting", Webhook.state == "active")
    .limit(MOST_COUNTED)
    .subquery()
)
_WAITING = Prepared(select(func.count(), func.min(_waiting.c.created_at)).select_from(_waiting))
_UNNUMBERED = Prepared(select(func.min(Event.occurred_at)).where(Event.position.is_(None)))
_MAIL = Prepared(select(func.min(Mail.created_at)).where(Mail.state == literal_column("'waiting'")))
_REMINDER = Prepared(select(func.min(Reminder.next_at)).where(Reminder.next_at.is_not(None)))


@dataclass(slots=True)
class Figures:
    """How far behind things are, as they were looked at last by this process; zero in one that does not look."""

    waiting: int = 0
    """Deliveries to webhooks that are active."""
    oldest_seconds: float = 0.0
    """How long the oldest of them has waited."""
    mail_seconds: float = 0.0
    """How long the oldest message that was written has waited to be sent."""
    reminder_seconds: float = 0.0
    """By how long the reminder that is told next is late."""
    unnumbered_seconds: float = 0.0
    """How long the oldest event has been without its place in the feed."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The two jobs, for a database."""

    database: Database
    retention: timedelta | None
    """How long the feed goes back; None for ever."""
    log: timedelta
    """How long deliveries are kept that came to an end."""
    consumers: Sequence[Consumer] = ()
    """Who reads the feed: what they have not taken yet is kept."""
    figures: Figures = field(default_factory=Figures)

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {PURGE: self._purge, LOOK: self._look}

    async def _purge(self, _: int) -> Outcome:
        await self.purge()
        return Outcome(now() + PURGE_AGAIN)

    async def purge(self) -> None:
        """Delete what is kept no longer: a few hundred rows are a transaction, so that nobody waits for long."""
        moment = now()
        await self._delete(lambda: _OLD(before=moment - self.log))
        if self.retention is not None:
            before = moment - self.retention
            await self._delete(lambda: _FORSAKEN(before=before))
            await retention.purge(self.database, before, self.consumers)

    async def _delete(self, some: Callable[[], object]) -> None:
        found = BATCH
        while found == BATCH:
            async with self.database.writing() as session:
                ids = await session.scalars(some())  # type: ignore[arg-type]  # a bound statement
                found = len(ids)
                if ids:
                    await session.execute(_DELETE(ids=ids))
            await turns.give()

    async def _look(self, _: int) -> Outcome:
        moment = now()
        row = await self.database.reads.one(_WAITING())
        self.figures.waiting = row[0]
        self.figures.oldest_seconds = 0.0 if row[1] is None else max(0.0, (moment - row[1]).total_seconds())
        first, mail, reminder = [await self.database.reads.scalar(each()) for each in (_UNNUMBERED, _MAIL, _REMINDER)]
        self.figures.unnumbered_seconds = _seconds(first, moment)
        self.figures.mail_seconds = _seconds(mail, moment)
        self.figures.reminder_seconds = _seconds(reminder, moment)
        return Outcome(moment + LOOK_AGAIN)


def _seconds(since: datetime | None, moment: datetime) -> float:
    return 0.0 if since is None else max(0.0, (moment - since).total_seconds())
