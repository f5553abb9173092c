"""What webhooks were told, and having it told again."""

from sqlalchemy import false, insert, null, select
from sqlalchemy import update as sql_update
from uuid_utils import uuid7

from core.clock import now, wire_format
from db.driver.sessions import AnySelect, Session
from db.models import Webhook, WebhookDelivery
from services.jobs import queue
from services.shared.actors import Actor, Scope
from services.shared.errors import BadUserInput, NotFound
from services.shared.filters import Column, Filtering
from services.shared.idempotency import repeatable, while_readable
from services.shared.pagination import Ordering, SortKey
from services.shared.reading import ChildReader
from services.webhooks import queries
from services.webhooks.models import (
    MAX_REDELIVERED,
    TEST,
    DeliveryState,
    WebhookDeliveryFilter,
    WebhookRedeliver,
    WebhookRedelivery,
)
from services.webhooks.payloads import compact
from services.webhooks.queries import JOB, lock
from services.webhooks.records import DELIVERY_COLUMNS, WebhookDeliveryRecord

NEWEST_FIRST = Ordering(SortKey("id", WebhookDelivery.id, WebhookDelivery.id, kind="integer"), descending=True)


def visible(actor: Actor) -> AnySelect:
    """The deliveries of the caller's webhooks."""
    statement = (
        select(*DELIVERY_COLUMNS)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(Webhook.owner_id == actor.user_id)
    )
    return statement if actor.limited_by is None else statement.where(false())


_READER = ChildReader(
    "Webhook delivery",
    visible,
    WebhookDeliveryRecord._make,
    NEWEST_FIRST,
    below=WebhookDelivery.webhook_id,
    parent=queries.get,
    filtering=Filtering(
        WebhookDeliveryFilter,
        {
            "state": Column(WebhookDelivery.state),
            "kind": Column(WebhookDelivery.kind),
            "created_at": Column(WebhookDelivery.created_at),
            "finished_at": Column(WebhookDelivery.finished_at),
        },
    ),
)
get, by_ids, list_, pages = _READER.get, _READER.by_ids, _READER.list_, _READER.pages
count, counts = _READER.count, _READER.counts


@repeatable("webhook.test", scope=Scope.PROJECTS_ADMIN, read=while_readable(get))
async def test(session: Session, actor: Actor, webhook_id: int) -> WebhookDeliveryRecord:
    """Have a message sent that tells of nothing, also to a webhook that is paused or disabled: whatever its filter, and
    without its document. Raises ``NotFound``."""
    await lock(session, actor, webhook_id, None)
    moment, message = now(), str(uuid7())
    payload = compact({"type": TEST, "timestamp": wire_format(moment), "data": {"webhook_id": webhook_id}})
    row = await session.one(
        insert(WebhookDelivery)
        .values(
            webhook_id=webhook_id,
            event_id=message,
            kind=TEST,
            order_key=f"test:{message[-12:]}",
            next_attempt_at=moment,
            payload=payload,
            created_at=moment,
            attempts=[],
        )
        .returning(*DELIVERY_COLUMNS)
    )
    await queue.schedule(session, JOB, [webhook_id], moment)
    return WebhookDeliveryRecord._make(row)


async def _while_readable(session: Session, actor: Actor, told: WebhookRedelivery) -> WebhookRedelivery:
    """What a repeat may tell: what was told, while the webhook is there. Raises ``NotFound``."""
    await queries.get(session, actor, told.id)
    return told


@repeatable("webhook.redeliver", scope=Scope.PROJECTS_ADMIN, read=_while_readable)
async def redeliver(session: Session, actor: Actor, webhook_id: int, data: WebhookRedeliver) -> WebhookRedelivery:
    """Have deliveries told again, in the order in which they were to be told first: those that are named, or those of a
    time and a state, the oldest ``MAX_REDELIVERED`` of them. Each is sent as it was, if its owner may still read it.

    Raises ``NotFound`` for a webhook or a delivery that is not there, ``BadUserInput`` for a choice that is none.
    """
    await lock(session, actor, webhook_id, None)
    named = data.delivery_ids is not None
    if named and (data.since, data.until, data.state) != (None, None, None):
        raise BadUserInput.at("/delivery_ids", "must stand alone: since, until and state choose others")
    if data.since is not None and data.until is not None and data.since >= data.until:
        raise BadUserInput.at("/until", "must be after since")
    of_webhook = (WebhookDelivery.webhook_id == webhook_id,)
    chosen = select(WebhookDelivery.id).where(*of_webhook).order_by(WebhookDelivery.id).limit(MAX_REDELIVERED)
    if data.delivery_ids is not None:
        chosen = chosen.where(WebhookDelivery.id.in_(data.delivery_ids))
    else:
        chosen = chosen.where(WebhookDelivery.state == (data.state or DeliveryState.FAILED).value)
    if data.since is not None:
        chosen = chosen.where(WebhookDelivery.created_at >= data.since)
    if data.until is not None:
        chosen = chosen.where(WebhookDelivery.created_at < data.until)
    ids = await session.scalars(chosen.with_for_update())
    if data.delivery_ids is not None and len(ids) < len(set(data.delivery_ids)):
        raise NotFound("Webhook delivery", pointer="/delivery_ids")
    if ids:
        moment = now()
        values = {"state": "waiting", "tries": 0, "next_attempt_at": moment, "finished_at": null()}
        await session.execute(sql_update(WebhookDelivery).where(WebhookDelivery.id.in_(ids)).values(**values))
        await queue.schedule(session, JOB, [webhook_id], moment)
    return WebhookRedelivery(webhook_id, len(ids))
