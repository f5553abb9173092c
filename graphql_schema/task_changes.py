import strawberry
from pydantic import Field

from graphql_schema.shared.base import as_output, enumeration, output_type, service_input, to_service_input
from graphql_schema.shared.context import Info
from graphql_schema.shared.parts import Part
from graphql_schema.shared.prices import Price, listed, priced
from graphql_schema.shared.recurrences import RECURRENCE
from graphql_schema.shared.root_fields import Telling, command_field, create_field, delete_field
from graphql_schema.tasks import Task
from services.shared.external_ids import ExternalId, ExternalSource
from services.shared.idempotency import KeyText
from services.shared.inputs import Bool, ExpectedVersion, Input, ProjectId, TaskId, absent
from services.shared.prices import CHANGE, WRITE
from services.tasks import commands, duplication, moving, trash, upserts
from services.tasks.models import MAX_DRAFTS, TaskCreate, TaskDuplicate, TaskUpdate, TaskUpsert
from services.tasks.moving import LeftBehindOut, MoveOut, TaskMove
from services.tasks.reminders import ReminderCreate


@service_input()
class TaskReminderInput(ReminderCreate): ...


@service_input(RECURRENCE)
class UpdateTaskInput(TaskUpdate):
    """Changes a task. Fields that are left out stay as they are."""

    id: TaskId = Field(description="The task.")
    expected_version: ExpectedVersion | None = Field(default_factory=absent)
    notify: Telling = True


@service_input(RECURRENCE)
class UpsertTaskInput(TaskUpsert):
    """Creates the task that another system calls so, or changes it. Fields that are left out stay as they are."""

    external_source: ExternalSource
    external_id: ExternalId
    expected_version: ExpectedVersion | None = Field(default_factory=absent)
    notify: Telling = True


@strawberry.type(description="The task as it is now.")
class UpsertTaskPayload:
    task: Task = strawberry.field(description="The task.")
    created: bool = strawberry.field(description="Whether it is new.")


@service_input()
class DuplicateTaskInput(TaskDuplicate):
    """Makes a task again."""

    id: TaskId = Field(description="The task.")
    notify: Telling = True
    idempotency_key: KeyText | None = Field(default_factory=absent)


@service_input()
class MoveTaskInput(TaskMove):
    """Moves a task to another project."""

    id: TaskId = Field(description="The task.")
    notify: Telling = True
    idempotency_key: KeyText | None = Field(default_factory=absent)


enumeration(moving.StaysBehind, "What a task had that is not in its new project.")


@output_type(LeftBehindOut)
class LeftBehind:
    task_id: int
    what: moving.StaysBehind
    id: int


@output_type(MoveOut)
class MoveTaskPayload:
    task: Task
    moved: int
    left_behind: list[LeftBehind] = listed(moving.MAX_TOLD)


@service_input()
class RestoreTaskInput(Input):
    """Brings a task back from the trash."""

    id: TaskId = Field(description="The id.")
    with_parents: Bool = Field(default=False, description=trash.WITH_PARENTS)
    notify: Telling = True
    idempotency_key: KeyText | None = Field(default_factory=absent)


@service_input()
class ClearTasksInput(Input):
    """Says which tasks are deleted for good."""

    project_id: ProjectId | None = Field(default_factory=absent, description="Only this project's; all if left out.")


@strawberry.type(description="What was deleted.")
class ClearTasksPayload:
    message: str = strawberry.field(description="What was done.")


@strawberry.type
class TaskMutations:
    create_task = create_field(
        Task,
        commands.create,
        TaskCreate,
        "Create a task, in the caller's Inbox unless a project is named.",
        nested={**RECURRENCE, ReminderCreate: TaskReminderInput},
        telling=True,
    )
    update_task = command_field(
        Task,
        commands.update,
        UpdateTaskInput,
        "Change a task; fields that are left out stay as they are.",
        payload="The task after the change.",
    )

    @strawberry.mutation(
        description="Create the task that another system calls so, or change it; one that is the same is not written."
    )
    async def upsert_task(self, info: Info, input: UpsertTaskInput) -> UpsertTaskPayload | None:
        async with info.context.writing() as session:
            done = await upserts.upsert(
                session,
                info.context.actor.telling(input.notify),
                input.external_source,
                input.external_id,
                to_service_input(TaskUpsert, input),
                expected_version=input.expected_version,
            )
        return UpsertTaskPayload(task=as_output(done.task), created=done.created)

    delete_task = delete_field(
        Task,
        commands.delete,
        TaskId,
        "Move a task and its subtasks to the trash; they can be restored for 30 days.",
        about="Moves a task to the trash.",
        payload="The task that went to the trash.",
        telling=True,
    )
    duplicate_task = command_field(
        Task,
        duplication.duplicate,
        DuplicateTaskInput,
        "Make a task again, pending, with its subtasks, tags and assignees; comments and relations stay behind.",
        payload="The new task.",
        price=Price(call=WRITE + MAX_DRAFTS * CHANGE),
    )

    @strawberry.mutation(
        description="Move a task to another project, with its subtasks, comments and relations; its former ref finds "
        "it, too.",
        metadata=priced(Price(call=WRITE + moving.MAX_MOVED * CHANGE)),
    )
    async def move_task(self, info: Info, input: MoveTaskInput) -> MoveTaskPayload | None:
        context = info.context
        async with context.writing() as session:
            data, actor = to_service_input(TaskMove, input), context.actor.telling(input.notify)
            done = await context.run_once(
                input.idempotency_key,
                lambda call: moving.move.once(session, actor, call, context.security.limits, input.id, data),
            )
        return as_output(done)

    restore_task = command_field(
        Task,
        trash.restore,
        RestoreTaskInput,
        "Bring a task back from the trash, with the subtasks that went with it.",
        payload="The task that is back.",
    )

    @strawberry.mutation(
        description="Delete every task of every user, or of one project, for good. Takes a key with the scope admin."
    )
    async def clear_tasks(self, info: Info, input: ClearTasksInput) -> ClearTasksPayload | None:
        async with info.context.writing() as session:
            await commands.clear(session, info.context.actor, project_id=input.project_id)
        return ClearTasksPayload(message="All tasks deleted")


PART = Part(mutations=TaskMutations)
