"""Reads of SQLite that take their time: in threads, each of a connection of its own, and ended when nobody waits."""

import asyncio
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from core.deadlines import Caller, DeadlinePassed, Work
from db.driver.slots import Slots
from db.driver.statements import Command

T = TypeVar("T")
Rows = Sequence[tuple[Any, ...]]

AGAIN_SECONDS = 0.1
"""After which what goes on is interrupted again: SQLite forgets it where a statement is only just to begin."""
NICENESS = 10
"""By how much what takes its time steps back (``nice``): it gets a tenth of what a busy event loop gets."""
LOOK_SECONDS = 0.25
"""How often is looked whether somebody still waits: work may be ended from outside."""


class SlowReads:
    """Up to ``threads`` at a time. Raises ``sqlite3.Error``, ``DeadlinePassed``, SQLAlchemy's ``TimeoutError``."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], *, threads: int, timeout: float) -> None:
        self._connect = connect
        self._idle: list[sqlite3.Connection] = []
        self._slots = Slots(threads, timeout=timeout, lacking="no thread was free to read")
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sqlite", initializer=_step_back)
        self.jobs: set[_Job] = set()
        self._closed = False
        self._generation = 0

    async def run(self, command: Command, work: Work) -> Rows:
        """The rows as SQLite has them."""
        caller = await self._slots.acquire(work)
        job = _Job(self, command)
        loop = asyncio.get_running_loop()
        future = self._pool.submit(job.run)
        self.jobs.add(job)
        # a slot is free when its thread is, even where nobody waits for the answer any more
        future.add_done_callback(lambda _done: _call(loop, lambda: self._end(job, caller)))
        rows = asyncio.wrap_future(future)
        try:
            return await in_time(rows, work)
        finally:
            if not rows.done():
                rows.cancel()
                self._stop(job)

    def close(self) -> None:
        """Close every connection; what still runs is interrupted."""
        self._closed = True
        for job in self.jobs:
            job.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)
        while self._idle:
            self._idle.pop().close()

    def renew(self) -> None:
        """Use no connection again that was made until now: there is another file at the database's path."""
        self._generation += 1
        while self._idle:
            self._idle.pop().close()

    def take(self) -> tuple[sqlite3.Connection, int]:
        """A connection, for a thread, and which generation it is of."""
        return self._idle.pop() if self._idle else self._connect(), self._generation

    def give_back(self, connection: sqlite3.Connection, generation: int) -> None:
        """It is used no more."""
        if self._closed or generation != self._generation:
            connection.close()
        else:
            self._idle.append(connection)

    def _stop(self, job: "_Job") -> None:
        if job in self.jobs:
            job.stop()
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._stop, job)

    def _end(self, job: "_Job", caller: Caller) -> None:
        self.jobs.discard(job)
        self._slots.release(caller)


class _Job:
    """A statement, from here to its thread and back."""

    def __init__(self, reads: SlowReads, command: Command) -> None:
        self._reads, self._command = reads, command
        self._connection: sqlite3.Connection | None = None
        self._stopped = False
        self._lock = threading.Lock()
        """Held while a statement is interrupted: else it might be another's that has begun on the connection."""

    def run(self) -> Rows:
        with self._lock:
            if self._stopped:
                return ()
            connection, generation = self._reads.take()
            self._connection = connection
        try:
            return connection.execute(self._command.sql, self._command.values).fetchall()
        finally:
            with self._lock:
                self._connection = None
            self._reads.give_back(connection, generation)

    def stop(self) -> None:
        """Nobody waits for it any more."""
        with self._lock:
            self._stopped = True
            if self._connection is not None:
                self._connection.interrupt()


async def in_time(future: "asyncio.Future[T]", work: Work) -> T:
    """What comes of it. Raises ``DeadlinePassed`` where there is no time left for the work; what is done for it is then
    to be ended by whoever waits."""
    loop = asyncio.get_running_loop()
    while not future.done():
        if (left := work.left) <= 0:
            raise DeadlinePassed(work.seconds)
        # as asyncio.wait does for one future, which takes a third of the time
        waiter = loop.create_future()
        wake = partial(_wake, waiter)
        timer = loop.call_later(min(LOOK_SECONDS, left), wake)
        future.add_done_callback(wake)
        try:
            await waiter
        finally:
            timer.cancel()
            future.remove_done_callback(wake)
    return future.result()


def _wake(waiter: "asyncio.Future[None]", *_: object) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _step_back() -> None:
    """Let the event loops of this and other processes come first on a busy machine, where threads have priorities of
    their own (Linux: setpriority(2), "C library/kernel differences")."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(function)
