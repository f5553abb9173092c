from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import cached_property
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from pydantic import Field
from starlette.responses import Response

from api.dependencies.auth import CurrentActor
from api.dependencies.state import AppState
from api.dependencies.streams import require_accepted, stream
from api.http.cache_control import Kind, answers
from api.http.route import StrictRoute
from api.http.serializers import serializer_for
from api.routes.task_parameters import TaskConditionQuery, TaskOrderQuery
from api.sse import MEDIA_TYPE, event
from core.deadlines import current
from core.json_texts import encode
from services.live_lists import following
from services.live_lists.followers import News
from services.live_lists.following import MAX_CURSOR, PAGES, PRICE
from services.live_lists.models import LiveChange, LiveChangeOut
from services.tasks.query import TaskQuery

router = APIRouter(route_class=StrictRoute, prefix="/tasks", tags=["live lists"])

MESSAGES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stream of events: of each, the id is its cursor, the event its kind, the data a LiveChange.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    }
}
_serialize = serializer_for(LiveChangeOut)


class LiveListQuery(TaskOrderQuery, TaskConditionQuery):
    """Which tasks, in which order, and where to go on. Filters that depend on the clock are refused."""

    _pages = PAGES

    after: str | None = Field(
        None,
        max_length=MAX_CURSOR,
        description="The cursor of a message of the same list: what has changed since. Left out: the list as it is.",
    )

    def price(self, filtering: int) -> int:
        """The snapshot, and the filter."""
        return PRICE + PAGES * self.sorting + filtering

    @cached_property
    def in_service_terms(self) -> TaskQuery:
        """As for those outside of the trash, in the order asked for."""
        return self.ordered(self._filter())


async def _from(first: News, rest: AsyncGenerator[News]) -> AsyncGenerator[News]:
    async with aclosing(rest):
        yield first
        async for news in rest:
            yield news


# no response_class: what has none is written as JSON, and this is no such
@router.get("/live", response_model=None, responses=MESSAGES)
@answers(Kind.STREAM)
async def follow_live_list(
    query: Annotated[LiveListQuery, Query()],
    request: Request,
    state: AppState,
    actor: CurrentActor,
    last_event_id: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            max_length=MAX_CURSOR,
            description="Where a stream that broke off goes on; it comes before ``after``.",
        ),
    ] = None,
) -> Response:
    """A list of tasks that stays right: a snapshot, then each task that enters, changes or leaves, as a stream of
    server-sent events whose ids are cursors. It ends within a second of the session or the key that it came by."""
    require_accepted(request)
    after = query.after if last_event_id is None else last_event_id
    asked = await query.resolve(state.database.reads, actor)
    told = following.follow(state.database, state.live_lists, actor, asked, after)
    # what is wrong is said before the stream begins
    first = await anext(told)

    async def written(items: Sequence[LiveChange]) -> list[bytes]:
        current.get().renew()
        return [event(item.kind.value, encode(_serialize(item)), id=item.cursor) for item in items]

    return stream(request, state, actor, after or "0", _from(first, told), written)
