"""Whom an event concerns, and why: notifications are made from the feed, once each, after what they tell of
(``services.events.notifier``)."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import literal, select, union_all

from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import Event, Membership, NotificationPreferences, Relation, Task, TaskAssignee, User
from services.events.catalogue import (
    COMMENT_CREATED,
    COMMENT_UPDATED,
    MEMBER_ADDED,
    MEMBER_REMOVED,
    TASK_CREATED,
    TASK_DUE_SOON,
    TASK_OVERDUE,
    TASK_UPDATED,
)
from services.shared.text import fold_username
from services.tasks.following import followers as followers_of
from services.tasks.models import TaskStatus

_MENTION = re.compile(r"(?<![\w@/.])@([A-Za-z0-9_]{3,50})(?![\w@])")
MAX_MENTIONED = 50
"""The people whom one text can mention."""


class NotificationKind(StrEnum):
    """Why something concerns a person; what comes first here is told, where it does for several reasons."""

    REMINDER = "reminder"
    MENTIONED = "mentioned"
    ASSIGNED = "assigned"
    OVERDUE = "overdue"
    DUE_SOON = "due_soon"
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
    by_mail: bool = False
    """Whether the person wants to have it by mail, too."""


class Wishes(NamedTuple):
    """What somebody wants to be told of, and what by mail."""

    muted_kinds: Collection[str] = ()
    muted_project_ids: Collection[int] = ()
    mailed_kinds: Collection[str] = ()


_OF_DATES = {TASK_DUE_SOON.name: NotificationKind.DUE_SOON, TASK_OVERDUE.name: NotificationKind.OVERDUE}
_OF_MEMBERS = {MEMBER_ADDED.name: NotificationKind.ADDED, MEMBER_REMOVED.name: NotificationKind.REMOVED}
KINDS = frozenset(
    {kind.name for kind in (TASK_CREATED, TASK_UPDATED, COMMENT_CREATED, COMMENT_UPDATED)}
    | _OF_DATES.keys()
    | _OF_MEMBERS.keys()
)
"""The events that may concern somebody."""
_HAPPENED = Prepared(
    select(*(getattr(Event, name) for name in Happened._fields))
    .where(in_list(Event.id, "ids"), Event.notify)
    .order_by(Event.position),
    Happened,
)
_DOERS = Prepared(
    union_all(
        select(TaskAssignee.task_id, TaskAssignee.user_id, literal(1)).where(in_list(TaskAssignee.task_id, "ids")),
        select(Task.id, Task.created_by_id, literal(0)).where(in_list(Task.id, "ids"), Task.created_by_id.is_not(None)),
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
_PREFERENCES = Prepared(
    select(
        NotificationPreferences.user_id,
        NotificationPreferences.muted_kinds,
        NotificationPreferences.muted_project_ids,
        NotificationPreferences.mailed_kinds,
    ).where(in_list(NotificationPreferences.user_id, "users"))
)


def mentioned(text: str | None) -> set[str]:
    """The names that a text mentions (``@ada``), folded; of very many, the first."""
    found = dict.fromkeys(fold_username(name) for name in _MENTION.findall(text or ""))
    return set([*found][:MAX_MENTIONED])


async def happened(session: Session, ids: Collection[int]) -> Sequence[Happened]:
    """Those of some events that somebody may be told of, by the ids of their rows."""
    return await session.all(_HAPPENED(ids=ids))


async def notices_of(session: Session, events: Sequence[Happened]) -> list[Notice]:
    """Whom the events concern, each person once for each, for the first reason that he wants to know of; in seven
    statements at most."""
    named = {event.event_id: _newly_mentioned(event) for event in events}
    people = await _people(session, set().union(*named.values()) if named else ())
    done = {event.entity_id for event in events if event.after("status") == TaskStatus.COMPLETED.value}
    blocked: dict[int, list[tuple[int, int]]] = defaultdict(list)
    if done:
        for source, target, project in await session.all(_BLOCKED(ids=done)):
            blocked[source].append((target, project))
    tasks = {event.task_id for event in events if event.task_id is not None and _is_followed(event)}
    tasks |= {task for found in blocked.values() for task, _ in found}
    followers = await followers_of(session, tasks) if tasks else {}
    doers = await _doers(session, {event.entity_id for event in events if event.kind in _OF_DATES})
    found: list[Notice] = []
    for event in events:
        if event.kind in _OF_DATES:
            found += [Notice(user, _OF_DATES[event.kind], event) for user in doers.get(event.entity_id, ())]
        else:
            mentioned_ = [people[name] for name in named[event.event_id] if name in people]
            found += _of(event, mentioned_, blocked, followers)
    return _once(await _wanted(session, await _permitted(session, found)))


def _of(
    event: Happened,
    named: Iterable[int],
    blocked: Mapping[int, Sequence[tuple[int, int]]],
    followers: Mapping[int, Collection[int]],
) -> list[Notice]:
    """Whom an event concerns, for every reason that there is."""
    if event.kind in _OF_MEMBERS:
        return [Notice(event.entity_id, _OF_MEMBERS[event.kind], event)]
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
    """Whether it is told to those who follow the task."""
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


async def wishes_of(session: Session, users: Collection[int]) -> Mapping[int, Wishes]:
    """What each of some people wants to be told of, in one statement."""
    found = {row[0]: Wishes(*map(frozenset, row[1:])) for row in await session.all(_PREFERENCES(users=users))}
    return defaultdict(Wishes, found)


async def _wanted(session: Session, notices: Sequence[Notice]) -> list[Notice]:
    """Those that people have not muted, by their kind or their project, and which of them are to go by mail."""
    if not notices:
        return []
    wishes = await wishes_of(session, {notice.user_id for notice in notices})
    found = []
    for notice in notices:
        wish, kind = wishes[notice.user_id], notice.kind.value
        if (
            kind not in wish.muted_kinds
            and (notice.project_id or notice.event.project_id) not in wish.muted_project_ids
        ):
            found.append(notice._replace(by_mail=True) if kind in wish.mailed_kinds else notice)
    return found


async def _doers(session: Session, ids: Collection[int]) -> Mapping[int, Collection[int]]:
    """Who is to do each of the tasks; of one that nobody is to do, who created it."""
    doers: dict[int, set[int]] = defaultdict(set)
    creators: dict[int, set[int]] = {}
    if ids:
        for task, user, is_doer in await session.all(_DOERS(ids=ids)):
            if is_doer:
                doers[task].add(user)
            else:
                creators[task] = {user}
    return creators | doers


async def _people(session: Session, names: Collection[str]) -> dict[str, int]:
    """The ids of the accounts with these names."""
    if not names:
        return {}
    statement = select(User.username_folded, User.id).where(User.username_folded.in_(names), User.disabled.is_(False))
    return dict(await session.all(statement))
