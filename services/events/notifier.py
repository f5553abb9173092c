"""From the feed to what people are told: a consumer, which writes a notification for each person whom an event
concerns.

A row that is there already (the same event for the same person) is left alone, should somebody set the cursor back.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select

from core.clock import now
from db import notifications
from db.driver.sessions import AnyRow, Session
from db.driver.statements import Prepared
from db.lists import one_of
from db.models import Notification
from db.upserts import insert_or_ignore
from services.events.consumers import Consumer, Taken
from services.events.notices import KINDS, Notice, happened, notices_of
from services.shared.bulk_writing import write_all

MADE = "notifications made"
"""What a transaction announces that makes notifications, and tells other processes."""
KEPT = 1_000
"""The notifications of a person: of more, the oldest go."""
KEPT_DAYS = 90
GATHER_SECONDS = 0.25

_INSERT: Prepared[AnyRow] = Prepared(
    insert_or_ignore(Notification), keys=[column.key for column in Notification.__table__.columns if column.key != "id"]
)


async def always(_session: Session) -> int:
    """Whatever happens may concern somebody."""
    return 0


async def notify(session: Session, events: Sequence[Taken]) -> None:
    """Write what people are to be told of some events."""
    ids = [event.row_id for event in events if event.happening.kind in KINDS]
    if not ids:
        return
    notices = await notices_of(session, await happened(session, ids))
    if notices:
        await _write(session, notices)


CONSUMER = Consumer("notifications", always, notify, gather_seconds=GATHER_SECONDS)


async def _write(session: Session, notices: Sequence[Notice]) -> None:
    moment = now()
    rows = [
        {
            "user_id": notice.user_id,
            "event_id": notice.event.event_id,
            "kind": notice.kind.value,
            "actor_id": notice.event.actor_id,
            "project_id": notice.project_id or notice.event.project_id,
            "task_id": notice.task_id or notice.event.task_id,
            "comment_id": notice.event.entity_id if notice.event.kind.startswith("comment.") else None,
            "read_at": None,
            "created_at": moment,
        }
        for notice in notices
    ]
    await write_all(session, _INSERT, rows)
    await _purge(session, {notice.user_id for notice in notices}, moment)
    session.announce(MADE)
    await notifications.notify(session, MADE)


async def _purge(session: Session, users: Collection[int], moment: datetime) -> None:
    """Drop what is more than a person keeps, of people who have just got more."""
    numbered = (
        select(
            Notification.id,
            func.row_number().over(partition_by=Notification.user_id, order_by=Notification.id.desc()).label("number"),
        )
        .where(one_of(Notification.user_id, [*users]))
        .subquery()
    )
    too_many = select(numbered.c.id).where(numbered.c.number > KEPT)
    await session.execute(delete(Notification).where(Notification.id.in_(too_many)))
    await session.execute(
        delete(Notification).where(
            one_of(Notification.user_id, [*users]), Notification.created_at < moment - timedelta(days=KEPT_DAYS)
        )
    )
