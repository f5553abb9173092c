"""What of the feed somebody asks for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from sqlalchemy import ColumnElement

from db.models import Event
from services.events.catalogue import CATALOGUE
from services.events.happenings import Happening
from services.shared import prices
from services.shared.errors import BadUserInput
from services.shared.statements import parameter
from services.tasks.filters import TaskFilter

MAX_KINDS = 50
"""The kinds that may be named: none need be named for all."""
Shape = tuple[int, bool, bool]


@dataclass(frozen=True, slots=True)
class Interest:
    """Which events; all that is said must hold."""

    kinds: frozenset[str] | None = None
    project_id: int | None = None
    task_id: int | None = None
    """Of the task itself, and of what hangs on it."""
    filter: TaskFilter | None = None
    """Of tasks that meet this as it is told, and of what hangs on them."""
    within: int | None = None
    """The project that all of it is in, where a project or a task is named: who leaves it hears no more."""

    def concerns(self, item: Happening) -> bool:
        """Whether an event is asked for, but for the filter."""
        return (
            (self.kinds is None or item.kind in self.kinds)
            and (self.project_id is None or item.project_id == self.project_id)
            and (self.task_id is None or item.task_id == self.task_id)
        )

    @property
    def shape(self) -> Shape:
        """How many kinds are named, and whether a project and a task are."""
        return len(self.kinds or ()), self.project_id is not None, self.task_id is not None

    @property
    def values(self) -> Mapping[str, Any]:
        """The values of the parameters in ``conditions``."""
        values = {"project_id": self.project_id, "task_id": self.task_id}
        kinds = {f"kind{number}": kind for number, kind in enumerate(sorted(self.kinds or ()))}
        return kinds | {name: value for name, value in values.items() if value is not None}


EVERYTHING = Interest()


def conditions(shape: Shape) -> list[ColumnElement[bool]]:
    """As ``Interest.concerns``, on ``events``."""
    kinds, of_project, of_task = shape
    found: list[ColumnElement[bool]] = []
    if kinds:
        found.append(Event.kind.in_([parameter(f"kind{number}") for number in range(kinds)]))
    if of_project:
        found.append(Event.project_id == parameter("project_id"))
    if of_task:
        found.append(Event.task_id == parameter("task_id"))
    return found


def interest_in(
    kinds: Collection[str] | None = None,
    project_id: int | None = None,
    task_id: int | None = None,
    filter: TaskFilter | None = None,
) -> Interest:
    """What a caller asks for. Raises ``BadUserInput`` for a kind that there is none of, ``TooExpensive``."""
    if not (kinds or project_id or task_id or filter):
        return EVERYTHING
    prices.demand(prices.of_filter(filter))
    if kinds is not None and len(kinds) > MAX_KINDS:
        raise BadUserInput.at("/kind", f"at most {MAX_KINDS} kinds: all of them are told where none is named")
    for index, kind in enumerate(kinds or ()):
        if kind not in CATALOGUE:
            near = get_close_matches(kind[:40], CATALOGUE, 1)
            hint = f": did you mean {near[0]}?" if near else ""
            raise BadUserInput.at(f"/kind/{index}", f"no kind of event{hint}", "kind")
    return Interest(frozenset(kinds) if kinds else None, project_id, task_id, filter)
