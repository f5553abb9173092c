"""How often a caller may knock. Counters live in memory, or in Redis where workers and hosts share them."""

import logging
import time

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError
from redis.asyncio import ConnectionPool

from services.errors import Allowance, RateLimited

logger = logging.getLogger("tandem.rate_limits")

REDIS_TIMEOUT_SECONDS = 1.0


class RateLimits:
    """The general limit (per account, key or address) and the stricter one for logins.

    While Redis cannot be reached, each worker counts alone.
    """

    def __init__(self, *, general: str | None, login: str | None, redis_url: str | None) -> None:
        self._general: RateLimitItem | None = parse(general) if general else None
        self._login: RateLimitItem | None = parse(login) if login else None
        self._alone = FixedWindowRateLimiter(MemoryStorage())
        self._limiter = self._alone
        self._pool: ConnectionPool | None = None
        if redis_url:
            self._pool = ConnectionPool.from_url(
                redis_url, socket_connect_timeout=REDIS_TIMEOUT_SECONDS, socket_timeout=REDIS_TIMEOUT_SECONDS
            )
            storage = RedisStorage(
                f"async+{redis_url}",
                wrap_exceptions=True,
                implementation="redispy",
                connection_pool=self._pool,  # type: ignore[arg-type]  # handed on to redis-py
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

    async def close(self) -> None:
        """Close the connections to Redis, at shutdown."""
        if self._pool is not None:
            await self._pool.aclose()

    async def _count(self, item: RateLimitItem, *identifiers: str) -> Allowance:
        try:
            return await _hit(self._limiter, item, *identifiers)
        except StorageError as error:
            logger.warning("Redis cannot be reached, this worker counts alone: %s", error.storage_error)
            return await _hit(self._alone, item, *identifiers)


async def _hit(limiter: FixedWindowRateLimiter, item: RateLimitItem, *identifiers: str) -> Allowance:
    allowed = await limiter.hit(item, *identifiers)
    window = await limiter.get_window_stats(item, *identifiers)
    reset = max(1, round(window.reset_time - time.time()))
    allowance = Allowance(item.amount, item.get_expiry(), window.remaining, reset)
    if not allowed:
        raise RateLimited(reset, allowance=allowance)
    return allowance
