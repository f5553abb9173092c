"""Reminders of so many minutes before a task is due go along with its series, to whom they are; those of an instant do
not."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import select

from core.clock import now
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import Reminder, User
from services.events.waking import due_for, wake
from services.shared.bulk_writing import write_all
from services.shared.time_zones import zone_named
from services.tasks.models import TaskRecord
from services.tasks.reminders import INSERT, next_of

_BEFORE_DUE = Prepared(
    select(Reminder.task_id, Reminder.user_id, Reminder.before_due, User.timezone)
    .join(User, User.id == Reminder.user_id)
    .where(in_list(Reminder.task_id, "ids"), Reminder.before_due.is_not(None))
    .order_by(Reminder.id),
    tuple,
)


async def carry_on(session: Session, followed: Mapping[int, TaskRecord]) -> None:
    """Set for the next tasks, given by the former ones, what people wanted to be reminded of before these were due."""
    found = await session.all(_BEFORE_DUE(ids=[*followed])) if followed else ()
    moment, first = now(), dict[int, datetime]()
    values = []
    for former, user_id, before_due, zone in found:
        task = followed[former]
        said = {"remind_at": None, "before_due": before_due}
        due_at = due_for(task.due_at, task.due_all_day, zone_named(zone or "UTC"))
        next_at = next_of(said, due_at, moment)
        if next_at is not None:
            first[user_id] = min(next_at, first.get(user_id, next_at))
        who = {"user_id": user_id, "task_id": task.id, "next_at": next_at, "version": 1}
        values.append({**said, **who, "created_at": moment, "updated_at": moment})
    await write_all(session, INSERT, values)
    if first:
        await wake(session, first)
