"""The worker: claims jobs when they are due, and has consumers read the feed.

Any number of workers may run on one database. Each does so many jobs at a time; of those that failed the last time, a
share of that, so that what hangs takes no place from what does not.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Hashable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from core.clock import now
from core.ticks import TICK, next_tick
from db.driver.database import Database
from services.events.consumers import Consumer, consume, register
from services.events.numbering import NUMBERED
from services.jobs import queue
from services.jobs.queue import SCHEDULED, Claim
from services.shared.outages import Outage

logger = logging.getLogger("tandem.worker")

PLACES = 64
"""Jobs that a worker does at a time."""
PLACES_FOR_FAILING = 32
LEASE_SECONDS = 15.0
POLL_SECONDS = 1.0
"""How soon to look again where processes tell one another of work, in case it was not heard."""
POLL_ALONE_SECONDS = TICK
"""The same where other processes tell nothing (SQLite): a job begins hardly later than this."""
IDLE_SECONDS = 5.0
"""How soon to look again for whoever wants to know of events, where nobody does."""
AGAIN_SECONDS = 5.0
"""When a job that broke is tried again."""
LEAD_SECONDS = 6.0
"""How long a process that ended without saying so still counts as the one that works."""
STOP_SECONDS = 5.0
"""How long jobs in hand may go on when the worker stops."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job: when it is due again, where that is known, and whether it failed.

    ``gone`` says that there is nothing left to do for its subject, ever.
    """

    again_at: datetime | None = None
    failing: bool = False
    gone: bool = False


Handler = Callable[[int], Awaitable[Outcome]]
"""Does a kind of job for a subject. It may be cancelled at any await, and done again by another worker."""


class Worker:
    """Does the jobs that there are handlers for, and reads for the consumers, while it runs."""

    def __init__(
        self,
        database: Database,
        handlers: Mapping[str, Handler],
        consumers: Sequence[Consumer] = (),
        *,
        always: Collection[str] = (),
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        """``always``: the kinds of jobs that are to be done from time to time without anybody's asking, of which each
        says itself when it is due again."""
        self._database, self._handlers, self._consumers, self._always = database, handlers, consumers, always
        self._lease = timedelta(seconds=lease_seconds)
        self._poll = POLL_ALONE_SECONDS if database.planner.commits_in_order else POLL_SECONDS
        self._scheduled = asyncio.Event()
        self._seen: Hashable = None
        """The version of the database in which nothing was due, and in which ``_later`` is when something will be."""
        self._later: datetime | None = None
        self._known: Hashable = None
        """The last version of which consumers were told."""
        self._numbered = [asyncio.Event() for _ in consumers]
        self._wanted = [asyncio.Event() for _ in consumers]
        self._running: dict[asyncio.Task[None], Claim] = {}
        self._failing: set[asyncio.Task[None]] = set()
        self._outage = Outage(logger, "no jobs could be claimed")
        database.listen(SCHEDULED, self._wake)
        database.listen(NUMBERED, self._wake_consumers)

    async def run(self) -> None:
        """Work until it is cancelled; jobs in hand may then go on for a moment, and are given back."""
        tasks: list[asyncio.Task[None]] = []
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._database.hearing(SCHEDULED))
            await stack.enter_async_context(self._database.hearing(NUMBERED))
            tasks.append(_begin(self._keep_claims()))
            tasks.extend(map(_begin, map(self._consume, self._consumers, self._numbered, self._wanted)))
            try:
                await self._schedule_always()
                await self._work()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await self._let_go()

    def _wake(self) -> None:
        self._scheduled.set()
        for wanted in self._wanted:
            wanted.set()  # there may be somebody new who wants to know of events

    def _wake_consumers(self) -> None:
        for told in self._numbered:
            told.set()

    async def _work(self) -> None:
        while True:
            self._scheduled.clear()
            delay = self._poll
            try:
                delay = await self._claim_due()
                self._outage.succeeded()
            except Exception as error:
                self._outage.failed(error)
                delay = POLL_SECONDS
            await asyncio.sleep(0)  # everybody else goes on, if only for a moment
            loop = asyncio.get_running_loop()
            due = next_tick(loop.time()) if delay == TICK else loop.time() + delay
            timer = loop.call_at(due, self._scheduled.set)
            try:
                await self._scheduled.wait()
            finally:
                timer.cancel()

    async def _schedule_always(self) -> None:
        outage = Outage(logger, "the worker could not begin")
        while True:
            try:
                async with self._database.writing() as session:
                    for kind in self._always:
                        await queue.schedule(session, kind, [0], now())
                outage.succeeded()
                return
            except Exception as error:
                outage.failed(error)
                await asyncio.sleep(POLL_SECONDS)

    async def _claim_due(self) -> float:
        """Begin what is due. Returns in how many seconds to look again."""
        moment, version = now(), self._database.reader.version()
        if version is not None and version != self._known:
            # where other processes tell nothing, this shows that one has committed something
            self._known = version
            self._wake_consumers()
            for wanted in self._wanted:
                wanted.set()
        if version is None or version != self._seen or (self._later is not None and self._later <= moment):
            await self._look(moment, version)
        if self._later is None:
            return self._poll
        return min(self._poll, max(0.0, (self._later - now()).total_seconds()))

    async def _look(self, moment: datetime, version: Hashable) -> None:
        """Begin what is due by now, and see when there is more, where that is what nobody has changed since."""
        outlook = await queue.outlook(self._database.reads, moment)
        self._later = outlook.later
        # what is due already may be due still, for want of places
        is_due = outlook.first is not None and outlook.first <= moment
        self._seen = None if is_due else version
        places = PLACES - len(self._running)
        if is_due and places > 0:
            for_failing = PLACES_FOR_FAILING - len(self._failing)
            async with self._database.writing() as session:
                claimed = await queue.claim(session, self._lease, places=places, for_failing=for_failing)
            for job in claimed:
                # one whose claim could not be renewed in time is still being done, by this worker
                doing = (task for task, running in self._running.items() if running.id == job.id and not task.done())
                task = next(doing, None)
                if task is None:
                    self._start(job)
                else:
                    self._running[task] = job

    def _start(self, job: Claim) -> None:
        task = _begin(self._do(job))
        self._running[task] = job
        if job.failing:
            self._failing.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._failing.discard(task)
        self._scheduled.set()  # there is a place

    async def _do(self, job: Claim) -> None:
        outcome = Outcome(now() + timedelta(seconds=AGAIN_SECONDS), failing=True)
        handler = self._handlers.get(job.kind)
        try:
            if handler is None:
                logger.warning("a job of the kind %s is not known to this release; it is left to others", job.kind)
            else:
                outcome = await handler(job.subject_id)
        except asyncio.CancelledError:
            outcome = Outcome(now())
            raise
        except Exception:
            logger.exception("a job of the kind %s broke; it is tried again", job.kind)
        finally:
            task = asyncio.current_task()
            latest = job if task is None else self._running.get(task, job)
            if latest.claim != job.claim and not outcome.gone:
                # what was scheduled meanwhile was taken along with the claim
                outcome = Outcome(now(), failing=outcome.failing)
            await asyncio.shield(self._end(latest, outcome))
            # as it ended it may have been claimed again, by this worker, which took it for being done still
            while task is not None and (claimed := self._running.get(task, latest)).claim != latest.claim:
                latest = claimed
                await asyncio.shield(self._end(latest, Outcome(now())))

    async def _end(self, job: Claim, outcome: Outcome) -> None:
        try:
            async with self._database.writing() as session:
                if outcome.gone:
                    await queue.forget(session, job)
                else:
                    await queue.end(session, job, outcome.again_at, failing=outcome.failing)
        except Exception:
            logger.warning("a job could not be given back; its claim ends by itself", exc_info=True)

    async def _keep_claims(self) -> None:
        outage = Outage(logger, "claims could not be renewed")
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            if ids := [job.id for job in self._running.values()]:
                try:
                    async with self._database.writing() as session:
                        await queue.renew(session, ids, self._lease)
                    outage.succeeded()
                except Exception as error:
                    outage.failed(error)

    async def _let_go(self) -> None:
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=STOP_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _consume(self, consumer: Consumer, told: asyncio.Event, wanted: asyncio.Event) -> None:
        registered = False
        outage = Outage(logger, f"the feed could not be read for {consumer.name}")
        poll = max(0.1 if self._database.planner.commits_in_order else POLL_SECONDS, consumer.gather_seconds)
        while True:
            told.clear()
            wanted.clear()
            more: bool | None = False
            try:
                if not registered:
                    await register(self._database, consumer)
                    registered = True
                more = await consume(self._database, consumer)
                outage.succeeded()
            except Exception as error:
                outage.failed(error)
                await asyncio.sleep(POLL_SECONDS)
            if more is None:
                # while nobody wants to know of events, they cost nothing
                await _wait(wanted, IDLE_SECONDS)
            else:
                await _wait(told, 0 if more else poll)
                if told.is_set() and not more:
                    await asyncio.sleep(consumer.gather_seconds)


class Leader:
    """Runs a worker in one of many processes at a time, as the API's are: when that one ends, in another one."""

    def __init__(self, database: Database, worker: Worker) -> None:
        self._database, self._worker = database, worker
        self._lease = timedelta(seconds=LEAD_SECONDS)
        self._task: asyncio.Task[None] | None = None
        self._outage = Outage(logger, "the worker could not run")

    def start(self) -> None:
        """Work from now on, or once nobody else does."""
        self._task = _begin(self._run())

    async def stop(self) -> None:
        """Work no more; another process may at once."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                claim = await queue.lead(self._database, self._lease)
                self._outage.succeeded()
                if claim is not None:
                    await self._lead(claim)
            except Exception as error:
                self._outage.failed(error)
            await asyncio.sleep(POLL_SECONDS)

    async def _lead(self, claim: Claim) -> None:
        working = _begin(self._worker.run())
        renewed = asyncio.get_running_loop().time()
        try:
            while not working.done():
                await asyncio.wait([working], timeout=LEAD_SECONDS / 4)
                try:
                    async with self._database.writing() as session:
                        if not await queue.lead_on(session, claim, self._lease):
                            return
                    renewed = asyncio.get_running_loop().time()
                except Exception:
                    if asyncio.get_running_loop().time() - renewed > LEAD_SECONDS:
                        raise
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            with suppress(Exception):
                async with self._database.writing() as session:
                    await queue.end(session, claim, None)


def _begin(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(work, context=Context())


async def _wait(told: asyncio.Event, seconds: float) -> None:
    """Until something is told, so long at most; everybody else goes on meanwhile, if only for a moment."""
    await asyncio.sleep(0)
    if seconds > 0:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await told.wait()
