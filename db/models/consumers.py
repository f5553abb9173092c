from datetime import datetime

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class EventConsumer(Base):
    """How far somebody who follows the feed for the server has come: its name, and the position it has read.

    The cursor moves in the transaction of what the consumer writes. The one called ``retention`` is where the feed
    begins: what stands before it may be gone.
    """

    __tablename__ = "event_consumers"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[datetime]
