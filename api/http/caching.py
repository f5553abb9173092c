"""What is made of a request's path and query alone is made once: clients ask for the same page again and again."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

T = TypeVar("T")

MAX_REMEMBERED, MAX_LENGTH = 200, 500
"""How many results of a function are remembered, and of how long arguments: a request's line may have 64 kB."""


def remembered(function: Callable[..., T]) -> Callable[..., T]:
    """The function, whose results nobody changes, with the last ones kept."""
    known = lru_cache(maxsize=MAX_REMEMBERED)(function)

    @wraps(function)
    def call(*texts: str | bytes) -> T:
        return (known if sum(map(len, texts)) <= MAX_LENGTH else function)(*texts)

    return call
