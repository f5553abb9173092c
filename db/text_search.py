"""The indexes of texts: trigrams, together with the project that a text belongs to.

PostgreSQL has a GIN index on the project and the text's trigrams (pg_trgm), SQLite FTS5 tables beside the texts, which
triggers keep; there, the project stands as a trigram of its own before each text. Either finds a word's texts in some
projects by going through the shortest of the lists at the pace of the others: at a cost that depends on those projects'
texts, whatever there is in others.
"""

import unicodedata
from abc import ABC, abstractmethod
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Integer,
    String,
    bindparam,
    cast,
    column,
    func,
    literal,
    literal_column,
    select,
    table,
    type_coerce,
)
from sqlalchemy.sql.expression import FunctionElement

from db.driver.dialects import DialectName, written
from db.driver.sessions import AnySelect, Session
from db.driver.statements import Prepared
from db.models import Comment, CommentText, TaskText
from db.models.projects import Membership

SEARCH_INDEXES = ("task_texts_fts", "comment_texts_fts")
"""SQLite's."""
_POSTGRESQL_INDEX = "ix_task_texts_project_id_folded_trgm"
#: a trigram index knows nothing of shorter texts
SHORTEST = 3
MAX_TRIGRAMS = 12
"""Of how many trigrams SQLite's index is asked; each takes time, and texts are compared with the word in any case."""
MAX_PATTERN = 20
"""Of how many characters PostgreSQL's index is asked, for the same reason."""
_MARK, _MARKS = 0x2F800, 512
"""Characters that no text in NFC has: three of them are the mark of a project (migration 0008)."""

Text = type[TaskText | CommentText]


@written("strpos({}, {}) > 0", sqlite="instr({}, {}) > 0")
class holds(FunctionElement[bool]):
    """Whether a text contains words as they stand: ``holds(text, words)``, both folded."""

    # of no type: SQLAlchemy writes "= 1" behind what is Boolean for SQLite
    inherit_cache = True


@written("strpos({}, {})", sqlite="instr({}, {})")
class position(FunctionElement[int]):
    """Where a text first contains another one, from 1; 0 where it does not."""

    type = Integer()
    inherit_cache = True


@written("ARRAY[{}] && ARRAY{}")
class _InProjects(FunctionElement[bool]):
    """``project_id IN`` the rows of a SELECT, as PostgreSQL's index has it; from the extension it needs nothing."""

    inherit_cache = True


class TextIndex(ABC):
    """A database's index of texts."""

    @abstractmethod
    async def exists(self, session: Session) -> bool:
        """Whether the database has it."""

    @abstractmethod
    def is_short(self, words: str) -> bool:
        """Whether folded words have no trigram that the index would know."""

    @abstractmethod
    def asked_for(self, words: str) -> str:
        """What it is asked for folded words that are not short: all texts with the words have that."""

    @abstractmethod
    def _found(self, text: Text, user_id: Any, words: Any, asked: Any) -> tuple[Any, list[Any]]:
        """What the texts are selected from, and the conditions."""

    def tasks_with(self, text: Text, user_id: Any, words: Any, asked: Any) -> AnySelect:
        """The tasks, each perhaps several times, with texts in the projects of a user that hold the words.

        ``asked`` is what ``asked_for`` says of the words. The tasks may be in the trash.
        """
        found, conditions = self._found(text, user_id, words, asked)
        if text is TaskText:
            return select(TaskText.task_id).select_from(found).where(*conditions)
        found = found.join(Comment, Comment.id == CommentText.comment_id)
        return select(Comment.task_id).select_from(found).where(*conditions)


class _SqliteIndex(TextIndex):
    async def exists(self, session: Session) -> bool:
        return True

    def is_short(self, words: str) -> bool:
        return len(words) < SHORTEST

    def asked_for(self, words: str) -> str:
        trigrams = list(dict.fromkeys(words[start : start + 3] for start in range(len(words) - 2)))
        step = -(-len(trigrams) // MAX_TRIGRAMS)
        # a phrase in quotes has no operators
        return " AND ".join('"' + trigram.replace('"', '""') + '"' for trigram in trigrams[::step])

    def _found(self, text: Text, user_id: Any, words: Any, asked: Any) -> tuple[Any, list[Any]]:
        name = SEARCH_INDEXES[0 if text is TaskText else 1]
        index = table(name, column("rowid"))
        # +: else it might be looked up for each text
        found = index.join(text, _key(text) == literal_column(f"+{name}.rowid"))
        projects = Membership.user_id == user_id
        marks = select(func.group_concat(_mark(Membership.project_id), " OR ")).where(projects).scalar_subquery()
        nobodys = '"' + chr(_MARK) * 3 + '"'
        query = literal("(").concat(func.coalesce(marks, nobodys)).concat(") AND ").concat(asked)
        return found, [literal_column(name).op("MATCH", is_comparison=True)(query), holds(text.folded, words)]


class _PostgresqlIndex(TextIndex):
    async def exists(self, session: Session) -> bool:
        return await session.scalar(_INDEX(name=_POSTGRESQL_INDEX)) is not None

    def is_short(self, words: str) -> bool:
        return _first_letters(words) < 0

    def asked_for(self, words: str) -> str:
        start = max(_first_letters(words), 0) if len(words) > MAX_PATTERN else 0
        part = words[start : start + MAX_PATTERN]
        return "%" + part.replace("/", "//").replace("%", "/%").replace("_", "/_") + "%"

    def _found(self, text: Text, user_id: Any, words: Any, asked: Any) -> tuple[Any, list[Any]]:
        projects = select(Membership.project_id).where(Membership.user_id == user_id).scalar_subquery()
        # what the planner knows makes it plan anew for each word: looking through the statistics of texts takes 0.4 ms.
        # Behind SELECT it is not known
        pattern = select(type_coerce(asked, String)).scalar_subquery()
        conditions = [
            _InProjects(text.project_id, projects),
            text.folded.like(pattern, escape="/"),
            holds(text.folded, words),
        ]
        return text.__table__, conditions


_INDEX: Prepared[Any] = Prepared(select(cast(func.to_regclass(cast(bindparam("name", required=True), String)), String)))
INDEXES: Final[dict[DialectName, TextIndex]] = {"sqlite": _SqliteIndex(), "postgresql": _PostgresqlIndex()}


def index_of(session: Session) -> TextIndex:
    """The index of a session's database."""
    return INDEXES[session.dialect]


def _first_letters(words: str) -> int:
    """Where three letters or digits in a row begin, of which alone pg_trgm makes trigrams; -1 where there are none."""
    run = 0
    for place, character in enumerate(words):
        # letters of some scripts are written with marks
        run = run + 1 if character.isalnum() or unicodedata.category(character)[0] == "M" else 0
        if run == SHORTEST:
            return place + 1 - SHORTEST
    return -1


def _key(text: Text) -> Any:
    return TaskText.task_id if text is TaskText else CommentText.comment_id


def _mark(project_id: Any) -> ColumnElement[str]:
    """The phrase that all texts of a project have, for SQLite."""
    digits = (project_id.op(">>")(shift).op("&")(_MARKS - 1) + _MARK for shift in (0, 9, 18))
    return literal('"').concat(func.char(*digits)).concat('"')
