"""The followers of live lists on one worker. It reads the feed once for all of them, and what events cannot tell is
asked once for all of them, too: many questions by a statement (``Round``), of which those who ask the same share one.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from core import turns
from core.deadlines import DeadlinePassed, working
from db.driver.database import Database
from services.events.feed import POLL_SECONDS, ConsumerLagged, Feed, Follower, Told
from services.events.happenings import Happening
from services.live_lists import asking
from services.live_lists.asking import Match
from services.live_lists.followers import Difference, LiveFollower
from services.live_lists.rounds import Asked, Round
from services.live_lists.scopes import Beside, Scope, Touched
from services.shared.background import Background
from services.shared.errors import TandemError, Unavailable
from services.shared.outages import Outage
from services.tasks.models import TaskRecord

logger = logging.getLogger("tandem.live_lists")

ASK_SECONDS = 5.0
"""How long a statement may take. Then its questions are asked one by one, and who asks what takes so long is ended."""
START_SECONDS = 10.0
"""How long it is waited until the feed is heard."""
READ = 1_000
"""How many tasks are read by a statement."""


class LiveLists:
    """One worker's. It runs while somebody follows, and costs nothing otherwise."""

    def __init__(self, database: Database, feed: Feed) -> None:
        self._database, self._feed = database, feed
        self._followers: set[LiveFollower] = set()
        self._running = Background(self._run)
        self._hears = asyncio.Event()
        self._wake = asyncio.Event()
        self._last: Happening | None = None
        self._outage = Outage(logger, "live lists could not be followed")

    @property
    def followers(self) -> int:
        """How many follow now."""
        return len(self._followers)

    @contextmanager
    def joined(self, follower: LiveFollower) -> Iterator[None]:
        """Gather what may have changed for a follower, while the block lasts; ``started`` says from when on."""
        self._followers.add(follower)
        if not self._running.runs:
            self._hears.clear()
        try:
            self._running.begin()
            yield
        finally:
            self._followers.discard(follower)
            self._wake.set()

    async def started(self) -> None:
        """What is committed from now on is heard of. Raises ``Unavailable``."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._hears.wait()
        except TimeoutError:
            raise Unavailable("The feed could not be read: follow again") from None

    def wake(self) -> None:
        """Have what is due asked."""
        self._wake.set()

    async def stop(self) -> None:
        """End it, at shutdown."""
        await self._running.end()

    async def _run(self) -> None:
        while self._followers:
            try:
                async with self._feed.joined() as heard:
                    for follower in self._followers:
                        if follower.has_begun:  # what came meanwhile was not heard
                            follower.due.everything()
                    self._hears.set()
                    await self._follow(heard)
            except ConsumerLagged:
                logger.info("more happens than live lists are told of: they are read anew")
            except Exception as error:
                self._outage.failed(error)
                await asyncio.sleep(POLL_SECONDS)
            finally:
                self._hears.clear()

    async def _follow(self, heard: Follower) -> None:
        """Tell the followers of what is heard, until there are none."""
        taking: asyncio.Task[Told] | None = None
        try:
            while self._followers:
                taking = taking or asyncio.create_task(heard.take())
                waking = asyncio.create_task(self._wake.wait())
                try:
                    await asyncio.wait((taking, waking), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waking.cancel()
                self._wake.clear()
                if taking.done():
                    told, taking = taking.result(), None
                    await self._mark(told.items)
                await self._tell()
                self._outage.succeeded()
        finally:
            if taking is not None:
                taking.cancel()

    async def _mark(self, items: Sequence[Happening]) -> None:
        """Note what the events make due, for each follower. Whoever comes meanwhile reads the list after them."""
        touched, session, followers = Touched(items), self._database.reads, tuple(self._followers)
        with working(ASK_SECONDS, None):
            callers = {follower.user_id for follower in followers}
            members = await asking.members(session, touched.named_projects, callers)
            beside = Beside()
            if any(follower.reach.tasks for follower in followers):
                beside = beside._replace(related=await asking.related(session, touched.task_ids))
            if any(follower.reach.people for follower in followers):
                beside = beside._replace(assigned=await asking.assigned(session, touched.people))
        async for follower in turns.each(followers):
            if follower.actor.api_key_id in touched.keys:
                # what it may read was said as it began
                follower.fail(Unavailable("The key is for other projects now: follow again"))
            else:
                scope = touched.for_one(follower.user_id, follower.reach, members, follower.held, beside)
                follower.due.merge(scope)
        self._last = items[-1]

    async def _tell(self) -> None:
        """Ask what is due to those who wait, and tell it them."""
        asked = {follower: follower.due for follower in self._followers if follower.wants}
        if not asked:
            return
        for follower in asked:
            follower.due = Scope()
        last = self._last
        try:
            answers = await self._answers(asked)
            differences: dict[LiveFollower, Difference] = {}
            async for follower, matches in turns.each(tuple(answers.items())):
                differences[follower] = follower.compare(asked[follower], matches)
            rows = await self._rows(differences)
        except BaseException:
            for follower, scope in asked.items():
                follower.due.merge(scope)
            raise
        position, cursor = (0, "") if last is None else (last.position, last.cursor)
        async for follower, difference in turns.each(tuple(differences.items())):
            try:
                follower.tell(follower.apply(difference, rows, position, cursor))
            except TandemError as error:
                follower.fail(error)

    async def _answers(self, asked: Mapping[LiveFollower, Scope]) -> Mapping[LiveFollower, Mapping[int, Match]]:
        """What matches, for each follower; one whose filter takes too long is ended, and left out."""
        round_ = Round[LiveFollower]()
        async for follower, scope in turns.each(tuple(asked.items())):
            for question in follower.questions(scope):
                round_.add(follower, question, follower.actor.limited_by)
        found: dict[LiveFollower, dict[int, Match]] = {follower: {} for follower in asked}
        for part in round_.parts():
            matches = await self._matches(part)
            if matches is None and len(part) > 1:
                for asked_alone in part:
                    await self._share([asked_alone], await self._matches([asked_alone]), found)
            else:
                await self._share(part, matches, found)
        return found

    async def _share(
        self,
        part: Sequence[Asked[LiveFollower]],
        matches: Sequence[Match] | None,
        found: dict[LiveFollower, dict[int, Match]],
    ) -> None:
        """Give the answers to those who asked; where there are none, these are ended."""
        if matches is None:
            for follower in part[0].askers(0):
                follower.fail(Unavailable("This list takes too long to be followed: ask for less"))
                found.pop(follower, None)
            return
        async for match in turns.each(matches):
            for follower in part[match.question].askers(match.caller):
                if follower in found:
                    found[follower][match.id] = match

    async def _matches(self, part: Sequence[Asked[LiveFollower]]) -> Sequence[Match] | None:
        """The answers to some questions; None where it takes too long."""
        try:
            with working(ASK_SECONDS, None):
                return await asking.ask(self._database.reads, [asked.question for asked in part])
        except DeadlinePassed:
            return None

    async def _rows(self, differences: Mapping[LiveFollower, Difference]) -> Mapping[int, TaskRecord]:
        ids = sorted({match.id for difference in differences.values() for match in difference.new})
        rows: dict[int, TaskRecord] = {}
        for part in turns.parts(ids, READ):
            with working(ASK_SECONDS, None):
                rows.update(await asking.rows(self._database.reads, part))
        return rows
