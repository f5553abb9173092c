"""What ``benchmarks.scale`` walks along: the number of tasks, how many of them are open, or the number of projects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.measure import Whose
from benchmarks.rows import USUAL, Shape

TASKS = 100_000
"""How many tasks there are where something else is walked along."""


class Walks(StrEnum):
    """What ``--walk`` takes."""

    TASKS = "tasks"
    OPEN = "open"
    PROJECTS = "projects"


@dataclass(frozen=True, slots=True)
class Walk:
    """A row of data sets that differ in one number."""

    unit: str
    """What the number counts, as in "0.5 % open"."""
    steps: Sequence[float]
    base: float
    """The step that others are compared with."""
    bounds: Mapping[float, float]
    """How many times as much a request may cost at a step as at the base."""
    works: Sequence[str] = ()
    """What is measured; everything, where it is empty."""
    whose: Sequence[Whose] = (Whose.TOTAL,)
    """Whose CPU time is bound."""
    beside: str | None = None
    """A work that others are compared with at the same step, and not with themselves at the base."""

    def name(self, step: float) -> str:
        return f"{step:,g}{self.unit}"

    def data(self, step: float, tasks: int) -> tuple[int, Shape]:
        """How many tasks the data set of a step has, and what they are like."""
        if self is WALKS[Walks.TASKS]:
            return int(step), USUAL
        return tasks, Shape(open_percent=step) if self is WALKS[Walks.OPEN] else Shape(projects=int(step))

    def bound(self, work: str, step: float) -> float | None:
        """How many times as much a work may cost at a step as what it is compared with; None where that is itself."""
        return None if work == self.beside else self.bounds.get(step)


WALKS = {
    Walks.TASKS: Walk(
        "", (1_000, 10_000, 100_000, 1_000_000), 10_000, {1_000_000: 1.5}, whose=(Whose.SERVER, Whose.DATABASE)
    ),
    Walks.OPEN: Walk(
        " % open",
        (50, 5, 0.5, 0),
        50,
        {50: 10, 5: 10, 0.5: 10, 0: 10},
        ("R20", "RF", "GF", "RS", "GS", "RA", "GA", "RT", "GT", "OD", "OU", "OP"),
        beside="R20",
    ),
    Walks.PROJECTS: Walk(
        " projects", (1, 10, 100, 1_000), 1, {10: 1.2, 100: 2, 1_000: 6}, ("R20", "G20", "RF", "GF", "RC", "GC")
    ),
}
