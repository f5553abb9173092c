"""Conditions on what hangs on a task, as SQL: people, tags and other tasks."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, false, func, literal, literal_column, not_, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute, aliased

from db.driver.sessions import AnySelect
from db.lists import in_subquery, taken_for_few
from db.models import Relation, Tag, Task, TaskAssignee, TaskTag
from services.projects.queries import among_visible
from services.shared.actors import Actor
from services.tasks.models import TaskStatus
from services.tasks.visibility import live, readable

OPEN = (TaskStatus.PENDING.value, TaskStatus.IN_PROGRESS.value)

_OTHER = aliased(Task)


class _People:
    """Those whom a task is assigned to."""

    def __init__(self, actor: Actor) -> None:
        self._me = actor.user_id

    def some(self, ids: list[object] | None) -> ColumnElement[bool]:
        return _any(self._of_task(ids))

    def every(self, ids: list[object]) -> ColumnElement[bool]:
        return _as_many(self._of_task(ids), len(ids))

    def me(self) -> ColumnElement[bool]:
        return self.some([self._me])

    def _of_task(self, ids: list[object] | None) -> AnySelect:
        among = [] if ids is None else [TaskAssignee.user_id.in_(ids)]
        return select(literal(1)).where(TaskAssignee.task_id == Task.id, *among)


class _Tags:
    """The tags of a task, by their folded names."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def some(self, names: list[object] | None) -> ColumnElement[bool]:
        return _any(self._of_task(names))

    def every(self, names: list[object]) -> ColumnElement[bool]:
        # a project has one tag of a name, and a task those of its project
        return _as_many(self._of_task(names), len(names))

    def _of_task(self, names: list[object] | None) -> AnySelect:
        tags = select(literal(1)).where(TaskTag.task_id == Task.id)
        if names is None:
            return tags
        # of one task there are few: they are compared with the names' tags, not these looked up for each task
        return tags.where(_is_named(TaskTag.tag_id + literal_column("0"), self._actor, names))


class _Related:
    """The tasks at the other ends of a task's relations."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def some(self, ids: list[object] | None) -> ColumnElement[bool]:
        among = [] if ids is None else [_OTHER.id.in_(ids)]
        return or_(*(related(self._actor, near, *among) for near in (Relation.source_id, Relation.target_id)))


_SETS: dict[str, Callable[[Actor], Any]] = {"assignees": _People, "tags": _Tags, "relations": _Related}
NAMES = frozenset(_SETS)
"""The fields of a filter that are sets."""


def of_set(
    name: str, actor: Actor, values: list[object], operator: str, wanted: bool | None = None
) -> ColumnElement[bool]:
    """Whether there is any in the set, or one, all or none of some values, which are different ones."""
    found = _SETS[name](actor)
    result: ColumnElement[bool]
    if operator == "any":
        result = found.some(values)
    elif operator == "all":
        result = found.some(values) if len(values) == 1 else found.every(values)
    elif operator == "none":
        result = not_(found.some(values))
    elif operator == "me":
        result = found.me() if wanted else not_(found.me())
    else:
        result = not_(found.some(None)) if wanted else found.some(None)
    return result


def blocked(actor: Actor) -> ColumnElement[bool]:
    """Whether a task that is still open blocks it."""
    return related(actor, Relation.target_id, Relation.kind == "blocks", _OTHER.status.in_(OPEN))


def related(actor: Actor, near: InstrumentedAttribute[int], *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether the task is at that end of a relation to another one, which the actor may read as it may the task."""
    far = Relation.target_id if near is Relation.source_id else Relation.source_id
    return _any(
        select(literal(1))
        .select_from(Relation)
        .join(_OTHER, _OTHER.id == far)
        .where(near == Task.id, live(), readable(actor, _OTHER), *conditions)
    )


def _is_named(tag_id: Any, actor: Actor, names: list[object]) -> ColumnElement[bool]:
    # looked up once, in the caller's projects: others may have tags by the million
    mine = select(Tag.id).where(among_visible(Tag.project_id, actor), Tag.name_folded.in_(names))
    return in_subquery(tag_id, mine)


SETS_LOOKED_UP = frozenset({"assignees", "tags"})
COLUMNS_LOOKED_UP: dict[str, Any] = {"parent": Task.parent_id, "milestone": Task.milestone_id, "title": Task.title}
"""What few tasks have in common as a rule, and an index knows."""


def with_any(name: str, actor: Actor, values: list[object]) -> AnySelect:
    """The tasks of which one of some values is in the set, or a column has it, some of them several times: people's,
    those of others too, which the caller may not read."""
    if name in COLUMNS_LOOKED_UP:
        return select(Task.id).where(COLUMNS_LOOKED_UP[name].in_(values), readable(actor))
    if name == "assignees":
        return select(TaskAssignee.task_id).where(TaskAssignee.user_id.in_(values), taken_for_few(TaskAssignee.user_id))
    return select(TaskTag.task_id).where(_is_named(TaskTag.tag_id, actor, values), taken_for_few(TaskTag.tag_id))


def _any(rows: AnySelect) -> ColumnElement[bool]:
    """Whether there is a row, looked up for each task by itself.

    Not EXISTS: of that, PostgreSQL makes a join with what everybody's tasks have, or one without an index.
    """
    found = rows.with_only_columns(true()).limit(1).scalar_subquery()
    # not "IS NOT NULL", whose opposite PostgreSQL takes for rare
    return func.coalesce(found, false())


def _as_many(rows: AnySelect, number: int) -> ColumnElement[bool]:
    """Whether a SELECT of one column has so many rows."""
    count = rows.with_only_columns(func.count()).scalar_subquery()
    found: ColumnElement[bool] = count == literal(number)
    return found
