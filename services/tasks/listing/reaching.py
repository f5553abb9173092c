"""Conditions on the fields of what a task names: its project, the task above it, and the people who are to do it.

They hold for what the caller may read alone: of a task above it that is in the trash, nothing can be asked, and of
people what everybody may see who sees the task.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Integer, exists, literal, select, type_coerce
from sqlalchemy.orm import aliased

from db import text_search
from db.driver.sessions import AnySelect
from db.lists import in_hashed_list, in_subquery
from db.models import Membership, Project, Task, TaskAssignee, User
from services.shared.actors import Actor
from services.shared.conditions import of_column
from services.shared.operators import ProjectRefFilter, TaskRefFilter
from services.shared.text import fold_username
from services.tasks.dates import ALL_DAY, DAYS
from services.tasks.listing.days import compared
from services.tasks.listing.texts import has_part
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
AMONG = "among"
"""The operator of what is one of some ids, which are one value (``names``)."""


def _as_key(text: str) -> str:
    # a letter that is none of a key is not to become one
    return text.upper() if text.isascii() else text


SPELLED: Mapping[str, Callable[[str], str]] = {"username": fold_username, "key": _as_key}
"""As what the database has it, whatever the case in which it was sent."""

_PROJECT, _PARENT, _PERSON, _BESIDE = aliased(Project), aliased(Task), aliased(User), aliased(Membership)
_COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "project": {
        **{name: getattr(_PROJECT, name) for name in ("id", "key", "name")},
        "archived": _PROJECT.archived_at,
        "is_inbox": _PROJECT.inbox_of_id,
    },
    "parent": {name: getattr(_PARENT, name) for name in FIELDS["parent"] - {"priority", *DAYS}}
    | {day: getattr(_PARENT, ALL_DAY[instant]) for day, instant in DAYS.items()}
    | {name: getattr(_PARENT, name) for name in ALL_DAY.values()}
    # compared as what callers may send, not as the SMALLINT that PostgreSQL keeps
    | {"priority": type_coerce(_PARENT.priority, Integer)},
    "assignees": {"id": _PERSON.id, "username": _PERSON.username_folded, "full_name": _PERSON.full_name},
}


def reached(thing: str, asked: Sequence[Asked], actor: Actor, values: Sequence[Any]) -> ColumnElement[bool]:
    """The condition on ``tasks`` that what one names meets all that is asked; the values are those of each in turn."""
    conditions = [*_compared(_COLUMNS[thing], asked, iter(values))]
    if thing == "project":
        return in_subquery(Task.project_id, _places(actor).where(*conditions))
    if thing == "parent":
        above = select(literal(1)).select_from(_PARENT).where(_PARENT.id == Task.parent_id)
        return exists(above.where(readable(actor, _PARENT), *conditions).correlate(Task))
    people = select(literal(1)).select_from(TaskAssignee).join(_PERSON, _PERSON.id == TaskAssignee.user_id)
    return exists(people.where(TaskAssignee.task_id == Task.id, *conditions).correlate(Task))


def things(thing: str, asked: Sequence[Asked], actor: Actor, values: Sequence[Any]) -> AnySelect:
    """The ids of the projects, or of the people, that meet all that is asked, of the actor's projects."""
    conditions = [*_compared(_COLUMNS[thing], asked, iter(values))]
    if thing == "project":
        return _places(actor).where(*conditions)
    # whoever is to do a task is a member of its project
    beside = select(_BESIDE.user_id).join(Membership, Membership.project_id == _BESIDE.project_id)
    return select(_PERSON.id).where(
        in_subquery(_PERSON.id, beside.where(Membership.user_id == actor.user_id)), *conditions
    )


def _places(actor: Actor) -> AnySelect:
    places = select(_PROJECT.id).join(Membership, Membership.project_id == _PROJECT.id)
    return places.where(Membership.user_id == actor.user_id)


def _compared(
    columns: Mapping[str, Any], asked: Sequence[Asked], values: Iterator[Any]
) -> Iterator[ColumnElement[bool]]:
    for name, operator, told, how in asked:
        if isinstance(told, bool):
            # what is said by whether something is there
            yield of_column(columns[name], [], "is_null", told if operator == "is_null" else not told)
        elif operator == AMONG:
            yield in_hashed_list(columns[name], next(values))
        elif operator in ("contains", "starts_with"):
            yield _has_part(columns, name, operator, next(values))
        elif how:
            yield compared(columns[name], columns[ALL_DAY[name]], [next(values) for _ in range(told)], operator, how)
        else:
            yield of_column(columns[name], [next(values) for _ in range(told)], operator)


def _has_part(columns: Mapping[str, Any], name: str, operator: str, part: Any) -> ColumnElement[bool]:
    if name == "title":
        return has_part(_PARENT.id, name, operator, part)
    # kept in one case; parts of names that are not, ``names`` has looked for
    place = text_search.position(columns[name], part)
    return place == 1 if operator == "starts_with" else place > 0
