"""What is told at an instant of somebody's own: when to look for it. The job (``services.events.reminding``) is one for
a share of the accounts, so that a thousand reminders of one instant are a few transactions, and those who set
reminders at once do not all write the same row."""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta, tzinfo

from db.driver.sessions import Session
from services.jobs import queue

JOB = "notifications.due"
SHARES = 8
LATE = timedelta(days=7)
"""What was to be told longer ago is not told any more."""
HOUR_OF_DAY = 9
"""When a task that is due on a day is due for reminders, by the clock of whoever is reminded."""


async def wake(session: Session, instants: Mapping[int, datetime]) -> None:
    """Have something told at an instant, by the account that it is told to."""
    first: dict[int, datetime] = {}
    for user_id, moment in instants.items():
        share = user_id % SHARES
        first[share] = min(moment, first.get(share, moment))
    # in one order: two that schedule the same never wait for each other
    for share, moment in sorted(first.items()):
        await queue.schedule(session, JOB, [share], moment)


def due_for(due_at: datetime | None, all_day: bool | None, zone: tzinfo) -> datetime | None:
    """When a task is due for somebody's reminders; on a day, at an hour (``HOUR_OF_DAY``) in the person's time zone."""
    if due_at is None or not all_day:
        return due_at
    try:
        return datetime.combine(due_at.date(), time(HOUR_OF_DAY), zone).astimezone(UTC)
    except OverflowError:
        return None


def moment_of(remind_at: datetime | None, before_due: int | None, due_at: datetime | None) -> datetime | None:
    """When a reminder is told: at its instant, or so many minutes before a task is due; None where it is not."""
    if remind_at is not None or before_due is None or due_at is None:
        return remind_at
    try:
        return due_at - timedelta(minutes=before_due)
    except OverflowError:
        return None
