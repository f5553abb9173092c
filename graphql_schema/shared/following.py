"""What subscriptions answer: events as they are told, many at a time, and what is read of them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from services.events.feed import Batch

Read = Callable[[Sequence[Any]], Awaitable[Sequence[object]]]
"""From what is told, whatever it is, to what the subscription's field is for each; None where it is not told."""


class Followed(NamedTuple):
    """Events, or what was made of them, that are told together. The field is these themselves where nothing is read of
    them."""

    told: Batch[object]
    read: Read | None = None
