"""What may be read of tasks: one notion, for tasks and for all that hangs on them.

A task may be read by the members of its project, unless it is in the trash. What is said of a task (comments,
relations, events) may be read where the task may be: of a relation, and of its events, where both tasks may be.

The trash is a list of its own. For as long as a task there can be restored, it is shown with its project, its tags and
the people that it names, but with nothing that is said of it: neither shown nor counted, nor found by a search.
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, or_, select

from core.clock import now
from db.driver.sessions import AnySelect
from db.models import Membership, Project, Task
from services.projects.queries import among_visible
from services.shared.actors import Actor
from services.tasks.models import TRASH_DAYS, TaskRecord

Instant = datetime | ColumnElement[datetime] | None
"""An instant, or what stands for one in a statement that is built once."""


def trash_begins() -> datetime:
    """Since when tasks have been in the trash that can still be restored."""
    return now() - timedelta(days=TRASH_DAYS)


def live(task: type[Task] = Task) -> ColumnElement[bool]:
    """Whether a task is not in the trash."""
    found: ColumnElement[bool] = task.deleted_at.is_(None)
    return found


def readable(actor: Actor, task: type[Task] = Task) -> ColumnElement[bool]:
    """Whether the actor may read a task, and what is said of it. ``task`` is the model, or an alias of it."""
    return and_(among_visible(task.project_id, actor), live(task))


def restorable(actor: Actor, task: type[Task] = Task, *, since: Instant = None) -> ColumnElement[bool]:
    """Whether a task is in the trash that the actor may look into, and can be restored.

    ``since`` stands for the instant at which the oldest of those went there, in a statement that is built once.
    """
    return and_(among_visible(task.project_id, actor), _since(task, since))


def listed(actor: Actor, task: type[Task] = Task, *, since: Instant = None) -> ColumnElement[bool]:
    """Whether a task is one or the other: for what a task shows of itself in any list."""
    return and_(among_visible(task.project_id, actor), or_(live(task), _since(task, since)))


def expired(before: datetime) -> ColumnElement[bool]:
    """Whether a task went to the trash at an instant or earlier: where that is ``trash_begins()``, it stays there."""
    found: ColumnElement[bool] = Task.deleted_at <= before
    return found


def _since(task: type[Task], since: Instant) -> ColumnElement[bool]:
    found: ColumnElement[bool] = task.deleted_at > (trash_begins() if since is None else since)
    return found


COLUMNS = tuple(
    Project.key.label("project_key") if name == "project_key" else getattr(Task, name) for name in TaskRecord._fields
)


def visible(actor: Actor, *, trashed: bool = False, since: Instant = None) -> AnySelect:
    """The tasks of the actor's projects; those in the trash, while they can be restored, where ``trashed``.

    ``since`` stands for the instant at which the oldest of those went there, in a statement that is built once.
    """
    statement = select(*COLUMNS).join(Project, Project.id == Task.project_id)
    return statement.where(restorable(actor, since=since) if trashed else readable(actor))


def visible_one(actor: Actor) -> AnySelect:
    """As ``visible``, for one task that is named: whether its project is one of the actor's is looked up by both, where
    a list of all of his was made first, which SQLite took as long for as for the task."""
    is_mine = and_(Membership.project_id == Task.project_id, Membership.user_id == actor.user_id)
    return select(*COLUMNS).join(Project, Project.id == Task.project_id).join(Membership, is_mine).where(live())
