"""A page of tasks in an order by several keys: made of pages by one key, each of which is found as any other page.

The tasks are walked in the order of the first key, which has an index, and sorted by the others. Where the walk ends,
there may be more with the same first key: of these, the first ones by the other keys are read, as a list of its own
that is narrowed down to that value. So what is read does not grow with the number of tasks that share a first key: it
is at most four pages for two keys, and ten for three.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple, cast

from db.driver.sessions import Session
from services.shared.actors import Actor
from services.shared.node_ids import MAX_DATABASE_ID
from services.shared.pagination import Ordering, PageRequest, decode_cursor
from services.tasks.listing import keyset
from services.tasks.listing.conditions import Condition, TaskPredicate
from services.tasks.listing.strategy import choose
from services.tasks.models import TaskRecord

SPARE = 8
"""So many rows more are walked than are asked for: where few tasks share a first key, all that do are among them, and
the walk is all that is read."""


class Position(NamedTuple):
    """A place in an order: a value for each of its keys, and an id."""

    values: tuple[object, ...]
    row_id: int


@dataclass(frozen=True, slots=True)
class _Rows(PageRequest):
    """A part of a page, which may have more rows than anybody may ask for."""

    def __post_init__(self) -> None:
        """Nothing of it was sent by anybody."""


async def read_page(
    session: Session,
    actor: Actor,
    predicate: TaskPredicate,
    ordering: Ordering,
    request: PageRequest,
    wanted: Collection[str] | None = None,
) -> Sequence[TaskRecord]:
    """The tasks of a page, and one more where there are more, from a cursor or an end on: nothing is skipped.

    ``wanted`` as for a page by one key. Raises ``BadUserInput`` for a cursor or a filter that does not hold.
    """
    position = None
    if request.cursor is not None:
        values, row_id = decode_cursor(ordering, request.cursor, pointer=request.pointer)
        position = Position(cast(tuple[object, ...], values), row_id)
    if wanted is not None:
        wanted = {*wanted, *(each.key.name for each in ordering.keys)}
    return await _Reader(session, actor, request.backward, wanted).read(predicate, ordering, position, request.size + 1)


class _Reader:
    """Reads rows in one direction."""

    def __init__(self, session: Session, actor: Actor, backward: bool, wanted: Collection[str] | None) -> None:
        self._session, self._actor, self._backward, self._wanted = session, actor, backward, wanted

    async def read(
        self, predicate: TaskPredicate, ordering: Ordering, position: Position | None, number: int
    ) -> list[TaskRecord]:
        """The first rows after a position, in the direction of reading; all of them where there are fewer."""
        if ordering.then is None:
            at = None if position is None else (position.values[0], position.row_id)
            return [*await self._by_one_key(predicate, ordering, at, number)]
        value_of = attrgetter(ordering.key.name)
        descends = ordering.descending != self._backward
        before, behind = (MAX_DATABASE_ID, 0) if descends else (0, MAX_DATABASE_ID)
        # tasks that share the first key with the position may be on either side of it
        start = None if position is None else (position.values[0], before)
        found: list[TaskRecord] = []
        while True:
            more = number - len(found) + SPARE
            walked = await self._by_one_key(predicate, Ordering(ordering.key, ordering.descending), start, more)
            ended = len(walked) < more
            last = None if ended else value_of(walked[-1])
            whole = [*walked] if ended else [row for row in walked if value_of(row) != last]
            found += self._beyond(whole, ordering, position)
            if ended or len(found) >= number:
                return found[:number]
            inner = None
            if position is not None and position.values[0] == last:
                inner = Position(position.values[1:], position.row_id)
            group = _narrowed(predicate, ordering.key.name, last)
            found += await self.read(group, ordering.then, inner, number - len(found))
            if len(found) >= number:
                return found
            start, position = (last, behind), None

    async def _by_one_key(
        self, predicate: TaskPredicate, ordering: Ordering, position: tuple[object, int] | None, number: int
    ) -> Sequence[TaskRecord]:
        size = number - 1  # one row more than a page has is read
        request = _Rows(last=size, position=position) if self._backward else _Rows(first=size, position=position)
        strategy = await choose(self._session, self._actor, predicate, ordering, request)
        return await keyset.read_page(self._session, self._actor, strategy, ordering, request, self._wanted)

    def _beyond(self, rows: list[TaskRecord], ordering: Ordering, position: Position | None) -> list[TaskRecord]:
        """Those of the rows that come after a position, sorted."""
        if position is None:
            return _in_order(rows, ordering, self._backward)
        names = [each.key.name for each in ordering.keys]
        values = dict(zip(names, position.values, strict=True)) | {"id": position.row_id}
        here = TaskRecord._make([values.get(name) for name in TaskRecord._fields])
        # of equals the last one stays the last: the row that the position is of comes before it
        in_order = _in_order([*rows, here], ordering, self._backward)
        [place] = [place for place, row in enumerate(in_order) if row is here]
        return in_order[place + 1 :]


def _narrowed(predicate: TaskPredicate, name: str, value: object) -> TaskPredicate:
    """Those of the tasks whose column has a value; None is a missing one."""
    group = Condition((name, "is_null", True)) if value is None else Condition((name, "eq"), (value,))
    together = () if predicate.where is None else predicate.where.together
    return predicate._replace(where=Condition(("and_",), (), (*together, group)))


def _in_order(rows: Sequence[TaskRecord], ordering: Ordering, backward: bool) -> list[TaskRecord]:
    """The rows by all keys and their ids; missing values last, but first where ``backward``."""
    keys = ordering.keys
    in_order = sorted(rows, key=attrgetter("id"), reverse=keys[-1].descending != backward)
    for each in reversed(keys):
        value_of = attrgetter(each.key.name)
        missing = [row for row in in_order if value_of(row) is None]
        there = [row for row in in_order if value_of(row) is not None]
        there.sort(key=value_of, reverse=each.descending != backward)
        in_order = [*missing, *there] if backward else [*there, *missing]
    return in_order
