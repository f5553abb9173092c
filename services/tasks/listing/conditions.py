"""From a filter to SQL: conditions in order, whose shape finds a statement that was built before."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import datetime, tzinfo
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Integer, and_, not_, or_, true, type_coerce

from db.driver.sessions import AnyColumn
from db.lists import in_hashed_list, in_hashed_subquery, one_of
from db.models import Task
from services.shared.actors import Actor
from services.shared.conditions import Budget, negated, of_column
from services.shared.errors import BadUserInput
from services.shared.moments import RelativeMoment
from services.shared.prices import MAX_DEPTH
from services.shared.search_words import words_of
from services.shared.statements import ACTOR_PARAMETER, parameter
from services.tags import fold
from services.tasks import refs
from services.tasks.dates import ALL_DAY, DAYS, first_instant, last_instant
from services.tasks.filters import TaskConditions, TaskFilter
from services.tasks.following import followed
from services.tasks.listing.days import DAYS_ALONE, compared, in_zone
from services.tasks.listing.reaching import FIELDS, SPELLED, Asked, reached
from services.tasks.listing.sets import NAMES as SETS
from services.tasks.listing.sets import OPEN, blocked, of_set
from services.tasks.listing.texts import contains_each, fold_text, found_by_index, has_part
from services.tasks.visibility import trash_begins

T = TypeVar("T")
_LOGIC = ("and_", "or_", "not_")
_BY_CALLER: dict[str, Callable[[Actor], ColumnElement[bool]]] = {"blocked": blocked, "followed": followed}
"""Conditions that hold or do not, by what the caller may read or does."""

_NO_COLUMNS = {"search", "overdue", "blocked", "followed"}
_NAMED = {"recurring": "recurs"}
# compared as what callers may send, not as the SMALLINT that PostgreSQL keeps
_CAST = {"priority": type_coerce(Task.priority, Integer)}
_DAYS: dict[str, AnyColumn] = {day: getattr(Task, ALL_DAY[instant]) for day, instant in DAYS.items()}
_COLUMNS: dict[str, AnyColumn] = (_CAST | _DAYS) | {
    name: getattr(Task, _NAMED.get(name, name) if hasattr(Task, _NAMED.get(name, name)) else f"{name}_id")
    for name in TaskConditions.model_fields.keys() - SETS - _NO_COLUMNS - _DAYS.keys() - _CAST.keys()
}


MAX_ALTERNATIVES = 4
"""Of so many at most a page is read of each by itself."""
PARTS = frozenset({"contains", "starts_with"})
"""Operators that look into a task's folded text."""


class _Condition(NamedTuple):
    kind: tuple[Any, ...]
    values: tuple[Any, ...] = ()
    parts: tuple["Condition", ...] = ()


class Condition(_Condition):
    """A condition as the compiler takes it: what it is, the values in it, and the conditions that it is made of.

    A filter that comes again has the same one (``condition``), with what was worked out of it.
    """

    @cached_property
    def shape(self) -> Hashable:
        """What conditions have in common whose SQL differs in the values alone."""
        return self.kind, len(self.values), tuple([part.shape for part in self.parts])

    @cached_property
    def gist(self) -> Hashable:
        """The condition, its instants to the minute: by which what was found out about it is remembered for a while,
        also where it asks for the present."""
        values = [
            value.replace(second=0, microsecond=0) if isinstance(value, datetime) else value for value in self.values
        ]
        return self.kind, tuple(values), tuple([part.gist for part in self.parts])

    @property
    def together(self) -> tuple["Condition", ...]:
        """The conditions all of which have to hold for this one to hold."""
        return self.parts if self.kind == ("and_",) else (self,)

    def once(self, work_out: Callable[["Condition"], T]) -> T:
        """What a function, by which it is known, works out of the condition alone."""
        known = self.__dict__
        name = work_out.__qualname__
        if name not in known:
            known[name] = work_out(self)
        found: T = known[name]
        return found

    def all_values(self) -> list[object]:
        """The values, in the order in which ``compile_condition`` binds them."""
        values = list(self.values)
        for part in self.parts:
            values += part.all_values()
        return values


Bind = Callable[[object], Any]
"""How a value stands in SQL: as itself, or as a parameter."""


def condition(data: TaskFilter, *, trashed: bool = False, zone: tzinfo | None = None, lasts: bool = False) -> Condition:
    """The filter, checked and put in order: for tasks, or for those in the trash, whose comments cannot be read and are
    not searched. What is said twice is in it once. ``zone`` is the caller's, for days and instants relative to the
    present; one that ``lasts`` is to mean the same later on.

    Raises ``BadUserInput`` for one nested too deeply, or with too much in it; ``ZoneWanted`` where there is none, and
    ``PresentWanted`` for one that lasts and asks for the present.
    """
    key = id(data), trashed, zone, lasts
    known = _KNOWN.get(key)
    if known is not None and known[0] is data:
        return known[1]
    budget = Budget(zone, lasts=lasts)
    found = _condition(data, budget, "search_task" if trashed else "search", depth=0)
    if budget.is_small and not budget.is_of_now:
        if len(_KNOWN) >= MAX_KNOWN:
            del _KNOWN[next(iter(_KNOWN))]
        _KNOWN[key] = data, found
    return found


MAX_KNOWN = 200
_KNOWN: dict[tuple[int, bool, tzinfo | None, bool], tuple[TaskFilter, Condition]] = {}
"""The last filters, which nobody changes, and what was made of them: doors keep those that come again."""


def _condition(data: TaskFilter, budget: Budget, search: str, *, depth: int) -> Condition:
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
            words = Condition((search,), words_of(value))
            budget.spend(words.values)
            ref = refs.parse(value.strip())
            parts.append(words if ref is None else Condition(REF, ref, (words,)))
        elif name == "overdue":
            kind, values = in_zone("lt", budget.moment(), budget.zone)
            parts.append(Condition(("overdue", value, *kind), values))
        elif name in _BY_CALLER:
            parts.append(Condition((name, value)))
        elif name == "recurring":  # a mark, which others lack
            parts.append(Condition((name, "is_null", not value)))
        else:
            reaching = FIELDS.get(name, frozenset())
            sent = sorted(value.sent().items())
            parts += [_operation(name, operator, given, budget) for operator, given in sent if operator not in reaching]
            if fields := [(field, given) for field, given in sent if field in reaching]:
                parts.append(_reaching(name, fields, budget))
    return parts[0] if len(parts) == 1 else Condition(("and_",), (), tuple(parts))


def _joined(name: str, parts: Sequence[Condition]) -> Condition:
    """The conditions, each of them once."""
    different = tuple(dict.fromkeys(parts))
    return different[0] if len(different) == 1 and name != "not_" else Condition((name,), (), different)


def _reaching(name: str, fields: Sequence[tuple[str, Any]], budget: Budget) -> Condition:
    """The condition on what a task names: all of it has to be met by one thing."""
    asked: list[Asked] = []
    values: list[object] = []
    for field, given in fields:
        budget.spend_condition()
        for operator, operand in [("is", given)] if isinstance(given, bool) else sorted(given.sent().items()):
            part = _operation(field, operator, operand, budget)
            column, operator, *how = part.kind
            told = operand if isinstance(operand, bool) else len(part.values)
            asked.append((column, operator, told, "" if isinstance(operand, bool) else "".join(how)))
            spell = SPELLED.get(field)
            values += part.values if spell is None else map(spell, map(str, part.values))
    return Condition((REACHING, name, tuple(asked)), tuple(values)) if asked else Condition(("and_",))


def _operation(name: str, operator: str, given: object, budget: Budget) -> Condition:
    if isinstance(given, bool):
        return Condition((name, operator, given))
    values: list[Any] = given if isinstance(given, list) else [given]
    if name in DAYS:
        days = [budget.day(day) for day in values]
        budget.spend(days)
        # as the instants that days are kept as, which have an index
        instant_of = first_instant if name == "start_on" else last_instant
        return Condition((DAYS[name], operator, DAYS_ALONE), tuple(dict.fromkeys(map(instant_of, days))))
    if type(given) is RelativeMoment:
        values = [given := budget.instant(given)]
    if name in ALL_DAY and isinstance(given, datetime):
        budget.spend([given])
        (operator, *kind), bounds = in_zone(operator, given, budget.zone)
        return Condition((name, operator, *kind), bounds)
    budget.spend(values)
    if name == "tags":
        values = [fold(value) for value in values]
    elif operator in PARTS:
        values = [fold_text(str(value)) for value in values]
    # each once
    return Condition((name, operator), tuple(dict.fromkeys(values) if len(values) > 1 else values))


SEARCHES = {"search": True, "search_task": False}
"""Words that are looked for, and whether they may stand in a comment. The condition alone looks into each task's texts;
with an index of texts and the number of words behind it, it asks that one: what it asks follows the words.
``services.tasks.listing.search_selectivity`` chooses.

What it has looked up is ``HELD``, or ``HELD_ALL`` where nothing else is in question."""
REACHING = "of"
"""The kind of conditions on the fields of what a task names."""
REF = ("ref",)
"""The kind of a search for a ref: it means the task that has it, and where there is none, the words that it is."""
HELD, HELD_ALL = ("held",), ("held", "all")


def compile_condition(condition: Condition, actor: Actor, bind: Bind) -> ColumnElement[bool]:
    """The SQL of a condition on ``tasks``."""
    name, *rest = condition.kind
    values = [bind(value) for value in condition.values]
    if name == REACHING:
        thing, asked = rest
        return reached(thing, asked, actor, values)
    parts = [compile_condition(part, actor, bind) for part in condition.parts]
    if name == "and_":
        return and_(*parts) if parts else true()
    if name == "or_":
        return or_(*parts)
    if name == "not_":
        return negated(parts[0])
    if name in SEARCHES:
        if rest:
            index, number = rest
            words, asked = values[:number], values[number:]
            found = found_by_index(index, actor.user_id, words, asked, comments=SEARCHES[name])
            return in_hashed_subquery(Task.id, found)
        return contains_each(Task.id, values, comments=SEARCHES[name])
    if name == "held":
        return (one_of if rest else in_hashed_list)(Task.id, *values)
    if name == "overdue":
        late = compared(Task.due_at, Task.due_all_day, values, *rest[1:])
        overdue = and_(late, Task.status.in_(OPEN))
        return overdue if rest[0] else negated(overdue)
    if name in _BY_CALLER:
        return _BY_CALLER[name](actor) if rest[0] else not_(_BY_CALLER[name](actor))
    if name in SETS:
        return of_set(name, actor, values, *rest)
    if rest[0] in PARTS:
        return has_part(Task.id, name, rest[0], *values)
    if name in ALL_DAY and rest[0] != "is_null":
        return compared(_COLUMNS[name], getattr(Task, ALL_DAY[name]), values, *rest)
    return of_column(_COLUMNS[name], values, *rest)


def _is_never_met(condition: Condition) -> bool:
    return Condition(HELD_ALL, ((),)) in condition.together


def _values(condition: Condition) -> Mapping[str, object]:
    return {f"v{number}": value for number, value in enumerate(condition.all_values())}


class TaskPredicate(NamedTuple):
    """Which tasks, apart from how they are ordered and where a page begins: of those in the trash, or of those outside
    of it, the ones that meet a condition, or all (None)."""

    where: Condition | None
    trashed: bool

    @property
    def shape(self) -> Hashable:
        return None if self.where is None else self.where.shape, self.trashed

    @property
    def is_never_met(self) -> bool:
        """Whether it asks for a word that is known to be nowhere."""
        return self.where is not None and self.where.once(_is_never_met)

    @property
    def is_of_some(self) -> bool:
        """Whether it asks for some tasks by their ids."""
        return self.where is not None and any(part.kind == HELD_ALL for part in self.where.together)

    @property
    def names_projects(self) -> bool:
        """Whether it asks for the tasks of certain projects."""
        return self.where is not None and any(part.kind[0] == "project" for part in self.where.together)

    def alternatives(self) -> list["TaskPredicate"]:
        """Predicates one of which has to be met for this one to be; none where it does not come to a few."""
        together = () if self.where is None else self.where.together
        for part in together:
            if part.kind == ("or_",) and len(part.parts) <= MAX_ALTERNATIVES:
                rest = tuple([other for other in together if other is not part])
                each = [(*rest, *branch.together) for branch in part.parts]
                return [self._replace(where=Condition(("and_",), (), parts)) for parts in each]
        return []

    def values(self) -> dict[str, object]:
        """The values of the conditions, by the names of their parameters."""
        values = {} if self.where is None else self.where.once(_values)
        return {**values, "trash_begins": trash_begins()} if self.trashed else {**values}

    def conditions(self, actor: Actor = ACTOR_PARAMETER) -> list[ColumnElement[bool]]:
        """The conditions, with parameters for the values."""
        return [compiled for _, compiled in self.each(actor)]

    def each(self, actor: Actor = ACTOR_PARAMETER) -> list[tuple[Condition, ColumnElement[bool]]]:
        """Each of the conditions that have to hold, and its SQL, with parameters for the values."""
        count = -1

        def bind(_value: object) -> Any:
            nonlocal count
            count += 1
            return parameter(f"v{count}")

        together = () if self.where is None else self.where.together
        return [(part, compile_condition(part, actor, bind)) for part in together]

    def is_met_by_column(self, name: str) -> bool:
        """Whether all of its conditions are on a column, or on the project."""
        together = () if self.where is None else self.where.together
        return all(part.kind[0] == "project" or (part.kind[0] == name and name in _COLUMNS) for part in together)

    def of_column(self, name: str) -> list[ColumnElement[bool]]:
        """Those of the conditions that are on a column alone."""
        return [compiled for part, compiled in self.each() if part.kind[0] == name and name in _COLUMNS]

    def of_projects(self, column: Any) -> list[ColumnElement[bool]]:
        """What a column has to meet that holds the project of a task."""
        found: list[ColumnElement[bool]] = []
        position = 0
        for part in () if self.where is None else self.where.together:
            values = part.all_values()
            if part.kind[0] == "project":
                given = [parameter(f"v{position + number}") for number in range(len(values))]
                found.append(of_column(column, given, *part.kind[1:]))
            position += len(values)
        return found
