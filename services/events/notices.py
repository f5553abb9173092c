"""Whom an event concerns, and why: notifications are made from the feed, once each, after what they tell of.

One process at a time goes through the events behind ``notification_progress``, in the order of their positions, and
writes what comes of them together with how far it went: so each event is gone through once, and a row that is there
already (the same event for the same person) is left alone, should somebody set the position back.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import delete, func, select, union_all, update

from core.clock import now
from db import advisory_locks
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.lists import in_list, one_of
from db.models import Comment, Event, Membership, Notification, NotificationProgress, Relation, Task, TaskAssignee, User
from db.upserts import insert_or_ignore
from services.events.catalogue import (
    COMMENT_CREATED,
    COMMENT_UPDATED,
    MEMBER_ADDED,
    MEMBER_REMOVED,
    TASK_CREATED,
    TASK_UPDATED,
)
from services.events.numbering import END
from services.shared.bulk_writing import write_all
from services.shared.statements import parameter
from services.shared.text import fold_username
from services.tasks.models import TaskStatus

LOCK_KEY = 7_264_703
BATCH = 200
KEPT = 1_000
"""The notifications of a person: of more, the oldest go."""
KEPT_DAYS = 90
_MENTION = re.compile(r"(?<![\w@/.])@([A-Za-z0-9_]{3,50})(?![\w@])")
MAX_MENTIONED = 50
"""The people whom one text can mention."""


class NotificationKind(StrEnum):
    """Why something concerns a person; what comes first here is told, where it does for several reasons."""

    MENTIONED = "mentioned"
    ASSIGNED = "assigned"
    UNBLOCKED = "unblocked"
    COMMENTED = "commented"
    STATUS_CHANGED = "status_changed"
    ADDED = "added"
    REMOVED = "removed"


class Happened(NamedTuple):
    """An event, with what was before and after."""

    position: int
    event_id: str
    kind: str
    entity_id: int
    task_id: int | None
    project_id: int | None
    actor_id: int | None
    notify: bool
    occurred_at: datetime
    changes: Mapping[str, Sequence[Any]]

    def after(self, field: str) -> Any:
        """The value after the change; None where the field did not change."""
        return self.changes.get(field, (None, None))[1]


class Notice(NamedTuple):
    """That an event concerns somebody."""

    user_id: int
    kind: NotificationKind
    event: Happened
    task_id: int | None = None
    project_id: int | None = None


_KINDS = [
    kind.name for kind in (TASK_CREATED, TASK_UPDATED, COMMENT_CREATED, COMMENT_UPDATED, MEMBER_ADDED, MEMBER_REMOVED)
]
_NEXT = Prepared(
    select(*(getattr(Event, name) for name in Happened._fields))
    .where(
        Event.position > parameter("after"), Event.position <= parameter("until"), Event.kind.in_(_KINDS), Event.notify
    )
    .order_by(Event.position)
    .limit(BATCH),
    Happened,
)
_FOLLOWERS = Prepared(
    union_all(
        select(Task.id, Task.created_by_id).where(in_list(Task.id, "ids"), Task.created_by_id.is_not(None)),
        select(TaskAssignee.task_id, TaskAssignee.user_id).where(in_list(TaskAssignee.task_id, "ids")),
        select(Comment.task_id, Comment.author_id)
        .where(in_list(Comment.task_id, "ids"), Comment.author_id.is_not(None))
        .distinct(),
    )
)
_BLOCKED = Prepared(
    select(Relation.source_id, Task.id, Task.project_id)
    .join(Task, Task.id == Relation.target_id)
    .where(
        in_list(Relation.source_id, "ids"),
        Relation.kind == "blocks",
        Task.deleted_at.is_(None),
        Task.status.not_in([TaskStatus.COMPLETED.value, TaskStatus.CANCELLED.value]),
    )
)
_MEMBERS = Prepared(
    select(Membership.project_id, Membership.user_id).where(
        in_list(Membership.project_id, "projects"), in_list(Membership.user_id, "users")
    )
)


_INSERT = Prepared(
    insert_or_ignore(Notification), keys=[column.key for column in Notification.__table__.columns if column.key != "id"]
)


async def make_notifications(session: Session, *, wait: bool = False) -> int | None:
    """Go through the next events, a batch at most. Returns how many there were, or None where another process does so
    now; it waits for that one where it is to ``wait``."""
    if wait:
        await advisory_locks.lock(session, LOCK_KEY)
    elif not await advisory_locks.try_lock(session, LOCK_KEY):
        return None
    position = int(await session.scalar(select(NotificationProgress.position)))
    end = int(await session.scalar(END))
    if end <= position:
        return 0
    events = await session.all(_NEXT(after=position, until=end))
    notices = await _notices(session, events)
    if notices:
        await _write(session, notices)
    reached = events[-1].position if len(events) == BATCH else end
    await session.execute(update(NotificationProgress).values(position=reached))
    return len(events)


def mentioned(text: str | None) -> set[str]:
    """The names that a text mentions (``@ada``), folded; of very many, the first."""
    found = dict.fromkeys(fold_username(name) for name in _MENTION.findall(text or ""))
    return set([*found][:MAX_MENTIONED])


async def _notices(session: Session, events: Sequence[Happened]) -> list[Notice]:
    """Whom the events concern, each person once for each; in five statements at most."""
    named = {event.event_id: _newly_mentioned(event) for event in events}
    people = await _people(session, set().union(*named.values()) if named else ())
    done = {event.entity_id for event in events if event.after("status") == TaskStatus.COMPLETED.value}
    blocked: dict[int, list[tuple[int, int]]] = defaultdict(list)
    if done:
        for source, target, project in await session.all(_BLOCKED(ids=done)):
            blocked[source].append((target, project))
    tasks = {event.task_id for event in events if event.task_id is not None and _is_followed(event)}
    tasks |= {task for found in blocked.values() for task, _ in found}
    followers: dict[int, set[int]] = defaultdict(set)
    if tasks:
        for task, user in await session.all(_FOLLOWERS(ids=tasks)):
            followers[task].add(user)
    found: list[Notice] = []
    for event in events:
        found += _of(event, [people[name] for name in named[event.event_id] if name in people], blocked, followers)
    return await _permitted(session, _once(found))


def _of(
    event: Happened,
    named: Iterable[int],
    blocked: Mapping[int, Sequence[tuple[int, int]]],
    followers: Mapping[int, Collection[int]],
) -> list[Notice]:
    """Whom an event concerns, for every reason that there is."""
    if event.kind in (MEMBER_ADDED.name, MEMBER_REMOVED.name):
        kind = NotificationKind.ADDED if event.kind == MEMBER_ADDED.name else NotificationKind.REMOVED
        return [Notice(event.entity_id, kind, event)]
    notices = [Notice(user, NotificationKind.MENTIONED, event) for user in named]
    before, after = event.changes.get("assignee_ids", (None, None))
    notices += [Notice(user, NotificationKind.ASSIGNED, event) for user in after or () if user not in (before or ())]
    if event.task_id is not None and _is_followed(event):
        kind = NotificationKind.COMMENTED if event.kind == COMMENT_CREATED.name else NotificationKind.STATUS_CHANGED
        notices += [Notice(user, kind, event) for user in followers.get(event.task_id, ())]
    if event.after("status") == TaskStatus.COMPLETED.value:
        for task, project in blocked.get(event.entity_id, ()):
            notices += [
                Notice(user, NotificationKind.UNBLOCKED, event, task, project) for user in followers.get(task, ())
            ]
    return notices


def _is_followed(event: Happened) -> bool:
    """Whether it is told to those who made the task, are to do it, or commented on it."""
    if event.kind == TASK_UPDATED.name:
        return "status" in event.changes
    return event.kind == COMMENT_CREATED.name


def _newly_mentioned(event: Happened) -> set[str]:
    """The names that its text mentions, and did not before."""
    field = "body" if event.kind in (COMMENT_CREATED.name, COMMENT_UPDATED.name) else "description"
    before, after = event.changes.get(field, (None, None))
    return mentioned(after) - mentioned(before)


def _once(notices: Iterable[Notice]) -> list[Notice]:
    """One of each event for each person, for the first reason; none for whoever did it."""
    first: dict[tuple[int, str], Notice] = {}
    order = [*NotificationKind]
    for notice in sorted(notices, key=lambda each: (each.event.position, order.index(each.kind))):
        if notice.user_id != notice.event.actor_id:
            first.setdefault((notice.user_id, notice.event.event_id), notice)
    return [*first.values()]


async def _permitted(session: Session, notices: Sequence[Notice]) -> list[Notice]:
    """Those of people who may read what it is about, now; who was removed is told that all the same."""
    projects = {notice.project_id or notice.event.project_id for notice in notices} - {None}
    users = {notice.user_id for notice in notices}
    members: set[tuple[int, int]] = set()
    if projects and users:
        members = {(project, user) for project, user in await session.all(_MEMBERS(projects=projects, users=users))}
    return [
        notice
        for notice in notices
        if notice.kind is NotificationKind.REMOVED
        or (notice.project_id or notice.event.project_id, notice.user_id) in members
    ]


async def _people(session: Session, names: Collection[str]) -> dict[str, int]:
    """The ids of the accounts with these names."""
    if not names:
        return {}
    statement = select(User.username_folded, User.id).where(User.username_folded.in_(names), User.disabled.is_(False))
    return dict(await session.all(statement))


async def _write(session: Session, notices: Sequence[Notice]) -> None:
    moment = now()
    rows = [
        {
            "user_id": notice.user_id,
            "event_id": notice.event.event_id,
            "kind": notice.kind.value,
            "actor_id": notice.event.actor_id,
            "project_id": notice.project_id or notice.event.project_id,
            "task_id": notice.task_id or notice.event.task_id,
            "comment_id": notice.event.entity_id if notice.event.kind.startswith("comment.") else None,
            "read_at": None,
            "created_at": moment,
        }
        for notice in notices
    ]
    await write_all(session, _INSERT, rows)
    await _purge(session, {notice.user_id for notice in notices}, moment)


async def _purge(session: Session, users: Collection[int], moment: datetime) -> None:
    """Drop what is more than a person keeps, of people who have just got more."""
    numbered = (
        select(
            Notification.id,
            func.row_number().over(partition_by=Notification.user_id, order_by=Notification.id.desc()).label("number"),
        )
        .where(one_of(Notification.user_id, [*users]))
        .subquery()
    )
    too_many = select(numbered.c.id).where(numbered.c.number > KEPT)
    await session.execute(delete(Notification).where(Notification.id.in_(too_many)))
    await session.execute(
        delete(Notification).where(
            one_of(Notification.user_id, [*users]), Notification.created_at < moment - timedelta(days=KEPT_DAYS)
        )
    )
