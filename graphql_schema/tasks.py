from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated

import strawberry
from pydantic import Field, ValidationError
from strawberry import UNSET

from db.models import Task as TaskRow
from graphql_schema.base import Node, attribute, described, narrow, service_input, shown
from graphql_schema.comments import Comment
from graphql_schema.connections import After, Before, Connection, First, Last, connect, page_request
from graphql_schema.context import Info
from graphql_schema.history import Event
from graphql_schema.ids import NodeId, parse_id
from graphql_schema.projects import Project
from graphql_schema.tags import Tag
from graphql_schema.task_lists import SearchArgument, TaskFilterArgument, TaskOrderArgument, task_query, tasks_under
from graphql_schema.users import User
from services import comments, history, node_ids, tags, users
from services.actors import Scope
from services.errors import NotFound, from_error_list
from services.idempotency import KeyText, arguments
from services.inputs import Bool, ExpectedVersion, Input, ProjectId, TaskId, absent
from services.pagination import PageRequest
from services.projects import queries as projects
from services.tasks import aggregates, commands, queries, removal
from services.tasks.aggregates import TaskCountOut, TaskGrouping
from services.tasks.models import TaskCreate, TaskOut, TaskRecord, TaskStatus, TaskUpdate
from services.tasks.queries import TaskQuery


@described(TaskOut, record=TaskRecord)
class Task(Node):
    database_id: int = attribute("id")
    ref: str
    number: int
    title: str
    description: str | None
    status: TaskStatus
    priority: int
    start_at: datetime | None
    due_at: datetime | None
    completed_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None

    @strawberry.field(description="The project that it belongs to.")
    async def project(self: TaskRecord, info: Info) -> Project:
        return shown(await info.context.load("projects", projects.by_ids, None, self.project_id))

    @strawberry.field(description="The task that it is a subtask of.")
    async def parent(self: TaskRecord, info: Info) -> Annotated["Task", strawberry.lazy("graphql_schema.tasks")] | None:
        if self.parent_id is None:
            return None
        return shown(await info.context.load("tasks", queries.by_ids, None, self.parent_id))

    @strawberry.field(description="The user who created it.")
    async def created_by(self: TaskRecord, info: Info) -> User | None:
        if self.created_by_id is None:
            return None
        return shown(await info.context.load("users", users.by_ids, None, self.created_by_id))

    @strawberry.field(description="Who is to do it.")
    async def assignees(self: TaskRecord, info: Info) -> list[User]:
        return shown(await info.context.load("task.assignees", queries.assignees, [], self.id))

    @strawberry.field(description="Its tags, by name.")
    async def tags(self: TaskRecord, info: Info) -> list[Tag]:
        return shown(await info.context.load("task.tags", tags.of_tasks, [], self.id))

    @strawberry.field(description="How many comments it has.")
    async def comment_count(self: TaskRecord, info: Info) -> int:
        return await info.context.load("task.comments.count", comments.counts, 0, self.id)

    @strawberry.field(description="Its comments, oldest first.")
    async def comments(
        self: TaskRecord,
        info: Info,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[Comment]:
        context, request, task_id = info.context, page_request(first, after, last, before), self.id
        page = await context.pages("task.comments", comments.pages, request, task_id)
        return connect(page, lambda: context.load("task.comments.count", comments.counts, 0, task_id))

    @strawberry.field(description="Its subtasks, newest first unless ordered otherwise.")
    async def subtasks(
        self: TaskRecord,
        info: Info,
        filter: TaskFilterArgument = UNSET,
        order_by: TaskOrderArgument = UNSET,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[Annotated["Task", strawberry.lazy("graphql_schema.tasks")]]:
        query, request = task_query(filter, order_by), page_request(first, after, last, before)
        return await tasks_under(info.context, TaskRow.parent_id.expression, self.id, query, request)

    @strawberry.field(description="Every change of it and of its comments, newest first.")
    async def history(
        self: TaskRecord,
        info: Info,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[Event]:
        context, request, task_id = info.context, page_request(first, after, last, before), self.id
        page = await context.pages("task.history", history.pages, request, task_id)
        return connect(page, lambda: context.load("task.history.count", history.counts, 0, task_id))


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


@described(TaskCountOut)
class TaskCount:
    key: str | None
    count: int


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
class TaskQueries:
    @strawberry.field(description="A task that the caller may read; null where there is none.")
    async def task(self, info: Info, id: NodeId) -> Task | None:
        task_id = parse_id("Task", id)
        async with info.context.reading() as session:
            try:
                return shown(await queries.get(session, info.context.actor, task_id))
            except NotFound:
                return None

    @strawberry.field(description="A task by its ref, such as WEB-12; null where there is none.")
    async def task_by_ref(
        self, info: Info, ref: Annotated[str, strawberry.argument(description="The project's key and the number.")]
    ) -> Task | None:
        async with info.context.reading() as session:
            try:
                return shown(await queries.by_ref(session, info.context.actor, ref))
            except NotFound:
                return None

    @strawberry.field(description="The caller's tasks, newest first unless ordered otherwise.")
    async def tasks(
        self,
        info: Info,
        filter: TaskFilterArgument = UNSET,
        search: SearchArgument = UNSET,
        order_by: TaskOrderArgument = UNSET,
        trashed: Annotated[bool, strawberry.argument(description="Look into the trash instead.")] = False,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[Task]:
        request = page_request(first, after, last, before)
        return await _list(info, _query(filter, order_by, search, trashed=trashed), request)

    @strawberry.field(description="How many tasks there are in each group, by key; of more than 1,000 the largest.")
    async def task_counts(
        self,
        info: Info,
        group_by: Annotated[TaskGrouping, strawberry.argument(description="What tasks are counted by.")],
        filter: TaskFilterArgument = UNSET,
        search: SearchArgument = UNSET,
        trashed: Annotated[bool, strawberry.argument(description="Look into the trash instead.")] = False,
    ) -> list[TaskCount]:
        query = _query(filter, None, search, trashed=trashed)
        async with info.context.reading() as session:
            return shown(await aggregates.count_by(session, info.context.actor, group_by, query))

    @strawberry.field(description="The tasks with these words in title, description or a comment, newest first.")
    async def search(
        self,
        info: Info,
        query: Annotated[str, strawberry.argument(description="The words as they stand, whatever the case.")],
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[Task]:
        request = page_request(first, after, last, before)
        return await _list(info, _query(None, None, query, trashed=False, argument="query"), request)


def _query(
    filter: TaskFilterArgument,
    order_by: TaskOrderArgument,
    search: str | None,
    *,
    trashed: bool,
    argument: str = "search",
) -> TaskQuery:
    try:
        return task_query(filter, order_by, search=search, trashed=trashed)
    except ValidationError as error:  # of the words alone: the filter has been checked before
        raise from_error_list({**detail, "loc": [argument]} for detail in error.errors(include_input=False)) from None


async def _list(info: Info, query: TaskQuery, request: PageRequest) -> Connection[Task]:
    context = info.context

    async def count() -> int:
        async with context.reading() as session:
            return await queries.count(session, context.actor, query)

    async with context.reading() as session:
        return connect(await queries.list_(session, context.actor, query, request), count)


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
            task = await info.context.once(
                session,
                input.idempotency_key,
                "create_task",
                TaskRecord,
                arguments(data),
                lambda: commands.create(session, info.context.actor, data),
            )
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
            task = await info.context.once(
                session,
                input.idempotency_key,
                "restore_task",
                TaskRecord,
                {"id": input.id},
                lambda: removal.restore(session, info.context.actor, input.id),
            )
        return RestoreTaskPayload(task=shown(task))

    @strawberry.mutation(
        description="Delete every task of every user, or of one project, for good. Takes a key with the scope admin."
    )
    async def clear_tasks(self, info: Info, input: ClearTasksInput) -> ClearTasksPayload | None:
        async with info.context.writing() as session:
            await commands.clear(session, info.context.actor, project_id=input.project_id)
        return ClearTasksPayload(message="All tasks deleted")


@strawberry.type
class TaskSubscriptions:
    @strawberry.subscription(description="Tasks as they are created, in projects that the caller may read.")
    async def task_created(self, info: Info) -> AsyncGenerator[Task, None]:
        context = info.context
        context.actor.require(Scope.TASKS_READ)
        async for event in context.feed.follow():
            if event.kind != "task.created":
                continue
            context.forget()
            async with context.reading() as session:
                try:
                    task = await queries.get(session, context.actor, event.entity_id)
                except NotFound:
                    continue
            yield shown(task)
