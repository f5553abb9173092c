"""Makes the tasks whose time has come, of series that are made on schedule: a job, which looks for them.

A series has one place, and goes on from it under the lock of its task: a job that runs twice, or on two machines, makes
one task. Of several that were missed, while nobody worked, the task was in the trash or the project archived, it makes
the latest.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, literal, select
from sqlalchemy import update as sql_update

from core import turns
from core.clock import now
from db.advisory_locks import shared
from db.driver.database import Database
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import Project, Recurrence, Task
from services.jobs.worker import Handler, Outcome
from services.projects.models import ProjectRecord, Role
from services.recurrences import rows, series, succession
from services.recurrences.models import RecurrenceRecord
from services.recurrences.rules import Looked
from services.recurrences.series import Dates, Place
from services.shared.actors import Actor
from services.shared.statements import parameter
from services.tasks import effects
from services.tasks.models import TaskRecord
from services.tasks.visibility import COLUMNS, live

logger = logging.getLogger("tandem.recurrences")

AGAIN = timedelta(minutes=1)
"""How soon to look again, for what came back from the trash or the archive."""
LATER = timedelta(hours=1)
"""When a task that cannot be made is tried again."""
BATCH = 100
"""Tasks that are made in one transaction, of one project."""
SYSTEM = Actor("system")


class _Due(NamedTuple):
    task_id: int
    project_id: int


_ripe = (Recurrence.next_at <= parameter("moment"), live(), Project.archived_at.is_(None))
_DUE = Prepared(
    select(Recurrence.task_id, Task.project_id)
    .join(Task, Task.id == Recurrence.task_id)
    .join(Project, Project.id == Task.project_id)
    .where(*_ripe)
    .order_by(Recurrence.next_at, Recurrence.id)
    .limit(BATCH),
    _Due,
)
_NEXT = Prepared(select(func.min(Recurrence.next_at)).where(Recurrence.next_at > parameter("moment")))
_ids = select(Project.id).where(Project.id == parameter("project_id"))
_PROJECT = Prepared(
    select(
        *(
            literal(Role.OWNER.value).label(name)
            if name == "role"
            else (Project.inbox_of_id.is_not(None).label(name) if name == "is_inbox" else getattr(Project, name))
            for name in ProjectRecord._fields
        )
    )
    .where(Project.id == parameter("project_id"), Project.archived_at.is_(None), shared(_ids))
    .with_for_update(of=Project, key_share=True),
    ProjectRecord,
)
_TASKS = Prepared(
    select(*COLUMNS)
    .join(Project, Project.id == Task.project_id)
    .where(in_list(Task.id, "ids"), Task.project_id == parameter("project_id"), live())
    .order_by(Task.id)
    .with_for_update(of=Task, key_share=True),
    TaskRecord,
)
_POSTPONE = Prepared(
    sql_update(Recurrence).where(in_list(Recurrence.task_id, "ids")).values(next_at=parameter("new_next_at"))
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The job, for a database."""

    database: Database

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {rows.JOB: self._look}

    async def _look(self, _: int) -> Outcome:
        await self.make_due()
        moment = now()
        following: datetime | None = await self.database.reads.scalar(_NEXT(moment=moment))
        again = moment + AGAIN
        return Outcome(again if following is None else min(again, following))

    async def make_due(self) -> None:
        """Make every task whose time has come."""
        while found := await self.database.reads.all(_DUE(moment=now())):
            by_project: dict[int, list[int]] = defaultdict(list)
            for due in found:
                by_project[due.project_id].append(due.task_id)
            for project_id, ids in sorted(by_project.items()):
                await self._make(project_id, ids)
                await turns.give()
            if len(found) < BATCH:
                return

    async def _make(self, project_id: int, ids: Sequence[int]) -> None:
        """Those of a project. What breaks there keeps nobody else's tasks from being made."""
        try:
            async with self.database.writing() as session:
                await _make(session, project_id, ids)
        except Exception:
            logger.exception("the next tasks of the project %s could not be made; they are tried again", project_id)
            async with self.database.writing() as session:
                await session.execute(_POSTPONE(ids=ids, new_next_at=now() + AGAIN))


async def _make(session: Session, project_id: int, ids: Sequence[int]) -> None:
    """Make the tasks of a project that follow some, if it is still time."""
    project = await session.first(_PROJECT(project_id=project_id))
    tasks = {row.id: row for row in await session.all(_TASKS(ids=ids, project_id=project_id))} if project else {}
    moment = now()
    places: list[tuple[TaskRecord, RecurrenceRecord, Place]] = []
    for record in (await rows.of(session, tasks)).values():
        await turns.pause()
        looked = Looked()
        task = tasks[record.task_id]
        dates = Dates.of(task.fields())
        if record.next_at is None or record.next_at > moment or dates is None:
            continue
        place = series.on_schedule(record, dates, moment, looked)
        if place is None:  # not yet, by the clocks of today's time zones
            await rows.write(session, [series.scheduled(record, dates, looked)])
        else:
            places.append((task, record, place))
    if project is None or not places:
        return
    steps, refused = await succession.reserve(session, {project.id: project}, places)
    for task_id, error in refused.items():
        logger.warning("the task after %s cannot be made: %s", task_id, error.message)
        await session.execute(_POSTPONE(ids=[task_id], new_next_at=moment + LATER))
    going = [step.record for step in steps.values()]
    told = {record.task_id: record.told() for record in going}
    versions = {record.task_id: tasks[record.task_id].version for record in going}
    if not going:
        return
    await effects.changed(session, SYSTEM, project.id, versions, "recurrence", told, dict.fromkeys(told))
    await succession.make(session, SYSTEM, {project.id: project}, tasks, steps.values())
