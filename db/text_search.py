"""The indexes of texts: trigrams, together with the project that a text belongs to.

PostgreSQL has a GIN index on the project and the text's trigrams (pg_trgm), SQLite FTS5 tables beside the texts, which
triggers keep; there, the project stands as a trigram of its own before each text. Either finds a word's texts in some
projects by going through the shortest of the lists at the pace of the others: at a cost that depends on those projects'
texts, whatever there is in others.
"""

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Integer,
    String,
    and_,
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
"""Of how many characters PostgreSQL's index is asked, of all words together, for the same reason."""
_MARK, _MARKS = 0x2F800, 512
"""Characters that no text in NFC has: three of them are the mark of a project (migration 0008)."""

Text = type[TaskText | CommentText]


@written("strpos({}, {}) > 0", sqlite="instr({}, {}) > 0")
class holds(FunctionElement[bool]):
    """Whether a text contains words as they stand: ``holds(text, words)``, both folded."""

    # of no type: SQLAlchemy writes "= 1" behind what is Boolean for SQLite
    inherit_cache = True


def holds_each(text: Any, words: Sequence[Any]) -> Any:
    """Whether a text contains each of some words, in whatever order."""
    return holds(text, words[0]) if len(words) == 1 else and_(*(holds(text, word) for word in words))


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
    def is_short(self, word: str) -> bool:
        """Whether a folded word, or phrase, has no trigram that the index would know."""

    @abstractmethod
    def asked_for(self, words: Sequence[str]) -> tuple[str, ...]:
        """What it is asked for folded words that are not all short: all texts with the words have each of that."""

    @abstractmethod
    def _found(self, text: Text, user_id: Any, words: Sequence[Any], asked: Sequence[Any]) -> tuple[Any, list[Any]]:
        """What the texts are selected from, and the conditions."""

    def tasks_with(self, text: Text, user_id: Any, words: Sequence[Any], asked: Sequence[Any]) -> AnySelect:
        """The tasks, each perhaps several times, with texts in the projects of a user that hold all of the words.

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

    def is_short(self, word: str) -> bool:
        return len(word) < SHORTEST

    def asked_for(self, words: Sequence[str]) -> tuple[str, ...]:
        each = (word[start : start + 3] for word in words for start in range(len(word) - 2))
        trigrams = list(dict.fromkeys(each))
        step = -(-len(trigrams) // MAX_TRIGRAMS)
        # a phrase in quotes has no operators
        return (" AND ".join('"' + trigram.replace('"', '""') + '"' for trigram in trigrams[::step]),)

    def _found(self, text: Text, user_id: Any, words: Sequence[Any], asked: Sequence[Any]) -> tuple[Any, list[Any]]:
        [question] = asked
        name = SEARCH_INDEXES[0 if text is TaskText else 1]
        index = table(name, column("rowid"))
        # +: else it might be looked up for each text
        found = index.join(text, _key(text) == literal_column(f"+{name}.rowid"))
        projects = Membership.user_id == user_id
        marks = select(func.group_concat(_mark(Membership.project_id), " OR ")).where(projects).scalar_subquery()
        nobodys = '"' + chr(_MARK) * 3 + '"'
        query = literal("(").concat(func.coalesce(marks, nobodys)).concat(") AND ").concat(question)
        return found, [literal_column(name).op("MATCH", is_comparison=True)(query), holds_each(text.folded, words)]


class _PostgresqlIndex(TextIndex):
    async def exists(self, session: Session) -> bool:
        return await session.scalar(_INDEX(name=_POSTGRESQL_INDEX)) is not None

    def is_short(self, word: str) -> bool:
        return _first_letters(word) < 0

    def asked_for(self, words: Sequence[str]) -> tuple[str, ...]:
        left, parts = MAX_PATTERN, []
        # long words are rare ones, as a rule
        for word in sorted(words, key=len, reverse=True):
            start = max(_first_letters(word), 0) if len(word) > left else 0
            part = word[start : start + left]
            if _first_letters(part) >= 0:
                parts.append("%" + part.replace("/", "//").replace("%", "/%").replace("_", "/_") + "%")
                left -= len(part)
        return tuple(parts)

    def _found(self, text: Text, user_id: Any, words: Sequence[Any], asked: Sequence[Any]) -> tuple[Any, list[Any]]:
        projects = select(Membership.project_id).where(Membership.user_id == user_id).scalar_subquery()
        # what the planner knows makes it plan anew for each word: looking through the statistics of texts takes 0.4 ms.
        # Behind SELECT it is not known
        patterns = [select(type_coerce(part, String)).scalar_subquery() for part in asked]
        conditions = [
            _InProjects(text.project_id, projects),
            *(text.folded.like(pattern, escape="/") for pattern in patterns),
            holds_each(text.folded, words),
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
