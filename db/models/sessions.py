from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Created


class LoginSession(Created, Base):
    """A login: the family of refresh tokens that descend from it (RFC 9700, section 4.14)."""

    __tablename__ = "sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    user_agent: Mapped[str | None] = mapped_column(Text)
    last_used_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    place: Mapped[str | None] = mapped_column(String(32))
    """Where it was begun: a pseudonym of the network, as in ``login_failures``."""

    __table_args__ = (Index(None, "user_id", "place"), {"sqlite_autoincrement": True})


class RefreshToken(Created, Base):
    """One link of a family; only a fingerprint is stored. A spent one that comes back ends its family."""

    __tablename__ = "refresh_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    used_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "session_id"), {"sqlite_autoincrement": True})
