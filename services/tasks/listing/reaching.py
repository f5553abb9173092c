"""Conditions on the fields of what a task names: its project, the task above it, and the people who are to do it.

They hold for what the caller may read alone: of a task above it that is in the trash, nothing can be asked, and of
people what everybody may see who sees the task.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Integer, exists, literal, select, type_coerce
from sqlalchemy.orm import aliased

from db.lists import in_subquery
from db.models import Membership, Project, Task, TaskAssignee, User
from services.shared.actors import Actor
from services.shared.conditions import of_column
from services.shared.operators import ProjectRefFilter, TaskRefFilter
from services.tasks.dates import ALL_DAY, DAYS
from services.tasks.listing.days import compared
from services.tasks.operators import ParentFilter, TaskProjectFilter
from services.tasks.visibility import readable

FIELDS: Mapping[str, frozenset[str]] = {
    "project": frozenset(TaskProjectFilter.model_fields.keys() - ProjectRefFilter.model_fields.keys()),
    "parent": frozenset(ParentFilter.model_fields.keys() - TaskRefFilter.model_fields.keys()),
    "assignees": frozenset({"username", "full_name"}),
}
"""What can be asked of each thing, beside which one it is."""
Asked = tuple[str, str, int | bool, str]
"""A condition on a field: its operator, how many values it compares with, or what is to be true, and how a date is
compared (``days.compared``)."""

_PROJECT, _PARENT, _PERSON = aliased(Project), aliased(Task), aliased(User)
_COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "project": {
        **{name: getattr(_PROJECT, name) for name in ("key", "name")},
        "archived": _PROJECT.archived_at,
        "is_inbox": _PROJECT.inbox_of_id,
    },
    "parent": {name: getattr(_PARENT, name) for name in FIELDS["parent"] - {"priority", *DAYS}}
    | {day: getattr(_PARENT, ALL_DAY[instant]) for day, instant in DAYS.items()}
    | {name: getattr(_PARENT, name) for name in ALL_DAY.values()}
    # compared as what callers may send, not as the SMALLINT that PostgreSQL keeps
    | {"priority": type_coerce(_PARENT.priority, Integer)},
    "assignees": {"username": _PERSON.username_folded, "full_name": _PERSON.full_name},
}


def reached(thing: str, asked: Sequence[Asked], actor: Actor, values: Sequence[Any]) -> ColumnElement[bool]:
    """The condition on ``tasks`` that what one names meets all that is asked; the values are those of each in turn."""
    conditions = [*_compared(_COLUMNS[thing], asked, iter(values))]
    if thing == "project":
        places = select(_PROJECT.id).join(Membership, Membership.project_id == _PROJECT.id)
        return in_subquery(Task.project_id, places.where(Membership.user_id == actor.user_id, *conditions))
    if thing == "parent":
        above = select(literal(1)).select_from(_PARENT).where(_PARENT.id == Task.parent_id)
        return exists(above.where(readable(actor, _PARENT), *conditions).correlate(Task))
    people = select(literal(1)).select_from(TaskAssignee).join(_PERSON, _PERSON.id == TaskAssignee.user_id)
    return exists(people.where(TaskAssignee.task_id == Task.id, *conditions).correlate(Task))


def _compared(
    columns: Mapping[str, Any], asked: Sequence[Asked], values: Iterator[Any]
) -> Iterator[ColumnElement[bool]]:
    for name, operator, told, how in asked:
        if isinstance(told, bool):
            # what is said by whether something is there
            yield of_column(columns[name], [], "is_null", told if operator == "is_null" else not told)
        elif how:
            yield compared(columns[name], columns[ALL_DAY[name]], [next(values) for _ in range(told)], operator, how)
        else:
            yield of_column(columns[name], [next(values) for _ in range(told)], operator)
