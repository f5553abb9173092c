"""Refusals that tell of what the caller may not see: that a name, an e-mail address or a key is taken, or is nobody's.

Somebody has to be told, or people could not be added to projects by name; but nobody may ask through a list of them.
What such refusals come to is bounded for each account (docs/decisions/0025).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.allowances.rate_limits import RateLimits
from services.shared.actors import Actor, Scope
from services.shared.errors import Conflict, NotFound, TandemError


@asynccontextmanager
async def bounded(limits: RateLimits, actor: Actor) -> AsyncIterator[None]:
    """Count what the block refuses, where that tells. Raises ``RateLimited`` where the account has had too many such
    refusals: before the block, for a success would tell as much, or in place of its refusal.

    Administrators of the server see all accounts, and are not counted.
    """
    if not actor.allowance or (actor.is_admin and Scope.ADMIN in actor.scopes):
        yield
        return
    await limits.check_probes(actor.allowance, made=0)
    try:
        yield
    except (Conflict, NotFound) as error:
        if _tells(error):
            await limits.check_probes(actor.allowance, made=1)
        raise


def _tells(error: TandemError) -> bool:
    return any(problem.type == "taken" or problem.pointer == "/username" for problem in error.errors)
