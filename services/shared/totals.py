"""How many rows a list has in all: exact up to a bound, and beyond it where that is asked for.

Counting a million rows takes a database half a second, and whoever reads "more than 10,000" has no use for the rest.
"""

from typing import NamedTuple

from db.driver.sessions import AnySelect, Session

MAX_COUNTED = 10_000
"""How far rows are counted unless the exact number is asked for."""


class Total(NamedTuple):
    """How many rows there are. Where that is not exact, there are more than ``number``, which is ``MAX_COUNTED``."""

    number: int
    exact: bool


def total(found: int, *, exact: bool) -> Total:
    """The total of so many rows that were found, where counting may have ended beyond ``MAX_COUNTED`` unless ``exact``
    was asked for."""
    return Total(found, True) if exact or found <= MAX_COUNTED else Total(MAX_COUNTED, False)


async def total_of(session: Session, statement: AnySelect, *, exact: bool) -> Total:
    """How many rows a statement would answer; all of them are counted where ``exact`` is asked for."""
    counted = statement if exact else statement.limit(MAX_COUNTED + 1)
    return total(await session.count(counted), exact=exact)
