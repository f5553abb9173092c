"""Column types that store the same value on both databases."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import JSON, TypeDecorator, TypeEngine

BigId = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit key. SQLite numbers rows by itself only for the exact type INTEGER, which is 64-bit there."""

Json = JSON().with_variant(JSONB(), "postgresql")
JsonOrNull = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""For a column that may hold nothing: None is SQL's NULL there, and not JSON's."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant in UTC, to the microsecond.

    ``timestamptz`` on PostgreSQL. On SQLite a text of fixed width (``2026-01-31T12:00:00.000000Z``), which sorts and
    compares as the instants do. Naive datetimes raise ``ValueError``: they were to be refused at the door.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(27))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if dialect.name == "sqlite":
            return self.bind_text(value)
        if value is not None and value.tzinfo is None:
            raise ValueError("naive datetime")
        return None if value is None else value.astimezone(UTC)

    def bind_text(self, value: datetime | None) -> str | None:
        """What SQLite is given."""
        if value is None:
            return None
        if value.tzinfo is not UTC:
            if value.tzinfo is None:
                raise ValueError("naive datetime")
            value = value.astimezone(UTC)
        return to_text(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        # as it stands, without the decorator's wrapping: a page of tasks has hundreds of instants
        return _from_text if dialect.name == "sqlite" else None


def _from_text(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def to_text(moment: datetime) -> str:
    """The text that SQLite stores for an instant already in UTC."""
    return moment.isoformat(timespec="microseconds")[:26] + "Z"
