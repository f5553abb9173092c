"""What is asked about projects and people, looked up before a filter becomes a statement: there are few of either.

Parts of the names of projects and people are looked for here, in those of the caller's projects: databases have them as
they are written, and know case in their own ways. And where few projects, or people, are all that tasks can be of, the
tasks are found by these: else they would be gone through, each to see whose it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import aliased

from db.driver.sessions import AnySelect, Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import Membership, Project, User
from services.shared.actors import Actor
from services.shared.limited_keys import LimitedOwner
from services.shared.statements import ACTOR_PARAMETER, parameter
from services.shared.text import fold
from services.tasks.listing.conditions import HELD_ALL, PARTS, REACHING, Condition, TaskPredicate
from services.tasks.listing.index_scan import prepared
from services.tasks.listing.reaching import AMONG, Asked, things

MOST = 64
"""Of so many projects or people the tasks are found by them; of more, each task is looked at."""
_NAMES: Mapping[str, str] = {"project": "name", "assignees": "full_name"}
"""The fields whose parts are looked for here."""
_FOUND_BY: Mapping[str, tuple[str, str]] = {"project": ("project", "in_"), "assignees": ("assignees", "any")}
"""What is asked of tasks in place of what is asked of their projects, or people."""


class Name(NamedTuple):
    """A project or somebody, and what is called so: folded."""

    id: int
    folded: str


Caller = tuple[int, int]
"""Who asks: an account, and the key that limits it, or 0."""
Names = Mapping[tuple[Caller, str], Sequence[Name]]
"""By caller and thing, those that the caller can ask about."""


def asks_names(predicate: TaskPredicate) -> bool:
    """Whether parts of names are to be looked for: what is asked then is the caller's own."""
    return predicate.where is not None and bool(predicate.where.once(_names_in))


async def looked_up(session: Session, actor: Actor, predicate: TaskPredicate) -> TaskPredicate:
    """The predicate with the projects and people that it means in place of what it asks about them."""
    found = await with_names(session, actor, predicate)
    together = () if found.where is None else found.where.together
    if not any(part.kind[0] == REACHING for part in together):
        return found
    parts = [await _found_by(session, actor, part) for part in together]
    return found._replace(where=parts[0] if len(parts) == 1 else Condition(("and_",), (), tuple(parts)))


async def with_names(session: Session, actor: Actor, predicate: TaskPredicate) -> TaskPredicate:
    """The predicate with the ids of those whose names have a part in place of the part."""
    [found] = await each_with_names(session, [(actor.user_id, predicate)])
    return found


async def each_with_names(
    session: Session, asked: Sequence[tuple[int | None, TaskPredicate]]
) -> Sequence[TaskPredicate]:
    """As ``with_names``, for predicates of some callers, in a statement or two, and in as many for each limited key."""
    wanted: dict[str, dict[Caller, int]] = {}
    for user_id, predicate in asked:
        for part in () if predicate.where is None else predicate.where.once(_names_in):
            wanted.setdefault(part.kind[1], {})[_caller(user_id)] = user_id or 0
    if not wanted:
        return [predicate for _, predicate in asked]
    names: dict[tuple[Caller, str], Sequence[Name]] = {}
    for thing, callers in wanted.items():
        names |= await _read(session, thing, callers)
    return [
        predicate
        if predicate.where is None
        else predicate._replace(where=_replaced(predicate.where, _caller(user_id), names))
        for user_id, predicate in asked
    ]


def _caller(user_id: int | None) -> Caller:
    return int(user_id or 0), user_id.key_id if isinstance(user_id, LimitedOwner) else 0


def _names_in(condition: Condition) -> Sequence[Condition]:
    return tuple(dict.fromkeys(_asking_names(condition)))


def _asking_names(condition: Condition) -> Iterator[Condition]:
    if condition.kind[0] == REACHING:
        _, thing, asked = condition.kind
        if any(_is_of_name(thing, each) for each in asked):
            yield condition
    for part in condition.parts:
        yield from _asking_names(part)


def _is_of_name(thing: str, asked: Asked) -> bool:
    return asked[0] == _NAMES.get(thing) and asked[1] in PARTS


async def _read(session: Session, thing: str, callers: Mapping[Caller, int]) -> Names:
    """The names that callers can ask about; for a limited key, by a statement of its own."""
    found: dict[tuple[Caller, str], list[Name]] = {(caller, thing): [] for caller in callers}
    unlimited = [user_id for (_, key_id), user_id in callers.items() if not key_id]
    rows: list[tuple[Caller, tuple[int, int, str]]] = []
    for caller, user_id in callers.items():
        if caller[1] or len(unlimited) == 1:
            rows += [(caller, row) for row in await session.all(_OF_ONE[thing](caller_id=user_id))]
    if len(unlimited) > 1:
        rows += [((row[0], 0), row) for row in await session.all(_OF_SEVERAL[thing](callers=unlimited))]
    folded: dict[str, str] = {}
    for caller, (_, id_, name) in rows:
        if name not in folded:
            folded[name] = fold(name)
        found[caller, thing].append(Name(id_, folded[name]))
    return found


_other = aliased(Membership)


def _projects(mine: ColumnElement[bool]) -> AnySelect:
    named = select(Membership.user_id, Project.id, Project.name)
    return named.join(Project, Project.id == Membership.project_id).where(mine)


def _people(mine: ColumnElement[bool]) -> AnySelect:
    # whoever is to do a task is a member of its project
    named = select(Membership.user_id, User.id, User.full_name).select_from(Membership)
    others = named.join(_other, _other.project_id == Membership.project_id).join(User, User.id == _other.user_id)
    return others.where(mine, User.full_name.is_not(None)).distinct()


_STATEMENTS = {"project": _projects, "assignees": _people}
_OF_ONE = {
    thing: Prepared(named(Membership.user_id == ACTOR_PARAMETER.user_id), tuple) for thing, named in _STATEMENTS.items()
}
_OF_SEVERAL = {
    thing: Prepared(named(in_list(Membership.user_id, "callers")), tuple) for thing, named in _STATEMENTS.items()
}


def _replaced(condition: Condition, caller: Caller, names: Names) -> Condition:
    if not condition.once(_names_in):
        return condition
    if condition.parts:
        return condition._replace(parts=tuple([_replaced(part, caller, names) for part in condition.parts]))
    _, thing, asked = condition.kind
    values, left = iter(condition.values), list[Asked]()
    kept: list[object] = []
    there = names[caller, thing]
    for each in asked:
        told = [] if isinstance(each[2], bool) else [next(values) for _ in range(each[2])]
        if not _is_of_name(thing, each):
            left.append(each)
            kept += told
            continue
        [part] = map(str, told)
        begins = each[1] == "starts_with"
        there = [name for name in there if (name.folded.startswith(part) if begins else part in name.folded)]
    ids = tuple([name.id for name in there])
    return Condition((REACHING, thing, (*left, ("id", AMONG, 1, ""))), (*kept, ids))


async def _found_by(session: Session, actor: Actor, part: Condition) -> Condition:
    """The condition on the projects or people themselves, where a condition means few of them."""
    if part.kind[0] != REACHING or part.kind[1] not in _FOUND_BY:
        return part
    _, thing, asked = part.kind
    given = {f"v{number}": value for number, value in enumerate(part.values)}

    def build() -> AnySelect:
        return things(thing, asked, ACTOR_PARAMETER, [parameter(name) for name in given]).limit(parameter("most"))

    some = prepared(("things", part.shape), build)
    ids = sorted(await session.scalars(some(caller_id=actor.user_id, **given, most=MOST + 1)))
    if not ids:
        return Condition(HELD_ALL, ((),))
    if len(ids) > MOST:
        return part
    # of some lengths alone: statements are kept by how many values they have
    return Condition(_FOUND_BY[thing], (*ids, *ids[-1:] * ((1 << (len(ids) - 1).bit_length()) - len(ids))))
