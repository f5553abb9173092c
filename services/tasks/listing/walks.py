"""The first rows of an order, of however many projects, and the page that those of them make which meet a predicate.

How many rows are read is bounded, whatever the predicate: the first ones of the order are found without it, and looked
up one by one until the page is full.

SQLite merges the projects' indexes and reads what it takes. PostgreSQL reads a few rows of each project, finds by the
last key of these which projects may have more of the first rows, and reads on in those: about as many rows as are asked
for, and one of each project.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, cast, func, literal_column, null, select, true, tuple_, union_all
from sqlalchemy.orm import aliased

from db.driver.planners import Planner
from db.driver.sessions import AnySelect
from db.lists import joined_in_order
from db.models import Project, Task
from db.models.projects import Membership
from services.shared.pagination import Ordering
from services.shared.statements import ACTOR_PARAMETER, parameter
from services.tasks.listing.conditions import TaskPredicate
from services.tasks.listing.index_scan import (
    IndexRange,
    first_of_each_project,
    in_direction,
    in_range,
    merge,
    terms,
)
from services.tasks.listing.lanes import Lane
from services.tasks.visibility import COLUMNS

Conditions = Callable[[], Sequence[ColumnElement[bool]]]
"""Conditions that are made where a statement is, which is once: making two takes as long as reading a page."""
_MINE = Membership.user_id == ACTOR_PARAMETER.user_id


class Walk(NamedTuple):
    """The first ``walk`` rows (a parameter) of a range."""

    planner: Planner
    lane: Lane
    ordering: Ordering
    backward: bool
    range_: IndexRange
    merged: int
    """Of so many projects, as ``index_scan.merge``; 0 for all of the caller's."""
    staged: bool
    """A few rows of each project first, then more of those that have them; else as many of each as are asked for."""
    most: int
    """Not more than so many, for the planner to know: of a parameter it expects anything."""
    within: Conditions
    """Of those tasks alone that meet these conditions; what does not is not one of the rows."""
    mine: Conditions
    """Of those memberships of the caller alone."""

    @property
    def shape(self) -> Hashable:
        """What its statement depends on, beside the order."""
        return self.lane, self.range_, self.merged, self.staged, self.most

    def _terms(self, key: Any, row_id: Any) -> list[Any]:
        return in_direction(key, row_id, self.ordering, self.backward)

    def _tasks(self, *conditions: Any) -> AnySelect:
        return in_range(self.lane, self.ordering, self.backward, self.range_, (*self.within(), *conditions))

    def rows(self) -> Any:
        """Their ids and keys, but for those to ``skip`` (a parameter)."""
        if self.merged:
            rows = merge(self._tasks(), self.merged, self.lane, self.ordering, self.backward, self.range_)
        elif self.staged:
            rows = self._staged()
        else:
            rows, key, row_id = first_of_each_project(
                self.planner,
                self._tasks(),
                self.lane,
                self.ordering,
                self.backward,
                self.range_,
                parameter("walk", Integer()),
                self.mine(),
            )
            rows = rows.order_by(*self._terms(key, row_id))
        rows = rows.limit(parameter("walk", Integer()) - parameter("skip", Integer())).offset(parameter("skip"))
        if self.planner.keeps_order_of_joins:
            return rows.subquery("walked")
        rows = rows.subquery("first_rows")
        # in order already, but that is forgotten where nothing asks for it
        rows = select(rows.c.id, rows.c.key).order_by(*self._terms(rows.c.key, rows.c.id))
        return rows.limit(literal_column(str(self.most))).subquery("walked")

    def _staged(self) -> AnySelect:
        column: Any = self.ordering.key.column
        walk = parameter("walk", Integer())
        number = select(func.count()).select_from(Membership).where(_MINE, *self.mine()).scalar_subquery()
        share = select(func.least(walk, 1 + cast(3 * walk / (2 * func.greatest(number, 1)), Integer))).scalar_subquery()
        in_project = Task.project_id == Membership.project_id
        order = terms(self.lane, self.range_, column, Task.id, self.ordering, self.backward)
        place = func.row_number().over(order_by=order).label("place")
        few = self._tasks(in_project).add_columns(place).correlate(Membership).order_by(*order).limit(share)
        part = few.lateral("part")
        some = select(Membership.project_id, part.c.id, part.c.key, part.c.place).select_from(Membership)
        some = some.join(part, true()).where(_MINE, *self.mine())
        each = some.subquery("each")
        rank = func.row_number().over(order_by=self._terms(each.c.key, each.c.id)).label("rank")
        ranked = select(each.c.project_id, each.c.id, each.c.key, each.c.place, rank)
        found = ranked.order_by(*self._terms(each.c.key, each.c.id)).limit(walk).cte("ranked")
        # beyond the last row that was read of a project, no further than the last of all that are asked for
        more: Any = aliased(found, name="last")
        beyond = self._tasks(Task.project_id == more.c.project_id, self._is_beyond(column, more))
        if (bound := self._is_within(column, found)) is not None:
            beyond = beyond.where(bound)
        beyond = beyond.correlate(more).order_by(*order).limit(walk - cast(more.c.rank, Integer))
        others = beyond.lateral("others")
        rest = select(others.c.id, others.c.key).select_from(more).join(others, true())
        rest = rest.where(more.c.place == share, more.c.rank < walk)
        both: Any = union_all(select(found.c.id, found.c.key), rest).subquery("both")
        return select(both.c.id, both.c.key).order_by(*self._terms(both.c.key, both.c.id))

    def _is_beyond(self, column: Any, last: Any) -> Any:
        position: Any = tuple_(column, Task.id)
        here: Any = tuple_(last.c.key, last.c.id)
        if self.range_.missing or column is self.ordering.key.id_column:
            position, here = Task.id, last.c.id
        return position < here if self._descends else position > here

    def _is_within(self, column: Any, found: Any) -> Any:
        """Not beyond the last of the rows; None for what has no value beyond all others."""
        kind = self.ordering.key.kind
        if self.range_.missing or kind == "text":
            return None
        last = select(found.c.key).where(found.c.rank == parameter("walk", Integer())).scalar_subquery()
        extreme: ColumnElement[Any]
        if kind == "timestamp":
            extreme = literal_column(f"'{'-' if self._descends else ''}infinity'::timestamptz")
        else:
            extreme = literal_column(str(-(2**31) if self._descends else 2**31 - 1))
        bound = func.coalesce(last, extreme)
        return column >= bound if self._descends else column <= bound

    @property
    def _descends(self) -> bool:
        return self.ordering.descending != self.backward

    def page(self, predicate: TaskPredicate, without: frozenset[str]) -> AnySelect:
        """The first ``rows`` of them, without some columns, that meet a predicate."""
        return self._page(self.rows(), predicate, without)

    def marked_page(self, predicate: TaskPredicate, without: frozenset[str]) -> AnySelect:
        """As ``page``; where that has fewer rows, and the walk has come to its end, a row without an id follows."""
        walked = self.rows()
        found = self._page(walked, predicate, without).subquery("found")
        last: Any = select(*(cast(null(), column.type).label(column.key) for column in found.c)).select_from(walked)
        last = last.offset(parameter("walk", Integer()) - literal_column("1")).limit(1).subquery("last")
        both: Any = union_all(select(*found.c), select(*last.c))
        marked: AnySelect = both.limit(parameter("rows"))
        return marked

    def _page(self, walked: Any, predicate: TaskPredicate, without: frozenset[str]) -> AnySelect:
        columns = [column for column in COLUMNS if column.key not in without]
        joined: Any = joined_in_order(walked, Task.__table__, Task.id == walked.c.id)
        if "project_key" not in without:
            joined = joined.join(Project.__table__, Project.id == Task.project_id, isouter=True)
        page = select(*columns).select_from(joined).where(*predicate.conditions()).limit(parameter("rows"))
        if self.planner.keeps_order_of_joins:
            return page
        return page.order_by(*self._terms(walked.c.key, walked.c.id))
