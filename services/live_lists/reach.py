"""What a filter depends on beside the tasks themselves: which events may put other tasks into a list, or take them out.

A condition on a task's own fields, its texts, people, tags and milestone changes with an event of that task: what a
change of something else does to tasks is an event of each of them (``services.tasks.effects``).
"""

from collections.abc import Iterator
from datetime import tzinfo
from typing import NamedTuple

from services.shared.conditions import PresentWanted
from services.shared.errors import BadUserInput
from services.tasks.filters import TaskFilter
from services.tasks.listing.conditions import REACHING, Condition, TaskPredicate, condition
from services.tasks.query import TaskQuery

_OTHER_TASKS = frozenset({"relations", "blocked"})


class Reach(NamedTuple):
    """Whose events may change what a filter says of a task."""

    projects: bool
    """Those of its project: the name, or whether it is archived."""
    people: bool
    """Those of accounts: names of assignees."""
    tasks: bool
    """Those of other tasks: of the one above, or of those that it relates to."""
    follows: bool
    """Those of what the caller follows."""


def predicate_of(query: TaskQuery, zone: tzinfo) -> TaskPredicate:
    """The condition of a list that can be followed; days are those of a time zone.

    Raises ``BadUserInput`` for a filter that does not hold, for the trash, and for a filter that depends on the clock:
    nothing happens when a task becomes overdue, or a day ends.
    """
    if query.trashed:
        raise BadUserInput.at("/trashed", "a live list is of tasks outside of the trash", "not_live")
    return TaskPredicate(None if query.filter is None else timeless(query.filter, "a live list", zone), trashed=False)


def timeless(data: TaskFilter, thing: str, zone: tzinfo) -> Condition:
    """The condition of a filter that what happens to tasks decides, and not the clock; ``thing`` is what has it, days
    are those of a time zone.

    Raises ``BadUserInput`` as ``predicate_of`` does.
    """
    try:
        return condition(data, zone=zone, lasts=True)
    except PresentWanted:
        raise BadUserInput.at(
            "/filter",
            f"{thing} knows neither overdue nor what is relative to the present, such as today: say due_at and status",
            "not_live",
        ) from None


def reach_of(predicate: TaskPredicate) -> Reach:
    """What the filter depends on."""
    parts = [] if predicate.where is None else [*parts_of(predicate.where)]
    reached = {part.kind[1] for part in parts if part.kind[0] == REACHING}
    kinds = {part.kind[0] for part in parts}
    tasks = "parent" in reached or not kinds.isdisjoint(_OTHER_TASKS)
    return Reach("project" in reached, "assignees" in reached, tasks, "followed" in kinds)


def parts_of(where: Condition) -> Iterator[Condition]:
    """The condition, and all that it is made of."""
    yield where
    for part in where.parts:
        yield from parts_of(part)
