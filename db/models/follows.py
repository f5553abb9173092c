from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Created


class TaskFollow(Created, Base):
    """That somebody said whether he follows a task. It comes before what follows from what he did."""

    __tablename__ = "task_follows"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    following: Mapped[bool]

    __table_args__ = (Index(None, "user_id", "task_id"),)


class ProjectFollow(Created, Base):
    """That somebody follows all tasks of a project."""

    __tablename__ = "project_follows"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)

    __table_args__ = (Index(None, "user_id", "project_id"),)
