"""How words are looked for: at a cost that depends on what the caller may read, and not on what there is besides.

Each word of a filter, wherever it stands in it, is looked up once, before the filter is made into a statement, in which
the ids of the tasks that hold it take its place:

- where the caller has few tasks, and for words that the index of texts has no trigram of, by looking into the texts of
  the tasks in question. Of so short a word that is done among ``SHORT_AMONG`` tasks; what would take more is refused.
- else by the index, in the caller's projects (``db.trigrams``).

A word that many of the caller's tasks hold is left in the filter: sorting all that hold it, to show twenty of them,
takes longer the more there are. Where most pages would be found early by walking along the order asked for, each task's
texts are looked into on the way; else the filter asks the index.
"""

import time
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import String, cast, func, literal, select
from sqlalchemy.util import LRUCache

from db import trigrams
from db.lists import taken_for_few
from db.models import Task
from db.sessions import AnySelect, Session
from db.statements import Prepared
from services.actors import Actor
from services.errors import BadUserInput
from services.pagination import Ordering, PageRequest, SortKey
from services.prepared import CALLER, parameter
from services.projects.queries import among_visible
from services.tasks.conditions import HELD, HELD_ALL, SEARCHES, Condition
from services.tasks.stretches import OPTIONAL, Question, Stretch, merge, position_of, prepared, stretch_of, stretches
from services.tasks.texts import contains_each, found_by_index
from services.tasks.visibility import readable, restorable

SHORT_AMONG = 10_000
"""Into the texts of so many tasks a search looks for a word that has no index, at 5 to 10 µs each."""
FEW = 1_000
"""Where the caller has no more tasks, looking into all of them takes no longer than asking the index."""
MANY = 1_000
"""As many ids are handed on from one statement to the next, and as many tasks are sorted, at a cost that does not
matter."""
SAMPLE, ENOUGH = 1_000, 10
"""A word is common where so many of the caller's newest tasks hold it: a page of 20 is then found among 2,000."""
REMEMBERED_SECONDS = 60.0
TOO_SHORT = (
    f"so short a word is looked for among at most {SHORT_AMONG:,} tasks: narrow them down, "
    "by project, status or date, or look for a longer one"
)

_NEWEST = Ordering(SortKey("created_at", Task.created_at, Task.id), descending=True)
_known: Any = LRUCache(1_000)
"""What was found out about callers and words. It decides how tasks are found, never which."""


class Walk(NamedTuple):
    """A page that is asked for in an order that an index has."""

    ordering: Ordering
    request: PageRequest


async def looked_up(session: Session, actor: Actor, question: Question, walk: Walk | None = None) -> Question:
    """The question with its words looked up. Raises ``BadUserInput`` for a word that is too short for so many tasks.

    ``walk`` is the page that is asked for, where the rest of the question is met early in its order as a rule.
    """
    if question.where is None:
        return question
    words = list(dict.fromkeys(_words(question.where)))
    if not words:
        return question
    short = [word for word in words if trigrams.is_short(session.dialect, word.values[0])]
    found: dict[Condition, Condition] = {}
    # what is remembered may be out of date: then they are more than is looked into
    all_ = words if await _has_few(session, actor) else short
    for looked_for in (all_, short) if len(all_) > len(short) else (short,):
        if looked_for and not found:
            counted = looked_for is short
            found = await _look_into(session, actor, question, looked_for, counted=counted) or {}
    if short and not found:
        together = question.where.together
        if walk is None or not all(word in together for word in words):
            raise BadUserInput.at("/search", TOO_SHORT)
        found = await _look_along(session, actor, question, words, walk)
    alone = len(words) == 1 and words[0] in question.where.together
    for word in words:
        if word not in found:
            found[word] = await _by_index(session, actor, word, walk if alone else None)
    parts = [_replaced(part, found) for part in question.where.together]
    # of what is in question at all, the tasks are looked up by their ids
    parts = [part._replace(kind=HELD_ALL) if part.kind == HELD else part for part in parts]
    return question._replace(where=parts[0] if len(parts) == 1 else Condition(("and_",), (), tuple(parts)))


def _words(condition: Condition) -> Iterator[Condition]:
    if condition.kind[0] in SEARCHES:
        yield condition
    for part in condition.parts:
        yield from _words(part)


def _replaced(condition: Condition, found: Mapping[Condition, Condition]) -> Condition:
    if condition.kind[0] in SEARCHES:
        return found[condition]
    if not condition.parts:
        return condition
    return condition._replace(parts=tuple([_replaced(part, found) for part in condition.parts]))


def _held(ids: Sequence[int]) -> Condition:
    return Condition(HELD, (ids,))


def _beside(question: Question) -> Question:
    """The conditions that have to hold beside the words, whichever these are."""
    together = () if question.where is None else question.where.together
    rest = tuple(part for part in together if not any(_words(part)))
    return question._replace(where=Condition(("and_",), (), rest) if rest else None)


async def _has_few(session: Session, actor: Actor) -> bool:
    async def look() -> bool:
        return int(await session.scalar(_FEW(caller_id=actor.user_id, most=FEW + 1))) <= FEW

    return bool(await _remembered((session.dialect, actor.user_id), look))


_FEW: Prepared[Any] = Prepared(
    select(func.count()).select_from(
        select(literal(1).label("one"))
        .select_from(Task)
        .where(among_visible(Task.project_id, CALLER), taken_for_few(Task.number))
        .limit(parameter("most"))
        .subquery("some")
    )
)


async def _remembered(key: Hashable, look: Callable[[], Awaitable[Any]]) -> Any:
    known: tuple[float, Any] | None = _known.get(key)
    if known is None or known[0] < time.monotonic():
        found = await look()
        known = _known[key] = (time.monotonic() + REMEMBERED_SECONDS, found)
    return known[1]


def _given(words: Sequence[Condition]) -> dict[str, Any]:
    return {f"w{number}": word.values[0] for number, word in enumerate(words)}


async def _look_into(
    session: Session, actor: Actor, question: Question, words: Sequence[Condition], *, counted: bool
) -> dict[Condition, Condition] | None:
    """The tasks that hold each word, by their texts; None where more than ``SHORT_AMONG`` are in question, which is
    found out first where it is to be ``counted``."""
    beside = _beside(question)
    values = {"caller_id": actor.user_id, "most": SHORT_AMONG + 1, **beside.values()}
    comments = SEARCHES[words[0].kind[0]]
    shape = (session.dialect, beside.shape)

    def in_question() -> Any:
        since = parameter("trash_begins", Task.deleted_at.type)
        shown = restorable(CALLER, since=since) if question.trashed else readable(CALLER)
        tasks = select(Task.id).where(shown, taken_for_few(Task.number), *beside.conditions())
        return tasks.limit(parameter("most")).subquery("sample")

    if counted:
        count: Prepared[Any] = prepared(("candidates", *shape), lambda: select(func.count()).select_from(in_question()))
        if int(await session.scalar(count(**values))) > SHORT_AMONG:
            return None
    holding: Prepared[Any] = prepared(
        ("into", *shape, len(words), comments), lambda: _holding(session, in_question(), len(words), comments)
    )
    [(looked_into, *ids)] = await session.all(holding(**values, **_given(words)))
    if looked_into > SHORT_AMONG:
        return None
    return {word: _held(_ids(text)) for word, text in zip(words, ids, strict=True)}


async def _look_along(
    session: Session, actor: Actor, question: Question, words: Sequence[Condition], walk: Walk
) -> dict[Condition, Condition]:
    """The tasks that hold each of the words, all of which have to be held, among the first ones of an order.

    Raises ``BadUserInput`` where a page is not filled with them.
    """
    # as a rule a short word is a common one
    for most in (SAMPLE, SHORT_AMONG):
        found = await _among_first(session, actor, question, words, walk, most)
        if found is not None:
            return {word: _held(ids) for word, ids in zip(words, found, strict=True)}
    raise BadUserInput.at("/search", TOO_SHORT)


async def _among_first(
    session: Session, actor: Actor, question: Question, words: Sequence[Condition], walk: Walk, most: int
) -> list[tuple[int, ...]] | None:
    """The tasks that hold each of the words; None where there are others than the first ones, and no page of these."""
    ordering, request = walk
    beside = _beside(question)
    values: dict[str, Any] = {"caller_id": actor.user_id, "skip": 0, **beside.values(), **_given(words)}
    position = position_of(ordering, request, values)
    merged = await merge(session, actor, values) or 0
    shape = (session.dialect, beside.shape, ordering.signature, request.backward, merged, len(words))
    found: list[tuple[int, ...]] = [() for _ in words]
    for stretch in stretches(session.dialect, ordering.key.nullable, position, request.backward):

        def build(stretch: Stretch = stretch) -> AnySelect:
            tasks = stretch_of(session.dialect, merged, beside, ordering, request.backward, stretch, OPTIONAL)
            return _holding(session, tasks.order_by(None).subquery("sample"), len(words), comments=True)

        statement: Prepared[Any] = prepared(("along", stretch, *shape), build)
        [(looked_into, *ids)] = await session.all(statement(**values, rows=most, most=most))
        found = [held + _ids(text) for held, text in zip(found, ids, strict=True)]
        most -= looked_into
        if len(set.intersection(*map(set, found))) > request.size + request.skip:
            return found
        if most <= 0:
            return None
    return found


def _holding(session: Session, tasks: Any, words: int, comments: bool) -> AnySelect:
    """How many tasks there are in a subquery, and the ids of those that hold each word, as text."""
    listed: Any = func.group_concat(tasks.c.id)
    if session.dialect == "postgresql":
        listed = func.string_agg(cast(tasks.c.id, String), ",")
    each = (contains_each(tasks.c.id, parameter(f"w{number}"), comments=comments) for number in range(words))
    return select(func.count(), *(listed.filter(holding) for holding in each)).select_from(tasks)


def _ids(text: str | None) -> tuple[int, ...]:
    return tuple(map(int, text.split(","))) if text else ()


async def _by_index(session: Session, actor: Actor, word: Condition, walk: Walk | None) -> Condition:
    if not await _has_index(session):
        return word
    dialect, [words] = session.dialect, word.values
    values = {"caller_id": actor.user_id, "words": words, "asked": trigrams.sought(dialect, words)}
    comments = SEARCHES[word.kind[0]]
    key = (dialect, actor.user_id, word.kind, words)

    async def look() -> Sequence[int] | None:
        def build() -> AnySelect:
            found = found_by_index(
                dialect, CALLER.user_id, parameter("words"), parameter("asked"), comments=comments
            ).subquery("found")
            return select(found).limit(parameter("most"))

        some: Prepared[Any] = prepared(("indexed", dialect, comments), build)
        ids = await session.scalars(some(**values, most=MANY + 1))
        return tuple(dict.fromkeys(ids)) if len(ids) <= MANY else None

    if _known.get(key, (0.0, None))[0] < time.monotonic():
        ids = await look()
        if ids is not None:
            return _held(ids)
        _known[key] = (time.monotonic() + REMEMBERED_SECONDS, None)
    if walk is not None and await _remembered((*key, "newest"), lambda: _is_in_newest(session, actor, word)):
        return word
    return Condition((word.kind[0], dialect), (words, values["asked"]))


async def _has_index(session: Session) -> bool:
    """Whether there is one: PostgreSQL may lack the extension."""
    if session.dialect == "sqlite":
        return True

    async def look() -> bool:
        return await session.scalar(_INDEX(name=trigrams.POSTGRESQL_INDEX)) is not None

    return bool(await _remembered("index", look))


_INDEX: Prepared[Any] = Prepared(select(cast(func.to_regclass(cast(parameter("name"), String)), String)))


async def _is_in_newest(session: Session, actor: Actor, word: Condition) -> bool:
    """Whether some of the caller's newest tasks hold a word."""
    values: dict[str, Any] = {"caller_id": actor.user_id, "skip": 0, "rows": SAMPLE, "most": SAMPLE, **_given([word])}
    merged = await merge(session, actor, values)
    if merged is None:
        return False

    def build() -> AnySelect:
        everything, stretch = Question(None, trashed=False), Stretch(missing=False, since="end")
        newest = stretch_of(session.dialect, merged or 0, everything, _NEWEST, False, stretch, OPTIONAL)
        return _holding(session, newest.order_by(None).subquery("sample"), 1, comments=True)

    sample: Prepared[Any] = prepared(("sample", session.dialect, merged), build)
    [(_, held)] = await session.all(sample(**values))
    return len(_ids(held)) >= ENOUGH
