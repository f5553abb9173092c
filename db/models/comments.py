from datetime import datetime

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Created
from db.types import UtcDateTime


class Comment(Created, Base):
    """A remark on a task. ``edited_at`` is set by the first change of its body."""

    __tablename__ = "comments"

    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    author_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    version: Mapped[int] = mapped_column(default=1)
    edited_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    body: Mapped[str] = mapped_column(Text)

    __table_args__ = (
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
