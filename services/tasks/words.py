"""Common words: the index of texts knows each of the thousands of tasks that hold one, of which a page shows twenty.

Sorting all that match takes longer the more there are. Where a word is common among the tasks of the caller, the page
is rather found by walking through the order asked for and looking into each task's texts, at a cost that depends on how
common the word is, and not on how many tasks there are.
"""

import time
from collections.abc import Hashable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.util import LRUCache

from db import trigrams
from db.models import Task
from db.sessions import AnySelect, Session
from db.statements import Prepared
from services.actors import Actor
from services.pagination import Ordering, SortKey
from services.prepared import parameter
from services.tasks.conditions import Condition, contains_each
from services.tasks.stretches import OPTIONAL, Question, Stretch, merge, prepared, stretch_of

MANY = 1_000
"""As many texts with a word are sorted at a cost that does not matter."""
SAMPLE, ENOUGH = 1_000, 10
"""A word is common where so many of the caller's newest tasks hold it: a page of 20 is then found among 2,000."""
REMEMBERED_SECONDS = 60.0

_NEWEST = Ordering(SortKey("created_at", Task.created_at, Task.id), descending=True)
_known: Any = LRUCache(1_000)


async def in_each_task(session: Session, actor: Actor, condition: Condition | None) -> Condition | None:
    """The condition, with its words looked for in each task: None where it has none, or one that is not common."""
    if condition is None:
        return None
    parts = condition.parts if condition.kind == ("and_",) else (condition,)
    words = [part for part in parts if part.kind[0] == "search"]
    if len(words) != 1 or not await _is_common(session, actor, words[0]):
        return None
    walked = [part._replace(kind=("search", "each")) if part is words[0] else part for part in parts]
    return condition._replace(parts=tuple(walked)) if condition.parts else walked[0]


async def _is_common(session: Session, actor: Actor, word: Condition) -> bool:
    key: Hashable = (session.dialect, actor.user_id, word.values)
    known: tuple[float, bool] | None = _known.get(key)
    if known is None or known[0] < time.monotonic():
        found = await _look(session, actor, word)
        known = _known[key] = (time.monotonic() + REMEMBERED_SECONDS, found)
    return known[1]


async def _look(session: Session, actor: Actor, word: Condition) -> bool:
    """Whether many texts hold the word, and some of the caller's newest tasks do."""
    patterns = {f"v{number}": value for number, value in enumerate(word.values)}
    if len(patterns) > 1:  # of a shorter one the index knows nothing

        def build_count() -> AnySelect:
            return trigrams.counting(session.dialect, parameter("v0"), parameter("v1"), MANY)

        count: Prepared[Any] = prepared(("many", session.dialect, MANY), build_count)
        if await session.scalar(count(**patterns)) < MANY:
            return False
    values: dict[str, Any] = {"caller_id": actor.user_id, "skip": 0, "rows": SAMPLE, "most": SAMPLE, **patterns}
    merged = await merge(session, actor, values)
    if merged is None:
        return False

    def build_sample() -> AnySelect:
        everything, stretch = Question(None, trashed=False), Stretch(missing=False, since="end")
        newest = stretch_of(session.dialect, merged or 0, everything, _NEWEST, False, stretch, OPTIONAL)
        tasks = newest.order_by(None).subquery("sample")
        holding = contains_each(tasks.c.id, *map(parameter, patterns))
        return select(func.count()).select_from(tasks).where(holding)

    sample: Prepared[Any] = prepared(("sample", session.dialect, merged, len(patterns)), build_sample)
    return int(await session.scalar(sample(**values))) >= ENOUGH
