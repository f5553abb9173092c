"""Many tasks in one mutation."""

from typing import Any

import strawberry
from pydantic import Field

from graphql_schema.base import attribute, described, enumeration, narrow, service_input, shown
from graphql_schema.context import Info
from graphql_schema.errors import camel_pointer
from graphql_schema.prices import Price, inside, items, listed, priced
from graphql_schema.tasks import Task
from services.idempotency import KeyText
from services.inputs import absent
from services.prices import WRITE, of_matching, of_tasks
from services.tasks import bulk, bulk_models
from services.tasks.bulk_models import (
    BulkCreate,
    BulkDelete,
    BulkDeleteItem,
    BulkErrorOut,
    BulkOut,
    BulkProblemOut,
    BulkResultOut,
    BulkUpdate,
    BulkUpdateItem,
    BulkUpdateMatching,
)
from services.tasks.models import TaskCreate, TaskUpdate

enumeration(
    bulk_models.BulkMode,
    "What becomes of a call when one of its tasks is refused.",
    ATOMIC="All or nothing: the call is refused.",
    PARTIAL="Each task for itself.",
)
service_input("BulkCreateItemInput")(TaskCreate)
service_input("BulkUpdateItemInput")(BulkUpdateItem)
service_input("BulkDeleteItemInput")(BulkDeleteItem)
service_input("TaskChangesInput")(TaskUpdate)


@described(BulkProblemOut)
class BulkProblem:
    @strawberry.field(description="Where, as a JSON Pointer (RFC 6901) into the task's part of the call.")
    def pointer(self) -> str:
        return camel_pointer(self.pointer)

    detail: str
    type: str


@described(BulkErrorOut)
class BulkError:
    code: str
    message: str
    errors: list[BulkProblem] = listed(bulk_models.MAX_ERRORS, row=0)
    current_version: int | None


@described(BulkResultOut)
class BulkTaskResult:
    position: int

    task_id: strawberry.ID | None = attribute(
        "node_id", description="The global id of the task; null for one that was not created."
    )

    version: int | None
    error: BulkError | None = strawberry.field(metadata=priced(Price(row=0)))
    task: Task | None


@described(BulkOut)
class CreateTasksPayload:
    applied: bool
    succeeded: int
    failed: int
    results: list[BulkTaskResult] = listed(bulk_models.MAX_ITEMS, bulk=True, row=0)


@described(BulkOut)
class UpdateTasksPayload:
    applied: bool
    succeeded: int
    failed: int
    results: list[BulkTaskResult] = listed(bulk_models.MAX_ITEMS, bulk=True, row=0)


@described(BulkOut)
class DeleteTasksPayload:
    applied: bool
    succeeded: int
    failed: int
    results: list[BulkTaskResult] = listed(bulk_models.MAX_ITEMS, bulk=True, row=0)


@described(BulkOut)
class UpdateMatchingTasksPayload:
    applied: bool
    succeeded: int
    failed: int
    results: list[BulkTaskResult] = listed(bulk_models.MAX_MATCHING, bulk=True, row=0, without=frozenset({"task"}))


@service_input()
class CreateTasksInput(BulkCreate):
    """Creates up to 1,000 tasks."""

    idempotency_key: KeyText | None = Field(default_factory=absent)


@service_input()
class UpdateTasksInput(BulkUpdate):
    """Changes up to 1,000 tasks, each in its own way."""

    idempotency_key: KeyText | None = Field(default_factory=absent)


@service_input()
class DeleteTasksInput(BulkDelete):
    """Moves up to 1,000 tasks and their subtasks to the trash."""

    idempotency_key: KeyText | None = Field(default_factory=absent)


@service_input()
class UpdateMatchingTasksInput(BulkUpdateMatching):
    """Changes all tasks that meet a filter in the same way, up to 10,000."""

    idempotency_key: KeyText | None = Field(default_factory=absent)


async def _run(info: Info, data: BulkCreate | BulkUpdate | BulkDelete | BulkUpdateMatching, key: str | None) -> Any:
    context = info.context
    async with context.writing() as session:
        return shown(await context.carry_out(key, lambda call: bulk.run(session, context.actor, call, data)))


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
    @strawberry.mutation(description="Create up to 1,000 tasks: all or nothing, or each for itself.", metadata=_TASKS)
    async def create_tasks(self, info: Info, input: CreateTasksInput) -> CreateTasksPayload | None:
        return await _run(info, narrow(BulkCreate, input), input.idempotency_key)

    @strawberry.mutation(
        description="Change up to 1,000 tasks, each in its own way; fields that are left out stay as they are.",
        metadata=_TASKS,
    )
    async def update_tasks(self, info: Info, input: UpdateTasksInput) -> UpdateTasksPayload | None:
        return await _run(info, narrow(BulkUpdate, input), input.idempotency_key)

    @strawberry.mutation(description="Move up to 1,000 tasks and their subtasks to the trash.", metadata=_TASKS)
    async def delete_tasks(self, info: Info, input: DeleteTasksInput) -> DeleteTasksPayload | None:
        return await _run(info, narrow(BulkDelete, input), input.idempotency_key)

    @strawberry.mutation(
        description="Change all tasks that meet a filter in the same way, up to 10,000, in the order of their ids.",
        metadata=_MATCHING,
    )
    async def update_matching_tasks(
        self, info: Info, input: UpdateMatchingTasksInput
    ) -> UpdateMatchingTasksPayload | None:
        data = narrow(BulkUpdateMatching, input)
        return await _run(info, data, input.idempotency_key)
