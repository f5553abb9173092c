from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Response

from api.dependencies.auth import CurrentActor
from api.dependencies.idempotency import Idempotent
from api.dependencies.lists import ListCall, ListShape, add_query
from api.dependencies.parameters import path_id
from api.dependencies.preconditions import ExpectedVersion, VersionedRead, VersionedWrite
from api.dependencies.sessions import ReadSession, WriteSession
from api.dependencies.state import AppState
from api.http.cache_control import Kind, answers
from api.http.route import StrictRoute
from services.webhooks import commands, deliveries, queries
from services.webhooks.models import (
    NewWebhookOut,
    WebhookCreate,
    WebhookDeliveryFilter,
    WebhookDeliveryOut,
    WebhookFilter,
    WebhookOut,
    WebhookRedeliver,
    WebhookRedelivery,
    WebhookRedeliveryOut,
    WebhookSecretRotate,
    WebhookUpdate,
)
from services.webhooks.records import WebhookDeliveryRecord, WebhookRecord

router = APIRouter(route_class=StrictRoute, tags=["webhooks"])
WebhookPath = Annotated[int, path_id("webhook")]
DeliveryPath = Annotated[int, path_id("delivery")]


_LIST = ListShape(WebhookOut, "a webhook", filter=WebhookFilter, told=False)
_DELIVERIES = ListShape(WebhookDeliveryOut, "a delivery", filter=WebhookDeliveryFilter, told=False)


@router.get("/webhooks", response_model=list[WebhookOut])
async def list_webhooks(
    listing: Annotated[ListCall[WebhookFilter], Depends(_LIST.listing)],
) -> Sequence[WebhookRecord] | Response:
    """The caller's webhooks, newest first, without their secrets."""
    return await listing(queries.list_, queries.count)


async def query_webhooks(
    body: WebhookFilter, listing: Annotated[ListCall[WebhookFilter], Depends(_LIST.querying)]
) -> Sequence[WebhookRecord] | Response:
    """As GET /webhooks, with the filter as the body. It changes nothing."""
    return await listing.by(body)(queries.list_, queries.count)


add_query(router, "/webhooks", query_webhooks, list[WebhookOut])


@router.post("/webhooks", status_code=201, response_model=NewWebhookOut)
@answers(Kind.CREDENTIAL)
async def create_webhook(body: WebhookCreate, once: Idempotent, state: AppState) -> WebhookRecord:
    """Make a webhook, which is told of what happens from now on. Its secret is in this answer and nowhere else."""
    webhook = await once(commands.create, body, outlet=state.outlet)
    return once.located(f"/webhooks/{webhook.id}", commands.shown(webhook, state.outlet))


@router.get("/webhooks/{webhook_id}", response_model=WebhookOut)
async def get_webhook(webhook_id: WebhookPath, read: VersionedRead) -> WebhookRecord | Response:
    """A webhook of the caller's, without its secret."""
    return await read(queries.get, webhook_id)


@router.patch("/webhooks/{webhook_id}", response_model=WebhookOut)
async def update_webhook(
    webhook_id: WebhookPath, body: WebhookUpdate, write: VersionedWrite, state: AppState
) -> WebhookRecord:
    """Change a webhook; fields that are left out stay as they are."""
    return await write(commands.update, webhook_id, body, outlet=state.outlet, expected_version=write.expected)


@router.delete("/webhooks/{webhook_id}", status_code=204)
async def delete_webhook(
    webhook_id: WebhookPath, actor: CurrentActor, session: WriteSession, expected: ExpectedVersion
) -> None:
    """Delete a webhook: it is told nothing more, also not what waits."""
    await commands.delete(session, actor, webhook_id, expected_version=expected)


@router.post("/webhooks/{webhook_id}/rotate", response_model=NewWebhookOut)
@answers(Kind.CREDENTIAL)
async def rotate_webhook_secret(
    webhook_id: WebhookPath,
    body: Annotated[WebhookSecretRotate, Body(default_factory=WebhookSecretRotate)],
    once: Idempotent,
    state: AppState,
) -> WebhookRecord:
    """Give a webhook another secret, which is in this answer and nowhere else. Messages are signed with both for
    grace_seconds."""
    return commands.shown(await once(commands.rotate, webhook_id, body), state.outlet)


@router.post("/webhooks/{webhook_id}/pause", response_model=WebhookOut)
async def pause_webhook(webhook_id: WebhookPath, actor: CurrentActor, session: WriteSession) -> WebhookRecord:
    """Have what happens wait; nothing is lost for as long as events are kept."""
    return await commands.pause(session, actor, webhook_id)


@router.post("/webhooks/{webhook_id}/resume", response_model=WebhookOut)
async def resume_webhook(webhook_id: WebhookPath, actor: CurrentActor, session: WriteSession) -> WebhookRecord:
    """Tell a webhook that was paused or disabled what has waited, in order, and what happens."""
    return await commands.resume(session, actor, webhook_id)


@router.post("/webhooks/{webhook_id}/test", status_code=202, response_model=WebhookDeliveryOut)
async def test_webhook(webhook_id: WebhookPath, once: Idempotent) -> WebhookDeliveryRecord:
    """Send a message of the type webhook.test once, also to a webhook that is paused or disabled."""
    return await once(deliveries.test, webhook_id)


@router.post("/webhooks/{webhook_id}/redeliver", status_code=202, response_model=WebhookRedeliveryOut)
async def redeliver_webhook(
    webhook_id: WebhookPath, body: Annotated[WebhookRedeliver, Body(default_factory=WebhookRedeliver)], once: Idempotent
) -> WebhookRedelivery:
    """Tell deliveries again: one, those of a time, or all that failed."""
    return await once(deliveries.redeliver, webhook_id, body)


@router.get("/webhooks/{webhook_id}/deliveries", response_model=list[WebhookDeliveryOut])
async def list_webhook_deliveries(
    webhook_id: WebhookPath, listing: Annotated[ListCall[WebhookDeliveryFilter], Depends(_DELIVERIES.listing)]
) -> Sequence[WebhookDeliveryRecord] | Response:
    """What a webhook was and is to be told, newest first, with what was sent and answered."""
    return await listing(deliveries.list_, deliveries.count, webhook_id)


async def query_webhook_deliveries(
    webhook_id: WebhookPath,
    body: WebhookDeliveryFilter,
    listing: Annotated[ListCall[WebhookDeliveryFilter], Depends(_DELIVERIES.querying)],
) -> Sequence[WebhookDeliveryRecord] | Response:
    """As GET /webhooks/{webhook_id}/deliveries, with the filter as the body. It changes nothing."""
    return await listing.by(body)(deliveries.list_, deliveries.count, webhook_id)


add_query(router, "/webhooks/{webhook_id}/deliveries", query_webhook_deliveries, list[WebhookDeliveryOut])


@router.get("/webhook-deliveries/{webhook_delivery_id}", response_model=WebhookDeliveryOut)
async def get_webhook_delivery(
    webhook_delivery_id: DeliveryPath, actor: CurrentActor, session: ReadSession
) -> WebhookDeliveryRecord:
    """One delivery, with what was sent and answered."""
    return await deliveries.get(session, actor, webhook_delivery_id)
