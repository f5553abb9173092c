"""Which indexes have a project's tasks in an order: of all that are not in the trash, or of those of some statuses.

Most tasks of a tracker are done. Where a filter is met by open ones alone, they are read from indexes that hold no
others, so that it does not matter how many are done, nor where in the order the open ones lie. Those that were
cancelled, and those that were completed, an index has together.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, literal_column

from db.driver.sessions import AnySelect
from db.models import Task
from db.models.tasks import OPEN_STATUSES
from services.shared.pagination import Ordering
from services.tasks.listing.conditions import Condition
from services.tasks.statuses import TaskStatus
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
_EVERY_STATUS = frozenset(status.value for status in TaskStatus)
_OPEN = frozenset(OPEN_STATUSES)
_COMPLETED, _CANCELLED = frozenset({TaskStatus.COMPLETED.value}), frozenset({TaskStatus.CANCELLED.value})


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """Tasks that indexes of their own have in order."""

    name: str
    statuses: frozenset[str]
    """Which its tasks have, and no others."""
    own: tuple[ColumnElement[bool], ...]
    """What holds for its tasks alone, in the words of its indexes: SQLite uses one for the same words only, and
    PostgreSQL none where the words are parameters."""
    indexes: Mapping[str, str]
    """By the names of orders. The first one is read for them in no order."""
    is_small: bool
    """Whether they are few, as a rule: then PostgreSQL takes their index by itself, and not rather all tasks."""

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
        return [live(), *self.own]

    def read_whole(self, tasks: AnySelect) -> AnySelect:
        """A SELECT of tasks, of the lane's alone, in no order."""
        index = next(iter(self.indexes.values()))
        return tasks.where(*self.own).with_hint(Task, f"INDEXED BY {index}", "sqlite")


ALL = Lane("all", _EVERY_STATUS, (), _OF_ALL, is_small=False)
OPEN_ONES = Lane(
    "open",
    _OPEN,
    (Task.status.in_([literal_column(f"'{status}'") for status in OPEN_STATUSES]),),
    _OF_OPEN,
    is_small=True,
)
CANCELLED_ONES = Lane(
    "cancelled",
    _CANCELLED,
    (Task.status == literal_column("'cancelled'"),),
    # none has a time of completion: in that order they lie by their ids
    dict.fromkeys(("id", "completed_at"), "ix_tasks_live_cancelled"),
    is_small=True,
)
COMPLETED_ONES = Lane(
    "completed",
    _COMPLETED,
    (Task.completed_at.is_not(None),),
    {"completed_at": _OF_ALL["completed_at"]},
    is_small=False,
)


def statuses_met(condition: Condition | None) -> frozenset[str]:
    """The statuses of tasks that can meet a condition: one with another status does not."""
    return _EVERY_STATUS if condition is None else condition.once(_statuses_met)


def _statuses_met(condition: Condition) -> frozenset[str]:
    name, *rest = condition.kind
    found = _EVERY_STATUS
    if name == "and_":
        found = found.intersection(*map(statuses_met, condition.parts))
    elif name == "or_":
        found = frozenset().union(*map(statuses_met, condition.parts))
    elif name == "not_" and condition.parts[0].kind[0] == "status":  # which all tasks of its statuses meet
        found -= statuses_met(condition.parts[0])
    elif name == "status":
        values = frozenset(map(str, condition.values))
        found = found - values if rest[0] in ("ne", "not_in") else values
    elif name == "overdue" and rest[0]:
        found = _OPEN
    elif name == "completed_at":
        found = found - _COMPLETED if rest == ["is_null", True] else _COMPLETED
    return found


def own_lane(condition: Condition | None) -> Lane | None:
    """The lane that has all tasks which can meet a condition, where it is not that of all."""
    return None if condition is None else condition.once(_own_lane)


def _own_lane(condition: Condition) -> Lane | None:
    met = statuses_met(condition)
    return next((lane for lane in (OPEN_ONES, CANCELLED_ONES, COMPLETED_ONES) if met <= lane.statuses), None)


def lane_of(condition: Condition | None, ordering: Ordering) -> Lane:
    """Where the tasks that meet a condition are read from, in an order."""
    lane = own_lane(condition)
    return lane if lane is not None and lane.has(ordering) else ALL


def can_be_met(condition: Condition | None, ordering: Ordering, *, missing: bool) -> bool:
    """Whether a condition can be met in a range of an order: when it was completed, a completed task says, and no other
    one does."""
    if ordering.key.name != "completed_at":
        return True
    met = statuses_met(condition)
    return bool(met - _COMPLETED if missing else met & _COMPLETED)
