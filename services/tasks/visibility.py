"""What may be read of tasks: one notion, for tasks and for all that hangs on them.

A task may be read by the members of its project, unless it is in the trash. What is said of a task (comments,
relations, events) may be read where the task may be: of a relation, and of its events, where both tasks may be.

The trash is a list of its own. For as long as a task there can be restored, it is shown with its project, its tags and
the people that it names, but with nothing that is said of it: neither shown nor counted, nor found by a search.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, or_

from core.clock import now
from db.models import Task
from services.actors import Actor
from services.projects.queries import among_visible
from services.tasks.models import TRASH_DAYS


def trash_begins() -> datetime:
    """Since when tasks have been in the trash that can still be restored."""
    return now() - timedelta(days=TRASH_DAYS)


def live(task: Any = Task) -> ColumnElement[bool]:
    """Whether a task is not in the trash."""
    found: ColumnElement[bool] = task.deleted_at.is_(None)
    return found


def readable(actor: Actor, task: Any = Task) -> ColumnElement[bool]:
    """Whether the actor may read a task, and what is said of it. ``task`` is the model, or an alias of it."""
    return and_(among_visible(task.project_id, actor), live(task))


def restorable(actor: Actor, task: Any = Task, *, since: Any = None) -> ColumnElement[bool]:
    """Whether a task is in the trash that the actor may look into, and can be restored.

    ``since`` stands for the instant at which the oldest of those went there, in a statement that is built once.
    """
    return and_(among_visible(task.project_id, actor), _since(task, since))


def listed(actor: Actor, task: Any = Task, *, since: Any = None) -> ColumnElement[bool]:
    """Whether a task is one or the other: for what a task shows of itself in any list."""
    return and_(among_visible(task.project_id, actor), or_(live(task), _since(task, since)))


def _since(task: Any, since: Any) -> ColumnElement[bool]:
    found: ColumnElement[bool] = task.deleted_at > (trash_begins() if since is None else since)
    return found
