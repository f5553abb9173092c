"""Much at a time: rows found by thousands of values, and ids for rows that are yet to be written."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, cast, column, func, select, table, true
from sqlalchemy.dialects.postgresql import ARRAY, REGCLASS
from sqlalchemy.orm import DeclarativeBase

from db.driver.sessions import AnyRow, AnySelect, Session


async def rows_by_key(
    session: Session, statement: AnySelect, key: ColumnElement[Any], values: Sequence[Any]
) -> Sequence[AnyRow]:
    """The rows of a statement whose key, unique among them, is one of the values, of which there are thousands at most.

    On PostgreSQL an index lookup for each value: before its first ANALYZE of a table that grows by bulk, the planner
    takes it for small and would read all of it.
    """
    if session.dialect == "sqlite":
        return await session.all(statement.where(key.in_(values)))
    wanted = func.unnest(cast(values, ARRAY(key.type))).table_valued(column("key", key.type)).render_derived()
    found = statement.where(key == wanted.c.key).limit(1).lateral()
    return await session.all(select(found).select_from(wanted.join(found, true())))


async def reserve_ids(session: Session, model: type[DeclarativeBase], count: int) -> Sequence[int]:
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
