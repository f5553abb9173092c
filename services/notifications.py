"""Notifications: what happened that concerns a person. They are the person's own, and made from the feed
(``services.events.notifier``), never in the transaction of what they tell of."""

import time
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import NamedTuple

from pydantic import Field
from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy import update as sql_update

from core.clock import now
from db.driver.database import Database
from db.driver.sessions import AnySelect, Session
from db.lists import one_of as among
from db.models import Notification
from db.sequences import last_given
from services.comments import CommentOut
from services.events.feed import FRESH_SECONDS, Batch
from services.events.notices import NotificationKind
from services.events.notification_feed import NotificationFeed
from services.events.notifier import KEPT
from services.events.waking import wake
from services.projects.models import ProjectOut
from services.projects.queries import among_visible
from services.reminders import SnoozeUntil, within_snooze
from services.shared import node_ids
from services.shared.actors import Actor, Scope
from services.shared.errors import BadUserInput, NotFound, ResyncRequired
from services.shared.features import Feature, NodeType, Operation, Who
from services.shared.filters import Column, Filter, Filtering, Flag
from services.shared.inputs import Bool, Input, NotificationId, absent
from services.shared.operators import ProjectRefFilter, TaskRefFilter, TimestampFilter, UserRefFilter, none_of, one_of
from services.shared.outputs import CreatedAt, DatabaseId, NodeId, Output
from services.shared.pagination import Ordering, SortKey
from services.shared.reading import ListReader
from services.tasks.models import TaskOut
from services.users.models import UserSummary

SNOOZED = "Until when it is put off, at most 30 days: it is told again then. Null brings it back."
TAKEN = 100
"""How many notifications are told together."""


class NotificationUpdate(Input):
    """Changes a notification: whether it has been read, or until when it is put off."""

    read: Bool = Field(default_factory=absent, description="Whether it has been read.", examples=[True])
    snoozed_until: SnoozeUntil | None = Field(default_factory=absent, description=SNOOZED)


class NotificationsUpdate(Input):
    """Changes all of the caller's notifications, those up to one, or some: whether they have been read, or until when
    they are put off."""

    read: Bool = Field(default_factory=absent, description="Whether they have been read.", examples=[True])
    snoozed_until: SnoozeUntil | None = Field(default_factory=absent, description=SNOOZED)
    through_id: NotificationId = Field(
        default_factory=absent, description="Only this one and older ones: what came since was not seen."
    )
    ids: list[NotificationId] = Field(
        default_factory=absent, min_length=1, max_length=KEPT, description="Only these; not together with through_id."
    )


class NotificationOut(Output):
    """That something happened which concerns the caller."""

    id: DatabaseId
    node_id: NodeId
    kind: NotificationKind = Field(description="Why it concerns the caller.")
    event_id: str = Field(description="The stable id of the event (UUIDv7): the same as in the feed of changes.")
    actor_id: int | None = Field(description="The id of the user who did it; null for the system.")
    project_id: int | None = Field(description="The id of the project that it happened in, also where it is not read.")
    task_id: int | None = Field(description="The id of the task that it is about; of one that may begin now, that one.")
    comment_id: int | None = Field(description="The id of the comment that it is about.")
    read_at: datetime | None = Field(description="When it was read, in UTC; null where it is unread.")
    snoozed_until: datetime | None = Field(description="Until when it is put off, in UTC.")
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
    snoozed: Bool = Field(
        default_factory=absent, description="It is put off (true), or not (false): what is not asked for is not."
    )
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
    snoozed_until: datetime | None
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


class _NotificationReader(ListReader[NotificationRecord]):
    """Leaves out what is put off, unless a filter asks for it."""

    async def _narrowed(self, session: Session, actor: Actor, statement: AnySelect, filter: Filter | None) -> AnySelect:
        narrowed = await super()._narrowed(session, actor, statement, filter)
        return narrowed if _asks_for_snoozed(filter) else narrowed.where(Notification.snoozed_until.is_(None))


def _asks_for_snoozed(filter_: Filter | None) -> bool:
    if filter_ is None:
        return False
    sent = filter_.sent()
    inner = [*sent.get("and_", ()), *sent.get("or_", ()), *([sent["not_"]] if "not_" in sent else [])]
    return "snoozed" in sent or any(map(_asks_for_snoozed, inner))


_READER = _NotificationReader(
    "Notification",
    visible,
    NotificationRecord._make,
    NEWEST_FIRST,
    filtering=Filtering(
        NotificationFilter,
        {
            "unread": Flag(Notification.read_at.is_(None)),
            "snoozed": Flag(Notification.snoozed_until.is_not(None)),
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
            unseen = Notification.id > reached, Notification.snoozed_until.is_(None)
            following = visible(actor).where(*unseen).order_by(Notification.id).limit(TAKEN)
            items = [NotificationRecord._make(row) for row in await database.reads.all(following)]
            if items:
                reached = items[-1].id
                yield ToldNotifications(database, actor, items)
            if len(items) < TAKEN:
                await woken.wait()


async def update(session: Session, actor: Actor, notification_id: int, data: NotificationUpdate) -> NotificationRecord:
    """Say whether a notification has been read, or put it off. Raises ``NotFound``, ``BadUserInput``."""
    actor.require(Scope.TASKS_WRITE)
    await get(session, actor, notification_id)
    await _set(session, actor, data, Notification.id == notification_id)
    return await get(session, actor, notification_id)


async def update_all(session: Session, actor: Actor, data: NotificationsUpdate) -> Changed:
    """Say whether all of the caller's notifications have been read, those up to one, or some; or put them off. Those
    that are put off are meant where they are named, or brought back. Raises ``NotFound``, ``BadUserInput``."""
    actor.require(Scope.TASKS_WRITE)
    sent = data.sent()
    if {"through_id", "ids"} <= sent.keys():
        raise BadUserInput.at("/ids", "not together with through_id", "exclusive")
    if "ids" in sent:
        ids = {*data.ids}
        if (await by_ids(session, actor, ids)).keys() != ids:
            raise NotFound("Notification", pointer="/ids")
        return Changed(await _set(session, actor, data, among(Notification.id, ids)))
    which: list[ColumnElement[bool]] = []
    if "through_id" in sent:
        await get(session, actor, data.through_id)
        which.append(Notification.id <= data.through_id)
    if sent.get("snoozed_until", data) is not None:
        which.append(Notification.snoozed_until.is_(None))
    return Changed(await _set(session, actor, data, *which))


async def _set(
    session: Session, actor: Actor, data: NotificationUpdate | NotificationsUpdate, *which: ColumnElement[bool]
) -> int:
    """Returns how many were not so before: of those that were, when they were read stays as it is."""
    sent = data.sent()
    if ("read" in sent) is ("snoozed_until" in sent):
        raise BadUserInput.at("/read", "give read or snoozed_until, and not both")
    if "read" in sent:
        unread: ColumnElement[bool] = Notification.read_at.is_(None)
        differs = unread if data.read else ~unread
        values = {"read_at": now() if data.read else None}
    else:
        until = data.snoozed_until
        if until is not None:
            until = within_snooze(until, now(), pointer="/snoozed_until")
            await wake(session, {actor.require(Scope.TASKS_WRITE): until})
        differs = Notification.snoozed_until.is_distinct_from(until)
        values = {"snoozed_until": until} if until is not None else {"snoozed_until": None, "read_at": None}
    return await session.execute(sql_update(Notification).where(_mine(actor), differs, *which).values(**values))


FEATURE = Feature(
    "notifications",
    operations=(
        Operation("list_notifications", "Query.notifications", Who.ACCOUNT, Scope.TASKS_READ),
        Operation("query_notifications", "Query.notifications", Who.ACCOUNT, Scope.TASKS_READ),
        Operation(
            "follow_notifications",
            "Subscription.notificationReceived",
            Who.ACCOUNT,
            Scope.TASKS_READ,
            raises=(ResyncRequired,),
        ),
        Operation("update_notifications", "Mutation.updateNotifications", Who.ACCOUNT, Scope.TASKS_WRITE),
        Operation("get_notification", "Query.notification", Who.SELF, Scope.TASKS_READ),
        Operation("update_notification", "Mutation.updateNotification", Who.SELF, Scope.TASKS_WRITE),
    ),
    about="What happened that concerns a person.",
    nodes=(NodeType("Notification", by_ids, NotificationOut),),
    limits={"notifications of a person": KEPT},
)
