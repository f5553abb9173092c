"""The arguments of every list of tasks, and the lists that hang on other things."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

import strawberry
from sqlalchemy import ColumnElement
from strawberry import UNSET

from db.sessions import Session
from graphql_schema.base import enumeration, service_input
from graphql_schema.connections import After, Before, First, Last, connect, given, page_request
from graphql_schema.context import Context, Info
from graphql_schema.loading import both_ways, requested
from graphql_schema.prices import Price
from services.actors import Actor
from services.pagination import Page, PageRequest
from services.prices import COUNT, LIST, of_filter, of_search
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
    filters.RelationsFilter,
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


TASKS = Price(
    paged=True,
    call=LIST,
    each=30,
    count=COUNT,
    arguments={"filter": of_filter, "search": of_search, "query": of_search},
)
"""What a list of tasks costs: no more under a hundred parents than under one, for it is one statement. What a saved
view has in it is known when it is read (``Context.spend``)."""


def task_query(
    filter: TaskFilter | None, order_by: TaskOrder | None, *, search: str | None = None, trashed: bool = False
) -> TaskQuery:
    """The arguments in the service's terms. ``search`` is a shorthand of the filter's."""
    filter, order_by, search = given(filter), given(order_by), given(search)
    if search is not None:
        words = TaskFilter.model_validate({"search": search})
        filter = words if filter is None else TaskFilter.model_construct({"and_"}, and_=[filter, words])
    if order_by is None:
        return TaskQuery(filter=filter, trashed=trashed)
    return TaskQuery(filter=filter, sort_by=order_by.field, order=order_by.direction, trashed=trashed)


def tasks_under(parent: ColumnElement[Any], *, description: str) -> Any:
    """The connection of the tasks of a project, or below a task: one statement for all parents of a page."""

    async def resolve(
        root: Any,
        info: Info,
        filter: TaskFilterArgument = UNSET,
        order_by: TaskOrderArgument = UNSET,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Any:
        under, request = _Under(parent, task_query(filter, order_by)), page_request(first, after, last, before)
        page = await info.context.pages(under.key, under.pages, request, root.id)
        return under.connection(info.context, root.id, page)

    async def load_batch(
        context: Context,
        parents: Sequence[Any],
        arguments: Mapping[str, Any],
    ) -> Sequence[Any]:
        under = _Under(parent, task_query(arguments.get("filter"), arguments.get("order_by")))
        ids = [item.id for item in parents]
        pages = await under.pages(context.database.reads, context.actor, ids, requested(arguments))
        return [under.connection(context, item, pages[item]) for item in ids]

    return both_ways(resolve, load_batch, description, TASKS, needs=("id",))


class _Under:
    """The lists of one shape that hang on several parents."""

    def __init__(self, parent: ColumnElement[Any], query: TaskQuery) -> None:
        self._parent, self._query = parent, query
        shape = (str(parent), query.filter and query.filter.model_dump_json(exclude_unset=True), query.ordering)
        self.key = ("tasks", shape)

    async def pages(
        self, session: Session, actor: Actor, ids: Collection[int], request: PageRequest
    ) -> Mapping[int, Page[Any]]:
        return await queries.pages(session, actor, self._parent, ids, self._query, request)

    async def counts(self, session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, int]:
        return await queries.counts(session, actor, self._parent, ids, self._query)

    def connection(self, context: Context, item: int, page: Page[Any]) -> Any:
        return connect(page, lambda: context.load(("count", self.key), self.counts, 0, item))
