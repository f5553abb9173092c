from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.dependencies.auth import CurrentActor
from api.dependencies.lists import ListCall, ListShape, Shorthands, add_query
from api.dependencies.parameters import NotificationPath
from api.dependencies.sessions import ReadSession, WriteSession
from api.dependencies.state import AppState
from api.dependencies.streams import stream
from api.http.cache_control import Kind, answers
from api.http.route import StrictRoute
from api.http.serializers import serializer_for
from api.sse import MEDIA_TYPE, event
from core.deadlines import current
from core.json_texts import encode
from services import comments, notifications
from services.notifications import (
    Changed,
    NotificationFilter,
    NotificationOut,
    NotificationRecord,
    NotificationsOut,
    NotificationsUpdate,
    NotificationUpdate,
    NotificationWithRelations,
)
from services.projects import queries as projects
from services.shared.expansions import Along, Expanded
from services.shared.node_ids import MAX_DATABASE_ID
from services.tasks import queries as tasks
from services.users import queries as users

router = APIRouter(route_class=StrictRoute, prefix="/notifications", tags=["notifications"])

EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stream of events: of each, the id is the notification's, the event its kind, the data the "
        "notification.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    }
}
_serialize = serializer_for(NotificationOut)


class NotificationShorthands(Shorthands):
    unread: bool | None = Field(None, description="Only those that are unread (true), or that were read (false).")

    def conditions(self) -> Iterable[dict[str, Any]]:
        if self.unread is not None:
            yield {"unread": self.unread}


_LIST = ListShape(
    NotificationWithRelations,
    "a notification",
    filter=NotificationFilter,
    relations={
        "actor": Along(users.by_ids, "actor_id"),
        "project": Along(projects.by_ids, "project_id"),
        "task": Along(tasks.by_ids, "task_id"),
        "comment": Along(comments.by_ids, "comment_id"),
    },
    shorthands=NotificationShorthands,
    # they come, and are read, without an event
    told=False,
)


@router.get("", response_model=list[NotificationWithRelations], response_model_exclude_unset=True)
async def list_notifications(
    listing: Annotated[ListCall[NotificationFilter], Depends(_LIST.listing)],
) -> Sequence[NotificationRecord | Expanded] | Response:
    """What happened that concerns the caller, newest first."""
    return await listing(notifications.list_, notifications.count)


async def query_notifications(
    body: NotificationFilter, listing: Annotated[ListCall[NotificationFilter], Depends(_LIST.querying)]
) -> Sequence[NotificationRecord | Expanded] | Response:
    """As GET /notifications, with the filter as the body. It changes nothing."""
    return await listing.by(body)(notifications.list_, notifications.count)


add_query(router, "", query_notifications, list[NotificationWithRelations], response_model_exclude_unset=True)


@router.patch("", response_model=NotificationsOut)
async def update_notifications(body: NotificationsUpdate, actor: CurrentActor, session: WriteSession) -> Changed:
    """Say that all of the caller's notifications, those up to one, or some have been read, or not, or put them off."""
    return await notifications.update_all(session, actor, body)


class LiveQuery(BaseModel):
    """Where to go on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after: int | None = Field(
        None, ge=0, le=MAX_DATABASE_ID, description="The id of a notification: those after it. Left out, it is now."
    )


LastNotificationId = Annotated[
    int | None,
    Header(
        alias="Last-Event-ID",
        ge=0,
        le=MAX_DATABASE_ID,
        description="Where a stream that broke off goes on; it comes before ``after``.",
    ),
]


@router.get("/live", response_model=None, responses=EVENTS)
@answers(Kind.STREAM)
async def follow_notifications(
    query: Annotated[LiveQuery, Query()],
    request: Request,
    state: AppState,
    actor: CurrentActor,
    last_event_id: LastNotificationId = None,
) -> Response:
    """The caller's notifications as they are made: a stream of server-sent events, whose ids are theirs. It ends
    within a second of the session or the key that it came by."""
    # what is wrong is said before the stream begins
    after = query.after if last_event_id is None else last_event_id
    start = await notifications.place(state.database.reads, actor, after)

    async def written(items: Sequence[NotificationRecord]) -> Sequence[bytes]:
        current.get().renew()
        return [event(item.kind, encode(_serialize(item)), id=str(item.id)) for item in items]

    told = notifications.follow(state.database, state.notification_feed, actor, start)
    return stream(request, state, actor, str(start), told, written)


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
    """Say that a notification has been read, or not, or put it off."""
    return await notifications.update(session, actor, notification_id, body)
