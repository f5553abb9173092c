from datetime import datetime

import strawberry
from pydantic import Field
from strawberry.scalars import JSON

from graphql_schema.projects import Project
from graphql_schema.shared.base import (
    Nested,
    Node,
    as_output,
    attribute,
    enumeration,
    output_type,
    service_input,
    to_service_input,
)
from graphql_schema.shared.connections import Connection
from graphql_schema.shared.context import Info
from graphql_schema.shared.loading import connection_field, relation_field
from graphql_schema.shared.parts import Part
from graphql_schema.shared.prices import listed
from graphql_schema.shared.root_fields import command_field, delete_field, list_field, node_field
from graphql_schema.task_lists import TaskFilter
from services.projects import queries as projects
from services.shared.idempotency import KeyText
from services.shared.inputs import ExpectedVersion, Input, absent
from services.tasks import filters
from services.webhooks import commands, deliveries, models, queries
from services.webhooks.models import (
    AttemptOut,
    DeliveryState,
    WebhookContent,
    WebhookCreate,
    WebhookDeliveryFilter,
    WebhookDeliveryOut,
    WebhookFilter,
    WebhookId,
    WebhookOut,
    WebhookRedeliver,
    WebhookSecretRotate,
    WebhookState,
    WebhookUpdate,
)
from services.webhooks.records import WebhookDeliveryRecord, WebhookRecord

_NESTED: Nested = {filters.TaskFilter: TaskFilter}

enumeration(WebhookContent, "What a webhook is sent of a change.")
enumeration(WebhookState, "Whether a webhook is told of what happens.")
enumeration(DeliveryState, "What became of a delivery.", name="WebhookDeliveryState")


@output_type(AttemptOut)
class WebhookAttempt:
    at: datetime
    url: str
    address: str | None
    status: int | None
    error: str | None
    answer: str
    seconds: float


@output_type(WebhookDeliveryOut, record=WebhookDeliveryRecord)
class WebhookDelivery(Node):
    database_id: int = attribute("id")
    webhook_id: int
    event_id: str
    kind: str
    state: DeliveryState
    attempts: list[WebhookAttempt] = listed(models.MAX_ATTEMPTS_KEPT)
    next_attempt_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    payload: str | None


@output_type(WebhookOut, record=WebhookRecord)
class Webhook(Node):
    database_id: int = attribute("id")
    name: str
    url: str
    kinds: list[str] | None = listed(len(models.TOLD))
    filter: JSON | None
    content: WebhookContent
    document: str | None
    state: WebhookState
    disabled_reason: str | None
    former_until: datetime | None
    failures: int
    held_until: datetime | None
    last_delivered_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime

    project_id: int | None
    project: Project | None = relation_field(
        "projects",
        projects.by_ids,
        by="project_id",
        description="The project it is told of; null for all of its owner's, and for one it may not read any more.",
    )
    deliveries: Connection[WebhookDelivery] = connection_field(
        "webhook.deliveries",
        deliveries.pages,
        deliveries.counts,
        WebhookDeliveryFilter,
        description="What it was and is to be told, newest first, with what was sent and answered.",
    )


SECRET = "What its messages are signed with (whsec_…). It is shown this once."  # noqa: S105 - a description


@service_input(_NESTED)
class CreateWebhookInput(WebhookCreate):
    idempotency_key: KeyText | None = Field(default_factory=absent)


@service_input(_NESTED)
class UpdateWebhookInput(WebhookUpdate):
    """Changes a webhook. Fields that are left out stay as they are."""

    id: WebhookId = Field(description="The webhook.")
    expected_version: ExpectedVersion | None = Field(default_factory=absent)


@service_input()
class RotateWebhookSecretInput(WebhookSecretRotate):
    """Gives a webhook another secret."""

    id: WebhookId = Field(description="The webhook.")
    idempotency_key: KeyText | None = Field(default_factory=absent)


@service_input()
class PauseWebhookInput(Input):
    """Has what happens wait."""

    id: WebhookId = Field(description="The webhook.")


@service_input()
class ResumeWebhookInput(Input):
    """Tells a webhook what has waited, and what happens."""

    id: WebhookId = Field(description="The webhook.")


@service_input()
class TestWebhookInput(Input):
    """Sends a message that tells of nothing."""

    id: WebhookId = Field(description="The webhook.")
    idempotency_key: KeyText | None = Field(default_factory=absent)


@service_input()
class RedeliverWebhookInput(WebhookRedeliver):
    """Chooses deliveries that are told again: those that are named, or those of a time."""

    id: WebhookId = Field(description="The webhook.")
    idempotency_key: KeyText | None = Field(default_factory=absent)


@strawberry.type(description="The new webhook, with its secret.")
class CreateWebhookPayload:
    webhook: Webhook = strawberry.field(description="The webhook.")
    secret: str = strawberry.field(description=SECRET)


@strawberry.type(description="The webhook after the change.")
class UpdateWebhookPayload:
    webhook: Webhook = strawberry.field(description="The webhook.")


@strawberry.type(description="The webhook, with its new secret.")
class RotateWebhookSecretPayload:
    webhook: Webhook = strawberry.field(description="The webhook.")
    secret: str = strawberry.field(description=SECRET)


@strawberry.type(description="How many deliveries are told again.")
class RedeliverWebhookPayload:
    redelivered: int = strawberry.field(
        description=f"How many; there may be more where it is {models.MAX_REDELIVERED:,}."
    )


@strawberry.type
class WebhookQueries:
    webhooks: Connection[Webhook] = list_field(
        queries.list_, queries.count, WebhookFilter, "The caller's webhooks, newest first, without their secrets."
    )
    webhook: Webhook | None = node_field(
        "Webhook", queries.get, "A webhook of the caller's, without its secret; null where there is none."
    )
    webhook_delivery: WebhookDelivery | None = node_field(
        "WebhookDelivery", deliveries.get, "A delivery of a webhook of the caller's; null where there is none."
    )


@strawberry.type
class WebhookMutations:
    @strawberry.mutation(description="Make a webhook, which is told of what happens from now on.")
    async def create_webhook(self, info: Info, input: CreateWebhookInput) -> CreateWebhookPayload | None:
        context, data = info.context, to_service_input(WebhookCreate, input)
        async with context.writing() as session:
            made = await context.once(session, input.idempotency_key, commands.create, data, outlet=context.outlet)
        webhook = commands.shown(made, context.outlet)
        return CreateWebhookPayload(webhook=as_output(webhook), secret=webhook.secret)

    @strawberry.mutation(description="Change a webhook; fields that are left out stay as they are.")
    async def update_webhook(self, info: Info, input: UpdateWebhookInput) -> UpdateWebhookPayload | None:
        context, data = info.context, to_service_input(WebhookUpdate, input)
        async with context.writing() as session:
            webhook = await commands.update(
                session, context.actor, input.id, data, outlet=context.outlet, expected_version=input.expected_version
            )
        return UpdateWebhookPayload(webhook=as_output(webhook))

    @strawberry.mutation(description="Give a webhook another secret; messages are signed with both for graceSeconds.")
    async def rotate_webhook_secret(
        self, info: Info, input: RotateWebhookSecretInput
    ) -> RotateWebhookSecretPayload | None:
        context, data = info.context, to_service_input(WebhookSecretRotate, input)
        async with context.writing() as session:
            made = await context.once(session, input.idempotency_key, commands.rotate, input.id, data)
        webhook = commands.shown(made, context.outlet)
        return RotateWebhookSecretPayload(webhook=as_output(webhook), secret=webhook.secret)

    pause_webhook = command_field(
        Webhook,
        commands.pause,
        PauseWebhookInput,
        "Have what happens wait; nothing is lost for as long as events are kept.",
        payload="The webhook after the change.",
    )
    resume_webhook = command_field(
        Webhook,
        commands.resume,
        ResumeWebhookInput,
        "Tell a webhook that was paused or disabled what has waited, in order, and what happens.",
        payload="The webhook after the change.",
    )
    test_webhook = command_field(
        WebhookDelivery,
        deliveries.test,
        TestWebhookInput,
        "Send a message of the type webhook.test once, also to a webhook that is paused or disabled.",
        payload="The delivery, which is yet to be made.",
    )

    @strawberry.mutation(description="Tell deliveries again: one, those of a time, or all that failed.")
    async def redeliver_webhook(self, info: Info, input: RedeliverWebhookInput) -> RedeliverWebhookPayload | None:
        context, data = info.context, to_service_input(WebhookRedeliver, input)
        async with context.writing() as session:
            found = await context.once(session, input.idempotency_key, deliveries.redeliver, input.id, data)
        return RedeliverWebhookPayload(redelivered=found.redelivered)

    delete_webhook = delete_field(
        Webhook, commands.delete, WebhookId, "Delete a webhook: it is told nothing more, also not what waits."
    )


PART = Part(queries=WebhookQueries, mutations=WebhookMutations)
