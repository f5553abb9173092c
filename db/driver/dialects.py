"""SQLAlchemy's knowledge of the databases' languages: one object for each of them, that never connects."""

from collections.abc import Callable
from functools import cache
from typing import Any, Literal, TypeVar

import orjson
from sqlalchemy import URL, Dialect, FromClause
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

DialectName = Literal["sqlite", "postgresql"]
E = TypeVar("E", bound=FunctionElement[Any])


def dialect_name(url: URL) -> DialectName:
    """Which language the database of a URL speaks; ``normalise_url`` lets no third one pass."""
    return "sqlite" if url.get_backend_name() == "sqlite" else "postgresql"


@cache
def dialect_for(drivername: str) -> Dialect:
    """What compiles statements for a driver (``postgresql+psycopg``), the same object for all databases of it.

    It is never given to an engine, which would adapt it to one server: what is compiled with it may be kept by it.
    """
    url = URL.create(drivername)
    class_: Any = url.get_dialect()
    is_sqlite = dialect_name(url) == "sqlite"
    dialect: Dialect = class_(
        dbapi=class_.import_dbapi(),
        # $1, $2 … are libpq's own; psycopg's cursors would take them from %(name)s
        paramstyle="qmark" if is_sqlite else "numeric_dollar",
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
    )
    if is_sqlite:
        dialect.statement_compiler = _SqliteCompiler
    return dialect


def written(default: str | None = None, **by_dialect: str) -> Callable[[type[E]], type[E]]:
    """How a function of ours stands in SQL, with ``{}`` for each of its arguments: in any database, or in those that
    are named."""

    def declare(element: type[E]) -> type[E]:
        if default is not None:
            compiles(element)(_writer(default))
        for name, template in by_dialect.items():
            compiles(element, name)(_writer(template))
        return element

    return declare


def _writer(template: str) -> Callable[..., str]:
    def write(element: FunctionElement[Any], compiler: SQLCompiler, **options: Any) -> str:
        return template.format(*(compiler.process(clause, **options) for clause in element.clauses))

    return write


class _SqliteCompiler(SQLiteCompiler):
    """SQLAlchemy's, which has no words for ``with_hint``: SQLite's are INDEXED BY, after the table."""

    def get_from_hint_text(self, table: FromClause, text: str | None) -> str | None:
        return text
