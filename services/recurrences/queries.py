"""How tasks recur, and when they will: read, and computed of what is read. Nothing of it is written."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import select

from core import turns
from core.clock import now
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import Recurrence as RecurrenceRow
from db.models import Task
from services.recurrences import rows, series
from services.recurrences.models import Occurrence, Occurrences, RecurrenceRecord
from services.recurrences.rules import Looked
from services.recurrences.series import Dates
from services.shared.actors import Actor, Scope
from services.shared.statements import ACTOR_PARAMETER, parameter
from services.shared.time_zones import zone_name_of
from services.tasks import queries as tasks
from services.tasks.visibility import listed, trash_begins

_OF_TASKS = Prepared(
    select(*rows.COLUMNS)
    .join(Task, Task.id == RecurrenceRow.task_id)
    .where(
        in_list(RecurrenceRow.task_id, "ids"),
        listed(ACTOR_PARAMETER, since=parameter("trash_begins", Task.deleted_at.type)),
    ),
    RecurrenceRecord,
)


async def of_tasks(session: Session, actor: Actor, task_ids: Collection[int]) -> Mapping[int, RecurrenceRecord]:
    """How those of the tasks recur that do and that the actor may read, or find in the trash, in one statement."""
    actor.require(Scope.TASKS_READ)
    found = await session.all(_OF_TASKS(caller_id=actor.user_id, ids=task_ids, trash_begins=trash_begins()))
    return {row.task_id: row for row in found}


async def of_task(session: Session, actor: Actor, task_id: int, limit: int) -> list[Occurrence]:
    """The tasks that are to follow one, ``limit`` at most; none after one that does not recur. Raises ``NotFound``."""
    task = await tasks.get(session, actor, task_id)
    record, dates = (await rows.of(session, [task_id])).get(task_id), Dates.of(task.fields())
    if record is None or dates is None:
        return []
    await turns.pause()
    return series.upcoming(record, dates, now(), limit, Looked())


async def of_rule(session: Session, actor: Actor, asked: Occurrences) -> list[Occurrence]:
    """The tasks that would follow one that has these dates and recurs so. Raises ``BadUserInput``."""
    actor.require(Scope.TASKS_READ)
    zone = await zone_name_of(session, actor) if asked.timezone is None else "UTC"
    await turns.pause()
    dates = Dates(asked.start_at, asked.due_at, asked.start_on, asked.due_on)
    record = series.begun(asked, dates if dates.are_due else None, zone, Looked(), pointer="")
    due = asked.due_at or series.instant(record, datetime.fromisoformat(record.occurrence))
    return series.upcoming(record, dates, due, asked.limit, Looked())
