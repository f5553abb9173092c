"""How a page of tasks is found: what is looked up first, and whether the order's index is then read.

Words, and who or what hangs on few tasks, are looked up before a filter becomes a statement: a list of a few tasks is
then found by their ids, and what hangs on many is looked for task by task.
"""

from collections.abc import Sequence
from typing import NamedTuple

from db.driver.planners import Planner
from db.driver.sessions import AnySelect, Session
from services.shared.actors import Actor
from services.shared.pagination import Ordering, PageRequest
from services.shared.statements import ACTOR_PARAMETER, parameter
from services.tasks.listing import remembered
from services.tasks.listing.conditions import HELD_ALL, SEARCHES, Condition, TaskPredicate
from services.tasks.listing.index_scan import prepared
from services.tasks.listing.search_selectivity import MAX_IDS, Walk, choose_search_strategy
from services.tasks.listing.sets import COLUMNS_LOOKED_UP, SETS_LOOKED_UP, with_any

DENSE = frozenset({"status", "priority", "project", "created_at", "updated_at", "due_at", "start_at", "overdue"})
"""What a filter may be made of, beside a word, to be met early in any order as a rule."""


class Strategy(NamedTuple):
    """How a page is found."""

    predicate: TaskPredicate
    """With what was looked up in place of what it was looked up for."""
    from_index: bool
    """Whether the index of the order is read from where the page begins; else all that match are sorted."""
    alternatives: Sequence[TaskPredicate] = ()
    """Of which the page is made, where there are any: each is found in its own way."""


async def choose(
    session: Session, actor: Actor, predicate: TaskPredicate, ordering: Ordering, request: PageRequest
) -> Strategy:
    """How a page of the tasks that meet a predicate is found. Raises ``BadUserInput`` as ``looked_up`` does."""
    if not _has_index(predicate, ordering, request):
        return Strategy(await looked_up(session, actor, predicate), from_index=False)
    found = await looked_up(session, actor, predicate, Walk(ordering, request))
    if _is_walked(found.where):
        return Strategy(found, from_index=True)
    return Strategy(found, from_index=False, alternatives=_by_words(predicate, found))


def _by_words(predicate: TaskPredicate, found: TaskPredicate) -> Sequence[TaskPredicate]:
    """The alternatives of a predicate, where an index is asked for the words of one: all tasks would be gone through to
    see which meet any of them."""
    together = () if found.where is None else found.where.together
    not_along = [part.kind for part in together if part.kind == ("or_",) or not _is_walked(part)]
    return predicate.alternatives() if not_along == [("or_",)] else ()


async def without_walk(session: Session, actor: Actor, predicate: TaskPredicate) -> TaskPredicate:
    """The predicate of a strategy with the words looked up that were to be looked for along the way."""
    return await choose_search_strategy(session, actor, predicate)


async def looked_up(
    session: Session, actor: Actor, predicate: TaskPredicate, walk: Walk | None = None
) -> TaskPredicate:
    """The predicate with the ids of tasks in place of words, tags and people that few tasks have.

    ``walk`` is the page that is asked for, in an order that has an index. Raises ``BadUserInput`` for a word that is
    too short for so many tasks.
    """
    if predicate.where is None:
        return predicate
    along = _is_dense(predicate.where)
    predicate = await choose_search_strategy(session, actor, predicate, walk, along=along)
    return await _sets_looked_up(session, actor, predicate)


def from_index(predicate: TaskPredicate, ordering: Ordering, request: PageRequest) -> bool:
    """Whether the rows of a page are the first ones of each project's index, as a rule."""
    return _has_index(predicate, ordering, request) and _is_walked(predicate.where)


def _has_index(predicate: TaskPredicate, ordering: Ordering, request: PageRequest) -> bool:
    """Whether an index has each project's tasks in the order asked for."""
    return not predicate.trashed and ordering.then is None and not (ordering.key.nullable and request.skip)


def is_dense(predicate: TaskPredicate) -> bool:
    """Whether many of the tasks of any project meet a predicate, as a rule: nothing that few of them have."""
    return _is_dense(predicate.where)


def _is_dense(condition: Condition | None) -> bool:
    """Whether the rows of a page are among the first ones of each project's index, as a rule, but for words."""
    return condition is None or condition.once(_are_dense)


def _are_dense(condition: Condition) -> bool:
    if condition.parts:
        return all(map(_is_dense, condition.parts))
    return condition.kind[0] in DENSE or condition.kind in {("and_",), ("search",)}


def _is_walked(condition: Condition | None) -> bool:
    """Whether a condition can be looked at task by task: not where an index of texts is asked for all that have a word,
    nor where the few tasks in question are known."""
    return condition is None or condition.once(_are_walked)


def _are_walked(condition: Condition) -> bool:
    if condition.kind == HELD_ALL or (condition.kind[0] in SEARCHES and len(condition.kind) > 1):
        return False
    return all(map(_is_walked, condition.parts))


async def _sets_looked_up(session: Session, actor: Actor, predicate: TaskPredicate) -> TaskPredicate:
    """The predicate with the ids of the tasks that have one of some tags or people, where these are few."""
    together = () if predicate.where is None else predicate.where.once(_looked_up_together)
    for part in together:
        values = any_of_set(part, actor)
        key = (actor.user_id, "set", part.kind[0], values)
        if values is None or remembered.known(session, key):
            continue
        ids = await _with_any(session, actor, part.kind[0], values)
        if len(ids) > MAX_IDS:
            remembered.keep(session, key, True)
            continue
        held = Condition(HELD_ALL, (tuple(dict.fromkeys(ids)),))
        rest = _besides(part, values, together)
        return predicate._replace(where=Condition(("and_",), (), (held, *rest)) if rest else held)
    return predicate


def _looked_up_together(condition: Condition) -> Sequence[Condition]:
    """The conditions that have to hold, if some of them may be looked up, and have not been: then they are few."""
    together = condition.together
    names = {part.kind[0] for part in together}
    if names.isdisjoint(SETS_LOOKED_UP | COLUMNS_LOOKED_UP.keys()) or any(part.kind == HELD_ALL for part in together):
        return ()
    return together


class Held(NamedTuple):
    """The tasks that have one of some tags or people."""

    name: str
    values: tuple[object, ...]
    rest: TaskPredicate
    """What else has to hold."""


def held_by_set(planner: Planner, predicate: TaskPredicate, actor: Actor) -> Held | None:
    """The tags or people that a predicate asks for, where its tasks are to be counted by these: in no order, and many.

    None where it asks for none, or where few tasks have them (``looked_up``).
    """
    together = () if predicate.where is None else predicate.where.together
    if predicate.trashed or not planner.knows_lateral or any(part.kind == HELD_ALL for part in together):
        return None
    for part in together:
        values = any_of_set(part, actor)
        if values is not None:
            rest = _besides(part, values, together)
            where = Condition(("and_",), (), tuple(rest)) if rest else None
            # of several that have to be there, one is enough to begin with
            some = values[:1] if part.kind[1] == "all" else values
            return Held(part.kind[0], some, predicate._replace(where=where))
    return None


def _besides(part: Condition, values: tuple[object, ...], together: Sequence[Condition]) -> list[Condition]:
    """What else has to hold of tasks that have one of the values."""
    # several tags or people: all of them have to be there
    return [other for other in together if other is not part or (part.kind[1] == "all" and len(values) > 1)]


def any_of_set(part: Condition, actor: Actor) -> tuple[object, ...] | None:
    """Of what one has to be there for a condition to hold; None for a condition that asks for no such thing."""
    if part.kind == ("assignees", "me", True):
        return (actor.user_id,)
    name, *rest = part.kind
    if name in SETS_LOOKED_UP and rest in (["any"], ["all"]):
        return part.values
    return part.values if name in COLUMNS_LOOKED_UP and rest in (["eq"], ["in_"]) else None


async def _with_any(session: Session, actor: Actor, name: str, values: tuple[object, ...]) -> list[int]:
    """The ids of the tasks, and a few more than ``MAX_IDS`` of many."""

    def build() -> AnySelect:
        given = [parameter(f"s{number}") for number in range(len(values))]
        return with_any(name, ACTOR_PARAMETER, given).limit(parameter("most"))

    some = prepared(("with", name, len(values)), build)
    sets = {f"s{number}": value for number, value in enumerate(values)}
    caller = {} if name == "assignees" else {"caller_id": actor.user_id}
    return list(await session.scalars(some(**caller, **sets, most=MAX_IDS + 1)))
