from datetime import datetime

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import now
from db.models.base import Base


class IdempotencyKey(Base):
    """What a caller's call with a key did, written in the transaction of its effect."""

    __tablename__ = "idempotency_keys"

    caller: Mapped[str] = mapped_column(String(40), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    operation: Mapped[str] = mapped_column(String(40))
    fingerprint: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    answer: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (Index(None, "created_at"),)
