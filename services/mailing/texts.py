"""What messages say: plain text, of what their people may read when it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from db.driver.sessions import Session
from services.events.notices import NotificationKind
from services.mailing.tokens import MailTokens, Unsubscribed
from services.projects import queries as projects
from services.projects.models import ProjectRecord
from services.shared.actors import Actor, Scope
from services.shared.text import as_line
from services.tasks import queries as tasks
from services.tasks.models import TaskRecord
from services.users import queries as users
from services.users.models import UserRecord

MOST = 50
"""What one message tells of notifications: of more, how many."""
MAX_SUBJECT = 120
UNSUBSCRIBE = "/api/v1/notifications/preferences/unsubscribe/"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where links lead, as far as the server knows where it is reached."""

    tokens: MailTokens
    public_url: str | None = None
    task_url: str | None = None

    def of_task(self, task: TaskRecord) -> str | None:
        """The address of a task: in an application of its operator's, or else what the API has of it."""
        if self.task_url is not None:
            return self.task_url.replace("{ref}", task.ref).replace("{id}", str(task.id))
        return None if self.public_url is None else f"{self.public_url}/api/v1/tasks/by-ref/{task.ref}"

    def to_end(self, user_id: int, what: Unsubscribed) -> str | None:
        """Where somebody ends such messages, without a login."""
        if self.public_url is None:
            return None
        return f"{self.public_url}{UNSUBSCRIBE}{self.tokens.make(user_id, what)}"


class Written(NamedTuple):
    """A message before it has its headers."""

    subject: str
    body: str


class NoticeRow(NamedTuple):
    """A notification, as far as a message tells of it."""

    kind: str
    actor_id: int | None
    project_id: int | None
    task_id: int | None


def reader(user_id: int, time_zone: str | None = None) -> Actor:
    """Whoever gets a message, who reads by it as by a key that may read tasks."""
    return Actor("api_key", user_id, scopes=frozenset({Scope.TASKS_READ}), time_zone=time_zone)


async def of_notifications(
    session: Session, user_id: int, rows: Sequence[NoticeRow], addresses: Addresses
) -> Written | None:
    """A message of some notifications; None where nothing of them may be read any more."""
    actor = reader(user_id)
    shown = rows[:MOST]
    read = await _read(session, actor, shown)
    told = [(row, *one) for row in shown if (one := _told(row, *read)) is not None]
    if not told:
        return None
    lines = []
    for row, about, what in told:
        task = read[0].get(row.task_id or 0)
        address = None if task is None else addresses.of_task(task)
        lines += [about, f"  {what}", *([f"  {address}"] if address else []), ""]
    if len(rows) > MOST:
        lines += [f"And {len(rows) - MOST} more.", ""]
    _, about, what = told[0]
    subject = f"{about}: {what}" if len(rows) == 1 else f"{len(rows)} notifications: {about}"
    return Written(bounded(subject), "\n".join(lines) + ending(addresses, user_id, Unsubscribed.NOTIFICATIONS))


async def lines_of(session: Session, user_id: int, rows: Sequence[NoticeRow]) -> list[str]:
    """A line of each notification of which anything may be read."""
    read = await _read(session, reader(user_id), rows)
    return [f"{told[0]}: {told[1]}" for row in rows if (told := _told(row, *read)) is not None]


def title_of(task: TaskRecord) -> str:
    """A task in one line, whatever an import brought in."""
    return f"{task.ref} {as_line(task.title)}"


def bounded(subject: str) -> str:
    """What stands in a header: one line, not too long."""
    line = as_line(subject)
    return line if len(line) <= MAX_SUBJECT else f"{line[: MAX_SUBJECT - 1].rstrip()}…"


def ending(addresses: Addresses, user_id: int, what: Unsubscribed) -> str:
    """The end of a message: how to get no more of them."""
    address = addresses.to_end(user_id, what)
    words = "To get no more of these messages, change your preferences"
    return f"-- \n{words}.\n" if address is None else f"-- \n{words}, or go to\n{address}\n"


Read = tuple[Mapping[int, TaskRecord], Mapping[int, ProjectRecord], Mapping[int, UserRecord]]


async def _read(session: Session, actor: Actor, rows: Sequence[NoticeRow]) -> Read:
    """What notifications name, as far as their person may read it; in three statements at most."""
    task_ids = {row.task_id for row in rows if row.task_id is not None}
    project_ids = {row.project_id for row in rows if row.task_id is None and row.project_id is not None}
    user_ids = {row.actor_id for row in rows if row.actor_id is not None}
    return (
        await tasks.by_ids(session, actor, task_ids) if task_ids else {},
        await projects.by_ids(session, actor, project_ids) if project_ids else {},
        await users.by_ids(session, actor, user_ids) if user_ids else {},
    )


def _told(
    row: NoticeRow,
    tasks_: Mapping[int, TaskRecord],
    projects_: Mapping[int, ProjectRecord],
    users_: Mapping[int, UserRecord],
) -> tuple[str, str] | None:
    """What a notification is about, and what it says; None where that may not be read."""
    actor = users_.get(row.actor_id or 0)
    who = "Somebody" if actor is None else actor.username
    if row.kind == NotificationKind.REMOVED:
        return "A project", f"{who} removed you from a project"
    if row.kind == NotificationKind.ADDED:
        project = projects_.get(row.project_id or 0)
        return (
            None if project is None else (f"{project.key} {as_line(project.name)}", f"{who} added you to the project")
        )
    task = tasks_.get(row.task_id or 0)
    if task is None:
        return None
    return title_of(task), _SAYINGS[NotificationKind(row.kind)].format(who=who, status=task.status.replace("_", " "))


_SAYINGS = {
    NotificationKind.REMINDER: "you wanted to be reminded",
    NotificationKind.MENTIONED: "{who} mentioned you",
    NotificationKind.ASSIGNED: "{who} assigned it to you",
    NotificationKind.OVERDUE: "is overdue",
    NotificationKind.DUE_SOON: "will be due soon",
    NotificationKind.UNBLOCKED: "may begin: {who} completed what blocked it",
    NotificationKind.COMMENTED: "{who} commented",
    NotificationKind.STATUS_CHANGED: "{who} changed its status; it is {status}",
}
