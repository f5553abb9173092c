from datetime import datetime

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class LoginFailure(Base):
    """Failed logins in a window: of an account at an address, of an account anywhere (``place`` is empty), of an
    address for any account (``subject`` is empty).

    Both are pseudonyms (``services/allowances/login_failures.py``): no address is stored, and no name that somebody
    typed.
    """

    __tablename__ = "login_failures"

    subject: Mapped[str] = mapped_column(String(32), primary_key=True)
    place: Mapped[str] = mapped_column(String(32), primary_key=True)
    failures: Mapped[int]
    counted_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    told: Mapped[bool] = mapped_column(default=False)

    __table_args__ = (Index(None, "ends_at"),)
