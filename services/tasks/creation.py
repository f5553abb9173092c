"""Creating tasks: any number of them in the same statements."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import String, insert
from sqlalchemy import update as sql_update

from core import turns
from core.clock import now
from db.models import Project, Task, TaskAssignee, TaskTag, TaskText
from db.sessions import Session
from db.statements import Prepared
from services import events, tags
from services.actors import Actor, Scope
from services.errors import BadUserInput, Conflict, NotFound, TandemError
from services.node_ids import MAX_DATABASE_ID
from services.prepared import parameter
from services.projects import queries as projects
from services.projects.locks import Hold, hold
from services.projects.models import ProjectRecord, Role
from services.tasks.changes import check_assignees, members_among
from services.tasks.models import MAX_DRAFTS, MAX_SUBTASK_DEPTH, TaskCreate, TaskDraft, TaskRecord, TaskStatus
from services.tasks.texts import fold_text
from services.tasks.trees import check_new_parents
from services.writing import write_all


class NewTask(NamedTuple):
    """A task to be inserted, below another or none; ``pointer`` says where in the body it is."""

    data: TaskCreate | TaskDraft
    parent_id: int | None
    pointer: str = ""


async def create_each(session: Session, actor: Actor, items: Sequence[TaskCreate]) -> list[TaskRecord | TandemError]:
    """Create tasks; each answers itself, or why it could not be created, whatever becomes of the others."""
    actor.require(Scope.TASKS_WRITE)
    inbox = None
    if any(item.project_id is None for item in items):
        inbox = await projects.inbox_id(session, actor)
    places: list[int] = [item.project_id or inbox or 0 for item in items]
    found = await hold(session, actor, set(places), Hold.IN_TURN)
    members = await members_among(session, found.keys(), {user_id for item in items for user_id in item.assignee_ids})
    outcomes: dict[int, TaskRecord | TandemError] = {}
    accepted: dict[int, list[int]] = defaultdict(list)
    below = {(place, item.parent_id) for item, place in zip(items, places, strict=True) if item.parent_id is not None}
    refused = await check_new_parents(session, actor, below) if below else {}
    pace = turns.Pace()
    for index, (item, place) in enumerate(zip(items, places, strict=True)):
        if pace.due():
            await turns.give()
        try:
            if place not in found:
                raise NotFound("Project")
            projects.require_writable(found[place], Role.MEMBER)
            if item.parent_id is not None and (refusal := refused.get((place, item.parent_id))) is not None:
                raise refusal
            check_assignees(members[place], item.assignee_ids)
        except TandemError as error:
            outcomes[index] = error
        else:
            accepted[place].append(index)
    for place, indexes in sorted(accepted.items()):
        new = [NewTask(items[index], items[index].parent_id) for index in indexes]
        try:
            outcomes |= zip(indexes, await insert_tasks(session, actor, found[place], new), strict=True)
        except Conflict as error:  # before anything is written
            outcomes |= dict.fromkeys(indexes, error)
    return [outcomes[index] for index in range(len(items))]


async def create_drafts(
    session: Session, actor: Actor, project: ProjectRecord, drafts: Sequence[TaskDraft], *, pointer: str
) -> int:
    """Create tasks with their subtasks, a level at a time. Returns how many. Raises ``BadUserInput``, ``NotFound``."""
    level = [NewTask(draft, None, f"{pointer}/{index}") for index, draft in enumerate(drafts)]
    if drafts:
        actor.require(Scope.TASKS_WRITE)
    total = 0
    for _ in range(MAX_SUBTASK_DEPTH + 1):
        if not level:
            return total
        total += len(level)
        if total > MAX_DRAFTS:
            raise BadUserInput.at(pointer, f"more than {MAX_DRAFTS} tasks in one request")
        wanted = {user_id for item in level for user_id in item.data.assignee_ids}
        members = (await members_among(session, [project.id], wanted))[project.id] if wanted else set()
        for item in level:
            check_assignees(members, item.data.assignee_ids, pointer=f"{item.pointer}/assignee_ids")
        tasks = await insert_tasks(session, actor, project, level)
        level = [
            NewTask(subtask, task.id, f"{item.pointer}/subtasks/{index}")
            for item, task in zip(level, tasks, strict=True)
            if isinstance(item.data, TaskDraft)
            for index, subtask in enumerate(item.data.subtasks)
        ]
    if level:
        raise BadUserInput.at(pointer, f"subtasks nest at most {MAX_SUBTASK_DEPTH} deep")
    return total


async def insert_tasks(
    session: Session, actor: Actor, project: ProjectRecord, items: Sequence[NewTask]
) -> Sequence[TaskRecord]:
    """Insert checked tasks and what hangs on them. Returns them in order.

    Raises ``Conflict``, before anything is written, where the project has no numbers or no tags left for them.
    """
    names = [name for item in items for name in item.data.tags]
    known = await tags.find(session, project, names)
    last = await session.scalar(_NUMBERS(place=project.id, new=len(items), most=MAX_DATABASE_ID - len(items)))
    if last is None:
        raise Conflict(f"The project {project.key} has no number left for another task")
    moment = now()
    first = last - len(items) + 1
    numbers = range(first, last + 1)
    rows = [
        _row(item.data, actor, moment, project, number, item.parent_id)
        for number, item in zip(numbers, items, strict=True)
    ]
    # in any order: SQLite promises none
    tasks = sorted(await session.all(_TASKS, rows), key=_number_of)
    pairs = [(task.id, item.data) for task, item in zip(tasks, items, strict=True)]
    await session.write(
        _TEXTS,
        [
            {"task_id": id_, "folded": fold_text(f"{data.title}\n{data.description or ''}"), "project_id": project.id}
            for id_, data in pairs
        ],
    )
    assignments = [{"task_id": id_, "user_id": user} for id_, data in pairs for user in sorted(set(data.assignee_ids))]
    await write_all(session, _ASSIGN, assignments)
    tag_ids = await tags.ensure(session, actor, project, names, known)
    links: list[dict[str, int]] = []
    pace = turns.Pace()
    for id_, data in pairs:
        if pace.due():
            await turns.give()
        folded = dict.fromkeys(map(tags.fold, data.tags))
        links += ({"task_id": id_, "tag_id": tag_ids[name]} for name in folded)
    await write_all(session, _LABEL, links)
    new = []
    pace = turns.Pace()
    for offset, (id_, data) in enumerate(pairs):
        if pace.due():
            await turns.give()
        values = {name: getattr(data, name) for name in _RECORDED}
        values |= {"number": first + offset, "parent_id": items[offset].parent_id}
        new.append(
            events.NewEvent(
                "task.created",
                "task",
                id_,
                events.created(values),
                version=1,
                project_id=project.id,
                task_id=id_,
            )
        )
    await events.record(session, actor, *new)
    return tasks


_ASSIGN: Prepared[Any] = Prepared(insert(TaskAssignee), keys=("task_id", "user_id"))
_LABEL: Prepared[Any] = Prepared(insert(TaskTag), keys=("task_id", "tag_id"))
_NUMBERS: Prepared[Any] = Prepared(
    sql_update(Project)
    .where(Project.id == parameter("place"), Project.last_number <= parameter("most"))
    .values(last_number=Project.last_number + parameter("new"))
    .returning(Project.last_number)
)
_TASKS = Prepared(
    insert(Task).returning(
        *(parameter(name, String) if name == "project_key" else getattr(Task, name) for name in TaskRecord._fields)
    ),
    TaskRecord,
    keys=(
        "project_id",
        "number",
        "title",
        "description",
        "status",
        "priority",
        "start_at",
        "due_at",
        "completed_at",
        "parent_id",
        "created_by_id",
        "created_at",
        "updated_at",
    ),
)
_RECORDED = tuple(name for name in TaskDraft.model_fields if name != "subtasks")
"""What the event of a task's making tells of it, beside its number and its parent."""
_number_of = attrgetter("number")
_TEXTS: Prepared[Any] = Prepared(insert(TaskText), keys=("task_id", "folded", "project_id"))


def _row(
    data: TaskCreate | TaskDraft,
    actor: Actor,
    moment: datetime,
    project: ProjectRecord,
    number: int,
    parent_id: int | None,
) -> dict[str, Any]:
    return {
        "project_id": project.id,
        "project_key": project.key,
        "number": number,
        "title": data.title,
        "description": data.description,
        "status": data.status.value,
        "priority": data.priority,
        "start_at": data.start_at,
        "due_at": data.due_at,
        "completed_at": moment if data.status is TaskStatus.COMPLETED else None,
        "parent_id": parent_id,
        "created_by_id": actor.user_id,
        "created_at": moment,
        "updated_at": moment,
    }
