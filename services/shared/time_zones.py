"""In which time zone a caller's days are."""

from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import select

from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.models import User
from services.shared.actors import Actor
from services.shared.statements import ACTOR_PARAMETER


async def zone_of(session: Session, actor: Actor) -> tzinfo:
    """The caller's time zone; UTC for whoever has no account, and for one that this server does not know any more."""
    return zone_named(await zone_name_of(session, actor))


async def zone_name_of(session: Session, actor: Actor) -> str:
    """The name of the caller's time zone, as it is kept; UTC for whoever has no account."""
    name: str | None = actor.time_zone
    if name is None:
        name = await session.scalar(_ZONE(caller_id=actor.user_id))
    return name or "UTC"


def known_zone(actor: Actor) -> tzinfo | None:
    """The caller's time zone, where it is known without a look."""
    return None if actor.time_zone is None else zone_named(actor.time_zone)


def zone_named(name: str) -> tzinfo:
    """A time zone by its name; UTC for one that this server does not know (any more)."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


_ZONE: Prepared[Any] = Prepared(select(User.timezone).where(User.id == ACTOR_PARAMETER.user_id))
