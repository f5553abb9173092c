from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from db.driver.types import BigId, Json
from db.models.base import Base


class Event(Base):
    """One change, written in the change's own transaction, never altered but for its ``position``.

    ``id`` is the order of writing inside a transaction, not of commits: transactions commit out of order, so a reader
    that remembers the highest id loses events. Readers that follow the feed go by ``position``, which is given
    after commit by one worker at a time and is null until then. There are no foreign keys: events outlive what
    they tell of.
    """

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    event_id: Mapped[str] = mapped_column(String(36), unique=True)
    position: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    occurred_at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(40))
    entity_type: Mapped[str] = mapped_column(String(20))
    entity_id: Mapped[int]
    entity_version: Mapped[int | None]
    project_id: Mapped[int | None]
    task_id: Mapped[int | None]
    actor_id: Mapped[int | None]
    actor_method: Mapped[str] = mapped_column(String(16))
    request_id: Mapped[str | None] = mapped_column(String(128))
    notify: Mapped[bool] = mapped_column(default=True)
    changes: Mapped[dict[str, Any]] = mapped_column(Json)
    account_id: Mapped[int | None]
    """The account whose security it concerns, which may read it."""

    __table_args__ = (
        Index(None, "task_id", "id"),
        Index(
            "ix_events_relations",
            "entity_id",
            sqlite_where=text("entity_type = 'relation'"),
            postgresql_where=text("entity_type = 'relation'"),
        ),
        Index(
            "ix_events_account_id",
            "account_id",
            "id",
            sqlite_where=text("account_id IS NOT NULL"),
            postgresql_where=text("account_id IS NOT NULL"),
        ),
        Index("ix_events_waiting", "id", sqlite_where=position.is_(None), postgresql_where=position.is_(None)),
        {"sqlite_autoincrement": True},
    )
