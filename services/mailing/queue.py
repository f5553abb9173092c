"""What waits to be told by mail. It is gathered for a minute from the first, and goes as one message."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from db.driver.sessions import AnyRow, Session
from db.driver.statements import Prepared
from db.models import MailNotice
from db.upserts import insert_or_ignore
from services.jobs import queue

JOB = "mail.person"
"""The job of one person's messages, which one worker does at a time."""
GATHER = timedelta(seconds=60)

_ADD: Prepared[AnyRow] = Prepared(insert_or_ignore(MailNotice), keys=["user_id", "event_id"])


async def add(session: Session, notices: Sequence[tuple[int, str]], moment: datetime) -> None:
    """Have notifications told by mail, each named by its person and its event."""
    await session.execute(_ADD, [{"user_id": user_id, "event_id": event_id} for user_id, event_id in notices])
    await queue.schedule(session, JOB, {user_id for user_id, _ in notices}, moment + GATHER)
