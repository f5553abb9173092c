from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, Any

import strawberry
from strawberry import UNSET

from graphql_schema.comments import Comment
from graphql_schema.notification_kinds import NotificationKind
from graphql_schema.projects import Project
from graphql_schema.shared.base import (
    FieldDeclaration,
    Node,
    attribute,
    output_type,
    service_input,
    to_service_input,
)
from graphql_schema.shared.conditions import filter_argument
from graphql_schema.shared.connections import (
    After,
    Before,
    Connection,
    First,
    Last,
    none_if_unset,
    page_request,
)
from graphql_schema.shared.context import Info
from graphql_schema.shared.following import as_told
from graphql_schema.shared.ids import parse_id
from graphql_schema.shared.loading import PAGED, relation_field
from graphql_schema.shared.parts import Part
from graphql_schema.shared.prices import Price, priced
from graphql_schema.shared.root_fields import listed, node_field, update_field
from graphql_schema.tasks import Task
from graphql_schema.users import User
from services import comments, notifications
from services.notifications import (
    NotificationFilter,
    NotificationOut,
    NotificationRecord,
    NotificationsUpdate,
    NotificationUpdate,
)
from services.projects import queries as projects
from services.shared.inputs import NotificationId
from services.shared.prices import STATEMENT
from services.tasks import queries as tasks
from services.users import queries as users


@output_type(NotificationOut, record=NotificationRecord)
class Notification(Node):
    database_id: int = attribute("id")
    kind: NotificationKind
    event_id: str
    actor_id: int | None
    project_id: int | None
    task_id: int | None
    comment_id: int | None
    read_at: datetime | None
    snoozed_until: datetime | None
    created_at: datetime

    actor: User | None = relation_field(
        "users",
        users.by_ids,
        by="actor_id",
        description="The user who did it; null for the system, and for those with whom the caller shares no project.",
    )
    project: Project | None = relation_field(
        "projects", projects.by_ids, by="project_id", description="The project that it happened in, while it is read."
    )
    task: Task | None = relation_field(
        "tasks", tasks.by_ids, by="task_id", description="The task that it is about, while it can be read."
    )
    comment: Comment | None = relation_field(
        "comments", comments.by_ids, by="comment_id", description="The comment that it is about, while it can be read."
    )


@service_input()
class UpdateNotificationsInput(NotificationsUpdate): ...


@strawberry.type(description="How many notifications were changed.")
class UpdateNotificationsPayload:
    changed: int = strawberry.field(description="How many notifications were not so before.")


def _notifications(description: str) -> FieldDeclaration:
    async def resolve(
        info: Info,
        unread: Annotated[
            bool | None,
            strawberry.argument(description="Only those that are unread (true), or that were read (false)."),
        ] = UNSET,
        filter: Any = UNSET,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> object:
        which: NotificationFilter | None = none_if_unset(filter)
        if none_if_unset(unread) is not None:
            which = NotificationFilter.model_validate({"and": [each for each in ({"unread": unread}, which) if each]})
        request = page_request(first, after, last, before)
        return await listed(info.context, notifications.list_, notifications.count, which, request)

    # the class's own annotation is the field's type
    resolve.__annotations__.pop("return")
    resolve.__annotations__["filter"] = filter_argument(NotificationFilter)
    return strawberry.field(resolver=resolve, description=description, metadata=priced(PAGED))


@strawberry.type
class NotificationQueries:
    notification: Notification | None = node_field(
        "Notification", notifications.get, "One of the caller's notifications; null where there is none."
    )

    notifications: Connection[Notification] = _notifications("What happened that concerns the caller, newest first.")


@strawberry.type
class NotificationSubscriptions:
    @strawberry.subscription(
        description="The caller's notifications as they are made, or after one, as they come.",
        metadata=priced(Price(call=STATEMENT)),
    )
    async def notification_received(
        self,
        info: Info,
        after: Annotated[
            strawberry.ID | None,
            strawberry.argument(description="A notification: those after it. Left out, it is now."),
        ] = UNSET,
    ) -> AsyncGenerator[Notification, None]:
        context, given = info.context, none_if_unset(after)
        start = None if given is None else parse_id("Notification", given, pointer="/after")
        async for told in as_told(
            notifications.follow(context.database, context.notification_feed, context.actor, start)
        ):
            yield told


@strawberry.type
class NotificationMutations:
    update_notification = update_field(
        Notification,
        notifications.update,
        NotificationUpdate,
        "Say that a notification has been read, or not, or put it off.",
        id=NotificationId,
    )

    @strawberry.mutation(
        description="Say that all of the caller's notifications, those up to one, or some have been read, or not, or "
        "put them off."
    )
    async def update_notifications(
        self, info: Info, input: UpdateNotificationsInput
    ) -> UpdateNotificationsPayload | None:
        async with info.context.writing() as session:
            data = to_service_input(NotificationsUpdate, input)
            done = await notifications.update_all(session, info.context.actor, data)
        return UpdateNotificationsPayload(changed=done.changed)


PART = Part(queries=NotificationQueries, mutations=NotificationMutations, subscriptions=NotificationSubscriptions)
