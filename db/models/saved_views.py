from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from db.driver.types import Json
from db.models.base import Base, Created


class SavedView(Created, Base):
    """A filter and an order that a person keeps under a name. ``filter`` is REST's JSON form of the filter."""

    __tablename__ = "saved_views"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    filter: Mapped[dict[str, Any]] = mapped_column(Json)
    sort_by: Mapped[str] = mapped_column(String(20))
    order: Mapped[str] = mapped_column(String(4))
    then_by: Mapped[list[str]] = mapped_column(Json, default=list, server_default=text("'[]'"))
    version: Mapped[int] = mapped_column(default=1)
    updated_at: Mapped[datetime]

    __table_args__ = (Index(None, "owner_id", "id"), {"sqlite_autoincrement": True})
