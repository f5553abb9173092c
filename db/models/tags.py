from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Created


class Tag(Created, Base):
    """A label of one project. ``name_folded`` (Unicode case folding) keeps Android and ANDROID one tag."""

    __tablename__ = "tags"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(50))
    # three characters at most come of one; byte order on both databases
    name_folded: Mapped[str] = mapped_column(String(150).with_variant(String(150, collation="C"), "postgresql"))
    color: Mapped[str | None] = mapped_column(String(7))

    __table_args__ = (
        Index("uq_tags_project_id_name_folded", "project_id", "name_folded", unique=True),
        {"sqlite_autoincrement": True},
    )


class TaskTag(Base):
    __tablename__ = "task_tags"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)
    tag_id: Mapped[int] = mapped_column(ForeignKey("tags.id", ondelete="CASCADE"), primary_key=True)

    __table_args__ = (Index(None, "tag_id", "task_id"),)
