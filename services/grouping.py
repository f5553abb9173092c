"""What hangs on many things at once, put together in memory."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar


class _Identified(Protocol):
    @property
    def id(self) -> int: ...


T = TypeVar("T", bound=_Identified)


def attached(
    rows: Iterable[Sequence[Any]], owners: Collection[int], make: Callable[..., T], order: Callable[[T], Any]
) -> Mapping[int, Sequence[T]]:
    """What is attached to each of the owners, in order; of rows of an owner's id, a thing's id and its other columns.

    Each thing is made once, and only those that differ are sorted: the database would sort all of the rows.
    """
    owners_of: dict[int, list[int]] = {}
    things: list[T] = []
    for row in rows:
        if (known := owners_of.get(row[1])) is not None:
            known.append(row[0])
        else:
            owners_of[row[1]] = [row[0]]
            things.append(make(*row[1:]))
    found: dict[int, list[T]] = {owner: [] for owner in owners}
    for thing in sorted(things, key=order):
        for owner in owners_of[thing.id]:
            found[owner].append(thing)
    return found
