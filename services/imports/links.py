"""The last pass: links between issues, once both are there, be it by a later import.

They are noted in ``external_ids`` (kind ``awaited_link``, as ``kind/source/target``), so a run that was cut off leaves
nothing behind that the next one does not find.
"""

from collections.abc import Sequence

from sqlalchemy import func, select

from db.engine import Database
from db.models import ExternalId, Task
from db.sessions import Session
from services.errors import Conflict
from services.imports import sources, tasks
from services.imports.summary import Summary
from services.relations import RelationKind, relate

PAGE = 500


async def link(database: Database, source: str, summary: Summary) -> None:
    """Relate the issues that are there by now; the summary counts them."""
    after = ""
    while True:
        async with database.writing() as session:
            session.takes_long()
            noted = await session.scalars(
                select(ExternalId.external_id)
                .where(ExternalId.system == source, ExternalId.kind == "awaited_link", ExternalId.external_id > after)
                .order_by(ExternalId.external_id)
                .limit(PAGE)
            )
            if not noted:
                break
            after = noted[-1]
            await _link_page(session, source, noted, summary)
    async with database.reading() as session:
        summary.links_missing = await _missing(session, source)


async def _missing(session: Session, source: str) -> int:
    return int(
        await session.scalar(
            select(func.count())
            .select_from(ExternalId)
            .join(Task, Task.id == ExternalId.entity_id)
            .where(ExternalId.system == source, ExternalId.kind == "awaited_link")
        )
    )


async def _link_page(session: Session, source: str, noted: Sequence[str], summary: Summary) -> None:
    found = await tasks.find(session, source, (end for key in noted for end in key.split("/")[1:]))
    done = []
    for key in noted:
        kind, *ends = key.split("/")
        if any(end not in found for end in ends):
            continue  # it may come with a later import
        done.append(key)
        near, far = (found[end] for end in ends)
        if near is None or far is None:
            continue  # deleted here
        if kind == RelationKind.RELATES_TO and far.id < near.id:
            near, far = far, near
        try:
            made = await relate(session, sources.IMPORTER, RelationKind(kind), near, far, notify=False)
        except Conflict:
            summary.links_refused += 1
        else:
            summary.links += made is not None
            summary.links_known += made is None
    await sources.forget(session, source, "awaited_link", done)
