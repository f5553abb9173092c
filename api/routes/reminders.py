from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.dependencies.auth import CurrentActor
from api.dependencies.idempotency import Idempotent
from api.dependencies.lists import ListCall, ListShape, add_query
from api.dependencies.parameters import ReminderPath, TaskPath
from api.dependencies.preconditions import ExpectedVersion, VersionedRead, VersionedWrite
from api.dependencies.sessions import WriteSession
from api.http.route import StrictRoute
from services import reminders
from services.reminders import (
    ReminderCreate,
    ReminderFilter,
    ReminderOut,
    ReminderRecord,
    ReminderSnooze,
    ReminderUpdate,
    ReminderWithTask,
)
from services.shared.expansions import Along, Expanded
from services.tasks import queries as tasks

router = APIRouter(route_class=StrictRoute, tags=["reminders"])


# they are told, and follow their tasks' dates, without an event
_LIST = ListShape(
    ReminderWithTask,
    "a reminder",
    filter=ReminderFilter,
    relations={"task": Along(tasks.by_ids, "task_id")},
    told=False,
)
_LIST_OF_TASK = ListShape(ReminderOut, "a reminder", filter=ReminderFilter, told=False)


@router.get("/reminders", response_model=list[ReminderWithTask], response_model_exclude_unset=True)
async def list_reminders(
    listing: Annotated[ListCall[ReminderFilter], Depends(_LIST.listing)],
) -> Sequence[ReminderRecord | Expanded] | Response:
    """The caller's reminders of tasks that he may read, oldest first."""
    return await listing(reminders.list_, reminders.count)


async def query_reminders(
    body: ReminderFilter, listing: Annotated[ListCall[ReminderFilter], Depends(_LIST.querying)]
) -> Sequence[ReminderRecord | Expanded] | Response:
    """As GET /reminders, with the filter as the body. It changes nothing."""
    return await listing.by(body)(reminders.list_, reminders.count)


add_query(router, "/reminders", query_reminders, list[ReminderWithTask], response_model_exclude_unset=True)


@router.get("/tasks/{task_id}/reminders", response_model=list[ReminderOut])
async def list_task_reminders(
    task_id: TaskPath, listing: Annotated[ListCall[ReminderFilter], Depends(_LIST_OF_TASK.listing)]
) -> Sequence[ReminderRecord] | Response:
    """The caller's reminders of a task, oldest first."""
    return await listing(reminders.list_of_task, reminders.count_of_task, task_id)


async def query_task_reminders(
    task_id: TaskPath,
    body: ReminderFilter,
    listing: Annotated[ListCall[ReminderFilter], Depends(_LIST_OF_TASK.querying)],
) -> Sequence[ReminderRecord] | Response:
    """As GET /tasks/{task_id}/reminders, with the filter as the body. It changes nothing."""
    return await listing.by(body)(reminders.list_of_task, reminders.count_of_task, task_id)


add_query(router, "/tasks/{task_id}/reminders", query_task_reminders, list[ReminderOut])


@router.post("/tasks/{task_id}/reminders", status_code=201, response_model=ReminderOut)
async def create_reminder(task_id: TaskPath, body: ReminderCreate, once: Idempotent) -> ReminderRecord:
    """Set a reminder of a task, at an instant or before it is due; at most 10 of each task."""
    reminder = await once(reminders.create, task_id, body)
    return once.located(f"/reminders/{reminder.id}", reminder)


@router.get("/reminders/{reminder_id}", response_model=ReminderOut)
async def get_reminder(reminder_id: ReminderPath, read: VersionedRead) -> ReminderRecord | Response:
    """One of the caller's reminders."""
    return await read(reminders.get, reminder_id)


@router.patch("/reminders/{reminder_id}", response_model=ReminderOut)
async def update_reminder(reminder_id: ReminderPath, body: ReminderUpdate, write: VersionedWrite) -> ReminderRecord:
    """Change when to remind: what is given takes the place of what was said."""
    return await write(reminders.update, reminder_id, body, expected_version=write.expected)


@router.post("/reminders/{reminder_id}/snooze", response_model=ReminderOut)
async def snooze_reminder(reminder_id: ReminderPath, body: ReminderSnooze, write: VersionedWrite) -> ReminderRecord:
    """Have a reminder tell later, whether it was told or not: in some minutes, or at an instant."""
    return await write(reminders.snooze, reminder_id, body, expected_version=write.expected)


@router.delete("/reminders/{reminder_id}", status_code=204)
async def delete_reminder(
    reminder_id: ReminderPath, actor: CurrentActor, session: WriteSession, expected: ExpectedVersion
) -> None:
    """Delete a reminder."""
    await reminders.delete(session, actor, reminder_id, expected_version=expected)
