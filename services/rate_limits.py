"""How often a caller may knock. Counters live in memory, or in Redis where workers and hosts share them."""

import time

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter

from services.errors import Allowance, RateLimited


class RateLimits:
    """The general limit (per account, key or address) and the stricter one for logins."""

    def __init__(self, *, general: str | None, login: str | None, redis_url: str | None) -> None:
        self._general: RateLimitItem | None = parse(general) if general else None
        self._login: RateLimitItem | None = parse(login) if login else None
        storage: Storage = (
            RedisStorage(f"async+{redis_url}", implementation="redispy") if redis_url else MemoryStorage()
        )
        self._limiter = FixedWindowRateLimiter(storage)

    @property
    def enabled(self) -> bool:
        """Whether there is a general limit."""
        return self._general is not None

    async def check(self, identity: str) -> Allowance | None:
        """Count a request. Raises ``RateLimited``; answers what is left, or None where there is no limit."""
        if self._general is None:
            return None
        return await self._count(self._general, "general", identity)

    async def check_login(self, client: str, username: str) -> None:
        """Count a login attempt against the address and against the name. Raises ``RateLimited``."""
        if self._login is None:
            return
        await self._count(self._login, "login-address", client)
        await self._count(self._login, "login-name", username)

    async def _count(self, item: RateLimitItem, *identifiers: str) -> Allowance:
        allowed = await self._limiter.hit(item, *identifiers)
        window = await self._limiter.get_window_stats(item, *identifiers)
        reset = max(1, round(window.reset_time - time.time()))
        allowance = Allowance(item.amount, item.get_expiry(), window.remaining, reset)
        if not allowed:
            raise RateLimited(reset, allowance=allowance)
        return allowance
