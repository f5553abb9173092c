"""What a request may cost, for both doors: filters, lists and bulk calls, and the bounds of a single filter.

The unit is the **point**: about a microsecond of processor time, of the server and of the database together. The
figures were measured for a caller who may read 10,000 tasks among 60,000, on PostgreSQL and SQLite, and rounded:
whichever is dearer. A request may come to ``BUDGET``, about a second; where a caller may read a hundred times as much,
it takes longer than that, and the deadline of the request is the bound.

Prices are what things may come to: of a word nobody knows beforehand whether a thousand texts hold it.
"""

from collections.abc import Iterable, Mapping

from pydantic import BaseModel

from db import text_search
from services.shared.errors import TooExpensive
from services.shared.search_words import words_of

BUDGET = 1_000_000
"""What one request may come to, whichever door it came in by: of all its lists, counts and calls together."""

STATEMENT = 200
"""A statement that finds a few rows by an index."""
WRITE, PASSWORD = 900, 40_000
"""A transaction that changes one thing; one that hashes a password."""
LIST = 900
"""The statements of a page of tasks, also of one without rows."""
FURTHER_KEY = 1_800
"""Another key of the order of such a page."""
COUNT, EXACT_COUNT = 9_000, 90_000
"""Counting the tasks of a list, 10,000 at most, or all of them; what its filter costs, it costs once more."""
COUNTS, EXACT_COUNTS = 35_000, 350_000
"""Counting tasks in groups, 10,000 at most, or all of them."""
ROW = 2
"""A row of an answer, as either door writes it."""
SCAN = 5_000
"""A filter at all, which may hold for no task: all of the caller's are looked at."""
CONDITION = 200
"""A condition on a task's own columns."""
VALUE = 10
"""A value among those that such a condition compares with."""
WORD = 80_000
"""A search that the index helps: the word may be a common one."""
SHORT_WORD = 120_000
"""A search for words of fewer than three characters, folded, of which the index knows nothing: texts are read."""
ANOTHER_WORD = 10_000
"""Each word, or phrase in quotes, beside the first of a search: texts are compared with it as well."""
PART = 110_000
"""A condition on a part of a title or description: each task's text is looked into."""
SET, RELATION = 16_000, 18_000
"""A condition on what hangs on a task: one for each name in ``all``, one for ``any``, ``none`` and the others."""
MEMBER = 3_500
"""A value among several that what hangs on a task is compared with."""
REACHING = 16_000
"""A condition on a field of the project, the task above or the people: looked up for each task."""
NAMES = 5_000
"""A condition on a part of the name of the project or of the people, beside that: the names are read, those of a
thousand people in five milliseconds."""
BLOCKED = 9_000
"""Whether an open task blocks it."""
FOLLOWED = 24_000
"""Whether the caller follows it: four look-ups for each task, and one for what the caller said."""
CHANGE = 350
"""A task that a bulk call creates, changes or deletes, with its event, beside what hangs on it."""
ATTACHED = 25
"""A tag or an assignee of such a task: SQLite takes 15 µs for it. PostgreSQL, which looks both ends up, takes 60 to
100; at that price a thousand tasks with twenty each, which people import, would be refused."""
RECURRING = 10_000
"""Looking through a rule of recurrence, as far as it may be looked through."""
MATCHING = 500_000
"""Changing as many tasks as one filter may find; the filter is asked three times."""

MAX_DEPTH = 8
MAX_CONDITIONS = 200
MAX_VALUES, MAX_TEXT = 1_000, 8_000
"""Values that are compared with, and bytes of text among them (UTF-8), in a whole filter. Whatever is within the bounds
fits into an address (``api.http.addresses.MAX_ADDRESS``), escaped: one door takes what the other takes."""
BEYOND = 10 * BUDGET
"""Where counting ends."""
MAX_THEN_BY = 2
"""By how many keys tasks are ordered beside the first."""
MAX_NESTED = 20
"""How deep the tasks of a bulk call are followed: deeper than anybody takes them."""


def sentence(points: int) -> str:
    """What is told of a request that costs too much."""
    return f"The request comes to {min(points, BEYOND):,} points of cost; at most {BUDGET:,} are allowed"


def demand(points: int) -> None:
    """Raises ``TooExpensive`` for a request that comes to more than ``BUDGET``."""
    if points > BUDGET:
        raise TooExpensive(sentence(points))


def of_filter(given: object, depth: int = 0) -> int:
    """The price of a ``TaskFilter``: of the model, or of what was sent for one, in either door's spelling.

    What was sent may be anything at all: what is no filter, or nested too deeply, costs nothing, for it is refused as
    that. A filter of one or two conditions takes about a microsecond.
    """
    if depth > MAX_DEPTH:
        return 0
    points = 0
    for name, value in given.items() if type(given) is dict else _sent(given):
        if name in _LOGIC:
            for part in value if isinstance(value, list) else (value,):
                points += CONDITION + of_filter(part, depth + 1)
                if points > BEYOND:
                    return BEYOND
        elif name == "search":
            points += of_search(value)
        elif name in _LOOKED_UP:
            points += _LOOKED_UP[name]
        else:
            price = _SETS.get(name)
            for operator, operand in value.items() if type(value) is dict else _sent(value):
                more = len(operand) - 1 if type(operand) is list else 0
                if type(operand) is dict or isinstance(operand, BaseModel):
                    points += REACHING + sum(_of_reached(operator, *each) for each in _sent(operand))
                elif operator in _PARTS:
                    points += PART
                elif price is None:
                    points += CONDITION + VALUE * more
                else:
                    points += price + (price if operator == "all" else MEMBER) * more
    return points if depth or not points else points + SCAN


def _of_reached(field: object, operator: object, operand: object) -> int:
    """The price of comparing a field of what a task names, beside looking it up."""
    points = CONDITION + VALUE * (len(operand) - 1 if isinstance(operand, list) else 0)
    return points + (_PARTS_OF_REACHED.get(field, 0) if operator in _PARTS else 0)


_LOOKED_UP: Mapping[object, int] = {"blocked": BLOCKED, "followed": FOLLOWED, "recurring": CONDITION}
_LOGIC = frozenset({"and", "or", "not", "and_", "or_", "not_"})
_PARTS = frozenset({"contains", "starts_with", "startsWith"})
_PARTS_OF_REACHED: Mapping[object, int] = {"title": PART, "name": NAMES, "full_name": NAMES, "fullName": NAMES}
"""Of keys and usernames, parts are compared in passing."""
_SETS: Mapping[object, int] = {"assignees": SET, "tags": SET, "relations": RELATION}


def of_search(words: object) -> int:
    """The price of words that are searched for; nothing for what is no text."""
    if not isinstance(words, str):
        return 0
    if len(words) > text_search.SHORTEST and words.isascii() and words.isalnum():
        return WORD
    different = words_of(words[:200])
    # PostgreSQL's index has the fewest words: what costs depends on no database
    first = SHORT_WORD if all(map(text_search.INDEXES["postgresql"].is_short, different)) else WORD
    return first + ANOTHER_WORD * max(len(different) - 1, 0)


def of_then_by(given: object) -> int:
    """The price of more keys of an order than one: for each, more pages are read, of which one is made."""
    return FURTHER_KEY * min(len(given), MAX_THEN_BY) if isinstance(given, list) else 0


def of_tasks(given: object, depth: int = 0) -> int:
    """The price of the tasks of a bulk call, or of a new project: of the models, or of what was sent for them."""
    points = 0
    for item in given if isinstance(given, list) and depth < MAX_NESTED else ():
        points += CHANGE
        for name, value in _sent(item):
            if isinstance(value, list):
                points += of_tasks(value, depth + 1) if name == "subtasks" else ATTACHED * len(value)
            elif name == "recurrence" and value is not None:
                points += STATEMENT
        if points > BEYOND:
            break
    return points


def of_matching(given: object) -> int:
    """The price of changing all tasks that meet a filter; ``given`` is the filter."""
    return MATCHING + 3 * of_filter(given)


def _sent(given: object) -> Iterable[tuple[object, object]]:
    if isinstance(given, dict):
        return given.items()
    return given.sent().items() if isinstance(given, BaseModel) else ()  # type: ignore[attr-defined]  # an Input
