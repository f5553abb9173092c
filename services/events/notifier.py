"""From the feed to what people are told: a consumer, which writes a notification for each person whom an event
concerns.

A row that is there already (the same event for the same person) is left alone, should somebody set the cursor back.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import delete, func, select

from core.clock import now
from db import notifications
from db.driver.sessions import AnyRow, Session
from db.driver.statements import Prepared
from db.lists import one_of
from db.models import Notification
from db.upserts import insert_or_ignore
from services.events import dates
from services.events.consumers import Consumer, Taken
from services.events.notices import KINDS, Notice, happened, notices_of
from services.mailing import queue as mail_queue
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
    await dates.follow(session, [event.happening for event in events])
    ids = [event.row_id for event in events if event.happening.kind in KINDS]
    if not ids:
        return
    notices = await notices_of(session, await happened(session, ids))
    if notices:
        by_mail = [(notice.user_id, notice.event.event_id) for notice in notices if notice.by_mail]
        await write(session, _rows(notices), by_mail)


CONSUMER = Consumer("notifications", always, notify, gather_seconds=GATHER_SECONDS)


def _rows(notices: Sequence[Notice]) -> list[dict[str, object]]:
    return [
        {
            "user_id": notice.user_id,
            "event_id": notice.event.event_id,
            "kind": notice.kind.value,
            "actor_id": notice.event.actor_id,
            "project_id": notice.project_id or notice.event.project_id,
            "task_id": notice.task_id or notice.event.task_id,
            "comment_id": notice.event.entity_id if notice.event.kind.startswith("comment.") else None,
        }
        for notice in notices
    ]


async def write(session: Session, rows: Sequence[Mapping[str, object]], by_mail: Sequence[tuple[int, str]]) -> None:
    """Write notifications, and which of them, by person and event, are to be told by mail, too.

    Whoever writes some holds the consumer's cursor (``hold``), so that their ids are in the order of the commits.
    """
    moment = now()
    new = {"read_at": None, "snoozed_until": None, "created_at": moment}
    await write_all(session, _INSERT, [{**row, **new} for row in rows])
    await _purge(session, {cast(int, row["user_id"]) for row in rows}, moment)
    if by_mail:
        await mail_queue.add(session, by_mail, moment)
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
            one_of(Notification.user_id, [*users]),
            Notification.created_at < moment - timedelta(days=KEPT_DAYS),
            Notification.snoozed_until.is_(None),
        )
    )
