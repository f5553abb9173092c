from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Created

_WAITING = text("state = 'waiting'")
_FINISHED = text("finished_at IS NOT NULL")
_OF_A_DAY = text("day IS NOT NULL")


class Mail(Created, Base):
    """A message to a person, as it was written once: whatever becomes of workers, its text and its id stay the same."""

    __tablename__ = "mails"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(8))
    day: Mapped[str | None] = mapped_column(String(10))
    """The day of the person's calendar that a digest is of: one a day."""
    message_id: Mapped[str] = mapped_column(String(300))
    subject: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    """Empty once it was sent, or given up."""
    state: Mapped[str] = mapped_column(String(8), default="waiting")
    tries: Mapped[int] = mapped_column(SmallInteger, default=0)
    next_attempt_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("kind in ('notices', 'digest')", name="kind"),
        CheckConstraint("state in ('waiting', 'sent', 'failed')", name="state"),
        Index("ix_mails_user_id_created_at", "user_id", "created_at"),
        Index("ix_mails_waiting", "user_id", "id", sqlite_where=_WAITING, postgresql_where=_WAITING),
        Index("ix_mails_finished_at", "finished_at", sqlite_where=_FINISHED, postgresql_where=_FINISHED),
        Index(
            "uq_mails_user_id_day", "user_id", "day", unique=True, sqlite_where=_OF_A_DAY, postgresql_where=_OF_A_DAY
        ),
        {"sqlite_autoincrement": True},
    )


class MailNotice(Base):
    """That a notification is to be told by mail, in the next message to the person; it is named by its event."""

    __tablename__ = "mail_notices"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    event_id: Mapped[str] = mapped_column(String(36), primary_key=True)
