"""What reminders are made of (``services.reminders``), and those that a new task is created with: its creator's."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Protocol

from pydantic import Field
from sqlalchemy import insert, select

from core.clock import now
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import Reminder, User
from services.events.waking import due_for, moment_of, wake
from services.shared.actors import Actor, Scope
from services.shared.bulk_writing import write_all
from services.shared.errors import BadUserInput
from services.shared.inputs import Input, Timestamp, Whole, absent
from services.shared.time_zones import zone_named, zone_of

MAX_REMINDERS = 10
"""Of one person on one task."""
MAX_MINUTES = 366 * 24 * 60

RemindAt = Annotated[Timestamp, Field(description="When to remind.", examples=["2031-01-31T08:00:00Z"])]
BeforeDue = Annotated[
    int,
    Field(
        strict=True,
        ge=0,
        le=MAX_MINUTES,
        description="So many minutes before the task is due, whenever that is; 0 is when it is due.",
        examples=[30],
    ),
    Whole,
]


class Dated(Protocol):
    """A task, as far as reminders go."""

    @property
    def id(self) -> int: ...
    @property
    def due_at(self) -> datetime | None: ...
    @property
    def due_all_day(self) -> bool | None: ...


class ReminderCreate(Input):
    """Sets a reminder: at an instant, or so many minutes before the task is due."""

    before_due: BeforeDue = Field(default_factory=absent)
    remind_at: RemindAt = Field(default_factory=absent)


def said_by(data: Input, *, pointer: str = "") -> dict[str, object]:
    """The columns that a body stands for. Raises ``BadUserInput`` unless it says one thing."""
    said = {name: getattr(data, name) for name in ("remind_at", "before_due")}
    if (said["remind_at"] is None) is (said["before_due"] is None):
        raise BadUserInput.at(f"{pointer}/remind_at", "give remind_at or before_due, and not both")
    return said


def next_of(
    said: Mapping[str, object], due_at: datetime | None, moment: datetime, *, pointer: str = ""
) -> datetime | None:
    """When to tell; None where that is over or not known. Raises ``BadUserInput`` for an instant that is over."""
    remind_at, before_due = said["remind_at"], said["before_due"]
    if isinstance(remind_at, datetime):
        if remind_at <= moment:
            raise BadUserInput.at(f"{pointer}/remind_at", "is over")
        return remind_at
    found = moment_of(None, before_due if isinstance(before_due, int) else None, due_at)
    return found if found is not None and found > moment else None


def check(wanted: Sequence[ReminderCreate]) -> None:
    """Raises ``BadUserInput`` for what a new task cannot be created with."""
    if wanted:
        moment = now()
        for index, one in enumerate(wanted):
            pointer = f"/reminders/{index}"
            next_of(said_by(one, pointer=pointer), None, moment, pointer=pointer)


async def insert_for(session: Session, actor: Actor, wanted: Iterable[tuple[Dated, Sequence[ReminderCreate]]]) -> None:
    """Set the reminders of new tasks; none of them costs nothing."""
    said_of = [(task, said_by(one)) for task, some in wanted for one in some]
    if not said_of:
        return
    user_id, moment, zone = actor.require(Scope.TASKS_WRITE), now(), await zone_of(session, actor)
    rows = [(task.id, due_for(task.due_at, task.due_all_day, zone), said) for task, said in said_of]
    values = [
        {
            "user_id": user_id,
            "task_id": task_id,
            **said,
            # what has passed since it was checked is told at once
            "next_at": said["remind_at"] or next_of(said, due_at, moment),
            "version": 1,
            "created_at": moment,
            "updated_at": moment,
        }
        for task_id, due_at, said in rows
    ]
    await write_all(session, _INSERT, values)
    instants = [each["next_at"] for each in values if isinstance(each["next_at"], datetime)]
    if instants:
        await wake(session, {user_id: min(instants)})


_INSERT = Prepared(
    insert(Reminder),
    keys=["user_id", "task_id", "remind_at", "before_due", "next_at", "version", "created_at", "updated_at"],
)


async def carry_on(session: Session, following: Mapping[int, Dated]) -> None:
    """Set what was set before the due date of some tasks for those that follow them in a series, too: everybody's."""
    found = await session.all(_BEFORE_DUE(ids=[*following])) if following else []
    if not found:
        return
    moment = now()
    values, instants = [], dict[int, datetime]()
    for user_id, task_id, before_due, zone in found:
        task = following[task_id]
        due_at = due_for(task.due_at, task.due_all_day, zone_named(zone))
        said = {"remind_at": None, "before_due": before_due}
        next_at = next_of(said, due_at, moment)
        if next_at is not None:
            instants[user_id] = min(next_at, instants.get(user_id, next_at))
        place = {"user_id": user_id, "task_id": task.id, "next_at": next_at}
        values.append({**place, **said, "version": 1, "created_at": moment, "updated_at": moment})
    await write_all(session, _INSERT, values)
    await wake(session, instants)


_BEFORE_DUE = Prepared(
    select(Reminder.user_id, Reminder.task_id, Reminder.before_due, User.timezone)
    .join(User, User.id == Reminder.user_id)
    .where(in_list(Reminder.task_id, "ids"), Reminder.before_due.is_not(None))
    .order_by(Reminder.id)
)
