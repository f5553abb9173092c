"""Queues for what many share and one wants alone, in the order of arrival (PostgreSQL's advisory locks).

Locks of rows are granted past whoever waits: FOR KEY SHARE goes on being given to writers while somebody waits for
FOR UPDATE, so that a busy project could not be archived for as long as it is busy. Who takes a place in a queue before
he locks rows is let by in his turn. SQLite has one queue for all who write.
"""

from typing import Any

from sqlalchemy import func, literal_column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from db.driver.sessions import AnySelect, Session
from db.driver.statements import Prepared

ALL = -1
"""The number that everybody shares."""
MOST = 32
"""Places that a statement takes: PostgreSQL's table of locks is small, and everybody's."""
_SPACE = 0x54414E44
"""The first half of the locks' keys: others on the server use others."""


class _Queued(FunctionElement[bool]):
    inherit_cache = True

    def __init__(self, numbers: AnySelect) -> None:
        # found before they are ordered (OFFSET 0): for the first few in an order the planner would walk an index of it
        found = numbers.offset(literal_column("0")).correlate(None)
        super().__init__(found.scalar_subquery())


class shared(_Queued):
    """True once ``ALL`` and the numbers that a SELECT finds are shared, for a statement that locks rows.

    They are taken in ascending order before the first row is, and held until the transaction ends. Of more than
    ``MOST``, the others are left out: what comes of it is a question of turns, not of what is right.
    """

    inherit_cache = True


class alone(_Queued):
    """As ``shared``, but nobody else has the numbers that are found."""

    inherit_cache = True


async def lock(session: Session, key: int) -> None:
    """Wait until nobody else has a key, and have it until the transaction ends."""
    if session.dialect == "postgresql":
        await session.execute(select(func.pg_advisory_xact_lock(key)))


async def try_lock(session: Session, key: int) -> bool:
    """As ``lock``, where nobody else has the key; whether that is so."""
    return session.dialect != "postgresql" or bool(await session.scalar(select(func.pg_try_advisory_xact_lock(key))))


async def wait_for_all(session: Session) -> None:
    """Have ``ALL`` alone: everybody who shares anything has gone, and nobody comes until the transaction ends."""
    if session.dialect == "postgresql":
        await session.execute(_ALL_ALONE())


_ALL_ALONE: Prepared[Any] = Prepared(select(func.pg_advisory_xact_lock(_SPACE, ALL)))


@compiles(shared, "postgresql")
def _shared(element: shared, compiler: SQLCompiler, **options: Any) -> str:
    return _taking("pg_advisory_xact_lock_shared", element, compiler, options)


@compiles(alone, "postgresql")
def _alone(element: alone, compiler: SQLCompiler, **options: Any) -> str:
    return _taking("pg_advisory_xact_lock", element, compiler, options)


def _taking(lock: str, element: _Queued, compiler: SQLCompiler, options: Any) -> str:
    [clause] = element.clauses
    found = compiler.process(clause, **options)
    # for each number in turn: ALL, which all but the first have then, and the number
    locks = f"count(pg_advisory_xact_lock_shared({_SPACE}, {ALL})) + count({lock}({_SPACE}, n))"
    queue = f"SELECT n FROM {found} AS found(n) ORDER BY 1 LIMIT {MOST}"  # noqa: S608 - of what the compiler rendered
    return f"(SELECT {locks} FROM ({queue}) AS queue) >= 0"  # noqa: S608


@compiles(_Queued, "sqlite")
@compiles(shared, "sqlite")
@compiles(alone, "sqlite")
def _nothing(_element: _Queued, _compiler: SQLCompiler, **_options: Any) -> str:
    return "1 = 1"
