"""Turns at what there are only a few of: connections, threads, the one writer of SQLite.

One caller holds at most a share of them, so that something is left for whoever comes next. Where there is a queue, work
that has begun goes before work that has not, so that under overload some of it ends instead of none; then callers take
turns; and of one caller's own, the oldest goes first.
"""

import asyncio
from bisect import insort
from collections import OrderedDict
from collections.abc import Callable

from sqlalchemy.exc import TimeoutError as PoolTimeout

from core.deadlines import Caller, DeadlinePassed, Work


class Place:
    """A place in a queue."""

    __slots__ = ("begun", "caller", "long", "turn", "work")

    def __init__(self, work: Work, long: bool) -> None:
        self.work, self.long = work, long
        # as they are now: while this one waits, another statement of the same work may have its turn
        self.caller, self.begun = work.caller, work.begun
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __lt__(self, other: "Place") -> bool:
        return self.work.number < other.work.number


class Queue:
    """Who waits, in the order in which they are served."""

    def __init__(self, pass_on: Callable[[Place], None]) -> None:
        """``pass_on`` is given a place whose turn it is when nobody is there any more to take it."""
        self._pass_on = pass_on
        self.length = 0
        self._begun: OrderedDict[Caller, list[Place]] = OrderedDict()
        self._new: OrderedDict[Caller, list[Place]] = OrderedDict()

    def first(self, may: Callable[[Caller], bool] | None = None) -> Place | None:
        """Who is next, of those callers who ``may`` be."""
        for group in (self._begun, self._new):
            for caller, places in group.items():
                if may is None or may(caller):
                    for place in places:
                        if not place.turn.done():  # one that was cancelled is about to leave
                            return place
        return None

    def serve(self, place: Place) -> None:
        """It is its turn. The next one is another caller's, if others wait."""
        group = self._leave(place)
        if place.caller in group:
            group.move_to_end(place.caller)
        place.turn.set_result(None)

    async def wait(self, work: Work, seconds: float, lacking: str, *, long: bool = False) -> Place:
        """A place that has had its turn.

        Raises ``DeadlinePassed``, and after so many ``seconds`` SQLAlchemy's ``TimeoutError`` that says what is
        ``lacking``.
        """
        place = Place(work, long)
        group = self._group(place)
        insort(group.setdefault(place.caller, []), place)
        self.length += 1
        left = work.left
        error = DeadlinePassed(work.seconds) if left < seconds else PoolTimeout(lacking)
        timer = asyncio.get_running_loop().call_later(max(min(left, seconds), 0.0), self._expire, place, error)
        try:
            await place.turn
        except asyncio.CancelledError:
            if place.turn.cancelled():
                self._leave(place)
            elif place.turn.exception() is None:  # it came at the same moment
                self._pass_on(place)
            raise
        finally:
            timer.cancel()
        if work.left <= 0:
            self._pass_on(place)
            raise DeadlinePassed(work.seconds)
        return place

    def _expire(self, place: Place, error: Exception) -> None:
        if not place.turn.done():
            self._leave(place)
            place.turn.set_exception(error)

    def _leave(self, place: Place) -> OrderedDict[Caller, list[Place]]:
        group = self._group(place)
        places = group[place.caller]
        places.remove(place)
        if not places:
            del group[place.caller]
        self.length -= 1
        return group

    def _group(self, place: Place) -> OrderedDict[Caller, list[Place]]:
        return self._begun if place.begun else self._new


class Slots:
    """So many turns at a time, of which a caller has at most a share; the server's own work has no such bound."""

    def __init__(self, size: int, *, timeout: float, lacking: str, share: int | None = None) -> None:
        """``timeout``: the seconds that somebody waits. ``share``: half of them, rounded up, where none is given."""
        self.free = size
        """How many turns could be taken now."""
        self._timeout, self._lacking = timeout, lacking
        self.share = (size + 1) // 2 if share is None else share
        self._held: dict[Caller, int] = {}
        self._queue = Queue(self._pass_on)

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        return self._queue.length

    def take(self, work: Work) -> bool:
        """Have a turn for ``work.caller`` if there is one to be had at once."""
        # whoever waits while one is free has his share: nobody is overtaken
        if self.free <= 0 or not self._may(work.caller):
            return False
        self._have(work.caller)
        work.begun = True
        return True

    async def acquire(self, work: Work) -> Caller:
        """Have a turn. Returns for whom, who is told to ``release``. Raises as ``Queue.wait`` does."""
        if self.take(work):
            return work.caller
        place = await self._queue.wait(work, self._timeout, self._lacking)
        work.begun = True
        return place.caller

    def release(self, caller: Caller) -> None:
        """Give back a turn that was had for somebody."""
        self._forget(caller)
        self.lend()

    def lend(self) -> None:
        """Let somebody else have a turn that somebody still has, to whose share it counts until it is settled."""
        self.free += 1
        if self._queue.length:
            self._schedule_next()

    def settle(self, caller: Caller) -> None:
        """End a turn that was lent."""
        self._forget(caller)
        if self._queue.length:  # perhaps others of the same caller's
            self._schedule_next()

    def _schedule_next(self) -> None:
        while self.free > 0 and (place := self._queue.first(self._may)) is not None:
            self._have(place.caller)
            self._queue.serve(place)

    def _have(self, caller: Caller) -> None:
        self.free -= 1
        self._held[caller] = self._held.get(caller, 0) + 1

    def _forget(self, caller: Caller) -> None:
        held = self._held[caller] - 1
        if held:
            self._held[caller] = held
        else:
            del self._held[caller]

    def _may(self, caller: Caller) -> bool:
        return caller is None or self._held.get(caller, 0) < self.share

    def _pass_on(self, place: Place) -> None:
        self.release(place.caller)
