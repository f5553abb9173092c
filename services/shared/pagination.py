"""Keyset pagination: one cursor format for every list, on both doors.

A cursor is the position of a row in one ordering of one list: the sort key, the row's value, its id and the list's
name, as JSON with a checksum, in base64url. It holds nothing secret and grants nothing; the checksum turns a damaged
one into an error instead of a wrong page. The order is total (the id breaks ties) and nulls come last in both
directions, so a page is stable while rows are inserted and deleted around it.
"""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar, cast

import orjson
from sqlalchemy import ColumnElement, Integer, and_, func, literal, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import TypeEngine

from core.clock import to_utc
from db.driver.sessions import AnyColumn, AnyRow, AnySelect
from services.shared.errors import BadUserInput
from services.shared.node_ids import MAX_DATABASE_ID

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MAX_SKIP = 1_000_000

T = TypeVar("T")


class Identified(Protocol):
    """A record of something with an id."""

    @property
    def id(self) -> int: ...


@dataclass(frozen=True, slots=True)
class SortKey:
    """A column to order by; records have its value under the column's name. ``name`` is part of the cursor."""

    name: str
    column: InstrumentedAttribute[object]
    id_column: InstrumentedAttribute[int]
    nullable: bool = False
    kind: Literal["timestamp", "integer", "text"] = "timestamp"

    @property
    def type_(self) -> TypeEngine[Any]:
        """What a position is compared as: the column's own type, for SQLite compares the text that it stores; a number
        as a larger one, for a made-up cursor may have what no SMALLINT holds."""
        return Integer() if self.kind == "integer" else self.column.type


@dataclass(frozen=True, slots=True)
class Ordering:
    """An order of rows: by a key, then by id, in the same direction. ``signature`` names it in cursors.

    Rows that are equal in the key may have another order of their own, ``then``, which ends with the id.
    """

    key: SortKey
    descending: bool
    then: "Ordering | None" = None
    signature: str = field(init=False)
    list_name: str = field(init=False)
    """What is listed, by its table: a cursor of members is no position among projects, though both go by id."""

    def __post_init__(self) -> None:
        own = ("-" if self.descending else "") + self.key.name
        object.__setattr__(self, "signature", own if self.then is None else f"{own},{self.then.signature}")
        object.__setattr__(self, "list_name", str(self.key.id_column.class_.__tablename__))

    @property
    def keys(self) -> list["Ordering"]:
        """The orders of each key, the outermost first."""
        return [self] if self.then is None else [self, *self.then.keys]


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page: ``first`` rows after a cursor, or ``last`` rows before one; ``skip`` counts from the start.

    Raises ``BadUserInput`` for sizes outside 0–100 and for arguments that exclude each other.
    """

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None
    skip: int = 0
    cursor_pointer: str | None = None
    """What the door calls the argument that holds the cursor, where it is not ``after`` or ``before``."""
    position: tuple[object, int] | None = None
    """What a cursor would say, the value and the id: for what a service reads on its own account."""

    def __post_init__(self) -> None:
        for name, size in (("first", self.first), ("last", self.last)):
            # in the words of REST's limit
            if size is not None and size < 0:
                raise BadUserInput.at(f"/{name}", "must be at least 0", "greater_than_equal")
            if size is not None and size > MAX_LIMIT:
                raise BadUserInput.at(f"/{name}", f"must be at most {MAX_LIMIT}", "less_than_equal")
        if self.first is not None and self.last is not None:
            raise BadUserInput.at("/last", "first and last exclude each other")
        if self.after is not None and self.before is not None:
            raise BadUserInput.at("/before", "after and before exclude each other")
        if self.last is not None and self.after is not None:
            raise BadUserInput.at("/after", "last pages backwards: use before")
        if self.first is not None and self.before is not None:
            raise BadUserInput.at("/before", "first pages forwards: use after")

    @property
    def backward(self) -> bool:
        return self.last is not None or self.before is not None

    @property
    def cursor(self) -> str | None:
        """Where the page begins, or ends where it is read backwards."""
        return self.before if self.backward else self.after

    @property
    def pointer(self) -> str:
        """The argument that holds the cursor, for an error."""
        return self.cursor_pointer or ("/before" if self.backward else "/after")

    @property
    def size(self) -> int:
        size = self.last if self.backward else self.first
        return DEFAULT_LIMIT if size is None else size


class Page(NamedTuple, Generic[T]):
    """A page of records in the order asked for, and how to make a cursor for each."""

    items: Sequence[T]
    ordering: Ordering
    has_next: bool = False
    has_previous: bool = False

    def cursor(self, item: T) -> str:
        """The cursor of an item of the page."""
        return encode_cursor(self.ordering, item)


def encode_cursor(ordering: Ordering, item: object) -> str:
    """The cursor of an item's place in an order, with a checksum (CRC-32), so that a damaged one is noticed."""
    value = getattr(item, ordering.key.column.key)
    if ordering.then is not None:
        value = [getattr(item, each.key.column.key) for each in ordering.keys]
    return cursor_at(ordering, value, cast(Identified, item).id)


def cursor_at(ordering: Ordering, value: object, row_id: int) -> str:
    """The cursor of a place: of a value, or of a list of them in an order by several keys, and an id."""
    return _seal(orjson.dumps([ordering.signature, value, row_id, ordering.list_name]))


def _seal(payload: bytes) -> str:
    return urlsafe_b64encode(zlib.crc32(payload).to_bytes(4, "big") + payload).decode().rstrip("=")


def decode_cursor(ordering: Ordering, cursor: str, *, pointer: str) -> tuple[object, int]:
    """The value and id that a cursor points at. Raises ``BadUserInput`` for one that is damaged or of another sort.

    In an order by several keys, the value is a tuple of theirs.

    Those of releases up to d36c06b do not say which list they are of.
    """
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        payload = raw[4:]
        # the decoder skips letters that are none of base64's
        if _seal(payload) != cursor:
            raise ValueError
        signature, value, row_id, *rest = orjson.loads(payload)
        list_name = rest[0] if rest else ordering.list_name
        if not isinstance(signature, str) or not isinstance(list_name, str) or len(rest) > 1:
            raise ValueError
        # before the value, whose type depends on it
        if list_name != ordering.list_name:
            raise BadUserInput.at(pointer, "this cursor belongs to another list", "cursor")
        if signature != ordering.signature:
            raise BadUserInput.at(pointer, "this cursor belongs to another order", "cursor")
        value = _revive_all(ordering, value)
        if type(row_id) is not int or not 0 < row_id <= MAX_DATABASE_ID:
            raise ValueError
    except (ValueError, TypeError):
        raise BadUserInput.at(pointer, "not a cursor of this server", "cursor") from None
    return value, row_id


def _revive_all(ordering: Ordering, value: object) -> object:
    if ordering.then is None:
        return _revive(ordering.key, value)
    if not isinstance(value, list):
        raise ValueError
    return tuple([_revive(each.key, one) for each, one in zip(ordering.keys, value, strict=True)])


def _revive(key: SortKey, value: object) -> object:
    """The value in the column's type. Raises ``ValueError`` or ``TypeError`` for what cannot be compared with one."""
    if value is None:
        if not key.nullable:
            raise ValueError
        return None
    if key.kind == "integer":
        if type(value) is not int or abs(value) > MAX_DATABASE_ID:
            raise ValueError
        return value
    if not isinstance(value, str) or "\x00" in value:
        raise ValueError
    return to_utc(datetime.fromisoformat(value)) if key.kind == "timestamp" else value


def page_statement(statement: AnySelect, ordering: Ordering, request: PageRequest) -> AnySelect:
    """The statement with order, position and limit; it reads one row more than the page, to know if there is one."""
    if request.cursor is not None:
        position = decode_cursor(ordering, request.cursor, pointer=request.pointer)
        statement = statement.where(rows_beyond(ordering, *position, backward=request.backward))
    statement = statement.order_by(*order_terms(ordering, backward=request.backward)).limit(request.size + 1)
    return statement.offset(request.skip) if request.skip else statement


def pages_statement(
    statement: AnySelect, parent: ColumnElement[int], ordering: Ordering, request: PageRequest
) -> AnySelect:
    """The same page for every parent in one statement. The first column of the result is the parent's id."""
    if request.cursor is not None:
        position = decode_cursor(ordering, request.cursor, pointer=request.pointer)
        statement = statement.where(rows_beyond(ordering, *position, backward=request.backward))
    return first_of_each(statement, parent, ordering, request.size + 1, backward=request.backward)


def first_of_each(
    statement: AnySelect,
    parent: ColumnElement[int],
    ordering: Ordering,
    rows: int | ColumnElement[int],
    *,
    backward: bool,
) -> AnySelect:
    """The first rows below every parent: they are numbered within it (window function).

    The first column of the result is the parent's id.
    """
    rank = func.row_number().over(partition_by=parent, order_by=order_terms(ordering, backward=backward))
    ranked = statement.add_columns(parent.label("_parent"), rank.label("_rank")).subquery()
    own = [column for column in ranked.columns.values() if column.name not in {"_parent", "_rank"}]
    page: AnySelect = select(ranked.c["_parent"], *own)
    return page.where(ranked.c["_rank"] <= rows).order_by(ranked.c["_parent"], ranked.c["_rank"])


def make_pages(
    rows: Sequence[AnyRow],
    make: Callable[[Sequence[object]], T],
    ordering: Ordering,
    request: PageRequest,
    parents: Collection[int],
) -> dict[int, Page[T]]:
    """A page for each parent, an empty one where it has no rows."""
    grouped: dict[int, list[Sequence[object]]] = {parent: [] for parent in parents}
    for row in rows:
        grouped[row[0]].append(row[1:])
    return {parent: make_page(group, make, ordering, request) for parent, group in grouped.items()}


def order_terms(ordering: Ordering, *, backward: bool) -> list[AnyColumn]:
    """What ORDER BY says: missing values last, ties by id; all the other way round where ``backward``."""
    descending = ordering.descending != backward
    column, id_column = ordering.key.column, ordering.key.id_column
    terms: list[AnyColumn] = []
    if ordering.key.nullable:
        null_rank = column.is_(None)
        terms.append(null_rank.desc() if backward else null_rank.asc())
    if column is not id_column:
        terms.append(column.desc() if descending else column.asc())
    if ordering.then is not None:
        return terms + order_terms(ordering.then, backward=backward)
    terms.append(id_column.desc() if descending else id_column.asc())
    return terms


def rows_beyond(
    ordering: Ordering, value: object, row_id: int | ColumnElement[int], *, backward: bool
) -> ColumnElement[bool]:
    """The rows that come after a position in the order, before it where ``backward``.

    The value and the id may be parameters; a value of None is a missing one. In an order by several keys, the value is
    a sequence of theirs.
    """
    column, id_column = ordering.key.column, ordering.key.id_column
    descending = ordering.descending != backward
    if ordering.then is not None:
        return _rows_beyond_each(ordering, cast(Sequence[object], value), row_id, backward=backward)
    if not isinstance(row_id, ColumnElement):
        row_id = literal(row_id, id_column.type)
    if value is None:
        tie = id_column < row_id if descending else id_column > row_id
        among_nulls = and_(column.is_(None), tie)
        return or_(column.is_not(None), among_nulls) if backward else among_nulls
    if not isinstance(value, ColumnElement):
        value = literal(value, ordering.key.type_)
    position, here = tuple_(column, id_column), tuple_(value, row_id)
    found = position < here if descending else position > here
    if ordering.key.nullable and not backward:
        return or_(found, column.is_(None))
    return found


def _rows_beyond_each(
    ordering: Ordering, values: Sequence[object], row_id: int | ColumnElement[int], *, backward: bool
) -> ColumnElement[bool]:
    """The rows beyond a position by the first key, and those beyond it by the others that have its value there."""
    first, *rest = values
    column, then = ordering.key.column, cast(Ordering, ordering.then)
    descending = ordering.descending != backward
    beyond = rows_beyond(then, rest[0] if then.then is None else rest, row_id, backward=backward)
    if first is None:
        among_nulls = and_(column.is_(None), beyond)
        return or_(column.is_not(None), among_nulls) if backward else among_nulls
    if not isinstance(first, ColumnElement):
        first = literal(first, ordering.key.type_)
    found = or_(column < first if descending else column > first, and_(column == first, beyond))
    return or_(found, column.is_(None)) if ordering.key.nullable and not backward else found


def make_page(
    rows: Sequence[Sequence[object]], make: Callable[[Sequence[object]], T], ordering: Ordering, request: PageRequest
) -> Page[T]:
    """As ``page_of``, of rows that are yet to be made records."""
    return page_of([make(row) for row in rows[: request.size]], len(rows) > request.size, ordering, request)


def page_of(items: Sequence[T], more: bool, ordering: Ordering, request: PageRequest) -> Page[T]:
    """A page of records, after which there are ``more`` in the direction in which it was read."""
    if request.backward:
        return Page(items[::-1], ordering, has_next=request.before is not None, has_previous=more)
    return Page(items, ordering, has_next=more, has_previous=request.after is not None or request.skip > 0)
