"""The rows of series: read, written and taken on to the next task. Whoever writes them has locked the tasks."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import delete as sql_delete
from sqlalchemy import select, true
from sqlalchemy import update as sql_update

from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import Recurrence, Task
from db.upserts import upsert
from services.jobs import queue
from services.recurrences.models import RecurrenceRecord
from services.shared.errors import Conflict
from services.shared.statements import parameter

JOB = "tasks.recur"
"""The job that makes tasks on schedule (``services.recurrences.schedule``)."""
COLUMNS = tuple(getattr(Recurrence, name) for name in RecurrenceRecord._fields)
_WRITTEN = ("task_id", "rule", "timezone", "repeat_from", "create_next", "number", "occurrence", "next_at")
_MOVED = ("number", "occurrence", "next_at")
_OF_TASKS = Prepared(select(*COLUMNS).where(in_list(Recurrence.task_id, "ids")), RecurrenceRecord)
_new = upsert(Recurrence)
_WRITE: Prepared[Any] = Prepared(
    _new.on_conflict_do_update(
        index_elements=[Recurrence.task_id],
        set_={name: _new.excluded[name] for name in _WRITTEN if name != "task_id"},
    ).returning(Recurrence.task_id, Recurrence.id),
    keys=_WRITTEN,
)
_MARK = Prepared(sql_update(Task).where(in_list(Task.id, "ids"), Task.recurs.is_(None)).values(recurs=true()))
_UNMARK = Prepared(sql_update(Task).where(in_list(Task.id, "ids")).values(recurs=None))
_DELETE = Prepared(sql_delete(Recurrence).where(in_list(Recurrence.task_id, "ids")))
_TAKE_ON = Prepared(
    sql_update(Recurrence)
    .where(
        Recurrence.id == parameter("series"),
        Recurrence.task_id == parameter("former"),
        Recurrence.number == parameter("former_number"),
    )
    .values(
        {name: parameter(f"new_{name}", getattr(Recurrence, name).type) for name in _MOVED}
        | {"task_id": parameter("new_task_id")}
    )
)


async def of(session: Session, ids: Collection[int]) -> Mapping[int, RecurrenceRecord]:
    """The series that tasks are of now, by task; whoever asks has read the tasks."""
    return {row.task_id: row for row in await session.all(_OF_TASKS(ids=ids))} if ids else {}


async def write(session: Session, records: Sequence[RecurrenceRecord]) -> Mapping[int, RecurrenceRecord]:
    """Write what tasks recur by, each in the place of what it recurred by before. Returns them with their ids, by
    task."""
    if not records:
        return {}
    rows = [{name: getattr(record, name) for name in _WRITTEN} for record in records]
    ids = {row[0]: row[1] for row in await session.all(_WRITE, rows)}
    await session.execute(_MARK(ids=[*ids]))
    await _expect(session, records)
    return {record.task_id: record._replace(id=ids[record.task_id]) for record in records}


async def end(session: Session, ids: Collection[int]) -> None:
    """End the series that tasks are of now."""
    if ids:
        await session.execute(_DELETE(ids=ids))
        await session.execute(_UNMARK(ids=ids))


async def take_on(session: Session, steps: Sequence[tuple[RecurrenceRecord, RecurrenceRecord]]) -> None:
    """Take series on from one task to the next, given as they are and as they are to be. Raises ``Conflict``, with
    which all is given up, where one is not where it was: nobody makes a second next task."""
    if not steps:
        return
    moves = [
        {"series": before.id, "former": before.task_id, "former_number": before.number}
        | {f"new_{name}": getattr(after, name) for name in (*_MOVED, "task_id")}
        for before, after in steps
    ]
    if await session.execute(_TAKE_ON, moves) != len(moves):
        raise Conflict("The next task of the series has been made already")
    await session.execute(_UNMARK(ids=[before.task_id for before, _ in steps]))
    await session.execute(_MARK(ids=[after.task_id for _, after in steps]))
    await _expect(session, [after for _, after in steps])


async def _expect(session: Session, records: Sequence[RecurrenceRecord]) -> None:
    """Have the worker look when the first of the next tasks is to be made."""
    if moments := [record.next_at for record in records if record.next_at is not None]:
        await queue.schedule(session, JOB, [0], min(moments))
