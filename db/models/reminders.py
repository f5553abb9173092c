from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Created


class Reminder(Created, Base):
    """That somebody wants to be reminded of a task: at an instant, or so many minutes before it is due."""

    __tablename__ = "reminders"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    remind_at: Mapped[datetime | None]
    before_due: Mapped[int | None]
    """Minutes."""
    next_at: Mapped[datetime | None] = mapped_column()
    """When it is told; null where it was, or has no instant."""
    snoozed_until: Mapped[datetime | None]
    told_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)
    updated_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("(remind_at is null) <> (before_due is null)", name="moment"),
        Index(None, "user_id", "task_id"),
        Index(None, "task_id"),
        Index(None, "next_at", sqlite_where=text("next_at IS NOT NULL"), postgresql_where=text("next_at IS NOT NULL")),
        {"sqlite_autoincrement": True},
    )
