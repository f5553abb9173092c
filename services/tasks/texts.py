"""Conditions on what tasks say, as SQL: title and description, and comments where they may be read.

Words are found as they stand, whatever the case: texts are kept folded, and words are folded before they get here.
"""

from typing import Any

from sqlalchemy import ColumnElement, or_, select

from db import trigrams
from db.models import Comment, CommentText, TaskText
from db.sessions import AnySelect, DialectName
from services.text import fold


def fold_text(text: str) -> str:
    """What search compares: case-folded and composed (NFC), so that é is é however it was typed."""
    return fold(text)


def contains_each(task_id: Any, words: Any, *, comments: bool) -> ColumnElement[bool]:
    """Whether a task has the words, by looking into its texts, whatever an index knows."""
    # a value, not EXISTS: PostgreSQL would rather find everybody's texts with the words first
    text = select(trigrams.holds(TaskText.folded, words)).where(TaskText.task_id == task_id).scalar_subquery()
    if not comments:
        return text
    comment = (
        select(Comment.id)
        .join(CommentText, CommentText.comment_id == Comment.id)
        .where(Comment.task_id == task_id, trigrams.holds(CommentText.folded, words))
        .limit(1)
        .scalar_subquery()
    )
    return or_(text, comment.is_not(None))


def found_by_index(dialect: DialectName, user_id: Any, words: Any, asked: Any, *, comments: bool) -> Any:
    """The ids of the tasks in a user's projects that have the words, some of them several times; of the trash, too.

    ``asked`` is what the index is asked for the words (``trigrams.sought``).
    """
    in_tasks: AnySelect = trigrams.tasks_with(dialect, TaskText, user_id, words, asked)
    return (
        in_tasks.union_all(trigrams.tasks_with(dialect, CommentText, user_id, words, asked)) if comments else in_tasks
    )
