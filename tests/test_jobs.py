"""Jobs: claimed once, when they are due, and again where whoever had them is gone."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from core.clock import now
from db.driver.database import Database
from db.driver.sessions import Session
from db.models import Job
from services.events.consumers import Consumer
from services.jobs import queue
from services.jobs.worker import IDLE_SECONDS, LEASE_SECONDS, Leader, Outcome, Worker
from tests.databases import empty_database
from tests.waiting import until

LEASE = timedelta(seconds=30)


@pytest.fixture
async def own(backend: str, tmp_path: Path) -> AsyncIterator[Database]:
    with empty_database(backend, tmp_path) as url:
        database = Database(url)
        yield database
        await database.dispose()


async def schedule(database: Database, *subjects: int, due_at: datetime | None = None) -> None:
    async with database.writing() as session:
        await queue.schedule(session, "test", subjects, due_at or now())


async def claim(database: Database, places: int = 10, for_failing: int = 10) -> list[queue.Claim]:
    async with database.writing() as session:
        return [*await queue.claim(session, LEASE, places=places, for_failing=for_failing)]


class TestQueue:
    async def test_each_job_is_claimed_once(self, own: Database) -> None:
        await schedule(own, *range(20))
        some = await asyncio.gather(*(claim(own, 6) for _ in range(4)))
        rest = await claim(own, 20)

        assert sorted(job.subject_id for each in [*some, rest] for job in each) == [*range(20)]

    async def test_the_earlier_time_counts_and_none_is_due_before_it(self, own: Database) -> None:
        await schedule(own, 1, due_at=now() + timedelta(hours=2))
        await schedule(own, 1, due_at=now() + timedelta(hours=1))
        await schedule(own, 1, due_at=now() + timedelta(hours=3))
        async with own.reading() as session:
            due = await session.scalar(select(Job.due_at))

        assert timedelta(minutes=59) < due - now() < timedelta(minutes=61)
        assert await claim(own) == []

    async def test_what_is_scheduled_while_it_is_done_is_done_again(self, own: Database) -> None:
        await schedule(own, 1)
        [job] = await claim(own)
        await schedule(own, 1)
        assert await claim(own) == []
        async with own.writing() as session:
            assert await queue.end(session, job, None)
        async with own.writing() as session:
            await queue.renew(session, [job.id], LEASE)  # by who was about to as it ended: it has no claim any more

        assert [each.subject_id for each in await claim(own)] == [1]

    async def test_a_claim_that_ended_is_anothers(self, own: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        await schedule(own, 1)
        [lost] = await claim(own)
        later = now() + LEASE
        monkeypatch.setattr(queue, "now", lambda: later)
        [found] = await claim(own)

        assert (found.id, found.claim) == (lost.id, lost.claim + 1)
        async with own.writing() as session:
            assert not await queue.end(session, lost, None), "it is not its job any more"
            assert await queue.end(session, found, None)

    async def test_those_that_failed_have_a_share_of_the_places(self, own: Database) -> None:
        await schedule(own, *range(10))
        for job in await claim(own):
            async with own.writing() as session:
                await queue.end(session, job, now(), failing=job.subject_id < 8)
        claimed = await claim(own, 10, 3)

        assert sorted(job.subject_id >= 8 for job in claimed) == [False] * 3 + [True] * 2

    async def test_one_leads_at_a_time(self, own: Database) -> None:
        first = await queue.lead(own, LEASE)
        assert first is not None
        assert await queue.lead(own, LEASE) is None
        async with own.writing() as session:
            assert await queue.lead_on(session, first, LEASE)
            await queue.end(session, first, None)
        second = await queue.lead(own, LEASE)
        async with own.writing() as session:
            assert second is not None
            assert not await queue.lead_on(session, first, LEASE)


class Done:
    """A handler that notes when it was called for what."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, datetime]] = []

    async def __call__(self, subject_id: int) -> Outcome:
        self.calls.append((subject_id, now()))
        if subject_id == 13:
            raise ValueError("broken")
        return Outcome()


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[None]:
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level("CRITICAL", "tandem.worker"):
        yield


class TestWorker:
    async def test_somebody_new_who_wants_to_know_of_events_is_seen_whichever_process_has_made_him(
        self, own: Database
    ) -> None:
        looked = asyncio.Event()

        async def wanted(session: Session) -> int | None:
            looked.set()
            return None

        async def take(session: Session, events: Any) -> None:
            raise AssertionError

        other = Database(own.url.render_as_string(hide_password=False))
        async with running(Worker(own, {}, [Consumer("nobody", wanted, take)])), asyncio.timeout(IDLE_SECONDS / 2):
            await asyncio.sleep(0.3)  # it has looked, and would look again in IDLE_SECONDS
            looked.clear()
            async with other.writing() as session:
                await queue.schedule(session, "test", [1], now() + timedelta(hours=1))
            await looked.wait()
        await other.dispose()

    async def test_what_is_scheduled_as_a_job_ends_is_not_left_until_its_claim_is_over(self, own: Database) -> None:
        done = Done()
        async with running(Worker(own, {"test": done})):
            for number in range(150):
                await schedule(own, 1)
                await until(lambda: len(done.calls) > number, seconds=LEASE_SECONDS / 3)  # noqa: B023 - at once

    async def test_a_job_begins_when_it_is_due(self, own: Database) -> None:
        done = Done()
        async with running(Worker(own, {"test": done})):
            await asyncio.sleep(0.3)
            late = []
            for number in range(10):
                due = now() + timedelta(seconds=0.1)
                await schedule(own, number, due_at=due)
                await until(lambda number=number: len(done.calls) > number)  # type: ignore[misc]  # of this round
                late.append((done.calls[number][1] - due).total_seconds())

        assert min(late) >= 0
        assert sorted(late)[5] <= 0.05, late

    async def test_one_that_breaks_is_tried_again_and_hinders_none(self, own: Database, quiet: None) -> None:
        done = Done()
        async with running(Worker(own, {"test": done})):
            await schedule(own, 13, 14)
            await until(lambda: {subject for subject, _ in done.calls} == {13, 14})
            await asyncio.sleep(0.2)
        async with own.reading() as session:
            row = await session.one(select(Job.due_at, Job.failing, Job.claimed_until).where(Job.subject_id == 13))

        assert row.failing
        assert row.claimed_until is None
        assert row.due_at > now()

    async def test_one_whose_claim_ran_out_is_gone_on_with_and_not_begun_beside_itself(
        self, own: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        at_once = most = runs = 0

        async def do(_: int) -> Outcome:
            nonlocal at_once, most, runs
            at_once, runs = at_once + 1, runs + 1
            most = max(most, at_once)
            await asyncio.sleep(1.5 if runs == 1 else 0)
            at_once -= 1
            return Outcome()

        async def not_renewed(*_: object) -> None:
            """The database is busy."""

        monkeypatch.setattr(queue, "renew", not_renewed)
        await schedule(own, 1)
        async with running(Worker(own, {"test": do}, lease_seconds=0.5)):
            await until(lambda: runs == 2)
        async with own.reading() as session:
            row = await session.one(select(Job.due_at, Job.claimed_until, Job.claim).where(Job.subject_id == 1))

        assert most == 1
        assert row[:2] == (None, None), "it is given back"
        assert row.claim > 2, "its claim had run out"

    async def test_a_leader_that_stops_lets_another_work_at_once(self, own: Database) -> None:
        done, other = Done(), Done()
        first, second = Leader(own, Worker(own, {"test": done})), Leader(own, Worker(own, {"test": other}))
        first.start()
        await asyncio.sleep(0.5)
        second.start()
        await schedule(own, 1)
        await asyncio.sleep(0.5)
        assert (len(done.calls), len(other.calls)) == (1, 0)
        await first.stop()
        await schedule(own, 2)
        await until(lambda: bool(other.calls))
        await second.stop()
