"""Whether what somebody reads may have changed since it was last read, by the events alone.

A list may depend on much: on its rows, on the names of people and tags in them, on what the caller may read. Whatever
of it changes leaves an event in the same transaction. So where the feed ended before a list was read stands for the
list: as long as no event has come since that the caller may be told of, it is the same, and its rows need not be read.

Who is to know is decided on the safe side: events of no project, such as an account's, count for everybody.
"""

from typing import NamedTuple

from sqlalchemy import BigInteger, and_, cast, null, or_, select, true, union_all

from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.models import Event
from services.projects.queries import among_visible
from services.shared.actors import Actor
from services.shared.statements import ACTOR_PARAMETER, parameter

SCAN = 200
"""How many events are looked at: where more have come, reading the list is no dearer."""


class Standing(NamedTuple):
    """Where the feed ended, and which event stood there: a dump of yesterday that is restored gives positions anew."""

    position: int
    event_id: str


_RELEVANT = or_(
    among_visible(Event.project_id, ACTOR_PARAMETER),
    and_(Event.project_id.is_(None), or_(Event.account_id.is_(None), Event.entity_type == "user")),
    # who was removed is not among the members any more
    and_(Event.entity_type == "member", Event.entity_id == ACTOR_PARAMETER.user_id),
).label("relevant")
_since = (
    select(Event.position, Event.event_id, _RELEVANT)
    .where(Event.position >= parameter("position"))
    .order_by(Event.position)
    .limit(SCAN + 2)
    .subquery()
)
# what has no position yet will get one beyond all others
_waiting = (
    select(cast(null(), BigInteger).label("position"), Event.event_id, true().label("relevant"))
    .where(_RELEVANT.element, Event.position.is_(None))
    .limit(1)
    .subquery()
)
_SINCE = Prepared(union_all(select(*_since.c), select(*_waiting.c)))
_END = Prepared(
    select(Event.position, Event.event_id).where(Event.position.is_not(None)).order_by(Event.position.desc()).limit(1)
)
_BEGINNING = Standing(0, "")


async def standing(session: Session) -> Standing:
    """Where the feed ends now: to be asked before the list is read."""
    last = await session.first(_END())
    return _BEGINNING if last is None else Standing(*last)


async def unchanged(session: Session, actor: Actor, since: Standing) -> Standing | None:
    """Where the feed ends now, if nothing has happened since that may concern the actor; else None."""
    rows = await session.all(_SINCE(caller_id=actor.user_id, position=since.position))
    # waiting ones come in any order beside the others
    told = sorted((row for row in rows if row[0] is not None), key=lambda row: row[0])
    if len(told) < len(rows) or len(told) > SCAN + 1:
        return None
    if since != _BEGINNING:
        if not told or (told[0][0], told[0][1]) != since:
            return None
        told = told[1:]
    if any(row[2] for row in told):
        return None
    return Standing(told[-1][0], told[-1][1]) if told else since
