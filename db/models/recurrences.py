from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class Recurrence(Base):
    """A series of tasks: one row, however many tasks it has had, at the one that recurs now.

    It goes on to the next task as that is made: a series has one place, so there is one next task, whoever makes it.
    ``tasks.recurs`` says of a task that there is a row. ``occurrence`` is where the rule puts the task, as clocks in
    ``timezone`` show it; ``next_at`` is when the next task is to be made, of series whose tasks the worker makes.
    """

    __tablename__ = "recurrences"

    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    rule: Mapped[str] = mapped_column(String(500))
    timezone: Mapped[str] = mapped_column(String(64))
    repeat_from: Mapped[str] = mapped_column(String(16))
    create_next: Mapped[str] = mapped_column(String(16))
    number: Mapped[int]
    occurrence: Mapped[str] = mapped_column(String(32))
    next_at: Mapped[datetime | None] = mapped_column()

    __table_args__ = (
        Index("uq_recurrences_task_id", "task_id", unique=True),
        Index(
            "ix_recurrences_next_at",
            "next_at",
            sqlite_where=next_at.is_not(None),
            postgresql_where=next_at.is_not(None),
        ),
        {"sqlite_autoincrement": True},
    )
