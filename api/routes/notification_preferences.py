from typing import Annotated

from fastapi import APIRouter, Form, Query, Response

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
    body: NotificationPreferencesUpdate, write: VersionedWrite
) -> PreferencesRecord:
    """Mute kinds of notifications, or projects, and say what goes by mail; what is left out stays as it is."""
    return await write(notification_preferences.update, body, expected_version=write.expected)


@router.post("/unsubscribe", response_model=UnsubscribeOut)
async def unsubscribe(
    token: Annotated[str, Query(max_length=200, description="The token of the message.")],
    actor: OptionalActor,
    session: WriteSession,
    state: AppState,
    one_click: Annotated[
        str | None, Form(alias="List-Unsubscribe", max_length=20, description="One-Click, as RFC 8058 has it.")
    ] = None,
) -> Ended:
    """End what a message was sent for: what its List-Unsubscribe header names (RFC 8058). It takes no login."""
    data = Unsubscribe(token=token)
    return await notification_preferences.unsubscribe(session, actor, data, tokens=state.security.mail_tokens)
