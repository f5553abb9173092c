"""The rows of new tasks, however many, in the same statements: for tasks that are created and for those brought in."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple, Protocol

from sqlalchemy import String, insert, literal_column, select, update

from core import turns
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.models import Project, Task, TaskAssignee, TaskTag, TaskText
from db.models.tasks import OF_PROJECT
from services.projects.locks import IN_TURN
from services.projects.models import Role
from services.shared.actors import Actor
from services.shared.bulk_writing import write_all
from services.shared.node_ids import MAX_DATABASE_ID
from services.shared.statements import parameter
from services.tasks.dates import ALL_DAY, Dated, stored
from services.tasks.listing.texts import fold_text
from services.tasks.models import TaskRecord, TaskStatus
from services.tasks.references import NOTHING


class TaskValues(Dated, Protocol):
    """What a task says of itself: of a caller's input, or of another system's record."""

    @property
    def title(self) -> str: ...

    @property
    def description(self) -> str | None: ...

    @property
    def status(self) -> TaskStatus: ...

    @property
    def priority(self) -> int: ...


class TaskRow(NamedTuple):
    """A task to be written, with the ids of what it refers to, all of which were checked."""

    values: TaskValues
    project_id: int
    number: int
    parent_id: int | None
    created_by_id: int | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    """Which counts where it is completed, and nowhere else; None for the time of its last change."""
    assignee_ids: Sequence[int]
    tag_ids: Sequence[int]
    external_source: str | None = None
    external_id: str | None = None
    named: Mapping[str, int | None] = NOTHING
    """The columns of what else it names."""


async def insert_tasks(session: Session, project_key: str, rows: Sequence[TaskRow]) -> Sequence[TaskRecord]:
    """Write tasks of one project, whose key is given, with ids that the database makes. Returns them in order, which is
    that of their numbers."""
    columns = [_columns(row) | {"project_key": project_key} for row in rows]
    # in any order: SQLite promises none
    tasks = sorted(await session.all(_TASKS, columns), key=attrgetter("number"))
    await _insert_contents(session, [task.id for task in tasks], rows)
    return tasks


async def insert_plain_task(session: Session, actor: Actor, row: TaskRow) -> TaskRecord | None:
    """Write a task with nothing hanging on it, and take its number, in the statement that holds its project.

    None where the caller may not write there, or there is no number left: then nothing was written, and whoever finds
    out why says so. For a database that ``writes_in_with``.
    """
    values = {name: value for name, value in _columns(row).items() if name not in {"project_id", "number"}}
    task = await session.first(
        _PLAIN(caller_id=actor.user_id, ids=[row.project_id], most_numbers=MAX_DATABASE_ID - 1, **values)
    )
    if task is not None:
        await _insert_contents(session, [task.id], [row])
    return task


async def insert_tasks_with_ids(session: Session, ids: Sequence[int], rows: Sequence[TaskRow]) -> None:
    """Write tasks of any projects, with ids that were reserved for them; a parent comes before what is below it."""
    columns = [_columns(row) | {"id": id_} for id_, row in zip(ids, rows, strict=True)]
    await write_all(session, _TASKS_WITH_IDS, columns)
    await _insert_contents(session, ids, rows)


async def _insert_contents(session: Session, ids: Sequence[int], rows: Sequence[TaskRow]) -> None:
    """The rows of other tables that belong to tasks."""
    texts: list[dict[str, object]] = []
    assignees: list[dict[str, int]] = []
    tags: list[dict[str, int]] = []
    pace = turns.Pace()
    for id_, row in zip(ids, rows, strict=True):
        if pace.due():
            await turns.give()
        text = fold_text(f"{row.values.title}\n{row.values.description or ''}")
        texts.append({"task_id": id_, "folded": text, "project_id": row.project_id})
        assignees += ({"task_id": id_, "user_id": user_id} for user_id in row.assignee_ids)
        tags += ({"task_id": id_, "tag_id": tag_id} for tag_id in row.tag_ids)
    if texts:
        await session.execute_deferred(_TEXTS, texts)
    await write_all(session, ASSIGN, assignees)
    await write_all(session, LABEL, tags)


def _columns(row: TaskRow) -> dict[str, object]:
    values = row.values
    start_at, start_all_day, due_at, due_all_day = stored(
        values.start_at, values.start_on, values.due_at, values.due_on
    )
    return {
        "project_id": row.project_id,
        "number": row.number,
        "title": values.title,
        "description": values.description,
        "status": values.status.value,
        "priority": values.priority,
        "start_at": start_at,
        "start_all_day": start_all_day,
        "due_at": due_at,
        "due_all_day": due_all_day,
        "completed_at": (row.completed_at or row.updated_at) if values.status is TaskStatus.COMPLETED else None,
        "parent_id": row.parent_id,
        "created_by_id": row.created_by_id,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "external_source": row.external_source,
        "external_id": row.external_id,
        **row.named,
    }


_KEYS = (
    *("project_id", "number", "title", "description", "status", "priority", "start_at", "due_at", "completed_at"),
    *("parent_id", "created_by_id", "created_at", "updated_at", "external_source", "external_id", *OF_PROJECT),
    *ALL_DAY.values(),
)
"""The columns that ``_columns`` gives."""
_TASKS = Prepared(
    insert(Task).returning(
        *(parameter(name, String) if name == "project_key" else getattr(Task, name) for name in TaskRecord._fields)
    ),
    TaskRecord,
    keys=_KEYS,
)
_PLAIN_KEYS = [name for name in _KEYS if name not in {"project_id", "number"}]
_held = IN_TURN.cte("held")
_numbered = (
    update(Project)
    .where(
        Project.id == _held.c.id,
        Project.last_number <= parameter("most_numbers"),
        _held.c.archived_at.is_(None),
        _held.c.role != Role.VIEWER.value,  # the only one that does not write
    )
    .values(last_number=Project.last_number + 1)
    .returning(Project.id, Project.key, Project.last_number)
    .cte("numbered")
)
_PLAIN = Prepared(
    insert(Task)
    .from_select(
        ["project_id", "number", "version", *_PLAIN_KEYS],
        select(
            _numbered.c.id,
            _numbered.c.last_number,
            literal_column("1"),
            *(parameter(name, getattr(Task, name).type) for name in _PLAIN_KEYS),
        ),
    )
    .returning(
        *(
            select(_numbered.c.key).scalar_subquery().label(name) if name == "project_key" else getattr(Task, name)
            for name in TaskRecord._fields
        )
    ),
    TaskRecord,
)
_TASKS_WITH_IDS = Prepared(insert(Task), keys=("id", *_KEYS))
_TEXTS = Prepared(insert(TaskText), keys=("task_id", "folded", "project_id"))
ASSIGN = Prepared(insert(TaskAssignee), keys=("task_id", "user_id"))
LABEL = Prepared(insert(TaskTag), keys=("task_id", "tag_id"))
