"""How often a caller may knock. Counters live in memory, or in Redis where workers and hosts share them."""

import logging
import time
from typing import Any

from limits import RateLimitItem, parse
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError

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
        self._once = type(self._login)(1, self._login.multiples) if self._login else None
        self._alone = Windows()
        self._shared: FixedWindowRateLimiter | None = None
        self._pool: Any = None
        if redis_url:
            from limits.aio.storage import RedisStorage  # with the driver, 100 ms to import
            from redis.asyncio import ConnectionPool

            self._pool = ConnectionPool.from_url(
                redis_url, socket_connect_timeout=REDIS_TIMEOUT_SECONDS, socket_timeout=REDIS_TIMEOUT_SECONDS
            )
            storage = RedisStorage(
                f"async+{redis_url}",
                wrap_exceptions=True,
                implementation="redispy",
                connection_pool=self._pool,  # handed on to redis-py
            )
            self._shared = FixedWindowRateLimiter(storage)

    @property
    def enabled(self) -> bool:
        """Whether there is a general limit."""
        return self._general is not None

    async def check(self, identity: str) -> Allowance | None:
        """Count a request. Raises ``RateLimited``; answers what is left, or None where there is no limit."""
        if self._general is None:
            return None
        if self._shared is None:
            return self._alone.hit(self._general, "general", identity)
        return await self._count(self._general, "general", identity)

    async def check_login(self, client: str, username: str) -> None:
        """Count a login attempt against the address and against the name. Raises ``RateLimited``."""
        if self._login is None:
            return
        await self._count(self._login, "login-address", client)
        await self._count(self._login, "login-name", username)

    async def first_refusal(self, kind: str, account: str) -> bool:
        """Whether it is the first one of a kind for an account in a window as long as that of logins."""
        if self._once is None:
            return False
        try:
            await self._count(self._once, kind, account)
        except RateLimited:
            return False
        return True

    async def close(self) -> None:
        """Close the connections to Redis, at shutdown."""
        if self._pool is not None:
            await self._pool.aclose()

    async def _count(self, item: RateLimitItem, *identifiers: str) -> Allowance:
        if self._shared is not None:
            try:
                return await _hit(self._shared, item, *identifiers)
            except StorageError as error:
                logger.warning("Redis cannot be reached, this worker counts alone: %s", error.storage_error)
        return self._alone.hit(item, *identifiers)


class Windows:
    """Fixed windows in this process's memory: what the library would do in 40 µs, on every request, in one.

    Windows that have ended are forgotten when there are more than ``sweep_at``.
    """

    def __init__(self, sweep_at: int = 10_000) -> None:
        self._windows: dict[tuple[str, ...], list[float]] = {}
        self._least = self._sweep_at = sweep_at

    def hit(self, item: RateLimitItem, *identifiers: str) -> Allowance:
        """Count one. Raises ``RateLimited``; answers what is left."""
        moment = time.time()
        window = self._windows.get(identifiers)
        if window is None or window[0] <= moment:
            if len(self._windows) >= self._sweep_at:
                self._sweep(moment)
            window = self._windows[identifiers] = [moment + item.get_expiry(), 0]
        window[1] += 1
        left = item.amount - int(window[1])
        reset = max(1, round(window[0] - moment))
        allowance = Allowance(item.amount, item.get_expiry(), max(0, left), reset)
        if left < 0:
            raise RateLimited(reset, allowance=allowance)
        return allowance

    def __len__(self) -> int:
        return len(self._windows)

    def _sweep(self, moment: float) -> None:
        self._windows = {key: window for key, window in self._windows.items() if window[0] > moment}
        self._sweep_at = max(self._least, 2 * len(self._windows))


async def _hit(limiter: FixedWindowRateLimiter, item: RateLimitItem, *identifiers: str) -> Allowance:
    allowed = await limiter.hit(item, *identifiers)
    window = await limiter.get_window_stats(item, *identifiers)
    reset = max(1, round(window.reset_time - time.time()))
    allowance = Allowance(item.amount, item.get_expiry(), window.remaining, reset)
    if not allowed:
        raise RateLimited(reset, allowance=allowance)
    return allowance
