"""Which tasks are asked for, and in which order: what both doors make of their parameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from typing import LiteralString, NamedTuple

from pydantic import Field
from pydantic_core import PydanticCustomError

from db.models import Task
from services.shared.errors import BadUserInput
from services.shared.inputs import Input
from services.shared.outputs import Output
from services.shared.pagination import Ordering, SortKey
from services.shared.prices import MAX_THEN_BY
from services.tasks.filters import TaskFilter

MAX_SORT_KEYS = 1 + MAX_THEN_BY
"""By so many keys tasks can be ordered: what a page may cost grows with each (``listing.groups``)."""


class TaskSort(StrEnum):
    """What tasks can be ordered by. Ties are broken by id; missing values come last."""

    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"
    DUE_AT = "due_at"
    START_AT = "start_at"
    COMPLETED_AT = "completed_at"
    PRIORITY = "priority"
    TITLE = "title"
    NUMBER = "number"
    ID = "id"


class Direction(StrEnum):
    """Which end of an order comes first."""

    ASC = "asc"
    DESC = "desc"


SORT_KEYS = {
    TaskSort.CREATED_AT: SortKey("created_at", Task.created_at, Task.id),
    TaskSort.UPDATED_AT: SortKey("updated_at", Task.updated_at, Task.id),
    TaskSort.DUE_AT: SortKey("due_at", Task.due_at, Task.id, nullable=True),
    TaskSort.START_AT: SortKey("start_at", Task.start_at, Task.id, nullable=True),
    TaskSort.COMPLETED_AT: SortKey("completed_at", Task.completed_at, Task.id, nullable=True),
    TaskSort.PRIORITY: SortKey("priority", Task.priority, Task.id, kind="integer"),
    TaskSort.TITLE: SortKey("title", Task.title, Task.id, kind="text"),
    TaskSort.NUMBER: SortKey("number", Task.number, Task.id, kind="integer"),
    TaskSort.ID: SortKey("id", Task.id, Task.id, kind="integer"),
}


class SortBy(NamedTuple):
    """One key of an order."""

    field: TaskSort
    direction: Direction

    def __str__(self) -> str:
        return ("-" if self.direction is Direction.DESC else "") + self.field

    @classmethod
    def parse(cls, text: str) -> "SortBy":
        """A key as text: the name of a field, which ascends unless ``-`` is before it. Raises for another one."""
        name = text.removeprefix("-")
        if name not in _FIELDS:
            expected = {"expected": ", ".join(map(repr, _FIELDS))}
            raise PydanticCustomError("enum", "must be one of {expected}", expected)
        return cls(TaskSort(name), Direction.DESC if text.startswith("-") else Direction.ASC)


_FIELDS = [*map(str, TaskSort)]


@lru_cache(1_000)  # of what is no key at all, nothing is kept
def parse_keys(text: str) -> tuple[SortBy, ...]:
    """The keys in a text, with commas between them. Raises for what is none, for too many, and for a field twice."""
    keys = tuple(map(SortBy.parse, text.split(",")))
    if wrong := _what_is_wrong(keys):
        raise PydanticCustomError("order", wrong)
    return keys


def _what_is_wrong(keys: Sequence[SortBy]) -> LiteralString | None:
    if len(keys) > MAX_SORT_KEYS:
        return f"tasks are ordered by at most {MAX_SORT_KEYS} fields"
    return None if len({key.field for key in keys}) == len(keys) else "tasks are ordered by a field once"


def require_different(keys: Sequence[SortBy], *, pointer: str) -> None:
    """Raises ``BadUserInput`` for more than ``MAX_SORT_KEYS`` keys, and for two by the same field."""
    if wrong := _what_is_wrong(keys):
        raise BadUserInput.at(pointer, wrong, "order")


SORT_KEY = f"-?({'|'.join(TaskSort)})"
"""A key as text, as a regular expression."""


class TaskOrder(Input):
    """An order of tasks."""

    field: TaskSort = Field(default=TaskSort.CREATED_AT, description="What to order by.")
    direction: Direction = Field(default=Direction.DESC, description="Which end comes first.")

    @property
    def key(self) -> SortBy:
        """The same, as a part of a query."""
        return SortBy(self.field, self.direction)


class TaskOrderOut(Output):
    """An order of tasks."""

    field: TaskSort = Field(description="What to order by.")
    direction: Direction = Field(description="Which end comes first.")


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """Which tasks, in which order: newest first unless asked otherwise. ``trashed`` looks into the trash instead."""

    filter: TaskFilter | None = None
    sort_by: TaskSort | None = None
    order: Direction | None = None
    trashed: bool = False
    then_by: tuple[SortBy, ...] = ()
    """What tasks are ordered by that are equal in ``sort_by``."""

    @property
    def ordering(self) -> Ordering:
        return _ordering(self.sort_by or TaskSort.CREATED_AT, self.order or Direction.DESC, self.then_by)


@cache
def _ordering(sort_by: TaskSort, order: Direction, then_by: tuple[SortBy, ...] = ()) -> Ordering:
    then = None
    # no two tasks are equal in their ids: nothing is left to order by
    if then_by and sort_by is not TaskSort.ID:
        first, *rest = then_by
        then = _ordering(first.field, first.direction, tuple(rest))
    return Ordering(SORT_KEYS[sort_by], order is Direction.DESC, then)
