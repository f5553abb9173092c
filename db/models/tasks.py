from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Created
from db.models.milestones import Milestone

OPEN_STATUSES = ("pending", "in_progress")
_LIVE = "deleted_at IS NULL"


def _live(name: str, *, columns: tuple[str, ...] = (), where: str = _LIVE) -> Index:
    """Each project's tasks that are not in the trash, in an order: what lists read."""
    order = columns or (("id",) if name == "id" else (name, "id"))
    return Index(f"ix_tasks_live_{name}", "project_id", *order, sqlite_where=text(where), postgresql_where=text(where))


def _open(name: str) -> Index:
    """Of these, the ones that are open: few, in a tracker of some years, and most of what people ask for."""
    where = text(f"{_LIVE} AND status IN ({', '.join(map(repr, OPEN_STATUSES))})")
    return Index(f"ix_tasks_open_{name}", "project_id", name, "id", sqlite_where=where, postgresql_where=where)


class Task(Created, Base):
    """A task. ``number`` counts within its project and, with the project's key, makes the ref ``WEB-12``.

    ``start_all_day`` and ``due_all_day`` are true where the instant stands for a day, and else null
    (``services.tasks.dates``). ``completed_at`` has a value where the status is completed, and nowhere else: lists read
    by it which tasks are.
    """

    __tablename__ = "tasks"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    number: Mapped[int]
    status: Mapped[str] = mapped_column(String(16), default="pending")
    priority: Mapped[int] = mapped_column(SmallInteger, default=1)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("tasks.id", ondelete="SET NULL"))
    milestone_id: Mapped[int | None] = mapped_column(ForeignKey(Milestone.id, ondelete="SET NULL"))
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    external_source: Mapped[str | None] = mapped_column(String(50))
    external_id: Mapped[str | None] = mapped_column(String(255))
    version: Mapped[int] = mapped_column(default=1)
    start_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None] = mapped_column()
    # byte order on both databases: SQLite's BINARY is PostgreSQL's C
    title: Mapped[str] = mapped_column(Text().with_variant(Text(collation="C"), "postgresql"))
    # last: SQLite walks a long text's overflow pages to reach the columns behind it
    description: Mapped[str | None] = mapped_column(Text)
    # which are in the head of SQLite's row alone
    start_all_day: Mapped[bool | None]
    due_all_day: Mapped[bool | None]
    recurs: Mapped[bool | None]
    """Whether there is a row of ``recurrences`` for it; null where not, as for most."""

    __table_args__ = (
        CheckConstraint("status in ('pending', 'in_progress', 'completed', 'cancelled')", name="status"),
        CheckConstraint("priority between 1 and 5", name="priority"),
        Index("uq_tasks_project_id_number", "project_id", "number", unique=True),
        *(_live(name) for name in ("created_at", "updated_at", "due_at", "priority", "title", "id")),
        # a new task has neither, as a rule; those without are read by their ids
        *(_live(name, where=f"{_LIVE} AND {name} IS NOT NULL") for name in ("start_at", "completed_at")),
        *(_open(name) for name in ("created_at", "updated_at", "due_at", "priority", "title")),
        Index(None, "parent_id"),
        Index(
            None,
            "milestone_id",
            sqlite_where=milestone_id.is_not(None),
            postgresql_where=milestone_id.is_not(None),
        ),
        Index(None, "created_by_id"),
        Index(
            "uq_tasks_project_id_external_source_external_id",
            "project_id",
            "external_source",
            "external_id",
            unique=True,
            sqlite_where=external_id.is_not(None),
            postgresql_where=external_id.is_not(None),
        ),
        # few, as a rule, that lie anywhere in any order
        _live("cancelled", columns=("id",), where=f"{_LIVE} AND status = 'cancelled'"),
        _live("recurring", columns=("id",), where=f"{_LIVE} AND recurs IS NOT NULL"),
        Index(
            "ix_tasks_trash",
            "project_id",
            "deleted_at",
            sqlite_where=deleted_at.is_not(None),
            postgresql_where=deleted_at.is_not(None),
        ),
        {"sqlite_autoincrement": True},
    )


OF_PROJECT: Mapping[str, Any] = {"milestone_id": Milestone}
"""Columns of tasks that name something of the task's own project, with its model: that it is, services see to."""


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
