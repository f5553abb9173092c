"""Which indexes have a project's tasks in an order: of all that are not in the trash, or of those that are open.

Most tasks of a tracker are done. Where a filter is met by open ones alone, they are read from indexes that hold no
others, so that it does not matter how many are done, nor where in the order the open ones lie.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, literal_column

from db.models import Task
from db.models.tasks import OPEN_STATUSES
from services.shared.pagination import Ordering
from services.tasks.listing.conditions import Condition
from services.tasks.visibility import live

_OF_ALL = {
    "created_at": "ix_tasks_live_created_at",
    "updated_at": "ix_tasks_live_updated_at",
    "due_at": "ix_tasks_live_due_at",
    "start_at": "ix_tasks_live_start_at",
    "completed_at": "ix_tasks_live_completed_at",
    "priority": "ix_tasks_live_priority",
    "title": "ix_tasks_live_title",
    "number": "uq_tasks_project_id_number",
    "id": "ix_tasks_live_id",
}
_OF_OPEN = {name: f"ix_tasks_open_{name}" for name in ("created_at", "updated_at", "due_at", "priority", "title")}
_WITHOUT_MISSING = frozenset({"start_at", "completed_at"})
"""Orders whose index leaves out the tasks that have no value: these are read by their ids."""


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """Tasks that indexes of their own have in order."""

    name: str
    indexes: Mapping[str, str]
    """By the names of orders."""

    def has(self, ordering: Ordering) -> bool:
        """Whether there is an index of an order."""
        return ordering.key.name in self.indexes

    def goes_by_id(self, ordering: Ordering, *, missing: bool) -> bool:
        """Whether a range of an order is read by the tasks' ids alone: those where a value is ``missing`` that the
        order's index leaves out."""
        return missing and ordering.key.name in _WITHOUT_MISSING

    def index(self, ordering: Ordering, *, missing: bool) -> str:
        """The index to read a range of an order from: of the tasks that have a value, or of those where it is
        ``missing``."""
        return self.indexes["id" if self.goes_by_id(ordering, missing=missing) else ordering.key.name]

    def conditions(self) -> list[ColumnElement[bool]]:
        """What holds for its tasks, in the words of its indexes."""
        return [live(), is_open()] if self is OPEN_ONES else [live()]


ALL = Lane("all", _OF_ALL)
OPEN_ONES = Lane("open", _OF_OPEN)
OPEN_INDEX = _OF_OPEN["created_at"]


def is_open() -> ColumnElement[bool]:
    """Whether a task is open, as the indexes of open tasks say it: SQLite uses one for the same words alone."""
    column: Any = Task.status
    found: ColumnElement[bool] = column.in_([literal_column(f"'{status}'") for status in OPEN_STATUSES])
    return found


def met_by_open_ones(condition: Condition | None) -> bool:
    """Whether only open tasks can meet a condition."""
    return condition is not None and condition.once(_met_by_open_ones)


def _met_by_open_ones(condition: Condition) -> bool:
    name, *rest = condition.kind
    if name == "and_":
        return any(map(met_by_open_ones, condition.parts))
    if name == "or_":
        return all(map(met_by_open_ones, condition.parts))
    if name == "overdue":
        return bool(rest[0])
    return name == "status" and set(condition.values) <= set(OPEN_STATUSES)


def lane_of(condition: Condition | None, ordering: Ordering) -> Lane:
    """Where the tasks that meet a condition are read from, in an order."""
    return OPEN_ONES if OPEN_ONES.has(ordering) and met_by_open_ones(condition) else ALL
