"""What can be read together with tasks: each relation is one statement for the whole page."""

from collections.abc import Collection, Sequence
from typing import Any

from pydantic import Field, create_model
from pydantic.alias_generators import to_snake

from db.driver.sessions import Session
from services import comments, relations, tags
from services.comments import CommentWithAuthor
from services.features import NODES
from services.projects.models import ProjectOut
from services.recurrences import queries as recurrences
from services.recurrences.models import RecurrenceOut
from services.relations import RelationOut
from services.shared.actors import Actor
from services.shared.expansions import Expanded
from services.shared.pagination import PageRequest
from services.shared.prices import ROW
from services.tags import TagOut
from services.tasks import queries
from services.tasks.models import MAX_ASSIGNEES, MAX_TAGS, Expansion, TaskOut, TaskRecord
from services.users import queries as users
from services.users.models import UserSummary

FIRST_COMMENTS = 3
FIRST_RELATIONS = 20


_NODES = {to_snake(name): node for name, node in NODES.items()} | {"parent": NODES["Task"]}
NAMED = {each: _NODES[each] for each in Expansion if each in _NODES and f"{each}_id" in TaskRecord._fields}
"""What tasks name by an id of its own, with its type."""
NEEDS = {each: f"{each}_id" for each in NAMED}
"""The attributes of tasks that relations are found by, beside the id."""
PRICES = {
    **dict.fromkeys(NAMED, ROW),
    Expansion.ASSIGNEES: MAX_ASSIGNEES * ROW,
    Expansion.TAGS: MAX_TAGS * ROW,
    Expansion.CREATED_BY: ROW,
    Expansion.COMMENT_COUNT: ROW,
    Expansion.COMMENTS: FIRST_COMMENTS * 2 * ROW,
    Expansion.RELATIONS: FIRST_RELATIONS * ROW,
    Expansion.RECURRENCE: ROW,
}
"""What reading each along comes to for a task, in points (``services.shared.prices``): the rows that it may have."""


class _TaskWithRelations(TaskOut):
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
    recurrence: RecurrenceOut | None = Field(
        default=None, description="With expand=recurrence: how it recurs; null where it does not."
    )


_OTHERS: dict[str, Any] = {
    each.value: (node.output | None, Field(default=None, description=f"With expand={each}: the {each}."))
    for each, node in NAMED.items()
    if each not in _TaskWithRelations.model_fields
}
TaskWithRelations = create_model(
    "TaskWithRelations", __base__=_TaskWithRelations, __doc__=_TaskWithRelations.__doc__, **_OTHERS
)


async def expand(
    session: Session, actor: Actor, tasks: Sequence[TaskRecord], names: Collection[Expansion]
) -> Sequence[TaskRecord | Expanded]:
    """The tasks with the relations named."""
    if not names or not tasks:
        return tasks
    ids = [task.id for task in tasks]
    extra: dict[int, dict[str, object]] = {task_id: {} for task_id in ids}
    for name in sorted(set(names)):
        member = name.value
        for task_id, value in zip(ids, await _load(session, actor, tasks, ids, name), strict=True):
            extra[task_id][member] = value
    return [Expanded(task, extra[task.id]) for task in tasks]


async def _load(
    session: Session, actor: Actor, tasks: Sequence[TaskRecord], ids: list[int], name: Expansion
) -> list[object]:
    if name in NAMED:
        named = [getattr(task, NEEDS[name]) for task in tasks]
        found = await NAMED[name].load(session, actor, {id_ for id_ in named if id_ is not None})
        return [found.get(id_) for id_ in named]
    if name is Expansion.ASSIGNEES:
        people = await queries.assignees(session, actor, ids, wanted=users.PUBLIC)
        return [people[task_id] for task_id in ids]
    if name is Expansion.TAGS:
        labels = await tags.of_tasks(session, actor, ids)
        return [labels[task_id] for task_id in ids]
    if name is Expansion.CREATED_BY:
        creators = await queries.creators(session, actor, ids, wanted=users.PUBLIC)
        return [creators.get(task_id) for task_id in ids]
    if name is Expansion.COMMENT_COUNT:
        counts = await comments.counts(session, actor, ids)
        return [counts.get(task_id, 0) for task_id in ids]
    if name is Expansion.RECURRENCE:
        series = await recurrences.of_tasks(session, actor, ids)
        return [series.get(task_id) for task_id in ids]
    if name is Expansion.RELATIONS:
        related = await relations.pages(session, actor, ids, PageRequest(first=FIRST_RELATIONS))
        return [related[task_id].items for task_id in ids]
    pages = await comments.pages(session, actor, ids, PageRequest(first=FIRST_COMMENTS))
    written = [comment.id for page in pages.values() for comment in page.items]
    authors = await comments.authors(session, actor, written, wanted=users.PUBLIC)
    return [
        [Expanded(comment, {"author": authors.get(comment.id)}) for comment in pages[task_id].items] for task_id in ids
    ]
