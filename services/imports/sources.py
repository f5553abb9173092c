"""Which rows came from where, so that nothing is written twice; and how the importers' rows say so in the events.

A row of ``external_ids`` outlives the task or comment it names: what was deleted here on purpose does not come back.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, TypeVar

from sqlalchemy import ColumnElement, cast, column, delete, func, insert, select, table, true
from sqlalchemy.dialects.postgresql import ARRAY, REGCLASS

from db.engine import insert_or_ignore
from db.models import Comment, ExternalId, Tag, Task, User
from db.sessions import AnyRow, AnySelect, Session
from services import events
from services.actors import Actor

Kind = Literal[
    "project", "user", "task", "comment", "described", "awaited_parent", "awaited_link", "link", "refused_link"
]

IMPORTER = Actor("system")
_MAX_ID = 120
_LOOKUP = 2000
T = TypeVar("T")


def shorten(external_id: str) -> str:
    """An id that fits its column, also as half of a pair (a/b): one that does not, by its digest."""
    if len(external_id) <= _MAX_ID and "/" not in external_id:
        return external_id
    return f"sha256:{hashlib.sha256(external_id.encode()).hexdigest()}"


def imported(
    source: str,
    entity_type: str,
    entity_id: int,
    origin: str,
    *,
    version: int | None = None,
    project_id: int | None = None,
    task_id: int | None = None,
) -> events.NewEvent:
    """The event of something brought in: ``task.imported`` from ``jira:WEB-12``. Nobody is notified of it."""
    return events.NewEvent(
        f"{entity_type}.imported",
        entity_type,
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
    session: Session, statement: AnySelect, key: ColumnElement[Any], values: Iterable[Any]
) -> Sequence[AnyRow]:
    """The rows of a statement whose key, unique among them, is one of the values.

    On PostgreSQL an index lookup for each value: before its first ANALYZE of a table that grows by bulk, the planner
    takes it for small and would read all of it.
    """
    rows: list[AnyRow] = []
    for some in batched(values, _LOOKUP):
        if session.dialect == "postgresql":
            wanted = func.unnest(cast(some, ARRAY(key.type))).table_valued(column("key", key.type)).render_derived()
            found = statement.where(key == wanted.c.key).limit(1).lateral()
            rows += await session.all(select(found).select_from(wanted.join(found, true())))
        else:
            rows += await session.all(statement.where(key.in_(some)))
    return rows


async def remember(session: Session, source: str, kind: Kind, ids: Mapping[str, int]) -> None:
    """Note rows that were just written. Raises ``IntegrityError`` where somebody else did at the same time."""
    if ids:
        await session.execute(
            insert(ExternalId),
            [
                {"system": source, "kind": kind, "external_id": external_id, "entity_id": entity_id}
                for external_id, entity_id in ids.items()
            ],
        )


async def note(session: Session, source: str, kind: Kind, ids: Mapping[str, int]) -> None:
    """As ``remember``, where it is no matter whether somebody else did so at the same time."""
    if ids:
        await session.execute(
            insert_or_ignore(session, ExternalId),
            [
                {"system": source, "kind": kind, "external_id": external_id, "entity_id": entity_id}
                for external_id, entity_id in ids.items()
            ],
        )


async def forget(session: Session, source: str, kind: Kind, external_ids: Iterable[str]) -> None:
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


async def reserve(session: Session, model: type[Comment | Tag | Task | User], count: int) -> Sequence[int]:
    """Ids for new rows, ascending, which nobody else gets: rows that refer to each other can then be written in bulk.

    PostgreSQL hands them out of the table's own sequence. On SQLite a writer is alone, and rows with given ids move
    the table's counter (AUTOINCREMENT) by themselves.
    """
    if not count:
        return []
    name = str(model.__tablename__)
    if session.dialect == "postgresql":
        sequence = cast(func.pg_get_serial_sequence(name, "id"), REGCLASS)
        series = func.generate_series(1, count).table_valued("n")
        return sorted(await session.scalars(select(func.nextval(sequence)).select_from(series)))
    counters = table("sqlite_sequence", column("name"), column("seq"))
    last = await session.scalar(select(counters.c.seq).where(counters.c.name == name)) or 0
    return range(last + 1, last + count + 1)


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most ``size``."""
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some
