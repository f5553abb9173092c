"""What happened to the security of an account, for its owner to read: logins, sessions that ended, keys, passwords.

They are events like others, which name the account that they concern. None of them holds a secret or an address.
"""

import logging

from sqlalchemy import ColumnElement, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.engine import Database
from db.models import Event, User
from db.sessions import AnySelect, Session
from services import events
from services.actors import ANONYMOUS, Actor
from services.events import COLUMNS, NEWEST_FIRST, EventRecord, NewEvent
from services.pagination import Page, PageRequest, make_page, page_statement
from services.rate_limits import RateLimits

logger = logging.getLogger("tandem.security_events")


async def list_(session: Session, actor: Actor, request: PageRequest) -> Page[EventRecord]:
    """What concerns the caller's account, newest first."""
    statement = page_statement(_of(actor.require_login()), NEWEST_FIRST, request)
    return make_page(await session.all(statement), EventRecord._make, NEWEST_FIRST, request)


async def count(session: Session, actor: Actor) -> int:
    """How many there are."""
    return await session.count(_of(actor.require_login()))


async def record_refusal(database: Database, limits: RateLimits, kind: str, account: ColumnElement[bool]) -> None:
    """Record that the rate limit refused somebody who tried passwords: once in a window for an account and a kind, for
    whoever tries could fill the log.

    In a transaction of its own, as the call is refused. Where the database cannot take it, the refusal stands all the
    same, and the log of the server has it.
    """
    try:
        account_id = await database.reads.scalar(select(User.id).where(account))
        if account_id is None or not await limits.first_refusal(kind, str(account_id)):
            return
        async with database.writing() as session:
            event = NewEvent(kind, "user", account_id, {})
            await events.record_for_account(session, ANONYMOUS, account_id, event)
    except (DBAPIError, PoolTimeout):
        logger.warning("%s could not be recorded", kind, exc_info=True)


def _of(user_id: int) -> AnySelect:
    return select(*COLUMNS).where(Event.account_id == user_id)
