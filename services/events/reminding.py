"""Tells reminders, and notifications that were snoozed, at their instant: each once, in the transaction that notes that
it was told, whatever becomes of workers and however many there are."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy import delete as sql_delete
from sqlalchemy import update as sql_update

from core import turns
from core.clock import now, wire_format
from db import notifications
from db.driver.database import Database
from db.driver.sessions import AnyRow, Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import Membership, Notification, Project, Reminder, Task, User
from db.models.tasks import OPEN_STATUSES
from services.events import notifier
from services.events.consumers import hold_in_turn
from services.events.notices import NotificationKind, wishes_of
from services.events.numbering import NUMBERED
from services.events.waking import JOB, LATE, SHARES, due_for, moment_of
from services.jobs.worker import Handler, Outcome
from services.shared.statements import parameter
from services.shared.time_zones import zone_named

BATCH = 200
"""What is told in one transaction."""
_NAMES = UUID("0b1f5a2e-6d2c-5c0e-9d35-7a1d6f4f2c11")
"""Of these and of a reminder's id and instant, the id of what is told is made: the same, whoever tells it."""


class _Due(NamedTuple):
    """A reminder whose instant has come, and what it is about."""

    id: int
    user_id: int
    task_id: int
    next_at: datetime
    before_due: int | None
    snoozed_until: datetime | None
    project_id: int
    due_at: datetime | None
    due_all_day: bool | None
    status: str
    deleted_at: datetime | None
    archived_at: datetime | None
    disabled: bool
    time_zone: str
    member_id: int | None


class _Snoozed(NamedTuple):
    id: int
    user_id: int
    event_id: str
    kind: str
    actor_id: int | None
    project_id: int | None
    task_id: int | None
    comment_id: int | None


def _ripe(instant: Any, user_id: Any) -> tuple[ColumnElement[bool], ...]:
    return instant <= parameter("moment"), user_id % SHARES == parameter("share")


_RIPE_REMINDERS = Prepared(
    select(Reminder.id).where(*_ripe(Reminder.next_at, Reminder.user_id)).order_by(Reminder.next_at).limit(BATCH)
)
_of_reminder = {"id", "user_id", "task_id", "next_at", "before_due", "snoozed_until"}
_DUE = Prepared(
    select(
        *(getattr(Reminder if name in _of_reminder else Task, name) for name in _Due._fields[:-4]),
        Project.archived_at,
        User.disabled,
        User.timezone,
        Membership.user_id,
    )
    .join(Task, Task.id == Reminder.task_id)
    .join(Project, Project.id == Task.project_id)
    .join(User, User.id == Reminder.user_id)
    .join(
        Membership,
        and_(Membership.project_id == Task.project_id, Membership.user_id == Reminder.user_id),
        isouter=True,
    )
    .where(in_list(Reminder.id, "ids"), Reminder.next_at <= parameter("moment"))
    .order_by(Reminder.id)
    .with_for_update(of=Reminder, key_share=True),
    _Due,
)
_TOLD: Prepared[AnyRow] = Prepared(
    sql_update(Reminder)
    .where(Reminder.id == parameter("reminder_id"))
    .values(
        next_at=parameter("again_at", Reminder.next_at.type),
        told_at=parameter("was_told_at", Reminder.told_at.type),
        snoozed_until=parameter("until", Reminder.snoozed_until.type),
        version=Reminder.version + 1,
    )
)
_RIPE_SNOOZED = Prepared(
    select(Notification.id)
    .where(*_ripe(Notification.snoozed_until, Notification.user_id))
    .order_by(Notification.snoozed_until)
    .limit(BATCH)
)
_SNOOZED = Prepared(
    select(*(getattr(Notification, name) for name in _Snoozed._fields))
    .where(in_list(Notification.id, "ids"), Notification.snoozed_until <= parameter("moment"))
    .order_by(Notification.id)
    .with_for_update(),
    _Snoozed,
)
_FORGET = Prepared(sql_delete(Notification).where(in_list(Notification.id, "ids")))
_BACK = Prepared(sql_update(Notification).where(in_list(Notification.id, "ids")).values(snoozed_until=None))
_MEMBERS = Prepared(
    select(Membership.project_id, Membership.user_id).where(
        in_list(Membership.project_id, "projects"), in_list(Membership.user_id, "users")
    )
)
_FIRST = [
    Prepared(select(column, owner).where(column.is_not(None)).order_by(column).limit(parameter("most")))
    for column, owner in (
        (Reminder.next_at, Reminder.user_id),
        (Notification.snoozed_until, Notification.user_id),
    )
]
LOOKED = 500
"""How many of those that are told next are looked at for the first one of a share: somebody may have a million."""
AGAIN = timedelta(seconds=1)
"""When to look again, at the earliest, where none of a share's are among them."""


@dataclass(frozen=True, slots=True)
class Reminding:
    """The job, for a database: one for each share of the accounts."""

    database: Database
    counts: Counter[str] = field(default_factory=Counter)
    """How many reminders were told, dropped (for what became of their tasks, or of whom they are for), and how many
    notifications were told again."""

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {JOB: self._tell}

    async def _tell(self, share: int) -> Outcome:
        await self.tell(share)
        instants = [await self._first_of(statement, share) for statement in _FIRST]
        return Outcome(min((each for each in instants if each is not None), default=None))

    async def _first_of(self, statement: Prepared[AnyRow], share: int) -> datetime | None:
        """When the first of a share is told, or when to look again; None where there is none."""
        rows = await self.database.reads.all(statement(most=LOOKED))
        first: datetime | None = next((instant for instant, user_id in rows if user_id % SHARES == share), None)
        if first is None and len(rows) == LOOKED:
            first = max(rows[-1][0], now() + AGAIN)
        return first

    async def tell(self, share: int) -> None:
        """Tell whatever is to be told by now to a share of the accounts."""
        for ripe, some in ((_RIPE_REMINDERS, self._remind), (_RIPE_SNOOZED, self._wake)):
            moment = now()
            while ids := await self.database.reads.scalars(ripe(moment=moment, share=share)):
                async with self.database.writing() as session:
                    # notifications are made by one process at a time, so that their ids are in the order of the commits
                    await hold_in_turn(session, notifier.CONSUMER)
                    await some(session, ids, moment)
                    # whoever reads the feed for notifications may have passed by meanwhile
                    session.announce(NUMBERED)
                    await notifications.notify(session, NUMBERED)
                if len(ids) < BATCH:
                    break
                await turns.give()

    async def tell_all(self) -> None:
        """Tell whatever is to be told by now."""
        for share in range(SHARES):
            await self.tell(share)

    async def _remind(self, session: Session, ids: Collection[int], moment: datetime) -> None:
        due = await session.all(_DUE(ids=ids, moment=moment))
        wishes = await wishes_of(session, {row.user_id for row in due}) if due else {}
        kind = NotificationKind.REMINDER.value
        rows: list[dict[str, object]] = []
        by_mail: list[tuple[int, str]] = []
        for row in due:
            again_at, told = _judged(row, moment)
            if told and kind not in wishes[row.user_id].muted_kinds:
                event_id = str(uuid5(_NAMES, f"{row.id} {wire_format(row.next_at)}"))
                rows.append(_reminding(row, event_id))
                if kind in wishes[row.user_id].mailed_kinds:
                    by_mail.append((row.user_id, event_id))
            values = {
                "reminder_id": row.id,
                "again_at": again_at,
                "was_told_at": moment if told else None,
                "until": None,
            }
            await session.execute(_TOLD(**values))
            if again_at is None:
                self.counts["told" if told else "dropped"] += 1
        if rows:
            await notifier.write(session, rows, by_mail)

    async def _wake(self, session: Session, ids: Collection[int], moment: datetime) -> None:
        """What was snoozed is told as if it were new, with an id of its own: what follows notifications goes by ids."""
        rows = await session.all(_SNOOZED(ids=ids, moment=moment))
        told, back = await _still_readable(session, rows)
        if back:
            await session.execute(_BACK(ids=[row.id for row in back]))
        if not told:
            return
        wishes = await wishes_of(session, {row.user_id for row in told})
        by_mail = [(row.user_id, row.event_id) for row in told if row.kind in wishes[row.user_id].mailed_kinds]
        await session.execute(_FORGET(ids=[row.id for row in told]))
        new = [{name: value for name, value in row._asdict().items() if name != "id"} for row in told]
        await notifier.write(session, new, by_mail)
        self.counts["again"] += len(told)


def _judged(row: _Due, moment: datetime) -> tuple[datetime | None, bool]:
    """When a reminder whose instant has come is told instead, if at all, and whether it is told now."""
    if row.before_due is not None and row.snoozed_until is None:
        # the feed tells a moment later that a date was changed
        found = moment_of(None, row.before_due, due_for(row.due_at, row.due_all_day, zone_named(row.time_zone)))
        if found is None or found > moment:
            return found, False
    may = (
        row.member_id is not None
        and row.status in OPEN_STATUSES
        and row.deleted_at is None
        and row.archived_at is None
        and not row.disabled
        and moment - row.next_at <= LATE
    )
    return None, may


def _reminding(row: _Due, event_id: str) -> dict[str, object]:
    return {
        "user_id": row.user_id,
        "event_id": event_id,
        "kind": NotificationKind.REMINDER.value,
        "actor_id": None,
        "project_id": row.project_id,
        "task_id": row.task_id,
        "comment_id": None,
    }


async def _still_readable(session: Session, rows: Sequence[_Snoozed]) -> tuple[Sequence[_Snoozed], Sequence[_Snoozed]]:
    """Those that are told again, and those of projects that their people have left since."""
    projects = {row.project_id for row in rows} - {None}
    members: dict[int | None, set[int]] = defaultdict(set)
    if projects:
        for project_id, user_id in await session.all(_MEMBERS(projects=projects, users={row.user_id for row in rows})):
            members[project_id].add(user_id)
    told: list[_Snoozed] = []
    back: list[_Snoozed] = []
    for row in rows:
        is_told = (
            row.project_id is None or row.kind == NotificationKind.REMOVED or row.user_id in members[row.project_id]
        )
        (told if is_told else back).append(row)
    return told, back
