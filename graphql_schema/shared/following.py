"""What subscriptions answer: events as they are told, many at a time, and what is read of them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from services.events.feed import Told
from services.events.happenings import Happening

Read = Callable[[Sequence[Happening]], Awaitable[Sequence[object]]]
"""From events to what the subscription's field is for each of them; None where it is not told."""


class Followed(NamedTuple):
    """Events that are told together. The field is the events themselves where nothing is read of them."""

    told: Told
    read: Read | None = None
