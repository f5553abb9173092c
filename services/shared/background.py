"""What a process does beside its requests, for all of them, while somebody needs it."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any

from services.shared.errors import Unavailable

TASK_NAME = "background"
"""What the tasks of such work are called, wherever one lists those of a process."""


class Background:
    """A piece of work of the process: begun by whoever first needs it, in a context of its own and not in that one's
    time; begun again by the next after it has come to its end; and ended for good at shutdown."""

    __slots__ = ("_ended", "_task", "_work")

    def __init__(self, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self._work = work
        self._task: asyncio.Task[object] | None = None
        self._ended = False

    @property
    def runs(self) -> bool:
        """Whether it is under way."""
        return self._task is not None and not self._task.done()

    @property
    def ended(self) -> bool:
        """Whether it is not begun any more."""
        return self._ended

    def begin(self) -> None:
        """Have it done, unless it is under way. Raises ``Unavailable`` after ``end``."""
        if self._ended:
            raise Unavailable("The server is shutting down")
        if not self.runs:
            self._task = asyncio.create_task(self._work(), name=TASK_NAME, context=Context())

    async def end(self) -> None:
        """Stop it, and do not begin it again."""
        self._ended = True
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
