"""How words are looked for: at a cost that depends on what the caller may read, and not on what there is besides.

Each search of a filter, wherever it stands in it, is looked up once, before the filter is made into a statement, in
which the ids of the tasks that it finds take its place. What is said of a word here goes for the words of a search
together, which one text has to hold all of: they are short where each of them is.

- where the caller has few tasks, and for words that the index of texts has no trigram of, by looking into the texts of
  the tasks in question. Of so short a word that is done among ``SHORT_AMONG`` tasks; what would take more is refused.
- else by the index, in the caller's projects (``db.text_search``).

A ref is looked up by the key and the number, before anything else.

A word that many of the caller's tasks hold is left in the filter: sorting all that hold it, to show twenty of them,
takes longer the more there are. Where most pages would be found early by walking along the order asked for, each task's
texts are looked into on the way; else the filter asks the index.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Subquery, func, literal, select

from db import text_search
from db.driver.sessions import AnySelect, Session
from db.driver.statements import Prepared
from db.lists import joined_ids, taken_for_few
from db.models import Task
from services.projects.queries import among_visible
from services.shared.actors import Actor
from services.shared.errors import BadUserInput
from services.shared.pagination import Ordering, PageRequest, SortKey
from services.shared.statements import ACTOR_PARAMETER, parameter
from services.tasks import refs
from services.tasks.listing.conditions import HELD, HELD_ALL, REF, SEARCHES, Condition, TaskPredicate
from services.tasks.listing.index_scan import (
    OPTIONAL,
    IndexRange,
    index_ranges,
    keyset_position,
    member_projects,
    prepared,
    range_statement,
)
from services.tasks.listing.remembered import keep, known, remembered
from services.tasks.listing.texts import contains_each, found_by_index
from services.tasks.visibility import readable, restorable

SHORT_AMONG = 10_000
"""Into the texts of so many tasks a search looks for a word that has no index, at 5 to 10 µs each."""
FEW = 1_000
"""Where the caller has no more tasks, looking into all of them takes no longer than asking the index."""
MAX_IDS = 1_000
"""As many ids are handed on from one statement to the next, and as many tasks are sorted, at a cost that does not
matter."""
SAMPLE, COMMON_FROM = 1_000, 10
"""A word is common where so many of the caller's newest tasks hold it: a page of 20 is then found among 2,000."""
TOO_SHORT = (
    f"so short a word is looked for among at most {SHORT_AMONG:,} tasks: narrow them down, "
    "by project, status or date, or look for a longer one"
)

_NEWEST = Ordering(SortKey("created_at", Task.created_at, Task.id), descending=True)


class Walk(NamedTuple):
    """A page that is asked for in an order that an index has."""

    ordering: Ordering
    request: PageRequest


async def choose_search_strategy(
    session: Session, actor: Actor, predicate: TaskPredicate, walk: Walk | None = None, *, along: bool = True
) -> TaskPredicate:
    """The predicate with its words looked up. Raises ``BadUserInput`` for a word that is too short for so many tasks.

    ``walk`` is the page that is asked for, in an order that has an index; ``along`` it a short word is looked for,
    where the rest of the predicate is met early in any order as a rule.
    """
    predicate = await refs_looked_up(session, actor, predicate)
    if predicate.where is None:
        return predicate
    words = predicate.where.once(_words_in)
    if not words:
        return predicate
    index = text_search.index_of(session)
    short = [word for word in words if all(map(index.is_short, word.values))]
    found: dict[Condition, Condition] = {}
    # what is remembered may be out of date: then they are more than is looked into
    all_ = words if await _has_few(session, actor) else short
    for looked_for in (all_, short) if len(all_) > len(short) else (short,):
        if looked_for and not found:
            counted = looked_for is short
            found = await _look_into(session, actor, predicate, looked_for, counted=counted) or {}
    together = predicate.where.together
    if short and not found:
        if walk is None or not along or not all(word in together for word in words):
            raise BadUserInput.at("/search", TOO_SHORT)
        found = await _look_along(session, actor, predicate, words, walk)
    alone = walk is not None and len(words) == 1
    for word in words:
        if word not in found:
            # most tasks lack a word, so that a page of those is soon found
            left = alone and Condition(("not_",), (), (word,)) in together
            sampled = alone and word in together
            found[word] = await _by_index(session, actor, word, left=left, sampled=sampled)
    return _with_found(predicate, found)


def _with_found(predicate: TaskPredicate, found: Mapping[Condition, Condition]) -> TaskPredicate:
    """The predicate with what was found in place of what it was looked up for."""
    together = () if predicate.where is None else predicate.where.together
    parts = [_without_nothing(_replaced(part, found)) for part in together]
    # of what is in question at all, the tasks are looked up by their ids
    parts = [part._replace(kind=HELD_ALL) if part.kind == HELD else part for part in parts]
    return predicate._replace(where=parts[0] if len(parts) == 1 else Condition(("and_",), (), tuple(parts)))


async def refs_looked_up(session: Session, actor: Actor, predicate: TaskPredicate) -> TaskPredicate:
    """The predicate with the task that has it in place of each ref, and its words where none has."""
    given = () if predicate.where is None else predicate.where.once(_refs_in)
    found: dict[Condition, Condition] = {}
    for ref in given:
        task_id = await refs.id_of(session, actor, *ref.values, trashed=predicate.trashed)
        found[ref] = ref.parts[0] if task_id is None else _held((task_id,))
    return _with_found(predicate, found) if found else predicate


def _of_kind(condition: Condition, kinds: Container[object]) -> Iterator[Condition]:
    if condition.kind[0] in kinds:
        yield condition
    for part in condition.parts:
        yield from _of_kind(part, kinds)


def _refs_in(condition: Condition) -> Sequence[Condition]:
    return tuple(dict.fromkeys(_of_kind(condition, {REF[0]})))


def _words(condition: Condition) -> Iterator[Condition]:
    return _of_kind(condition, SEARCHES)


def _words_in(condition: Condition) -> Sequence[Condition]:
    return tuple(dict.fromkeys(_words(condition)))


def _replaced(condition: Condition, found: Mapping[Condition, Condition]) -> Condition:
    if condition in found:
        return found[condition]
    if not condition.parts:
        return condition
    return condition._replace(parts=tuple([_replaced(part, found) for part in condition.parts]))


def _without_nothing(condition: Condition) -> Condition:
    """The condition, without alternatives that no task meets."""
    if not condition.parts:
        return condition
    parts = tuple([_without_nothing(part) for part in condition.parts])
    if condition.kind == ("or_",):
        parts = tuple([part for part in parts if part != _held(())]) or parts[:1]
        if len(parts) == 1:
            return parts[0]
    return condition._replace(parts=parts)


def _held(ids: Sequence[int]) -> Condition:
    return Condition(HELD, (ids,))


def _beside(predicate: TaskPredicate) -> TaskPredicate:
    """The conditions that have to hold beside the words, whichever these are."""
    together = () if predicate.where is None else predicate.where.together
    rest = tuple(part for part in together if not any(_words(part)))
    return predicate._replace(where=Condition(("and_",), (), rest) if rest else None)


async def _has_few(session: Session, actor: Actor) -> bool:
    async def look() -> bool:
        return int(await session.scalar(_FEW(caller_id=actor.user_id, most=FEW + 1))) <= FEW

    return bool(await remembered(session, actor.user_id, look))


_FEW = Prepared(
    select(func.count()).select_from(
        select(literal(1).label("one"))
        .select_from(Task)
        .where(among_visible(Task.project_id, ACTOR_PARAMETER), taken_for_few(Task.number))
        .limit(parameter("most"))
        .subquery("some")
    )
)


def _given(words: Sequence[Condition]) -> dict[str, object]:
    return {f"w{n}_{place}": word for n, search in enumerate(words) for place, word in enumerate(search.values)}


def _numbers(words: Sequence[Condition]) -> tuple[int, ...]:
    """How many words each search has."""
    return tuple([len(search.values) for search in words])


async def _look_into(
    session: Session, actor: Actor, predicate: TaskPredicate, words: Sequence[Condition], *, counted: bool
) -> dict[Condition, Condition] | None:
    """The tasks that hold each word, by their texts; None where more than ``SHORT_AMONG`` are in question, which is
    found out first where it is to be ``counted``."""
    beside = _beside(predicate)
    values = {"caller_id": actor.user_id, "most": SHORT_AMONG + 1, **beside.values()}
    comments = SEARCHES[words[0].kind[0]]
    shape = (beside.shape,)

    def candidates() -> Subquery:
        since = parameter("trash_begins", Task.deleted_at.type)
        shown = restorable(ACTOR_PARAMETER, since=since) if predicate.trashed else readable(ACTOR_PARAMETER)
        tasks = select(Task.id).where(shown, taken_for_few(Task.number), *beside.conditions())
        return tasks.limit(parameter("most")).subquery("sample")

    if counted:
        count = prepared(("candidates", *shape), lambda: select(func.count()).select_from(candidates()))
        if int(await session.scalar(count(**values))) > SHORT_AMONG:
            return None
    numbers = _numbers(words)
    holding = prepared(("into", *shape, numbers, comments), lambda: _holding(candidates(), numbers, comments))
    [(looked_into, *ids)] = await session.all(holding(**values, **_given(words)))
    if looked_into > SHORT_AMONG:
        return None
    return {word: _held(_ids(text)) for word, text in zip(words, ids, strict=True)}


async def _look_along(
    session: Session, actor: Actor, predicate: TaskPredicate, words: Sequence[Condition], walk: Walk
) -> dict[Condition, Condition]:
    """The tasks that hold each of the words, all of which have to be held, among the first ones of an order.

    Raises ``BadUserInput`` where a page is not filled with them.
    """
    # as a rule a short word is a common one
    for most in (SAMPLE, SHORT_AMONG):
        found = await _among_first(session, actor, predicate, words, walk, most)
        if found is not None:
            return {word: _held(ids) for word, ids in zip(words, found, strict=True)}
    raise BadUserInput.at("/search", TOO_SHORT)


async def _among_first(
    session: Session, actor: Actor, predicate: TaskPredicate, words: Sequence[Condition], walk: Walk, most: int
) -> list[tuple[int, ...]] | None:
    """The tasks that hold each of the words; None where there are others than the first ones, and no page of these."""
    ordering, request = walk
    beside = _beside(predicate)
    values: dict[str, object] = {"caller_id": actor.user_id, "skip": 0, **beside.values(), **_given(words)}
    position = keyset_position(ordering, request, values)
    merged = await member_projects(session, actor, values) or 0
    numbers = _numbers(words)
    shape = (session.planner, beside.shape, ordering.signature, request.backward, merged, numbers)
    found: list[tuple[int, ...]] = [() for _ in words]
    for range_ in index_ranges(session.planner, beside, ordering, position, request.backward):

        def build(range_: IndexRange = range_) -> AnySelect:
            tasks = range_statement(session.planner, merged, beside, ordering, request.backward, range_, OPTIONAL)
            return _holding(tasks.order_by(None).subquery("sample"), numbers, comments=True)

        statement = prepared(("along", range_, *shape), build)
        [(looked_into, *ids)] = await session.all(statement(**values, rows=most, most=most))
        found = [held + _ids(text) for held, text in zip(found, ids, strict=True)]
        most -= looked_into
        if len(set.intersection(*map(set, found))) > request.size + request.skip:
            return found
        if most <= 0:
            return None
    return found


def _holding(tasks: Subquery, numbers: Sequence[int], comments: bool) -> AnySelect:
    """How many tasks there are in a subquery, and the ids of those that hold each so many words, as text."""
    listed = joined_ids(tasks.c.id)
    words = ([parameter(f"w{n}_{place}") for place in range(number)] for n, number in enumerate(numbers))
    each = (contains_each(tasks.c.id, some, comments=comments) for some in words)
    return select(func.count(), *(listed.filter(holding) for holding in each)).select_from(tasks)


def _ids(text: str | None) -> tuple[int, ...]:
    return tuple(map(int, text.split(","))) if text else ()


async def _by_index(session: Session, actor: Actor, word: Condition, *, left: bool, sampled: bool) -> Condition:
    """The tasks that hold a word, as they are found by the index. One that many hold is ``left`` to be looked for along
    an order, or where it is common among tasks that are ``sampled``."""
    index, words = text_search.index_of(session), word.values
    if not await remembered(session, "index", lambda: index.exists(session)):
        return word
    asked = index.asked_for(words)
    comments = SEARCHES[word.kind[0]]
    key = (actor.user_id, word.kind, words)

    async def look() -> Sequence[int] | None:
        given, questions = _given([word]), {f"a{number}": part for number, part in enumerate(asked)}

        def build() -> AnySelect:
            each = [[parameter(name) for name in names] for names in (given, questions)]
            found = found_by_index(index, ACTOR_PARAMETER.user_id, *each, comments=comments).subquery("found")
            return select(found).limit(parameter("most"))

        some = prepared(("indexed", index, len(words), len(asked), comments), build)
        ids = await session.scalars(some(caller_id=actor.user_id, **given, **questions, most=MAX_IDS + 1))
        return tuple(dict.fromkeys(ids)) if len(ids) <= MAX_IDS else None

    if not known(session, key):
        ids = await look()
        if ids is not None:
            return _held(ids)
        keep(session, key, True)
    if left or (sampled and await remembered(session, (*key, "newest"), lambda: _is_common(session, actor, word))):
        return word
    return Condition((word.kind[0], index, len(words)), (*words, *asked))


async def _is_common(session: Session, actor: Actor, word: Condition) -> bool:
    """Whether some of the caller's newest tasks hold a word."""
    values: dict[str, object] = {
        "caller_id": actor.user_id,
        "skip": 0,
        "rows": SAMPLE,
        "most": SAMPLE,
        **_given([word]),
    }
    merged = await member_projects(session, actor, values)
    if merged is None:
        return False

    def build() -> AnySelect:
        everything, range_ = TaskPredicate(None, trashed=False), IndexRange(missing=False, since="end")
        newest = range_statement(session.planner, merged or 0, everything, _NEWEST, False, range_, OPTIONAL)
        return _holding(newest.order_by(None).subquery("sample"), numbers, comments=True)

    numbers = _numbers([word])
    sample = prepared(("sample", session.planner, merged, numbers), build)
    [(_, held)] = await session.all(sample(**values))
    return len(_ids(held)) >= COMMON_FROM
