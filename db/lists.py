"""Conditions on lists and sets: each is one parameter or one SELECT, whatever its length, and each database looks it up
in the way that costs it least."""

from collections.abc import Collection
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Dialect,
    Join,
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

from db.driver.dialects import written

MANY_IDS = 1_000
"""PostgreSQL goes through an array of fewer ids for each row; it knows nothing of its length."""


def in_list(column: Any, name: str) -> ColumnElement[bool]:
    """``column IN`` a list that is one parameter, whatever its length, so that the statement stays the same.

    SQLite takes the list as JSON (``json_each``), PostgreSQL as an array.
    """
    return one_of(column, id_list(name))


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


def text_list(name: str) -> BindParameter[Any]:
    """A parameter of a prepared statement that is a list of texts."""
    return bindparam(name, type_=_TextList(), required=True)


class _TextList(TypeDecorator[Collection[str]]):
    """A list of texts, as one value."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String() if dialect.name == "sqlite" else ARRAY(String()))

    def process_bind_param(self, value: Collection[str] | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        return orjson.dumps(list(value)).decode() if dialect.name == "sqlite" else list(value)


@written(
    postgresql="(jsonb_array_length({0}) = 0 OR jsonb_exists_any({0}, {1}))",
    sqlite="(json_array_length({0}) = 0 OR EXISTS "
    "(SELECT 1 FROM json_each({0}) WHERE value IN (SELECT value FROM json_each({1}))))",
)
class empty_or_has_one_of(FunctionElement[bool]):
    """Whether a column's JSON array of texts is empty, or has one of a ``text_list``."""

    inherit_cache = True


@written("{} = ANY({})", sqlite="{} IN (SELECT value FROM json_each({}))")
class one_of(FunctionElement[bool]):
    """As ``in_list``, with the ids themselves, for a statement that is built for one request; or with a parameter.

    Of any number: drivers take 65,535 parameters at most (PostgreSQL's protocol has two bytes for their number).
    """

    inherit_cache = True

    def __new__(cls, _column: Any = None, ids: Collection[int] | BindParameter[Any] = ()) -> "one_of":
        is_many = cls is one_of and not isinstance(ids, BindParameter) and len(ids) > MANY_IDS
        return super().__new__(one_of_many if is_many else cls)

    def __init__(self, column: Any, ids: Collection[int] | BindParameter[Any]) -> None:
        given = ids if isinstance(ids, BindParameter) else bindparam(None, list(ids), unique=True)
        super().__init__(column, type_coerce(given, _IdList()))


@written(postgresql="{} IN (SELECT unnest({}))")
class one_of_many(one_of):
    """As ``one_of``, for as many ids as there may be rows (it becomes this where there are): PostgreSQL looks each up.

    It would go through an array of which it knows nothing for each row, which takes minutes for 67,000 of them.
    """

    inherit_cache = True


@written(postgresql="({} IN (SELECT unnest({}))) IS TRUE")
class in_hashed_list(one_of):
    """As ``one_of``, where rows cannot be looked up by the list, as within OR.

    PostgreSQL makes a table of it; it would go through an array for each row.
    """

    inherit_cache = True


# IS TRUE keeps it from becoming a join
@written("{} IN {}", postgresql="({} IN {}) IS TRUE")
class in_hashed_subquery(FunctionElement[bool]):
    """``column IN (SELECT …)``, for a SELECT of perhaps many rows that holds for the whole statement.

    PostgreSQL reads them first, into a table with a hash, and joins nothing: it expects few rows, and would go through
    all of them for each row of the other side.
    """

    inherit_cache = True

    def __init__(self, column: Any, rows: Any) -> None:
        super().__init__(column, rows.scalar_subquery())


# bounds behind SELECT are not known to the planner
@written("1", postgresql="{} BETWEEN (SELECT 0) AND (SELECT 2147483647)")
class taken_for_few(FunctionElement[bool]):
    """Holds for every row, whose column is a number of 0 or more; PostgreSQL takes the rows for few (1 in 200).

    It does not know whose rows are asked for, and expects an average share of the table: where most of it is a few
    large projects', it reads all of it, of everybody, rather than those of a small one by an index. Not for what is
    joined with something that has no index: that it would go through for each row.
    """

    inherit_cache = True


@written("{} IN {}", postgresql="{} = ANY (ARRAY{})")
class _InSubquery(FunctionElement[bool]):
    # of no type: SQLAlchemy writes "= 1" behind what is Boolean for SQLite, which then uses no index for it
    inherit_cache = True


def in_subquery(column: Any, rows: Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]) -> ColumnElement[bool]:
    """``column IN (SELECT …)``, for a SELECT of few rows that holds for the whole statement.

    PostgreSQL reads them first, as an array. As a join it would guess how many rows have such a value from how many
    there are in all: with 2,000 Inboxes beside four large projects it expected 10 tasks of 24,554, and took 30 s.
    """
    return _InSubquery(column, rows.scalar_subquery())


class joined_in_order(Join):
    """A join whose right side is looked up for each row of the left one, as they come: SQLite is told so (CROSS JOIN).

    It would put the rows of the left side aside first, all of them.
    """

    inherit_cache = True


@compiles(joined_in_order, "sqlite")
def _joined_in_order_sqlite(element: joined_in_order, compiler: SQLCompiler, **options: Any) -> str:
    options["asfrom"] = True
    left, right = (compiler.process(side, **options) for side in (element.left, element.right))
    options.pop("from_linter", None)
    onclause: Any = element.onclause
    condition = compiler.process(onclause, **{name: options[name] for name in options if name != "asfrom"})
    return f"{left} CROSS JOIN {right} ON {condition}"


@compiles(joined_in_order)
def _joined_in_order(element: joined_in_order, compiler: SQLCompiler, **options: Any) -> str:
    plain: Any = compiler.visit_join  # untyped
    return str(plain(element, **options))


@written("string_agg(CAST({} AS VARCHAR), ',')", sqlite="group_concat({})")
class joined_ids(FunctionElement[str]):
    """An aggregate: ids as one text, between commas; None where there are none."""

    type = String()
    inherit_cache = True
