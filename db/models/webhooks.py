from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from db.driver.types import BigId, Json, JsonOrNull
from db.models.base import Base, Created

_WAITING = text("state = 'waiting'")
_OF_WAITING = {
    "waiting": ("webhook_id", "order_key", "id"),
    "first": ("webhook_id", "id"),
    "due": ("webhook_id", "next_attempt_at"),
}


class Webhook(Created, Base):
    """An address that is told of what its owner may know: of all projects, or of one."""

    __tablename__ = "webhooks"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    url: Mapped[str] = mapped_column(String(2000))
    kinds: Mapped[list[str]] = mapped_column(Json)
    """Those it is told of; all where it names none."""
    content: Mapped[str] = mapped_column(String(8))
    """What it is sent where it has no ``document``."""
    filter: Mapped[dict[str, Any] | None] = mapped_column(JsonOrNull)
    """Which tasks it is told of, in REST's spelling; all where there is none."""
    document: Mapped[str | None] = mapped_column(Text)
    """A GraphQL document: what it selects is sent."""
    state: Mapped[str] = mapped_column(String(8), default="active")
    disabled_reason: Mapped[str | None] = mapped_column(String(16))
    salt: Mapped[str] = mapped_column(String(32))
    """What its secret is derived from, with the server's ``SECRET_KEY``: secrets are stored nowhere."""
    former_salt: Mapped[str | None] = mapped_column(String(32))
    former_until: Mapped[datetime | None]
    since: Mapped[int] = mapped_column(BigInteger)
    """It is told of events behind this position of the feed."""
    failures: Mapped[int] = mapped_column(default=0)
    """How often in a row nothing could be delivered."""
    held_until: Mapped[datetime | None]
    """Nothing is tried before: it asked so (``Retry-After``), or has failed."""
    last_delivered_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)
    updated_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("content in ('thin', 'full')", name="content"),
        CheckConstraint("state in ('active', 'paused', 'disabled')", name="state"),
        {"sqlite_autoincrement": True},
    )


class WebhookTask(Base):
    """A task that meets the filter of a webhook, as far as the webhook knows: that it does so no more is told once.

    Tasks that are gone for good may stay: nothing more happens to them.
    """

    __tablename__ = "webhook_tasks"

    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class WebhookDelivery(Created, Base):
    """One event that one webhook is to be told of, and what came of it.

    Those of one ``order_key`` (a task's, mostly) are told one after another, in the order of ``id``.
    """

    __tablename__ = "webhook_deliveries"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event_row_id: Mapped[int | None] = mapped_column(BigInteger)
    """The event's ``id``; null for a test."""
    event_id: Mapped[str] = mapped_column(String(36))
    kind: Mapped[str] = mapped_column(String(40))
    order_key: Mapped[str] = mapped_column(String(40))
    matches: Mapped[bool | None]
    """Whether the task met the filter when the event was passed on; null without one, and where it was not known."""
    state: Mapped[str] = mapped_column(String(10), default="waiting")
    tries: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None]
    payload: Mapped[str | None] = mapped_column(Text)
    """What is sent, as it was made before it was first tried."""
    attempts: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list)
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("state in ('waiting', 'delivered', 'failed', 'withheld')", name="state"),
        Index("ix_webhook_deliveries_webhook_id", "webhook_id", "id"),
        Index("ix_webhook_deliveries_created_at", "created_at"),
        *(
            # those that wait: by what is told in order, in the order they came, and by when they are due
            Index(f"ix_webhook_deliveries_{name}", *columns, sqlite_where=_WAITING, postgresql_where=_WAITING)
            for name, columns in _OF_WAITING.items()
        ),
        {"sqlite_autoincrement": True},
    )
