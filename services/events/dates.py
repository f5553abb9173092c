"""What is told by a date of something else follows that date: reminders when a task is due, digests the time zone of
whom they are for. It is done from the feed, so that whoever changes a date has nothing to do with it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy import update as sql_update

from core.clock import now
from db.driver.sessions import AnyRow, Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import NotificationPreferences, Reminder, Task, User
from services.events import catalogue
from services.events.happenings import Happening
from services.events.waking import due_for, moment_of, wake
from services.mailing.days import next_digest
from services.shared.statements import parameter
from services.shared.time_zones import zone_named

_DATES = frozenset({"due_at", "due_on"})
_MOVING = frozenset({catalogue.TASK_UPDATED.name, catalogue.TASK_IMPORTED.name})


class _Relative(NamedTuple):
    id: int
    user_id: int
    task_id: int
    before_due: int
    next_at: datetime | None
    told_at: datetime | None
    due_at: datetime | None
    due_all_day: bool | None
    time_zone: str


_relative = (
    select(*(getattr(Reminder, name) for name in _Relative._fields[:-3]), Task.due_at, Task.due_all_day, User.timezone)
    .join(Task, Task.id == Reminder.task_id)
    .join(User, User.id == Reminder.user_id)
    .where(Reminder.before_due.is_not(None), Reminder.snoozed_until.is_(None))
    .order_by(Reminder.id)
    .with_for_update(of=Reminder, key_share=True)
)
_OF_TASKS = Prepared(_relative.where(in_list(Reminder.task_id, "ids")), _Relative)
_OF_PEOPLE = Prepared(_relative.where(in_list(Reminder.user_id, "ids"), Task.due_all_day.is_(True)), _Relative)
_MOVE: Prepared[AnyRow] = Prepared(
    sql_update(Reminder)
    .where(Reminder.id == parameter("reminder_id"))
    .values(
        next_at=parameter("again_at", Reminder.next_at.type),
        told_at=parameter("was_told_at", Reminder.told_at.type),
        version=Reminder.version + 1,
    )
)
_DAILY = Prepared(
    select(NotificationPreferences.user_id, NotificationPreferences.digest_hour, User.timezone)
    .join(User, User.id == NotificationPreferences.user_id)
    .where(in_list(NotificationPreferences.user_id, "ids"), NotificationPreferences.digest_at.is_not(None))
    .order_by(NotificationPreferences.user_id)
    .with_for_update(of=NotificationPreferences, key_share=True)
)
_DIGEST: Prepared[AnyRow] = Prepared(
    sql_update(NotificationPreferences)
    .where(NotificationPreferences.user_id == parameter("whose"))
    .values(digest_at=parameter("again_at", NotificationPreferences.digest_at.type))
)


async def follow(session: Session, events: Sequence[Happening]) -> None:
    """Move what is told by a date that some events have changed. Where they changed none, nothing is asked."""
    since = {
        event.task_id: event.occurred_at
        for event in events
        if event.task_id is not None
        and event.kind in _MOVING
        and (not _DATES.isdisjoint(event.fields) or event.kind == catalogue.TASK_IMPORTED.name)
    }
    if since:
        rows = await session.all(_OF_TASKS(ids=since.keys()))
        await _move_reminders(session, [(row, since[row.task_id]) for row in rows])
    movers = {
        event.entity_id: event.occurred_at
        for event in events
        if event.kind == catalogue.USER_UPDATED.name and "timezone" in event.fields
    }
    if movers:
        rows = await session.all(_OF_PEOPLE(ids=movers.keys()))
        await _move_reminders(session, [(row, movers[row.user_id]) for row in rows])
        moment = now()
        for user_id, hour, zone in await session.all(_DAILY(ids=movers.keys())):
            await session.execute(_DIGEST(whose=user_id, again_at=next_digest(moment, zone, hour)))


async def _move_reminders(session: Session, rows: Sequence[tuple[_Relative, datetime]]) -> None:
    """A reminder is told anew for another date, unless its instant was over when the date was changed, which is said
    beside each."""
    moved: list[dict[str, Any]] = []
    instants: dict[int, datetime] = {}
    for row, since in rows:
        found = moment_of(None, row.before_due, due_for(row.due_at, row.due_all_day, zone_named(row.time_zone)))
        next_at = found if found is not None and found > since else None
        if next_at == row.next_at:
            continue
        told_at = row.told_at if next_at is None else None
        if next_at is not None:
            if row.told_at is not None and row.told_at >= next_at:
                continue  # of this date it was told
            instants[row.user_id] = min(next_at, instants.get(row.user_id, next_at))
        moved.append({"reminder_id": row.id, "again_at": next_at, "was_told_at": told_at})
    for values in moved:
        await session.execute(_MOVE(**values))
    await wake(session, instants)
