from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.dependencies.auth import CurrentActor
from api.dependencies.sessions import ReadSession
from api.dependencies.state import AppState
from api.dependencies.streams import require_accepted, stream
from api.http.cache_control import Kind, answers
from api.http.route import StrictRoute
from api.http.serializers import serializer_for
from api.routes.task_parameters import NONE, Id, parse_filter
from api.sse import MEDIA_TYPE, event
from core.deadlines import current
from core.json_texts import encode
from services import changes
from services.changes import DEFAULT_LIMIT, MAX_CURSOR, MAX_LIMIT, MAX_WAIT, ChangesOut, ChangesWithRows
from services.events.happenings import Happening
from services.events.interests import MAX_KINDS, Interest, interest_in
from services.events.rows import HappeningWithRows, Included, include

router = APIRouter(route_class=StrictRoute, tags=["changes"])

EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stream of events: of each, the id is its cursor, the event its kind, the data a Happening.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    }
}
_serialize = serializer_for(HappeningWithRows)
_AFTER = "A cursor of the feed: what happened after it. 0 is the beginning, now where the feed ends."


class InterestQuery(BaseModel):
    """What is asked for; all that is said must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: list[str] = Field(
        NONE,
        max_length=MAX_KINDS,
        description="Of this kind, e.g. task.updated; may repeat.",
        examples=[["task.updated"]],
    )
    project_id: Id | None = Field(None, description="In this project. Who may not read it (any more) is told 404.")
    task_id: Id | None = Field(None, description="Of this task and what hangs on it. 404 as for the project.")
    filter: str | None = Field(
        None,
        description="Of tasks that meet this as it is told, and of what hangs on them: a condition in the filter "
        "language, as JSON, the same object as GraphQL's filter.",
        examples=['{"assignees": {"me": true}}'],
    )
    include: list[Included] = Field(
        NONE,
        max_length=len(Included),
        description="Things to read along, as they are now; each costs one statement for all changes. May repeat.",
    )

    @property
    def interest(self) -> Interest:
        """The same in the service's terms. Raises ``BadUserInput``, ``TooExpensive``."""
        condition = None if self.filter is None else parse_filter(self.filter)
        return interest_in(self.kind, self.project_id, self.task_id, condition)


class ChangesQuery(InterestQuery):
    """Where to go on, and how far."""

    after: str | None = Field(None, max_length=MAX_CURSOR, description=f"{_AFTER} Left out, it is the beginning.")
    limit: int = Field(DEFAULT_LIMIT, ge=0, le=MAX_LIMIT, description="How many at most.")
    wait: int = Field(
        0,
        ge=0,
        le=MAX_WAIT,
        description="Where there is nothing to tell: how many seconds to wait until there is (long polling).",
    )


@router.get("/changes", response_model=ChangesOut, response_model_exclude_unset=True)
async def list_changes(
    query: Annotated[ChangesQuery, Query()], actor: CurrentActor, state: AppState, session: ReadSession
) -> ChangesWithRows:
    """What happened after a cursor, in order, as far as the caller may be told now."""
    page = await changes.wait(
        state.database, state.feed, state.connections, actor, query.after, query.limit, query.interest, query.wait
    )
    rows = await include(session, actor, page.changes, query.include)
    return ChangesWithRows(rows, page.cursor, page.has_more)


class StreamQuery(InterestQuery):
    """Where to go on."""

    after: str | None = Field(None, max_length=MAX_CURSOR, description=f"{_AFTER} Left out, it is now.")


LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        max_length=MAX_CURSOR,
        description="Where a stream that broke off goes on; it comes before ``after``.",
    ),
]


# no response_class: what has none is written as JSON, and this is no such
@router.get("/events", response_model=None, responses=EVENTS)
@answers(Kind.STREAM)
async def follow_changes(
    query: Annotated[StreamQuery, Query()],
    request: Request,
    state: AppState,
    actor: CurrentActor,
    last_event_id: LastEventId = None,
) -> Response:
    """What happens after a cursor, or from now on, as it happens: a stream of server-sent events, whose ids are
    cursors. It ends within a second of the session or the key that it came by."""
    require_accepted(request)
    after = query.after if last_event_id is None else last_event_id
    interest = query.interest
    # what is wrong is said before the stream begins
    session = state.database.reads
    start = (await changes.read(session, actor, changes.NOW if after is None else after, 0, interest)).cursor

    async def written(items: Sequence[Happening]) -> list[bytes]:
        current.get().renew()
        rows = await include(session, actor, items, query.include)
        return [
            event(item.kind, encode(_serialize(row)), id=item.cursor) for item, row in zip(items, rows, strict=True)
        ]

    followed = changes.follow(state.database, state.feed, actor, start, interest)
    return stream(request, state, actor, start, followed, written)
