"""GraphQL over Server-Sent Events: the "distinct connections" mode of the graphql-sse protocol, a stream an operation.

Only for requests that accept no JSON type: clients name ``text/event-stream`` beside JSON in every request.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, aclosing, suppress
from typing import Any

from fastapi import Request
from graphql import DocumentNode, GraphQLError, OperationDefinitionNode
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from api.caching import CREDENTIALS
from api.graphql.context import EXECUTOR
from api.state import State
from api.transports import abort, bound_silence
from core.answers import encode
from graphql_schema.context import Context
from graphql_schema.errors import format_error, from_service
from graphql_schema.execution import SUBSCRIPTION
from graphql_schema.outcomes import GraphQLRequest, Outcome, RequestError
from services.authentication import Credentials
from services.errors import TandemError

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_SECONDS = 12.0
_COMPLETE = b"event: complete\ndata: \n\n"
# proxies must neither keep an answer back nor keep it
_HEADERS = {"Cache-Control": "no-cache, no-store", "X-Accel-Buffering": "no", "Vary": f"Accept, {CREDENTIALS}"}


def accepted(accept: str) -> bool:
    """Whether a request names event streams."""
    return any(part.partition(";")[0].strip().lower() == MEDIA_TYPE for part in accept.split(","))


def respond(
    request: Request,
    state: State,
    graphql_request: GraphQLRequest,
    context: Context,
    document: DocumentNode,
    operation: OperationDefinitionNode,
) -> Response:
    """The stream of an operation's results. Raises ``TandemError`` where a subscription may not begin.

    A subscription ends within a second of the session or the key that it came by, with an error that says so.
    """
    seconds = state.settings.socket_send_seconds
    if operation.operation is not SUBSCRIPTION:

        async def outcome() -> AsyncGenerator[Outcome]:
            executed = await EXECUTOR.execute(graphql_request, context, document, operation)
            await executed.write(context.max_answer_bytes)
            yield executed

        return EventStream(_messages(outcome()), seconds)
    credentials = Credentials(request.headers.get("authorization"), request.headers.get("x-api-key"))
    ended: asyncio.Future[TandemError] = asyncio.get_running_loop().create_future()

    def end(error: TandemError) -> None:
        if not ended.done():
            ended.set_result(error)

    async def outcomes() -> AsyncGenerator[Outcome]:
        results = await EXECUTOR.subscribe(graphql_request, context, document, operation)
        async with aclosing(results):
            async for outcome in results:
                # a session that has ended hears nothing more
                context.actor = await state.authenticator.authenticate(credentials)
                yield outcome

    with ExitStack() as places:
        ends_at = state.authenticator.ends_at(credentials)
        places.enter_context(state.connections.connected(context.actor, ends_at=ends_at, on_end=end))
        places.enter_context(state.connections.operation(context.actor))
        places.enter_context(state.connections.stream())
        return EventStream(_messages(outcomes()), seconds, ended=ended, places=places.pop_all())


def refuse(error: RequestError, seconds: float) -> Response:
    """The stream that says why an operation cannot be executed."""

    async def outcomes() -> AsyncGenerator[Outcome]:
        yield error.outcome

    return EventStream(_messages(outcomes()), seconds)


class EventStream(StreamingResponse):
    """An event stream that waits no longer than so many ``seconds`` for its client to read: then the connection is
    broken off. ``places`` are given back when it is over."""

    def __init__(
        self,
        messages: AsyncGenerator[bytes],
        seconds: float,
        *,
        ended: "asyncio.Future[TandemError] | None" = None,
        places: ExitStack | None = None,
    ) -> None:
        self._events = _with_heartbeat(messages, ended)
        super().__init__(self._events, headers=_HEADERS, media_type=MEDIA_TYPE)
        self._seconds = seconds
        self._places = places or ExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        bound_silence(scope, self._seconds)

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self._seconds):
                await send(message)

        try:
            with self._places:
                await super().__call__(scope, receive, send_in_time)
        except TimeoutError:
            abort(scope)
            with suppress(TimeoutError):
                # until the server knows it, too: it would complain of an answer without an end
                async with asyncio.timeout(1):
                    while (await receive())["type"] != "http.disconnect":
                        pass

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._events):
            await super().stream_response(send)


async def _messages(outcomes: AsyncGenerator[Outcome]) -> AsyncGenerator[bytes]:
    try:
        async with aclosing(outcomes):
            async for outcome in outcomes:
                yield _next(outcome)
    except RequestError as error:
        yield _next(error.outcome)
    except TandemError as error:
        yield _refused(error)
    except Exception as error:
        # the response has begun, so nobody else can answer for it
        yield _next(Outcome(errors=[format_error(GraphQLError("", original_error=error))], executed=False))
    yield _COMPLETE


def _next(outcome: Outcome) -> bytes:
    return b"event: next\ndata: %s\n\n" % encode(outcome.body())


def _refused(error: TandemError) -> bytes:
    return _next(Outcome(errors=[format_error(from_service(error))], executed=False))


async def _following(source: AsyncIterator[bytes]) -> bytes | None:
    """The next message, None at the end (a task cannot raise StopAsyncIteration)."""
    return await anext(source, None)


async def _with_heartbeat(
    source: AsyncGenerator[bytes], ended: "asyncio.Future[TandemError] | None" = None
) -> AsyncGenerator[bytes]:
    """The stream, with a comment whenever nothing has happened for a while, so that proxies keep it open; to its end,
    or until there is an error that it ended with."""
    waiting: asyncio.Task[bytes | None] | None = None
    try:
        while True:
            waiting = waiting or asyncio.create_task(_following(source))
            both: set[asyncio.Future[Any]] = {waiting} if ended is None else {waiting, ended}
            await asyncio.wait(both, timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if ended is not None and ended.done():
                yield _refused(ended.result())
                yield _COMPLETE
                return
            if not waiting.done():
                yield b":\n\n"
                continue
            message, waiting = waiting.result(), None
            if message is None:
                return
            yield message
    finally:
        if waiting is not None and not waiting.done():
            waiting.cancel()  # which ends the source, too
        else:
            await source.aclose()
