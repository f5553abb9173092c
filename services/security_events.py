"""What happened to the security of an account, for its owner to read: logins, sessions that ended, keys, passwords.

They are events like others, which name the account that they concern. None of them holds a secret or an address.
"""

import logging

from sqlalchemy import Executable, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.driver.database import Database
from db.driver.sessions import AnySelect
from db.models import Event
from services.events import log
from services.events.catalogue import EventKind
from services.events.log import COLUMNS, FILTERING, NEWEST_FIRST, EventRecord, NewEvent
from services.shared.actors import ANONYMOUS, Actor
from services.shared.features import Feature, Operation, Who
from services.shared.reading import ListReader

logger = logging.getLogger("tandem.security_events")


def visible(actor: Actor) -> AnySelect:
    """The events that concern the caller's account."""
    return select(*COLUMNS).where(Event.account_id == actor.user_id)


_READER = ListReader(
    "Event", visible, EventRecord._make, NEWEST_FIRST, require=Actor.require_login, filtering=FILTERING
)
list_, count = _READER.list_, _READER.count


async def record_refusal(database: Database, kind: EventKind, account_id: int | None, mark: Executable) -> None:
    """Record that somebody was refused who tried passwords: where ``mark`` changes a row, so that whoever tries cannot
    fill the log. Of a name that is no account's the row alone is changed, which takes as long.

    In a transaction of its own, as the call is refused. Where the database cannot take it, the refusal stands all the
    same, and the log of the server has it.
    """
    try:
        async with database.writing() as session:
            if await session.execute(mark) and account_id is not None:
                event = NewEvent(kind, account_id, {})
                await log.record_for_account(session, ANONYMOUS, account_id, event)
    except (DBAPIError, PoolTimeout):
        logger.warning("%s could not be recorded", kind.name, exc_info=True)


FEATURE = Feature(
    "security_events",
    operations=(
        Operation("list_security_events", "Query.securityEvents", Who.LOGIN),
        Operation("query_security_events", "Query.securityEvents", Who.LOGIN),
    ),
)
