from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, false
from sqlalchemy.orm import Mapped, mapped_column

from db.driver.types import Json
from db.models.base import Base, Created


class ApiKey(Created, Base):
    """A credential for servers. The secret is shown once; a prefix and a fingerprint stay."""

    __tablename__ = "api_keys"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    prefix: Mapped[str] = mapped_column(String(16))
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    former_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    """The fingerprint of the secret before this one, which works until ``former_until``."""
    former_until: Mapped[datetime | None]
    scopes: Mapped[list[str]] = mapped_column(Json)
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    limited: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether it is for the projects of its ``ApiKeyProject`` alone, of which there may be none left."""

    __table_args__ = ({"sqlite_autoincrement": True},)


class ApiKeyProject(Base):
    """A project that a limited key is for."""

    __tablename__ = "api_key_projects"

    api_key_id: Mapped[int] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"), primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)

    __table_args__ = (Index(None, "project_id"),)
