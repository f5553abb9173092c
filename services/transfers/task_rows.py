"""The rows of tasks and comments, written in bulk. Who and where they belong to was found out before."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import select

from db.bulk import reserve_ids
from db.driver.sessions import Session
from db.models import Comment, Task
from services.events import log
from services.recurrences import beginning, series
from services.recurrences.models import RecurrenceRecord
from services.recurrences.rules import Looked
from services.recurrences.series import Dates
from services.shared.errors import BadUserInput
from services.tasks import external_ids
from services.tasks.comment_rows import CommentRow, insert_comments_with_ids
from services.tasks.external_ids import Key
from services.tasks.insertion import TaskRow, insert_tasks_with_ids
from services.transfers import sources
from services.transfers.records import ImportedComment, ImportedTask


class KnownTask(NamedTuple):
    """A task that is here."""

    id: int
    project_id: int


class NewTask(NamedTuple):
    """A task to be written, and the ids of what it refers to."""

    task: ImportedTask
    project_id: int
    number: int
    created_by_id: int | None
    assignee_ids: Sequence[int]
    tag_ids: Sequence[int]


class NewComment(NamedTuple):
    """A comment to be written, the task that it is on and its author's id."""

    comment: ImportedComment
    task: KnownTask
    author_id: int | None


async def find(session: Session, source: str, external_ids: Iterable[str]) -> dict[str, KnownTask | None]:
    """The tasks that were brought in before; None for one that was deleted since."""
    found = await sources.find(session, source, "task", external_ids)
    if not found:
        return {}
    rows = await session.all(select(Task.id, Task.project_id).where(Task.id.in_(found.values())))
    alive = {row[0]: KnownTask._make(row) for row in rows}
    return {external_id: alive.get(task_id) for external_id, task_id in found.items()}


async def adopt(session: Session, source: str, ids: Iterable[tuple[int, str]]) -> dict[str, KnownTask]:
    """The tasks that others, such as a client of the API, have made for the source's: given by project and external
    id, and known as brought in from now on."""
    held = await external_ids.holders(session, (Key(project_id, source, id_) for project_id, id_ in ids))
    found = {key.external_id: KnownTask(holder.task_id, key.project_id) for key, holder in held.items()}
    await sources.note(session, source, "task", {external_id: task.id for external_id, task in found.items()})
    return found


async def adopt_comments(session: Session, source: str, project_id: int, ids: Iterable[str]) -> set[str]:
    """As ``adopt``, of comments in a project: their external ids."""
    statement = select(Comment.external_id, Comment.id).where(
        Comment.external_project_id == project_id, Comment.external_source == source
    )
    rows = await sources.rows_with(session, statement, Comment.external_id.expression, dict.fromkeys(ids))
    await sources.note(session, source, "comment", {row[0]: row[1] for row in rows})
    return {row[0] for row in rows}


async def create(
    session: Session, source: str, items: Sequence[NewTask], parents: Mapping[str, KnownTask | None]
) -> tuple[dict[str, KnownTask], list[log.NewEvent]]:
    """Write tasks with their search text, tags and assignees. Returns them by external id, and the events.

    A parent among ``parents``, or earlier in the items, is linked at once; one that is not there (yet) is noted for
    ``subtasks.link``.
    """
    ids = await reserve_ids(session, Task, len(items))
    created: dict[str, KnownTask] = {}
    rows: list[TaskRow] = []
    awaited: dict[str, int] = {}
    for item, task_id in zip(items, ids, strict=True):
        task, parent_id = item.task, None
        if awaits := task.parent_external_id:
            parent = created.get(awaits) or parents.get(awaits)
            if parent is not None and parent.project_id == item.project_id:
                parent_id = parent.id
            else:
                awaited[f"{awaits}/{task.external_id}"] = task_id
        created[task.external_id] = KnownTask(task_id, item.project_id)
        rows.append(
            TaskRow(
                task,
                project_id=item.project_id,
                number=item.number,
                parent_id=parent_id,
                created_by_id=item.created_by_id,
                created_at=task.created_at,
                updated_at=task.updated_at,
                completed_at=task.completed_at,
                assignee_ids=item.assignee_ids,
                tag_ids=item.tag_ids,
                external_source=source,
                external_id=task.external_id,
            )
        )
    await insert_tasks_with_ids(session, ids, rows)
    await beginning.write(session, {task_id: _series(item.task) for item, task_id in zip(items, ids, strict=True)})
    await sources.remember(session, source, "task", {external_id: task.id for external_id, task in created.items()})
    await sources.forget(session, source, "awaited_parent", awaited)
    await sources.remember(session, source, "awaited_parent", awaited)
    return created, [
        sources.imported(source, "task", id_, item.task.ref, version=1, project_id=item.project_id, task_id=id_)
        for item, id_ in zip(items, ids, strict=True)
    ]


def leaves_out_recurrence(task: ImportedTask) -> bool:
    """Whether a task recurs there, and not here: without a due date, or by a rule that does not come again."""
    return task.recurrence is not None and _series(task) is None


def _series(task: ImportedTask) -> RecurrenceRecord | None:
    if task.recurrence is None or not task.has_due_date:
        return None
    dates = Dates(task.start_at, task.due_at, task.start_on, task.due_on)
    try:
        return series.begun(task.recurrence, dates, "UTC", Looked())
    except BadUserInput:
        return None


async def create_comments(session: Session, source: str, items: Sequence[NewComment]) -> list[log.NewEvent]:
    """Write comments with their search text. Returns the events."""
    ids = await reserve_ids(session, Comment, len(items))
    rows = [
        CommentRow(
            *(task.id, task.project_id, author_id, comment.body, comment.created_at, comment.edited_at),
            *(source, comment.external_id),
        )
        for comment, task, author_id in items
    ]
    await insert_comments_with_ids(session, ids, rows)
    known = {item.comment.external_id: id_ for item, id_ in zip(items, ids, strict=True)}
    await sources.remember(session, source, "comment", known)
    return [
        sources.imported(
            source, "comment", id_, comment.external_id, version=1, project_id=task.project_id, task_id=task.id
        )
        for (comment, task, _), id_ in zip(items, ids, strict=True)
    ]
