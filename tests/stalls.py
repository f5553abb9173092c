"""How long a server's event loop is held: the CPU that its thread uses between two looks of a timer."""

import asyncio
import time
from typing import Any


class Meter:
    """An ASGI application around another, which measures the loop that it is served on.

    CPU, and not the time that passes: on a busy machine others hold the processor, not the loop.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._last: float | None = None
        self.worst = 0.0
        """Seconds of CPU, since it was set to zero."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._last is None:
            self._last = time.thread_time()
            self._look(asyncio.get_running_loop())
        await self._app(scope, receive, send)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        moment = time.thread_time()
        self.worst = max(self.worst, moment - (self._last or moment))
        self._last = moment
        loop.call_later(0.001, self._look, loop)
