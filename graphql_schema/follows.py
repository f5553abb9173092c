import strawberry
from pydantic import Field

from graphql_schema.projects import Project
from graphql_schema.shared.base import enumeration, output_type, service_input
from graphql_schema.shared.loading import relation_field
from graphql_schema.shared.parts import Part
from graphql_schema.shared.root_fields import command_field, node_field
from graphql_schema.tasks import Task
from services import follows
from services.follows import FollowReason, ProjectFollowOut, TaskFollowOut
from services.projects import queries as projects
from services.shared.inputs import Input, ProjectId, TaskId
from services.tasks import queries as tasks

enumeration(FollowReason, "Why somebody follows a task.")


@output_type(TaskFollowOut)
class TaskFollow:
    following: bool
    reason: FollowReason | None

    task: Task = relation_field("tasks", tasks.by_ids, by="task_id", description="The task.")


@output_type(ProjectFollowOut)
class ProjectFollow:
    following: bool

    project: Project = relation_field("projects", projects.by_ids, by="project_id", description="The project.")


@service_input()
class FollowTaskInput(Input):
    """Follows a task."""

    id: TaskId = Field(description="The task.")


@service_input()
class UnfollowTaskInput(Input):
    """Follows a task no more."""

    id: TaskId = Field(description="The task.")


@service_input()
class FollowProjectInput(Input):
    """Follows a project."""

    id: ProjectId = Field(description="The project.")


@service_input()
class UnfollowProjectInput(Input):
    """Follows a project no more."""

    id: ProjectId = Field(description="The project.")


@strawberry.type
class FollowQueries:
    task_follow: TaskFollow | None = node_field(
        "Task", follows.of_task, "Whether the caller follows a task, and why; null where there is no such task."
    )
    project_follow: ProjectFollow | None = node_field(
        "Project", follows.of_project, "Whether the caller follows a project; null where there is no such project."
    )


@strawberry.type
class FollowMutations:
    follow_task = command_field(
        TaskFollow,
        follows.follow_task,
        FollowTaskInput,
        "Follow a task: be told of comments on it, and of changes of its status.",
        payload="That the caller follows the task.",
        thing="following of it",
    )
    unfollow_task = command_field(
        TaskFollow,
        follows.unfollow_task,
        UnfollowTaskInput,
        "Follow a task no more, also not for having created it, being to do it or commenting on it.",
        payload="That the caller does not follow the task.",
        thing="following of it",
    )
    follow_project = command_field(
        ProjectFollow,
        follows.follow_project,
        FollowProjectInput,
        "Follow all tasks of a project, but for those that the caller does not want to follow.",
        payload="That the caller follows the project.",
        thing="following of it",
    )
    unfollow_project = command_field(
        ProjectFollow,
        follows.unfollow_project,
        UnfollowProjectInput,
        "Follow a project no more. What the caller follows of it by itself stays followed.",
        payload="That the caller does not follow the project.",
        thing="following of it",
    )


PART = Part(queries=FollowQueries, mutations=FollowMutations)
