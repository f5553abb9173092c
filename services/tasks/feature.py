"""What the feature says of itself."""

from services.shared.actors import Scope
from services.shared.features import Feature, NodeType, Operation, Who
from services.tasks.models import TaskOut
from services.tasks.queries import by_ids

FEATURE = Feature(
    "tasks",
    operations=(
        Operation("list_tasks", "Query.tasks", Who.ACCOUNT, Scope.TASKS_READ),
        Operation("query_tasks", "Query.tasks", Who.ACCOUNT, Scope.TASKS_READ),
        Operation("count_tasks", "Query.taskCounts", Who.ACCOUNT, Scope.TASKS_READ),
        Operation("create_task", "Mutation.createTask", Who.MEMBER, Scope.TASKS_WRITE, repeatable=True),
        Operation("create_tasks", "Mutation.createTasks", Who.MEMBER, Scope.TASKS_WRITE, repeatable=True),
        Operation("update_tasks", "Mutation.updateTasks", Who.MEMBER, Scope.TASKS_WRITE, repeatable=True),
        Operation("delete_tasks", "Mutation.deleteTasks", Who.MEMBER, Scope.TASKS_WRITE, repeatable=True),
        Operation(
            "update_matching_tasks",
            "Mutation.updateMatchingTasks",
            Who.MATCHING_MEMBER,
            Scope.TASKS_WRITE,
            repeatable=True,
        ),
        Operation("get_task_by_ref", "Query.taskByRef", Who.VIEWER, Scope.TASKS_READ),
        Operation("get_task", "Query.task", Who.VIEWER, Scope.TASKS_READ),
        Operation("update_task", "Mutation.updateTask", Who.MEMBER, Scope.TASKS_WRITE),
        Operation("put_task", "Mutation.updateTask", Who.MEMBER, Scope.TASKS_WRITE),
        Operation("upsert_task", "Mutation.upsertTask", Who.MEMBER, Scope.TASKS_WRITE),
        Operation("duplicate_task", "Mutation.duplicateTask", Who.MEMBER, Scope.TASKS_WRITE, repeatable=True),
        Operation("move_task", "Mutation.moveTask", Who.MEMBER, Scope.TASKS_WRITE, repeatable=True),
        Operation("delete_task", "Mutation.deleteTask", Who.MEMBER, Scope.TASKS_WRITE),
        Operation("restore_task", "Mutation.restoreTask", Who.MEMBER, Scope.TASKS_WRITE, repeatable=True),
    ),
    about="What is to be done.",
    nodes=(NodeType("Task", by_ids, TaskOut),),
    schema_modules=("tasks", "task_changes", "task_bulk"),
)
