from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Created


class Relation(Created, Base):
    """How one task relates to another: stored once, seen from both ends.

    ``relates_to`` has no direction: its source is the task with the smaller id.
    """

    __tablename__ = "relations"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    source_id: Mapped[int] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    target_id: Mapped[int] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))

    __table_args__ = (
        CheckConstraint("kind in ('blocks', 'relates_to', 'duplicates')", name="kind"),
        CheckConstraint("source_id <> target_id", name="two_tasks"),
        Index("uq_relations_source_id_target_id_kind", "source_id", "target_id", "kind", unique=True),
        Index(None, "target_id", "id"),
        Index(None, "created_by_id"),
        {"sqlite_autoincrement": True},
    )
