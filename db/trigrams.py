"""Where SQLite keeps its search index: FTS5 tables of trigrams beside the texts, which triggers keep.

PostgreSQL's index (pg_trgm) needs no words of its own in a statement: the planner takes it for a LIKE.
"""

from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, func, literal, literal_column, select, table, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement

from db.models import CommentText, TaskText

SEARCH_INDEXES = ("task_texts_fts", "comment_texts_fts")
"""SQLite's."""
#: a trigram index knows nothing of shorter texts
SHORTEST = 3


class _Match(FunctionElement[bool]):
    """``key IN`` the rows of the FTS5 table that contain a phrase; on PostgreSQL simply true."""

    # of no type: SQLAlchemy writes "= 1" behind what is Boolean for SQLite, which then looks at every row
    fts = ""


class _TaskMatch(_Match):
    inherit_cache = True
    fts = SEARCH_INDEXES[0]


class _CommentMatch(_Match):
    inherit_cache = True
    fts = SEARCH_INDEXES[1]


@compiles(_Match)
def _anything(_element: _Match, compiler: Any, **options: Any) -> str:
    return str(compiler.process(true(), **options))


@compiles(_Match, "sqlite")
def _match(element: _Match, compiler: Any, **options: Any) -> str:
    key, phrase = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{key} IN (SELECT rowid FROM {element.fts} WHERE {element.fts} MATCH {phrase})"  # noqa: S608 - names of ours, a bound phrase


def is_indexed(words: str) -> bool:
    """Whether folded words are long enough for the index."""
    return len(words) >= SHORTEST


def patterns(words: str) -> tuple[str, ...]:
    """What ``contains`` compares with, for folded words, every character of which stands for itself."""
    like = "%" + words.replace("/", "//").replace("%", "/%").replace("_", "/_") + "%"
    # a phrase in quotes has no operators
    return (like, '"' + words.replace('"', '""') + '"') if is_indexed(words) else (like,)


def counting(dialect: str, text: type[TaskText | CommentText], like: Any, phrase: Any, most: int) -> ScalarSelect[int]:
    """How many texts the index finds, at most so many; SQLite's finds a few more than contain the words."""
    if dialect == "sqlite":
        fts = (_TaskMatch if text is TaskText else _CommentMatch).fts
        found = select(literal(1)).select_from(table(fts)).where(literal_column(fts).op("MATCH")(phrase))
    else:
        found = select(literal(1)).where(text.folded.like(like, escape="/"))
    return select(func.count()).select_from(found.limit(most).subquery("found")).scalar_subquery()


def contains(text: type[TaskText | CommentText], like: Any, phrase: Any = None) -> ColumnElement[bool]:
    """Rows whose folded text contains the words that ``patterns`` was given."""
    exact: ColumnElement[bool] = text.folded.like(like, escape="/")
    if phrase is None:
        return exact
    if text is TaskText:
        return _TaskMatch(TaskText.task_id, phrase) & exact
    return _CommentMatch(CommentText.comment_id, phrase) & exact
