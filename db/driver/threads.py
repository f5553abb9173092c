"""A thread that does one thing after the other for an event loop."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
Settle = Callable[[Any], None]
_Work = tuple[Callable[[], Any], asyncio.AbstractEventLoop, Settle, Settle]


class WorkerThread:
    """The thread. An executor of the standard library's takes three times as long to hand over."""

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        # a process may end while it works: what is not committed then never was
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do it; the future is not to be cancelled."""
        future = asyncio.get_running_loop().create_future()
        self._work.put((work, future.get_loop(), future.set_result, future.set_exception))
        return future

    def submit_with_callbacks(
        self, work: Callable[[], T], done: Callable[[T], None], failed: Callable[[Any], None]
    ) -> None:
        """Do it; then one of the two is called by the event loop, with what came of it or with what it raised."""
        self._work.put((work, asyncio.get_running_loop(), done, failed))

    def stop(self) -> None:
        """End after what has been submitted."""
        self._work.put(None)

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            work, loop, done, failed = item
            settle = done
            try:
                outcome = work()
            except BaseException as error:
                outcome, settle = error, failed
            with suppress(RuntimeError):  # nobody waits any more: the loop is closed
                loop.call_soon_threadsafe(settle, outcome)
            del item, work, loop, done, failed, outcome, settle  # while it waits, it holds nothing
