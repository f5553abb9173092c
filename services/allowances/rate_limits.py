"""How often a caller may knock, by account or by address. Counters live in memory, or in Redis where workers and hosts
share them; while it does not answer, each worker counts alone.

An address is counted with its network (``core.networks``). What is known of failed logins is another thing, and stands
in the database (``services.allowances.login_failures``).
"""

from limits import RateLimitItem, parse

from core.networks import network_of
from services.allowances.windows import RedisAway, SharedWindows, Windows
from services.shared.errors import Allowance, RateLimited


class RateLimits:
    """The general limit, and the stricter ones of what needs no account, or tells of what one may not see.

    Each is a text such as ``20/minute``, or None for no limit. Every method that counts raises ``RateLimited``.
    """

    def __init__(
        self,
        *,
        general: str | None = None,
        login: str | None = None,
        registration: str | None = None,
        refresh: str | None = None,
        probes: str | None = None,
        password_reset: str | None = None,
        redis_url: str | None = None,
    ) -> None:
        self._general, self._login = _read(general), _read(login)
        self._registration, self._refresh, self._probes = _read(registration), _read(refresh), _read(probes)
        self._password_reset = _read(password_reset)
        self._alone = Windows()
        self._shared = SharedWindows(redis_url) if redis_url else None

    @property
    def enabled(self) -> bool:
        """Whether there is a general limit."""
        return self._general is not None

    async def check(self, identity: str) -> Allowance | None:
        """Count a request; answers what is left, or None where there is no limit."""
        if self._general is None:
            return None
        if self._shared is None:
            return self._alone.hit(self._general, "general", identity)
        return await self._count(self._general, "general", identity)

    async def check_login(self, client: str) -> None:
        """Count an attempt to log in against the address, whatever comes of it: each costs a hash."""
        await self._count(self._login, "login", network_of(client))

    async def check_password_change(self, user_id: int) -> None:
        """Count a change of a password, at the limit of logins: it costs up to three hashes."""
        await self._count(self._login, "password", str(user_id))

    async def check_registration(self, client: str) -> None:
        """Count a registration against the address, also one that is refused: it tells which names are taken."""
        await self._count(self._registration, "registration", network_of(client))

    async def check_password_reset(self, client: str) -> None:
        """Count a request for a new password, or the use of a token for one, whatever comes of it."""
        await self._count(self._password_reset, "password reset", network_of(client))

    async def check_refresh(self, client: str) -> None:
        """Count the use of a refresh token, whatever comes of it, against the address."""
        await self._count(self._refresh, "refresh", network_of(client))

    async def check_probes(self, identity: str, *, made: int) -> None:
        """Count the probes that somebody has ``made``; with 0, only refuse where he may make no more."""
        allowance = await self._count(self._probes, "probes", identity, weight=made)
        if made == 0 and allowance is not None and allowance.remaining == 0:
            raise RateLimited(allowance.reset)

    async def close(self) -> None:
        """Close the connections to Redis, at shutdown."""
        if self._shared is not None:
            await self._shared.close()

    async def _count(self, item: RateLimitItem | None, *identifiers: str, weight: int = 1) -> Allowance | None:
        if item is None:
            return None
        if self._shared is not None:
            try:
                return await self._shared.hit(item, *identifiers, weight=weight)
            except RedisAway:
                pass
        return self._alone.hit(item, *identifiers, weight=weight)


def _read(limit: str | None) -> RateLimitItem | None:
    return parse(limit) if limit else None
