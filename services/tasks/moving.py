"""Moving a task to another project, with all that hangs on it and below it.

What a task says of itself stays as it is, and so do its comments, its history and its relations, which may cross
projects anyway. What it names of its project is looked up by name in the other one.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import Field
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert, select
from sqlalchemy import update as sql_update
from sqlalchemy.orm import aliased

from core import deadlines
from core.clock import now
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.lists import in_list, one_of
from db.models import Comment, FormerRef, Tag, Task, TaskTag
from db.models.milestones import Milestone
from services import tags
from services.events import catalogue, log
from services.projects.locks import Hold, hold
from services.projects.models import ProjectRecord, Role
from services.projects.queries import require_writable
from services.shared.actors import Actor, Scope
from services.shared.bulk_writing import write_all
from services.shared.errors import Conflict, NotFound
from services.shared.idempotency import repeatable
from services.shared.inputs import DescribedEnum, Input, ProjectId
from services.shared.outputs import Output
from services.shared.statements import parameter
from services.tasks import attachments, external_ids
from services.tasks.creation import take_numbers
from services.tasks.insertion import LABEL
from services.tasks.models import TaskOut, TaskRecord
from services.tasks.queries import get
from services.tasks.references import members_among
from services.tasks.trees import lock_with_subtasks

MAX_MOVED = 1_000
"""Tasks that go at once."""
MAX_TOLD = 100
"""How much of what stays behind is told."""


class TaskMove(Input):
    """Moves a task to another project."""

    project_id: ProjectId = Field(description="The project that it goes to.")


class StaysBehind(DescribedEnum):
    """What a task had that is not in its new project."""

    ASSIGNEE = "assignee", "Somebody who was to do it, and is no member of the other project."
    MILESTONE = "milestone", "Its milestone: the other project has none of that name."
    PARENT = "parent", "The task that it was a subtask of."


class LeftBehindOut(Output):
    """Something that a task had and does not have any more, as it is not in its new project."""

    task_id: int = Field(description="The database id of the task.")
    what: StaysBehind = Field(description="What it was to the task.")
    id: int = Field(description="The database id of what the task had.")


class MoveOut(Output):
    """A task that was moved."""

    task: TaskOut = Field(description="The task as it is now.")
    moved: int = Field(description="How many tasks went, with those below it that are in the trash; 0 if it was there.")
    left_behind: list[LeftBehindOut] = Field(
        description=f"What they have lost, the first {MAX_TOLD} of it; their history has all."
    )


class LeftBehind(NamedTuple):
    """Something that a task lost by a move."""

    task_id: int
    what: StaysBehind
    id: int


class Move(NamedTuple):
    """A task that was moved, how many went, and what they lost."""

    task: TaskRecord
    moved: int
    left_behind: Sequence[LeftBehind]


class _Moving(NamedTuple):
    """What is read of a task that goes."""

    id: int
    number: int
    parent_id: int | None
    milestone_id: int | None
    version: int
    external_source: str | None
    external_id: str | None


async def _while_readable(session: Session, actor: Actor, record: Move) -> Move:
    await get(session, actor, record.task.id)
    return record


@repeatable("task.move", scope=Scope.TASKS_WRITE, read=_while_readable)
async def move(session: Session, actor: Actor, task_id: int, data: TaskMove) -> Move:
    """Move a task and all that hangs below it to another project, as a member of both.

    Each gets a number of the other project, and is found by its former ref, too. Tags go by name, and those that the
    other project lacks are created; the milestone is the one of the same name, if there is one; assignees who are no
    members there, and the parent, stay behind. Nothing is written where it is there already.

    Raises ``NotFound``, ``Forbidden``; ``Conflict`` for an archived project, for more than ``MAX_MOVED`` tasks, where
    the other project has a task or comment of the same external id, or no room for numbers or tags.
    """
    deadlines.takes_long()
    session.takes_long()
    task, projects = await _hold(session, actor, task_id, data.project_id)
    source, target = projects[task.project_id], projects.get(data.project_id)
    require_writable(source, Role.MEMBER)
    if target is None:
        raise NotFound("Project", pointer="/project_id")
    require_writable(target, Role.MEMBER)
    if source.id == target.id:
        return Move(task, 0, ())
    ids = await lock_with_subtasks(session, [task_id])
    if len(ids) > MAX_MOVED:
        raise Conflict(f"The task has more than {MAX_MOVED - 1:,} tasks below it, which is as many as go at once")
    rows = await session.all(_TREE(ids=ids))
    before: dict[int, dict[str, Any]] = {row.id: row._asdict() for row in rows}
    await attachments.read_into(session, before, assigned=ids, tagged=ids)
    await _require_free(session, source, target, before)
    after = await _as_it_will_be(session, actor, task_id, target, before)
    await _write(session, source, target, before, after)
    await _record(session, actor, source, target, before, after)
    lost = _lost(before, after)
    return Move(await get(session, actor, task_id), len(ids), lost[:MAX_TOLD])


async def _hold(
    session: Session, actor: Actor, task_id: int, project_id: int
) -> tuple[TaskRecord, Mapping[int, ProjectRecord]]:
    """The task, and the projects that it is in and goes to, held in the order of their ids."""
    task = await get(session, actor, task_id)
    actor.require(Scope.TASKS_WRITE)
    while True:
        projects = await hold(session, actor, {task.project_id, project_id}, Hold.IN_TURN)
        task = await get(session, actor, task_id)
        if task.project_id in projects:
            return task, projects  # else it was moved a moment ago


async def _require_free(
    session: Session, source: ProjectRecord, target: ProjectRecord, tasks: Mapping[int, Mapping[str, Any]]
) -> None:
    """Raises ``Conflict`` where other systems call something in the target as they call what goes there."""
    keys = [key for values in tasks.values() if (key := external_ids.key_of(target.id, values)) is not None]
    if await external_ids.holders(session, keys):
        raise Conflict.at("/project_id", f"The project {target.key} has a task with the same external id", "taken")
    if await session.first(_SAME_COMMENTS(ids=[*tasks], target=target.id)) is not None:
        raise Conflict.at("/project_id", f"The project {target.key} has a comment with the same external id", "taken")


async def _as_it_will_be(
    session: Session, actor: Actor, task_id: int, target: ProjectRecord, before: Mapping[int, dict[str, Any]]
) -> dict[int, dict[str, Any]]:
    """The tasks' values in the target, where what they need is made, with the ids of their tags as ``tag_ids``."""
    assigned = {user_id for values in before.values() for user_id in values["assignee_ids"]}
    members = (await members_among(session, [target.id], assigned))[target.id] if assigned else set()
    names = [name for values in before.values() for name in values["tags"]]
    known = await tags.find(session, target, names, pointer="/project_id")
    number = await take_numbers(session, target, len(before))
    tag_ids = await tags.ensure(session, actor, target, names, known)
    spelled = await _spellings(session, {*tag_ids.values()})
    milestones = await _milestones(session, target, before)
    after: dict[int, dict[str, Any]] = {}
    for new_number, (id_, values) in enumerate(before.items(), number):
        own = sorted({tags.fold(name) for name in values["tags"]})
        after[id_] = {
            "number": new_number,
            "parent_id": None if id_ == task_id else values["parent_id"],
            "milestone_id": milestones.get(values["milestone_id"]),
            "assignee_ids": [user_id for user_id in values["assignee_ids"] if user_id in members],
            "tags": [spelled[tag_ids[name]] for name in own],
            "tag_ids": [tag_ids[name] for name in own],
        }
    return after


async def _spellings(session: Session, tag_ids: Collection[int]) -> Mapping[int, str]:
    return {row.id: row.name for row in await session.all(_NAMES(ids=tag_ids))} if tag_ids else {}


async def _milestones(
    session: Session, target: ProjectRecord, tasks: Mapping[int, Mapping[str, Any]]
) -> Mapping[int, int]:
    """The target's milestones of the same names, by those that the tasks have."""
    wanted = {values["milestone_id"] for values in tasks.values()} - {None}
    if not wanted:
        return {}
    return {row[0]: row[1] for row in await session.all(_SAME_MILESTONES(ids=wanted, target=target.id))}


async def _write(
    session: Session,
    source: ProjectRecord,
    target: ProjectRecord,
    before: Mapping[int, Mapping[str, Any]],
    after: Mapping[int, Mapping[str, Any]],
) -> None:
    moment, ids = now(), [*before]
    await write_all(
        session,
        _MOVE,
        [
            {f"new_{name}": values[name] for name in _COLUMNS}
            | {"the_id": id_, "new_project_id": target.id, "moment": moment}
            for id_, values in after.items()
        ],
    )
    former = [{"project_id": source.id, "number": each["number"], "task_id": id_} for id_, each in before.items()]
    await write_all(session, _FORMER, former)
    await session.execute(sql_delete(TaskTag).where(one_of(TaskTag.task_id, ids)))
    labels = [{"task_id": id_, "tag_id": tag_id} for id_, each in after.items() for tag_id in each["tag_ids"]]
    await write_all(session, LABEL, labels)
    people = {id_: log.differences(before[id_], {_PEOPLE: each[_PEOPLE]}) for id_, each in after.items()}
    await attachments.set_assignees(session, {id_: ({}, changed) for id_, changed in people.items()})
    await session.execute(_MOVE_COMMENTS(ids=ids, target=target.id))


async def _record(
    session: Session,
    actor: Actor,
    source: ProjectRecord,
    target: ProjectRecord,
    before: Mapping[int, Mapping[str, Any]],
    after: Mapping[int, Mapping[str, Any]],
) -> None:
    """That each left, for those who may read the one project, and that it came, for those who may read the other."""
    events = []
    for id_, old in before.items():
        refs = (f"{source.key}-{old['number']}", f"{target.key}-{after[id_]['number']}")
        kept = {name: after[id_][name] for name in _TOLD}
        changes = {"project_id": (source.id, target.id), "ref": refs, **log.differences(old, kept)}
        place = {"version": old["version"] + 1, "task_id": id_}
        events.append(
            log.NewEvent(
                catalogue.TASK_LEFT, id_, {"ref": (refs[0], None)}, project_id=source.id, notify=False, **place
            )
        )
        events.append(log.NewEvent(catalogue.TASK_MOVED, id_, changes, project_id=target.id, **place))
    await log.record(session, actor, *events)


def _lost(before: Mapping[int, Mapping[str, Any]], after: Mapping[int, Mapping[str, Any]]) -> list[LeftBehind]:
    found = []
    for id_, old in before.items():
        new = after[id_]
        for what, name in ((StaysBehind.PARENT, "parent_id"), (StaysBehind.MILESTONE, "milestone_id")):
            if old[name] is not None and new[name] is None:
                found.append(LeftBehind(id_, what, old[name]))
        gone = [user_id for user_id in old["assignee_ids"] if user_id not in new["assignee_ids"]]
        found += (LeftBehind(id_, StaysBehind.ASSIGNEE, user_id) for user_id in gone)
    return found


_PEOPLE = "assignee_ids"
_COLUMNS = ("number", "parent_id", "milestone_id")
_TOLD = ("parent_id", "milestone_id", "assignee_ids", "tags")
_TREE = Prepared(
    select(*(getattr(Task, name) for name in _Moving._fields)).where(in_list(Task.id, "ids")).order_by(Task.number),
    _Moving,
)
_NAMES = Prepared(select(Tag.id, Tag.name).where(in_list(Tag.id, "ids")))
_MOVE = Prepared(
    sql_update(Task)
    .where(Task.id == parameter("the_id"))
    .values(
        {name: parameter(f"new_{name}", getattr(Task, name).type) for name in (*_COLUMNS, "project_id")}
        | {"version": Task.version + 1, "updated_at": parameter("moment", Task.updated_at.type)}
    )
)
_FORMER = Prepared(insert(FormerRef), keys=("project_id", "number", "task_id"))
_MOVE_COMMENTS = Prepared(
    sql_update(Comment)
    .where(in_list(Comment.task_id, "ids"), Comment.external_id.is_not(None))
    .values(external_project_id=parameter("target"))
)
_there = aliased(Comment)
_SAME_COMMENTS = Prepared(
    select(Comment.id)
    .join(
        _there,
        (_there.external_project_id == parameter("target"))
        & (_there.external_source == Comment.external_source)
        & (_there.external_id == Comment.external_id),
    )
    .where(in_list(Comment.task_id, "ids"), Comment.external_id.is_not(None))
    .limit(1)
)
_its = aliased(Milestone)
_SAME_MILESTONES = Prepared(
    select(Milestone.id, _its.id.label("its"))
    .join(_its, _its.name_folded == Milestone.name_folded)
    .where(in_list(Milestone.id, "ids"), _its.project_id == parameter("target")),
    tuple,
)
