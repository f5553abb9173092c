"""Changing many tasks in as many statements as one: each task has its own new values, and its own error.

A single update is a change of one task. First everything is read and checked, task by task; then what is left is
written: one UPDATE, run once for each task, with one more version and one event each.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, bindparam, insert, select
from sqlalchemy import delete as sql_delete
from sqlalchemy import update as sql_update

from core import turns
from core.clock import now
from db.lists import among, one_of
from db.models import Membership, Tag, Task, TaskAssignee, TaskTag, TaskText
from db.sessions import Session
from db.statements import Prepared
from services import events, tags
from services.actors import Actor, Scope
from services.errors import BadUserInput, Expected, NotFound, TandemError, require_next, require_version
from services.prepared import CALLER, parameter
from services.projects.locks import Hold, hold_of
from services.projects.models import ProjectRecord, Role
from services.projects.queries import require_writable
from services.tasks.models import TaskRecord, TaskStatus
from services.tasks.queries import by_ids, visible
from services.tasks.texts import fold_text
from services.tasks.trees import check_parent
from services.writing import write_all

Outcome = TaskRecord | TandemError
"""The task as it is now, or why it could not be changed."""


class TaskChange(NamedTuple):
    """The new values of one task, by field; ``expected`` is the version, or versions, that it must have."""

    task_id: int
    sent: Mapping[str, Any]
    expected: Expected = None


async def hold_task(session: Session, actor: Actor, task_id: int) -> tuple[TaskRecord, ProjectRecord]:
    """A task and its project, held as they are for what is written beside them. Raises ``NotFound``."""
    found = await hold_tasks(session, actor, [task_id])
    if task_id not in found:
        raise NotFound("Task")
    return found[task_id]


async def hold_tasks(
    session: Session, actor: Actor, task_ids: Collection[int], *, alone: bool = False
) -> Mapping[int, tuple[TaskRecord, ProjectRecord]]:
    """As ``hold_task``, of those that may be read; ``alone`` for one writer at a time beside each task."""
    actor.require(Scope.TASKS_READ)
    projects = await hold_of(session, actor, task_ids, Hold.BESIDE)
    rows = await session.all(_HELD_TASKS[alone](caller_id=actor.user_id, ids=task_ids)) if projects else ()
    return {row.id: (row, projects[row.project_id]) for row in rows}


_HELD_TASKS = {
    alone: Prepared(
        visible(CALLER)
        .where(among(Task.id, "ids"))
        .order_by(Task.id)
        .with_for_update(of=Task, read=not alone, key_share=alone),
        TaskRecord,
    )
    for alone in (False, True)
}
"""FOR SHARE lets nobody change the tasks, or move them to the trash; FOR NO KEY UPDATE lets nobody hold them either."""


class Locked(NamedTuple):
    """Tasks that are locked until the transaction ends, and what changes of them rest on, which is held as long."""

    tasks: Mapping[int, TaskRecord]
    projects: Mapping[int, ProjectRecord]
    members: Mapping[int, Collection[int]]
    """Of those who are to be assigned, the ones that belong to each project."""


async def lock(
    session: Session,
    actor: Actor,
    wanted: Collection[int] | ColumnElement[bool],
    *,
    trees: bool,
    assigning: Collection[int] = (),
) -> Locked:
    """Those of the tasks that may be read, by their ids or a condition, locked, and their projects.

    With ``trees``, what hangs below what in their projects stays as it is, too. Raises ``Forbidden`` for a key that
    must not write.
    """
    actor.require(Scope.TASKS_WRITE)
    projects = await hold_of(session, actor, wanted, Hold.IN_TURN if trees else Hold.BESIDE)
    members = await members_among(session, projects.keys(), assigning)
    # as an UPDATE locks them, so that rows that refer to a task (FOR KEY SHARE) need not wait; in one order
    rows = await session.all(
        visible(actor)
        .where(chosen(wanted), one_of(Task.project_id, projects.keys()))
        .order_by(Task.id)
        .with_for_update(of=Task, key_share=True)
    )
    return Locked({row.id: TaskRecord._make(row) for row in rows}, projects, members)


def chosen(wanted: Collection[int] | ColumnElement[bool]) -> ColumnElement[bool]:
    """The condition on ``tasks`` that ids stand for."""
    return wanted if isinstance(wanted, ColumnElement) else one_of(Task.id, wanted)


def refusals(locked: Locked, wanted: Iterable[tuple[int, Expected]]) -> dict[int, TandemError]:
    """Which of the tasks wanted may not be changed, and why."""
    refused: dict[int, TandemError] = {}
    for task_id, expected in wanted:
        try:
            if task_id not in locked.tasks:
                raise NotFound("Task")
            require_writable(locked.projects[locked.tasks[task_id].project_id], Role.MEMBER)
            require_version(locked.tasks[task_id].version, expected)
            require_next(locked.tasks[task_id].version)
        except TandemError as error:
            refused[task_id] = error
    return refused


async def apply(
    session: Session, actor: Actor, locked: Locked, changes: Sequence[TaskChange], *, notify: bool = True
) -> dict[int, Outcome]:
    """Write the changes to locked tasks, each task once. Nothing is written where no field differs.

    An error of one task leaves the others alone: whoever wants all or nothing gives up the transaction.
    """
    tasks = locked.tasks
    refused = refusals(locked, ((item.task_id, item.expected) for item in changes))
    outcomes: dict[int, Outcome] = {**refused}
    open_ = [item for item in changes if item.task_id not in refused]
    before = await _stored(session, tasks, open_)
    planned: dict[int, tuple[dict[str, Any], events.Changes]] = {}
    pace = turns.Pace()
    for item in open_:
        if pace.due():
            await turns.give()
        task, old = tasks[item.task_id], before[item.task_id]
        sent = dict(item.sent)
        if "assignee_ids" in sent:
            sent["assignee_ids"] = sorted(set(sent["assignee_ids"]))
        if "tags" in sent:
            sent["tags"] = _distinct_tags(sent["tags"], old["tags"])
        changed = events.differences(old, sent)
        try:
            if changed:
                _check_dates(old | sent)
            if "assignee_ids" in changed:
                check_assignees(locked.members[task.project_id], sent["assignee_ids"])
            if changed.get("parent_id", (None, None))[1] is not None:
                await check_parent(session, actor, task.project_id, sent["parent_id"], moving=task.id)
        except TandemError as error:
            outcomes[task.id] = error
            continue
        if not changed:
            outcomes[task.id] = task
            continue
        if "parent_id" in changed:  # the next check must see it
            await session.execute(_MOVE(the_id=task.id, new_parent_id=sent["parent_id"]))
        planned[task.id] = (old | sent, changed)
    if planned:
        await _write(session, actor, locked, planned)
        after = await by_ids(session, actor, planned)
        outcomes |= after
        await events.record(
            session,
            actor,
            *(
                events.NewEvent(
                    "task.updated",
                    "task",
                    task_id,
                    changed,
                    version=after[task_id].version,
                    project_id=after[task_id].project_id,
                    task_id=task_id,
                    notify=notify,
                )
                for task_id, (_, changed) in planned.items()
            ),
        )
    return outcomes


def check_assignees(members: Collection[int], user_ids: Collection[int], *, pointer: str = "/assignee_ids") -> None:
    """Raises ``NotFound`` for somebody who is no member."""
    if not set(user_ids) <= set(members):
        raise NotFound("Member of the project", pointer=pointer)


async def members_among(
    session: Session, project_ids: Collection[int], user_ids: Collection[int]
) -> Mapping[int, set[int]]:
    """Which of the users are members of each project; that they are is held."""
    found: dict[int, set[int]] = defaultdict(set)
    if project_ids and user_ids:
        rows = await session.all(
            select(Membership.project_id, Membership.user_id)
            .where(one_of(Membership.project_id, project_ids), one_of(Membership.user_id, user_ids))
            .order_by(Membership.project_id, Membership.user_id)
            .with_for_update(read=True, key_share=True)
        )
        for project_id, user_id in rows:
            found[project_id].add(user_id)
    return found


async def _stored(
    session: Session, tasks: Mapping[int, TaskRecord], items: Sequence[TaskChange]
) -> dict[int, dict[str, Any]]:
    """What the tasks have now, by field; assignees and tags where they are to be changed."""
    before: dict[int, dict[str, Any]] = {item.task_id: tasks[item.task_id]._asdict() for item in items}
    assigned = [item.task_id for item in items if "assignee_ids" in item.sent]
    tagged = [item.task_id for item in items if "tags" in item.sent]
    for ids, field in ((assigned, "assignee_ids"), (tagged, "tags")):
        for task_id in ids:
            before[task_id][field] = []
    if assigned:
        for task_id, user_id in await session.all(
            select(TaskAssignee.task_id, TaskAssignee.user_id)
            .where(one_of(TaskAssignee.task_id, assigned))
            .order_by(TaskAssignee.user_id)
        ):
            before[task_id]["assignee_ids"].append(user_id)
    if tagged:
        for task_id, name in await session.all(
            select(TaskTag.task_id, Tag.name)
            .join(Tag, TaskTag.tag_id == Tag.id)
            .where(one_of(TaskTag.task_id, tagged))
            .order_by(Tag.name_folded)
        ):
            before[task_id]["tags"].append(name)
    return before


async def _write(
    session: Session, actor: Actor, locked: Locked, planned: Mapping[int, tuple[dict[str, Any], events.Changes]]
) -> None:
    moment = now()
    columns: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for task_id, (values, changed) in planned.items():
        row = {name: values[name] for name in changed if name not in {"assignee_ids", "tags"}}
        if "status" in changed:
            row["completed_at"] = moment if values["status"] == TaskStatus.COMPLETED else None
        columns[tuple(sorted(row))].append({f"new_{name}": value for name, value in row.items()} | {"the_id": task_id})
    for names, rows in columns.items():
        statement = (
            sql_update(Task)
            .where(Task.id == bindparam("the_id"))
            .values(
                {name: bindparam(f"new_{name}") for name in names},
            )
            .values(version=Task.version + 1, updated_at=moment)
        )
        await write_all(session, statement, rows)
    await _set_assignees(session, planned)
    await _set_tags(session, actor, locked, planned)
    texts = []
    pace = turns.Pace()
    for task_id, (values, changed) in planned.items():
        if "title" in changed or "description" in changed:
            if pace.due():
                await turns.give()
            texts.append({"the_id": task_id, "text": fold_text(f"{values['title']}\n{values['description'] or ''}")})
    if texts:
        await write_all(session, _RETELL, texts)


async def _set_assignees(session: Session, planned: Mapping[int, tuple[dict[str, Any], events.Changes]]) -> None:
    gone: list[dict[str, int]] = []
    new: list[dict[str, int]] = []
    for task_id, (_, changed) in planned.items():
        before, after = changed.get("assignee_ids", ((), ()))
        gone += ({"the_task": task_id, "the_user": user_id} for user_id in set(before) - set(after))
        new += ({"task_id": task_id, "user_id": user_id} for user_id in sorted(set(after) - set(before)))
    await write_all(session, _UNASSIGN, gone)
    await write_all(session, _ASSIGN, new)


async def _set_tags(
    session: Session, actor: Actor, locked: Locked, planned: Mapping[int, tuple[dict[str, Any], events.Changes]]
) -> None:
    by_project: dict[int, dict[int, list[str]]] = defaultdict(dict)
    for task_id, (values, changed) in planned.items():
        if "tags" in changed:
            by_project[locked.tasks[task_id].project_id][task_id] = values["tags"]
    for project_id, wanted in sorted(by_project.items()):
        ids = await tags.ensure(
            session, actor, locked.projects[project_id], [name for names in wanted.values() for name in names]
        )
        await session.execute(sql_delete(TaskTag).where(one_of(TaskTag.task_id, wanted)))
        links: list[dict[str, int]] = []
        pace = turns.Pace()
        for task_id, names in wanted.items():
            if pace.due():
                await turns.give()
            links += ({"task_id": task_id, "tag_id": ids[tags.fold(name)]} for name in names)
        await write_all(session, _LABEL, links)


_MOVE: Prepared[Any] = Prepared(
    sql_update(Task).where(Task.id == parameter("the_id")).values(parent_id=parameter("new_parent_id"))
)
_RETELL: Prepared[Any] = Prepared(
    sql_update(TaskText).where(TaskText.task_id == parameter("the_id")).values(folded=parameter("text"))
)
_UNASSIGN: Prepared[Any] = Prepared(
    sql_delete(TaskAssignee).where(
        TaskAssignee.task_id == parameter("the_task"), TaskAssignee.user_id == parameter("the_user")
    )
)
_ASSIGN: Prepared[Any] = Prepared(insert(TaskAssignee), keys=("task_id", "user_id"))
_LABEL: Prepared[Any] = Prepared(insert(TaskTag), keys=("task_id", "tag_id"))


def _check_dates(values: Mapping[str, Any]) -> None:
    if values["start_at"] is not None and values["due_at"] is not None and values["due_at"] < values["start_at"]:
        raise BadUserInput.at("/due_at", "due_at must not be before start_at", "range")


def _distinct_tags(names: Sequence[str], stored: Sequence[str]) -> list[str]:
    """The names once each in the order of their folds; a tag that is there keeps the spelling it has."""
    spelling = {tags.fold(name): name for name in [*reversed(names), *stored]}
    return [spelling[folded] for folded in sorted({tags.fold(name) for name in names})]
