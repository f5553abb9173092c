"""Making a task again: as it is, with what hangs below it, to be done once more."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from db.driver.sessions import Session
from db.models import Task
from services.projects.locks import Hold, hold_of
from services.projects.models import Role
from services.projects.queries import require_writable
from services.shared.actors import Actor, Scope
from services.shared.errors import Conflict, NotFound
from services.shared.idempotency import repeatable, while_readable
from services.tasks import attachments
from services.tasks.creation import NewTask, insert_tasks
from services.tasks.models import MAX_DRAFTS, TaskCreate, TaskDuplicate, TaskRecord, TaskStatus
from services.tasks.queries import get
from services.tasks.references import members_among, named_by
from services.tasks.visibility import live, visible


@repeatable("task.duplicate", scope=Scope.TASKS_WRITE, read=while_readable(get))
async def duplicate(session: Session, actor: Actor, task_id: int, data: TaskDuplicate) -> TaskRecord:
    """Make a task again beside itself, with the subtasks that are not in the trash unless told otherwise.

    Title, description, priority, dates, milestone, tags and assignees go along; all are pending. What is said of a
    task does not: comments, history, relations, external ids. Raises ``NotFound``, ``Forbidden``, and ``Conflict``
    where there are more than ``MAX_DRAFTS`` tasks.
    """
    actor.require(Scope.TASKS_WRITE)
    session.takes_long()
    while True:
        projects = await hold_of(session, actor, [task_id], Hold.IN_TURN)
        task = await session.first(visible(actor).where(Task.id == task_id))
        if task is None:
            raise NotFound("Task")
        if task.project_id in projects:
            break  # else it was moved a moment ago
    project = projects[task.project_id]
    require_writable(project, Role.MEMBER)
    tree = select(Task.id).where(Task.id == task_id).cte("tree", recursive=True)
    if data.subtasks:
        tree = tree.union(select(Task.id).join(tree, Task.parent_id == tree.c.id).where(live()))
    rows = await session.all(
        visible(actor).where(Task.id.in_(select(tree.c.id))).order_by(Task.number).limit(MAX_DRAFTS + 1)
    )
    if len(rows) > MAX_DRAFTS:
        raise Conflict(f"The task has more than {MAX_DRAFTS - 1} subtasks, which is as many as are made again at once")
    values: dict[int, dict[str, Any]] = {row.id: TaskRecord._make(row).fields() for row in rows}
    await attachments.read_into(session, values, assigned=values, tagged=values)
    assigned = {user_id for each in values.values() for user_id in each["assignee_ids"]}
    members = (await members_among(session, [project.id], assigned))[project.id] if assigned else set()
    below: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for each in values.values():
        each["assignee_ids"] = [user_id for user_id in each["assignee_ids"] if user_id in members]
        if each["id"] != task_id:
            below[each["parent_id"]].append(each)
    first = values[task_id] | data.sent()
    [made] = await insert_tasks(session, actor, project, [_again(first, task.parent_id)])
    level = [(made.id, each) for each in below[task_id]]
    while level:
        new = [_again(each, parent_id) for parent_id, each in level]
        tasks = await insert_tasks(session, actor, project, new)
        level = [(copy.id, each) for copy, (_, one) in zip(tasks, level, strict=True) for each in below[one["id"]]]
    return made


def _again(values: Mapping[str, Any], parent_id: int | None) -> NewTask:
    data = TaskCreate.model_construct(
        **{name: values[name] for name in _COPIED}, status=TaskStatus.PENDING, external_source=None, external_id=None
    )
    return NewTask(data, parent_id, named=named_by(data))


_COPIED = (
    *("title", "description", "priority", "start_at", "start_on", "due_at", "due_on", "milestone_id"),
    *("project_id", "parent_id", "assignee_ids", "tags"),
)
