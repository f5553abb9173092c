from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Annotated

import strawberry
from pydantic import ValidationError
from strawberry import UNSET

from db.models import Task as TaskRow
from graphql_schema.comments import Comment, comments_field
from graphql_schema.execution.bindings import selected_columns
from graphql_schema.history import Event
from graphql_schema.projects import Project
from graphql_schema.relations import Relation
from graphql_schema.shared.base import Node, as_output, attribute, output_type
from graphql_schema.shared.connections import (
    After,
    Before,
    Connection,
    First,
    Last,
    connect,
    none_if_unset,
    page_request,
)
from graphql_schema.shared.context import Info
from graphql_schema.shared.following import as_told
from graphql_schema.shared.ids import parse_id
from graphql_schema.shared.loading import connection_field, relation_field
from graphql_schema.shared.parts import Part
from graphql_schema.shared.prices import of_exactness, priced
from graphql_schema.shared.root_fields import node_field, none_if_missing
from graphql_schema.tags import Tag
from graphql_schema.task_lists import (
    TASKS,
    SearchArgument,
    TaskFilterArgument,
    TaskOrderArgument,
    ThenByArgument,
    nested_tasks,
    task_query,
)
from graphql_schema.users import User
from services import changes, comments, history, relations, saved_views, tags
from services.events.catalogue import TASK_CREATED
from services.events.happenings import Happening
from services.events.interests import Interest
from services.events.log import EventFilter
from services.projects import queries as projects
from services.relations import RelationFilter
from services.shared.errors import from_error_list
from services.shared.pagination import PageRequest
from services.shared.prices import COUNTS, EXACT_COUNTS, of_filter, of_then_by
from services.shared.totals import Total
from services.tasks import aggregates, queries, refs
from services.tasks.aggregates import MAX_GROUPS
from services.tasks.models import (
    MAX_ASSIGNEES,
    MAX_TAGS,
    TaskCountOut,
    TaskGrouping,
    TaskOut,
    TaskRecord,
    TaskStatus,
)
from services.tasks.operators import SEARCH
from services.tasks.query import TaskQuery

_CREATED = Interest(frozenset({TASK_CREATED.name}))
COUNTED = replace(
    TASKS,
    paged=False,
    rows=MAX_GROUPS,
    call=COUNTS,
    each=0,
    count=0,
    arguments={**TASKS.arguments, "exact": lambda given: (EXACT_COUNTS - COUNTS) * of_exactness(given)},
)
"""What counting tasks in groups costs."""
SavedViewArgument = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="Only what this saved view shows, and in its order unless orderBy says otherwise."),
]


@output_type(TaskOut, record=TaskRecord)
class Task(Node):
    database_id: int = attribute("id")
    ref: str
    number: int
    title: str
    description: str | None
    status: TaskStatus
    priority: int
    start_at: datetime | None = attribute("start_moment")
    start_on: date | None
    due_at: datetime | None = attribute("due_moment")
    due_on: date | None
    completed_at: datetime | None
    parent_id: strawberry.ID | None = attribute("parent_node_id")
    external_source: str | None
    external_id: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None

    project: Project = relation_field(
        "projects",
        projects.by_ids,
        by="project_id",
        description="The project that it belongs to.",
    )
    parent: Annotated["Task", strawberry.lazy("graphql_schema.tasks")] | None = relation_field(
        "tasks",
        queries.by_ids,
        by="parent_id",
        description="The task that it is a subtask of; null while that is in the trash.",
    )
    created_by: User | None = relation_field(
        "task.created_by", queries.creators, selective="User", description="The user who created it."
    )
    assignees: list[User] = relation_field(
        "task.assignees",
        queries.assignees,
        default=[],
        selective="User",
        description="Who is to do it.",
        rows=MAX_ASSIGNEES,
    )
    tags: list[Tag] = relation_field(
        "task.tags", tags.of_tasks, default=[], description="Its tags, by name.", rows=MAX_TAGS
    )
    comment_count: int = relation_field(
        "task.comments.count", comments.counts, default=0, description="How many comments it has."
    )
    comments: Connection[Comment] = comments_field(description="Its comments, oldest first.")
    relations: Connection[Relation] = connection_field(
        "task.relations",
        relations.pages,
        relations.counts,
        RelationFilter,
        description="How it relates to other tasks, whichever end it is, oldest first.",
    )
    subtasks: Connection[Annotated["Task", strawberry.lazy("graphql_schema.tasks")]] = nested_tasks(
        TaskRow.parent_id.expression, description="Its subtasks, newest first unless ordered otherwise."
    )
    history: Connection[Event] = connection_field(
        "task.history",
        history.pages,
        history.counts,
        EventFilter,
        description="Every change of it and of its comments, newest first.",
    )


@output_type(TaskCountOut)
class TaskCount:
    key: str | None
    count: int
    exact: bool


@strawberry.type
class TaskQueries:
    task: Task | None = node_field("Task", queries.get, "A task that the caller may read; null where there is none.")

    @strawberry.field(description="A task by its ref, such as WEB-12; null where there is none.")
    async def task_by_ref(
        self, info: Info, ref: Annotated[str, strawberry.argument(description="The project's key and the number.")]
    ) -> Task | None:
        async with info.context.reading() as session:
            return as_output(await none_if_missing(refs.by_ref(session, info.context.actor, ref)))

    @strawberry.field(description="The caller's tasks, newest first unless ordered otherwise.", metadata=priced(TASKS))
    async def tasks(
        self,
        info: Info,
        filter: TaskFilterArgument = UNSET,
        search: SearchArgument = UNSET,
        order_by: TaskOrderArgument = UNSET,
        then_by: ThenByArgument = UNSET,
        trashed: Annotated[bool, strawberry.argument(description="Look into the trash instead.")] = False,
        saved_view_id: SavedViewArgument = UNSET,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[Task]:
        request = page_request(first, after, last, before)
        query = query_of(filter, order_by, search, trashed=trashed, then_by=then_by)
        return await _list(info, await seen_by_view(info, saved_view_id, query), request)

    @strawberry.field(
        description="How many tasks there are in each group, by key; of more than 1,000 the largest. Where more than "
        "10,000 tasks match, groups say whether their count is exact.",
        metadata=priced(COUNTED),
    )
    async def task_counts(
        self,
        info: Info,
        group_by: Annotated[TaskGrouping, strawberry.argument(description="What tasks are counted by.")],
        filter: TaskFilterArgument = UNSET,
        search: SearchArgument = UNSET,
        trashed: Annotated[bool, strawberry.argument(description="Look into the trash instead.")] = False,
        saved_view_id: SavedViewArgument = UNSET,
        exact: Annotated[bool, strawberry.argument(description="Count all tasks, however many match.")] = False,
    ) -> list[TaskCount]:
        query = await seen_by_view(info, saved_view_id, query_of(filter, None, search, trashed=trashed), pages=0)
        async with info.context.reading() as session:
            return as_output(await aggregates.count_by(session, info.context.actor, group_by, query, exact=exact))

    @strawberry.field(
        description="The task with this ref, or those with these words in title, description or a comment, newest "
        "first.",
        metadata=priced(TASKS),
    )
    async def search(
        self,
        info: Info,
        query: Annotated[str, strawberry.argument(description=SEARCH)],
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[Task]:
        request = page_request(first, after, last, before)
        return await _list(info, query_of(None, None, query, trashed=False, argument="query"), request)


def query_of(
    filter: TaskFilterArgument,
    order_by: TaskOrderArgument,
    search: str | None,
    *,
    trashed: bool = False,
    argument: str = "search",
    then_by: ThenByArgument = UNSET,
) -> TaskQuery:
    """The arguments of a list in the service's terms. Raises ``BadUserInput``."""
    try:
        return task_query(filter, order_by, then_by, search=search, trashed=trashed)
    except ValidationError as error:  # of the words alone: the filter has been checked before
        raise from_error_list({**detail, "loc": [argument]} for detail in error.errors(include_url=False)) from None


async def seen_by_view(info: Info, view: str | None, query: TaskQuery, *, pages: int = 1) -> TaskQuery:
    """The query, with the saved view that it names; so many pages are read in its order. Raises ``TooExpensive`` where
    views ask for too much together."""
    if (view := none_if_unset(view)) is None:
        return query
    view_id = parse_id("SavedView", view, pointer="/savedViewId")
    async with info.context.reading() as session:
        seen = await saved_views.apply(session, info.context.actor, view_id, query)
    if seen.filter is not query.filter:
        info.context.spend(of_filter(seen.filter))
    if seen.then_by != query.then_by:
        info.context.spend(pages * of_then_by([*seen.then_by]))
    return seen


async def _list(info: Info, query: TaskQuery, request: PageRequest) -> Connection[Task]:
    context = info.context

    async def count(exact: bool) -> Total:
        async with context.reading() as session:
            return await queries.count(session, context.actor, query, exact=exact)

    async with context.reading() as session:
        wanted = selected_columns(info, "Task")
        return connect(await queries.list_(session, context.actor, query, request, wanted=wanted), count)


@strawberry.type
class TaskSubscriptions:
    @strawberry.subscription(description="Tasks as they are created, in projects that the caller may read.")
    async def task_created(self, info: Info) -> AsyncGenerator[Task, None]:
        context = info.context

        async def read(items: Sequence[Happening]) -> Sequence[TaskRecord | None]:
            found = await queries.by_ids(context.database.reads, context.actor, {item.entity_id for item in items})
            return [found.get(item.entity_id) for item in items]

        created = changes.follow(context.database, context.feed, context.actor, None, _CREATED)
        async for told in as_told(created, read):
            yield told


PART = Part(queries=TaskQueries, subscriptions=TaskSubscriptions)
