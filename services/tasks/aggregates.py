"""Counts of tasks in groups, with the filter of every list: one statement each."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import Field
from sqlalchemy import ColumnElement, String, cast, func, type_coerce

from db.models import Project, Tag, Task, TaskAssignee, TaskTag, User
from db.sessions import AnySelect, Session
from services.actors import Actor, Scope
from services.outputs import Output
from services.tasks.queries import TaskQuery, matching

MAX_GROUPS = 1_000


class TaskGrouping(StrEnum):
    """What tasks are counted by."""

    STATUS = "status"
    PRIORITY = "priority"
    PROJECT = "project"
    ASSIGNEE = "assignee"
    TAG = "tag"
    CREATED_WEEK = "created_week"


class TaskCountOut(Output):
    """How many tasks there are in one group."""

    key: str | None = Field(
        description="What the group has in common: the status, the priority, the project's key, the assignee's "
        "username, the tag's name in lower case, or the Monday on which the week begins, in UTC (2026-11-23). Null for "
        "tasks that nobody has, or that have no tag.",
        examples=["in_progress"],
    )
    count: int = Field(description="How many tasks. A task with several assignees or tags counts for each.")


@dataclass(frozen=True, slots=True)
class TaskCount:
    key: str | None
    count: int


async def count_by(session: Session, actor: Actor, grouping: TaskGrouping, query: TaskQuery) -> Sequence[TaskCount]:
    """The groups of the tasks that match, by key, null last; of more than 1,000 the largest.

    Raises ``BadUserInput`` for a filter that does not hold.
    """
    actor.require(Scope.TASKS_READ)
    tasks = await matching(session, actor, query)
    key: Any
    if grouping is TaskGrouping.ASSIGNEE:
        tasks = tasks.outerjoin(TaskAssignee, TaskAssignee.task_id == Task.id)
        tasks = tasks.outerjoin(User, User.id == TaskAssignee.user_id)
        key = User.username
    elif grouping is TaskGrouping.TAG:
        tasks = tasks.outerjoin(TaskTag, TaskTag.task_id == Task.id).outerjoin(Tag, Tag.id == TaskTag.tag_id)
        key = Tag.name_folded
    elif grouping is TaskGrouping.CREATED_WEEK:
        key = _monday(session)
    elif grouping is TaskGrouping.PROJECT:
        key = Project.key
    else:
        key = Task.status if grouping is TaskGrouping.STATUS else Task.priority
    rows = await session.all(_grouped(tasks, key))
    counted = [TaskCount(None if key is None else str(key), count) for key, count in rows]
    return sorted(counted, key=lambda group: (group.key is None, group.key))


def _grouped(tasks: AnySelect, key: ColumnElement[Any]) -> AnySelect:
    count = func.count()
    statement: AnySelect = tasks.with_only_columns(key, count)
    return statement.group_by(key).order_by(count.desc(), key).limit(MAX_GROUPS)


def _monday(session: Session) -> ColumnElement[str]:
    """The Monday of the week in which a task was created, as 2026-11-23."""
    if session.dialect == "sqlite":
        day = func.substr(type_coerce(Task.created_at, String), 1, 10)
        # the Sunday that ends the week, six days back
        return func.date(day, "weekday 0", "-6 days")
    return cast(func.to_char(func.date_trunc("week", func.timezone("UTC", Task.created_at)), "YYYY-MM-DD"), String)
