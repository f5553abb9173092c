"""What was found out about callers and what they ask for. It decides how tasks are found, never which."""

import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

from sqlalchemy import func, select

from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.models.projects import Membership
from services.shared.actors import Actor
from services.shared.statements import ACTOR_PARAMETER

T = TypeVar("T")
REMEMBERED_SECONDS = 60.0


def known(session: Session, key: Hashable) -> Any:
    """What is kept; None for nothing."""
    kept: tuple[float, Any] = session.known.get(key, (0.0, None))
    return kept[1] if kept[0] > time.monotonic() else None


def keep(session: Session, key: Hashable, found: object) -> None:
    """Have something known for a while."""
    session.known[key] = (time.monotonic() + REMEMBERED_SECONDS, found)


async def remembered(session: Session, key: Hashable, look: Callable[[], Awaitable[T]]) -> T:
    """What is kept, else what is found by looking."""
    found: T | None = known(session, key)
    if found is None:
        found = await look()
        keep(session, key, found)
    return found


async def number_of_projects(session: Session, actor: Actor) -> int:
    """Of how many projects the caller is a member, as was found lately; at least one."""

    async def look() -> int:
        return max(1, int(await session.scalar(_NUMBER(caller_id=actor.user_id))))

    return int(await remembered(session, ("projects", actor.user_id), look))


_NUMBER = Prepared(select(func.count()).select_from(Membership).where(Membership.user_id == ACTOR_PARAMETER.user_id))
