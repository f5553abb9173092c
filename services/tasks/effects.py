"""What a change of something else does to tasks: a change of each of them, with a version and an event of its own, also
of those in the trash and in archived projects.

The callers have checked who asks. There may be very many tasks: lists of them go as one parameter, events in parts.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy import delete as sql_delete
from sqlalchemy import update as sql_update

from core import turns
from core.clock import now
from db.driver.sessions import AnySelect, Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import Project, Relation, Tag, Task, TaskAssignee, TaskTag
from services.events import catalogue, log
from services.events.log import NewEvent
from services.shared.actors import Actor
from services.shared.errors import require_next
from services.shared.statements import parameter
from services.shared.text import fold_name

PART = 1_000
"""How many events are made before they are written, and how many tasks are changed by a statement."""

_TAGS = Prepared(
    select(TaskTag.task_id, TaskTag.tag_id, Tag.name)
    .join(Tag, Tag.id == TaskTag.tag_id)
    .where(in_list(TaskTag.task_id, "task_ids"))
    .order_by(Tag.name_folded),
    tuple,
)
_ASSIGNEES = Prepared(
    select(TaskAssignee.task_id, TaskAssignee.user_id, TaskAssignee.user_id.label("shown"))
    .where(in_list(TaskAssignee.task_id, "task_ids"))
    .order_by(TaskAssignee.user_id),
    tuple,
)
_CHANGE = Prepared(
    sql_update(Task)
    .where(in_list(Task.id, "task_ids"))
    .values(version=Task.version + 1, updated_at=parameter("moment", Task.updated_at.type))
)
_UNASSIGN = Prepared(
    sql_delete(TaskAssignee).where(
        in_list(TaskAssignee.task_id, "task_ids"), TaskAssignee.user_id == parameter("user_id")
    )
)
_DELETE = Prepared(sql_delete(Task).where(in_list(Task.id, "task_ids")))
_HOLD_RELATIONS = Prepared(
    select(Relation.id)
    .where(or_(in_list(Relation.source_id, "task_ids"), in_list(Relation.target_id, "task_ids")))
    .order_by(Relation.id)
    .with_for_update()
)
_RELATIONS = tuple(
    Prepared(
        select(
            *(Relation.id, Relation.kind, Relation.source_id, Relation.target_id),
            here.label("here"),
            Task.id.label("there"),
            Task.project_id,
        )
        .join(Task, Task.id == there)
        .where(in_list(here, "task_ids"))
        .order_by(Relation.id),
        tuple,
    )
    for here, there in ((Relation.source_id, Relation.target_id), (Relation.target_id, Relation.source_id))
)


async def untag(session: Session, actor: Actor, project_id: int, tag_id: int) -> None:
    """Record on each of its tasks that a tag goes, which the caller then deletes."""
    tagged = select(TaskTag.task_id).where(TaskTag.tag_id == tag_id)
    await _take_off(session, actor, project_id, "tags", tagged, _TAGS, tag_id)


async def retag(session: Session, actor: Actor, project_id: int, tag_id: int, name: str) -> None:
    """Record on each of its tasks that a tag gets another name, which the caller then gives it."""
    tagged = select(TaskTag.task_id).where(TaskTag.tag_id == tag_id)
    await _take_off(session, actor, project_id, "tags", tagged, _TAGS, tag_id, becomes=name)


async def unassign(session: Session, actor: Actor, project_id: int, user_id: int) -> None:
    """Take a person off every task of a project."""
    assigned = (
        select(TaskAssignee.task_id)
        .join(Task, Task.id == TaskAssignee.task_id)
        .where(TaskAssignee.user_id == user_id, Task.project_id == project_id)
    )
    task_ids = await _take_off(session, actor, project_id, "assignee_ids", assigned, _ASSIGNEES, user_id)
    if task_ids:
        await session.execute(_UNASSIGN(task_ids=task_ids, user_id=user_id))


async def purge(session: Session, actor: Actor, condition: ColumnElement[bool]) -> int:
    """Delete the tasks that meet a condition for good. Returns how many.

    Each leaves an event, and so does each of their relations in the history of the task that stays.
    """
    # as DELETE locks them: nothing can come to refer to them from here on
    rows = await session.all(
        select(Task.id, Task.number, Task.version, Task.project_id, Project.key)
        .join(Project, Project.id == Task.project_id)
        .where(condition)
        .order_by(Task.id)
        .with_for_update(of=Task)
    )
    if not rows:
        return 0
    projects = {row.id: row.project_id for row in rows}
    task_ids = list(projects)
    # two that delete the ends of a relation at the same time record its end once
    await session.execute(_HOLD_RELATIONS(task_ids=task_ids))
    for statement in _RELATIONS:
        related = await session.all(statement(task_ids=task_ids))
        await _record(session, actor, (_unrelated(row, projects) for row in related if row[5] not in projects))
    for part in turns.parts(task_ids, PART):  # a statement has a time limit
        await session.execute(_DELETE(task_ids=part))
    await _record(
        session,
        actor,
        (
            NewEvent(
                catalogue.TASK_PURGED,
                row.id,
                {"ref": (f"{row.key}-{row.number}", None)},
                version=row.version,
                project_id=row.project_id,
                task_id=row.id,
                notify=False,
            )
            for row in rows
        ),
    )
    return len(rows)


async def _take_off(
    session: Session,
    actor: Actor,
    project_id: int,
    field: str,
    having: AnySelect,
    links: Prepared[tuple[Any, ...]],
    gone: int,
    *,
    becomes: str | None = None,
) -> Sequence[int]:
    """Give the tasks that have something one more version, and the event that it is gone, or what it becomes. Returns
    which they were.

    ``links`` answers, for tasks, the id and the shown value of each such thing that they have.
    """
    rows = await session.all(
        select(Task.id, Task.version)
        .where(Task.id.in_(having))
        .order_by(Task.id)
        .with_for_update(of=Task, key_share=True)
    )
    if not rows:
        return []
    before: dict[int, list[object]] = defaultdict(list)
    after: dict[int, list[object]] = defaultdict(list)
    for task_id, id_, shown in await session.all(links(task_ids=[row.id for row in rows])):
        before[task_id].append(shown)
        if id_ != gone:
            after[task_id].append(shown)
        elif becomes is not None:
            after[task_id].append(becomes)
    if becomes is not None:  # by name, as a task's tags are
        for shown_after in after.values():
            shown_after.sort(key=fold_name)
    # somebody may have taken it off while we waited for the lock
    rows = [row for row in rows if after[row.id] != before[row.id]]
    await changed(session, actor, project_id, {row.id: row.version for row in rows}, field, before, after)
    return [row.id for row in rows]


async def changed(
    session: Session,
    actor: Actor,
    project_id: int,
    versions: Mapping[int, int],
    field: str,
    before: Mapping[int, object],
    after: Mapping[int, object],
) -> None:
    """Give tasks that are locked, by id with their versions, one more version, and the event that a field changed.

    The caller changes what the field shows. Raises ``Conflict`` where a task can have no further version.
    """
    task_ids = [*versions]
    require_next(max(versions.values(), default=0))
    moment = now()
    for part in turns.parts(task_ids, PART):  # a statement has a time limit
        await session.execute(_CHANGE(task_ids=part, moment=moment))
    await _record(
        session,
        actor,
        (
            NewEvent(
                catalogue.TASK_UPDATED,
                task_id,
                {field: (before[task_id], after[task_id])},
                version=version + 1,
                project_id=project_id,
                task_id=task_id,
            )
            for task_id, version in versions.items()
        ),
    )


def _unrelated(row: tuple[Any, ...], projects: dict[int, int]) -> NewEvent:
    relation_id, kind, source_id, target_id, here, there, project_id = row
    changes = {"kind": (kind, None)}
    if projects[here] == project_id:  # one of another project is not named: not all may read it
        changes |= {"source_id": (source_id, None), "target_id": (target_id, None)}
    return NewEvent(
        catalogue.RELATION_DELETED, relation_id, changes, project_id=project_id, task_id=there, notify=False
    )


async def _record(session: Session, actor: Actor, new: Iterable[NewEvent]) -> None:
    remaining = iter(new)
    while part := tuple(islice(remaining, PART)):
        await log.record(session, actor, *part)
