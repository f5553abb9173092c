"""From SQLAlchemy's statements to what a driver takes, by the shortest way: SQL, values, and rows made in one step.

Reads pass SQLAlchemy's connections by: they cost 150 to 400 µs a statement, a hundred times what SQLite needs to find
a row. A statement that is built for one request is compiled once for its shape (SQLAlchemy's own cache key); one that
is ``Prepared`` is built only once, too.
"""

from collections import namedtuple
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Dialect,
    Executable,
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
from sqlalchemy.util import LRUCache

from db.types import UtcDateTime

R = TypeVar("R", bound=tuple[Any, ...])
Rows = list[Any]
MakeRows = Callable[[Sequence[tuple[Any, ...]]], Rows]
Processor = Callable[[Any], Any]

CACHED_SHAPES = 500


class Command(NamedTuple):
    """What a driver is given, and what becomes of its rows."""

    sql: str
    values: Sequence[Any]
    make_rows: MakeRows


class Commands(NamedTuple):
    """As ``Command``, for many sets of values."""

    sql: str
    values: Sequence[Sequence[Any]]
    make_rows: MakeRows


class Prepared(Generic[R]):
    """A statement that is built once, with named parameters (``bindparam``), and compiled once for each database.

    Rows come as ``record``, a named tuple with a field for each column, where one is given; fields that the statement
    has no column for are None. With ``tuple`` they come as the driver makes them. ``keys`` are the columns that an
    INSERT is given, beside those with a default.
    """

    def __init__(
        self, statement: Executable, record: type[R] | None = None, *, keys: Collection[str] | None = None
    ) -> None:
        self.statement = statement
        self.record = record
        self.keys = None if keys is None else list(keys)
        self._ready: dict[str, _Ready] = {}

    def __call__(self, **parameters: Any) -> "Bound[R]":
        """The statement with values for its parameters."""
        return Bound(self, parameters)

    def ready(self, dialect: Dialect) -> "_Ready":
        """The statement for a database."""
        ready = self._ready.get(dialect.name)
        if ready is None:
            source: Any = self.statement  # whatever can be executed can be compiled
            compiled = source.compile(dialect=dialect, column_keys=self.keys)
            self._ready[dialect.name] = ready = _Ready(compiled, self.record)
        return ready


class Bound(NamedTuple, Generic[R]):
    """A prepared statement with its values."""

    prepared: Prepared[R]
    parameters: Mapping[str, Any]


Statement = Executable | Bound[Any]


@dataclass(slots=True)
class Compiler:
    """Turns statements into commands for one dialect."""

    dialect: Dialect
    _shapes: Any = field(default_factory=lambda: LRUCache(CACHED_SHAPES))
    _ready: Any = field(default_factory=lambda: LRUCache(CACHED_SHAPES))

    def command(self, statement: Any, row: Mapping[str, Any] | None = None) -> Command:
        """The command for a statement, with the values of ``row`` for what it writes."""
        if isinstance(statement, Bound):
            return statement.prepared.ready(self.dialect).command(statement.parameters)
        if isinstance(statement, Prepared):
            return statement.ready(self.dialect).command(row or {})
        ready, values_of = self._compiled(statement, [] if row is None else sorted(row))
        return ready.command(values_of(row))

    def commands(self, statement: Any, rows: Sequence[Mapping[str, Any]]) -> Commands:
        """One statement, for each of the rows. Raises ``TypeError`` where it puts values into the SQL itself."""
        if isinstance(statement, Prepared):
            commands = [statement.ready(self.dialect).command(row) for row in rows]
        else:
            ready, values_of = self._compiled(statement, sorted(rows[0]))
            commands = [ready.command(values_of(row)) for row in rows]
        if any(command.sql != commands[0].sql for command in commands[1:]):
            raise TypeError("the SQL depends on the values")
        return Commands(commands[0].sql, [command.values for command in commands], commands[0].make_rows)

    def _compiled(self, statement: Any, keys: list[str]) -> "tuple[_Ready, Callable[[Any], Mapping[str, Any]]]":
        # what SQLAlchemy's own connection does before it calls the driver; the method is not public
        compiled, extracted, collected, _ = statement._compile_w_cache(
            self.dialect, compiled_cache=self._shapes, column_keys=keys, for_executemany=False
        )
        ready = self._ready.get(compiled)
        if ready is None:
            self._ready[compiled] = ready = _Ready(compiled, None)

        def values_of(row: Mapping[str, Any] | None) -> Mapping[str, Any]:
            values: Mapping[str, Any] = compiled.construct_params(
                row, extracted_parameters=extracted, escape_names=False, _collected_params=collected
            )
            return values

        return ready, values_of


class _Ready:
    """A compiled statement, with its conversions looked up."""

    def __init__(self, compiled: SQLCompiler, record: type[Any] | None) -> None:
        self._compiled = compiled
        self._processors = {
            name: _bind_processor(bind.type, compiled.dialect) or compiled._bind_processors[name]
            for bind, name in compiled.bind_names.items()
            if name in compiled._bind_processors
        }
        # values that are rendered into the SQL: those of IN
        self._open = bool(compiled.post_compile_params or compiled.literal_execute_params)
        self._fixed = {name: bind.value for bind, name in compiled.bind_names.items() if not bind.required}
        # columns that get what their model says where the statement does not mention them
        prefetched = [(column.key, column.default) for column in compiled.insert_prefetch]
        prefetched += [(column.key, column.onupdate) for column in compiled.update_prefetch]
        self._defaults = {name: _default(default) for name, default in prefetched}
        self._make_rows = _row_maker(compiled, record)
        self._values = None if self._open else self._values_maker()

    def command(self, parameters: Mapping[str, Any]) -> Command:
        if self._values is not None:
            return Command(self._compiled.string, self._values(parameters), self._make_rows)
        defaults = {name: default() for name, default in self._defaults.items()}
        values: dict[str, Any] = {**self._fixed, **parameters, **defaults}
        expanded = self._compiled._process_parameters_for_postcompile(values)
        values |= expanded.additional_parameters
        for name, process in {**self._processors, **expanded.processors}.items():
            if name in values:
                values[name] = process(values[name])  # type: ignore[operator]  # those of tuples are not ours
        return Command(expanded.statement, [values[name] for name in expanded.positiontup or ()], self._make_rows)

    def _values_maker(self) -> Callable[[Mapping[str, Any]], list[Any]]:
        """A function that makes a driver's values of the parameters: one list, with the conversions written out."""
        scope: dict[str, Any] = {}
        values = []
        for index, name in enumerate(self._compiled.positiontup or ()):
            value = f"p[{name!r}]"
            if name in self._defaults:
                scope[f"d{index}"] = self._defaults[name]
                value = f"d{index}()"
            elif name in self._fixed:
                scope[f"f{index}"] = self._fixed[name]
                value = f"p.get({name!r}, f{index})"
            if name in self._processors:
                scope[f"c{index}"] = self._processors[name]
                value = f"c{index}({value})"
            values.append(value)
        # names of parameters stand in it as literals
        maker: Callable[[Mapping[str, Any]], list[Any]] = eval(f"lambda p: [{', '.join(values)}]", scope)  # noqa: S307
        return maker


def _bind_processor(type_: TypeEngine[Any], dialect: Dialect) -> Processor | None:
    """How values of a type are made ready for the driver, without SQLAlchemy's wrapping of our own type."""
    return type_.bind_text if isinstance(type_, UtcDateTime) and dialect.name == "sqlite" else None


def _default(default: Any) -> Callable[[], Any]:
    """What a column gets by itself: a value, or what a function answers."""
    if default.is_scalar:
        value = default.arg
        return lambda: value
    if default.is_callable:
        function: Callable[[Any], Any] = default.arg
        return lambda: function(None)  # SQLAlchemy wraps them to take its context
    raise TypeError("a default that only the database knows")


def _row_maker(compiled: SQLCompiler, record: Any) -> MakeRows:
    """A function that makes rows of a driver's tuples: one comprehension, with the conversions written out."""
    columns = compiled._result_columns
    if not columns:  # SQL as text: nothing is known of it
        return list
    converters = [_converter(column.type, compiled.dialect) for column in columns]
    if record is tuple:
        if any(converters):
            raise TypeError("values that have to be converted")
        return list
    names = [f"v{index}" for index in range(len(columns))]
    values = [
        name if converter is None else f"None if {name} is None else c{index}({name})"
        for index, (name, converter) in enumerate(zip(names, converters, strict=True))
    ]
    if record is None:
        record = _named_row(tuple(column.keyname for column in columns))
    elif len(record._fields) != len(columns):
        by_field = dict(zip((column.keyname for column in columns), values, strict=True))
        if unknown := by_field.keys() - set(record._fields):
            raise TypeError(f"{record.__name__} has no {', '.join(sorted(unknown))}")
        values = [by_field.get(name, "None") for name in record._fields]
    code = f"lambda raw: [new(record, ({', '.join(values)},)) for {', '.join(names)}, in raw]"
    scope = {"new": tuple.__new__, "record": record}
    maker: MakeRows = eval(  # noqa: S307 - of names made here
        code, scope | {f"c{index}": converter for index, converter in enumerate(converters)}
    )
    return maker


_Nameless = namedtuple("_Nameless", ())


def _nameless(values: tuple[Any, ...]) -> Any:
    return tuple.__new__(_Nameless, values)


def _named_row(names: tuple[str, ...]) -> Any:
    make: Any = namedtuple
    return make("Row", names, rename=True)


def _converter(type_: TypeEngine[Any], dialect: Dialect) -> Processor | None:
    if isinstance(type_, UtcDateTime):
        # asked of values that are there
        return datetime.fromisoformat if dialect.name == "sqlite" else None
    processor: Processor | None = type_.dialect_impl(dialect).result_processor(dialect, None)
    return processor


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


MANY_IDS = 1_000


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


ACTOR: BindParameter[Any] = bindparam("actor_id", required=True)


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
