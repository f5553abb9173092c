from datetime import datetime

import strawberry
from pydantic import Field

from graphql_schema.shared.base import Node, attribute, output_type, service_input
from graphql_schema.shared.connections import Connection
from graphql_schema.shared.loading import connection_field, relation_field
from graphql_schema.shared.parts import Part
from graphql_schema.shared.root_fields import (
    command_field,
    create_field,
    delete_field,
    list_field,
    node_field,
    update_field,
)
from graphql_schema.tasks import Task
from services import reminders
from services.reminders import (
    ReminderCreate,
    ReminderFilter,
    ReminderOut,
    ReminderRecord,
    ReminderSnooze,
    ReminderUpdate,
)
from services.shared.inputs import ExpectedVersion, ReminderId, TaskId, absent
from services.tasks import queries as tasks


@output_type(ReminderOut, record=ReminderRecord)
class Reminder(Node):
    database_id: int = attribute("id")
    remind_at: datetime | None
    before_due: int | None
    next_at: datetime | None
    snoozed_until: datetime | None
    told_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime

    task: Task = relation_field("tasks", tasks.by_ids, by="task_id", description="The task.")


@service_input()
class SnoozeReminderInput(ReminderSnooze):
    """Has a reminder tell again, or for the first time, later: in some minutes, or at an instant."""

    id: ReminderId = Field(description="The reminder.")
    expected_version: ExpectedVersion | None = Field(default_factory=absent)


@strawberry.type
class TaskReminders:
    reminders: Connection[Reminder] = connection_field(
        "task.reminders",
        reminders.pages,
        reminders.counts,
        ReminderFilter,
        description="The caller's reminders of it, oldest first.",
    )


@strawberry.type
class ReminderQueries:
    reminder: Reminder | None = node_field(
        "Reminder", reminders.get, "One of the caller's reminders; null where there is none."
    )
    reminders: Connection[Reminder] = list_field(
        reminders.list_,
        reminders.count,
        ReminderFilter,
        "The caller's reminders of tasks that he may read, oldest first.",
    )


@strawberry.type
class ReminderMutations:
    create_reminder = create_field(
        Reminder,
        reminders.create,
        ReminderCreate,
        "Set a reminder of a task, at an instant or before it is due; at most 10 of each task.",
        task_id=TaskId,
    )
    update_reminder = update_field(
        Reminder,
        reminders.update,
        ReminderUpdate,
        "Change when to remind: what is given takes the place of what was said.",
        id=ReminderId,
    )
    snooze_reminder = command_field(
        Reminder,
        reminders.snooze,
        SnoozeReminderInput,
        "Have a reminder tell later, whether it was told or not: in some minutes, or at an instant.",
        payload="The reminder after the change.",
    )
    delete_reminder = delete_field(Reminder, reminders.delete, ReminderId, "Delete a reminder.")


PART = Part(queries=ReminderQueries, mutations=ReminderMutations, extends={Task: TaskReminders})
