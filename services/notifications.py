"""Notifications: what happened that concerns a person. They are the person's own, and made from the feed
(``services.events.notices``), never in the transaction of what they tell of."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from pydantic import Field
from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy import update as sql_update

from core.clock import now
from db.driver.sessions import AnySelect, Session
from db.models import Notification
from services.events.notices import KEPT, NotificationKind
from services.projects.queries import among_visible
from services.shared import node_ids
from services.shared.actors import Actor, Scope
from services.shared.features import Feature, NodeType, Operation, Who
from services.shared.inputs import Bool, Input, NotificationId, absent
from services.shared.outputs import CreatedAt, DatabaseId, NodeId, Output
from services.shared.pagination import Ordering, Page, PageRequest, SortKey
from services.shared.reading import ListReader
from services.shared.totals import Total, total_of


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


_READER = ListReader("Notification", visible, NotificationRecord._make, NEWEST_FIRST)
get, by_ids = _READER.get, _READER.by_ids


async def list_(
    session: Session, actor: Actor, request: PageRequest, *, unread: bool | None = None
) -> Page[NotificationRecord]:
    """A page of the caller's notifications, newest first: all, the unread ones, or those that were read."""
    actor.require(Scope.TASKS_READ)
    return await _READER.page(session, actor, _chosen(actor, unread), request)


async def count(session: Session, actor: Actor, *, unread: bool | None = None, exact: bool = False) -> Total:
    """How many there are."""
    actor.require(Scope.TASKS_READ)
    return await total_of(session, _chosen(actor, unread), exact=exact)


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


def _chosen(actor: Actor, unread: bool | None) -> AnySelect:
    statement = visible(actor)
    if unread is None:
        return statement
    return statement.where(Notification.read_at.is_(None) if unread else Notification.read_at.is_not(None))


FEATURE = Feature(
    "notifications",
    operations=(
        Operation("list_notifications", "Query.notifications", Who.ACCOUNT, Scope.TASKS_READ),
        Operation("update_notifications", "Mutation.updateNotifications", Who.ACCOUNT, Scope.TASKS_WRITE),
        Operation("get_notification", "Query.notification", Who.SELF, Scope.TASKS_READ),
        Operation("update_notification", "Mutation.updateNotification", Who.SELF, Scope.TASKS_WRITE),
    ),
    about="What happened that concerns a person.",
    nodes=(NodeType("Notification", by_ids, NotificationOut),),
    limits={"notifications of a person": KEPT},
)
