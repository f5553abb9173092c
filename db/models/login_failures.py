from datetime import datetime

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base
from db.types import UtcDateTime


class LoginFailure(Base):
    """Failed logins in a window: of an account at an address, of an account anywhere (``place`` is empty), of an
    address for any account (``subject`` is empty).

    Both are pseudonyms (``services.login_failures``): no address, and no name that somebody typed, is stored.
    """

    __tablename__ = "login_failures"

    subject: Mapped[str] = mapped_column(String(32), primary_key=True)
    place: Mapped[str] = mapped_column(String(32), primary_key=True)
    failures: Mapped[int]
    counted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime)
    told: Mapped[bool] = mapped_column(default=False)

    __table_args__ = (Index(None, "ends_at"),)
