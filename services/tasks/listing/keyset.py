"""A page of tasks at a cost that does not grow with the number of tasks.

Read in the obvious way, the newest tasks of several projects are found by sorting all of them (160 ms for 24,000).
Where an index has each project's tasks in the order asked for, the page is in the first rows of each: they are read
from the index, merged, and what hangs on a row is looked up for those of the page alone.

Where a filter is not met by so many of the first rows as the page has, the fewest that can be in question are counted
(``few``): either these are sorted, or the walk goes on to the end.
"""

from collections.abc import Callable, Collection, Hashable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement

from db.driver.sessions import AnySelect, Session
from db.driver.statements import Bound, Prepared
from db.models.projects import Membership
from services.shared.actors import Actor
from services.shared.pagination import Ordering, PageRequest
from services.tasks.listing import remembered
from services.tasks.listing.conditions import TaskPredicate
from services.tasks.listing.few import MANY, InQuestion, in_question
from services.tasks.listing.full_scan import sorted_among, sorted_statement
from services.tasks.listing.index_scan import (
    MAX_MERGED,
    IndexRange,
    in_order,
    in_whole_order,
    index_ranges,
    keyset_position,
    leading_projects,
    merged_projects,
    omitted_columns,
    prepared,
    range_statement,
    some_projects,
)
from services.tasks.listing.lanes import lane_of, own_lane
from services.tasks.listing.strategy import Strategy, choose, without_walk
from services.tasks.listing.walks import Walk
from services.tasks.models import TaskRecord

FIRST, LONG, LONGEST = 8, 1_500, 10_000
"""How far one walks for a page that a filter is to fill: eight rows for each of it, then so many in all, and farther
only where more than a few tasks are in question."""
FURTHEST = 100_000
"""And so far before all tasks are read, where no index tells which are in question, or what was met says that it is
shorter than to sort these."""
LED_FROM = 40
"""Of more projects, SQLite is first asked whose first rows come first."""
STAGED_FROM = 250
"""From so many rows on that would be read of all projects, a few of each are read first: that has a cost of its own."""


async def read_page(
    session: Session,
    actor: Actor,
    strategy: Strategy,
    ordering: Ordering,
    request: PageRequest,
    wanted: Collection[str] | None = None,
) -> Sequence[TaskRecord]:
    """The tasks of a page, and one more where there are more. Raises ``BadUserInput`` for a cursor that does not hold.

    Columns of ``OPTIONAL`` that are not ``wanted`` are left out, where an index is read.
    """
    return await _Reader(session, actor, strategy.predicate, ordering, request, wanted).read(strategy)


class _Reader:
    """Reads one page."""

    def __init__(
        self,
        session: Session,
        actor: Actor,
        predicate: TaskPredicate,
        ordering: Ordering,
        request: PageRequest,
        wanted: Collection[str] | None,
        *,
        divides: bool = True,
    ) -> None:
        self._divides = divides
        self._session, self._actor, self._planner = session, actor, session.planner
        self._predicate, self._ordering, self._request = predicate, ordering, request
        self._lane = lane_of(predicate.where, ordering)
        self._size, self._backward = request.size + 1, request.backward
        self._values: dict[str, Any] = {"caller_id": actor.user_id, "skip": request.skip, **predicate.values()}
        # also a cursor of nothing has to hold
        self._position = keyset_position(ordering, request, self._values)
        self._wanted = wanted
        self._without = omitted_columns(wanted, predicate, ordering)
        # of two filters that differ in values alone, one may be met by open tasks only
        own = own_lane(predicate.where)
        self._shape = (self._planner, predicate.shape, own, ordering.signature, self._backward)
        self._projects: Sequence[int] = ()
        self._met = 0
        """How many rows met the predicate, of those walked."""

    async def read(self, strategy: Strategy) -> Sequence[TaskRecord]:
        """The page, by a strategy for its predicate."""
        if strategy.predicate.is_never_met:
            return []
        if strategy.alternatives and self._divides and not self._request.skip:
            return await self._of_each(strategy.alternatives)
        return await (self.in_order() if strategy.from_index else self.sorted())

    def _within(self) -> Sequence[ColumnElement[bool]]:
        """What bounds the order itself."""
        return self._predicate.of_column(self._ordering.key.name)

    def _mine(self) -> Sequence[ColumnElement[bool]]:
        return self._predicate.of_projects(Membership.project_id)

    def _statement(self, kind: Hashable, build: Callable[[], AnySelect], **values: Any) -> Bound[TaskRecord]:
        return prepared((kind, *self._shape), build, TaskRecord)(**self._values, **values)

    async def sorted(self) -> Sequence[TaskRecord]:
        """The page, of all tasks that meet the predicate."""
        among = InQuestion(0, ()) if self._predicate.trashed else await self._in_question()
        if among.are_few and among.are_of_set:
            return await self._sorted_among(among)
        build = partial(
            sorted_statement, self._planner, self._predicate, self._ordering, self._backward, self._position
        )
        return await self._session.all(self._statement(("sorted", self._position), build, rows=self._size))

    async def _of_each(self, alternatives: Sequence[TaskPredicate]) -> Sequence[TaskRecord]:
        """The page, of the pages of alternatives: each is found in its own way."""
        found: dict[int, TaskRecord] = {}
        for predicate in alternatives:
            strategy = await choose(self._session, self._actor, predicate, self._ordering, self._request)
            reader = _Reader(
                self._session,
                self._actor,
                strategy.predicate,
                self._ordering,
                self._request,
                self._wanted,
                divides=False,
            )
            found |= {row.id: row for row in await reader.read(strategy)}
        return in_whole_order([*found.values()], self._ordering, self._backward)[: self._size]

    async def _sorted_among(self, among: InQuestion) -> Sequence[TaskRecord]:
        """The page, of those of the tasks in question that meet the predicate."""
        rest = among.rest(self._predicate)
        order = self._ordering, self._backward, self._position
        key = ("among", among.shape, self._planner, rest.shape, self._ordering.signature, *order[1:])
        statement = prepared(key, lambda: sorted_among(self._planner, among.rows(), rest, *order), TaskRecord)
        position = {name: value for name, value in self._values.items() if name == "row_id" or name[:5] == "value"}
        return await self._session.all(
            statement(
                caller_id=self._actor.user_id,
                skip=self._request.skip,
                rows=self._size,
                **among.parameters(),
                **rest.values(),
                **position,
            )
        )

    async def in_order(self) -> Sequence[TaskRecord]:
        """The page, of the first rows of the order."""
        number = await self._number_of_projects()
        if not number:
            return []
        if self._predicate.is_met_by_column(self._ordering.key.name):
            return await self._ranges(partial(self._first_rows, number))
        if not self._request.skip:
            where = self._predicate.where
            key = (self._actor.user_id, "walk", where and where.gist, *self._shape[2:])
            first = remembered.known(self._session, key) or 0
            for walk in (FIRST * self._size, LONG, LONGEST):
                if walk < first:
                    continue
                found = await self._filtered(number, walk)
                if found is not None:
                    remembered.keep(self._session, key, walk)
                    return found
                if walk == LONG and not await self._is_worth_walking():
                    break
            remembered.keep(self._session, key, LONGEST + 1)
            if (await self._in_question()).are_few:
                return await self.sorted()
            if self._divides and (alternatives := self._predicate.alternatives()):
                return await self._of_each(alternatives)
            if (farther := await self._farther(number, key, first)) is not None:
                return farther
        predicate = await without_walk(self._session, self._actor, self._predicate)
        if predicate is not self._predicate:
            strategy = Strategy(predicate, from_index=False)
            return await read_page(self._session, self._actor, strategy, self._ordering, self._request, self._wanted)
        return await self._ranges(partial(self._all_rows, number))

    async def _is_worth_walking(self) -> bool:
        """Whether to walk on to ``LONGEST``, with what was met within ``LONG`` rows: a row costs as much on either
        way, and of those that are sorted each is read."""
        if self._divides and self._predicate.alternatives():
            return False
        among = await self._in_question()
        return not among.are_few or LONG * self._size < min(among.number, LONGEST) * self._met

    async def _farther(self, number: int, key: Hashable, first: int) -> Sequence[TaskRecord] | None:
        """The page, of many rows of the order or of many tasks in question; None where these are too many."""
        among = await self._in_question(MANY)
        is_shorter = not among.sources or LONGEST * self._size < among.number * self._met
        if first == FURTHEST or (first <= LONGEST and is_shorter):
            found = await self._filtered(number, FURTHEST)
            if found is not None:
                remembered.keep(self._session, key, FURTHEST)
                return found
        remembered.keep(self._session, key, FURTHEST + 1)
        return await self._sorted_among(among) if among.sources and among.number <= MANY else None

    async def _in_question(self, bound: int | None = None) -> InQuestion:
        return await in_question(self._session, self._actor, self._predicate, bound)

    async def _number_of_projects(self) -> int:
        """How many projects the caller has: as far as is known, where nothing depends on it."""
        if self._planner.merges_ordered_selects:
            self._projects = await some_projects(self._session, self._actor, self._predicate)
            return len(self._projects)
        return await remembered.number_of_projects(self._session, self._actor)

    def _index_ranges(self) -> Sequence[IndexRange]:
        return index_ranges(self._planner, self._predicate, self._ordering, self._position, self._backward)

    async def _ranges(self, read: Callable[[IndexRange, int], Any]) -> list[TaskRecord]:
        """The rows of the order's parts, one after the other, until there are enough."""
        found: list[TaskRecord] = []
        for range_ in self._index_ranges():
            if len(found) < self._size:
                rows = await read(range_, self._size - len(found))
                if self._planner.keeps_order_of_joins:
                    rows = in_order(rows, self._ordering, self._backward, range_)
                found += rows
        return found

    def _walk(self, number: int, range_: IndexRange, walk: int, merged: int) -> Walk:
        staged = number > 4 and number * walk > STAGED_FROM
        most = 1 << (walk - 1).bit_length()
        order = self._lane, self._ordering, self._backward, range_
        return Walk(self._planner, *order, merged, staged, most, self._within, self._mine)

    async def _first_rows(self, number: int, range_: IndexRange, rows: int) -> Sequence[TaskRecord]:
        """The first rows of a range, whatever they are."""
        walk = rows + self._request.skip
        projects = await self._leading_projects(range_, walk)
        if projects is None:
            return await self._all_rows(number, range_, rows)
        if self._projects and not projects:
            return []
        return await self._page(self._walk(number, range_, walk, merged_projects(projects, self._values)), rows, walk)

    async def _filtered(self, number: int, walk: int) -> list[TaskRecord] | None:
        """The page, of those of the first rows that meet the predicate; None where there may be others."""
        found: list[TaskRecord] = []
        for range_ in self._index_ranges():
            last: Any = None
            projects: Sequence[int] = self._projects
            if len(projects) > MAX_MERGED:
                leading = await self._session.all(self._leading(range_, MAX_MERGED + 1))
                projects = [row[0] for row in leading[:MAX_MERGED]]
                if not projects:
                    continue
                last = leading[MAX_MERGED][1:] if len(leading) > MAX_MERGED else None
            of = self._walk(number, range_, walk, merged_projects(projects, self._values))
            build = partial(of.marked_page, self._predicate, self._without)
            statement = self._statement(
                ("marked", of.shape, self._without), build, rows=self._size - len(found), walk=walk
            )
            rows = list(await self._session.all(statement))
            ended = bool(rows) and rows[-1].id is None
            rows = in_order(rows[: len(rows) - ended], self._ordering, self._backward, range_)
            if last is not None and (not rows or not self._precedes(rows[-1], last)):
                return None
            found += rows
            self._met = len(found)
            if len(found) == self._size:
                return found
            if last is not None or ended:
                return None
        return found

    def _precedes(self, row: TaskRecord, last: tuple[Any, int]) -> bool:
        """Whether a row comes before the first one of the projects that were left out."""
        key, row_id = last
        here = (row.id,) if key is None else (getattr(row, self._ordering.key.name), row.id)
        there = (row_id,) if key is None else (key, row_id)
        descends = self._ordering.descending != self._backward
        return here > there if descends else here < there

    async def _page(self, of: Walk, rows: int, walk: int) -> Sequence[TaskRecord]:
        build = partial(of.page, self._predicate, self._without)
        statement = self._statement(("page", of.shape, self._without), build, rows=rows, walk=walk)
        return await self._session.all(statement)

    async def _leading_projects(self, range_: IndexRange, rows: int) -> Sequence[int] | None:
        """The projects of which the first rows of a range are to be merged: those whose own first ones come before the
        others', as many as rows. None where these are too many."""
        if len(self._projects) <= LED_FROM:
            return self._projects
        if rows > MAX_MERGED:
            return self._projects if len(self._projects) <= MAX_MERGED else None
        return [row[0] for row in await self._session.all(self._leading(range_, rows))]

    def _leading(self, range_: IndexRange, number: int) -> Bound[Any]:
        def build() -> AnySelect:
            order = self._lane, self._ordering, self._backward, range_
            return leading_projects(*order, self._within(), self._mine())

        statement: Prepared[Any] = prepared(("leading", *self._shape, range_), build)
        return statement(**self._values, number=number)

    async def _all_rows(self, number: int, range_: IndexRange, rows: int) -> Sequence[TaskRecord]:
        """The first rows of a range that meet the predicate, however far they are."""
        walk = rows + self._request.skip
        if self._planner.knows_lateral:
            of = self._walk(number, range_, walk, 0)._replace(within=self._predicate.conditions)
            build = partial(of.page, _EVERYTHING, self._without)
            return await self._session.all(
                self._statement(("all", of.shape, self._without), build, rows=rows, walk=walk)
            )
        merged = merged_projects(self._projects, self._values) if len(self._projects) <= MAX_MERGED else 0
        build = partial(
            range_statement,
            self._planner,
            merged,
            self._predicate,
            self._ordering,
            self._backward,
            range_,
            self._without,
            self._lane,
        )
        return await self._session.all(self._statement((merged, range_, self._without), build, rows=rows, most=walk))


_EVERYTHING = TaskPredicate(None, trashed=False)
