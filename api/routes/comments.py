from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.addresses import locate
from api.dependencies import (
    Caller,
    CommentPath,
    ExpectedVersion,
    KnownTags,
    ListQuery,
    Reading,
    Repeat,
    TaskPath,
    Writing,
    add_links,
    add_total,
    tagged,
    unless_known,
)
from api.media_types import StrictRoute
from services import comments
from services.comments import CommentCreate, CommentOut, CommentRecord, CommentUpdate

router = APIRouter(route_class=StrictRoute, prefix="/tasks/{task_id}/comments", tags=["comments"])


@router.get("", response_model=list[CommentOut])
async def list_comments(
    task_id: TaskPath,
    query: Annotated[ListQuery, Query()],
    actor: Caller,
    session: Reading,
    request: Request,
    response: Response,
) -> Sequence[CommentRecord]:
    """A task's comments, oldest first."""
    page = await comments.list_(session, actor, task_id, query.page)
    add_links(request, response, page)
    await add_total(response, query, lambda: comments.count(session, actor, task_id))
    return page.items


@router.post("", status_code=201, response_model=CommentOut)
async def create_comment(
    task_id: TaskPath, body: CommentCreate, once: Repeat, request: Request, response: Response
) -> CommentRecord:
    """Comment on a task."""
    comment = await once(comments.create, task_id, body)
    locate(request, response, f"/tasks/{task_id}/comments/{comment.id}")
    return tagged(response, comment, comment.version)


@router.get("/{comment_id}", response_model=CommentOut)
async def get_comment(
    task_id: TaskPath,
    comment_id: CommentPath,
    actor: Caller,
    session: Reading,
    response: Response,
    known: KnownTags = None,
) -> CommentRecord | Response:
    """A comment."""
    comment = await comments.get(session, actor, comment_id, task_id=task_id)
    return unless_known(response, comment, comment.version, known)


@router.patch("/{comment_id}", response_model=CommentOut)
async def update_comment(
    task_id: TaskPath,
    comment_id: CommentPath,
    body: CommentUpdate,
    actor: Caller,
    session: Writing,
    expected: ExpectedVersion,
    response: Response,
) -> CommentRecord:
    """Change a comment. Only its author may."""
    comment = await comments.update(session, actor, comment_id, body, task_id=task_id, expected_version=expected)
    return tagged(response, comment, comment.version)


@router.put("/{comment_id}", response_model=CommentOut)
async def put_comment(
    task_id: TaskPath,
    comment_id: CommentPath,
    body: CommentUpdate,
    actor: Caller,
    session: Writing,
    expected: ExpectedVersion,
    response: Response,
) -> CommentRecord:
    """The same as PATCH."""
    return await update_comment(task_id, comment_id, body, actor, session, expected, response)


@router.delete("/{comment_id}", status_code=204)
async def delete_comment(
    task_id: TaskPath, comment_id: CommentPath, actor: Caller, session: Writing, expected: ExpectedVersion
) -> None:
    """Delete a comment. Its author may, and admins of the project."""
    await comments.delete(session, actor, comment_id, task_id=task_id, expected_version=expected)
