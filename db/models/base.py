"""The declarative base, naming conventions and columns that many tables share."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.clock import now
from db.driver.types import UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Base(DeclarativeBase):
    """The base of every table. Rows are read and written with statements; see docs/decisions."""

    metadata = metadata
    # whatever a model says of a datetime: SQLAlchemy's own type would store it without its offset
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcDateTime}


class Created:
    """A table whose rows remember when they were made."""

    created_at: Mapped[datetime] = mapped_column(default=now)
