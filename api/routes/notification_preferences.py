from fastapi import APIRouter, Response

from api.dependencies.preconditions import VersionedRead, VersionedWrite
from api.http.route import StrictRoute
from services import notification_preferences
from services.notification_preferences import (
    NotificationPreferencesOut,
    NotificationPreferencesUpdate,
    PreferencesRecord,
)

router = APIRouter(route_class=StrictRoute, prefix="/notifications/preferences", tags=["notifications"])


@router.get("", response_model=NotificationPreferencesOut)
async def get_notification_preferences(read: VersionedRead) -> PreferencesRecord | Response:
    """What the caller is told of."""
    return await read(notification_preferences.get)


@router.patch("", response_model=NotificationPreferencesOut)
async def update_notification_preferences(
    body: NotificationPreferencesUpdate, write: VersionedWrite
) -> PreferencesRecord:
    """Mute kinds of notifications, or projects; fields that are left out stay as they are."""
    return await write(notification_preferences.update, body, expected_version=write.expected)
