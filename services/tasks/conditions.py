"""From a filter to SQL: conditions in order, whose shape finds a statement that was built before."""

import operator as operators
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, and_, func, literal, not_, or_, true, type_coerce

from core.clock import now
from db.lists import in_list, in_table, one_of
from db.models import Task
from services.actors import Actor
from services.errors import BadUserInput
from services.prices import MAX_CONDITIONS, MAX_DEPTH, MAX_TEXT, MAX_VALUES
from services.tags import fold
from services.tasks.filters import TaskFilter
from services.tasks.sets import NAMES as SETS
from services.tasks.sets import OPEN, blocked, of_set
from services.tasks.texts import contains_each, fold_text, found_by_index

_LOGIC = ("and_", "or_", "not_")

_COLUMNS: dict[str, Any] = {
    "status": Task.status,
    # compared as what callers may send, not as the SMALLINT that PostgreSQL keeps
    "priority": type_coerce(Task.priority, Integer),
    "number": Task.number,
    "title": Task.title,
    "project": Task.project_id,
    "parent": Task.parent_id,
    "created_by": Task.created_by_id,
    "start_at": Task.start_at,
    "due_at": Task.due_at,
    "completed_at": Task.completed_at,
    "created_at": Task.created_at,
    "updated_at": Task.updated_at,
}


class Condition(NamedTuple):
    """A condition as the compiler takes it: what it is, the values in it, and the conditions that it is made of."""

    kind: tuple[Any, ...]
    values: tuple[Any, ...] = ()
    parts: tuple["Condition", ...] = ()

    @property
    def shape(self) -> Hashable:
        """What conditions have in common whose SQL differs in the values alone."""
        return self.kind, len(self.values), tuple([part.shape for part in self.parts])

    @property
    def together(self) -> tuple["Condition", ...]:
        """The conditions all of which have to hold for this one to hold."""
        return self.parts if self.kind == ("and_",) else (self,)

    def all_values(self) -> list[Any]:
        """The values, in the order in which ``compile_condition`` binds them."""
        values = list(self.values)
        for part in self.parts:
            values += part.all_values()
        return values


Bind = Callable[[Any], Any]
"""How a value stands in SQL: as itself, or as a parameter."""


def condition(data: TaskFilter, *, trashed: bool = False) -> Condition:
    """The filter, checked and put in order: for tasks, or for those in the trash, whose comments cannot be read and are
    not searched. What is said twice is in it once.

    Raises ``BadUserInput`` for one nested too deeply, or with too much in it.
    """
    return _condition(data, _Budget(), "search_task" if trashed else "search", depth=0)


class _Budget:
    """What is left of the bounds of a filter."""

    __slots__ = ("_moment", "conditions", "text", "values")

    def __init__(self) -> None:
        self.conditions, self.values, self.text = MAX_CONDITIONS, MAX_VALUES, MAX_TEXT
        self._moment: datetime | None = None

    def moment(self) -> datetime:
        """The present, the same for the whole filter."""
        self._moment = self._moment or now()
        return self._moment

    def spend_condition(self) -> None:
        self.conditions -= 1
        if self.conditions < 0:
            raise BadUserInput.at("/filter", f"more than {MAX_CONDITIONS} conditions")

    def spend(self, values: Sequence[Any]) -> None:
        self.values -= len(values)
        if self.values < 0:
            raise BadUserInput.at("/filter", f"more than {MAX_VALUES:,} values")
        if isinstance(values[0], str):
            self.text -= sum(len(value) if value.isascii() else len(value.encode()) for value in values)
            if self.text < 0:
                raise BadUserInput.at("/filter", f"more than {MAX_TEXT:,} bytes of text")


def _condition(data: TaskFilter, budget: _Budget, search: str, *, depth: int) -> Condition:
    if depth > MAX_DEPTH:
        raise BadUserInput.at("/filter", f"nested more than {MAX_DEPTH} deep")
    parts: list[Condition] = []
    for name in sorted(data.model_fields_set):
        value = getattr(data, name)
        budget.spend_condition()
        if name in _LOGIC:
            inner = value if isinstance(value, list) else [value]
            parts.append(_joined(name, [_condition(part, budget, search, depth=depth + 1) for part in inner]))
        elif name == "search":
            budget.spend([value])
            parts.append(Condition((search,), (fold_text(value),)))
        elif name == "overdue":
            parts.append(Condition(("overdue", value), (budget.moment(),)))
        elif name == "blocked":
            parts.append(Condition(("blocked", value)))
        else:
            parts += [_operation(name, operator, given, budget) for operator, given in sorted(value.sent().items())]
    return parts[0] if len(parts) == 1 else Condition(("and_",), (), tuple(parts))


def _joined(name: str, parts: Sequence[Condition]) -> Condition:
    """The conditions, each of them once."""
    different = tuple(dict.fromkeys(parts))
    return different[0] if len(different) == 1 and name != "not_" else Condition((name,), (), different)


def _operation(name: str, operator: str, given: Any, budget: _Budget) -> Condition:
    if isinstance(given, bool):
        return Condition((name, operator, given))
    values = given if isinstance(given, list) else [given]
    budget.spend(values)
    if name == "tags":
        values = [fold(value) for value in values]
    # each once
    return Condition((name, operator), tuple(dict.fromkeys(values) if len(values) > 1 else values))


SEARCHES = {"search": True, "search_task": False}
"""Words that are looked for, and whether they may stand in a comment. The condition alone looks into each task's texts;
with a database's name behind it, it asks that one's index, whose question is its second value.
``services.tasks.words`` chooses.

What it has looked up is ``HELD``, or ``HELD_ALL`` where nothing else is in question."""
HELD, HELD_ALL = ("held",), ("held", "all")


def compile_condition(condition: Condition, actor: Actor, bind: Bind) -> ColumnElement[bool]:
    """The SQL of a condition on ``tasks``."""
    name, *rest = condition.kind
    values = [bind(value) for value in condition.values]
    parts = [compile_condition(part, actor, bind) for part in condition.parts]
    if name == "and_":
        return and_(*parts) if parts else true()
    if name == "or_":
        return or_(*parts)
    if name == "not_":
        # a condition on a missing value is unknown in SQL: for the opposite it counts as false
        return _not(parts[0])
    if name in SEARCHES:
        if rest:
            return in_table(Task.id, found_by_index(rest[0], actor.user_id, *values, comments=SEARCHES[name]))
        return contains_each(Task.id, *values, comments=SEARCHES[name])
    if name == "held":
        return (one_of if rest else in_list)(Task.id, *values)
    if name == "overdue":
        overdue = and_(Task.due_at < values[0], Task.status.in_(OPEN))
        return overdue if rest[0] else _not(overdue)
    if name == "blocked":
        return blocked(actor) if rest[0] else not_(blocked(actor))
    if name in SETS:
        return of_set(name, actor, values, *rest)
    return _of_column(_COLUMNS[name], values, *rest)


def _not(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return not_(func.coalesce(condition, literal(False)))


def _of_column(column: Any, values: list[Any], operator: str, wanted: bool | None = None) -> ColumnElement[bool]:
    if operator == "is_null":
        found: ColumnElement[bool] = column.is_(None) if wanted else column.is_not(None)
    elif operator == "in_":
        found = column.in_(values)
    else:
        found = _COMPARISONS[operator](column, values[0])
    return found


_COMPARISONS: dict[str, Any] = {
    "eq": operators.eq,
    "gt": operators.gt,
    "gte": operators.ge,
    "lt": operators.lt,
    "lte": operators.le,
}
