from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Created


class Comment(Created, Base):
    """A remark on a task. ``edited_at`` is set by the first change of its body."""

    __tablename__ = "comments"

    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    author_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    version: Mapped[int] = mapped_column(default=1)
    edited_at: Mapped[datetime | None]
    external_project_id: Mapped[int | None]
    """The task's project, where the comment has an external id, which is unique there."""
    external_source: Mapped[str | None] = mapped_column(String(50))
    external_id: Mapped[str | None] = mapped_column(String(255))
    body: Mapped[str] = mapped_column(Text)

    __table_args__ = (
        Index(
            "uq_comments_external_project_id_external_source_external_id",
            "external_project_id",
            "external_source",
            "external_id",
            unique=True,
            sqlite_where=external_id.is_not(None),
            postgresql_where=external_id.is_not(None),
        ),
        Index(None, "task_id", "created_at", "id"),
        Index(None, "author_id"),
        {"sqlite_autoincrement": True},
    )


class CommentText(Base):
    """What search reads of a comment: its body, case-folded (Unicode), kept by the service. See ``TaskText``."""

    __tablename__ = "comment_texts"

    comment_id: Mapped[int] = mapped_column(ForeignKey("comments.id", ondelete="CASCADE"), primary_key=True)
    folded: Mapped[str] = mapped_column(Text)
    project_id: Mapped[int | None]
