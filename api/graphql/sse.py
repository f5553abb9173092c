"""GraphQL over Server-Sent Events: the "distinct connections" mode of the graphql-sse protocol, a stream an operation.

Only for requests that accept no JSON type: clients name ``text/event-stream`` beside JSON in every request.
"""

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request
from graphql import DocumentNode, GraphQLError, OperationDefinitionNode
from starlette.responses import Response, StreamingResponse

from api.graphql.context import EXECUTOR
from api.state import State
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
_HEADERS = {"Cache-Control": "no-cache, no-store", "X-Accel-Buffering": "no", "Vary": "Accept"}


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
    """The stream of an operation's results."""

    async def outcomes() -> AsyncIterator[Outcome]:
        if operation.operation is not SUBSCRIPTION:
            executed = await EXECUTOR.execute(graphql_request, context, document, operation)
            await executed.write(context.max_answer_bytes)
            yield executed
            return
        credentials = Credentials(request.headers.get("authorization"), request.headers.get("x-api-key"))
        async for outcome in await EXECUTOR.subscribe(graphql_request, context, document, operation):
            await state.authenticator.authenticate(credentials)  # a session that has ended hears nothing more
            yield outcome

    return _stream(outcomes())


def refuse(error: RequestError) -> Response:
    """The stream that says why an operation cannot be executed."""

    async def outcomes() -> AsyncIterator[Outcome]:
        yield error.outcome

    return _stream(outcomes())


def _stream(outcomes: AsyncIterator[Outcome]) -> Response:
    return StreamingResponse(_with_heartbeat(_messages(outcomes)), headers=_HEADERS, media_type=MEDIA_TYPE)


async def _messages(outcomes: AsyncIterator[Outcome]) -> AsyncIterator[bytes]:
    try:
        async for outcome in outcomes:
            yield _next(outcome)
    except RequestError as error:
        yield _next(error.outcome)
    except TandemError as error:
        yield _next(Outcome(errors=[format_error(from_service(error))], executed=False))
    except Exception as error:
        # the response has begun, so nobody else can answer for it
        yield _next(Outcome(errors=[format_error(GraphQLError("", original_error=error))], executed=False))
    yield _COMPLETE


def _next(outcome: Outcome) -> bytes:
    return b"event: next\ndata: %s\n\n" % encode(outcome.body())


async def _following(source: AsyncIterator[bytes]) -> bytes | None:
    """The next message, None at the end (a task cannot raise StopAsyncIteration)."""
    return await anext(source, None)


async def _with_heartbeat(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The stream, with a comment whenever nothing has happened for a while, so that proxies keep it open."""
    waiting: asyncio.Task[bytes | None] | None = None
    try:
        while True:
            waiting = waiting or asyncio.create_task(_following(source))
            done, _ = await asyncio.wait({waiting}, timeout=HEARTBEAT_SECONDS)
            if not done:
                yield b":\n\n"
                continue
            message, waiting = waiting.result(), None
            if message is None:
                return
            yield message
    finally:
        if waiting is not None:
            waiting.cancel()
