"""Comments on tasks. Members write them and change their own; admins may delete anybody's."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Annotated, NamedTuple

from pydantic import Field
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert, select
from sqlalchemy import update as sql_update

from core.clock import now
from db.driver.sessions import AnySelect, Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import Comment, CommentText, Task, User
from services.events import catalogue, log
from services.events.catalogue import EventKind
from services.projects.models import ProjectRecord, Role
from services.projects.queries import require_writable
from services.shared import node_ids
from services.shared.actors import Actor, Scope
from services.shared.errors import Expected, Forbidden, NotFound, require_next, require_version
from services.shared.external_ids import NAMES, ExternalId, ExternalSource, check_pair, require_pair
from services.shared.features import Feature, NodeType, Operation, Who
from services.shared.filters import Column, Filter, Filtering, FoldedText
from services.shared.idempotency import repeatable, while_readable
from services.shared.inputs import Input, ShownText, absent
from services.shared.operators import ExternalFilter, TextFilter, TimestampFilter, UserRefFilter
from services.shared.outputs import CreatedAt, DatabaseId, NodeId, Output, Version
from services.shared.pagination import Ordering, SortKey
from services.shared.reading import ChildReader
from services.shared.statements import ACTOR_PARAMETER
from services.tasks import queries as tasks
from services.tasks.comment_rows import KEYS, CommentRow, columns_of, insert_texts
from services.tasks.listing.texts import fold_text
from services.tasks.models import TaskRecord
from services.tasks.updates import hold_task
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
    external_source: ExternalSource | None = Field(default_factory=absent)
    external_id: ExternalId | None = Field(default_factory=absent)


class CommentUpdate(Input):
    """Changes a comment. Fields that are left out stay as they are."""

    body: Body = Field(default_factory=absent, description="The new text, at most 65,536 characters.")
    external_source: ExternalSource | None = Field(default_factory=absent)
    external_id: ExternalId | None = Field(default_factory=absent)


class CommentOut(Output):
    """A remark on a task."""

    id: DatabaseId
    node_id: NodeId
    task_id: int = Field(description="The task that it is on.")
    author_id: int | None = Field(description="The user who wrote it; null where that is not known.")
    body: str = Field(description="The text.")
    external_source: str | None = Field(description="The system that its external_id is of.")
    external_id: str | None = Field(description="What that system calls it.")
    version: Version
    created_at: CreatedAt
    edited_at: datetime | None = Field(description="When the text was last changed, in UTC; null if it never was.")


class CommentWithAuthor(CommentOut):
    """A remark on a task, with its author."""

    author: UserSummary | None = Field(default=None, description="The user who wrote it, with expand=author.")


class CommentRecord(NamedTuple):
    """A comment as it is read."""

    id: int
    task_id: int
    author_id: int | None
    body: str
    version: int
    created_at: datetime
    edited_at: datetime | None
    # answers that releases before kept for repeats lack them
    external_source: str | None = None
    external_id: str | None = None

    @property
    def node_id(self) -> str:
        return node_ids.encode("Comment", self.id)


COLUMNS = tuple(getattr(Comment, name) for name in CommentRecord._fields)
OLDEST_FIRST = Ordering(SortKey("created_at", Comment.created_at, Comment.id), descending=False)
NEWEST_FIRST = Ordering(SortKey("created_at", Comment.created_at, Comment.id), descending=True)


def visible(actor: Actor) -> AnySelect:
    """The comments on tasks that the actor may read."""
    return select(*COLUMNS).join(Task, Task.id == Comment.task_id).where(readable(actor))


class CommentFilter(Filter):
    """Which comments. Every condition given must hold."""

    author: UserRefFilter = Field(default_factory=absent, description="The user who wrote it.")
    body: TextFilter = Field(default_factory=absent, description="The text.")
    external_source: ExternalFilter = Field(
        default_factory=absent, description="The system that its external id is of."
    )
    external_id: ExternalFilter = Field(default_factory=absent, description="What that system calls it.")
    created_at: TimestampFilter = Field(default_factory=absent, description="When it was written.")
    edited_at: TimestampFilter = Field(default_factory=absent, description="When the text was last changed.")


_FILTERING = Filtering(
    CommentFilter,
    {
        "author": Column(Comment.author_id),
        "body": FoldedText(
            Comment.body,
            select(CommentText.folded).where(CommentText.comment_id == Comment.id).scalar_subquery(),
        ),
        "external_source": Column(Comment.external_source),
        "external_id": Column(Comment.external_id),
        "created_at": Column(Comment.created_at),
        "edited_at": Column(Comment.edited_at),
    },
)
_READER = ChildReader(
    "Comment",
    visible,
    CommentRecord._make,
    OLDEST_FIRST,
    below=Comment.task_id,
    parent=tasks.get,
    filtering=_FILTERING,
)
by_ids, list_, pages = _READER.by_ids, _READER.list_, _READER.pages
count, counts = _READER.count, _READER.counts


async def get(session: Session, actor: Actor, comment_id: int, *, task_id: int | None = None) -> CommentRecord:
    """A comment that the actor may read. Raises ``NotFound``, also where it is not on ``task_id``."""
    comment = await _READER.get(session, actor, comment_id)
    if task_id not in (None, comment.task_id):
        raise NotFound("Comment")
    return comment


async def authors(
    session: Session, actor: Actor, comment_ids: Collection[int], *, wanted: Collection[str] | None = None
) -> Mapping[int, UserRecord]:
    """Who wrote each of the comments that the actor may read, in one statement; ``wanted`` as for ``assignees``."""
    return await _AUTHORS.of_each(session, actor, comment_ids, wanted)


_AUTHORS = users.People(
    lambda columns: (
        visible(ACTOR_PARAMETER)
        .join(User, User.id == Comment.author_id)
        .where(in_list(Comment.id, "ids"))
        .with_only_columns(Comment.id, *columns)
    )
)


@repeatable("comment.create", scope=Scope.TASKS_WRITE, read=while_readable(get))
async def create(session: Session, actor: Actor, task_id: int, data: CommentCreate) -> CommentRecord:
    """Write a comment. Raises ``NotFound``, ``Forbidden``; ``Conflict`` where another has its external id."""
    actor.require(Scope.TASKS_WRITE)
    require_pair(data.external_source, data.external_id)
    task, project = await hold_task(session, actor, task_id)
    require_writable(project, Role.MEMBER)
    called = (data.external_source, data.external_id)
    row = CommentRow(task_id, project.id, actor.user_id, data.body, now(), None, *called)
    [comment] = await session.all(_INSERT, [columns_of(row)])
    await insert_texts(session, [comment.id], [row])
    await log.record(session, actor, _event(catalogue.COMMENT_CREATED, task, comment, log.created(_told(comment))))
    return comment


_INSERT = Prepared(insert(Comment).returning(*COLUMNS), CommentRecord, keys=KEYS)


async def update(
    session: Session,
    actor: Actor,
    comment_id: int,
    data: CommentUpdate,
    *,
    task_id: int | None = None,
    expected_version: Expected = None,
) -> CommentRecord:
    """Change a comment of one's own. Raises ``NotFound``, ``Forbidden``, ``VersionConflict``, ``Conflict``."""
    comment, task, _ = await _lock(session, actor, comment_id, task_id)
    if comment.author_id != actor.user_id:
        raise Forbidden("Only its author changes a comment")
    require_version(comment.version, expected_version)
    before, sent = _told(comment), data.sent()
    check_pair(before, sent)
    changes = log.differences(before, sent)
    if not changes:
        return comment
    require_next(comment.version)
    values: dict[str, object] = {name: sent[name] for name in changes}
    if "body" in changes:
        values["edited_at"] = now()
    if not NAMES.isdisjoint(changes):
        values["external_project_id"] = None if (before | sent)["external_id"] is None else task.project_id
    row = await session.one(
        sql_update(Comment)
        .where(Comment.id == comment_id)
        .values(**values, version=Comment.version + 1)
        .returning(*COLUMNS)
    )
    if "body" in changes:
        await session.execute(
            sql_update(CommentText).where(CommentText.comment_id == comment_id).values(folded=fold_text(data.body))
        )
    comment = CommentRecord._make(row)
    await log.record(session, actor, _event(catalogue.COMMENT_UPDATED, task, comment, changes))
    return comment


def _told(comment: CommentRecord) -> dict[str, object]:
    """What a comment's events tell of it."""
    return {
        "body": comment.body,
        "external_source": comment.external_source,
        "external_id": comment.external_id,
    }


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
    changes = {"body": (comment.body, None)}
    await log.record(session, actor, _event(catalogue.COMMENT_DELETED, task, comment, changes))


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


def _event(kind: EventKind, task: TaskRecord, comment: CommentRecord, changes: log.Changes) -> log.NewEvent:
    return log.NewEvent(kind, comment.id, changes, comment.version, task.project_id, task.id)


FEATURE = Feature(
    "comments",
    operations=(
        Operation("list_comments", "Task.comments", Who.VIEWER, Scope.TASKS_READ),
        Operation("query_comments", "Task.comments", Who.VIEWER, Scope.TASKS_READ),
        Operation("create_comment", "Mutation.createComment", Who.MEMBER, Scope.TASKS_WRITE, repeatable=True),
        Operation("get_comment", "Query.comment", Who.VIEWER, Scope.TASKS_READ),
        Operation("update_comment", "Mutation.updateComment", Who.AUTHOR, Scope.TASKS_WRITE),
        Operation("put_comment", "Mutation.updateComment", Who.AUTHOR, Scope.TASKS_WRITE),
        Operation("delete_comment", "Mutation.deleteComment", Who.AUTHOR_OR_ADMIN, Scope.TASKS_WRITE),
    ),
    about="Remarks on tasks.",
    nodes=(NodeType("Comment", by_ids, CommentOut),),
)
