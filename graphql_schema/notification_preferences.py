import strawberry
from pydantic import Field

from graphql_schema.notification_kinds import NotificationKind
from graphql_schema.shared.base import (
    as_output,
    attribute,
    enumeration,
    output_type,
    service_input,
    to_service_input,
)
from graphql_schema.shared.context import Info
from graphql_schema.shared.parts import Part
from graphql_schema.shared.prices import Price, listed, priced
from services import notification_preferences
from services.mailing.tokens import Unsubscribed
from services.notification_preferences import (
    MAX_PROJECTS,
    Digest,
    NotificationPreferencesOut,
    NotificationPreferencesUpdate,
    Unsubscribe,
    UnsubscribeOut,
)
from services.shared.inputs import ExpectedVersion, absent

enumeration(Digest, "How often somebody is sent a digest.", OFF="Not at all.", DAILY="Once a day.")
enumeration(
    Unsubscribed,
    "What a message was sent for.",
    name="UnsubscribedFrom",
    NOTIFICATIONS="Notifications, as they are made.",
    DIGEST="The digest of the day.",
)


@output_type(NotificationPreferencesOut)
class NotificationPreferences:
    muted_kinds: list[NotificationKind] = listed(len(NotificationKind))
    muted_project_ids: list[strawberry.ID] = attribute(
        "muted_project_node_ids", metadata=priced(Price(rows=MAX_PROJECTS))
    )
    mailed_kinds: list[NotificationKind] = listed(len(NotificationKind))
    digest: Digest
    digest_hour: int
    version: int


@service_input()
class UpdateNotificationPreferencesInput(NotificationPreferencesUpdate):
    """Changes what the caller is told of. Fields that are left out stay as they are."""

    expected_version: ExpectedVersion | None = Field(default_factory=absent)


@service_input()
class UnsubscribeInput(Unsubscribe): ...


@strawberry.type(description="What the caller is told of now.")
class UpdateNotificationPreferencesPayload:
    notification_preferences: NotificationPreferences = strawberry.field(description="The preferences.")


@output_type(UnsubscribeOut)
class UnsubscribePayload:
    ended: Unsubscribed


@strawberry.type
class NotificationPreferencesQueries:
    @strawberry.field(description="What the caller is told of.")
    async def notification_preferences(self, info: Info) -> NotificationPreferences:
        async with info.context.reading() as session:
            return as_output(await notification_preferences.get(session, info.context.actor))


@strawberry.type
class NotificationPreferencesMutations:
    @strawberry.mutation(
        description="Mute kinds of notifications, or projects, and say what goes by mail; what is left out stays as it "
        "is."
    )
    async def update_notification_preferences(
        self, info: Info, input: UpdateNotificationPreferencesInput
    ) -> UpdateNotificationPreferencesPayload | None:
        context, data = info.context, to_service_input(NotificationPreferencesUpdate, input)
        sends, expected = context.security.outbox.sends, input.expected_version
        async with context.writing() as session:
            preferences = await notification_preferences.update(
                session, context.actor, data, sends=sends, expected_version=expected
            )
        return UpdateNotificationPreferencesPayload(notification_preferences=as_output(preferences))

    @strawberry.mutation(description="End what a message was sent for, by its token. It takes no login.")
    async def unsubscribe(self, info: Info, input: UnsubscribeInput) -> UnsubscribePayload | None:
        context = info.context
        async with context.writing() as session:
            data, tokens = to_service_input(Unsubscribe, input), context.security.mail_tokens
            done = await notification_preferences.unsubscribe(session, context.actor, data, tokens=tokens)
        return as_output(done)


PART = Part(queries=NotificationPreferencesQueries, mutations=NotificationPreferencesMutations)
