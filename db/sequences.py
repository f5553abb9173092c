"""The ids that a table has given, of which the rows may be there no more."""

from sqlalchemy import bindparam, column, func, literal_column, select, table
from sqlalchemy.dialects.postgresql import REGCLASS

from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.models.base import Base

_GIVEN = table("sqlite_sequence", column("name"), column("seq"))
_ON_SQLITE = Prepared(select(_GIVEN.c.seq).where(_GIVEN.c.name == bindparam("name")))
_ON_POSTGRESQL = Prepared(
    select(
        func.pg_sequence_last_value(
            func.pg_get_serial_sequence(bindparam("name"), literal_column("'id'")).cast(REGCLASS)
        )
    )
)


async def last_given(session: Session, model: type[Base]) -> int:
    """The highest id that the table has given, those of transactions under way included; 0 where it has given none. On
    SQLite the table has to be declared with ``sqlite_autoincrement``: others give ids anew."""
    statement = _ON_SQLITE if session.dialect == "sqlite" else _ON_POSTGRESQL
    return await session.scalar(statement(name=model.__tablename__)) or 0
