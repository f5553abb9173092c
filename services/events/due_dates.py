"""Tells when tasks will be due soon, and when they are overdue: an event each, once for each task and date.

Overdue is a task at the instant at which it is due; one that is due on a day when the day is over, in the time zone of
whoever is to do the task (of several people, where it ends last), or of who created it, where nobody is. Soon begins
with a day of the calendar, in the same time zones (of several people, where it begins first).
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
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
from services.tasks.dates import EASTERNMOST, WESTERNMOST, end_in

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
    due_all_day: bool | None
    overdue_for: datetime | None
    due_soon_for: datetime | None

    @property
    def due_on(self) -> date | None:
        return self.due_at.date() if self.due_all_day else None

    def is_over(self, zones: Iterable[str], moment: datetime) -> bool:
        """Whether it is due no more, but overdue."""
        day = self.due_on
        return self.due_at <= moment if day is None else all(end_in(day, zone_named(z)) <= moment for z in zones)


def _told_of(due: _Due, overdue: bool) -> bool:
    """Whether that has been told."""
    return (due.overdue_for if overdue else due.due_soon_for) == due.due_at


# the states as constants, by which databases see that the index of open tasks has them all
_OPEN = Task.status.in_([literal_column(f"'{status}'") for status in OPEN_STATUSES])


def _due(join: Callable[..., Any]) -> AnySelect:
    columns = (Task.id, Task.project_id, Task.due_at, Task.due_all_day, DueNotice.overdue_for, DueNotice.due_soon_for)
    all_day = Task.due_all_day.is_not(None)
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
                and_(
                    # a day ends in the east before it does in UTC, and in the west after that
                    or_(Task.due_at <= parameter("moment"), and_(all_day, Task.due_at <= parameter("in_the_east"))),
                    DueNotice.overdue_for.is_distinct_from(Task.due_at),
                ),
                and_(
                    or_(Task.due_at > parameter("moment"), and_(all_day, Task.due_at > parameter("in_the_west"))),
                    Task.due_at < parameter("soon"),
                    DueNotice.due_soon_for.is_distinct_from(Task.due_at),
                ),
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
        east = moment + EASTERNMOST
        asked = {
            "since": moment - LOOK_BACK,
            "until": max(moment + lead, east + timedelta.resolution),
            "soon": moment if self.lead_days is None else moment + lead,
            "moment": moment,
            "in_the_east": east,
            "in_the_west": moment + WESTERNMOST,
        }
        while rows := await self.database.reads.all(_NEXT(**asked, after=after)):
            after = rows[-1].id
            ripe = await self._ripe(rows, moment)
            if ripe:
                async with self.database.writing() as session:
                    held = await session.all(_HELD(**asked, ids=ripe))
                    await _record(session, [(row, ripe[row.id][1]) for row in held if ripe[row.id][0] == row[2:4]])
            if len(rows) < BATCH:
                return
            await turns.give()

    async def _ripe(
        self, rows: Sequence[_Due], moment: datetime
    ) -> Mapping[int, tuple[tuple[datetime, bool | None], bool]]:
        """Those of the tasks of which it is time to tell: when they are due, and whether they are overdue."""
        asked = [row.id for row in rows if row.due_at > moment or row.due_all_day]
        zones = await _zones(self.database.reads, asked) if asked else {}
        ripe: dict[int, tuple[tuple[datetime, bool | None], bool]] = {}
        for row in rows:
            of_task = zones.get(row.id, ("UTC",))
            overdue = row.is_over(of_task, moment)
            if not _told_of(row, overdue) and (overdue or self._is_soon(row, of_task, moment)):
                ripe[row.id] = (row.due_at, row.due_all_day), overdue
        return ripe

    def _is_soon(self, row: _Due, zones: Iterable[str], moment: datetime) -> bool:
        return self.lead_days is not None and any(
            soon_since(row.due_on or row.due_at, zone, self.lead_days) <= moment for zone in zones
        )


def soon_since(due: date, zone: str, days: int) -> datetime:
    """Since when it is so many days of a time zone's calendar until the day on which something is due, at most; that
    day, or the instant at which it is."""
    clock = zone_named(zone)
    day = due.astimezone(clock).date() if isinstance(due, datetime) else due
    return datetime.combine(day - timedelta(days=days), time.min, clock).astimezone(UTC)


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


async def _record(session: Session, rows: Sequence[tuple[_Due, bool]]) -> None:
    overdue = [row for row, is_over in rows if is_over]
    soon = [row for row, is_over in rows if not is_over]
    for kind, name, some in (
        (catalogue.TASK_OVERDUE, "overdue_for", overdue),
        (catalogue.TASK_DUE_SOON, "due_soon_for", soon),
    ):
        if some:
            await session.execute(_TOLD[name], [{"task_id": row.id, name: row.due_at} for row in some])
            events = [
                log.NewEvent(
                    kind,
                    row.id,
                    {"due_on": (None, row.due_on)} if row.due_all_day else {"due_at": (None, row.due_at)},
                    project_id=row.project_id,
                    task_id=row.id,
                )
                for row in some
            ]
            await log.record(session, SYSTEM, *events)
