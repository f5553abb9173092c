"""What the feature says of itself."""

from services.shared.actors import Scope
from services.shared.features import Feature, NodeType, Operation, Who
from services.webhooks import deliveries, queries
from services.webhooks.models import (
    MAX_DOCUMENT,
    MAX_DOCUMENT_POINTS,
    MAX_MATCHED,
    MAX_OF_PROJECT,
    MAX_WEBHOOKS,
    WebhookDeliveryOut,
    WebhookOut,
)

FEATURE = Feature(
    "webhooks",
    operations=(
        Operation("list_webhooks", "Query.webhooks", Who.ACCOUNT, Scope.TASKS_READ),
        Operation("query_webhooks", "Query.webhooks", Who.ACCOUNT, Scope.TASKS_READ),
        Operation("create_webhook", "Mutation.createWebhook", Who.ACCOUNT, Scope.PROJECTS_ADMIN, repeatable=True),
        Operation("get_webhook", "Query.webhook", Who.SELF, Scope.TASKS_READ),
        Operation("update_webhook", "Mutation.updateWebhook", Who.SELF, Scope.PROJECTS_ADMIN),
        Operation("delete_webhook", "Mutation.deleteWebhook", Who.SELF, Scope.PROJECTS_ADMIN),
        Operation(
            "rotate_webhook_secret", "Mutation.rotateWebhookSecret", Who.SELF, Scope.PROJECTS_ADMIN, repeatable=True
        ),
        Operation("pause_webhook", "Mutation.pauseWebhook", Who.SELF, Scope.PROJECTS_ADMIN),
        Operation("resume_webhook", "Mutation.resumeWebhook", Who.SELF, Scope.PROJECTS_ADMIN),
        Operation("test_webhook", "Mutation.testWebhook", Who.SELF, Scope.PROJECTS_ADMIN, repeatable=True),
        Operation("redeliver_webhook", "Mutation.redeliverWebhook", Who.SELF, Scope.PROJECTS_ADMIN, repeatable=True),
        Operation("list_webhook_deliveries", "Webhook.deliveries", Who.SELF, Scope.TASKS_READ),
        Operation("query_webhook_deliveries", "Webhook.deliveries", Who.SELF, Scope.TASKS_READ),
        Operation("get_webhook_delivery", "Query.webhookDelivery", Who.SELF, Scope.TASKS_READ),
    ),
    about="Addresses that are told of what happens, signed.",
    nodes=(
        NodeType("Webhook", queries.by_ids, WebhookOut),
        NodeType("WebhookDelivery", deliveries.by_ids, WebhookDeliveryOut),
    ),
    limits={
        "webhooks of a person": MAX_WEBHOOKS,
        "webhooks of a project": MAX_OF_PROJECT,
        "characters of a webhook's document": MAX_DOCUMENT,
        "points of cost of such a document": MAX_DOCUMENT_POINTS,
        "tasks that match a webhook's filter when it is given": MAX_MATCHED,
    },
)
