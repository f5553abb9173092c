"""What can be read together with tasks: each relation is one statement for the whole page."""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import Field

from db.sessions import Session
from services import comments, relations, tags
from services.actors import Actor
from services.comments import CommentWithAuthor
from services.pagination import PageRequest
from services.prices import ROW
from services.projects import queries as projects
from services.projects.models import ProjectOut
from services.relations import RelationOut
from services.tags import TagOut
from services.tasks import queries
from services.tasks.models import MAX_ASSIGNEES, MAX_TAGS, TaskOut, TaskRecord
from services.users import queries as users
from services.users.models import UserSummary

FIRST_COMMENTS = 3
FIRST_RELATIONS = 20


class Expansion(StrEnum):
    """A relation to read along."""

    PROJECT = "project"
    ASSIGNEES = "assignees"
    TAGS = "tags"
    CREATED_BY = "created_by"
    PARENT = "parent"
    COMMENT_COUNT = "comment_count"
    COMMENTS = "comments"
    RELATIONS = "relations"


NEEDS = {Expansion.PROJECT: "project_id", Expansion.PARENT: "parent_id"}
"""The attributes of tasks that relations are found by, beside the id."""
PRICES = {
    Expansion.PROJECT: ROW,
    Expansion.ASSIGNEES: MAX_ASSIGNEES * ROW,
    Expansion.TAGS: MAX_TAGS * ROW,
    Expansion.CREATED_BY: ROW,
    Expansion.PARENT: ROW,
    Expansion.COMMENT_COUNT: ROW,
    Expansion.COMMENTS: FIRST_COMMENTS * 2 * ROW,
    Expansion.RELATIONS: FIRST_RELATIONS * ROW,
}
"""What reading each along comes to for a task, in points (``services.prices``): the rows that it may have."""


class TaskWithRelations(TaskOut):
    """A task, with the relations that ``expand`` names; the others are left out."""

    project: ProjectOut | None = Field(default=None, description="With expand=project: the project.")
    assignees: list[UserSummary] = Field(default=[], description="With expand=assignees: who is to do it.")
    tags: list[TagOut] = Field(default=[], description="With expand=tags: its tags, by name.")
    created_by: UserSummary | None = Field(default=None, description="With expand=created_by: who created it.")
    parent: TaskOut | None = Field(default=None, description="With expand=parent: the task that it is a subtask of.")
    comment_count: int = Field(default=0, description="With expand=comment_count: how many comments it has.")
    comments: list[CommentWithAuthor] = Field(
        default=[], description=f"With expand=comments: its first {FIRST_COMMENTS} comments, with authors."
    )
    relations: list[RelationOut] = Field(
        default=[], description=f"With expand=relations: its first {FIRST_RELATIONS} relations to other tasks."
    )


class Expanded(NamedTuple):
    """A record, and what was read along with it."""

    record: Any
    extra: Mapping[str, Any]


async def expand(
    session: Session, actor: Actor, tasks: Sequence[TaskRecord], names: Collection[Expansion]
) -> Sequence[TaskRecord | Expanded]:
    """The tasks with the relations named."""
    if not names or not tasks:
        return tasks
    ids = [task.id for task in tasks]
    extra: dict[int, dict[str, Any]] = {task_id: {} for task_id in ids}
    for name in sorted(set(names)):
        member = name.value
        for task_id, value in zip(ids, await _load(session, actor, tasks, ids, name), strict=True):
            extra[task_id][member] = value
    return [Expanded(task, extra[task.id]) for task in tasks]


async def _load(
    session: Session, actor: Actor, tasks: Sequence[TaskRecord], ids: list[int], name: Expansion
) -> list[Any]:
    if name is Expansion.PROJECT:
        found = await projects.by_ids(session, actor, {task.project_id for task in tasks})
        return [found.get(task.project_id) for task in tasks]
    if name is Expansion.ASSIGNEES:
        people = await queries.assignees(session, actor, ids, wanted=users.PUBLIC)
        return [people[task_id] for task_id in ids]
    if name is Expansion.TAGS:
        labels = await tags.of_tasks(session, actor, ids)
        return [labels[task_id] for task_id in ids]
    if name is Expansion.CREATED_BY:
        creators = await queries.creators(session, actor, ids, wanted=users.PUBLIC)
        return [creators.get(task_id) for task_id in ids]
    if name is Expansion.PARENT:
        parents = await queries.by_ids(session, actor, {task.parent_id for task in tasks if task.parent_id})
        return [parents.get(task.parent_id or 0) for task in tasks]
    if name is Expansion.COMMENT_COUNT:
        counts = await comments.counts(session, actor, ids)
        return [counts.get(task_id, 0) for task_id in ids]
    if name is Expansion.RELATIONS:
        related = await relations.pages(session, actor, ids, PageRequest(first=FIRST_RELATIONS))
        return [related[task_id].items for task_id in ids]
    pages = await comments.pages(session, actor, ids, PageRequest(first=FIRST_COMMENTS))
    written = [comment.id for page in pages.values() for comment in page.items]
    authors = await comments.authors(session, actor, written, wanted=users.PUBLIC)
    return [
        [Expanded(comment, {"author": authors.get(comment.id)}) for comment in pages[task_id].items] for task_id in ids
    ]
