"""How common a word is decides how the tasks that hold it are found.

The index of texts knows each of the thousands of tasks that hold a common word, of which a page shows twenty. Sorting
all of them takes longer the more there are: where a word is common among the tasks of the caller, the page is rather
found by walking through the order asked for and looking into each task's texts, at a cost that depends on how common
the word is, and not on how many tasks there are.

For a rare word, PostgreSQL need not be told the word to make a plan: making one takes longer than carrying it out.
"""

import re
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.util import LRUCache

from db import trigrams
from db.models import CommentText, Task, TaskText
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
_TRIGRAM = re.compile("(?=([a-z0-9]{3}))")
"""What PostgreSQL's index has whatever the database's locale takes for a letter."""
MAX_PARTS = 8
_TEXTS: tuple[type[TaskText | CommentText], ...] = (TaskText, CommentText)

_NEWEST = Ordering(SortKey("created_at", Task.created_at, Task.id), descending=True)
_known: Any = LRUCache(1_000)


async def as_they_are_used(session: Session, actor: Actor, condition: Condition, *, walking: bool) -> Condition:
    """The condition, with its word looked for in the way that suits it; ``walking`` says whether there is an order to
    walk along."""
    words = [part for part in condition.together if part.kind[0] == "search"]
    if len(words) != 1 or not (walking or session.dialect == "postgresql"):
        return condition
    word = await _as_it_is_used(session, actor, words[0], walking)
    placed = [word if part is words[0] else part for part in condition.together]
    return condition._replace(parts=tuple(placed)) if len(placed) > 1 else placed[0]


async def _as_it_is_used(session: Session, actor: Actor, word: Condition, walking: bool) -> Condition:
    if len(word.values) == 1:  # too short for the index, which knows nothing of it
        many, rarest = True, None
    else:
        many, rarest = await _frequency(session, *word.values)
    if rarest is not None:
        return Condition(("search", "rare"), (*word.values, rarest))
    held = (session.dialect, actor.user_id, word.values)
    if many and walking and await _remembered(held, lambda: _is_held(session, actor, word)):
        return Condition(("search", "each"), word.values)
    return word


async def _frequency(session: Session, like: str, phrase: str) -> tuple[bool, str | None]:
    """Whether many texts hold a word; where few do on PostgreSQL, a pattern that all of those meet."""
    key = (session.dialect, like)
    again = key in _known
    many = await _remembered(key, lambda: _is_in_many(session, like, phrase))
    if many or session.dialect == "sqlite":
        return many, None
    # most words are looked for once: finding the rarest part takes longer than that saves
    return many, await _remembered(("part", like), lambda: _rarest(session, like)) if again else like


async def _remembered(key: Hashable, look: Callable[[], Awaitable[Any]]) -> Any:
    known: tuple[float, Any] | None = _known.get(key)
    if known is None or known[0] < time.monotonic():
        found = await look()
        known = _known[key] = (time.monotonic() + REMEMBERED_SECONDS, found)
    return known[1]


async def _is_in_many(session: Session, like: str, phrase: str) -> bool:
    # on SQLite nothing is done about rare words: comments need not be counted
    texts = _TEXTS if session.dialect == "postgresql" else _TEXTS[:1]

    def build() -> AnySelect:
        given = parameter("like"), parameter("phrase")
        return select(*(trigrams.counting(session.dialect, text, *given, MANY) for text in texts))

    counts: Prepared[Any] = prepared(("many", session.dialect, MANY), build)
    [found] = await session.all(counts(like=like, phrase=phrase))
    return bool(max(found) >= MANY)


async def _rarest(session: Session, like: str) -> str:
    """The part of a pattern that the fewest texts hold: reading the index's long lists of the others takes longer than
    looking into the few texts that are found. For PostgreSQL."""
    parts = [*dict.fromkeys(_TRIGRAM.findall(like))][:MAX_PARTS]
    if len(parts) < 2:
        return like

    def build() -> AnySelect:
        given = [parameter(f"part{number}") for number in range(len(parts))]
        counts = (trigrams.counting(session.dialect, text, part, None, MANY) for part in given for text in _TEXTS)
        return select(*counts)

    counts: Prepared[Any] = prepared(("parts", len(parts), MANY), build)
    patterns = [f"%{part}%" for part in parts]
    [found] = await session.all(counts(**{f"part{number}": pattern for number, pattern in enumerate(patterns)}))
    together = [in_tasks + in_comments for in_tasks, in_comments in zip(found[::2], found[1::2], strict=True)]
    least = min(together)
    return patterns[together.index(least)] if least < MANY else like


async def _is_held(session: Session, actor: Actor, word: Condition) -> bool:
    """Whether some of the caller's newest tasks hold a word."""
    patterns = {f"v{number}": value for number, value in enumerate(word.values)}
    values: dict[str, Any] = {"caller_id": actor.user_id, "skip": 0, "rows": SAMPLE, "most": SAMPLE, **patterns}
    merged = await merge(session, actor, values)
    if merged is None:
        return False

    def build() -> AnySelect:
        everything, stretch = Question(None, trashed=False), Stretch(missing=False, since="end")
        newest = stretch_of(session.dialect, merged or 0, everything, _NEWEST, False, stretch, OPTIONAL)
        tasks = newest.order_by(None).subquery("sample")
        holding = contains_each(tasks.c.id, *map(parameter, patterns))
        return select(func.count()).select_from(tasks).where(holding)

    sample: Prepared[Any] = prepared(("sample", session.dialect, merged, len(patterns)), build)
    return int(await session.scalar(sample(**values))) >= ENOUGH
