"""How long a piece of work may take, and for whom it is done.

Both are said once, where work comes in (a request, an operation on a socket), and heeded where it waits: for a turn, or
for the database. What is done for nobody in particular (commands, imports, upkeep) is ``UNBOUNDED``.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count

Caller = int | str | None
"""An account's id, or ``address:…`` of whoever has named none (yet); None where the server works for itself."""

_numbers = count()


class DeadlinePassed(Exception):
    """The work took longer than it may. What it has not committed is not kept."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"took longer than {seconds:g} s")
        self.seconds = seconds


LONG = 6
"""How many times as long as others those may take that change as many rows as there are: a member who leaves is taken
off all of his tasks, a tag that is renamed changes each task that has it."""


class Work:
    """A piece of work. Everything that is done for it, in whatever task, shares the object."""

    __slots__ = ("at_rest", "begun", "caller", "deadline", "long", "number", "seconds")

    def __init__(self, seconds: float, caller: Caller) -> None:
        self.seconds = seconds
        """How long it may take."""
        self.deadline = time.monotonic() + seconds
        """When it ends, in seconds of ``time.monotonic``."""
        self.caller = caller
        self.begun = False
        """Whether it has had a turn at the database: then it is worth more to end it than to begin another."""
        self.long = False
        """Whether it has ``LONG`` times the time of others."""
        self.at_rest: Callable[[], object] | None = None
        """What gives back what only work that goes on may hold, where there is something."""
        self.number = next(_numbers)
        """The order in which work came in."""

    @property
    def left(self) -> float:
        """The seconds that are left; none or fewer when it is too late."""
        return self.deadline - time.monotonic()

    def check(self) -> None:
        """Raises ``DeadlinePassed`` where there is no time left."""
        if time.monotonic() >= self.deadline:
            raise DeadlinePassed(self.seconds)

    def lengthen(self, seconds: float) -> None:
        """Give back time that was not its own, such as what a client took that sends slowly."""
        self.deadline += seconds

    def takes_long(self) -> None:
        """Give it ``LONG`` times its time, once."""
        if not self.long:
            self.long = True
            self.deadline += (LONG - 1) * self.seconds
            self.seconds *= LONG

    def renew(self) -> None:
        """Give it all of its time again: a subscription has no end of its own, each of its events has."""
        self.deadline = time.monotonic() + self.seconds

    def rest(self) -> None:
        """It waits for others now, as long as it likes, and holds nothing meanwhile; then it has all of its time again
        (``renew``)."""
        if self.at_rest is not None:
            self.at_rest()

    def end(self) -> None:
        """Nobody waits for it any more: what is still done for it is given up within a fraction of a second."""
        self.deadline = -math.inf


UNBOUNDED = Work(math.inf, None)
"""All work that may take as long as it takes. It is everybody's: there is nothing to be said of it."""
current: ContextVar[Work] = ContextVar("work", default=UNBOUNDED)
"""The work in hand."""


@contextmanager
def working(seconds: float, caller: Caller) -> Iterator[Work]:
    """Do something that may take so many seconds, for somebody. Nothing that was begun for it goes on afterwards."""
    work = Work(seconds, caller)
    token = current.set(work)
    try:
        yield work
    finally:
        work.end()
        current.reset(token)


@contextmanager
def working_for_all() -> Iterator[None]:
    """Do something for the server itself, whoever has asked for it."""
    token = current.set(UNBOUNDED)
    try:
        yield
    finally:
        current.reset(token)


def name_caller(caller: Caller) -> None:
    """Say whose account the work in hand is done for, once that is known."""
    work = current.get()
    if work is not UNBOUNDED:
        work.caller = caller


def takes_long() -> None:
    """Say that the work in hand changes as many rows as there are (``LONG``)."""
    work = current.get()
    if work is not UNBOUNDED:
        work.takes_long()
