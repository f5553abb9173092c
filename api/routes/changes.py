import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import ExitStack, aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.dependencies.auth import CurrentActor
from api.dependencies.sessions import ReadSession
from api.dependencies.state import AppState
from api.http.accept import allows
from api.http.cache_control import Kind, answers
from api.http.route import StrictRoute
from api.http.serializers import serializer_for
from api.problems import from_error
from api.routes.task_parameters import NONE, Id, parse_filter
from api.sse import MEDIA_TYPE, Ended, EventStream, event
from api.state import State
from core.deadlines import current
from core.json_texts import encode
from services import changes
from services.authentication import Credentials
from services.changes import DEFAULT_LIMIT, MAX_CURSOR, MAX_LIMIT, MAX_WAIT, ChangesOut, ChangesWithRows
from services.events.feed import one_by_one
from services.events.happenings import Happening
from services.events.interests import MAX_KINDS, Interest, interest_in
from services.events.rows import HappeningWithRows, Included, include
from services.shared.actors import Actor
from services.shared.errors import TandemError

router = APIRouter(route_class=StrictRoute, tags=["changes"])

RETRY_MILLISECONDS = 2_000
"""How soon a client comes again whose stream broke off."""
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
    if not allows(",".join(request.headers.getlist("accept")), MEDIA_TYPE):
        raise HTTPException(406, f"This is an event stream: Accept {MEDIA_TYPE}, or nothing in particular")
    after = query.after if last_event_id is None else last_event_id
    interest = query.interest
    # what is wrong is said before the stream begins
    session = state.database.reads
    start = (await changes.read(session, actor, changes.NOW if after is None else after, 0, interest)).cursor
    return _stream(request, state, actor, start, interest, query.include)


def _stream(
    request: Request, state: State, actor: Actor, start: str, interest: Interest, included: Collection[Included]
) -> EventStream:
    credentials = Credentials(request.headers.get("authorization"), request.headers.get("x-api-key"))
    ended: Ended = asyncio.get_running_loop().create_future()

    def end(error: TandemError) -> None:
        if not ended.done():
            ended.set_result(lambda: _refusal(error))

    async def written(items: Sequence[Happening]) -> list[bytes]:
        current.get().renew()
        rows = await include(state.database.reads, actor, items, included)
        return [
            event(item.kind, encode(_serialize(row)), id=item.cursor) for item, row in zip(items, rows, strict=True)
        ]

    async def messages() -> AsyncGenerator[bytes]:
        yield b"retry: %d\n: begins at %s\n\n" % (RETRY_MILLISECONDS, start.encode())
        try:
            async with aclosing(changes.follow(state.database, state.feed, actor, start, interest)) as batches:
                async for told in batches:
                    async with aclosing(one_by_one(told, written)) as events:
                        async for message in events:
                            # a session that has ended hears nothing more
                            await state.authenticator.still(actor, credentials)
                            yield message
        except TandemError as error:
            yield _refusal(error)

    with ExitStack() as places:
        places.enter_context(state.connections.connected(actor, on_end=end))
        places.enter_context(state.connections.stream())
        return EventStream(messages(), state.settings.socket_send_seconds, ended=ended, places=places.pop_all())


def _refusal(error: TandemError) -> bytes:
    """The last message of a stream: why it ends, as a problem document."""
    return event("error", bytes(from_error(error).body))
