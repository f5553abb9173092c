"""The arguments of every list of tasks, and the lists that hang on other things."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any

import strawberry
from sqlalchemy import ColumnElement

from db.engine import Session
from graphql_schema.base import enumeration, service_input
from graphql_schema.connections import connect, given
from graphql_schema.context import Context
from services.actors import Actor
from services.pagination import Page, PageRequest
from services.tasks import filters, models, queries
from services.tasks.aggregates import TaskGrouping
from services.tasks.filters import TaskFilter
from services.tasks.queries import Direction, TaskQuery, TaskSort

enumeration(
    models.TaskStatus,
    "Where a task stands.",
    PENDING="Not begun.",
    IN_PROGRESS="Being worked on.",
    COMPLETED="Done.",
    CANCELLED="Not to be done any more.",
)
enumeration(
    TaskSort,
    "What tasks can be ordered by. Ties are broken by id; missing values come last.",
    CREATED_AT="When it was created.",
    UPDATED_AT="When it was last changed.",
    DUE_AT="When it is due.",
    START_AT="When work on it may begin.",
    COMPLETED_AT="When it was completed.",
    PRIORITY="From 1 (lowest) to 5 (highest).",
    TITLE="What is to be done, by code points.",
    NUMBER="The number within the project.",
    ID="The database id.",
)
enumeration(
    Direction,
    "Which end of an order comes first.",
    name="SortDirection",
    ASC="The lowest, earliest or first.",
    DESC="The highest, latest or last.",
)
enumeration(
    TaskGrouping,
    "What tasks are counted by.",
    STATUS="Where it stands.",
    PRIORITY="From 1 to 5.",
    PROJECT="The project, by its key.",
    ASSIGNEE="Who is to do it, by username.",
    TAG="The tag, by its name in lower case.",
    CREATED_WEEK="The week in which it was created, by its Monday in UTC.",
)
for _model in (
    filters.StatusFilter,
    filters.IntFilter,
    filters.TimestampFilter,
    filters.TitleFilter,
    filters.ProjectRefFilter,
    filters.TaskRefFilter,
    filters.UserRefFilter,
    filters.AssigneesFilter,
    filters.TagsFilter,
    filters.TaskFilter,
):
    service_input()(_model)


@strawberry.input(description="An order of tasks.")
class TaskOrder:
    field: TaskSort = strawberry.field(description="What to order by.", default=TaskSort.CREATED_AT)
    direction: Direction = strawberry.field(description="Which end comes first.", default=Direction.DESC)


TaskFilterArgument = Annotated[TaskFilter | None, strawberry.argument(description="Only tasks that meet this.")]
SearchArgument = Annotated[
    str | None,
    strawberry.argument(description="In the title, the description or a comment, whatever the case."),
]
TaskOrderArgument = Annotated[TaskOrder | None, strawberry.argument(description="The order; newest first if left out.")]


def task_query(
    filter: TaskFilter | None, order_by: TaskOrder | None, *, search: str | None = None, trashed: bool = False
) -> TaskQuery:
    """The arguments in the service's terms. ``search`` is a shorthand of the filter's."""
    filter, order_by, search = given(filter), given(order_by), given(search)
    if search is not None:
        words = TaskFilter.model_validate({"search": search})
        filter = words if filter is None else TaskFilter.model_construct({"and_"}, and_=[filter, words])
    order = order_by or TaskOrder()
    return TaskQuery(filter=filter, sort_by=order.field, order=order.direction, trashed=trashed)


async def tasks_under(
    context: Context, parent: ColumnElement[Any], item: int, query: TaskQuery, request: PageRequest
) -> Any:
    """The connection of the tasks of a project, or below a task: one statement for all parents of a page."""
    shape = (str(parent), query.filter and query.filter.model_dump_json(exclude_unset=True), query.ordering)

    async def load(
        session: Session, actor: Actor, ids: Collection[int], request: PageRequest
    ) -> Mapping[int, Page[Any]]:
        return await queries.pages(session, actor, parent, ids, query, request)

    async def count(session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, int]:
        return await queries.counts(session, actor, parent, ids, query)

    page = await context.pages(("tasks", shape), load, request, item)
    return connect(page, lambda: context.load(("tasks.count", shape), count, 0, item))
