"""Issues and comments that are not for every member of a project: an import shows nobody what he didn't see before."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from sqlalchemy import select

from db.models import Comment, Task
from db.sessions import Session
from services.imports import sources
from services.imports.records import Issue
from services.imports.summary import Counts


async def leave_out(session: Session, source: str, issues: dict[str, Issue], counts: Counts) -> dict[str, Issue]:
    """What is for every member of the project, by external ids as it was given. Comments go with their issue.

    What an earlier run brought in stays as it is, and is counted apart.
    """
    closed = [issue for issue in issues.values() if issue.restricted]
    remarks = [remark for issue in issues.values() for remark in issue.remarks if issue.restricted or remark.restricted]
    if not (closed or remarks):
        return issues
    tasks_here = await _still_here(session, source, "task", [issue.external_id for issue in closed])
    comments_here = await _still_here(session, source, "comment", [remark.external_id for remark in remarks])
    counts.restricted_issues_known += tasks_here
    counts.restricted_issues += len(closed) - tasks_here
    counts.restricted_comments_known += comments_here
    counts.restricted_comments += len(remarks) - comments_here
    return {
        external_id: replace(issue, remarks=tuple(remark for remark in issue.remarks if not remark.restricted))
        for external_id, issue in issues.items()
        if not issue.restricted
    }


async def _still_here(
    session: Session, source: str, kind: Literal["task", "comment"], external_ids: Sequence[str]
) -> int:
    model = Task if kind == "task" else Comment
    found = await sources.find(session, source, kind, external_ids)
    return len(await sources.rows_with(session, select(model.id), model.id.expression, found.values()))
