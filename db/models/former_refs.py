from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class FormerRef(Base):
    """A ref that a task had in a project that it was moved out of: it goes on finding it while that project is there.

    Numbers of a project are given once, so no other task has it.
    """

    __tablename__ = "former_refs"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))

    __table_args__ = (Index(None, "task_id"),)
