"""The feed: every committed event once, in the order of positions, whatever the order of commits."""

import asyncio
import itertools
import random
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import insert, select

from core import deadlines, turns
from core.clock import now
from db.driver.database import Database
from db.driver.sessions import Session
from db.models import Event
from services.events import catalogue, feed, log, numbering
from services.events.feed import ConsumerLagged, Feed, one_by_one
from services.events.happenings import Happening
from services.events.interests import EVERYTHING, Interest
from services.events.numbering import END, Numberer, number_all, number_events
from tests.actors import Person
from tests.databases import on_postgresql
from tests.statements import StatementCounter
from tests.waiting import until

WRITERS, TRANSACTIONS = 16, 8
PATIENCE = 30

_markers = itertools.count(1)
# SQLite has one writer: no transaction overtakes another


@pytest.fixture
def kind() -> str:
    """A kind of event that no other test writes."""
    return f"test.{next(_markers)}.{random.getrandbits(40):x}"


@pytest.fixture(autouse=True)
async def caught_up(database: Database) -> None:
    """Other tests' events have their positions: else a follower begins only after thousands of them got theirs."""
    await number_all(database)


async def told_by(
    followed: Feed, interest: Interest = EVERYTHING, *, reader: int | None = None
) -> AsyncGenerator[Happening]:
    """Events from now on, one by one."""

    async def themselves(items: Sequence[Happening]) -> Sequence[Happening]:
        return items

    async with followed.joined(interest, reader=reader) as follower:
        while True:
            async for item in one_by_one(await follower.take(), themselves):
                yield item


class Follower:
    """Follows a feed in the background, and keeps what it hears of one kind."""

    def __init__(self, followed: Feed, kind: str) -> None:
        self._kind = kind
        self.heard: list[int] = []
        self.task = asyncio.create_task(self._follow(followed))

    async def _follow(self, followed: Feed) -> None:
        async with aclosing(told_by(followed)) as listened:
            async for event in listened:
                if event.kind == self._kind:
                    self.heard.append(event.entity_id)

    async def wait_for(self, entity_id: int) -> None:
        """Until an event has been heard. Raises what ended the follower, if anything did."""
        async with asyncio.timeout(PATIENCE):
            while entity_id not in self.heard:
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.01)


async def test_who_comes_beside_somebody_who_leaves_begins_all_the_same(database: Database) -> None:
    """Those who come together are told together where the feed ends, not at the expense of the first one's time."""
    followed = Feed(database)
    async with followed._starting:
        with deadlines.working(5, "somebody"):
            leaving = asyncio.create_task(followed._start())
            await asyncio.sleep(0)
        leaving.cancel()
        staying = asyncio.create_task(followed._start())
        await asyncio.sleep(0)
    assert await staying >= 0


async def record(session: Session, kind: str, entity_id: int, *, project_id: int | None = None) -> None:
    """Write an event of a kind that only this test knows, as a row: the catalogue has no such."""
    row = {"event_id": str(uuid.uuid4()), "kind": kind, "entity_type": "test", "entity_id": entity_id, "changes": {}}
    row |= {"occurred_at": now(), "actor_method": "system", "notify": True, "project_id": project_id}
    await session.execute(insert(Event).values(row))


async def write(database: Database, kind: str, *ids: int, seconds: float = 0, fails: bool = False) -> None:
    """Write events in a transaction of some length."""
    with suppress(ZeroDivisionError):
        async with database.writing() as session:
            for id_ in ids:
                await record(session, kind, id_)
                await asyncio.sleep(seconds / len(ids))
            if fails:
                raise ZeroDivisionError


@asynccontextmanager
async def following(database: Database, kind: str, *, followers: int = 1) -> AsyncIterator[list[Follower]]:
    """Followers with a feed and a pool each, as workers have, that are known to hear."""
    async with AsyncExitStack() as stack:
        started = []
        for _ in range(followers):
            own = Database(database.url.render_as_string(hide_password=False), pool_size=WRITERS)
            stack.push_async_callback(own.dispose)
            followed = Feed(own)
            stack.push_async_callback(followed.stop)
            started.append(Follower(followed, kind))
            stack.callback(started[-1].task.cancel)
        for number in itertools.count(-1, -1):
            # nothing says that a follower has begun; one that hears this one hears all that come
            await write(database, kind, number)
            await asyncio.sleep(3 * feed.POLL_SECONDS)
            if all(follower.heard for follower in started):
                break
        for follower in started:
            await follower.wait_for(number)
            follower.heard = [id_ for id_ in follower.heard if id_ >= 0]
        yield started


async def positions(database: Database, kind: str) -> list[tuple[int, int | None]]:
    """The events of a kind, in order of their positions."""
    async with database.reading() as session:
        rows = await session.all(
            select(Event.entity_id, Event.position)
            .where(Event.kind == kind, Event.entity_id >= 0)
            .order_by(Event.position)
        )
    return [(row.entity_id, row.position) for row in rows]


class TestFollowing:
    async def test_each_committed_event_is_heard_once_and_in_order_by_all(self, database: Database, kind: str) -> None:
        """Two workers' feeds, while 16 writers commit out of order and a third of the transactions is rolled back."""
        ids = itertools.count()
        committed: list[int] = []
        writers = Database(database.url.render_as_string(hide_password=False), pool_size=WRITERS)

        async def writer() -> None:
            for _ in range(TRANSACTIONS):
                fails = random.random() < 0.33
                own = [next(ids) for _ in range(random.randint(1, 4))]
                await write(writers, kind, *own, seconds=random.random() / 20, fails=fails)
                committed.extend([] if fails else own)

        async with following(database, kind, followers=2) as (one, two):
            await asyncio.gather(*(writer() for _ in range(WRITERS)))
            await write(writers, kind, last := next(ids))
            for follower in (one, two):
                await follower.wait_for(last)
            await asyncio.sleep(3 * feed.POLL_SECONDS)
        await writers.dispose()

        stored = await positions(database, kind)
        assert sorted(one.heard) == sorted([*committed, last])
        assert one.heard == two.heard == [entity_id for entity_id, _ in stored]
        assert len({position for _, position in stored}) == len(stored)

    @on_postgresql
    async def test_slow_transaction_is_heard_after_those_that_overtook_it(self, database: Database, kind: str) -> None:
        async with following(database, kind) as [follower]:
            async with database.writing() as slow:
                await record(slow, kind, 1)
                await write(database, kind, 2)
                await follower.wait_for(2)
            await follower.wait_for(1)

        assert follower.heard == [2, 1]

    async def test_those_who_begin_together_hear_the_same(self, database: Database, kind: str) -> None:
        shared = Feed(database)
        followers = [Follower(shared, kind) for _ in range(10)]
        try:
            await asyncio.sleep(0.5)
            await write(database, kind, *range(1, 30))
            for follower in followers:
                await follower.wait_for(29)
            await asyncio.sleep(3 * feed.POLL_SECONDS)
        finally:
            for follower in followers:
                follower.task.cancel()
            await shared.stop()

        assert all(follower.heard == list(range(1, 30)) for follower in followers)

    async def test_what_happened_before_is_not_heard(
        self, database: Database, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(feed, "BATCH", 7)
        await write(database, kind, *range(20))
        async with following(database, kind) as [follower]:
            await write(database, kind, 20)
            await follower.wait_for(20)

        assert follower.heard == [20]

    async def test_joining_later_is_joining_there(self, database: Database, kind: str) -> None:
        shared = Feed(database)
        first = Follower(shared, kind)
        await asyncio.sleep(0.5)
        await write(database, kind, 1, 2, 3)
        second = Follower(shared, kind)
        await asyncio.sleep(0.5)
        await write(database, kind, 4)
        await first.wait_for(4)
        await second.wait_for(4)
        for follower in (first, second):
            follower.task.cancel()
        await shared.stop()

        assert (first.heard, second.heard) == ([1, 2, 3, 4], [4])

    async def test_failure_is_survived(self, database: Database, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        async with following(database, kind) as [follower]:
            failures = iter((OSError("gone"), RuntimeError("gone"), TimeoutError()))
            number = numbering.number_events

            async def failing(*arguments: object, **options: object) -> int | None:
                for error in failures:
                    raise error
                return await number(*arguments, **options)  # type: ignore[arg-type]  # passed on as they came

            monkeypatch.setattr(feed, "number_events", failing)
            await write(database, kind, 1)
            await follower.wait_for(1)

        assert next(failures, None) is None

    async def test_feed_rests_while_nobody_follows(self, ada: Person, database: Database) -> None:
        shared = Feed(database)
        follower = Follower(shared, "nothing")
        await asyncio.sleep(0.3)
        assert shared.followers == 1
        follower.task.cancel()
        await asyncio.sleep(0.3)
        assert shared.followers == 0
        asked: list[str] = []
        database.observers.append(asked.append)
        await asyncio.sleep(0.3)
        database.observers.clear()
        assert asked == []

    async def test_positions_are_given_while_nobody_follows(self, ada: Person, database: Database) -> None:
        """Soon after the commit, in the order of commits, by a process that then has nothing to do."""
        numberer = Numberer(database)
        numberer.start()
        await number_all(database)
        async with database.reading() as session:
            before = await session.scalar(END)
            for turn in range(3):
                async with database.writing() as writing:
                    await log.record(
                        writing, ada.actor, log.NewEvent(catalogue.TASK_PURGED, turn + 1, {"ref": ("X-1", None)})
                    )
                deadline = time.monotonic() + PATIENCE
                while await session.scalar(END) < before + turn + 1:
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.005)
        await numberer.stop()

    async def test_a_commit_is_seen_that_comes_while_it_is_looked_what_others_have_left(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looking, goes_on, numbered = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def is_waiting(_: Database) -> bool:
            looking.set()
            await goes_on.wait()
            return False

        async def catch_up(_: Numberer) -> None:
            numbered.set()

        monkeypatch.setattr(numbering, "is_waiting", is_waiting)
        monkeypatch.setattr(Numberer, "_catch_up", catch_up)
        numberer = Numberer(database)
        numberer.start()
        await looking.wait()
        numberer.wake()
        goes_on.set()
        async with asyncio.timeout(PATIENCE):
            await numbered.wait()
        await numberer.stop()

    async def test_what_is_stopped_begins_no_more(self, database: Database) -> None:
        """What is committed as the process ends is left to the next one: a transaction begun now would be cut off."""
        numberer = Numberer(database)
        numberer.start()
        await numberer.stop()
        before = asyncio.all_tasks()
        numberer.wake()
        assert asyncio.all_tasks() == before

    async def test_too_slow_a_follower_is_told(
        self, database: Database, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(feed, "QUEUE_LENGTH", 5)
        shared = Feed(database)
        async with aclosing(told_by(shared)) as listened:
            first = asyncio.ensure_future(anext(listened))
            await asyncio.sleep(0.5)
            await write(database, kind, 0)
            async with asyncio.timeout(PATIENCE):
                assert (await first).entity_id == 0
                await write(database, kind, *range(1, 20))
                await asyncio.sleep(0.5)
                with pytest.raises(ConsumerLagged):
                    async for _ in listened:
                        pass
        await shared.stop()

        assert shared.followers == 0

    async def test_what_waited_for_many_is_judged_together(
        self, database: Database, statements: StatementCounter, ada: Person, bob: Person
    ) -> None:
        project, theirs = await ada.project(), await bob.project()
        shared = Feed(database)
        values: dict[str, Any] = dict.fromkeys(Happening._fields) | {"kind": "task.updated", "fields": []}
        mine, other = (
            Happening(**values | {"position": place, "project_id": each["id"], "entity_id": place})
            for place, each in enumerate((project, theirs), 1)
        )
        statements.reset()
        told = await asyncio.gather(*(shared.judged([mine, other], person.id) for person in (ada, bob) * 50))

        assert [[item.position for item in each.items] for each in told] == [[1], [2]] * 50
        assert statements.count <= 2

    async def test_kinds_and_projects_are_chosen(self, database: Database, kind: str, ada: Person, bob: Person) -> None:
        """Whoever cannot read a project is told nothing of it, and one statement says so for all followers."""
        mine, theirs = await ada.project(), await bob.project()
        shared = Feed(database)
        heard: dict[str, list[int]] = {"ada": [], "bob": [], "all": []}

        async def follow(name: str, reader: int | None) -> None:
            async for event in told_by(shared, Interest(frozenset({kind})), reader=reader):
                heard[name].append(event.entity_id)

        tasks = [asyncio.create_task(follow(name, reader)) for name, reader in (("ada", ada.id), ("bob", bob.id))]
        tasks += [asyncio.create_task(follow("all", None))]
        await asyncio.sleep(0.5)
        async with database.writing() as session:
            for number, project in enumerate((mine, theirs, None, mine)):
                project_id = project["id"] if project else None
                await record(session, kind, number, project_id=project_id)
            await record(session, f"{kind}.other", 9)
        await until(lambda: len(heard["all"]) == 4)
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await shared.stop()

        assert heard == {"ada": [0, 3], "bob": [1], "all": [0, 1, 2, 3]}

    async def test_those_who_come_together_begin_together(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shared, begun = Feed(database), 0

        async def counted(database: Database) -> None:
            nonlocal begun
            begun += 1
            await asyncio.sleep(0.2)
            await number_all(database)

        monkeypatch.setattr(feed, "number_all", counted)
        starts = [asyncio.create_task(shared._start()) for _ in range(50)]
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*starts)
        await shared.stop()

        assert begun <= 2

    async def test_followers_take_turns(self, database: Database, kind: str) -> None:
        """What fifty of them do with an event holds the loop no longer at a time than what a few of them do."""
        shared, done, seen = Feed(database), 0, [0]

        async def follow() -> None:
            nonlocal done
            async for _ in told_by(shared, Interest(frozenset({kind}))):
                until = time.perf_counter() + turns.TURN * 1.1
                while time.perf_counter() < until:
                    pass
                done += 1

        def tick() -> None:
            seen.append(done)
            if done < 50:
                asyncio.get_running_loop().call_soon(tick)

        tasks = [asyncio.create_task(follow()) for _ in range(50)]
        await asyncio.sleep(0.5)
        tick()
        await write(database, kind, 1)
        await until(lambda: done == 50)
        for task in tasks:
            task.cancel()
        await shared.stop()

        assert max(after - before for before, after in itertools.pairwise(seen)) < 10


class TestNumbering:
    async def test_positions_follow_one_another_and_never_change(self, database: Database, kind: str) -> None:
        await write(database, kind, 1, 2, 3)
        await _number(database)
        before = await positions(database, kind)
        await write(database, kind, 4, 5)
        await _number(database)
        after = await positions(database, kind)

        assert [entity_id for entity_id, _ in after] == [1, 2, 3, 4, 5]
        assert after[:3] == before
        numbers = [position or 0 for _, position in after]
        assert numbers == sorted(set(numbers))

    @on_postgresql
    async def test_uncommitted_events_have_none(self, database: Database, kind: str) -> None:
        async with database.writing() as session:
            await record(session, kind, 1)
            await _number(database)
        assert await positions(database, kind) == [(1, None)]

    @on_postgresql
    async def test_is_for_one_worker_at_a_time(self, database: Database, kind: str) -> None:
        await write(database, kind, 1)
        async with database.writing() as busy:
            await number_events(busy)
            async with database.writing() as other:
                assert await number_events(other) is None
            waiting = asyncio.create_task(_number(database, wait=True))
            await asyncio.sleep(0.2)
            assert not waiting.done()
        async with asyncio.timeout(PATIENCE):
            await waiting

    async def test_many_workers_at_once_agree(self, database: Database, kind: str) -> None:
        await write(database, kind, *range(50))
        ways: list[Callable[[], Awaitable[None]]] = [lambda: _number(database), lambda: _number(database, wait=True)]
        await asyncio.gather(*(ways[number % 2]() for number in range(8)))

        stored = await positions(database, kind)
        assert [entity_id for entity_id, _ in stored] == list(range(50))
        assert None not in {position for _, position in stored}


async def _number(database: Database, *, wait: bool = False) -> None:
    numbered: int | None = 1
    while numbered:
        async with database.writing() as session:
            numbered = await number_events(session, wait=wait)
