"""Many tasks in one mutation."""

import strawberry
from pydantic import Field

from graphql_schema.execution.errors import camel_message, camel_names, camel_pointer
from graphql_schema.shared.base import as_output, attribute, enumeration, output_type, service_input, to_service_input
from graphql_schema.shared.context import Info
from graphql_schema.shared.parts import Part
from graphql_schema.shared.prices import Price, inside, items, listed, priced
from graphql_schema.shared.recurrences import RECURRENCE
from graphql_schema.task_changes import TaskReminderInput
from graphql_schema.task_lists import TaskFilter
from graphql_schema.tasks import Task
from services.shared.errors import Problem
from services.shared.idempotency import KeyText
from services.shared.inputs import absent
from services.shared.prices import WRITE, of_matching, of_tasks
from services.tasks import bulk, bulk_models, filters
from services.tasks.bulk_models import (
    BulkCreate,
    BulkDelete,
    BulkDeleteItem,
    BulkErrorOut,
    BulkOut,
    BulkProblemOut,
    BulkRecord,
    BulkResultOut,
    BulkUpdate,
    BulkUpdateItem,
    BulkUpdateMatching,
)
from services.tasks.models import TaskCreate, TaskUpdate
from services.tasks.reminders import ReminderCreate

enumeration(
    bulk_models.BulkMode,
    "What becomes of a call when one of its tasks is refused.",
    ATOMIC="All or nothing: the call is refused.",
    PARTIAL="Each task for itself.",
    UPSERT="When creating: those that their external ids stand for are changed; all or nothing.",
    UPSERT_PARTIAL="As UPSERT, each task for itself.",
)
enumeration(
    bulk_models.BulkOutcome,
    "What was done with a task of a bulk call.",
    CREATED="It is new.",
    UPDATED="It was changed.",
    UNCHANGED="It was so already: nothing was written.",
    DELETED="It went to the trash.",
    REFUSED="Nothing: the error says why.",
)


@service_input({**RECURRENCE, ReminderCreate: TaskReminderInput})
class BulkCreateItemInput(TaskCreate): ...


@service_input(RECURRENCE)
class BulkUpdateItemInput(BulkUpdateItem): ...


@service_input()
class BulkDeleteItemInput(BulkDeleteItem): ...


@service_input(RECURRENCE)
class TaskChangesInput(TaskUpdate): ...


@output_type(BulkProblemOut)
class BulkProblem:
    @strawberry.field(description="Where, as a JSON Pointer (RFC 6901) into the task's part of the call.")
    def pointer(self) -> str:
        return camel_pointer(self.pointer)

    @strawberry.field(description="What is wrong.")
    def detail(self) -> str:
        return camel_names(self.detail)

    type: str


@output_type(BulkErrorOut)
class BulkError:
    code: str

    @strawberry.field(description="What happened.")
    def message(self) -> str:
        problems = [Problem(item.pointer, item.detail, item.type) for item in self.errors]
        return camel_message(self.message, problems)

    errors: list[BulkProblem] = listed(bulk_models.MAX_ERRORS, row=0)
    current_version: int | None


@output_type(BulkResultOut)
class BulkTaskResult:
    position: int

    task_id: strawberry.ID | None = attribute(
        "node_id", description="The global id of the task; null for one that was not created."
    )

    version: int | None
    outcome: bulk_models.BulkOutcome | None
    error: BulkError | None = strawberry.field(metadata=priced(Price(row=0)))
    task: Task | None


@output_type(BulkOut)
class CreateTasksPayload:
    applied: bool
    succeeded: int
    failed: int
    results: list[BulkTaskResult] = listed(bulk_models.MAX_ITEMS, bulk=True, row=0)


@output_type(BulkOut)
class UpdateTasksPayload(CreateTasksPayload): ...


@output_type(BulkOut)
class DeleteTasksPayload(CreateTasksPayload): ...


@output_type(BulkOut)
class UpdateMatchingTasksPayload(CreateTasksPayload):
    results: list[BulkTaskResult] = listed(bulk_models.MAX_MATCHING, bulk=True, row=0, without=frozenset({"task"}))


@service_input({TaskCreate: BulkCreateItemInput})
class CreateTasksInput(BulkCreate):
    """Creates up to 1,000 tasks; with an upsert, changes those that their external ids stand for already."""

    idempotency_key: KeyText | None = Field(default_factory=absent)


@service_input({BulkUpdateItem: BulkUpdateItemInput})
class UpdateTasksInput(BulkUpdate):
    """Changes up to 1,000 tasks, each in its own way."""

    idempotency_key: KeyText | None = Field(default_factory=absent)


@service_input({BulkDeleteItem: BulkDeleteItemInput})
class DeleteTasksInput(BulkDelete):
    """Moves up to 1,000 tasks and their subtasks to the trash."""

    idempotency_key: KeyText | None = Field(default_factory=absent)


@service_input({TaskUpdate: TaskChangesInput, filters.TaskFilter: TaskFilter})
class UpdateMatchingTasksInput(BulkUpdateMatching):
    """Changes all tasks that meet a filter in the same way, up to 10,000."""

    idempotency_key: KeyText | None = Field(default_factory=absent)


async def _run(
    info: Info, data: BulkCreate | BulkUpdate | BulkDelete | BulkUpdateMatching, key: str | None
) -> BulkRecord:
    context = info.context
    async with context.writing() as session:
        return await context.run_once(key, lambda call: bulk.run(session, context.actor, call, data))


_TASKS = priced(
    Price(
        call=WRITE,
        arguments={"input": inside("tasks", price=of_tasks)},
        sized_by=items("input", "tasks", at_most=bulk_models.MAX_ITEMS),
    )
)
_MATCHING = priced(
    Price(
        arguments={"input": inside("filter", price=of_matching)},
        sized_by=("input", lambda _: bulk_models.MAX_MATCHING),
    )
)


@strawberry.type
class TaskBulkMutations:
    @strawberry.mutation(
        description="Create up to 1,000 tasks, or with an upsert bring them up to date: all, or each for itself.",
        metadata=_TASKS,
    )
    async def create_tasks(self, info: Info, input: CreateTasksInput) -> CreateTasksPayload | None:
        return as_output(await _run(info, to_service_input(BulkCreate, input), input.idempotency_key))

    @strawberry.mutation(
        description="Change up to 1,000 tasks, each in its own way; fields that are left out stay as they are.",
        metadata=_TASKS,
    )
    async def update_tasks(self, info: Info, input: UpdateTasksInput) -> UpdateTasksPayload | None:
        return as_output(await _run(info, to_service_input(BulkUpdate, input), input.idempotency_key))

    @strawberry.mutation(description="Move up to 1,000 tasks and their subtasks to the trash.", metadata=_TASKS)
    async def delete_tasks(self, info: Info, input: DeleteTasksInput) -> DeleteTasksPayload | None:
        return as_output(await _run(info, to_service_input(BulkDelete, input), input.idempotency_key))

    @strawberry.mutation(
        description="Change all tasks that meet a filter in the same way, up to 10,000, in the order of their ids.",
        metadata=_MATCHING,
    )
    async def update_matching_tasks(
        self, info: Info, input: UpdateMatchingTasksInput
    ) -> UpdateMatchingTasksPayload | None:
        data = to_service_input(BulkUpdateMatching, input)
        return as_output(await _run(info, data, input.idempotency_key))


PART = Part(mutations=TaskBulkMutations)
