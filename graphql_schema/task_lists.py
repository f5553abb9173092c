"""The arguments of every list of tasks, and the lists that hang on other things."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated

import strawberry
from strawberry import UNSET

from db.driver.sessions import AnyColumn, Session
from graphql_schema.shared.base import FieldDeclaration, enumeration, output_type, service_input
from graphql_schema.shared.conditions import condition_inputs
from graphql_schema.shared.connections import After, Before, ConnectionView, First, Last, none_if_unset, page_request
from graphql_schema.shared.context import Context, Info
from graphql_schema.shared.loading import ChildPages, PageArguments, batched_field, requested
from graphql_schema.shared.prices import Price
from services.shared.actors import Actor
from services.shared.errors import BadUserInput
from services.shared.pagination import Identified, Page, PageRequest
from services.shared.prices import COUNT, EXACT_COUNT, LIST, of_filter, of_search, of_then_by
from services.tasks import filters, models, queries, query
from services.tasks.models import TaskGrouping
from services.tasks.operators import SEARCH
from services.tasks.query import Direction, TaskQuery, TaskSort, require_different

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
enumeration(TaskGrouping, "What tasks are counted by.")


@service_input(condition_inputs(filters.TaskFilter))
class TaskFilter(filters.TaskFilter): ...


@service_input()
class TaskOrder(query.TaskOrder): ...


@output_type(query.TaskOrderOut)
class TaskOrdering:
    field: TaskSort
    direction: Direction


TaskFilterArgument = Annotated[TaskFilter | None, strawberry.argument(description="Only tasks that meet this.")]
SearchArgument = Annotated[str | None, strawberry.argument(description=SEARCH)]
TaskOrderArgument = Annotated[TaskOrder | None, strawberry.argument(description="The order; newest first if left out.")]
ThenByArgument = Annotated[
    list[TaskOrder] | None,
    strawberry.argument(
        description="The order of tasks that are equal in orderBy, which has to be given: at most two."
    ),
]


TASKS = Price(
    paged=True,
    call=LIST,
    each=30,
    count=COUNT,
    exact=EXACT_COUNT - COUNT,
    arguments={"filter": of_filter, "search": of_search, "query": of_search, "thenBy": of_then_by},
)
"""What a list of tasks costs: no more under a hundred parents than under one, for it is one statement. What a saved
view has in it is known when it is read (``Context.spend``)."""


def task_query(
    filter: filters.TaskFilter | None,
    order_by: TaskOrder | None,
    then_by: Sequence[TaskOrder] | None,
    *,
    search: str | None = None,
    trashed: bool = False,
) -> TaskQuery:
    """The arguments in the service's terms. ``search`` is a shorthand of the filter's.

    Raises ``BadUserInput`` for keys of an order that do not go together.
    """
    filter, order_by, search = none_if_unset(filter), none_if_unset(order_by), none_if_unset(search)
    further = tuple([order.key for order in none_if_unset(then_by) or ()])
    if search is not None:
        words = filters.TaskFilter.model_validate({"search": search})
        filter = words if filter is None else filters.TaskFilter.model_construct({"and_"}, and_=[filter, words])
    if order_by is None:
        if further:
            raise BadUserInput.at("/thenBy", "goes with orderBy, which comes first", "order")
        return TaskQuery(filter=filter, trashed=trashed)
    if further:
        require_different([order_by.key, *further], pointer="/thenBy")
    return TaskQuery(filter, order_by.field, order_by.direction, trashed, further)


class _Arguments(PageArguments, total=False):
    filter: filters.TaskFilter | None
    order_by: TaskOrder | None
    then_by: list[TaskOrder] | None


def nested_tasks(parent: AnyColumn, *, description: str) -> FieldDeclaration:
    """The connection of the tasks of a project, or below a task: one statement for all parents of a page."""

    async def resolve(
        root: Identified,
        info: Info,
        filter: TaskFilterArgument = UNSET,
        order_by: TaskOrderArgument = UNSET,
        then_by: ThenByArgument = UNSET,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> ConnectionView[models.TaskRecord]:
        pages = _pages(parent, task_query(filter, order_by, then_by))
        request = page_request(first, after, last, before)
        return await pages.under_one(info.context, root.id, request)

    async def load_batch(
        context: Context, parents: Sequence[Identified], arguments: _Arguments
    ) -> Sequence[ConnectionView[models.TaskRecord]]:
        asked = task_query(arguments.get("filter"), arguments.get("order_by"), arguments.get("then_by"))
        pages = _pages(parent, asked)
        return await pages.under_each(context, parents, requested(arguments))

    return batched_field(resolve, load_batch, description, TASKS, needs=("id",))


def _pages(parent: AnyColumn, query: TaskQuery) -> ChildPages[models.TaskRecord]:
    """The lists of tasks of one shape that hang on several parents."""
    condition = query.filter and query.filter.model_dump_json(exclude_unset=True)
    key = ("tasks", (str(parent), condition, query.ordering))

    async def load(
        session: Session, actor: Actor, ids: Collection[int], request: PageRequest
    ) -> Mapping[int, Page[models.TaskRecord]]:
        return await queries.pages(session, actor, parent, ids, query, request)

    async def counts(session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, int]:
        return await queries.counts(session, actor, parent, ids, query, exact=True)

    async def bounded(session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, int]:
        return await queries.counts(session, actor, parent, ids, query)

    return ChildPages(key, load, counts, ("count", key), bounded)
