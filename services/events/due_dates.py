"""Tells when tasks will be due soon, and when they are overdue: an event each, once for each task and date.

Overdue is a task at the instant at which it is due. Soon begins with a day of the calendar, in the time zone of whoever
is to do the task (of several people, where the day begins first), or of who created it, where nobody is.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import and_, join, literal, literal_column, or_, select, union_all

from core import turns
from core.clock import now
from db.driver.database import Database
from db.driver.sessions import AnyRow, AnySelect, Session
from db.driver.statements import Prepared
from db.lists import in_list, joined_in_order
from db.models import DueNotice, Project, Task, TaskAssignee, User
from db.models.tasks import OPEN_STATUSES
from db.upserts import upsert
from services.events import catalogue, log
from services.jobs.worker import Handler, Outcome
from services.shared.actors import Actor
from services.shared.statements import parameter
from services.shared.time_zones import zone_named

JOB = "tasks.due"
AGAIN = timedelta(minutes=1)
"""How often it is looked which tasks are due."""
LOOK_BACK = timedelta(days=7)
"""What was due longer ago is not told any more: while nobody was looking, or by whoever brought old tasks in."""
BATCH = 500
"""Tasks that are looked at together, and told of in one transaction."""
SYSTEM = Actor("system")


class _Due(NamedTuple):
    """A task that is due within the time that is looked at, and of which that has not been told."""

    id: int
    project_id: int
    due_at: datetime


# the states as constants, by which databases see that the index of open tasks has them all
_OPEN = Task.status.in_([literal_column(f"'{status}'") for status in OPEN_STATUSES])


def _due(join: Callable[..., Any]) -> AnySelect:
    columns = (Task.id, Task.project_id, Task.due_at)
    return (
        select(*columns)
        .select_from(join(Project, Task, Task.project_id == Project.id))
        .join(DueNotice, DueNotice.task_id == Task.id, isouter=True)
        .where(
            Project.archived_at.is_(None),
            Task.deleted_at.is_(None),
            _OPEN,
            Task.due_at > parameter("since"),
            Task.due_at < parameter("until"),
            or_(
                and_(Task.due_at <= parameter("moment"), DueNotice.overdue_for.is_distinct_from(Task.due_at)),
                and_(Task.due_at > parameter("moment"), DueNotice.due_soon_for.is_distinct_from(Task.due_at)),
            ),
        )
        .order_by(Task.id)
    )


# by project, as the index of open tasks is; not by that of ids, which has all tasks
_NEXT = Prepared(_due(joined_in_order).where(Task.id + literal_column("0") > parameter("after")).limit(BATCH), _Due)
# as they are now, which nobody changes until it is told; what somebody is changing is looked at the next time
_HELD = Prepared(
    _due(join).where(in_list(Task.id, "ids")).with_for_update(of=Task, key_share=True, skip_locked=True),
    _Due,
)
_ZONES = Prepared(
    union_all(
        select(TaskAssignee.task_id, User.timezone, literal(1))
        .join(User, User.id == TaskAssignee.user_id)
        .where(in_list(TaskAssignee.task_id, "ids")),
        select(Task.id, User.timezone, literal(0))
        .join(User, User.id == Task.created_by_id)
        .where(in_list(Task.id, "ids")),
    )
)


def _told(name: str) -> Prepared[AnyRow]:
    new = upsert(DueNotice)
    values = {name: new.excluded[name]}
    return Prepared(new.on_conflict_do_update(index_elements=[DueNotice.task_id], set_=values), keys=["task_id", name])


_TOLD = {name: _told(name) for name in ("due_soon_for", "overdue_for")}


@dataclass(frozen=True, slots=True)
class DueDates:
    """The job, for a database."""

    database: Database
    lead_days: int | None
    """How many days of the calendar before the day on which a task is due that is told; None where it is not."""

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {JOB: self._look}

    async def _look(self, _: int) -> Outcome:
        await self.tell()
        return Outcome(now() + AGAIN)

    async def tell(self) -> None:
        """Tell of every task that is due, and has not been told of."""
        moment, after = now(), 0
        # no day is longer than 26 hours, nor do two zones differ by more
        lead = timedelta() if self.lead_days is None else timedelta(days=self.lead_days + 2)
        asked = {"since": moment - LOOK_BACK, "until": moment + lead, "moment": moment}
        while rows := await self.database.reads.all(_NEXT(**asked, after=after)):
            after = rows[-1].id
            ripe = await self._ripe(rows, moment)
            if ripe:
                async with self.database.writing() as session:
                    held = await session.all(_HELD(**asked, ids=ripe))
                    await _record(session, [row for row in held if row.due_at == ripe[row.id]], moment)
            if len(rows) < BATCH:
                return
            await turns.give()

    async def _ripe(self, rows: Sequence[_Due], moment: datetime) -> Mapping[int, datetime]:
        """Those of the tasks of which it is time to tell, with when they are due."""
        later = [row for row in rows if row.due_at > moment]
        zones = await _zones(self.database.reads, [row.id for row in later]) if later else {}
        return {
            row.id: row.due_at
            for row in rows
            if row.due_at <= moment or self._is_soon(row.due_at, zones.get(row.id, ("UTC",)), moment)
        }

    def _is_soon(self, due_at: datetime, zones: Iterable[str], moment: datetime) -> bool:
        return self.lead_days is not None and any(soon_since(due_at, zone, self.lead_days) <= moment for zone in zones)


def soon_since(due_at: datetime, zone: str, days: int) -> datetime:
    """Since when it is so many days of a time zone's calendar until the day on which something is due, at most."""
    day = due_at.astimezone(zone_named(zone)).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return (day - timedelta(days=days)).astimezone(UTC)


async def _zones(session: Session, ids: Collection[int]) -> Mapping[int, Collection[str]]:
    """The time zones of who is to do each task, or of who created it."""
    doers: dict[int, set[str]] = defaultdict(set)
    creators: dict[int, set[str]] = {}
    for task, zone, is_doer in await session.all(_ZONES(ids=ids)):
        if is_doer:
            doers[task].add(zone)
        else:
            creators[task] = {zone}
    return creators | doers


async def _record(session: Session, rows: Sequence[_Due], moment: datetime) -> None:
    overdue = [row for row in rows if row.due_at <= moment]
    soon = [row for row in rows if row.due_at > moment]
    for kind, name, some in (
        (catalogue.TASK_OVERDUE, "overdue_for", overdue),
        (catalogue.TASK_DUE_SOON, "due_soon_for", soon),
    ):
        if some:
            await session.execute(_TOLD[name], [{"task_id": row.id, name: row.due_at} for row in some])
            events = [
                log.NewEvent(kind, row.id, {"due_at": (None, row.due_at)}, project_id=row.project_id, task_id=row.id)
                for row in some
            ]
            await log.record(session, SYSTEM, *events)
