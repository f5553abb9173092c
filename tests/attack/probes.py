"""What a probe is: something that somebody sends, and what must come of it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple

from tests.attack.world import World


class Finding(NamedTuple):
    """What came of a probe."""

    passed: bool
    said: str
    """In a line: what was answered, or how long somebody else waited."""


Run = Callable[[World], Finding]


@dataclass(frozen=True, slots=True)
class Probe:
    """One attack: ``run`` sends it and judges what came of it."""

    family: str
    name: str
    run: Run


PROBES: list[Probe] = []
"""In the order in which they are run."""


def probe(family: str, name: str) -> Callable[[Run], Run]:
    """Put a function among the probes."""

    def put(run: Run) -> Run:
        PROBES.append(Probe(family, name, run))
        return run

    return put


def answered(status: int, among: Collection[int], more: str = "") -> Finding:
    """Passed where the status is one of these."""
    words = f"{status}" if status in among else f"{status}, not {' or '.join(map(str, sorted(among)))}"
    return Finding(status in among, f"{words} {more}".strip())
