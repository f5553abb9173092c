"""Long computations in Python, done aside: in one thread of the process, one after the other.

Python runs one thread at a time, and lets the others in every half millisecond (``api/server/switching.py``), wherever
it is in a program of its own: so the event loop goes on. It is of no use for a single long call into a library, which
lets nobody in. One thread, for several that compute would leave the loop so much less.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

LARGE = 32 * 1024
"""Bytes. What has come in with a request of this size or more is worth handing over (0.1 ms)."""
_thread = ThreadPoolExecutor(1, "aside")


async def aside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a function returns or raises. Whoever is cancelled leaves it: it is not begun, or it is not waited for."""
    call = partial(contextvars.copy_context().run, work, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_thread, call)
