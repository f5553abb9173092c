from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Created


class Notification(Created, Base):
    """That something happened which concerns somebody: an event, for one of those whom it concerns.

    It has no foreign keys but the person's: it outlives what it tells of, as events do.
    """

    __tablename__ = "notifications"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    event_id: Mapped[str] = mapped_column(String(36))
    kind: Mapped[str] = mapped_column(String(20))
    actor_id: Mapped[int | None]
    project_id: Mapped[int | None]
    task_id: Mapped[int | None]
    comment_id: Mapped[int | None]
    read_at: Mapped[datetime | None]
    snoozed_until: Mapped[datetime | None] = mapped_column()
    """When it is told again; until then it is no part of what is listed and counted."""

    __table_args__ = (
        Index(
            None,
            "snoozed_until",
            sqlite_where=text("snoozed_until IS NOT NULL"),
            postgresql_where=text("snoozed_until IS NOT NULL"),
        ),
        Index("uq_notifications_user_id_event_id", "user_id", "event_id", unique=True),
        Index(None, "user_id", "id"),
        {"sqlite_autoincrement": True},
    )


class DueNotice(Base):
    """For which date it was told that a task will be due soon, and that it is overdue: of another one, that is told
    anew."""

    __tablename__ = "due_notices"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)
    due_soon_for: Mapped[datetime | None]
    overdue_for: Mapped[datetime | None]
