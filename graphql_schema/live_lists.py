from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Annotated

import strawberry
from strawberry import UNSET

from core.deadlines import current
from graphql_schema.shared.base import as_output, enumeration, output_type
from graphql_schema.shared.connections import none_if_unset
from graphql_schema.shared.context import Info
from graphql_schema.shared.following import Followed
from graphql_schema.shared.parts import Part
from graphql_schema.shared.prices import Price, listed, priced
from graphql_schema.task_lists import SearchArgument, TaskFilterArgument, TaskOrderArgument, ThenByArgument
from graphql_schema.tasks import SavedViewArgument, Task, query_of, seen_by_view
from services.live_lists import following, models
from services.live_lists.models import LiveChangeOut
from services.shared.prices import of_filter, of_search, of_then_by

enumeration(models.LiveKind, "What a message says of a live list.")


@output_type(LiveChangeOut)
class LiveChange:
    kind: models.LiveKind
    cursor: str
    task_id: int | None
    task: Task | None
    tasks: list[Task] = listed(models.PART)
    complete: bool


_ARGUMENTS: Mapping[str, Callable[[object], int]] = {
    "filter": of_filter,
    "search": of_search,
    "thenBy": lambda given: following.PAGES * of_then_by(given),
}
LiveCursor = Annotated[
    str | None,
    strawberry.argument(
        description="The cursor of a message of the same list: what has changed since. Left out: the list as it is."
    ),
]


@strawberry.type
class LiveListSubscriptions:
    @strawberry.subscription(
        description="A list of tasks that stays right: a snapshot, then each task that enters, changes or leaves. "
        "Filters that depend on the clock are refused.",
        metadata=priced(Price(call=following.PRICE, arguments=_ARGUMENTS)),
    )
    async def live_tasks(
        self,
        info: Info,
        filter: TaskFilterArgument = UNSET,
        search: SearchArgument = UNSET,
        order_by: TaskOrderArgument = UNSET,
        then_by: ThenByArgument = UNSET,
        saved_view_id: SavedViewArgument = UNSET,
        after: LiveCursor = UNSET,
    ) -> AsyncGenerator[LiveChange, None]:
        context = info.context
        asked = query_of(filter, order_by, search, then_by=then_by)
        query = await seen_by_view(info, saved_view_id, asked, pages=following.PAGES)
        told = following.follow(context.database, context.live_lists, context.actor, query, none_if_unset(after))
        async with aclosing(told):
            async for news in told:
                current.get().renew()
                yield as_output(Followed(news))


PART = Part(subscriptions=LiveListSubscriptions)
