"""Webhooks and their deliveries as they are read."""

from datetime import datetime
from typing import Any, NamedTuple

from db.models import Webhook, WebhookDelivery
from services.shared import node_ids
from services.webhooks.models import WebhookContent


class WebhookRecord(NamedTuple):
    """A webhook as it is read. Where its secret was just made, ``salt`` is what that is derived of, which may be kept,
    and ``secret`` is there once it is to be shown (``services.webhooks.commands.shown``)."""

    id: int
    name: str
    url: str
    project_id: int | None
    raw_kinds: list[str]
    content: str
    state: str
    disabled_reason: str | None
    former_until: datetime | None
    failures: int
    held_until: datetime | None
    last_delivered_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime
    filter: dict[str, object] | None = None
    document: str | None = None
    salt: str = ""
    secret: str = ""

    @property
    def node_id(self) -> str:
        return node_ids.encode("Webhook", self.id)

    @property
    def kinds(self) -> list[str] | None:
        return self.raw_kinds or None


def content_of(stored: str, document: str | None) -> str:
    """What a webhook is sent: what its document selects, if it has one."""
    return stored if document is None else WebhookContent.DOCUMENT.value


class Attempt(NamedTuple):
    """One attempt, as it is read."""

    at: datetime
    url: str
    address: str | None
    status: int | None
    error: str | None
    answer: str
    seconds: float


class WebhookDeliveryRecord(NamedTuple):
    """A delivery as it is read; ``raw_attempts`` as JSON has them."""

    id: int
    webhook_id: int
    event_id: str
    kind: str
    state: str
    raw_attempts: list[dict[str, Any]]
    next_attempt_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    payload: str | None

    @property
    def node_id(self) -> str:
        return node_ids.encode("WebhookDelivery", self.id)

    @property
    def attempts(self) -> list[Attempt]:
        return [Attempt(**(one | {"at": datetime.fromisoformat(one["at"])})) for one in self.raw_attempts]


COLUMNS = (
    *(Webhook.id, Webhook.name, Webhook.url, Webhook.project_id, Webhook.kinds.label("raw_kinds"), Webhook.content),
    *(Webhook.state, Webhook.disabled_reason, Webhook.former_until, Webhook.failures, Webhook.held_until),
    *(Webhook.last_delivered_at, Webhook.version, Webhook.created_at, Webhook.updated_at),
    *(Webhook.filter, Webhook.document),
)
DELIVERY_COLUMNS = tuple(
    getattr(WebhookDelivery, {"raw_attempts": "attempts"}.get(name, name)) for name in WebhookDeliveryRecord._fields
)
