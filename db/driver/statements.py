"""From SQLAlchemy's statements to what a driver takes, by the shortest way: SQL, values, and rows made in one step.

Reads pass SQLAlchemy's connections by: they cost 150 to 400 µs a statement, a hundred times what SQLite needs to find
a row. A statement that is built for one request is compiled once for its shape (SQLAlchemy's own cache key); one that
is ``Prepared`` is built only once, too.
"""

import re
from collections import namedtuple
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar, overload

from sqlalchemy import Dialect, Executable, Row
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine
from sqlalchemy.util import LRUCache

from core.codegen import make_function
from db.driver.types import UtcDateTime

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


class Narrowing(int):
    """A number that narrows down every statement that it is a value of: what a caller may read of a table, whom a
    credential limits. Classes below it say how."""

    def narrow(self, sql: str) -> str:
        """The SQL as it is to be run."""
        raise NotImplementedError

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _NARROWING.add(cls)


_NARROWING: set[type] = set()


def _narrowed(command: Command) -> Command:
    if _NARROWING.isdisjoint(map(type, command.values)):
        return command
    narrowing = next(value for value in command.values if isinstance(value, Narrowing))
    values = [int(value) if isinstance(value, Narrowing) else value for value in command.values]
    return Command(narrowing.narrow(command.sql), values, command.make_rows)


def _joined(commands: Sequence[Command]) -> Command:
    parts: list[str] = []
    values: list[Any] = []
    for number, command in enumerate(commands):
        # of SQL that was compiled, with no values in it
        parts.append(f"SELECT * FROM ({_renumbered(command.sql, len(values))}) AS part_{number}")  # noqa: S608
        values += command.values
    return Command(" UNION ALL ".join(parts), values, commands[0].make_rows)


def _renumbered(sql: str, before: int) -> str:
    """The SQL behind other SQL that has so many parameters: PostgreSQL's have numbers, and begin anew in each."""
    return _NUMBERED.sub(lambda found: f"${int(found[1]) + before}", sql)


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

    @overload
    def __init__(
        self: "Prepared[Row[*tuple[Any, ...]]]",
        statement: Executable,
        record: None = None,
        *,
        keys: Collection[str] | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self, statement: Executable, record: type[R] | None, *, keys: Collection[str] | None = None
    ) -> None: ...

    def __init__(
        self, statement: Executable, record: type[R] | None = None, *, keys: Collection[str] | None = None
    ) -> None:
        self.statement = statement
        self.record = record
        self.keys = None if keys is None else list(keys)
        self._ready: dict[Dialect, _Ready] = {}

    def __call__(self, **parameters: Any) -> "Bound[R]":
        """The statement with values for its parameters."""
        return Bound(self, parameters)

    def ready(self, dialect: Dialect) -> "_Ready":
        """The statement for a database."""
        ready = self._ready.get(dialect)
        if ready is None:
            source: Any = self.statement  # whatever can be executed can be compiled
            compiled = source.compile(dialect=dialect, column_keys=self.keys)
            self._ready[dialect] = ready = _Ready(compiled, self.record)
        return ready


class Bound(NamedTuple, Generic[R]):
    """A prepared statement with its values."""

    prepared: Prepared[R]
    parameters: Mapping[str, Any]


class Together(NamedTuple, Generic[R]):
    """SELECTs of the same columns that are run as one (UNION ALL), each narrowed down by its own values. Their SQL is
    joined as text: what they are together need not be compiled. ``MAX_TOGETHER`` at most."""

    selects: Sequence[Bound[R]]


Statement = Executable | Bound[Any] | Together[Any]
MAX_TOGETHER = 256
"""SQLite takes 500. PostgreSQL plans one by one: half a millisecond for each, until the statement is prepared."""
_NUMBERED = re.compile(r"\$([0-9]+)")


@dataclass(slots=True)
class Compiler:
    """Turns statements into commands for one dialect."""

    dialect: Dialect
    _shapes: Any = field(default_factory=lambda: LRUCache(CACHED_SHAPES))
    _ready: Any = field(default_factory=lambda: LRUCache(CACHED_SHAPES))

    def command(self, statement: Any, row: Mapping[str, Any] | None = None) -> Command:
        """The command for a statement, with the values of ``row`` for what it writes."""
        if isinstance(statement, Bound):
            return _narrowed(statement.prepared.ready(self.dialect).command(statement.parameters))
        if isinstance(statement, Together):
            return _joined([self.command(each) for each in statement.selects])
        if isinstance(statement, Prepared):
            return _narrowed(statement.ready(self.dialect).command(row or {}))
        ready, values_of = self._compiled(statement, [] if row is None else sorted(row))
        return _narrowed(ready.command(values_of(row)))

    def commands(self, statement: Any, rows: Sequence[Mapping[str, Any]]) -> Commands:
        """One statement, for each of the rows. Raises ``TypeError`` where it puts values into the SQL itself."""
        if isinstance(statement, Prepared):
            commands = [_narrowed(statement.ready(self.dialect).command(row)) for row in rows]
        else:
            ready, values_of = self._compiled(statement, sorted(rows[0]))
            commands = [_narrowed(ready.command(values_of(row))) for row in rows]
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
        return make_function("values_of", f"def values_of(p):\n    return [{', '.join(values)}]", scope)


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
    scope = {"new": tuple.__new__, "record": record}
    scope |= {f"c{index}": converter for index, converter in enumerate(converters)}
    row = f"new(record, ({', '.join(values)},))"
    return make_function("rows_of", f"def rows_of(raw):\n    return [{row} for {', '.join(names)}, in raw]", scope)


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
