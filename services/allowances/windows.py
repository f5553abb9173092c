"""Counting in fixed windows: in this process's memory, or in Redis for all workers and hosts.

A window lasts as long as its limit says from the first thing that is counted in it. Time is the monotonic clock here
and Redis's own there: a clock that is set back keeps nobody out.
"""

import asyncio
import logging
import time
from contextlib import suppress
from contextvars import Context

from limits import RateLimitItem

from services.shared.errors import Allowance, RateLimited

logger = logging.getLogger("tandem.rate_limits")

MAX_WINDOWS = 50_000
"""Windows that a process remembers, about 250 bytes each; of more, those that began first are forgotten."""
ANSWER_SECONDS = 0.08
"""How long a request waits for Redis."""
AWAY_SECONDS = 5.0
"""How long Redis is left alone after it has not answered."""
CHECK_SECONDS = 2.0
"""How long it may take to answer when nobody waits: with a new connection, and TLS."""
PREFIX = "tandem:allowance"

_HIT = """
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  left = tonumber(ARGV[2])
end
return {count, left}
"""
"""One round trip; a window that has no end yet gets one."""


class RedisAway(Exception):
    """Redis did not answer, or has not a moment ago."""


def settled(item: RateLimitItem, count: int, seconds: float) -> Allowance:
    """What is left after so many, in a window that ends in so many seconds. Raises ``RateLimited``."""
    left = item.amount - count
    reset = max(1, round(seconds))
    allowance = Allowance(item.amount, item.get_expiry(), max(0, left), reset)
    if left < 0:
        raise RateLimited(reset, allowance=allowance)
    return allowance


class Windows:
    """In this process's memory: a microsecond of every request, where the library takes six (docs/decisions/0033).

    Windows that have ended are forgotten when there are more than ``sweep_at``, and the oldest ones beyond ``most``.
    """

    def __init__(self, sweep_at: int = 10_000, *, most: int = MAX_WINDOWS) -> None:
        self._windows: dict[tuple[str, ...], list[float]] = {}
        self._least = self._sweep_at = sweep_at
        self._most = most

    def hit(self, item: RateLimitItem, *identifiers: str, weight: int = 1) -> Allowance:
        """Count one (or ``weight``). Raises ``RateLimited``; answers what is left."""
        moment = time.monotonic()
        window = self._windows.get(identifiers)
        if window is None or window[0] <= moment:
            if len(self._windows) >= self._sweep_at:
                self._sweep(moment)
            self._windows.pop(identifiers, None)  # those that began last stand last
            window = self._windows[identifiers] = [moment + item.get_expiry(), 0]
        window[1] += weight
        return settled(item, int(window[1]), window[0] - moment)

    def __len__(self) -> int:
        return len(self._windows)

    def _sweep(self, moment: float) -> None:
        kept = [(key, window) for key, window in self._windows.items() if window[0] > moment]
        if len(kept) >= self._most:
            kept = kept[-(self._most * 3 // 4) :]
        self._windows = dict(kept)
        self._sweep_at = max(self._least, min(2 * len(kept), self._most))


class SharedWindows:
    """In Redis. One that does not answer in ``ANSWER_SECONDS`` is left alone: nobody asks it again before it has
    answered somebody who can wait."""

    def __init__(self, url: str) -> None:
        from redis.asyncio import Redis  # with the driver, 100 ms to import
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError

        self._failures = (RedisError, OSError, TimeoutError)
        self._redis = Redis.from_url(url, socket_connect_timeout=CHECK_SECONDS, retry=Retry(NoBackoff(), 0))
        self._script = self._redis.register_script(_HIT)
        self._returning: asyncio.Task[None] | None = None

    @property
    def away(self) -> bool:
        """Whether nobody is to ask: it did not answer, and has not since."""
        return self._returning is not None

    async def hit(self, item: RateLimitItem, *identifiers: str, weight: int = 1) -> Allowance:
        """As ``Windows.hit``. Raises ``RedisAway`` as well, at once where that is known."""
        if self._returning is not None:
            raise RedisAway
        key = ":".join((PREFIX, *identifiers))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                count, left = await self._script(keys=[key], args=[weight, item.get_expiry() * 1000])
        except self._failures as error:
            self._leave(error)
            raise RedisAway from None
        return settled(item, int(count), int(left) / 1000)

    async def close(self) -> None:
        """Close the connections, at shutdown."""
        if self._returning is not None:
            self._returning.cancel()
            with suppress(asyncio.CancelledError):
                await self._returning
        await self._redis.aclose()

    def _leave(self, error: BaseException) -> None:
        if self._returning is None:  # of those who wait at the same time, the first one says so
            reason = str(error) or type(error).__name__
            logger.warning("Redis does not answer: each worker counts alone until it does (%s)", reason)
            self._returning = asyncio.create_task(self._come_back(), context=Context())

    async def _come_back(self) -> None:
        """Ask now and then, beside the requests, and use it again once it has answered."""
        while True:
            await asyncio.sleep(AWAY_SECONDS)
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._redis.ping()
            except self._failures:
                continue
            self._returning = None
            logger.warning("Redis answers again: workers count together")
            return
