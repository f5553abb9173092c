"""INSERT … ON CONFLICT, which both databases write alike: what SQLAlchemy makes for PostgreSQL, it compiles for SQLite.

https://www.sqlite.org/lang_upsert.html has its syntax from PostgreSQL. A test holds the two to the same SQL.
"""

from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.orm import DeclarativeBase


def upsert(model: type[DeclarativeBase]) -> Insert:
    """An INSERT that is yet to be told ``on_conflict_do_update``; ``excluded`` has the values that it was to write."""
    return insert(model)


def insert_or_ignore(model: type[DeclarativeBase]) -> Insert:
    """An INSERT that does nothing where a unique row is already there, even one committed a moment ago."""
    return insert(model).on_conflict_do_nothing()
