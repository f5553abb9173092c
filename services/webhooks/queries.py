"""Reading webhooks: each is its owner's, and there for nobody else."""

from collections.abc import Sequence

from sqlalchemy import false, select

from core.clock import now
from db.driver.sessions import AnySelect, Session
from db.models import Webhook
from services.shared.actors import Actor, Scope
from services.shared.errors import Expected, NotFound, require_version
from services.shared.filters import Column, FewTexts, Filtering
from services.shared.pagination import Ordering, SortKey
from services.shared.reading import ListReader
from services.webhooks.models import WebhookFilter
from services.webhooks.records import COLUMNS, WebhookRecord, content_of

JOB = "webhook"
"""The kind of the jobs that tell webhooks, by their ids."""


def make(row: Sequence[object]) -> WebhookRecord:
    """The record of a row, of which what has ended is left out."""
    webhook = WebhookRecord._make((*row, "", ""))
    moment = now()
    if webhook.document is not None:
        webhook = webhook._replace(content=content_of(webhook.content, webhook.document))
    if webhook.former_until is not None and webhook.former_until <= moment:
        webhook = webhook._replace(former_until=None)
    if webhook.held_until is not None and webhook.held_until <= moment:
        webhook = webhook._replace(held_until=None)
    return webhook


NEWEST_FIRST = Ordering(SortKey("id", Webhook.id, Webhook.id, kind="integer"), descending=True)


def visible(actor: Actor) -> AnySelect:
    """The caller's webhooks; none for a key that is limited to some projects, for they are not."""
    statement = select(*COLUMNS).where(Webhook.owner_id == actor.user_id)
    return statement if actor.limited_by is None else statement.where(false())


_READER = ListReader(
    "Webhook",
    visible,
    make,
    NEWEST_FIRST,
    filtering=Filtering(
        WebhookFilter,
        {
            "name": FewTexts(Webhook.id, Webhook.name),
            "state": Column(Webhook.state),
            "created_at": Column(Webhook.created_at),
            "updated_at": Column(Webhook.updated_at),
        },
    ),
)
get, by_ids, list_, count = _READER.get, _READER.by_ids, _READER.list_, _READER.count


async def lock(session: Session, actor: Actor, webhook_id: int, expected: Expected) -> WebhookRecord:
    """One that the caller changes, and nobody else meanwhile. Raises ``NotFound``, ``VersionConflict``."""
    actor.require(Scope.PROJECTS_ADMIN)
    row = await session.first(visible(actor).where(Webhook.id == webhook_id).with_for_update(key_share=True))
    if row is None:
        raise NotFound("Webhook")
    webhook = make(row)
    require_version(webhook.version, expected)
    return webhook
