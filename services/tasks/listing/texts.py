"""Conditions on what tasks say, as SQL: title and description, and comments where they may be read.

Words are found as they stand, whatever the case and in whatever order, where one text has all of them. Texts are kept
folded, and words are folded before they get here.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, func, literal, or_, select

from db import text_search
from db.driver.sessions import AnySelect
from db.models import Comment, CommentText, TaskText
from db.text_search import TextIndex
from services.shared.text import fold


def fold_text(text: str) -> str:
    """What search compares: case-folded and composed (NFC), so that é is é however it was typed."""
    return fold(text)


def contains_each(task_id: object, words: Sequence[object], *, comments: bool) -> ColumnElement[bool]:
    """Whether one of a task's texts has each of the words, by looking into them, whatever an index knows."""
    # a value, not EXISTS: PostgreSQL would rather find everybody's texts with the words first
    text = select(text_search.holds_each(TaskText.folded, words)).where(TaskText.task_id == task_id).scalar_subquery()
    if not comments:
        return text
    comment = (
        select(Comment.id)
        .join(CommentText, CommentText.comment_id == Comment.id)
        .where(Comment.task_id == task_id, text_search.holds_each(CommentText.folded, words))
        .limit(1)
        .scalar_subquery()
    )
    return or_(text, comment.is_not(None))


def has_part(task_id: object, name: str, operator: str, part: object) -> ColumnElement[bool]:
    """Whether a task's title or description contains, or starts with, a text that is folded.

    What is folded of a task begins with its title, which is one line: so what is found before its end is in the title.
    """
    folded, end = TaskText.folded, text_search.position(TaskText.folded, literal("\n"))
    found: Any
    if name == "title":
        place = text_search.position(folded, part)
        found = place == 1 if operator == "starts_with" else and_(place > 0, place < end)
    else:
        rest = func.substr(folded, end + 1)
        found = text_search.position(rest, part) == 1 if operator == "starts_with" else text_search.holds(rest, part)
    # a value, as in contains_each
    return select(found).where(TaskText.task_id == task_id).scalar_subquery()


def found_by_index(
    index: TextIndex, user_id: object, words: Sequence[object], asked: Sequence[object], *, comments: bool
) -> Select[Any] | CompoundSelect[Any]:
    """The ids of the tasks in a user's projects of which a text has each of the words, some of them several times; of
    the trash, too.

    ``asked`` is what the index is asked for the words (``TextIndex.asked_for``).
    """
    in_tasks: AnySelect = index.tasks_with(TaskText, user_id, words, asked)
    return in_tasks.union_all(index.tasks_with(CommentText, user_id, words, asked)) if comments else in_tasks
