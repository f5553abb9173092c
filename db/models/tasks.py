from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Created
from db.types import UtcDateTime


def _live(name: str) -> Index:
    """Each project's tasks that are not in the trash, in an order: what lists read."""
    live = text("deleted_at IS NULL")
    return Index(f"ix_tasks_live_{name}", "project_id", name, "id", sqlite_where=live, postgresql_where=live)


class Task(Created, Base):
    """A task. ``number`` counts within its project and, with the project's key, makes the ref ``WEB-12``."""

    __tablename__ = "tasks"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    number: Mapped[int]
    status: Mapped[str] = mapped_column(String(16), default="pending")
    priority: Mapped[int] = mapped_column(SmallInteger, default=1)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("tasks.id", ondelete="SET NULL"))
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    version: Mapped[int] = mapped_column(default=1)
    start_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    completed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # byte order on both databases: SQLite's BINARY is PostgreSQL's C
    title: Mapped[str] = mapped_column(Text().with_variant(Text(collation="C"), "postgresql"))
    # last: SQLite walks a long text's overflow pages to reach the columns behind it
    description: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        CheckConstraint("status in ('pending', 'in_progress', 'completed', 'cancelled')", name="status"),
        CheckConstraint("priority between 1 and 5", name="priority"),
        Index("uq_tasks_project_id_number", "project_id", "number", unique=True),
        *(_live(name) for name in ("created_at", "updated_at", "due_at", "priority")),
        Index(None, "parent_id"),
        Index(None, "created_by_id"),
        Index(
            "ix_tasks_trash",
            "project_id",
            "deleted_at",
            sqlite_where=deleted_at.is_not(None),
            postgresql_where=deleted_at.is_not(None),
        ),
        {"sqlite_autoincrement": True},
    )


class TaskAssignee(Base):
    __tablename__ = "task_assignees"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)

    __table_args__ = (Index(None, "user_id", "task_id"),)


class TaskText(Base):
    """What search reads of a task: title and description, case-folded (Unicode), kept by the service.

    A table of its own keeps the rows that lists read short. ``project_id`` is the task's, for the index of texts: the
    database sets it where it is not given, and changes it with the task's (triggers of migration 0008).
    """

    __tablename__ = "task_texts"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)
    folded: Mapped[str] = mapped_column(Text)
    project_id: Mapped[int | None]
