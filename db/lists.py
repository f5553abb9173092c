"""Conditions on lists and sets: each is one parameter or one SELECT, whatever its length, and each database looks it up
in the way that costs it least."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Dialect,
    Select,
    String,
    bindparam,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

MANY_IDS = 1_000
"""PostgreSQL goes through an array of fewer ids for each row; it knows nothing of its length."""


class among(ColumnElement[bool]):
    """``column IN`` a list that is one parameter, whatever its length, so that the statement stays the same.

    SQLite takes the list as JSON (``json_each``), PostgreSQL as an array.
    """

    inherit_cache = False

    def __init__(self, column: Any, name: str) -> None:
        self.column, self.list = column, bindparam(name, type_=_IdList(), required=True)


def id_list(name: str) -> BindParameter[Any]:
    """A parameter of a prepared statement that is a list of ids."""
    return bindparam(name, type_=_IdList(), required=True)


class _IdList(TypeDecorator[Collection[int]]):
    """A list of ids, as one value."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String() if dialect.name == "sqlite" else ARRAY(BigInteger()))

    def process_bind_param(self, value: Collection[int] | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        return f"[{','.join(map(str, value))}]" if dialect.name == "sqlite" else list(value)


@compiles(among, "sqlite")
def _among_sqlite(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = compiler.process(element.column, **options), compiler.process(element.list, **options)
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # noqa: S608 - of what the compiler has rendered


@compiles(among, "postgresql")
def _among_postgresql(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = compiler.process(element.column, **options), compiler.process(element.list, **options)
    return f"{column} = ANY({ids})"


class one_of(FunctionElement[bool]):
    """As ``among``, with the ids themselves, for a statement that is built for one request; or with a parameter.

    Of any number: drivers take 65,535 parameters at most (PostgreSQL's protocol has two bytes for their number).
    """

    inherit_cache = True

    def __new__(cls, _column: Any = None, ids: Collection[int] | BindParameter[Any] = ()) -> "one_of":
        is_many = cls is one_of and not isinstance(ids, BindParameter) and len(ids) > MANY_IDS
        return super().__new__(one_of_many if is_many else cls)

    def __init__(self, column: Any, ids: Collection[int] | BindParameter[Any]) -> None:
        given = ids if isinstance(ids, BindParameter) else bindparam(None, list(ids), unique=True)
        super().__init__(column, type_coerce(given, _IdList()))


@compiles(one_of, "sqlite")
def _one_of_sqlite(element: one_of, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # noqa: S608 - of what the compiler has rendered


@compiles(one_of, "postgresql")
def _one_of_postgresql(element: one_of, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY({ids})"


class one_of_many(one_of):
    """As ``one_of``, for as many ids as there may be rows (it becomes this where there are): PostgreSQL looks each up.

    It would go through an array of which it knows nothing for each row, which takes minutes for 67,000 of them.
    """

    inherit_cache = True


@compiles(one_of_many, "postgresql")
def _one_of_many_postgresql(element: one_of_many, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT unnest({ids}))"


class in_list(one_of):
    """As ``one_of``, where rows cannot be looked up by the list, as within OR.

    PostgreSQL makes a table of it; it would go through an array for each row.
    """

    inherit_cache = True


@compiles(in_list, "postgresql")
def _in_list_postgresql(element: in_list, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({column} IN (SELECT unnest({ids}))) IS TRUE"


class in_table(FunctionElement[bool]):
    """``column IN (SELECT …)``, for a SELECT of perhaps many rows that holds for the whole statement.

    PostgreSQL reads them first, into a table with a hash, and joins nothing: it expects few rows, and would go through
    all of them for each row of the other side.
    """

    inherit_cache = True

    def __init__(self, column: Any, rows: Any) -> None:
        super().__init__(column, rows.scalar_subquery())


@compiles(in_table)
def _in_table(element: in_table, compiler: SQLCompiler, **options: Any) -> str:
    column, rows = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN {rows}"


@compiles(in_table, "postgresql")
def _in_table_postgresql(element: in_table, compiler: SQLCompiler, **options: Any) -> str:
    # IS TRUE keeps it from becoming a join
    return f"({_in_table(element, compiler, **options)}) IS TRUE"


class taken_for_few(FunctionElement[bool]):
    """Holds for every row, whose column is a number of 0 or more; PostgreSQL takes the rows for few (1 in 200).

    It does not know whose rows are asked for, and expects an average share of the table: where most of it is a few
    large projects', it reads all of it, of everybody, rather than those of a small one by an index. Not for what is
    joined with something that has no index: that it would go through for each row.
    """

    inherit_cache = True


@compiles(taken_for_few)
def _taken_for_few(_element: taken_for_few, _compiler: SQLCompiler, **_options: Any) -> str:
    return "1"


@compiles(taken_for_few, "postgresql")
def _taken_for_few_postgresql(element: taken_for_few, compiler: SQLCompiler, **options: Any) -> str:
    # bounds behind SELECT are not known to the planner
    return f"{compiler.process(element.clauses, **options)} BETWEEN (SELECT 0) AND (SELECT 2147483647)"


class _InRows(FunctionElement[bool]):
    # of no type: SQLAlchemy writes "= 1" behind what is Boolean for SQLite, which then uses no index for it
    inherit_cache = True


def in_rows(column: Any, rows: Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]) -> ColumnElement[bool]:
    """``column IN (SELECT …)``, for a SELECT of few rows that holds for the whole statement.

    PostgreSQL reads them first, as an array. As a join it would guess how many rows have such a value from how many
    there are in all: with 2,000 Inboxes beside four large projects it expected 10 tasks of 24,554, and took 30 s.
    """
    return _InRows(column, rows.scalar_subquery())


@compiles(_InRows)
def _in_rows(element: _InRows, compiler: SQLCompiler, **options: Any) -> str:
    column, rows = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN {rows}"


@compiles(_InRows, "postgresql")
def _in_rows_postgresql(element: _InRows, compiler: SQLCompiler, **options: Any) -> str:
    column, rows = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY (ARRAY{rows})"
