"""Many tasks in one call and one transaction, with a result for each.

A body that is not valid is refused as a whole. What is refused task by task (permission, version, reference) refuses
the call in the mode ``atomic``, and that task alone in the mode ``partial``.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import select

from core.aside import aside
from db.driver.sessions import Session
from db.lists import one_of
from db.models import Task
from services.projects import queries as projects
from services.shared import prices
from services.shared.actors import Actor, Scope
from services.shared.errors import BadUserInput, BulkRefused, NotFound, TandemError, VersionConflict
from services.shared.idempotency import IdempotencyContext, Operation, arguments, once
from services.tasks import queries
from services.tasks.attachments import assigned_by
from services.tasks.bulk_models import (
    ALL_OR_NOTHING,
    MAX_ERRORS,
    MAX_MATCHING,
    UPSERTS,
    Bulk,
    BulkCreate,
    BulkDelete,
    BulkError,
    BulkOutcome,
    BulkProblem,
    BulkRecord,
    BulkResult,
    BulkUpdate,
    BulkUpdateMatching,
)
from services.tasks.creation import create_each
from services.tasks.models import TaskCreate, TaskRecord
from services.tasks.query import TaskQuery
from services.tasks.trash import lock_for_removal, remove
from services.tasks.updates import Locked, TaskChange, apply_changes, check_writable, lock_tasks, moves
from services.tasks.upserts import upsert_each
from services.tasks.visibility import visible

Done = tuple[TaskRecord, BulkOutcome]
"""A task as it is now, and what was done with it."""


async def run(session: Session, actor: Actor, call: IdempotencyContext, data: Bulk) -> BulkRecord:
    """Carry a bulk call out, once where it has a key. A dry run leaves nothing that a key would have to keep.

    Raises ``TooExpensive`` where its tasks or its filter come to more than a request may.
    """
    session.takes_long()
    prices.demand(price(data))
    actor = actor.telling(data.notify)
    operation, carry_out = _OPERATIONS[type(data)]

    async def make() -> BulkRecord:
        return await carry_out(session, actor, data)

    async def read(session: Session, actor: Actor, record: BulkRecord) -> BulkRecord:
        return await _readable(session, actor, data, record)

    if data.dry_run or call.key is None:
        return await make()
    return await once(session, actor, call, operation, await aside(arguments, data), make, read, long=True)


def price(data: Bulk) -> int:
    """What a call comes to, in points."""
    if isinstance(data, BulkUpdateMatching):
        return prices.of_matching(data.filter)
    return prices.of_tasks(data.tasks) if isinstance(data, (BulkCreate, BulkUpdate, BulkDelete)) else 0


async def _readable(session: Session, actor: Actor, data: Bulk, record: BulkRecord) -> BulkRecord:
    """What a repeat tells of each task: of those that may not be read any more, no more than that."""
    refused = await _gone(session, actor, data, record)
    if not refused:
        return record
    results = [
        _refused(result.position, result.id, refused[result.position]) if result.position in refused else result
        for result in record.results
    ]
    return _record(data, results)


async def _gone(session: Session, actor: Actor, data: Bulk, record: BulkRecord) -> dict[int, NotFound]:
    """Of which results the task may not be read, or the project that one was to be created in."""
    ids = {result.id for result in record.results if result.id is not None}
    if isinstance(data, BulkDelete):  # into the trash, from where who may read the project can take them
        rows = select(Task.id).where(Task.id.in_(ids), projects.among_visible(Task.project_id, actor))
        there: Collection[int] = set(await session.scalars(rows))
    else:
        there = await queries.by_ids(session, actor, ids)
    gone = {
        result.position: NotFound("Task")
        for result in record.results
        if result.id is not None and result.id not in there
    }
    if isinstance(data, BulkCreate):
        places = {
            result.position: project_id
            for result in record.results
            if result.id is None and (project_id := data.tasks[result.position].project_id) is not None
        }
        found = await projects.by_ids(session, actor, set(places.values()))
        gone |= {position: NotFound("Project") for position, place in places.items() if place not in found}
    return gone


async def create(session: Session, actor: Actor, data: BulkCreate) -> BulkRecord:
    """Create tasks, or with an upsert change those that are there. Raises ``BulkRefused`` where it is all or nothing.

    A dry run answers no ids of tasks that it would create.
    """
    async with _dry_run(session, dry=data.dry_run):
        outcomes = await (_upsert if data.mode in UPSERTS else _create)(session, actor, data.tasks)
        _demand_all(data, ((index, outcome) for index, outcome in enumerate(outcomes)))
    results = []
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, TandemError):
            results.append(_refused(index, None, outcome))
        else:
            task, done = outcome
            shown = None if data.dry_run and done is BulkOutcome.CREATED else task
            results.append(BulkResult(index, shown and shown.id, shown and shown.version, None, shown, done))
    return _record(data, results)


async def _create(session: Session, actor: Actor, items: Sequence[TaskCreate]) -> Sequence[Done | TandemError]:
    made = await create_each(session, actor, items)
    return [each if isinstance(each, TandemError) else (each, BulkOutcome.CREATED) for each in made]


async def _upsert(session: Session, actor: Actor, items: Sequence[TaskCreate]) -> Sequence[Done | TandemError]:
    return [
        each if isinstance(each, TandemError) else (each.task, _OUTCOMES[each.created, each.written])
        for each in await upsert_each(session, actor, items)
    ]


_OUTCOMES = {
    (True, True): BulkOutcome.CREATED,
    (False, True): BulkOutcome.UPDATED,
    (False, False): BulkOutcome.UNCHANGED,
}


async def update(session: Session, actor: Actor, data: BulkUpdate) -> BulkRecord:
    """Change tasks, each in its own way. Raises ``BulkRefused`` in the mode ``atomic``."""
    changes = []
    for item in data.tasks:
        sent = {name: value for name, value in item.sent().items() if name not in {"id", "expected_version"}}
        changes.append(TaskChange(item.id, sent, item.expected_version))
    moving = any(moves(change.sent) for change in changes)
    async with _dry_run(session, dry=data.dry_run):
        ids = [change.task_id for change in changes]
        assigning = {user_id for change in changes for user_id in assigned_by(change.sent)}
        locked = await lock_tasks(session, actor, ids, trees=moving, assigning=assigning)
        return await _apply(session, actor, data, locked, changes, show=True)


async def update_matching(session: Session, actor: Actor, data: BulkUpdateMatching) -> BulkRecord:
    """Change all tasks that meet the filter, by id. Raises ``BulkRefused``; ``BadUserInput`` for too many."""
    actor.require(Scope.TASKS_WRITE)
    query = TaskQuery(filter=data.filter)
    condition = await queries.met(session, actor, query)
    _refuse_too_many(await session.count(visible(actor).where(condition).with_only_columns(Task.id)))
    sent = data.changes.sent()
    async with _dry_run(session, dry=data.dry_run):
        assigning = assigned_by(sent)
        locked = await lock_tasks(session, actor, condition, trees=moves(sent), assigning=assigning)
        _refuse_too_many(len(locked.tasks))
        # asked again: what hangs on one, such as its tags or words, may have been changed before it was locked
        condition = await queries.met(session, actor, query)
        matching = visible(actor).where(condition, one_of(Task.id, locked.tasks)).with_only_columns(Task.id)
        changes = [TaskChange(task_id, sent) for task_id in sorted(await session.scalars(matching))]
        return await _apply(session, actor, data, locked, changes, show=False)


def _refuse_too_many(count: int) -> None:
    if count > MAX_MATCHING:
        raise BadUserInput.at("/filter", f"{count} tasks match; at most {MAX_MATCHING} are changed in one call")


async def delete(session: Session, actor: Actor, data: BulkDelete) -> BulkRecord:
    """Move tasks and their subtasks to the trash. Raises ``BulkRefused`` in the mode ``atomic``."""
    ids = [item.id for item in data.tasks]
    async with _dry_run(session, dry=data.dry_run):
        locked = await lock_for_removal(session, actor, ids)
        refused = check_writable(locked, ((item.id, item.expected_version) for item in data.tasks))
        _demand_all(data, ((index, refused.get(task_id)) for index, task_id in enumerate(ids)))
        doomed = [task_id for task_id in locked.tasks if task_id not in refused]
        versions = await remove(session, actor, doomed) if doomed else {}
    results = [
        _refused(index, task_id, refused[task_id])
        if task_id in refused
        else BulkResult(index, task_id, versions[task_id], None, None, BulkOutcome.DELETED)
        for index, task_id in enumerate(ids)
    ]
    return _record(data, results)


async def _apply(
    session: Session,
    actor: Actor,
    data: Bulk,
    locked: Locked,
    changes: Sequence[TaskChange],
    *,
    show: bool,
) -> BulkRecord:
    outcomes = await apply_changes(session, actor, locked, changes)
    _demand_all(data, ((index, outcomes[change.task_id]) for index, change in enumerate(changes)))
    results = []
    for index, change in enumerate(changes):
        outcome = outcomes[change.task_id]
        if isinstance(outcome, TandemError):
            results.append(_refused(index, change.task_id, outcome))
        else:
            written = outcome.version != locked.tasks[outcome.id].version
            shown = outcome if show else None
            results.append(BulkResult(index, outcome.id, outcome.version, None, shown, _OUTCOMES[False, written]))
    return _record(data, results)


@asynccontextmanager
async def _dry_run(session: Session, *, dry: bool) -> AsyncIterator[None]:
    if dry:
        async with session.dry_run():
            yield
    else:
        yield


def _demand_all(data: Bulk, outcomes: Iterable[tuple[int, object]]) -> None:
    """Raises ``BulkRefused`` for a refusal in the mode ``atomic``: the transaction is given up with it."""
    if data.mode in ALL_OR_NOTHING:
        refused = {index: outcome for index, outcome in outcomes if isinstance(outcome, TandemError)}
        if refused:
            raise BulkRefused(refused)


def _refused(index: int, task_id: int | None, error: TandemError) -> BulkResult:
    problems = [BulkProblem(item.pointer, item.detail, item.type) for item in error.errors[:MAX_ERRORS]]
    current = error.current_version if isinstance(error, VersionConflict) else None
    told = BulkError(error.code, error.message, problems, current)
    return BulkResult(index, task_id, None, told, None, BulkOutcome.REFUSED)


def _record(data: Bulk, results: list[BulkResult]) -> BulkRecord:
    failed = sum(result.error is not None for result in results)
    return BulkRecord(not data.dry_run, len(results) - failed, failed, results)


def _operation(name: str) -> Operation[BulkRecord]:
    return Operation(name, scope=Scope.TASKS_WRITE, record=lambda: BulkRecord)


_OPERATIONS: dict[type[Bulk], tuple[Operation[BulkRecord], Callable[[Session, Actor, Any], Awaitable[BulkRecord]]]] = {
    BulkCreate: (_operation("task.bulk_create"), create),
    BulkUpdate: (_operation("task.bulk_update"), update),
    BulkDelete: (_operation("task.bulk_delete"), delete),
    BulkUpdateMatching: (_operation("task.bulk_update_matching"), update_matching),
}
