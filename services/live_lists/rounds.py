"""What is asked together: who asks the same shares a question, and many questions share a statement."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Generic, TypeVar

from db.driver.statements import MAX_TOGETHER
from services.live_lists.asking import ALIKE, Question

A = TypeVar("A")
"""Who asks: followers of live lists, webhooks."""
MIXED = 150
"""Questions of different shapes in a statement, which PostgreSQL plans each time."""
MAX_VALUES = 20_000
"""The values of a statement; PostgreSQL takes 65,535."""


class Asked(Generic[A]):
    """A question, and those who ask it."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._among: set[int] = set()
        self._askers: dict[int, list[A]] = {}

    def add(self, asker: A, question: Question) -> None:
        """Another one asks it, too: of other tasks or projects, perhaps."""
        self._among.update(question.ids or question.projects or ())
        self._askers.setdefault(question.callers[0], []).append(asker)

    @property
    def question(self) -> Question:
        """What is asked for all of them."""
        among = sorted(self._among)
        if self._question.is_shared:
            return self._question._replace(callers=sorted(self._askers), ids=among)
        if self._question.ids is not None:
            return self._question._replace(ids=among)
        return self._question if self._question.projects is None else self._question._replace(projects=among)

    def askers(self, caller: int) -> Sequence[A]:
        """Those who ask it for a caller; all of them where it is not said for whom (0)."""
        if caller:
            return self._askers.get(caller, ())
        return [asker for some in self._askers.values() for asker in some]


class Round(Generic[A]):
    """The questions of some who ask, each for one caller."""

    def __init__(self) -> None:
        self._asked: dict[Hashable, Asked[A]] = {}

    def add(self, asker: A, question: Question, limit: Hashable = None) -> None:
        """Somebody asks a question for its one caller; ``limit`` is the key that limits that one, if any does."""
        caller = None if question.is_shared else (question.callers[0], limit)
        key = (question.predicate, caller, question.ids is None, question.projects is None)
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = Asked(question)
        asked.add(asker, question)

    def parts(self) -> Iterator[Sequence[Asked[A]]]:
        """The questions, as many together as a statement takes: those of a shape that many have apart, and the others
        beside those that are like them, for then the statements are the same more often."""
        alike: dict[Hashable, list[Asked[A]]] = {}
        for asked in self._asked.values():
            alike.setdefault(asked.question.shape, []).append(asked)
        rest: list[Asked[A]] = []
        for _, some in sorted(alike.items(), key=lambda item: hash(item[0])):
            if len(some) < ALIKE:
                rest += some
            else:
                yield from _parts(some, MAX_TOGETHER)
        yield from _parts(rest, MIXED)


def _parts(some: Sequence[Asked[A]], most: int) -> Iterator[Sequence[Asked[A]]]:
    part: list[Asked[A]] = []
    size = 0
    for asked in some:
        values = 4 + len(asked.question.predicate.values())
        if part and (len(part) == most or size + values > MAX_VALUES):
            yield part
            part, size = [], 0
        part.append(asked)
        size += values
    if part:
        yield part
