"""Notifications: what happened that concerns a person. They are the person's own, and made from the feed
(``services.events.notifier``), never in the transaction of what they tell of."""

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from pydantic import Field
from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy import update as sql_update

from core.clock import now
from db.driver.database import Database
from db.driver.sessions import AnySelect, Session
from db.models import Notification
from db.sequences import last_given
from services.comments import CommentOut
from services.events.feed import FRESH_SECONDS, Batch
from services.events.notices import NotificationKind
from services.events.notification_feed import NotificationFeed
from services.events.notifier import KEPT
from services.projects.models import ProjectOut
from services.projects.queries import among_visible
from services.shared import node_ids
from services.shared.actors import Actor, Scope
from services.shared.errors import ResyncRequired
from services.shared.features import Feature, NodeType, Operation, Who
from services.shared.filters import Column, Filter, Filtering, Flag
from services.shared.inputs import Bool, Input, NotificationId, absent
from services.shared.operators import ProjectRefFilter, TaskRefFilter, TimestampFilter, UserRefFilter, none_of, one_of
from services.shared.outputs import CreatedAt, DatabaseId, NodeId, Output
from services.shared.pagination import Ordering, SortKey
from services.shared.reading import ListReader
from services.tasks.models import TaskOut
from services.users.models import UserSummary

TAKEN = 100
"""How many notifications are told together."""


class NotificationUpdate(Input):
    """Changes a notification."""

    read: Bool = Field(description="Whether it has been read.", examples=[True])


class NotificationsUpdate(Input):
    """Changes all of the caller's notifications, or those up to one."""

    read: Bool = Field(description="Whether they have been read.", examples=[True])
    through_id: NotificationId = Field(
        default_factory=absent, description="Only this one and older ones: what came since was not seen."
    )


class NotificationOut(Output):
    """That something happened which concerns the caller."""

    id: DatabaseId
    node_id: NodeId
    kind: NotificationKind = Field(description="Why it concerns the caller.")
    event_id: str = Field(description="The stable id of the event (UUIDv7): the same as in the feed of changes.")
    actor_id: int | None = Field(description="The user who did it; null for the system.")
    project_id: int | None = Field(description="The project that it happened in.")
    task_id: int | None = Field(description="The task that it is about; of one that may begin now, that one.")
    comment_id: int | None = Field(description="The comment that it is about.")
    read_at: datetime | None = Field(description="When it was read, in UTC; null where it is unread.")
    created_at: CreatedAt


class NotificationWithRelations(NotificationOut):
    """That something happened which concerns the caller, with what ``expand`` names."""

    actor: UserSummary | None = Field(default=None, description="With expand=actor: the user who did it.")
    project: ProjectOut | None = Field(default=None, description="With expand=project: the project, while it is read.")
    task: TaskOut | None = Field(default=None, description="With expand=task: the task, while it can be read.")
    comment: CommentOut | None = Field(
        default=None, description="With expand=comment: the comment, while it can be read."
    )


class NotificationKindFilter(Input):
    """Conditions on why something concerns the caller."""

    eq: NotificationKind = Field(default_factory=absent, description="Is this one.")
    ne: NotificationKind = Field(default_factory=absent, description="Is another one.")
    in_: list[NotificationKind] = one_of("Is one of these.")
    not_in: list[NotificationKind] = none_of("Is none of these.")


class NotificationFilter(Filter):
    """Which notifications. Every condition given must hold."""

    unread: Bool = Field(default_factory=absent, description="It is unread (true), or was read (false).")
    kind: NotificationKindFilter = Field(default_factory=absent, description="Why it concerns the caller.")
    actor: UserRefFilter = Field(default_factory=absent, description="The user who did it.")
    project: ProjectRefFilter = Field(default_factory=absent, description="The project that it happened in.")
    task: TaskRefFilter = Field(default_factory=absent, description="The task that it is about.")
    created_at: TimestampFilter = Field(default_factory=absent, description="When it was made.")


class NotificationsOut(Output):
    """How many notifications were changed."""

    changed: int = Field(description="How many notifications were not so before.")


class NotificationRecord(NamedTuple):
    """A notification as its owner reads it."""

    id: int
    kind: str
    event_id: str
    actor_id: int | None
    project_id: int | None
    task_id: int | None
    comment_id: int | None
    read_at: datetime | None
    created_at: datetime

    @property
    def node_id(self) -> str:
        return node_ids.encode("Notification", self.id)


class Changed(NamedTuple):
    """How many notifications were changed."""

    changed: int


COLUMNS = tuple(getattr(Notification, name) for name in NotificationRecord._fields)
NEWEST_FIRST = Ordering(SortKey("id", Notification.id, Notification.id, kind="integer"), descending=True)


def _mine(actor: Actor) -> ColumnElement[bool]:
    """Whether a notification is the caller's, and to a key that is limited of one of its projects."""
    mine = Notification.user_id == actor.user_id
    if actor.limited_by is None:
        return mine
    return and_(mine, or_(Notification.project_id.is_(None), among_visible(Notification.project_id, actor)))


def visible(actor: Actor) -> AnySelect:
    """The caller's notifications."""
    return select(*COLUMNS).where(_mine(actor))


_READER = ListReader(
    "Notification",
    visible,
    NotificationRecord._make,
    NEWEST_FIRST,
    filtering=Filtering(
        NotificationFilter,
        {
            "unread": Flag(Notification.read_at.is_(None)),
            "kind": Column(Notification.kind),
            "actor": Column(Notification.actor_id),
            "project": Column(Notification.project_id),
            "task": Column(Notification.task_id),
            "created_at": Column(Notification.created_at),
        },
    ),
)
get, by_ids, list_, count = _READER.get, _READER.by_ids, _READER.list_, _READER.count


class ToldNotifications:
    """Notifications that somebody is to be told of, oldest first, and since when it is known that he may be."""

    def __init__(self, database: Database, actor: Actor, items: Sequence[NotificationRecord]) -> None:
        self.items = items
        self._database, self._actor = database, actor
        self._judged_at = time.monotonic()

    @property
    def is_stale(self) -> bool:
        """Whether it has to be asked again whether he may be told of them."""
        return time.monotonic() - self._judged_at > FRESH_SECONDS

    async def again(self, first: int = 0) -> Batch[NotificationRecord]:
        """What of them he may be told of now, from one of them on."""
        wanted = [item.id for item in self.items[first:]]
        found = await by_ids(self._database.reads, self._actor, wanted)
        return ToldNotifications(self._database, self._actor, [found[id_] for id_ in wanted if id_ in found])


async def place(session: Session, actor: Actor, after: int | None) -> int:
    """Where a follower begins: behind a notification, or the caller's newest where none is given.

    Of ``after`` it does not matter whether it is there (any more): ids are in the order in which notifications are
    made. Raises ``ResyncRequired`` for one beyond any that there ever was: the database was set back.
    """
    actor.require(Scope.TASKS_READ)
    if after is None:
        return await session.scalar(select(func.coalesce(func.max(Notification.id), 0)).where(_mine(actor))) or 0
    if after > await last_given(session, Notification):
        raise ResyncRequired
    return after


async def follow(
    database: Database, feed: NotificationFeed, actor: Actor, after: int | None
) -> AsyncGenerator[Batch[NotificationRecord]]:
    """The caller's notifications after one, or from now on, as they come, for as long as somebody listens. Raises as
    ``place`` does."""
    user_id = actor.require(Scope.TASKS_READ)
    async with feed.joined(user_id) as woken:
        reached = await place(database.reads, actor, after)
        while True:
            woken.clear()
            following = visible(actor).where(Notification.id > reached).order_by(Notification.id).limit(TAKEN)
            items = [NotificationRecord._make(row) for row in await database.reads.all(following)]
            if items:
                reached = items[-1].id
                yield ToldNotifications(database, actor, items)
            if len(items) < TAKEN:
                await woken.wait()


async def update(session: Session, actor: Actor, notification_id: int, data: NotificationUpdate) -> NotificationRecord:
    """Say whether a notification has been read. Raises ``NotFound``."""
    actor.require(Scope.TASKS_WRITE)
    found = await get(session, actor, notification_id)
    if (found.read_at is not None) is data.read:
        return found
    await _set(session, actor, {"id": notification_id}, data.read)
    return await get(session, actor, notification_id)


async def update_all(session: Session, actor: Actor, data: NotificationsUpdate) -> Changed:
    """Say whether all of the caller's notifications have been read, or those up to one. Raises ``NotFound``."""
    actor.require(Scope.TASKS_WRITE)
    through = data.through_id if "through_id" in data.model_fields_set else None
    if through is not None:
        await get(session, actor, through)
    return Changed(await _set(session, actor, {} if through is None else {"through": through}, data.read))


async def _set(session: Session, actor: Actor, which: Mapping[str, int], read: bool) -> int:
    """Returns how many were not so before: of those, when they were read stays as it is."""
    statement = sql_update(Notification).where(
        _mine(actor),
        Notification.read_at.is_(None) if read else Notification.read_at.is_not(None),
    )
    if "id" in which:
        statement = statement.where(Notification.id == which["id"])
    if "through" in which:
        statement = statement.where(Notification.id <= which["through"])
    return await session.execute(statement.values(read_at=now() if read else None))


FEATURE = Feature(
    "notifications",
    operations=(
        Operation("list_notifications", "Query.notifications", Who.ACCOUNT, Scope.TASKS_READ),
        Operation("query_notifications", "Query.notifications", Who.ACCOUNT, Scope.TASKS_READ),
        Operation("follow_notifications", "Subscription.notificationReceived", Who.ACCOUNT, Scope.TASKS_READ),
        Operation("update_notifications", "Mutation.updateNotifications", Who.ACCOUNT, Scope.TASKS_WRITE),
        Operation("get_notification", "Query.notification", Who.SELF, Scope.TASKS_READ),
        Operation("update_notification", "Mutation.updateNotification", Who.SELF, Scope.TASKS_WRITE),
    ),
    about="What happened that concerns a person.",
    nodes=(NodeType("Notification", by_ids, NotificationOut),),
    limits={"notifications of a person": KEPT},
)
