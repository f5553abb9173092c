"""The rows of tasks and comments, written in bulk. Who and where they belong to was found out before."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import insert, select

from db.models import Comment, CommentText, Task, TaskAssignee, TaskTag, TaskText
from db.sessions import Session
from services import events
from services.imports import sources
from services.imports.records import Issue, Remark
from services.tasks.texts import fold_text


class KnownTask(NamedTuple):
    id: int
    project_id: int


class NewTask(NamedTuple):
    """An issue to be written, and the ids of what it refers to."""

    issue: Issue
    project_id: int
    number: int
    reporter_id: int | None
    assignee_id: int | None
    tag_ids: Sequence[int]


class NewComment(NamedTuple):
    remark: Remark
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


async def create(
    session: Session, source: str, items: Sequence[NewTask], parents: dict[str, KnownTask | None]
) -> tuple[dict[str, KnownTask], list[events.NewEvent]]:
    """Write tasks with their search text, tags and assignees. Returns them by external id, and the events.

    A parent among ``parents``, or earlier in the items, is linked at once; one that is not there (yet) is noted for
    ``subtasks.link``.
    """
    ids = await sources.reserve(session, Task, len(items))
    created: dict[str, KnownTask] = {}
    rows: list[dict[str, Any]] = []
    awaited: dict[str, int] = {}
    for item, task_id in zip(items, ids, strict=True):
        parent_id = None
        if awaits := item.issue.parent_external_id:
            parent = created.get(awaits) or parents.get(awaits)
            if parent is not None and parent.project_id == item.project_id:
                parent_id = parent.id
            else:
                awaited[f"{awaits}/{item.issue.external_id}"] = task_id
        created[item.issue.external_id] = KnownTask(task_id, item.project_id)
        rows.append(_row(item, task_id, parent_id))
    await _insert(session, Task, rows)
    texts = [{"task_id": row["id"], "folded": _folded(row), "project_id": row["project_id"]} for row in rows]
    await _insert(session, TaskText, texts)
    tagged = [{"task_id": id_, "tag_id": tag} for item, id_ in zip(items, ids, strict=True) for tag in item.tag_ids]
    await _insert(session, TaskTag, tagged)
    assigned = [
        {"task_id": id_, "user_id": item.assignee_id}
        for item, id_ in zip(items, ids, strict=True)
        if item.assignee_id is not None
    ]
    await _insert(session, TaskAssignee, assigned)
    await sources.remember(session, source, "task", {external_id: task.id for external_id, task in created.items()})
    await sources.forget(session, source, "awaited_parent", awaited)
    await sources.remember(session, source, "awaited_parent", awaited)
    return created, [
        sources.imported(source, "task", id_, item.issue.ref, version=1, project_id=item.project_id, task_id=id_)
        for item, id_ in zip(items, ids, strict=True)
    ]


async def create_comments(session: Session, source: str, items: Sequence[NewComment]) -> list[events.NewEvent]:
    """Write comments with their search text. Returns the events."""
    ids = await sources.reserve(session, Comment, len(items))
    await _insert(
        session,
        Comment,
        [
            {
                "id": id_,
                "task_id": task.id,
                "author_id": author_id,
                "body": remark.body,
                "created_at": remark.created_at,
                "edited_at": remark.edited_at,
            }
            for (remark, task, author_id), id_ in zip(items, ids, strict=True)
        ],
    )
    folded = [
        {"comment_id": id_, "folded": fold_text(item.remark.body), "project_id": item.task.project_id}
        for item, id_ in zip(items, ids, strict=True)
    ]
    await _insert(session, CommentText, folded)
    known = {item.remark.external_id: id_ for item, id_ in zip(items, ids, strict=True)}
    await sources.remember(session, source, "comment", known)
    return [
        sources.imported(
            source,
            "comment",
            id_,
            remark.external_id,
            version=1,
            project_id=task.project_id,
            task_id=task.id,
        )
        for (remark, task, _), id_ in zip(items, ids, strict=True)
    ]


def _row(item: NewTask, task_id: int, parent_id: int | None) -> dict[str, Any]:
    issue = item.issue
    return {
        "id": task_id,
        "project_id": item.project_id,
        "number": item.number,
        "title": issue.title,
        "description": issue.description,
        "status": issue.status,
        "priority": issue.priority,
        "parent_id": parent_id,
        "created_by_id": item.reporter_id,
        "due_at": issue.due_at,
        "created_at": issue.created_at,
        "updated_at": issue.updated_at,
        "completed_at": issue.completed_at,
    }


def _folded(row: dict[str, Any]) -> str:
    return fold_text(f"{row['title']}\n{row['description'] or ''}")


async def _insert(session: Session, model: type[Any], rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        await session.execute(insert(model), rows)
