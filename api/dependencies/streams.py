"""Event streams of what a caller follows: each ends with the session or the key that it came by, and for a client that
takes it too slowly."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import ExitStack, aclosing
from typing import TypeVar

from fastapi import Request
from starlette.exceptions import HTTPException

from api.http.accept import allows
from api.problems import from_error
from api.sse import MEDIA_TYPE, Ended, EventStream, event
from api.state import State
from services.authentication import Credentials
from services.events.feed import Batch
from services.shared.actors import Actor
from services.shared.errors import TandemError

T = TypeVar("T")

RETRY_MILLISECONDS = 2_000
"""How soon a client comes again whose stream broke off."""

PIECE = 16 * 1024
"""Bytes from which on a piece of a stream is handed over, and it is asked again whether the rest may be told."""


def require_accepted(request: Request) -> None:
    """Raises a 406 where the client takes no event stream."""
    if not allows(",".join(request.headers.getlist("accept")), MEDIA_TYPE):
        raise HTTPException(406, f"This is an event stream: Accept {MEDIA_TYPE}, or nothing in particular")


def stream(
    request: Request,
    state: State,
    actor: Actor,
    begins_at: str,
    batches: AsyncGenerator[Batch[T]],
    written: Callable[[Sequence[T]], Awaitable[Sequence[bytes]]],
) -> EventStream:
    """What is told, as events: ``written`` makes those of a batch. Raises ``TooManyAtOnce``."""
    credentials = Credentials(request.headers.get("authorization"), request.headers.get("x-api-key"))
    ended: Ended = asyncio.get_running_loop().create_future()

    def end(error: TandemError) -> None:
        if not ended.done():
            ended.set_result(lambda: _refusal(error))

    async def messages() -> AsyncGenerator[bytes]:
        yield b"retry: %d\n: begins at %s\n\n" % (RETRY_MILLISECONDS, begins_at.encode())
        try:
            async with aclosing(batches):
                async for told in batches:
                    async with aclosing(_in_pieces(told, written)) as pieces:
                        async for piece in pieces:
                            # a session that has ended hears nothing more
                            await state.authenticator.still(actor, credentials)
                            yield piece
        except TandemError as error:
            yield _refusal(error)

    with ExitStack() as places:
        places.enter_context(state.connections.connected(actor, on_end=end))
        places.enter_context(state.connections.stream())
        return EventStream(messages(), state.settings.socket_send_seconds, ended=ended, places=places.pop_all())


async def _in_pieces(
    told: Batch[T], written: Callable[[Sequence[T]], Awaitable[Sequence[bytes]]]
) -> AsyncGenerator[bytes]:
    """The events of a batch, many of them in a piece; written again where they became stale before they were taken."""
    while told.items:
        piece = bytearray()
        for index, message in enumerate(await written(told.items)):
            if len(piece) >= PIECE:
                yield bytes(piece)
                piece.clear()
                if told.is_stale:
                    told = await told.again(index)
                    break
            piece += message
        else:
            if piece:
                yield bytes(piece)
            return


def _refusal(error: TandemError) -> bytes:
    """The last message of a stream: why it ends, as a problem document."""
    return event("error", bytes(from_error(error).body))
