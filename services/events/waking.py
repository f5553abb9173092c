"""What is told at an instant of somebody's own: when to look for it. The job (``services.events.reminding``) is one for
a share of the accounts, so that a thousand reminders of one instant are a few transactions, and those who set
reminders at once do not all write the same row."""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta, tzinfo

from db.driver.sessions import Session
from services.jobs import queue

JOB = "notifications.due"
SHARES = 8
MORNING = 9
"""The hour of a person's day that reminders of what is due on a day go by."""
LATE = timedelta(days=7)
"""What was to be told longer ago is not told any more."""


async def wake(session: Session, instants: Mapping[int, datetime]) -> None:
    """Have something told at an instant, by the account that it is told to."""
    first: dict[int, datetime] = {}
    for user_id, moment in instants.items():
        share = user_id % SHARES
        first[share] = min(moment, first.get(share, moment))
    # in one order: two that schedule the same never wait for each other
    for share, moment in sorted(first.items()):
        await queue.schedule(session, JOB, [share], moment)


def moment_of(
    remind_at: datetime | None, before_due: int | None, due_at: datetime | None, all_day: bool | None, zone: tzinfo
) -> datetime | None:
    """When a reminder is told: at its instant, or so many minutes before a task is due; None where it is not. One that
    is due on a day counts as due at ``MORNING`` of that day where the person is."""
    if remind_at is not None or before_due is None or due_at is None:
        return remind_at
    try:
        if all_day:
            due_at = datetime.combine(due_at.date(), time(MORNING), zone).astimezone(UTC)
        return due_at - timedelta(minutes=before_due)
    except OverflowError:
        return None
