"""What the feature says of itself."""

from services.projects.duplication import MAX_MEMBERS, MAX_RELATIONS, MAX_TASKS
from services.projects.models import ProjectOut
from services.projects.queries import by_ids
from services.shared.actors import Scope
from services.shared.features import Feature, NodeType, Operation, Who

FEATURE = Feature(
    "projects",
    operations=(
        Operation("list_projects", "Query.projects", Who.ACCOUNT, Scope.TASKS_READ),
        Operation("query_projects", "Query.projects", Who.ACCOUNT, Scope.TASKS_READ),
        Operation("create_project", "Mutation.createProject", Who.ACCOUNT, Scope.PROJECTS_ADMIN, repeatable=True),
        Operation("duplicate_project", "Mutation.duplicateProject", Who.VIEWER, Scope.PROJECTS_ADMIN, repeatable=True),
        Operation("get_project", "Query.project", Who.VIEWER, Scope.TASKS_READ),
        Operation("update_project", "Mutation.updateProject", Who.ADMIN, Scope.PROJECTS_ADMIN),
        Operation("delete_project", "Mutation.deleteProject", Who.OWNER, Scope.PROJECTS_ADMIN),
        Operation("update_project_task", "Mutation.updateTask", Who.MEMBER, Scope.TASKS_WRITE),
    ),
    about="Places for tasks, and the people who share them.",
    limits={
        "tasks of a project that is made again": MAX_TASKS,
        "other members that go along": MAX_MEMBERS,
        "relations among its tasks": MAX_RELATIONS,
    },
    nodes=(NodeType("Project", by_ids, ProjectOut),),
)
