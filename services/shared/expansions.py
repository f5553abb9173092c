"""What is read along with the rows of a list, each relation in one statement for the whole page."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from db.driver.sessions import Session
from services.shared.actors import Actor

Load = Callable[[Session, Actor, Collection[int]], Awaitable[Mapping[int, object]]]
"""Reads things by their ids, as far as the caller may read them."""


class Expanded(NamedTuple):
    """A record, and what was read along with it."""

    record: object
    extra: Mapping[str, object]


class Along(NamedTuple):
    """How a relation of a list's rows is read along: by the ids in the attribute ``by`` of the rows."""

    load: Load
    by: str = "id"


async def expand(
    session: Session, actor: Actor, rows: Sequence[Any], names: Collection[str], relations: Mapping[str, Along]
) -> Sequence[Any]:
    """The rows with the relations that are named; one that the caller may not read is null."""
    wanted = sorted(set(names))
    if not wanted or not rows:
        return rows
    extra: list[dict[str, object]] = [{} for _ in rows]
    for name in wanted:
        load, by = relations[name]
        ids = [*map(attrgetter(by), rows)]
        found = await load(session, actor, {id_ for id_ in ids if id_ is not None})
        for each, id_ in zip(extra, ids, strict=True):
            each[name] = found.get(id_)
    return [Expanded(row, each) for row, each in zip(rows, extra, strict=True)]
