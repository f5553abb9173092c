"""All the tasks that meet a predicate, for orders and counts that no index has."""

from typing import Any

from sqlalchemy import Subquery, select

from db.driver.planners import Planner
from db.driver.sessions import AnySelect
from db.lists import joined_in_order, taken_for_few
from db.models import Project, Task
from services.shared.pagination import Ordering, order_terms
from services.shared.statements import ACTOR_PARAMETER, parameter
from services.tasks.listing.conditions import TaskPredicate
from services.tasks.listing.index_scan import beyond_position
from services.tasks.listing.lanes import own_lane
from services.tasks.models import TaskRecord
from services.tasks.visibility import COLUMNS, readable, visible


def matching_tasks(planner: Planner, predicate: TaskPredicate) -> AnySelect:
    """The tasks of ``ACTOR_PARAMETER`` that meet a predicate, in no order, with parameters for the values."""
    if planner.joins_by_estimate and predicate.where is not None and not predicate.trashed:
        # not joined with the projects, which it would go through for each task that it did not expect
        tasks = select(*_COLUMNS_ALONE).where(readable(ACTOR_PARAMETER), taken_for_few(Task.number))
    else:
        tasks = visible(
            ACTOR_PARAMETER, trashed=predicate.trashed, since=parameter("trash_begins", Task.deleted_at.type)
        )
    return tasks.where(*predicate.conditions())


_COLUMNS_ALONE = tuple(
    select(Project.key).where(Project.id == Task.project_id).scalar_subquery().label(name)
    if name == "project_key"
    else getattr(Task, name)
    for name in TaskRecord._fields
)


def sorted_statement(
    planner: Planner, predicate: TaskPredicate, ordering: Ordering, backward: bool, position: str
) -> AnySelect:
    """The first ``rows`` of the tasks after a position, all of which are sorted for it."""
    terms = order_terms(ordering, backward=backward)
    lane = own_lane(predicate.where)
    if predicate.trashed or not planner.keeps_order_of_joins:
        if lane is not None and lane.is_small and not predicate.trashed:
            tasks = select(*_COLUMNS_ALONE).where(readable(ACTOR_PARAMETER), *predicate.conditions())
            tasks = lane.read_whole(tasks)
        else:
            tasks = matching_tasks(planner, predicate)
        tasks = beyond_position(tasks, ordering, position, backward=backward)
        return tasks.order_by(*terms).limit(parameter("rows")).offset(parameter("skip"))
    ids: AnySelect = select(Task.id).where(readable(ACTOR_PARAMETER), *predicate.conditions())
    if predicate.is_of_some:
        ids = ids.with_hint(Task, "NOT INDEXED", "sqlite")
    elif lane is not None and lane.is_small:
        ids = lane.read_whole(ids)
    return _looked_up_in_order(beyond_position(ids, ordering, position, backward=backward), terms)


def sorted_among(
    planner: Planner, among: Subquery, predicate: TaskPredicate, ordering: Ordering, backward: bool, position: str
) -> AnySelect:
    """As ``sorted_statement``, of the tasks whose ids are ``among`` some: each is looked up."""
    terms = order_terms(ordering, backward=backward)
    columns = (Task.id,) if planner.keeps_order_of_joins else _COLUMNS_ALONE
    tasks = select(*columns).select_from(joined_in_order(among, Task.__table__, Task.id == among.c.id))
    tasks = tasks.where(readable(ACTOR_PARAMETER), *predicate.conditions())
    tasks = beyond_position(tasks, ordering, position, backward=backward)
    if planner.keeps_order_of_joins:
        return _looked_up_in_order(tasks, terms)
    return tasks.order_by(*terms).limit(parameter("rows")).offset(parameter("skip"))


def _looked_up_in_order(ids: AnySelect, terms: Any) -> AnySelect:
    """The first rows in an order, of a SELECT of ids: SQLite would sort whole rows."""
    first = ids.order_by(*terms).limit(parameter("rows")).offset(parameter("skip")).subquery("first_rows")
    page: Any = joined_in_order(first, Task.__table__, Task.id == first.c.id)
    page = page.join(Project.__table__, Project.id == Task.project_id, isouter=True)
    return select(*COLUMNS).select_from(page)
