import strawberry
from pydantic import Field

from graphql_schema.notification_kinds import NotificationKind
from graphql_schema.shared.base import as_output, attribute, output_type, service_input
from graphql_schema.shared.context import Info
from graphql_schema.shared.parts import Part
from graphql_schema.shared.prices import Price, listed, priced
from graphql_schema.shared.root_fields import command_field
from services import notification_preferences
from services.notification_preferences import (
    MAX_PROJECTS,
    NotificationPreferencesOut,
    NotificationPreferencesUpdate,
)
from services.shared.inputs import ExpectedVersion, absent


@output_type(NotificationPreferencesOut)
class NotificationPreferences:
    muted_kinds: list[NotificationKind] = listed(len(NotificationKind))
    muted_project_ids: list[strawberry.ID] = attribute(
        "muted_project_node_ids", metadata=priced(Price(rows=MAX_PROJECTS))
    )
    version: int


@service_input()
class UpdateNotificationPreferencesInput(NotificationPreferencesUpdate):
    """Changes what the caller is told of. Fields that are left out stay as they are."""

    expected_version: ExpectedVersion | None = Field(default_factory=absent)


@strawberry.type
class NotificationPreferencesQueries:
    @strawberry.field(description="What the caller is told of.")
    async def notification_preferences(self, info: Info) -> NotificationPreferences:
        async with info.context.reading() as session:
            return as_output(await notification_preferences.get(session, info.context.actor))


@strawberry.type
class NotificationPreferencesMutations:
    update_notification_preferences = command_field(
        NotificationPreferences,
        notification_preferences.update,
        UpdateNotificationPreferencesInput,
        "Mute kinds of notifications, or projects; fields that are left out stay as they are.",
        payload="What the caller is told of now.",
        thing="preferences",
    )


PART = Part(queries=NotificationPreferencesQueries, mutations=NotificationPreferencesMutations)
