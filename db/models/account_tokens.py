from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Created


class AccountToken(Created, Base):
    """Works once, and not for long: for a new password, to verify an address, or to register. Only a fingerprint is
    stored."""

    __tablename__ = "account_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    purpose: Mapped[str] = mapped_column(String(16))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    """Whose password may be set; none for an invitation."""
    email: Mapped[str | None] = mapped_column(String(254))
    """The address that is verified; who is invited, where that is said."""
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("purpose in ('password', 'invitation', 'email')", name="purpose"),
        Index(None, "user_id"),
        Index(None, "expires_at"),
        {"sqlite_autoincrement": True},
    )
