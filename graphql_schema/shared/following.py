"""What subscriptions answer: what is told, many at a time, and what is read of it."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

from core.deadlines import current
from graphql_schema.shared.base import as_output
from services.events.feed import Batch

Read = Callable[[Sequence[Any]], Awaitable[Sequence[object]]]
"""From what is told, whatever it is, to what the subscription's field is for each; None where it is not told."""


class Followed(NamedTuple):
    """Events, or what was made of them, that are told together. The field is these themselves where nothing is read of
    them."""

    told: Batch[object]
    read: Read | None = None


async def as_told(batches: AsyncGenerator[Batch[Any]], read: Read | None = None) -> AsyncGenerator[Any, None]:
    """What a subscription's resolver yields of what a service tells; the request's time begins anew with each batch."""
    async with aclosing(batches):
        async for told in batches:
            current.get().renew()
            yield as_output(Followed(told, read))
