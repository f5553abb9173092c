"""Streams of what a service tells as it happens (server-sent events), for as long as the caller may hear of it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import ExitStack, aclosing
from typing import Any, TypeVar

from fastapi import Request

from api.problems import from_error
from api.sse import MEDIA_TYPE, Ended, EventStream, event
from api.state import State
from core.deadlines import current
from services.authentication import Credentials
from services.events.feed import Batch, one_by_one
from services.shared.actors import Actor
from services.shared.errors import TandemError

T = TypeVar("T")

RETRY_MILLISECONDS = 2_000
"""How soon a client comes again whose stream broke off."""


def responses(data: str) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says of a stream; ``data`` is a sentence's end on its events."""
    text = f"A stream of events: of each, {data}."
    return {200: {"description": text, "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}}


def live(
    request: Request,
    state: State,
    actor: Actor,
    start: str,
    batches: AsyncGenerator[Batch[T]],
    write: Callable[[Sequence[T]], Awaitable[Sequence[bytes]]],
) -> EventStream:
    """A stream of what comes in ``batches``, as ``write`` writes it. It begins at ``start``, which it says, and ends
    within a second of the session or the key that the caller came by. Raises ``TooManyAtOnce``."""
    credentials = Credentials(request.headers.get("authorization"), request.headers.get("x-api-key"))
    ended: Ended = asyncio.get_running_loop().create_future()

    def end(error: TandemError) -> None:
        if not ended.done():
            ended.set_result(lambda: _refusal(error))

    async def written(items: Sequence[T]) -> Sequence[bytes]:
        current.get().renew()
        return await write(items)

    async def messages() -> AsyncGenerator[bytes]:
        yield b"retry: %d\n: begins at %s\n\n" % (RETRY_MILLISECONDS, start.encode())
        try:
            async with aclosing(batches):
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
