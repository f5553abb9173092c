"""GraphQL over Server-Sent Events: the "distinct connections" mode of the graphql-sse protocol, a stream an operation.

Only for requests that accept no JSON type: clients name ``text/event-stream`` beside JSON in every request.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing

from fastapi import Request
from graphql import GraphQLError
from starlette.responses import Response

from api.http.cache_control import CREDENTIALS
from api.sse import Ended, EventStream, event
from api.state import State
from core.json_texts import encode
from graphql_schema.execution.errors import format_error, from_service
from graphql_schema.execution.executor import SUBSCRIPTION
from graphql_schema.execution.outcomes import Outcome, RequestError
from graphql_schema.execution.preparing import PreparedOperation
from graphql_schema.shared.context import Context
from services.authentication import Credentials
from services.shared.errors import TandemError

_COMPLETE = event("complete", b"")
_VARIED = {"Vary": f"Accept, {CREDENTIALS}"}


def respond(request: Request, state: State, prepared: PreparedOperation, context: Context) -> Response:
    """The stream of an operation's results. Raises ``TandemError`` where a subscription may not begin.

    A subscription ends within a second of the session or the key that it came by, with an error that says so.
    """
    seconds = state.settings.socket_send_seconds
    if prepared.operation.operation is not SUBSCRIPTION:

        async def outcome() -> AsyncGenerator[Outcome]:
            executed = await state.executor.execute(prepared, context)
            await executed.write(context.max_answer_bytes)
            yield state.executor.priced(prepared, executed)

        return EventStream(_messages(outcome()), seconds, headers=_VARIED)
    credentials = Credentials(request.headers.get("authorization"), request.headers.get("x-api-key"))
    ended: Ended = asyncio.get_running_loop().create_future()

    def end(error: TandemError) -> None:
        if not ended.done():
            ended.set_result(lambda: _refused(error) + _COMPLETE)

    async def outcomes() -> AsyncGenerator[Outcome]:
        results = await state.executor.subscribe(prepared, context)
        async with aclosing(results):
            async for outcome in results:
                # a session that has ended hears nothing more
                context.actor = await state.authenticator.still(context.actor, credentials)
                yield state.executor.priced(prepared, outcome)

    with ExitStack() as places:
        places.enter_context(state.connections.connected(context.actor, on_end=end))
        places.enter_context(state.connections.operation(context.actor))
        places.enter_context(state.connections.stream())
        return EventStream(_messages(outcomes()), seconds, headers=_VARIED, ended=ended, places=places.pop_all())


def refuse(error: RequestError, seconds: float) -> Response:
    """The stream that says why an operation cannot be executed."""

    async def outcomes() -> AsyncGenerator[Outcome]:
        yield error.outcome

    return EventStream(_messages(outcomes()), seconds, headers=_VARIED)


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
    return event("next", encode(outcome.body()))


def _refused(error: TandemError) -> bytes:
    return _next(Outcome(errors=[format_error(from_service(error))], executed=False))
