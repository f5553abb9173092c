"""Counts of tasks in groups, with the filter of every list: one statement each, and a few more where many match."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select

from db.dates import monday_of
from db.driver.sessions import AnySelect, Session
from db.models import Tag, Task, TaskAssignee, TaskTag, User
from services.features import NODES
from services.projects import queries as projects
from services.shared import totals
from services.shared.actors import Actor, Scope
from services.shared.totals import total
from services.tasks.models import TaskGrouping, TaskStatus
from services.tasks.queries import count, count_with, counts, matching
from services.tasks.query import TaskQuery

MAX_GROUPS = 1_000
_VALUES: Final[Mapping[TaskGrouping, Sequence[str | int]]] = {
    TaskGrouping.STATUS: [status.value for status in TaskStatus],
    TaskGrouping.PRIORITY: range(1, 6),
}
"""What a task's own columns may hold: of many tasks, those with each of the values are counted."""


@dataclass(frozen=True, slots=True)
class TaskCount:
    """How many tasks have a key in common; at least so many, where that is not ``exact``."""

    key: str | None
    count: int
    exact: bool = True


async def count_by(
    session: Session, actor: Actor, grouping: TaskGrouping, query: TaskQuery, *, exact: bool = False
) -> Sequence[TaskCount]:
    """The groups of the tasks that match, by key, null last; of more than 1,000 the largest.

    Where more than ``MAX_COUNTED`` match, all of them are counted if ``exact`` is asked for. Else those of one status,
    priority or project are counted no further than that, and of all other groups, so many tasks are.

    Raises ``BadUserInput`` for a filter that does not hold.
    """
    actor.require(Scope.TASKS_READ)
    if exact or (await count(session, actor, query)).exact:
        rows = await session.all(_grouped(await matching(session, actor, query), grouping))
        return _sorted(TaskCount(_text(key), number) for key, number in rows)
    if grouping in _VALUES:
        each = {value: await count_with(session, actor, query, grouping.value, value) for value in _VALUES[grouping]}
        return _sorted(TaskCount(str(value), *found) for value, found in each.items() if found.number)
    if grouping is TaskGrouping.PROJECT:
        numbers = await counts(session, actor, Task.project_id.expression, await projects.ids(session, actor), query)
        known = await projects.by_ids(session, actor, numbers.keys())
        found = ((known[id_].key, total(number, exact=False)) for id_, number in numbers.items())
        return _sorted(TaskCount(key, *number) for key, number in found)
    some = (await matching(session, actor, query)).limit(totals.MAX_COUNTED)
    rows = await session.all(_grouped(some, grouping))
    return _sorted(TaskCount(_text(key), number, exact=False) for key, number in rows)


def _text(key: object) -> str | None:
    return None if key is None else str(key)


def _sorted(groups: Iterable[TaskCount]) -> Sequence[TaskCount]:
    largest = sorted(groups, key=lambda group: -group.count)[:MAX_GROUPS]
    return sorted(largest, key=lambda group: (group.key is None, group.key))


def _grouped(tasks: AnySelect, grouping: TaskGrouping) -> AnySelect:
    """How many of the tasks have each key, of the keys that most have."""
    columns = (column for column in tasks.selected_columns if column.key not in {"title", "description"})
    some = tasks.with_only_columns(*columns).subquery("matching")
    statement: AnySelect = select(some.c.id).select_from(some)
    key: Any
    if grouping is TaskGrouping.ASSIGNEE:
        statement = statement.outerjoin(TaskAssignee, TaskAssignee.task_id == some.c.id)
        statement = statement.outerjoin(User, User.id == TaskAssignee.user_id)
        key = User.username
    elif grouping is TaskGrouping.TAG:
        statement = statement.outerjoin(TaskTag, TaskTag.task_id == some.c.id).outerjoin(Tag, Tag.id == TaskTag.tag_id)
        key = Tag.name_folded
    elif grouping is TaskGrouping.CREATED_WEEK:
        key = monday_of(some.c.created_at)
    elif grouping is TaskGrouping.PROJECT:
        key = some.c.project_key
    elif grouping.value in some.c:
        key = some.c[grouping.value]
    else:
        # something that tasks name by its id
        key = NODES[grouping.value.title()].label
        statement = statement.outerjoin(key.class_, key.class_.id == some.c[f"{grouping}_id"])
    number = func.count()
    statement = statement.with_only_columns(key, number, maintain_column_froms=True)
    return statement.group_by(key).order_by(number.desc(), key).limit(MAX_GROUPS)
