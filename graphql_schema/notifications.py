from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import UNSET

from graphql_schema.comments import Comment
from graphql_schema.projects import Project
from graphql_schema.shared.base import Node, attribute, enumeration, output_type, service_input, to_service_input
from graphql_schema.shared.connections import (
    After,
    Before,
    Connection,
    First,
    Last,
    connect,
    none_if_unset,
    page_request,
)
from graphql_schema.shared.context import Info
from graphql_schema.shared.loading import PAGED, relation_field
from graphql_schema.shared.parts import Part
from graphql_schema.shared.prices import priced
from graphql_schema.shared.root_fields import node_field, update_field
from graphql_schema.tasks import Task
from graphql_schema.users import User
from services import comments, notifications
from services.events.notices import NotificationKind
from services.notifications import NotificationOut, NotificationRecord, NotificationsUpdate, NotificationUpdate
from services.projects import queries as projects
from services.shared.inputs import NotificationId
from services.shared.totals import Total
from services.tasks import queries as tasks
from services.users import queries as users

enumeration(
    NotificationKind,
    "Why something concerns a person.",
    MENTIONED="A text mentions the person: @username.",
    ASSIGNED="The person is to do the task.",
    UNBLOCKED="What blocked a task that the person follows is done.",
    COMMENTED="Somebody commented on a task that the person follows.",
    STATUS_CHANGED="A task that the person follows stands elsewhere.",
    ADDED="The person was added to the project.",
    REMOVED="The person was removed from the project.",
)


@output_type(NotificationOut, record=NotificationRecord)
class Notification(Node):
    database_id: int = attribute("id")
    kind: NotificationKind
    event_id: str
    read_at: datetime | None
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


@strawberry.type
class NotificationQueries:
    notification: Notification | None = node_field(
        "Notification", notifications.get, "One of the caller's notifications; null where there is none."
    )

    @strawberry.field(description="What happened that concerns the caller, newest first.", metadata=priced(PAGED))
    async def notifications(
        self,
        info: Info,
        unread: Annotated[
            bool | None,
            strawberry.argument(description="Only those that are unread (true), or that were read (false)."),
        ] = UNSET,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[Notification]:
        context, request, chosen = info.context, page_request(first, after, last, before), none_if_unset(unread)

        async def count(exact: bool) -> Total:
            async with context.reading() as session:
                return await notifications.count(session, context.actor, unread=chosen, exact=exact)

        async with context.reading() as session:
            return connect(await notifications.list_(session, context.actor, request, unread=chosen), count)


@strawberry.type
class NotificationMutations:
    update_notification = update_field(
        Notification,
        notifications.update,
        NotificationUpdate,
        "Say that a notification has been read, or not.",
        id=NotificationId,
    )

    @strawberry.mutation(
        description="Say that all of the caller's notifications have been read, or not, or those up to one."
    )
    async def update_notifications(
        self, info: Info, input: UpdateNotificationsInput
    ) -> UpdateNotificationsPayload | None:
        async with info.context.writing() as session:
            data = to_service_input(NotificationsUpdate, input)
            done = await notifications.update_all(session, info.context.actor, data)
        return UpdateNotificationsPayload(changed=done.changed)


PART = Part(queries=NotificationQueries, mutations=NotificationMutations)
