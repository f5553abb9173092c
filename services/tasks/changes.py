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

from core.clock import now
from db.models import Membership, Tag, Task, TaskAssignee, TaskTag, TaskText
from db.sessions import Session
from services import events, tags
from services.actors import Actor, Scope
from services.errors import BadUserInput, Expected, NotFound, TandemError, require_version
from services.projects import queries as projects
from services.projects.models import ProjectRecord, Role
from services.tasks.conditions import fold_text
from services.tasks.models import TaskRecord, TaskStatus
from services.tasks.queries import by_ids, visible
from services.tasks.trees import check_parent, lock_trees

Outcome = TaskRecord | TandemError
"""The task as it is now, or why it could not be changed."""


class TaskChange(NamedTuple):
    """The new values of one task, by field; ``expected`` is the version, or versions, that it must have."""

    task_id: int
    sent: Mapping[str, Any]
    expected: Expected = None


async def lock(session: Session, actor: Actor, condition: ColumnElement[bool], *, trees: bool) -> dict[int, TaskRecord]:
    """The tasks that may be read and meet the condition, locked until the transaction ends, by id.

    With ``trees``, what hangs below what in their projects is locked before. Raises ``Forbidden`` for a key that
    must not write.
    """
    actor.require(Scope.TASKS_WRITE)
    if trees:
        await lock_trees(session, actor, condition)
    # as an UPDATE locks them, so that rows that refer to a task (FOR KEY SHARE) need not wait; in one order
    rows = await session.all(visible(actor).where(condition).order_by(Task.id).with_for_update(of=Task, key_share=True))
    return {row.id: TaskRecord._make(row) for row in rows}


async def writable(
    session: Session, actor: Actor, tasks: Mapping[int, TaskRecord], wanted: Iterable[tuple[int, Expected]]
) -> tuple[dict[int, ProjectRecord], dict[int, TandemError]]:
    """The projects of the locked tasks, and which of those wanted may not be changed, and why."""
    found = dict(await projects.by_ids(session, actor, {task.project_id for task in tasks.values()}))
    refused: dict[int, TandemError] = {}
    for task_id, expected in wanted:
        try:
            if task_id not in tasks:
                raise NotFound("Task")
            projects.require_writable(found[tasks[task_id].project_id], Role.MEMBER)
            require_version(tasks[task_id].version, expected)
        except TandemError as error:
            refused[task_id] = error
    return found, refused


async def apply(
    session: Session,
    actor: Actor,
    tasks: Mapping[int, TaskRecord],
    changes: Sequence[TaskChange],
    *,
    notify: bool = True,
) -> dict[int, Outcome]:
    """Write the changes to tasks locked by ``lock``, each task once. Nothing is written where no field differs.

    An error of one task leaves the others alone: whoever wants all or nothing gives up the transaction.
    """
    found, refused = await writable(session, actor, tasks, ((item.task_id, item.expected) for item in changes))
    outcomes: dict[int, Outcome] = {**refused}
    open_ = [item for item in changes if item.task_id not in refused]
    before = await _stored(session, tasks, open_)
    members = await _members(session, tasks, open_)
    planned: dict[int, tuple[dict[str, Any], events.Changes]] = {}
    for item in open_:
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
                check_assignees(members[task.project_id], sent["assignee_ids"])
            if changed.get("parent_id", (None, None))[1] is not None:
                await check_parent(session, actor, task.project_id, sent["parent_id"], moving=task.id)
        except TandemError as error:
            outcomes[task.id] = error
            continue
        if not changed:
            outcomes[task.id] = task
            continue
        if "parent_id" in changed:  # the next check must see it
            await session.execute(sql_update(Task).where(Task.id == task.id).values(parent_id=sent["parent_id"]))
        planned[task.id] = (old | sent, changed)
    if planned:
        await _write(session, actor, tasks, found, planned)
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
    """Which of the users are members of each project."""
    found: dict[int, set[int]] = defaultdict(set)
    if project_ids and user_ids:
        rows = await session.all(
            select(Membership.project_id, Membership.user_id).where(
                Membership.project_id.in_(project_ids), Membership.user_id.in_(user_ids)
            )
        )
        for project_id, user_id in rows:
            found[project_id].add(user_id)
    return found


async def _members(
    session: Session, tasks: Mapping[int, TaskRecord], items: Sequence[TaskChange]
) -> Mapping[int, set[int]]:
    assigning = [item for item in items if item.sent.get("assignee_ids")]
    return await members_among(
        session,
        {tasks[item.task_id].project_id for item in assigning},
        {user_id for item in assigning for user_id in item.sent["assignee_ids"]},
    )


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
            .where(TaskAssignee.task_id.in_(assigned))
            .order_by(TaskAssignee.user_id)
        ):
            before[task_id]["assignee_ids"].append(user_id)
    if tagged:
        for task_id, name in await session.all(
            select(TaskTag.task_id, Tag.name)
            .join(Tag, TaskTag.tag_id == Tag.id)
            .where(TaskTag.task_id.in_(tagged))
            .order_by(Tag.name_folded)
        ):
            before[task_id]["tags"].append(name)
    return before


async def _write(
    session: Session,
    actor: Actor,
    tasks: Mapping[int, TaskRecord],
    found: Mapping[int, ProjectRecord],
    planned: Mapping[int, tuple[dict[str, Any], events.Changes]],
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
        await session.execute(statement, rows)
    await _set_assignees(session, planned)
    await _set_tags(session, actor, tasks, found, planned)
    texts = [
        {"the_id": task_id, "text": fold_text(f"{values['title']}\n{values['description'] or ''}")}
        for task_id, (values, changed) in planned.items()
        if "title" in changed or "description" in changed
    ]
    if texts:
        statement = sql_update(TaskText).where(TaskText.task_id == bindparam("the_id")).values(folded=bindparam("text"))
        await session.execute(statement, texts)


async def _set_assignees(session: Session, planned: Mapping[int, tuple[dict[str, Any], events.Changes]]) -> None:
    gone: list[dict[str, int]] = []
    new: list[dict[str, int]] = []
    for task_id, (_, changed) in planned.items():
        before, after = changed.get("assignee_ids", ((), ()))
        gone += ({"the_task": task_id, "the_user": user_id} for user_id in set(before) - set(after))
        new += ({"task_id": task_id, "user_id": user_id} for user_id in sorted(set(after) - set(before)))
    if gone:
        statement = sql_delete(TaskAssignee).where(
            TaskAssignee.task_id == bindparam("the_task"), TaskAssignee.user_id == bindparam("the_user")
        )
        await session.execute(statement, gone)
    if new:
        await session.execute(insert(TaskAssignee), new)


async def _set_tags(
    session: Session,
    actor: Actor,
    tasks: Mapping[int, TaskRecord],
    found: Mapping[int, ProjectRecord],
    planned: Mapping[int, tuple[dict[str, Any], events.Changes]],
) -> None:
    by_project: dict[int, dict[int, list[str]]] = defaultdict(dict)
    for task_id, (values, changed) in planned.items():
        if "tags" in changed:
            by_project[tasks[task_id].project_id][task_id] = values["tags"]
    for project_id, wanted in sorted(by_project.items()):
        ids = await tags.ensure(
            session, actor, found[project_id], [name for names in wanted.values() for name in names]
        )
        await session.execute(sql_delete(TaskTag).where(TaskTag.task_id.in_(wanted)))
        links = [
            {"task_id": task_id, "tag_id": ids[tags.fold(name)]} for task_id, names in wanted.items() for name in names
        ]
        if links:
            await session.execute(insert(TaskTag), links)


def _check_dates(values: Mapping[str, Any]) -> None:
    if values["start_at"] is not None and values["due_at"] is not None and values["due_at"] < values["start_at"]:
        raise BadUserInput.at("/due_at", "due_at must not be before start_at", "range")


def _distinct_tags(names: Sequence[str], stored: Sequence[str]) -> list[str]:
    """The names once each in the order of their folds; a tag that is there keeps the spelling it has."""
    spelling = {tags.fold(name): name for name in [*reversed(names), *stored]}
    return [spelling[folded] for folded in sorted({tags.fold(name) for name in names})]
