"""Reminders: a person's own, on tasks that he may read. They are told as notifications (``services.events.reminding``),
once each, at an instant or some minutes before the task is due."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, NamedTuple

from pydantic import Field
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert, select
from sqlalchemy import update as sql_update

from core.clock import now
from db.driver.sessions import AnySelect, Session
from db.models import Reminder, Task, User
from services.events import catalogue, log
from services.events.catalogue import EventKind
from services.events.waking import due_for, wake
from services.shared import node_ids
from services.shared.actors import Actor, Scope
from services.shared.errors import BadUserInput, Conflict, Expected, NotFound, require_next, require_version
from services.shared.features import Feature, NodeType, Operation, Who
from services.shared.filters import Column, Filter, Filtering, Flag
from services.shared.idempotency import repeatable, while_readable
from services.shared.inputs import Bool, Input, Timestamp, Whole, absent
from services.shared.operators import TaskRefFilter, TimestampFilter
from services.shared.outputs import CreatedAt, DatabaseId, NodeId, Output, UpdatedAt, Version
from services.shared.pagination import Ordering, SortKey
from services.shared.reading import ChildReader, ListReader
from services.shared.time_zones import zone_of
from services.tasks import queries as tasks
from services.tasks.models import TaskOut, TaskRecord
from services.tasks.reminders import MAX_REMINDERS, BeforeDue, RemindAt, next_of, said_by
from services.tasks.reminders import ReminderCreate as ReminderCreate
from services.tasks.updates import hold_task
from services.tasks.visibility import readable

SNOOZE = timedelta(days=30)
"""For how long anything is snoozed, at most."""
SNOOZE_MINUTES = SNOOZE // timedelta(minutes=1)

SnoozeMinutes = Annotated[
    int, Field(strict=True, ge=1, le=SNOOZE_MINUTES, description="So many minutes from now.", examples=[10]), Whole
]
SnoozeUntil = Annotated[Timestamp, Field(description="An instant, at most 30 days from now.")]


class ReminderUpdate(Input):
    """Changes when to remind: what is given takes the place of what was said."""

    before_due: BeforeDue = Field(default_factory=absent)
    remind_at: RemindAt = Field(default_factory=absent)


class ReminderSnooze(Input):
    """Has a reminder tell again, or for the first time, later: one of the two."""

    minutes: SnoozeMinutes = Field(default_factory=absent)
    until: SnoozeUntil = Field(default_factory=absent)


class ReminderOut(Output):
    """When the caller wants to be reminded of a task."""

    id: DatabaseId
    node_id: NodeId
    task_id: int = Field(description="The task.")
    remind_at: datetime | None = Field(description="The instant, in UTC, where it is not by when the task is due.")
    before_due: int | None = Field(description="How many minutes before the task is due.")
    next_at: datetime | None = Field(
        description="When it is told, in UTC; null where it was, where the task is not due or that instant is over."
    )
    snoozed_until: datetime | None = Field(description="Until when it was snoozed, in UTC.")
    told_at: datetime | None = Field(description="When it was told, in UTC.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class ReminderWithTask(ReminderOut):
    """When the caller wants to be reminded of a task, with what ``expand`` names."""

    task: TaskOut | None = Field(default=None, description="With expand=task: the task.")


class ReminderFilter(Filter):
    """Which reminders. Every condition given must hold."""

    task: TaskRefFilter = Field(default_factory=absent, description="The task.")
    waiting: Bool = Field(default_factory=absent, description="It is still to be told (true), or not (false).")
    next_at: TimestampFilter = Field(default_factory=absent, description="When it is told.")
    told_at: TimestampFilter = Field(default_factory=absent, description="When it was told.")
    created_at: TimestampFilter = Field(default_factory=absent, description="When it was set.")


class ReminderRecord(NamedTuple):
    """A reminder as its owner reads it."""

    id: int
    task_id: int
    remind_at: datetime | None
    before_due: int | None
    next_at: datetime | None
    snoozed_until: datetime | None
    told_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def node_id(self) -> str:
        return node_ids.encode("Reminder", self.id)


COLUMNS = tuple(getattr(Reminder, name) for name in ReminderRecord._fields)
OLDEST_FIRST = Ordering(SortKey("id", Reminder.id, Reminder.id, kind="integer"), descending=False)


def visible(actor: Actor) -> AnySelect:
    """The caller's reminders of tasks that he may read."""
    statement = select(*COLUMNS).join(Task, Task.id == Reminder.task_id)
    return statement.where(Reminder.user_id == actor.user_id, readable(actor))


_FILTERING = Filtering(
    ReminderFilter,
    {
        "task": Column(Reminder.task_id),
        "waiting": Flag(Reminder.next_at.is_not(None)),
        "next_at": Column(Reminder.next_at),
        "told_at": Column(Reminder.told_at),
        "created_at": Column(Reminder.created_at),
    },
)
_READER = ListReader("Reminder", visible, ReminderRecord._make, OLDEST_FIRST, filtering=_FILTERING)
get, by_ids, list_, count = _READER.get, _READER.by_ids, _READER.list_, _READER.count
_OF_TASK = ChildReader(
    "Reminder",
    visible,
    ReminderRecord._make,
    OLDEST_FIRST,
    below=Reminder.task_id,
    parent=tasks.get,
    filtering=_FILTERING,
)
list_of_task, count_of_task, pages, counts = _OF_TASK.list_, _OF_TASK.count, _OF_TASK.pages, _OF_TASK.counts


@repeatable("reminder.create", scope=Scope.TASKS_WRITE, read=while_readable(get))
async def create(session: Session, actor: Actor, task_id: int, data: ReminderCreate) -> ReminderRecord:
    """Set a reminder. Raises ``NotFound``; ``BadUserInput`` for an instant that is over; ``Conflict`` where the caller
    has ``MAX_REMINDERS`` on the task."""
    user_id = actor.require(Scope.TASKS_WRITE)
    said = said_by(data)
    task, _ = await hold_task(session, actor, task_id)
    # one at a time for each person, or two could pass the limit together
    await session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    if await session.count(visible(actor).where(Reminder.task_id == task_id)) >= MAX_REMINDERS:
        raise Conflict(f"You have {MAX_REMINDERS} reminders of this task, which is as many as there can be")
    moment = now()
    due_at = due_for(task.due_at, task.due_all_day, await zone_of(session, actor))
    values = {"user_id": user_id, "task_id": task_id, **said, "next_at": next_of(said, due_at, moment)}
    new = insert(Reminder).values(**values, version=1, created_at=moment, updated_at=moment)
    reminder = ReminderRecord._make(await session.one(new.returning(*COLUMNS)))
    await _wake(session, user_id, reminder)
    await _record(session, actor, catalogue.REMINDER_CREATED, reminder, log.created({"task_id": task_id, **said}))
    return reminder


async def update(
    session: Session, actor: Actor, reminder_id: int, data: ReminderUpdate, *, expected_version: Expected = None
) -> ReminderRecord:
    """Change when to remind. Raises ``NotFound``, ``VersionConflict``, ``BadUserInput``."""
    said = said_by(data) if data.model_fields_set else {}
    before, task = await _lock(session, actor, reminder_id, expected_version)
    changes = log.differences(before._asdict(), said)
    if not changes:
        return before
    due_at = due_for(task.due_at, task.due_all_day, await zone_of(session, actor))
    values = {**said, "next_at": next_of(said, due_at, now()), "snoozed_until": None, "told_at": None}
    return await _write(session, actor, before, values, changes)


async def snooze(
    session: Session, actor: Actor, reminder_id: int, data: ReminderSnooze, *, expected_version: Expected = None
) -> ReminderRecord:
    """Have a reminder tell later, whether it was told or not. Raises ``NotFound``, ``VersionConflict``,
    ``BadUserInput``."""
    until = snoozed_until(data.sent())
    before, _ = await _lock(session, actor, reminder_id, expected_version)
    changes = {"snoozed_until": (before.snoozed_until, until)}
    values = {"next_at": until, "snoozed_until": until, "told_at": None}
    return await _write(session, actor, before, values, changes)


async def delete(session: Session, actor: Actor, reminder_id: int, *, expected_version: Expected = None) -> None:
    """Delete a reminder. Raises ``NotFound``, ``VersionConflict``."""
    reminder, _ = await _lock(session, actor, reminder_id, expected_version)
    await session.execute(sql_delete(Reminder).where(Reminder.id == reminder_id))
    changes = {"task_id": (reminder.task_id, None)}
    await _record(session, actor, catalogue.REMINDER_DELETED, reminder, changes)


def snoozed_until(sent: Mapping[str, object]) -> datetime:
    """Until when something is snoozed: so many ``minutes``, or ``until`` an instant. Raises ``BadUserInput`` where it
    is not one of them, and for one that is over or too far."""
    minutes, until = sent.get("minutes"), sent.get("until")
    if (minutes is None) is (until is None):
        raise BadUserInput.at("/until", "give minutes or until, and not both")
    moment = now()
    if isinstance(minutes, int):
        return moment + timedelta(minutes=minutes)
    return within_snooze(until, moment, pointer="/until")


def within_snooze(until: object, moment: datetime, *, pointer: str) -> datetime:
    """An instant that something can be snoozed until. Raises ``BadUserInput``."""
    if not isinstance(until, datetime) or not moment < until <= moment + SNOOZE:
        raise BadUserInput.at(pointer, f"must be within {SNOOZE.days} days from now")
    return until


async def _lock(
    session: Session, actor: Actor, reminder_id: int, expected: Expected
) -> tuple[ReminderRecord, TaskRecord]:
    actor.require(Scope.TASKS_WRITE)
    mine = select(Reminder.task_id).where(Reminder.id == reminder_id, Reminder.user_id == actor.user_id)
    task_id = await session.scalar(mine)
    if task_id is None:
        raise NotFound("Reminder")
    try:
        task, _ = await hold_task(session, actor, task_id)
    except NotFound:
        raise NotFound("Reminder") from None
    row = await session.first(visible(actor).where(Reminder.id == reminder_id).with_for_update(of=Reminder))
    if row is None:
        raise NotFound("Reminder")
    reminder = ReminderRecord._make(row)
    require_version(reminder.version, expected)
    require_next(reminder.version)
    return reminder, task


async def _write(
    session: Session, actor: Actor, before: ReminderRecord, values: Mapping[str, object], changes: log.Changes
) -> ReminderRecord:
    row = await session.one(
        sql_update(Reminder)
        .where(Reminder.id == before.id)
        .values(**values, version=Reminder.version + 1, updated_at=now())
        .returning(*COLUMNS)
    )
    after = ReminderRecord._make(row)
    await _wake(session, actor.require(Scope.TASKS_WRITE), after)
    await _record(session, actor, catalogue.REMINDER_UPDATED, after, changes)
    return after


async def _wake(session: Session, user_id: int, reminder: ReminderRecord) -> None:
    if reminder.next_at is not None:
        await wake(session, {user_id: reminder.next_at})


async def _record(
    session: Session, actor: Actor, kind: EventKind, reminder: ReminderRecord, changes: log.Changes
) -> None:
    # of no project, which others are told of
    await log.record(session, actor, log.NewEvent(kind, reminder.id, changes, version=reminder.version))


FEATURE = Feature(
    "reminders",
    operations=(
        Operation("list_reminders", "Query.reminders", Who.ACCOUNT, Scope.TASKS_READ),
        Operation("query_reminders", "Query.reminders", Who.ACCOUNT, Scope.TASKS_READ),
        Operation("list_task_reminders", "Task.reminders", Who.VIEWER, Scope.TASKS_READ),
        Operation("query_task_reminders", "Task.reminders", Who.VIEWER, Scope.TASKS_READ),
        Operation("create_reminder", "Mutation.createReminder", Who.VIEWER, Scope.TASKS_WRITE, repeatable=True),
        Operation("get_reminder", "Query.reminder", Who.SELF, Scope.TASKS_READ),
        Operation("update_reminder", "Mutation.updateReminder", Who.SELF, Scope.TASKS_WRITE),
        Operation("snooze_reminder", "Mutation.snoozeReminder", Who.SELF, Scope.TASKS_WRITE),
        Operation("delete_reminder", "Mutation.deleteReminder", Who.SELF, Scope.TASKS_WRITE),
    ),
    about="When a person wants to be reminded of tasks.",
    nodes=(NodeType("Reminder", by_ids, ReminderOut),),
    limits={"reminders of a person on a task": MAX_REMINDERS},
)
