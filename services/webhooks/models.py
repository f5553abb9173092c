"""What webhooks take and answer."""

from datetime import datetime
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from services.events import catalogue
from services.events.catalogue import CATALOGUE
from services.shared.filters import Filter
from services.shared.inputs import DescribedEnum, Input, Line, NodeRef, ProjectId, Text, Timestamp, Whole, absent
from services.shared.operators import KeyFilter, NameFilter, TimestampFilter, none_of, one_of
from services.shared.outputs import CreatedAt, DatabaseId, NodeId, Output, UpdatedAt, Version
from services.tasks.filters import TaskFilter
from services.webhooks.addresses import MAX_URL

MAX_WEBHOOKS = 50
"""Of a person."""
MAX_OF_PROJECT = 100
"""Webhooks that are told of one project alone."""
MAX_GRACE = 7 * 24 * 60 * 60
DEFAULT_GRACE = 24 * 60 * 60
MAX_ATTEMPTS_KEPT = 20
"""Attempts that a delivery shows: the last ones."""
MAX_REDELIVERED = 1_000
"""Deliveries that one call has told again."""
MAX_PAYLOAD = 64 * 1024
"""Bytes of a payload: of a larger one only what changed is told, and no values."""
MAX_DOCUMENT = 10_000
"""Characters of a webhook's GraphQL document."""
MAX_DOCUMENT_POINTS = 100_000
"""What such a document may come to, a tenth of a request (``shared.prices``): it is resolved at each change."""
MAX_MATCHED = 10_000
"""Tasks that may meet the filter of a webhook when it is given: it has to know which, to tell that one does no more."""

_UNTOLD = {"session", "api_key", "webhook"}
"""Subjects that nobody who follows is told of."""
TOLD = tuple(name for name, kind in CATALOGUE.items() if kind.subject not in _UNTOLD)
"""The kinds of events that webhooks may be told of."""
_ON_TASKS = {"task", "comment", "relation"}
OF_TASKS = tuple(
    name for name in TOLD if CATALOGUE[name].subject in _ON_TASKS or CATALOGUE[name] is catalogue.TASKS_CLEARED
)
"""Those that belong to a task, or to all of them: what webhooks with a filter may be told of."""
TEST = "webhook.test"
"""The kind of a message that tells of nothing."""


class WebhookContent(DescribedEnum):
    """What a webhook is sent of a change."""

    THIN = "thin", "Which thing changed, and in which fields; it reads the thing by itself."
    FULL = "full", "Also the values before and after, and the thing as its owner may read it when it is told."
    DOCUMENT = "document", "Beside what thin has, what the webhook's GraphQL document selects."


class WebhookState(DescribedEnum):
    """Whether a webhook is told of what happens."""

    ACTIVE = "active", "It is told."
    PAUSED = "paused", "What happens waits, as long as events are kept."
    DISABLED = "disabled", "As paused, by the server: it answered 410, or took nothing for days."


class DeliveryState(DescribedEnum):
    """What became of a delivery."""

    WAITING = "waiting", "It is to be told, for the first time or again."
    DELIVERED = "delivered", "It was taken: the answer was 2xx."
    FAILED = "failed", "It was not taken, and is not tried again by itself."
    WITHHELD = "withheld", "It was not told: the owner may not read it any more, or it is gone."


def _kind(name: str) -> str:
    if name not in TOLD:
        raise PydanticCustomError("kind", "must be a kind of event, such as task.created")
    return name


Kind = Annotated[Text, Field(max_length=40, json_schema_extra={"enum": list(TOLD)}), AfterValidator(_kind)]
WebhookName = Annotated[Line, Field(max_length=100, description="What it is for.", examples=["Build server"])]
Url = Annotated[
    Text,
    Field(
        min_length=1,
        max_length=MAX_URL,
        description="Where it is told: an http or https address of the public internet. Redirects are not followed.",
        examples=["https://hooks.example.com/tandem"],
    ),
]
Kinds = Annotated[
    list[Kind],
    Field(
        min_length=1,
        max_length=len(TOLD),
        description="The kinds of events it is told of; null for all.",
        examples=[["task.created", "task.updated"]],
    ),
]
Content = Annotated[WebhookContent, Field(description="What it is sent of a change.")]
Which = Annotated[
    TaskFilter,
    Field(
        description="Which tasks it is told of, by the filter language of lists; null for all. With one, it is told of "
        "nothing but tasks and what hangs on them, and each message says whether the task matches; that one does so no "
        "more is told, too. What depends on the clock (overdue, today), and a search for a ref, are refused.",
    ),
]
Document = Annotated[
    Text,
    Field(
        min_length=1,
        max_length=MAX_DOCUMENT,
        description="For content document: a GraphQL document with one query, which is resolved when a change is told, "
        "with its owner's rights. The change gives its variables: "
        "$id, $taskId, $projectId, $actorId (ID), $kind, $eventId (String), $occurredAt (DateTime), $matches "
        "(Boolean).",
        examples=["query($id: ID!) { node(id: $id) { ... on Task { ref title status } } }"],
    ),
]
WebhookId = Annotated[int, NodeRef("Webhook")]
WebhookDeliveryId = Annotated[int, NodeRef("WebhookDelivery")]


class WebhookCreate(Input):
    """Makes a webhook of the caller's."""

    name: WebhookName
    url: Url
    project_id: ProjectId | None = Field(
        default_factory=absent, description="The project it is told of; null for all that its owner is a member of."
    )
    kinds: Kinds | None = Field(default_factory=absent)
    filter: Which | None = Field(default_factory=absent)
    content: Content = WebhookContent.THIN
    document: Document | None = Field(default_factory=absent)


class WebhookUpdate(Input):
    """Changes a webhook. Fields that are left out stay as they are."""

    name: WebhookName = Field(default_factory=absent)
    url: Url = Field(default_factory=absent)
    kinds: Kinds | None = Field(default_factory=absent)
    filter: Which | None = Field(default_factory=absent)
    content: Content = Field(default_factory=absent)
    document: Document | None = Field(default_factory=absent)


class WebhookSecretRotate(Input):
    """Gives a webhook another secret."""

    grace_seconds: Annotated[int, Field(strict=True, ge=0, le=MAX_GRACE), Whole] = Field(
        default=DEFAULT_GRACE,
        description=f"How long messages are signed with the secret that it has, too, at most {MAX_GRACE:,} (a week).",
        examples=[3600],
    )


class WebhookRedeliver(Input):
    """Chooses deliveries that are told again: those that are named, or those of a time."""

    delivery_ids: Annotated[list[WebhookDeliveryId], Field(min_length=1, max_length=100)] | None = Field(
        default_factory=absent, description="The deliveries, whatever became of them."
    )
    since: Timestamp | None = Field(
        default_factory=absent, description="Those of events from this instant on.", examples=["2026-11-28T00:00:00Z"]
    )
    until: Timestamp | None = Field(
        default_factory=absent, description="Those of events before this instant.", examples=["2026-11-29T00:00:00Z"]
    )
    state: DeliveryState | None = Field(
        default_factory=absent, description="Those of this state; failed when left out, unless they are named."
    )


class WebhookStateFilter(Input):
    """Conditions on whether a webhook is told."""

    eq: WebhookState = Field(default_factory=absent, description="Is this one.")
    ne: WebhookState = Field(default_factory=absent, description="Is another one.")
    in_: list[WebhookState] = one_of("Is one of these.")
    not_in: list[WebhookState] = none_of("Is none of these.")


class WebhookFilter(Filter):
    """Which webhooks. Every condition given must hold."""

    name: NameFilter = Field(default_factory=absent, description="What it is for.")
    state: WebhookStateFilter = Field(default_factory=absent, description="Whether it is told.")
    created_at: TimestampFilter = Field(default_factory=absent, description="When it was created.")
    updated_at: TimestampFilter = Field(default_factory=absent, description="When it was last changed.")


class WebhookDeliveryStateFilter(Input):
    """Conditions on what became of a delivery."""

    eq: DeliveryState = Field(default_factory=absent, description="Is this one.")
    ne: DeliveryState = Field(default_factory=absent, description="Is another one.")
    in_: list[DeliveryState] = one_of("Is one of these.")
    not_in: list[DeliveryState] = none_of("Is none of these.")


class WebhookDeliveryFilter(Filter):
    """Which deliveries. Every condition given must hold."""

    state: WebhookDeliveryStateFilter = Field(default_factory=absent, description="What became of it.")
    kind: KeyFilter = Field(default_factory=absent, description="What happened, e.g. task.updated.")
    created_at: TimestampFilter = Field(default_factory=absent, description="When it was to be told first.")
    finished_at: TimestampFilter = Field(default_factory=absent, description="When its state became final.")


class WebhookOut(Output):
    """An address that is told of what happens where its owner may read."""

    id: DatabaseId
    node_id: NodeId
    name: str = Field(description="What it is for.")
    url: str = Field(description="Where it is told.")
    project_id: int | None = Field(description="The project it is told of; null for all of its owner's.")
    kinds: list[str] | None = Field(description="The kinds of events it is told of; null for all.")
    filter: dict[str, object] | None = Field(
        description="Which tasks it is told of: an object of the filter language, in REST's spelling; null for all."
    )
    content: WebhookContent = Field(description="What it is sent of a change.")
    document: str | None = Field(description="The GraphQL document whose selection it is sent; null for none.")
    state: WebhookState = Field(description="Whether it is told.")
    disabled_reason: str | None = Field(
        description="Why the server disabled it: gone (it answered 410), or exhausted (it took nothing for days)."
    )
    former_until: datetime | None = Field(
        description="Until when messages are signed with the secret before this one, too; null if they are not."
    )
    failures: int = Field(description="How often in a row nothing could be delivered.")
    held_until: datetime | None = Field(description="Nothing is tried before this instant; null where it is not held.")
    last_delivered_at: datetime | None = Field(description="When it last took something.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class NewWebhookOut(WebhookOut):
    """A webhook with its secret, which is not shown again."""

    secret: str = Field(description="What its messages are signed with (whsec_…). It is shown this once.")


class AttemptOut(Output):
    """One attempt to tell something."""

    at: datetime = Field(description="When it was made, in UTC: the webhook-timestamp that was sent.")
    url: str = Field(description="Where it was sent.")
    address: str | None = Field(description="The IP address that was connected to.")
    status: int | None = Field(description="The status that was answered; null where nothing was.")
    error: str | None = Field(description="Why nothing was answered; null where something was.")
    answer: str = Field(description="The beginning of what was answered.")
    seconds: float = Field(description="How long it took.")


class WebhookDeliveryOut(Output):
    """One event that a webhook is told of, and what came of it."""

    id: DatabaseId
    node_id: NodeId
    webhook_id: int = Field(description="The webhook.")
    event_id: str = Field(description="The stable id of the event, which is the message's webhook-id.")
    kind: str = Field(description="What happened, e.g. task.updated.")
    state: DeliveryState = Field(description="What became of it.")
    attempts: list[AttemptOut] = Field(description=f"The attempts, oldest first; the last {MAX_ATTEMPTS_KEPT}.")
    next_attempt_at: datetime | None = Field(description="When it is tried next, at the earliest; null if it is not.")
    created_at: CreatedAt
    finished_at: datetime | None = Field(description="When its state became final.")
    payload: str | None = Field(description="The body that is sent, to the letter; null before it is first tried.")


class WebhookRedeliveryOut(Output):
    """How many deliveries are told again."""

    redelivered: int = Field(description=f"How many; there may be more where it is {MAX_REDELIVERED:,}.")


class WebhookRedelivery(NamedTuple):
    """How many deliveries of a webhook, by its ``id``, are told again."""

    id: int
    redelivered: int
