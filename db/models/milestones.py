from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Created


class Milestone(Created, Base):
    """A goal of one project, which its tasks may name. ``name_folded`` is unique in the project, as that of tags is."""

    __tablename__ = "milestones"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    # three characters at most come of one; byte order on both databases
    name_folded: Mapped[str] = mapped_column(String(300).with_variant(String(300, collation="C"), "postgresql"))
    state: Mapped[str] = mapped_column(String(8), default="open")
    due_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)
    updated_at: Mapped[datetime]
    description: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        CheckConstraint("state in ('open', 'closed')", name="state"),
        Index("uq_milestones_project_id_name_folded", "project_id", "name_folded", unique=True),
        {"sqlite_autoincrement": True},
    )
