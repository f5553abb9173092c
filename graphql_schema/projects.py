from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry import UNSET

from db.models import Task as TaskRow
from graphql_schema.members import Member
from graphql_schema.shared.base import FieldDeclaration, Node, attribute, output_type, service_input
from graphql_schema.shared.conditions import filter_argument
from graphql_schema.shared.connections import (
    After,
    Before,
    Connection,
    First,
    Last,
    none_if_unset,
    page_request,
)
from graphql_schema.shared.context import Info
from graphql_schema.shared.external_ids import ExternalIdArgument, ExternalSourceArgument, with_external
from graphql_schema.shared.loading import PAGED, connection_field, filtered_list_field
from graphql_schema.shared.parts import Part
from graphql_schema.shared.prices import Price, inside, priced
from graphql_schema.shared.root_fields import create_field, delete_field, listed, node_field, update_field
from graphql_schema.tags import Tag
from graphql_schema.task_lists import nested_tasks
from services import members, tags
from services.members import MemberFilter
from services.projects import commands, duplication, queries
from services.projects.duplication import ProjectDuplicate
from services.projects.models import ProjectCreate, ProjectFilter, ProjectOut, ProjectRecord, ProjectUpdate, Role
from services.shared.inputs import ProjectId
from services.shared.prices import CHANGE, WRITE, of_tasks
from services.tags import TagFilter
from services.tasks.models import TaskDraft

if TYPE_CHECKING:
    from graphql_schema.tasks import Task


@output_type(ProjectOut, record=ProjectRecord)
class Project(Node):
    database_id: int = attribute("id")
    key: str
    name: str
    description: str | None
    is_inbox: bool
    role: Role
    external_source: str | None
    external_id: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None

    tags: list[Tag] = filtered_list_field(
        "project.tags", tags.of_projects, TagFilter, description="Its tags, by name.", rows=tags.MAX_TAGS
    )
    members: Connection[Member] = connection_field(
        "project.members", members.pages, members.counts, MemberFilter, description="The people in it, by account id."
    )
    tasks: Connection[Annotated["Task", strawberry.lazy("graphql_schema.tasks")]] = nested_tasks(
        TaskRow.project_id.expression, description="Its tasks, newest first unless ordered otherwise."
    )


@service_input()
class TaskDraftInput(TaskDraft): ...


def _projects(description: str) -> FieldDeclaration:
    async def resolve(
        info: Info,
        archived: Annotated[
            bool | None, strawberry.argument(description="Only archived projects (true), or only active ones (false).")
        ] = UNSET,
        external_source: ExternalSourceArgument = UNSET,
        external_id: ExternalIdArgument = UNSET,
        filter: Any = UNSET,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> object:
        conditions = [] if none_if_unset(archived) is None else [{"archived": archived}]
        which = with_external(ProjectFilter, none_if_unset(filter), external_source, external_id, conditions)
        request = page_request(first, after, last, before)
        return await listed(info.context, queries.list_, queries.count, which, request)

    # the class's own annotation is the field's type
    resolve.__annotations__.pop("return")
    resolve.__annotations__["filter"] = filter_argument(ProjectFilter)
    return strawberry.field(resolver=resolve, description=description, metadata=priced(PAGED))


@strawberry.type
class ProjectQueries:
    project: Project | None = node_field(
        "Project", queries.get, "A project that the caller is a member of; null where there is none."
    )

    projects: Connection[Project] = _projects("The caller's projects, oldest first: the Inbox leads.")


@strawberry.type
class ProjectMutations:
    create_project = create_field(
        Project,
        commands.create,
        ProjectCreate,
        "Create a project that the caller owns, with its tasks and subtasks if wanted: all or nothing.",
        nested={TaskDraft: TaskDraftInput},
        price=Price(call=WRITE, arguments={"input": inside("tasks", price=of_tasks)}),
        telling=True,
    )
    update_project = update_field(
        Project,
        commands.update,
        ProjectUpdate,
        "Change a project; fields that are left out stay as they are.",
        id=ProjectId,
    )
    duplicate_project = create_field(
        Project,
        duplication.duplicate,
        ProjectDuplicate,
        "Make a project again, which the caller owns: its tags, milestones and tasks, all pending, with the relations "
        "among them; if wanted, with its people.",
        verb="Duplicate",
        price=Price(call=WRITE + duplication.MAX_TASKS * CHANGE),
        telling=True,
        id=(ProjectId, "The project."),
    )
    delete_project = delete_field(
        Project,
        commands.delete,
        ProjectId,
        "Delete a project with all it holds, for good. Only its owners may.",
        telling=True,
    )


PART = Part(queries=ProjectQueries, mutations=ProjectMutations)
