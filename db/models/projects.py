from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Created


class Project(Created, Base):
    """A place for tasks and the people who share it. ``inbox_of_id`` marks a user's personal Inbox."""

    __tablename__ = "projects"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(10))
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str | None] = mapped_column(Text)
    inbox_of_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)
    last_number: Mapped[int] = mapped_column(default=0)
    version: Mapped[int] = mapped_column(default=1)
    updated_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]
    external_of_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    """Who gave it its external id, which is unique among those that this account gave."""
    external_source: Mapped[str | None] = mapped_column(String(50))
    external_id: Mapped[str | None] = mapped_column(String(255))

    __table_args__ = (
        # every Inbox is called INBOX; only its owner sees it, so its refs stay unambiguous
        Index(
            "uq_projects_key",
            "key",
            unique=True,
            sqlite_where=inbox_of_id.is_(None),
            postgresql_where=inbox_of_id.is_(None),
        ),
        Index(
            "uq_projects_external_of_id_external_source_external_id",
            "external_of_id",
            "external_source",
            "external_id",
            unique=True,
            sqlite_where=external_id.is_not(None),
            postgresql_where=external_id.is_not(None),
        ),
        CheckConstraint("last_number >= 0", name="last_number_not_negative"),
        {"sqlite_autoincrement": True},
    )


class Membership(Created, Base):
    """A user's role in a project."""

    __tablename__ = "memberships"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    role: Mapped[str] = mapped_column(String(16))

    __table_args__ = (
        CheckConstraint("role in ('owner', 'admin', 'member', 'viewer')", name="role"),
        Index("uq_memberships_project_id_user_id", "project_id", "user_id", unique=True),
        Index(None, "user_id", "project_id", "role"),
        {"sqlite_autoincrement": True},
    )
