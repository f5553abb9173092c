"""Tasks and comments that are not for every member of a project: an import shows nobody what he didn't see before."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from sqlalchemy import select

from db.driver.sessions import Session
from db.models import Comment, Task
from services.transfers import sources
from services.transfers.records import ImportedTask
from services.transfers.summary import Counts


async def leave_out(
    session: Session, source: str, tasks: dict[str, ImportedTask], counts: Counts
) -> dict[str, ImportedTask]:
    """What is for every member of the project, by external ids as it was given. Comments go with their task.

    What an earlier run brought in stays as it is, and is counted apart.
    """
    closed = [task for task in tasks.values() if task.restricted]
    comments = [
        comment for task in tasks.values() for comment in task.comments if task.restricted or comment.restricted
    ]
    if not (closed or comments):
        return tasks
    tasks_here = await _still_here(session, source, "task", [task.external_id for task in closed])
    comments_here = await _still_here(session, source, "comment", [comment.external_id for comment in comments])
    counts.restricted_tasks_known += tasks_here
    counts.restricted_tasks += len(closed) - tasks_here
    counts.restricted_comments_known += comments_here
    counts.restricted_comments += len(comments) - comments_here
    return {
        external_id: replace(task, comments=tuple(comment for comment in task.comments if not comment.restricted))
        for external_id, task in tasks.items()
        if not task.restricted
    }


async def _still_here(
    session: Session, source: str, kind: Literal["task", "comment"], external_ids: Sequence[str]
) -> int:
    model = Task if kind == "task" else Comment
    found = await sources.find(session, source, kind, external_ids)
    return len(await sources.rows_with(session, select(model.id), model.id.expression, found.values()))
