import strawberry
from pydantic import Field

from graphql_schema.base import narrow, service_input, shown
from graphql_schema.context import Info
from graphql_schema.tasks import Task
from services import node_ids
from services.idempotency import KeyText
from services.inputs import Bool, ExpectedVersion, Input, ProjectId, TaskId, absent
from services.tasks import commands, removal
from services.tasks.models import TaskCreate, TaskUpdate


@service_input()
class CreateTaskInput(TaskCreate):
    """Creates a task, in the caller's Inbox unless a project is named."""

    idempotency_key: KeyText | None = Field(default_factory=absent)


@service_input()
class UpdateTaskInput(TaskUpdate):
    """Changes a task. Fields that are left out stay as they are."""

    id: TaskId = Field(description="The task.")
    expected_version: ExpectedVersion | None = Field(default_factory=absent)
    notify: Bool = Field(default=True, description="Whether the people concerned are told of the change.")


@strawberry.type(description="The new task.")
class CreateTaskPayload:
    task: Task = strawberry.field(description="The task.")


@strawberry.type(description="The task after the change.")
class UpdateTaskPayload:
    task: Task = strawberry.field(description="The task.")


@service_input()
class DeleteTaskInput(Input):
    """Moves a task to the trash."""

    id: TaskId = Field(description="The id.")
    expected_version: ExpectedVersion | None = Field(default_factory=absent)


@strawberry.type(description="The task that went to the trash.")
class DeleteTaskPayload:
    deleted_task_id: strawberry.ID = strawberry.field(description="The id of the task.")


@service_input()
class RestoreTaskInput(Input):
    """Brings a task back from the trash."""

    id: TaskId = Field(description="The id.")
    idempotency_key: KeyText | None = Field(default_factory=absent)


@strawberry.type(description="The task that is back.")
class RestoreTaskPayload:
    task: Task = strawberry.field(description="The task.")


@service_input()
class ClearTasksInput(Input):
    """Says which tasks are deleted for good."""

    project_id: ProjectId | None = Field(default_factory=absent, description="Only this project's; all if left out.")


@strawberry.type(description="What was deleted.")
class ClearTasksPayload:
    message: str = strawberry.field(description="What was done.")


@strawberry.type
class TaskMutations:
    @strawberry.mutation(description="Create a task, in the caller's Inbox unless a project is named.")
    async def create_task(
        self,
        info: Info,
        input: CreateTaskInput,
    ) -> CreateTaskPayload | None:
        data = narrow(TaskCreate, input)
        async with info.context.writing() as session:
            task = await info.context.once(session, input.idempotency_key, commands.create, data)
        return CreateTaskPayload(task=shown(task))

    @strawberry.mutation(description="Change a task; fields that are left out stay as they are.")
    async def update_task(self, info: Info, input: UpdateTaskInput) -> UpdateTaskPayload | None:
        async with info.context.writing() as session:
            task = await commands.update(
                session,
                info.context.actor,
                input.id,
                narrow(TaskUpdate, input),
                expected_version=input.expected_version,
                notify=input.notify,
            )
        return UpdateTaskPayload(task=shown(task))

    @strawberry.mutation(description="Move a task and its subtasks to the trash; they can be restored for 30 days.")
    async def delete_task(self, info: Info, input: DeleteTaskInput) -> DeleteTaskPayload | None:
        async with info.context.writing() as session:
            await commands.delete(session, info.context.actor, input.id, expected_version=input.expected_version)
        return DeleteTaskPayload(deleted_task_id=strawberry.ID(node_ids.encode("Task", input.id)))

    @strawberry.mutation(description="Bring a task back from the trash, with the subtasks that went with it.")
    async def restore_task(self, info: Info, input: RestoreTaskInput) -> RestoreTaskPayload | None:
        async with info.context.writing() as session:
            task = await info.context.once(session, input.idempotency_key, removal.restore, input.id)
        return RestoreTaskPayload(task=shown(task))

    @strawberry.mutation(
        description="Delete every task of every user, or of one project, for good. Takes a key with the scope admin."
    )
    async def clear_tasks(self, info: Info, input: ClearTasksInput) -> ClearTasksPayload | None:
        async with info.context.writing() as session:
            await commands.clear(session, info.context.actor, project_id=input.project_id)
        return ClearTasksPayload(message="All tasks deleted")
