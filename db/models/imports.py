from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class ExternalId(Base):
    """Where an imported row came from, so that a second run of the import finds it and changes nothing."""

    __tablename__ = "external_ids"

    system: Mapped[str] = mapped_column(String(50), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    external_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    entity_id: Mapped[int]

    __table_args__ = (Index(None, "kind", "entity_id"),)
