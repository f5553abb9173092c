"""Links between tasks: noted with them, and made by the last pass, or a later import, once both ends are there.

The notes stand in ``external_ids``, as ``kind/source/target``: ``awaited_link`` until both tasks are there, then
``link``, or ``refused_link`` where a circle would have closed. So a run that was cut off leaves nothing behind that the
next one does not find, and a second run knows what became of each.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import aclosing
from typing import NamedTuple

from sqlalchemy import select

from db.driver.database import Database
from db.driver.sessions import Session
from db.models import Relation
from services.relations import RelationKind, relate
from services.shared.errors import Conflict
from services.transfers import projects, sources, task_rows
from services.transfers.summary import Summary
from services.transfers.task_rows import KnownTask


class Recalled(NamedTuple):
    """What became of links that earlier runs met."""

    known: int = 0
    refused: int = 0
    unmade: int = 0
    """Links between tasks that were both there, which no run had met: what is there is not touched."""


async def expect(session: Session, source: str, keys: Mapping[str, int]) -> None:
    """Note the links of new tasks, by what both tasks call them. Either side may: whichever comes last has both."""
    for kind in ("awaited_link", "link", "refused_link"):
        await sources.forget(session, source, kind, keys)
    await sources.remember(session, source, "awaited_link", keys)


async def recall(session: Session, source: str, named: Mapping[str, KnownTask | None]) -> Recalled:
    """Look up the links of tasks that were there before, with the tasks that name them (None for a deleted one).

    A link whose other task has never been here is noted like that of a new one.
    """
    linked = await sources.find(session, source, "link", named)
    refused = await sources.find(session, source, "refused_link", named.keys() - linked)
    others = named.keys() - linked.keys() - refused.keys()
    others -= (await sources.find(session, source, "awaited_link", others)).keys()
    ends = await task_rows.find(session, source, (end for key in others for end in _ends(key)))
    known, expected = len(linked), {}
    pairs: list[tuple[str, int, int]] = []
    for key in others:
        kind, *both = key.split("/")
        near, (source_task, target_task) = named[key], (ends.get(end) for end in both)
        if near is not None and any(end not in ends for end in both):
            expected[key] = near.id
        elif near is None or source_task is None or target_task is None:
            known += 1  # deleted here
        else:
            pairs.append((kind, source_task.id, target_task.id))
    await sources.note(session, source, "awaited_link", expected)
    related = await _count_related(session, pairs)
    return Recalled(known + related, len(refused), len(pairs) - related)


async def link(database: Database, source: str, summary: Summary) -> None:
    """Relate the tasks that are there by now; the summary counts them."""
    async with aclosing(sources.awaited(database, source, "awaited_link")) as pages:
        async for session, noted in pages:
            await _link_page(session, source, noted, summary)
    async with database.reading() as session:
        missing = await sources.count_awaited(session, source, "awaited_link")
    summary.links_missing = missing - summary.links_archived


def _ends(key: str) -> list[str]:
    return key.split("/")[1:]


async def _count_related(session: Session, pairs: Collection[tuple[str, int, int]]) -> int:
    """How many of the tasks (kind, source, target) are related so."""
    wanted = {_stored(*pair) for pair in pairs}
    found = 0
    for some in sources.batched({pair[1] for pair in wanted}, sources.PAGE):
        rows = await session.all(
            select(Relation.kind, Relation.source_id, Relation.target_id).where(Relation.source_id.in_(some))
        )
        found += len({(row[0], row[1], row[2]) for row in rows} & wanted)
    return found


def _stored(kind: str, near: int, far: int) -> tuple[str, int, int]:
    """``relates_to`` has no direction: it is stored from the task with the lower id."""
    return (kind, far, near) if kind == RelationKind.RELATES_TO and far < near else (kind, near, far)


async def _link_page(session: Session, source: str, noted: Collection[str], summary: Summary) -> None:
    found = await task_rows.find(session, source, (end for key in noted for end in _ends(key)))
    archived = await projects.archived(session, {task.project_id for task in found.values() if task is not None})
    done: list[str] = []
    refused: list[str] = []
    for key in noted:
        kind, *ends = key.split("/")
        if any(end not in found for end in ends):
            continue  # it may come with a later import
        near, far = (found[end] for end in ends)
        if near is None or far is None:
            done.append(key)  # deleted here
            summary.links_known += 1
            continue
        if archived & {near.project_id, far.project_id}:
            summary.links_archived += 1
            continue
        if kind == RelationKind.RELATES_TO and far.id < near.id:
            near, far = far, near
        try:
            made = await relate(session, sources.IMPORTER, RelationKind(kind), near, far, notify=False)
        except Conflict:
            refused.append(key)
            summary.links_refused += 1
        else:
            done.append(key)
            summary.links += made is not None
            summary.links_known += made is None
    await _move(session, source, done, "link")
    await _move(session, source, refused, "refused_link")


async def _move(session: Session, source: str, keys: Iterable[str], kind: sources.Kind) -> None:
    """From the links that are awaited to those that were seen to."""
    ids = await sources.find(session, source, "awaited_link", keys)
    await sources.forget(session, source, "awaited_link", ids)
    await sources.note(session, source, kind, ids)
