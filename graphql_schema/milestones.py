from datetime import datetime

import strawberry

from db.models import Task as TaskRow
from graphql_schema.projects import Project
from graphql_schema.shared.base import Node, attribute, enumeration, output_type
from graphql_schema.shared.connections import Connection
from graphql_schema.shared.loading import connection_field, relation_field
from graphql_schema.shared.parts import Part
from graphql_schema.shared.root_fields import create_field, delete_field, node_field, update_field
from graphql_schema.task_lists import nested_tasks
from graphql_schema.tasks import Task
from services import milestones
from services.milestones import (
    MilestoneCreate,
    MilestoneFilter,
    MilestoneOut,
    MilestoneRecord,
    MilestoneState,
    MilestoneUpdate,
)
from services.projects import queries as projects
from services.shared.inputs import ProjectId
from services.tasks.models import MilestoneId

enumeration(MilestoneState, "Whether a milestone is still worked towards.")


@output_type(MilestoneOut, record=MilestoneRecord)
class Milestone(Node):
    database_id: int = attribute("id")
    name: str
    description: str | None
    due_at: datetime | None
    state: MilestoneState
    version: int
    created_at: datetime
    updated_at: datetime

    project: Project = relation_field(
        "projects", projects.by_ids, by="project_id", description="The project that it belongs to."
    )
    tasks: Connection[Task] = nested_tasks(
        TaskRow.milestone_id.expression, description="The tasks that name it, newest first unless ordered otherwise."
    )


@strawberry.type
class ProjectMilestones:
    milestones: Connection[Milestone] = connection_field(
        "project.milestones",
        milestones.pages,
        milestones.counts,
        MilestoneFilter,
        description="Its milestones, oldest first.",
    )


@strawberry.type
class TaskMilestone:
    milestone: Milestone | None = relation_field(
        "milestones", milestones.by_ids, by="milestone_id", description="The milestone that it counts towards."
    )


@strawberry.type
class MilestoneQueries:
    milestone: Milestone | None = node_field(
        "Milestone", milestones.get, "A milestone of a project that the caller may read; null where there is none."
    )


@strawberry.type
class MilestoneMutations:
    create_milestone = create_field(
        Milestone, milestones.create, MilestoneCreate, "Create a milestone in a project.", project_id=ProjectId
    )
    update_milestone = update_field(
        Milestone,
        milestones.update,
        MilestoneUpdate,
        "Change a milestone; fields that are left out stay as they are.",
        id=MilestoneId,
    )
    delete_milestone = delete_field(
        Milestone, milestones.delete, MilestoneId, "Delete a milestone, and take it off its tasks."
    )


PART = Part(
    queries=MilestoneQueries,
    mutations=MilestoneMutations,
    extends={Project: ProjectMilestones, Task: TaskMilestone},
)
