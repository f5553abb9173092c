from typing import Annotated

from fastapi import APIRouter, Path, Response

from api.dependencies.auth import OptionalActor
from api.dependencies.preconditions import VersionedRead, VersionedWrite
from api.dependencies.sessions import WriteSession
from api.dependencies.state import AppState
from api.http.route import StrictRoute
from services import notification_preferences
from services.notification_preferences import (
    Ended,
    NotificationPreferencesOut,
    NotificationPreferencesUpdate,
    PreferencesRecord,
    Unsubscribe,
    UnsubscribeOut,
)

router = APIRouter(route_class=StrictRoute, prefix="/notifications/preferences", tags=["notifications"])


@router.get("", response_model=NotificationPreferencesOut)
async def get_notification_preferences(read: VersionedRead) -> PreferencesRecord | Response:
    """What the caller is told of."""
    return await read(notification_preferences.get)


@router.patch("", response_model=NotificationPreferencesOut)
async def update_notification_preferences(
    body: NotificationPreferencesUpdate, write: VersionedWrite, state: AppState
) -> PreferencesRecord:
    """Mute kinds of notifications, or projects, and say what goes by mail; what is left out stays as it is."""
    sends = state.security.outbox.sends
    return await write(notification_preferences.update, body, sends=sends, expected_version=write.expected)


@router.post("/unsubscribe/{token}", response_model=UnsubscribeOut)
async def unsubscribe(
    token: Annotated[str, Path(max_length=200, description="The token of the message.", examples=["12.digest.AbC"])],
    actor: OptionalActor,
    session: WriteSession,
    state: AppState,
) -> Ended:
    """End what a message was sent for: it is what its List-Unsubscribe header names, and takes no login. Mail programs
    post a form there (RFC 8058), which is not read."""
    data = Unsubscribe(token=token)
    return await notification_preferences.unsubscribe(session, actor, data, tokens=state.security.mail_tokens)
