"""Waiting for what others do."""

import asyncio
import time
from collections.abc import Callable

PATIENCE = 30.0


async def until(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until something holds, or fail."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)
