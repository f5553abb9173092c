"""Which rows came from where, so that nothing is written twice; and how the importers' rows say so in the events.

A row of ``external_ids`` outlives the task or comment it names: what was deleted here on purpose does not come back.
"""

import hashlib
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Literal, TypeVar

from sqlalchemy import delete, insert, select

from db.bulk import rows_by_key
from db.driver.database import Database
from db.driver.sessions import AnyColumn, AnyRow, AnySelect, Session
from db.models import Comment, ExternalId, Task
from db.upserts import insert_or_ignore
from services.events import catalogue, log
from services.shared.actors import Actor
from services.shared.bulk_writing import write_all

Kind = Literal[
    "project", "user", "task", "comment", "described", "awaited_parent", "awaited_link", "link", "refused_link"
]

IMPORTER = Actor("system")
_MAX_ID = 120
_LOOKUP = 2000
PAGE = 500
"""How many of what waits are looked at in a transaction."""
T = TypeVar("T")


def shorten(external_id: str) -> str:
    """An id that fits its column, also as half of a pair (a/b): one that does not, by its digest."""
    if len(external_id) <= _MAX_ID and "/" not in external_id:
        return external_id
    return f"sha256:{hashlib.sha256(external_id.encode()).hexdigest()}"


def imported(
    source: str,
    entity_type: Literal["project", "user", "task", "comment"],
    entity_id: int,
    origin: str,
    *,
    version: int | None = None,
    project_id: int | None = None,
    task_id: int | None = None,
) -> log.NewEvent:
    """The event of something brought in: ``task.imported`` from ``jira:WEB-12``. Nobody is notified of it."""
    return log.NewEvent(
        catalogue.IMPORTED[entity_type],
        entity_id,
        {"source": (None, f"{source}:{origin}")},
        version=version,
        project_id=project_id,
        task_id=task_id,
        notify=False,
    )


async def find(session: Session, source: str, kind: Kind, external_ids: Iterable[str]) -> dict[str, int]:
    """Those of the ids that were brought in before, and as which rows."""
    statement = select(ExternalId.external_id, ExternalId.entity_id).where(
        ExternalId.system == source, ExternalId.kind == kind
    )
    rows = await rows_with(session, statement, ExternalId.external_id.expression, dict.fromkeys(external_ids))
    return {row[0]: row[1] for row in rows}


async def rows_with(
    session: Session, statement: AnySelect, key: AnyColumn, values: Iterable[object]
) -> Sequence[AnyRow]:
    """The rows of a statement whose key, unique among them, is one of the values."""
    rows: list[AnyRow] = []
    for some in batched(values, _LOOKUP):
        rows += await rows_by_key(session, statement, key, some)
    return rows


async def remember(session: Session, source: str, kind: Kind, ids: Mapping[str, int]) -> None:
    """Note rows that were just written. Raises ``IntegrityError`` where somebody else did at the same time."""
    await write_all(session, insert(ExternalId), _rows(source, kind, ids))


async def note(session: Session, source: str, kind: Kind, ids: Mapping[str, int]) -> None:
    """As ``remember``, where it is no matter whether somebody else did so at the same time."""
    await write_all(session, insert_or_ignore(ExternalId), _rows(source, kind, ids))


def _rows(source: str, kind: Kind, ids: Mapping[str, int]) -> list[dict[str, object]]:
    return [
        {"system": source, "kind": kind, "external_id": external_id, "entity_id": entity_id}
        for external_id, entity_id in ids.items()
    ]


async def awaited(
    database: Database, source: str, kind: Kind
) -> AsyncGenerator[tuple[Session, Mapping[str, int]], None]:
    """What waits for something that may be there by now, as tasks by what they wait for: some at a time, each with a
    transaction to see to them in."""
    after = ""
    while True:
        async with database.writing() as session:
            session.takes_long()
            rows = await session.all(
                select(ExternalId.external_id, ExternalId.entity_id)
                .where(ExternalId.system == source, ExternalId.kind == kind, ExternalId.external_id > after)
                .order_by(ExternalId.external_id)
                .limit(PAGE)
            )
            if not rows:
                return
            after = rows[-1].external_id
            yield session, {row.external_id: row.entity_id for row in rows}


async def count_awaited(session: Session, source: str, kind: Kind) -> int:
    """How many tasks wait still."""
    waiting = select(ExternalId.external_id).join(Task, Task.id == ExternalId.entity_id)
    return await session.count(waiting.where(ExternalId.system == source, ExternalId.kind == kind))


async def forget(session: Session, source: str, kind: Kind, external_ids: Iterable[str]) -> None:
    """Drop what is known of some ids: they count as never brought in."""
    for some in batched(external_ids, _LOOKUP):
        await session.execute(
            delete(ExternalId).where(
                ExternalId.system == source, ExternalId.kind == kind, ExternalId.external_id.in_(some)
            )
        )


async def forget_missing(session: Session, source: str, kind: Kind, model: type[Comment | Task]) -> None:
    """Drop what is known of rows that are not there any more."""
    await session.execute(
        delete(ExternalId).where(
            ExternalId.system == source,
            ExternalId.kind == kind,
            ~select(model.id).where(model.id == ExternalId.entity_id).exists(),
        )
    )


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most ``size``."""
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some
