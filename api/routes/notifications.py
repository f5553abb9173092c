from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from api.dependencies.auth import CurrentActor
from api.dependencies.pages import ListQuery, items_of
from api.dependencies.parameters import NotificationPath
from api.dependencies.sessions import ReadSession, WriteSession
from api.http.route import StrictRoute
from services import notifications
from services.notifications import (
    Changed,
    NotificationOut,
    NotificationRecord,
    NotificationsOut,
    NotificationsUpdate,
    NotificationUpdate,
)

router = APIRouter(route_class=StrictRoute, prefix="/notifications", tags=["notifications"])


class NotificationListQuery(ListQuery):
    unread: bool | None = Field(None, description="Only those that are unread (true), or that were read (false).")


@router.get("", response_model=list[NotificationOut])
async def list_notifications(
    query: Annotated[NotificationListQuery, Query()],
    actor: CurrentActor,
    session: ReadSession,
    request: Request,
    response: Response,
) -> Sequence[NotificationRecord]:
    """What happened that concerns the caller, newest first."""
    page = await notifications.list_(session, actor, query.page, unread=query.unread)
    count = partial(notifications.count, session, actor, unread=query.unread)
    return await items_of(page, query, request, response, count)


@router.patch("", response_model=NotificationsOut)
async def update_notifications(body: NotificationsUpdate, actor: CurrentActor, session: WriteSession) -> Changed:
    """Say that all of the caller's notifications have been read, or not, or those up to one."""
    return await notifications.update_all(session, actor, body)


@router.get("/{notification_id}", response_model=NotificationOut)
async def get_notification(
    notification_id: NotificationPath, actor: CurrentActor, session: ReadSession
) -> NotificationRecord:
    """One of the caller's notifications."""
    return await notifications.get(session, actor, notification_id)


@router.patch("/{notification_id}", response_model=NotificationOut)
async def update_notification(
    notification_id: NotificationPath, body: NotificationUpdate, actor: CurrentActor, session: WriteSession
) -> NotificationRecord:
    """Say that a notification has been read, or not."""
    return await notifications.update(session, actor, notification_id, body)
