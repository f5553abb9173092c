from datetime import datetime

from sqlalchemy import ForeignKey, Index, SmallInteger, String, text
from sqlalchemy.orm import Mapped, mapped_column

from db.driver.types import Json
from db.models.base import Base


class NotificationPreferences(Base):
    """What somebody wants to be told of; whoever has no row, of everything."""

    __tablename__ = "notification_preferences"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    muted_kinds: Mapped[list[str]] = mapped_column(Json)
    muted_project_ids: Mapped[list[int]] = mapped_column(Json)
    mailed_kinds: Mapped[list[str]] = mapped_column(Json, default=list, server_default=text("'[]'"))
    digest: Mapped[str] = mapped_column(String(8), default="off", server_default="off")
    digest_hour: Mapped[int] = mapped_column(SmallInteger, default=7, server_default="7")
    digest_at: Mapped[datetime | None] = mapped_column()
    """When the next digest is made; null where none is."""
    digested_at: Mapped[datetime | None]
    """Since when a digest tells what is new."""
    version: Mapped[int] = mapped_column(default=1)
    updated_at: Mapped[datetime]

    __table_args__ = (
        Index(
            None,
            "digest_at",
            sqlite_where=text("digest_at IS NOT NULL"),
            postgresql_where=text("digest_at IS NOT NULL"),
        ),
    )
