"""The indexes of texts: trigrams, together with the project that a text belongs to.

PostgreSQL has a GIN index on the project and the text's trigrams (pg_trgm), SQLite FTS5 tables beside the texts, which
triggers keep; there, the project stands as a trigram of its own before each text. Either finds a word's texts in some
projects by going through the shortest of the lists at the pace of the others: at a cost that depends on those projects'
texts, whatever there is in others.
"""

import unicodedata
from typing import Any

from sqlalchemy import ColumnElement, String, column, func, literal, literal_column, select, table, type_coerce
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement

from db.models import Comment, CommentText, TaskText
from db.models.projects import Membership
from db.sessions import AnySelect, DialectName

SEARCH_INDEXES = ("task_texts_fts", "comment_texts_fts")
"""SQLite's."""
POSTGRESQL_INDEX = "ix_task_texts_project_id_folded_trgm"
#: a trigram index knows nothing of shorter texts
SHORTEST = 3
MAX_TRIGRAMS = 12
"""Of how many trigrams SQLite's index is asked; each takes time, and texts are compared with the word in any case."""
MAX_PATTERN = 20
"""Of how many characters PostgreSQL's index is asked, for the same reason."""
_MARK, _MARKS = 0x2F800, 512
"""Characters that no text in NFC has: three of them are the mark of a project (migration 0008)."""

Text = type[TaskText | CommentText]


class holds(FunctionElement[bool]):
    """Whether a text contains words as they stand: ``holds(text, words)``, both folded."""

    # of no type: SQLAlchemy writes "= 1" behind what is Boolean for SQLite
    inherit_cache = True


@compiles(holds)
def _holds(element: holds, compiler: Any, **options: Any) -> str:
    text, words = (compiler.process(clause, **options) for clause in element.clauses)
    return f"strpos({text}, {words}) > 0"


@compiles(holds, "sqlite")
def _holds_sqlite(element: holds, compiler: Any, **options: Any) -> str:
    text, words = (compiler.process(clause, **options) for clause in element.clauses)
    return f"instr({text}, {words}) > 0"


class _InProjects(FunctionElement[bool]):
    """``project_id IN`` the rows of a SELECT, as PostgreSQL's index has it; from the extension it needs nothing."""

    inherit_cache = True


@compiles(_InProjects)
def _in_projects(element: _InProjects, compiler: Any, **options: Any) -> str:
    project_id, projects = (compiler.process(clause, **options) for clause in element.clauses)
    return f"ARRAY[{project_id}] && ARRAY{projects}"


def is_short(dialect: DialectName, words: str) -> bool:
    """Whether folded words have no trigram that the index would know."""
    if dialect == "sqlite":
        return len(words) < SHORTEST
    return _first_letters(words) < 0


def _first_letters(words: str) -> int:
    """Where three letters or digits in a row begin, of which alone pg_trgm makes trigrams; -1 where there are none."""
    run = 0
    for place, character in enumerate(words):
        # letters of some scripts are written with marks
        run = run + 1 if character.isalnum() or unicodedata.category(character)[0] == "M" else 0
        if run == SHORTEST:
            return place + 1 - SHORTEST
    return -1


def sought(dialect: DialectName, words: str) -> str:
    """What the index is asked for, for folded words that are not short: all texts with the words have that."""
    if dialect == "sqlite":
        trigrams = list(dict.fromkeys(words[start : start + 3] for start in range(len(words) - 2)))
        step = -(-len(trigrams) // MAX_TRIGRAMS)
        # a phrase in quotes has no operators
        return " AND ".join('"' + trigram.replace('"', '""') + '"' for trigram in trigrams[::step])
    start = max(_first_letters(words), 0) if len(words) > MAX_PATTERN else 0
    part = words[start : start + MAX_PATTERN]
    return "%" + part.replace("/", "//").replace("%", "/%").replace("_", "/_") + "%"


def tasks_with(dialect: DialectName, text: Text, user_id: Any, words: Any, asked: Any) -> AnySelect:
    """The tasks, each perhaps several times, with texts in the projects of a user that hold the words.

    ``asked`` is what ``sought`` says of the words. The tasks may be in the trash.
    """
    mine = Membership.user_id == user_id
    found: Any
    if dialect == "sqlite":
        name = SEARCH_INDEXES[0 if text is TaskText else 1]
        index = table(name, column("rowid"))
        # +: else it might be looked up for each text
        found = index.join(text, _key(text) == literal_column(f"+{name}.rowid"))
        marks = select(func.group_concat(_mark(Membership.project_id), " OR ")).where(mine).scalar_subquery()
        nobodys = '"' + chr(_MARK) * 3 + '"'
        query = literal("(").concat(func.coalesce(marks, nobodys)).concat(") AND ").concat(asked)
        conditions = [literal_column(name).op("MATCH", is_comparison=True)(query), holds(text.folded, words)]
    else:
        found = text.__table__
        projects = select(Membership.project_id).where(mine).scalar_subquery()
        # what the planner knows makes it plan anew for each word: looking through the statistics of texts takes 0.4 ms.
        # Behind SELECT it is not known
        pattern = select(type_coerce(asked, String)).scalar_subquery()
        conditions = [
            _InProjects(text.project_id, projects),
            text.folded.like(pattern, escape="/"),
            holds(text.folded, words),
        ]
    if text is TaskText:
        return select(TaskText.task_id).select_from(found).where(*conditions)
    return (
        select(Comment.task_id)
        .select_from(found.join(Comment, Comment.id == CommentText.comment_id))
        .where(*conditions)
    )


def _key(text: Text) -> Any:
    return TaskText.task_id if text is TaskText else CommentText.comment_id


def _mark(project_id: Any) -> ColumnElement[str]:
    """The phrase that all texts of a project have, for SQLite."""
    digits = (project_id.op(">>")(shift).op("&")(_MARKS - 1) + _MARK for shift in (0, 9, 18))
    return literal('"').concat(func.char(*digits)).concat('"')
