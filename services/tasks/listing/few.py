"""Which tasks are in question at all, as indexes alone tell: where they are few, it is better to sort them than to look
for the page in an order."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Subquery, func, literal, literal_column, select

from db.driver.sessions import AnyRow, AnySelect, Session
from db.driver.statements import Prepared
from db.lists import in_hashed_subquery, taken_for_few
from db.models import Task
from services.shared.actors import Actor
from services.shared.statements import ACTOR_PARAMETER, parameter
from services.tasks.listing.conditions import HELD_ALL, Condition, TaskPredicate, compile_condition
from services.tasks.listing.index_scan import prepared
from services.tasks.listing.lanes import COMPLETED_ONES, Lane, own_lane
from services.tasks.listing.remembered import remembered
from services.tasks.listing.sets import SETS_LOOKED_UP, with_any
from services.tasks.listing.strategy import any_of_set
from services.tasks.visibility import readable

FEW = 50_000
"""Sorting as many takes some 60 ms; a walk that has not come to an end by then may take seconds."""
SOME = 200_000
"""A set of so many is read from its index to see who of the few is in it: less than to ask for each of them."""
ENTRIES = 4
"""One of a lane's tasks is looked up in the time in which so many entries of another index are read."""
MANY = 150_000
"""Looking up and sorting as many takes half a second; where the page is not among the first rows of an order, all of
the caller's tasks may have to be read for it, which takes ten."""
CHEAP = 1_000
"""Where so few are in question, nobody counts on."""
_INDEXED = {
    "created_at": "ix_tasks_live_created_at",
    "updated_at": "ix_tasks_live_updated_at",
    "due_at": "ix_tasks_live_due_at",
    "start_at": "ix_tasks_live_start_at",
    "completed_at": "ix_tasks_live_completed_at",
    "priority": "ix_tasks_live_priority",
    "number": "uq_tasks_project_id_number",
    "created_by": "ix_tasks_created_by_id",
    "parent": "ix_tasks_parent_id",
    "milestone": "ix_tasks_milestone_id",
    "project": "ix_tasks_live_id",
    "recurring": "ix_tasks_live_recurring",
}


class Source(NamedTuple):
    """The tasks that meet some of the conditions of a filter, which an index has together: those on a column, one on a
    set, or those that leave the tasks of a lane."""

    name: str
    parts: tuple[Condition, ...] = ()
    values: tuple[object, ...] = ()
    """Of which one is in the set."""
    lane: Lane | None = None

    @property
    def shape(self) -> tuple[object, ...]:
        """What its statement depends on."""
        return self.name, tuple([part.shape for part in self.parts]), len(self.values)

    @property
    def are_apart(self) -> bool:
        """Whether their ids are to be found apart from the tasks."""
        return bool(self.values) or not (self.lane is None or self.lane.is_small)

    @property
    def covers(self) -> bool:
        """Whether its tasks meet the conditions, and not only have to be among them to do so."""
        return not (self.values and self.parts[0].kind[1] == "all" and len(self.values) > 1)

    def parameters(self, place: int) -> dict[str, object]:
        """The values of its statement."""
        given = self.values or [value for part in self.parts for value in part.all_values()]
        return {f"f{place}_{number}": value for number, value in enumerate(given)}

    def ids(self, place: int) -> AnySelect:
        """Their ids, from the index alone; of a set of several values, some of them several times, and others' too."""
        names = iter(self.parameters(place))
        if self.values:
            return with_any(self.name, ACTOR_PARAMETER, [parameter(name) for name in names])
        tasks: AnySelect = select(Task.id).where(readable(ACTOR_PARAMETER))
        tasks = tasks.where(taken_for_few(Task.id + literal_column("0")))
        if self.lane is not None:
            return self.lane.read_whole(tasks)
        tasks = tasks.where(
            *(compile_condition(part, ACTOR_PARAMETER, lambda _: _parameter(names)) for part in self.parts)
        )
        return tasks.with_hint(Task, f"INDEXED BY {_INDEXED[self.name]}", "sqlite")


def _parameter(names: Any) -> Any:
    return parameter(next(names))


class InQuestion(NamedTuple):
    """The tasks that can meet a filter."""

    number: int
    """Of the tasks of the smallest source; more than were asked for where there are too many to be sorted."""
    sources: tuple[Source, ...]
    """Those of which all have to be in; at most two, the smallest first; none where no index tells."""

    @property
    def are_few(self) -> bool:
        return self.number <= FEW

    @property
    def are_of_set(self) -> bool:
        """Whether their ids are found apart from the tasks; else the tasks are read by an index of them."""
        return len(self.sources) > 1 or any(source.are_apart for source in self.sources)

    @property
    def shape(self) -> tuple[object, ...]:
        return tuple([source.shape for source in self.sources])

    def parameters(self) -> dict[str, object]:
        """The values of ``rows``."""
        found: dict[str, object] = {}
        for place, source in enumerate(self.sources):
            found |= source.parameters(place)
        return found

    def rows(self) -> Subquery:
        """Their ids, each once."""
        first, *others = (source.ids(place) for place, source in enumerate(self.sources))
        [id_column] = first.selected_columns
        for other in others:
            first = first.where(in_hashed_subquery(id_column, other))
        ids = first.with_only_columns(id_column.label("id"))
        # a task may have several of the values
        return (ids.distinct() if len(self.sources[0].values) > 1 else ids).subquery("in_question")

    def rest(self, predicate: TaskPredicate) -> TaskPredicate:
        """What else has to hold of them."""
        met = {part for source in self.sources if source.covers for part in source.parts}
        together = () if predicate.where is None else predicate.where.together
        rest = tuple([_along(part) for part in together if part not in met])
        return predicate._replace(where=Condition(("and_",), (), rest) if rest else None)


def _along(part: Condition) -> Condition:
    """A word is looked for in each of few tasks, and not in the index of everybody's texts."""
    if part.kind[0] == "search" and len(part.kind) > 1:
        return Condition(part.kind[:1], part.values[: part.kind[2]])
    return part


async def in_question(session: Session, actor: Actor, predicate: TaskPredicate, bound: int | None = None) -> InQuestion:
    """Which tasks can meet a predicate of those outside of the trash, where they are not more than a bound: ``FEW``."""
    bound = FEW if bound is None else bound
    counted: list[tuple[int, int, Source]] = []
    for place, source in enumerate(_sources(predicate, actor)):
        number = await _number(session, actor, source, bound)
        counted.append((number, place, source))
        if number <= CHEAP:
            break
    counted.sort()
    if not counted:
        return InQuestion(bound + 1, ())
    [(number, _, first), *others] = counted
    if number > bound or number <= CHEAP:
        return InQuestion(number, (first,))
    second = [
        source
        for most, _, source in others[:1]
        if most <= _most(source, bound) and (first.lane is None or most <= ENTRIES * number)
    ]
    return InQuestion(number, (first, *second))


def _sources(predicate: TaskPredicate, actor: Actor) -> Sequence[Source]:
    together = () if predicate.where is None else predicate.where.together
    if any(part.kind == HELD_ALL for part in together):
        return ()
    of_columns: dict[str, list[Condition]] = {}
    found: list[Source] = []
    for part in together:
        name, *rest = part.kind
        values = any_of_set(part, actor) if name in SETS_LOOKED_UP else None
        if values is not None:
            found.append(Source(name, (part,), values))
        elif name in _INDEXED and rest != ["is_null", True]:
            of_columns.setdefault(name, []).append(part)
    found += [Source(name, tuple(parts)) for name, parts in of_columns.items()]
    lane = own_lane(predicate.where)
    if lane is None or (lane is COMPLETED_ONES and "completed_at" in of_columns):  # which has fewer of its tasks
        return found
    return [Source(lane.name, lane=lane), *found]


def _most(source: Source, bound: int) -> int:
    return max(SOME, bound) if source.values else bound


async def _number(session: Session, actor: Actor, source: Source, bound: int) -> int:
    """How many tasks a source has, and one more than is of interest where it has more; of a set, also others'."""
    most = _most(source, bound)

    async def look() -> int:
        caller = {} if source.name == "assignees" else {"caller_id": actor.user_id}
        return int(await session.scalar(count(**caller, most=most + 1, **source.parameters(0))))

    def build() -> AnySelect:
        some = source.ids(0).with_only_columns(literal(1).label("one")).limit(parameter("most"))
        return select(func.count()).select_from(some.subquery("some"))

    count: Prepared[AnyRow] = prepared(("few", session.planner, source.shape), build)
    gist = tuple([part.gist for part in source.parts])
    return int(await remembered(session, (actor.user_id, "few", most, source.name, gist), look))
