from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.dependencies.auth import TellingActor
from api.dependencies.idempotency import IdempotentTelling
from api.dependencies.lists import ExternalShorthands, ListCall, ListShape, add_query
from api.dependencies.parameters import CommentPath, TaskPath
from api.dependencies.preconditions import ExpectedVersion, VersionedRead, VersionedTellingWrite
from api.dependencies.sessions import WriteSession
from api.http.route import StrictRoute
from services import comments
from services.comments import (
    CommentCreate,
    CommentFilter,
    CommentOut,
    CommentRecord,
    CommentUpdate,
    CommentWithAuthor,
)
from services.shared.expansions import Along, Expanded

router = APIRouter(route_class=StrictRoute, prefix="/tasks/{task_id}/comments", tags=["comments"])


_LIST = ListShape(
    CommentWithAuthor,
    "a comment",
    filter=CommentFilter,
    relations={"author": Along(comments.authors)},
    shorthands=ExternalShorthands,
)


@router.get("", response_model=list[CommentWithAuthor], response_model_exclude_unset=True)
async def list_comments(
    task_id: TaskPath, listing: Annotated[ListCall[CommentFilter], Depends(_LIST.listing)]
) -> Sequence[CommentRecord | Expanded] | Response:
    """A task's comments, oldest first."""
    return await listing(comments.list_, comments.count, task_id)


async def query_comments(
    task_id: TaskPath, body: CommentFilter, listing: Annotated[ListCall[CommentFilter], Depends(_LIST.querying)]
) -> Sequence[CommentRecord | Expanded] | Response:
    """As GET /tasks/{task_id}/comments, with the filter as the body. It changes nothing."""
    return await listing.by(body)(comments.list_, comments.count, task_id)


add_query(router, "", query_comments, list[CommentWithAuthor], response_model_exclude_unset=True)


@router.post("", status_code=201, response_model=CommentOut)
async def create_comment(task_id: TaskPath, body: CommentCreate, once: IdempotentTelling) -> CommentRecord:
    """Comment on a task."""
    comment = await once(comments.create, task_id, body)
    return once.located(f"/tasks/{task_id}/comments/{comment.id}", comment)


@router.get("/{comment_id}", response_model=CommentOut)
async def get_comment(task_id: TaskPath, comment_id: CommentPath, read: VersionedRead) -> CommentRecord | Response:
    """A comment."""
    return await read(comments.get, comment_id, task_id=task_id)


@router.patch("/{comment_id}", response_model=CommentOut)
async def update_comment(
    task_id: TaskPath, comment_id: CommentPath, body: CommentUpdate, write: VersionedTellingWrite
) -> CommentRecord:
    """Change a comment. Only its author may."""
    return await write(comments.update, comment_id, body, task_id=task_id, expected_version=write.expected)


@router.put("/{comment_id}", response_model=CommentOut)
async def put_comment(
    task_id: TaskPath, comment_id: CommentPath, body: CommentUpdate, write: VersionedTellingWrite
) -> CommentRecord:
    """The same as PATCH."""
    return await update_comment(task_id, comment_id, body, write)


@router.delete("/{comment_id}", status_code=204)
async def delete_comment(
    task_id: TaskPath, comment_id: CommentPath, actor: TellingActor, session: WriteSession, expected: ExpectedVersion
) -> None:
    """Delete a comment. Its author may, and admins of the project."""
    await comments.delete(session, actor, comment_id, task_id=task_id, expected_version=expected)
