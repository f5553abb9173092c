"""What hangs on many things at once, put together in memory."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from db.driver.sessions import AnyRow
from services.shared.pagination import Identified

T = TypeVar("T", bound=Identified)


def group_by_parent(
    rows: Iterable[AnyRow | tuple[Any, ...]],
    parents: Collection[int],
    make: Callable[..., T],
    order: Callable[[T], int | tuple[str, int]],
) -> Mapping[int, Sequence[T]]:
    """What is held by each of the parents, in order; of rows of an parent's id, a thing's id and its other columns.

    Each thing is made once, and only those that differ are sorted: the database would sort all of the rows.
    """
    parents_of: dict[int, list[int]] = {}
    things: list[T] = []
    for row in rows:
        if (known := parents_of.get(row[1])) is not None:
            known.append(row[0])
        else:
            parents_of[row[1]] = [row[0]]
            things.append(make(*row[1:]))
    found: dict[int, list[T]] = {parent: [] for parent in parents}
    for thing in sorted(things, key=order):
        for parent in parents_of[thing.id]:
            found[parent].append(thing)
    return found
