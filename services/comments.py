"""Comments on tasks. Members write them and change their own; admins may delete anybody's."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Annotated, NamedTuple

from pydantic import Field
from sqlalchemy import delete as sql_delete
from sqlalchemy import func, insert, select
from sqlalchemy import update as sql_update

from core.clock import now
from db.lists import among
from db.models import Comment, CommentText, Task, User
from db.sessions import AnySelect, Session
from services import events, node_ids
from services.actors import Actor, Scope
from services.errors import Expected, Forbidden, NotFound, require_next, require_version
from services.idempotency import repeatable, while_readable
from services.inputs import Input, ShownText
from services.outputs import CreatedAt, DatabaseId, NodeId, Output, Version
from services.pagination import (
    Ordering,
    Page,
    PageRequest,
    SortKey,
    make_page,
    make_pages,
    page_statement,
    pages_statement,
)
from services.prepared import CALLER
from services.projects.models import ProjectRecord, Role
from services.projects.queries import require_writable
from services.tasks import queries as tasks
from services.tasks.changes import hold_task
from services.tasks.models import TaskRecord
from services.tasks.texts import fold_text
from services.tasks.visibility import readable
from services.users import queries as users
from services.users.models import UserRecord, UserSummary

Body = Annotated[
    ShownText,
    Field(max_length=65_536, description="The text, at most 65,536 characters.", examples=["Looks good to me."]),
]


class CommentCreate(Input):
    """Writes a comment."""

    body: Body


class CommentUpdate(Input):
    """Changes a comment."""

    body: Body = Field(description="The new text, at most 65,536 characters.")


class CommentOut(Output):
    """A remark on a task."""

    id: DatabaseId
    node_id: NodeId
    task_id: int = Field(description="The task that it is on.")
    author_id: int | None = Field(description="The user who wrote it; null where that is not known.")
    body: str = Field(description="The text.")
    version: Version
    created_at: CreatedAt
    edited_at: datetime | None = Field(description="When the text was last changed, in UTC; null if it never was.")


class CommentWithAuthor(CommentOut):
    """A remark on a task, with its author."""

    author: UserSummary | None = Field(default=None, description="The user who wrote it, with expand=author.")


class CommentRecord(NamedTuple):
    id: int
    task_id: int
    author_id: int | None
    body: str
    version: int
    created_at: datetime
    edited_at: datetime | None

    @property
    def node_id(self) -> str:
        return node_ids.encode("Comment", self.id)


COLUMNS = tuple(getattr(Comment, name) for name in CommentRecord._fields)
OLDEST_FIRST = Ordering(SortKey("created_at", Comment.created_at, Comment.id), descending=False)
NEWEST_FIRST = Ordering(SortKey("created_at", Comment.created_at, Comment.id), descending=True)


def visible(actor: Actor) -> AnySelect:
    """The comments on tasks that the actor may read."""
    return select(*COLUMNS).join(Task, Task.id == Comment.task_id).where(readable(actor))


async def get(session: Session, actor: Actor, comment_id: int, *, task_id: int | None = None) -> CommentRecord:
    """A comment that the actor may read. Raises ``NotFound``, also where it is not on ``task_id``."""
    actor.require(Scope.TASKS_READ)
    row = await session.first(visible(actor).where(Comment.id == comment_id))
    if row is None or (task_id is not None and row.task_id != task_id):
        raise NotFound("Comment")
    return CommentRecord._make(row)


async def by_ids(session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, CommentRecord]:
    """Those of the comments that the actor may read."""
    actor.require(Scope.TASKS_READ)
    rows = await session.all(visible(actor).where(Comment.id.in_(ids)))
    return {row.id: CommentRecord._make(row) for row in rows}


async def list_(session: Session, actor: Actor, task_id: int, request: PageRequest) -> Page[CommentRecord]:
    """A task's comments, oldest first. Raises ``NotFound``."""
    await tasks.get(session, actor, task_id)
    statement = page_statement(visible(actor).where(Comment.task_id == task_id), OLDEST_FIRST, request)
    return make_page(await session.all(statement), CommentRecord._make, OLDEST_FIRST, request)


async def pages(
    session: Session, actor: Actor, task_ids: Collection[int], request: PageRequest
) -> Mapping[int, Page[CommentRecord]]:
    """The same page of comments for each task, in one statement."""
    actor.require(Scope.TASKS_READ)
    statement = visible(actor).where(Comment.task_id.in_(task_ids))
    rows = await session.all(pages_statement(statement, Comment.task_id.expression, OLDEST_FIRST, request))
    return make_pages(rows, CommentRecord._make, OLDEST_FIRST, request, task_ids)


async def count(session: Session, actor: Actor, task_id: int) -> int:
    """How many comments a task has that the actor may read."""
    return (await counts(session, actor, [task_id])).get(task_id, 0)


async def counts(session: Session, actor: Actor, task_ids: Collection[int]) -> Mapping[int, int]:
    """How many comments each task has; a task without any is left out."""
    actor.require(Scope.TASKS_READ)
    rows = await session.all(
        visible(actor)
        .where(Comment.task_id.in_(task_ids))
        .with_only_columns(Comment.task_id, func.count())
        .group_by(Comment.task_id)
    )
    return {row[0]: row[1] for row in rows}


async def authors(
    session: Session, actor: Actor, comment_ids: Collection[int], *, wanted: Collection[str] | None = None
) -> Mapping[int, UserRecord]:
    """Who wrote each of the comments that the actor may read, in one statement; ``wanted`` as for ``assignees``."""
    return await _AUTHORS.of_each(session, actor, comment_ids, wanted)


_AUTHORS = users.People(
    lambda columns: (
        visible(CALLER)
        .join(User, User.id == Comment.author_id)
        .where(among(Comment.id, "ids"))
        .with_only_columns(Comment.id, *columns)
    )
)


@repeatable("comment.create", scope=Scope.TASKS_WRITE, read=while_readable(get))
async def create(session: Session, actor: Actor, task_id: int, data: CommentCreate) -> CommentRecord:
    """Write a comment. Raises ``NotFound``, ``Forbidden``."""
    actor.require(Scope.TASKS_WRITE)
    task, project = await hold_task(session, actor, task_id)
    require_writable(project, Role.MEMBER)
    row = await session.one(
        insert(Comment)
        .values(task_id=task_id, author_id=actor.user_id, body=data.body, created_at=now())
        .returning(*COLUMNS)
    )
    comment = CommentRecord._make(row)
    text = {"comment_id": comment.id, "folded": fold_text(comment.body), "project_id": project.id}
    await session.execute(insert(CommentText).values(text))
    await _record(session, actor, "comment.created", task, comment, {"body": (None, comment.body)})
    return comment


async def update(
    session: Session,
    actor: Actor,
    comment_id: int,
    data: CommentUpdate,
    *,
    task_id: int | None = None,
    expected_version: Expected = None,
) -> CommentRecord:
    """Change a comment of one's own. Raises ``NotFound``, ``Forbidden``, ``VersionConflict``."""
    comment, task, _ = await _lock(session, actor, comment_id, task_id)
    if comment.author_id != actor.user_id:
        raise Forbidden("Only its author changes a comment")
    require_version(comment.version, expected_version)
    if data.body == comment.body:
        return comment
    require_next(comment.version)
    row = await session.one(
        sql_update(Comment)
        .where(Comment.id == comment_id)
        .values(body=data.body, version=Comment.version + 1, edited_at=now())
        .returning(*COLUMNS)
    )
    await session.execute(
        sql_update(CommentText).where(CommentText.comment_id == comment_id).values(folded=fold_text(data.body))
    )
    await _record(
        session, actor, "comment.updated", task, CommentRecord._make(row), {"body": (comment.body, data.body)}
    )
    return CommentRecord._make(row)


async def delete(
    session: Session,
    actor: Actor,
    comment_id: int,
    *,
    task_id: int | None = None,
    expected_version: Expected = None,
) -> None:
    """Delete a comment: one's own, or as an admin of the project. Raises ``NotFound``, ``Forbidden``."""
    comment, task, project = await _lock(session, actor, comment_id, task_id)
    if comment.author_id != actor.user_id and not project.allows(Role.ADMIN):
        raise Forbidden("Only its author or an admin of the project deletes a comment")
    require_version(comment.version, expected_version)
    await session.execute(sql_delete(Comment).where(Comment.id == comment_id))
    await _record(session, actor, "comment.deleted", task, comment, {"body": (comment.body, None)})


async def _lock(
    session: Session, actor: Actor, comment_id: int, task_id: int | None
) -> tuple[CommentRecord, TaskRecord, ProjectRecord]:
    actor.require(Scope.TASKS_WRITE)
    of_task = await session.scalar(select(Comment.task_id).where(Comment.id == comment_id))
    if of_task is None or task_id not in (None, of_task):
        raise NotFound("Comment")
    try:
        task, project = await hold_task(session, actor, of_task)
    except NotFound:
        raise NotFound("Comment") from None
    row = await session.first(visible(actor).where(Comment.id == comment_id).with_for_update(of=Comment))
    if row is None:
        raise NotFound("Comment")
    require_writable(project, Role.MEMBER)
    return CommentRecord._make(row), task, project


async def _record(
    session: Session,
    actor: Actor,
    kind: str,
    task: TaskRecord,
    comment: CommentRecord,
    changes: events.Changes,
) -> None:
    event = events.NewEvent(
        kind,
        "comment",
        comment.id,
        changes,
        version=comment.version,
        project_id=task.project_id,
        task_id=task.id,
    )
    await events.record(session, actor, event)
