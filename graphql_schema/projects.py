from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from pydantic import Field
from strawberry import UNSET

from db.models import Task as TaskRow
from graphql_schema.base import Node, attribute, described, narrow, service_input, shown
from graphql_schema.connections import After, Before, Connection, First, Last, connect, given, page_request
from graphql_schema.context import Info
from graphql_schema.ids import NodeId, parse_id
from graphql_schema.loading import PAGED, loaded, paged
from graphql_schema.members import Member
from graphql_schema.prices import Price, inside, priced
from graphql_schema.tags import Tag
from graphql_schema.task_lists import tasks_under
from services import members, node_ids, probes, tags
from services.errors import NotFound
from services.idempotency import KeyText
from services.inputs import ExpectedVersion, Input, ProjectId, absent
from services.prices import WRITE, of_tasks
from services.projects import commands, queries
from services.projects.models import ProjectCreate, ProjectOut, ProjectRecord, ProjectUpdate, Role
from services.tasks.models import TaskDraft

if TYPE_CHECKING:
    from graphql_schema.tasks import Task


@described(ProjectOut, record=ProjectRecord)
class Project(Node):
    database_id: int = attribute("id")
    key: str
    name: str
    description: str | None
    is_inbox: bool
    role: Role
    version: int
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None

    tags: list[Tag] = loaded(
        "project.tags", tags.of_projects, default=[], description="Its tags, by name.", rows=tags.MAX_TAGS
    )
    members: Connection[Member] = paged(
        "project.members", members.pages, members.counts, description="The people in it, by account id."
    )
    tasks: Connection[Annotated["Task", strawberry.lazy("graphql_schema.tasks")]] = tasks_under(
        TaskRow.project_id.expression, description="Its tasks, newest first unless ordered otherwise."
    )


service_input("TaskDraftInput")(TaskDraft)


@service_input()
class CreateProjectInput(ProjectCreate):
    """Creates a project that the caller owns, with its tasks if wanted."""

    idempotency_key: KeyText | None = Field(default_factory=absent)


@service_input()
class UpdateProjectInput(ProjectUpdate):
    """Changes a project. Fields that are left out stay as they are."""

    id: ProjectId = Field(description="The project.")
    expected_version: ExpectedVersion | None = Field(default_factory=absent)


@strawberry.type(description="The new project.")
class CreateProjectPayload:
    project: Project = strawberry.field(description="The project.")


@strawberry.type(description="The project after the change.")
class UpdateProjectPayload:
    project: Project = strawberry.field(description="The project.")


@service_input()
class DeleteProjectInput(Input):
    """Deletes a project."""

    id: ProjectId = Field(description="The id.")
    expected_version: ExpectedVersion | None = Field(default_factory=absent)


@strawberry.type(description="The project that was deleted.")
class DeleteProjectPayload:
    deleted_project_id: strawberry.ID = strawberry.field(description="The id of the project.")


@strawberry.type
class ProjectQueries:
    @strawberry.field(description="A project that the caller is a member of; null where there is none.")
    async def project(self, info: Info, id: NodeId) -> Project | None:
        project_id = parse_id("Project", id)
        async with info.context.reading() as session:
            try:
                return shown(await queries.get(session, info.context.actor, project_id))
            except NotFound:
                return None

    @strawberry.field(description="The caller's projects, oldest first: the Inbox leads.", metadata=priced(PAGED))
    async def projects(
        self,
        info: Info,
        archived: Annotated[
            bool | None, strawberry.argument(description="Only archived projects (true), or only active ones (false).")
        ] = UNSET,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[Project]:
        context, request, kind = info.context, page_request(first, after, last, before), given(archived)

        async def count() -> int:
            async with context.reading() as session:
                return await queries.count(session, context.actor, archived=kind)

        async with context.reading() as session:
            return connect(await queries.list_(session, context.actor, request, archived=kind), count)


@strawberry.type
class ProjectMutations:
    @strawberry.mutation(
        description="Create a project that the caller owns, with its tasks and subtasks if wanted: all or nothing.",
        metadata=priced(Price(call=WRITE, arguments={"input": inside("tasks", price=of_tasks)})),
    )
    async def create_project(
        self,
        info: Info,
        input: CreateProjectInput,
    ) -> CreateProjectPayload | None:
        data = narrow(ProjectCreate, input)
        context = info.context
        async with probes.bounded(context.security.limits, context.actor), context.writing() as session:
            project = await context.once(session, input.idempotency_key, commands.create, data)
        return CreateProjectPayload(project=shown(project))

    @strawberry.mutation(description="Change a project; fields that are left out stay as they are.")
    async def update_project(self, info: Info, input: UpdateProjectInput) -> UpdateProjectPayload | None:
        async with info.context.writing() as session:
            project = await commands.update(
                session,
                info.context.actor,
                input.id,
                narrow(ProjectUpdate, input),
                expected_version=input.expected_version,
            )
        return UpdateProjectPayload(project=shown(project))

    @strawberry.mutation(description="Delete a project with all it holds, for good. Only its owners may.")
    async def delete_project(self, info: Info, input: DeleteProjectInput) -> DeleteProjectPayload | None:
        async with info.context.writing() as session:
            await commands.delete(session, info.context.actor, input.id, expected_version=input.expected_version)
        return DeleteProjectPayload(deleted_project_id=strawberry.ID(node_ids.encode("Project", input.id)))
