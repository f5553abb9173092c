"""What happened to the security of an account, for its owner to read: logins, sessions that ended, keys, passwords.

They are events like others, which name the account that they concern. None of them holds a secret or an address.
"""

import logging

from sqlalchemy import Executable, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.engine import Database
from db.models import Event
from db.sessions import AnySelect, Session
from services import events
from services.actors import ANONYMOUS, Actor
from services.events import COLUMNS, NEWEST_FIRST, EventRecord, NewEvent
from services.pagination import Page, PageRequest, make_page, page_statement

logger = logging.getLogger("tandem.security_events")


async def list_(session: Session, actor: Actor, request: PageRequest) -> Page[EventRecord]:
    """What concerns the caller's account, newest first."""
    statement = page_statement(_of(actor.require_login()), NEWEST_FIRST, request)
    return make_page(await session.all(statement), EventRecord._make, NEWEST_FIRST, request)


async def count(session: Session, actor: Actor) -> int:
    """How many there are."""
    return await session.count(_of(actor.require_login()))


async def record_refusal(database: Database, kind: str, account_id: int | None, mark: Executable) -> None:
    """Record that somebody was refused who tried passwords: where ``mark`` changes a row, so that whoever tries cannot
    fill the log. Of a name that is no account's the row alone is changed, which takes as long.

    In a transaction of its own, as the call is refused. Where the database cannot take it, the refusal stands all the
    same, and the log of the server has it.
    """
    try:
        async with database.writing() as session:
            if await session.execute(mark) and account_id is not None:
                event = NewEvent(kind, "user", account_id, {})
                await events.record_for_account(session, ANONYMOUS, account_id, event)
    except (DBAPIError, PoolTimeout):
        logger.warning("%s could not be recorded", kind, exc_info=True)


def _of(user_id: int) -> AnySelect:
    return select(*COLUMNS).where(Event.account_id == user_id)
