"""Changing many tasks in as many statements as one: each task has its own new values, and its own error.

A single update is a change of one task. First everything is read and checked, task by task; then what is left is
written: one UPDATE, run once for each task, with one more version and one event each.
"""

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, bindparam, select
from sqlalchemy import update as sql_update

from core import turns
from core.clock import now
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.lists import in_list, one_of
from db.models import Task, TaskText
from services.events import catalogue, log
from services.projects.locks import Hold, hold, hold_of, hold_of_recurring
from services.projects.models import ProjectRecord, Role
from services.projects.queries import require_writable
from services.recurrences import changes as recurrences
from services.recurrences.changes import NO_NEEDS, Needs
from services.shared.actors import Actor, Scope
from services.shared.bulk_writing import write_all
from services.shared.errors import BadUserInput, Expected, NotFound, TandemError, require_next, require_version
from services.shared.external_ids import require_pair
from services.shared.statements import ACTOR_PARAMETER, parameter
from services.tasks import attachments, dates, external_ids, references
from services.tasks.listing.texts import fold_text
from services.tasks.models import TaskRecord, TaskStatus
from services.tasks.queries import by_ids
from services.tasks.references import check_assignees, members_among
from services.tasks.trees import check_parent
from services.tasks.visibility import readable, visible

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
    while True:
        projects = await hold_of(session, actor, task_ids, Hold.BESIDE)
        rows = await session.all(_HELD_TASKS[alone](caller_id=actor.user_id, ids=task_ids)) if projects else ()
        found = {row.id: (row, projects[row.project_id]) for row in rows if row.project_id in projects}
        if not await any_moved(session, actor, task_ids, found):
            return found


_HELD_TASKS = {
    alone: Prepared(
        visible(ACTOR_PARAMETER)
        .where(in_list(Task.id, "ids"))
        .order_by(Task.id)
        .with_for_update(of=Task, read=not alone, key_share=alone),
        TaskRecord,
    )
    for alone in (False, True)
}
"""FOR SHARE lets nobody change the tasks, or move them to the trash; FOR NO KEY UPDATE lets nobody hold them either."""


async def any_moved(session: Session, actor: Actor, wanted: Collection[int], found: Container[int]) -> bool:
    """Whether tasks that were not found, where they were when their projects were held, are there nevertheless.

    A move to another project may have committed in between: then all is to be asked again. Where all were found, this
    costs nothing, else a statement.
    """
    missing = [id_ for id_ in wanted if id_ not in found]
    return bool(missing) and await session.first(_THERE(caller_id=actor.user_id, ids=missing)) is not None


_THERE = Prepared(select(Task.id).where(readable(ACTOR_PARAMETER), in_list(Task.id, "ids")).limit(1))


class Locked(NamedTuple):
    """Tasks that are locked until the transaction ends, and what changes of them rest on, which is held as long."""

    tasks: Mapping[int, TaskRecord]
    projects: Mapping[int, ProjectRecord]
    members: Mapping[int, Collection[int]]
    """Of those who are to be assigned, the ones that belong to each project."""
    recurring: Collection[int] = ()
    """The tasks that recur, where that is needed."""


async def lock_tasks(
    session: Session,
    actor: Actor,
    wanted: Collection[int] | ColumnElement[bool],
    *,
    trees: bool,
    assigning: Collection[int] = (),
    needs: Needs = NO_NEEDS,
) -> Locked:
    """Those of the tasks that may be read, by their ids or a condition, locked, and their projects.

    With ``trees``, what hangs below what in their projects stays as it is, too; ``needs`` say what else is to be known
    of tasks, and held. Raises ``Forbidden`` for a key that must not write.
    """
    actor.require(Scope.TASKS_WRITE)
    in_turn = trees
    projects: Mapping[int, ProjectRecord] = {}
    while True:
        if needs.makes and not in_turn:
            projects, in_turn = await hold_of_recurring(session, actor, wanted)
        if in_turn or not needs.makes:
            projects = await hold_of(session, actor, wanted, Hold.IN_TURN if in_turn else Hold.BESIDE)
        members = await members_among(session, projects.keys(), assigning)
        found = visible(actor).where(chosen(wanted), one_of(Task.project_id, projects.keys())).order_by(Task.id)
        # as an UPDATE locks them, so that rows that refer to a task (FOR KEY SHARE) need not wait; in one order
        found = found.with_for_update(of=Task, key_share=True)
        rows = await session.all(found.add_columns(Task.recurs) if needs.marks else found)
        if isinstance(wanted, ColumnElement):
            break
        if not await any_moved(session, actor, wanted, {row.id for row in rows}):
            break
    recurring = {row.id: row.project_id for row in rows if row.recurs} if needs.marks else {}
    if recurring and needs.makes and not in_turn:  # it has come to recur while it was waited for
        await hold(session, actor, {*recurring.values()}, Hold.IN_TURN)
    tasks = (TaskRecord._make(row[: len(TaskRecord._fields)]) for row in rows)
    return Locked({task.id: task for task in tasks}, projects, members, recurring.keys())


def chosen(wanted: Collection[int] | ColumnElement[bool]) -> ColumnElement[bool]:
    """The condition on ``tasks`` that ids stand for."""
    return wanted if isinstance(wanted, ColumnElement) else one_of(Task.id, wanted)


def check_writable(locked: Locked, wanted: Iterable[tuple[int, Expected]]) -> dict[int, TandemError]:
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
            refused[task_id] = error.kept()
    return refused


async def apply_changes(
    session: Session, actor: Actor, locked: Locked, changes: Sequence[TaskChange]
) -> dict[int, Outcome]:
    """Write the changes to locked tasks, each task once. Nothing is written where no field differs.

    An error of one task leaves the others alone: whoever wants all or nothing gives up the transaction.
    """
    tasks = locked.tasks
    refused = check_writable(locked, ((item.task_id, item.expected) for item in changes))
    outcomes: dict[int, Outcome] = {**refused}
    open_ = [item for item in changes if item.task_id not in refused]
    before = await _stored(session, tasks, open_)
    things = await references.projects_of(session, (item.sent for item in open_))
    keys = {item.task_id: key for item in open_ if (key := _new_key(tasks[item.task_id], item.sent)) is not None}
    held = await external_ids.holders(session, keys.values())
    series = await recurrences.Changes.read(
        session, actor, locked.recurring, [(item.task_id, item.sent) for item in open_]
    )
    planned: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
    pace = turns.Pace()
    for item in open_:
        if pace.due() or (item.task_id in series and turns.due()):
            await turns.give()
        task, old = tasks[item.task_id], before[item.task_id]
        sent = dates.settled(attachments.settled(item.sent, old))
        try:
            sent = series.settled(task.id, sent, old)
            changed = {**log.differences(old, sent)}
            attachments.check_edits(item.sent, changed)
            if changed:
                _check_dates(old | sent)
                references.check(things, task.project_id, {name: after for name, (_, after) in changed.items()})
            if "assignee_ids" in changed:
                named = "add_assignees" if "assignee_ids" not in item.sent else "assignee_ids"
                joining = item.sent.get(named, ())
                check_assignees(locked.members[task.project_id], joining, pointer=f"/{named}")
            if changed.get("parent_id", (None, None))[1] is not None:
                await check_parent(session, actor, task.project_id, sent["parent_id"], moving=task.id)
            if external_ids.are_among(changed):
                new = old | sent
                require_pair(new["external_source"], new["external_id"])
                external_ids.require_free(held, keys.get(task.id), task_id=task.id)
        except TandemError as error:
            outcomes[task.id] = error.kept()
            continue
        if not changed:
            outcomes[task.id] = task
            continue
        if "parent_id" in changed:  # the next check must see it
            await session.execute(_MOVE(the_id=task.id, new_parent_id=sent["parent_id"]))
        external_ids.claim(held, keys.get(task.id), task.id)
        planned[task.id] = (old | sent, changed)
    for task_id, refusal in (await series.reserve(session, locked.projects, tasks, planned)).items():
        if "parent_id" in planned.pop(task_id)[1]:
            await session.execute(_MOVE(the_id=task_id, new_parent_id=tasks[task_id].parent_id))
        outcomes[task_id] = refusal
    if planned:
        await _write(session, actor, locked, planned)
        await series.write(session, planned)
        after = await by_ids(session, actor, planned)
        outcomes |= after
        await log.record(
            session,
            actor,
            *(
                log.NewEvent(
                    catalogue.TASK_UPDATED,
                    task_id,
                    changed,
                    version=after[task_id].version,
                    project_id=after[task_id].project_id,
                    task_id=task_id,
                )
                for task_id, (_, changed) in planned.items()
            ),
        )
        await series.make(session, actor, locked.projects, after)
    return outcomes


def _new_key(task: TaskRecord, sent: Mapping[str, Any]) -> external_ids.Key | None:
    """What a task is to be called elsewhere, where that is something else than now."""
    if not external_ids.are_among(sent):
        return None
    before = task._asdict()
    key = external_ids.key_of(task.project_id, {**before, **sent})
    return None if key == external_ids.key_of(task.project_id, before) else key


def moves(sent: Iterable[str]) -> bool:
    """Whether changes of these fields rest on other tasks of the project, and so are made one at a time there."""
    return "parent_id" in sent or external_ids.are_among(sent)


async def _stored(
    session: Session, tasks: Mapping[int, TaskRecord], items: Sequence[TaskChange]
) -> dict[int, dict[str, Any]]:
    """What the tasks have now, by field; assignees and tags where they are to be changed."""
    before: dict[int, dict[str, Any]] = {item.task_id: tasks[item.task_id].fields() for item in items}
    await attachments.read_into(
        session,
        before,
        assigned=[item.task_id for item in items if not attachments.PEOPLE.isdisjoint(item.sent)],
        tagged=[item.task_id for item in items if not attachments.TAGS.isdisjoint(item.sent)],
    )
    return before


async def _write(session: Session, actor: Actor, locked: Locked, planned: attachments.Planned) -> None:
    moment = now()
    columns: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for task_id, (values, changed) in planned.items():
        row = {name: values[name] for name in changed if name not in _ELSEWHERE}
        if not dates.DATES.isdisjoint(changed):
            row |= dates.stored_of(values)._asdict()
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
    await attachments.set_assignees(session, planned)
    await attachments.set_tags(session, actor, locked.tasks, locked.projects, planned)
    texts = []
    pace = turns.Pace()
    for task_id, (values, changed) in planned.items():
        if "title" in changed or "description" in changed:
            if pace.due():
                await turns.give()
            texts.append({"the_id": task_id, "text": fold_text(f"{values['title']}\n{values['description'] or ''}")})
    if texts:
        await write_all(session, _RETELL, texts)


_MOVE = Prepared(sql_update(Task).where(Task.id == parameter("the_id")).values(parent_id=parameter("new_parent_id")))
_RETELL = Prepared(sql_update(TaskText).where(TaskText.task_id == parameter("the_id")).values(folded=parameter("text")))


_ELSEWHERE = dates.DATES | {"assignee_ids", "tags", "recurrence"}
"""What is no column of its own."""


def _check_dates(values: Mapping[str, Any]) -> None:
    wrong = dates.out_of_order(values["start_at"], values["start_on"], values["due_at"], values["due_on"])
    if wrong is not None:
        raise BadUserInput.at(f"/{wrong[0]}", dates.OUT_OF_ORDER[wrong], "range")
