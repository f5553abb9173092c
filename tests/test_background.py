"""What a process does beside its requests: begun by whoever needs it, and ended for good at shutdown."""

import asyncio
from contextvars import ContextVar

import pytest

from db.driver.database import Database
from services.connections import Connections
from services.events.feed import Feed
from services.events.notification_feed import NotificationFeed
from services.events.numbering import Numberer
from services.live_lists.hub import LiveLists
from services.shared.background import Background
from services.shared.errors import Unavailable
from tests.actors import Person
from tests.test_connected_callers import BOUNDS

request: ContextVar[str] = ContextVar("request", default="none")


class TestBackground:
    async def test_it_is_begun_once_at_a_time_and_not_in_the_context_of_whoever_begins_it(self) -> None:
        seen: list[str] = []
        release = asyncio.Event()

        async def work() -> None:
            seen.append(request.get())
            await release.wait()

        background = Background(work)
        request.set("of somebody")
        for _ in range(3):
            background.begin()
            await asyncio.sleep(0)
        assert (seen, background.runs) == (["none"], True)

        release.set()
        await asyncio.sleep(0.01)
        assert not background.runs
        background.begin()
        await asyncio.sleep(0)
        assert len(seen) == 2
        await background.end()

    async def test_what_has_ended_is_not_begun_again(self) -> None:
        background = Background(asyncio.Event().wait)
        background.begin()
        await background.end()
        assert not background.runs
        with pytest.raises(Unavailable):
            background.begin()
        await background.end()


class TestAfterShutdown:
    async def test_the_feed_takes_no_followers(self, database: Database) -> None:
        feed = Feed(database)
        await feed.stop()
        with pytest.raises(Unavailable):
            async with feed.joined():
                pass
        assert feed.followers == 0

    async def test_notifications_take_no_followers(self, database: Database, ada: Person) -> None:
        feed = NotificationFeed(database)
        await feed.stop()
        with pytest.raises(Unavailable):
            async with feed.joined(ada.id):
                pass

    async def test_nobody_is_watched(self, database: Database, ada: Person) -> None:
        connections = Connections(database, BOUNDS)
        await connections.stop()
        with pytest.raises(Unavailable), connections.connected(ada.actor, on_end=lambda error: None):
            pass
        # the place was given back
        with pytest.raises(Unavailable), connections.connected(ada.actor, on_end=lambda error: None):
            pass

    async def test_live_lists_take_no_followers(self, database: Database) -> None:
        lists = LiveLists(database, Feed(database))
        await lists.stop()
        with pytest.raises(Unavailable), lists.joined(object()):  # type: ignore[arg-type]  # nothing is asked of it
            pass
        assert lists.followers == 0

    async def test_events_are_left_to_the_next_process(self, database: Database, ada: Person) -> None:
        numberer = Numberer(database)
        await numberer.stop()
        numberer.wake()
        assert not numberer._numbering.runs
