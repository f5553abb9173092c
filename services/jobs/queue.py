"""The jobs: rows that say what is to be done when, and who is about it.

A worker claims what is due, for a while that it renews; another that finds a claim at its end takes the job over. So a
job is begun at least once whatever becomes of workers, and by two of them only where one stood still for that long: it
cannot end the job then, for its claim is not the last. There is one row for each thing that there is work for, and a
thing is worked on by one worker at a time.

PostgreSQL's queues in Python (procrastinate, pgqueuer) know no SQLite; this is what both databases do alike (decision
42). Instants are those of the workers' clocks, which therefore have to agree to about a second.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import and_, case, func, null, or_, select
from sqlalchemy import delete as sql_delete
from sqlalchemy import update as sql_update

from core.clock import now
from db import notifications
from db.driver.database import Database
from db.driver.sessions import AnyRow, Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import Job
from db.upserts import insert_or_ignore, upsert
from services.shared.statements import parameter

SCHEDULED = "jobs scheduled"
"""What a transaction announces that schedules jobs, and tells other processes."""


LEADER = "leader"
"""The kind of the row that says which of the API's processes works; it is claimed, and no job."""


class Claim(NamedTuple):
    """A job that a worker has for now."""

    id: int
    kind: str
    subject_id: int
    claim: int
    failing: bool
    """Whether it did not succeed the last time."""


class Outlook(NamedTuple):
    """When the next job is due: of all of them, and of those that are not due yet."""

    first: datetime | None
    later: datetime | None


_new = upsert(Job)
_SCHEDULE: Prepared[AnyRow] = Prepared(
    _new.on_conflict_do_update(
        index_elements=[Job.kind, Job.subject_id],
        set_={
            "due_at": case(
                (or_(Job.due_at.is_(None), Job.due_at > _new.excluded.due_at), _new.excluded.due_at), else_=Job.due_at
            )
        },
    ),
    keys=["kind", "subject_id", "due_at", "claim", "failing"],
)
_ready_at = case((Job.claimed_until.is_(None), Job.due_at), else_=Job.claimed_until)
_READY = Prepared(
    select(Job.id)
    .where(
        or_(
            and_(Job.due_at <= parameter("moment"), Job.claimed_until.is_(None)),
            Job.claimed_until <= parameter("moment"),
        ),
        Job.failing == parameter("failing"),
        Job.kind != LEADER,
    )
    .order_by(_ready_at, Job.id)
    .limit(parameter("rows"))
    .with_for_update(skip_locked=True)
)
_TAKE = Prepared(
    sql_update(Job)
    .where(in_list(Job.id, "ids"))
    .values(claimed_until=parameter("until"), due_at=null(), claim=Job.claim + 1)
    .returning(Job.id, Job.kind, Job.subject_id, Job.claim, Job.failing),
    Claim,
)
_RENEW = Prepared(
    sql_update(Job)
    # without waiting: what somebody schedules just now is renewed the next time; and not what has ended meanwhile
    .where(
        Job.id.in_(
            select(Job.id)
            .where(in_list(Job.id, "ids"), Job.claimed_until.is_not(None))
            .with_for_update(skip_locked=True)
        )
    )
    .values(claimed_until=parameter("until"))
)
_mine = and_(Job.id == parameter("job_id"), Job.claim == parameter("number"))
_END = Prepared(sql_update(Job).where(_mine).values(claimed_until=null(), failing=parameter("fails")))
_END_UNTIL = Prepared(
    sql_update(Job)
    .where(_mine)
    .values(
        claimed_until=null(),
        failing=parameter("fails"),
        due_at=case((Job.due_at < parameter("again_at"), Job.due_at), else_=parameter("again_at", Job.due_at.type)),
    )
)
_FORGET = Prepared(sql_delete(Job).where(_mine, Job.due_at.is_(None)))
_OUTLOOK = Prepared(
    select(func.min(_ready_at), func.min(case((_ready_at > parameter("moment"), _ready_at)))).where(
        or_(Job.due_at.is_not(None), Job.claimed_until.is_not(None)), Job.kind != LEADER
    ),
    Outlook,
)
_lead = and_(Job.kind == LEADER, Job.subject_id == 0)
_LED_UNTIL = Prepared(select(Job.claimed_until).where(_lead))
_LEAD = Prepared(
    sql_update(Job)
    .where(_lead, or_(Job.claimed_until.is_(None), Job.claimed_until <= parameter("moment")))
    .values(claimed_until=parameter("until"), claim=Job.claim + 1)
    .returning(Job.id, Job.kind, Job.subject_id, Job.claim, Job.failing),
    Claim,
)
_LEADER: Prepared[AnyRow] = Prepared(insert_or_ignore(Job), keys=["kind", "subject_id", "claim", "failing"])
_LEAD_ON = Prepared(sql_update(Job).where(_mine).values(claimed_until=parameter("until")))


async def schedule(session: Session, kind: str, subjects: Collection[int], due_at: datetime) -> None:
    """Have something done for each of the subjects at a time, or before, where that was to be done already."""
    if not subjects:
        return
    # in one order: two that schedule the same never wait for each other
    rows: list[dict[str, Any]] = [
        {"kind": kind, "subject_id": subject, "due_at": due_at, "claim": 0, "failing": False}
        for subject in sorted(subjects)
    ]
    await session.execute(_SCHEDULE, rows)
    await wake(session)


async def wake(session: Session) -> None:
    """Have the workers of every process look for what there is to do, once the transaction is committed."""
    session.announce(SCHEDULED)
    await notifications.notify(session, SCHEDULED)


async def cancel(session: Session, kind: str, subject_id: int) -> None:
    """Have nothing more done for a subject."""
    await session.execute(sql_delete(Job).where(Job.kind == kind, Job.subject_id == subject_id))


async def claim(session: Session, lease: timedelta, *, places: int, for_failing: int) -> Sequence[Claim]:
    """Take what is due, as many jobs as there are places, of which some at most for those that failed the last time."""
    moment = now()
    ids = [*await session.scalars(_READY(moment=moment, failing=False, rows=places))]
    if (room := min(for_failing, places - len(ids))) > 0:
        ids += await session.scalars(_READY(moment=moment, failing=True, rows=room))
    return await session.all(_TAKE(ids=ids, until=moment + lease)) if ids else []


async def renew(session: Session, ids: Collection[int], lease: timedelta) -> None:
    """Have jobs for longer."""
    await session.execute(_RENEW(ids=ids, until=now() + lease))


async def end(session: Session, job: Claim, again_at: datetime | None, *, failing: bool = False) -> bool:
    """Give a job back: it is due again at a time, or when it is scheduled. Returns False for one that another has."""
    values = {"job_id": job.id, "number": job.claim, "fails": failing}
    if again_at is None:
        return bool(await session.execute(_END(**values)))
    return bool(await session.execute(_END_UNTIL(**values, again_at=again_at)))


async def forget(session: Session, job: Claim) -> None:
    """End a job for good, unless it was scheduled again meanwhile."""
    if not await session.execute(_FORGET(job_id=job.id, number=job.claim)):
        await end(session, job, None)


async def outlook(session: Session, moment: datetime) -> Outlook:
    """When to look for work again."""
    return Outlook._make(await session.one(_OUTLOOK(moment=moment)))


async def lead(database: Database, lease: timedelta) -> Claim | None:
    """Become the one that works among many, unless another one is."""
    moment = now()
    until = await database.reads.first(_LED_UNTIL())
    if until is not None and until[0] is not None and until[0] > moment:
        return None
    async with database.writing() as session:
        if until is None:
            await session.execute(_LEADER, {"kind": LEADER, "subject_id": 0, "claim": 0, "failing": False})
        return await session.first(_LEAD(moment=moment, until=moment + lease))


async def lead_on(session: Session, claim: Claim, lease: timedelta) -> bool:
    """Be it for longer. Returns False for one that another has become."""
    values = {"job_id": claim.id, "number": claim.claim, "until": now() + lease}
    return bool(await session.execute(_LEAD_ON(**values)))
