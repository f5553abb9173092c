"""What a field costs and how many rows it may have, declared where the field is; read once, when a schema is made.

A field of one thing costs a row and needs no words. A list says how many there may be, a connection that it is paged,
and whatever is priced by its arguments says by which::

    tags: list[Tag] = relation_field(…, price=Price(rows=MAX_TAGS))
    tasks: Connection[Task] = nested_tasks(…, price=Price(paged=True, call=LIST, arguments={"filter": of_filter}))

A list or a connection without such a declaration is refused by name when the schema is built (``declarations``). The
unit is the point of ``services.shared.prices``.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import strawberry
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_composite_type,
    is_introspection_type,
    is_list_type,
)
from graphql.type import SchemaMetaFieldDef, TypeMetaFieldDef

from graphql_schema.shared.base import FieldDeclaration
from services.shared import prices

METADATA = "price"
"""Where a field's metadata has its ``Price``."""

PriceOf = Callable[[object], int]
"""From what was sent for an argument, which may be anything at all, to points; so for any part of it alone."""
CountOf = Callable[[object], int]
"""From what was sent for an argument to the number of rows that it asks for."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a field costs."""

    rows: int | None = None
    """Of a list: how many there are at most. The service sees to it."""
    paged: bool = False
    """Whether the field is a connection: as many rows as ``first`` or ``last`` ask for."""
    edges: bool = False
    """Whether it is the rows of the connection that it is a field of."""
    call: int = 0
    """Points of a selection of it, under however many parents, also where there are no rows: its statement."""
    each: int = 0
    """Points for each parent that it is read for: looking into an index."""
    row: int = prices.ROW
    """Points of each row."""
    arguments: Mapping[str, PriceOf] = field(default_factory=dict)
    """Points of arguments, such as a filter's, by their GraphQL names."""
    sized_by: tuple[str, CountOf] | None = None
    """The argument that says how many rows there will be; of a bulk call, how many results."""
    count: int = 0
    """Of a connection: points of its ``totalCount``, beside those of its arguments, which it costs once more."""
    exact: int = 0
    """Of a connection: points more of a ``totalCount`` that is asked to be exact."""
    counts: bool = False
    """Whether it is the count of the connection that it is a field of; its argument ``exact`` asks for that."""
    node: bool = True
    """Whether its rows are things: those that are the parts of a connection are none."""
    bulk: bool = False
    """Whether its rows are the results of the bulk call that it is a field of: they have limits of their own."""
    without: frozenset[str] = frozenset()
    """Fields of its rows that are always null there."""


class Entry(NamedTuple):
    """A field as it is metered."""

    price: Price
    type_name: str
    """The type of its rows."""
    composite: bool
    usual: int = 1
    """Of the schema's own lists: how long they are as a rule."""


Tariff = Mapping[str, Mapping[str, Entry]]
"""What each field costs, by the names of types and of fields. Types of introspection have sizes alone."""


def priced(price: Price) -> dict[str, object]:
    """The metadata of a field with that price."""
    return {METADATA: price}


def listed(rows: int, **options: Any) -> FieldDeclaration:
    """A field that shows the record's list of that name, which has so many rows at most."""
    # the class's own annotation is the field's type
    return strawberry.field(metadata=priced(Price(rows=rows, **options)))


def items(argument: str, *path: str, at_most: int) -> tuple[str, CountOf]:
    """``sized_by``: as many as the list at a path of an argument has items."""

    def count(given: object) -> int:
        found = _at(given, path)
        return min(len(found), at_most) if isinstance(found, list) else 0 if found is None else 1

    return argument, count


def inside(*path: str, price: PriceOf) -> PriceOf:
    """The price of what stands at a path of an argument; of nothing, where nothing is there."""
    return lambda given: price(_at(given, path))


def of_exactness(given: object) -> int:
    """Of an argument ``exact``: how many times what that costs is in the price."""
    return int(bool(given))


def _at(given: object, path: tuple[str, ...]) -> object:
    for name in path:
        given = given.get(name) if isinstance(given, dict) else None
    return given


def undeclared(schema: GraphQLSchema) -> Iterator[str]:
    """The lists and connections that say nothing of how many rows they may have."""
    for type_name, name, field_ in _fields(schema):
        price, listed = _declared(field_), is_list_type(get_nullable_type(field_.type))
        if listed and (price is None or (price.rows is None and not price.edges)):
            yield f"{type_name}.{name}: a list without a bound"
        if _is_connection(field_) and (price is None or not price.paged):
            yield f"{type_name}.{name}: a connection that is not said to be paged"


_tariffs: WeakKeyDictionary[GraphQLSchema, Tariff] = WeakKeyDictionary()


def tariff(schema: GraphQLSchema) -> Tariff:
    """What each field of a schema costs. Its lists and connections have been declared (``undeclared``). Worked out once
    (8 ms), for an executor has three meters."""
    known = _tariffs.get(schema)
    if known is None:
        known = _tariffs[schema] = _tariff(schema)
    return known


def _tariff(schema: GraphQLSchema) -> Tariff:
    found: dict[str, dict[str, Entry]] = {}
    query = schema.query_type.name if schema.query_type else ""
    calls = {query: prices.STATEMENT, schema.mutation_type.name if schema.mutation_type else "": prices.WRITE}
    for type_name, name, field_ in _fields(schema):
        price = _declared(field_)
        if price is None:
            price = Price(call=calls.get(type_name, 0))
        found.setdefault(type_name, {})[name] = _entry(field_, price)
    for name, meta in (("__schema", SchemaMetaFieldDef), ("__type", TypeMetaFieldDef)):
        found.setdefault(query, {})[name] = _entry(meta, Price(row=0, node=False))
    return found | _introspection(schema)


def _entry(field_: GraphQLField, price: Price) -> Entry:
    named = get_named_type(field_.type)
    return Entry(price, named.name, is_composite_type(named))


def _fields(schema: GraphQLSchema) -> Iterator[tuple[str, str, GraphQLField]]:
    for type_ in schema.type_map.values():
        if isinstance(type_, (GraphQLObjectType, GraphQLInterfaceType)) and not is_introspection_type(type_):
            for name, field_ in type_.fields.items():
                yield type_.name, name, field_


def _declared(field_: GraphQLField) -> Price | None:
    definition = field_.extensions.get("strawberry-definition")
    price: Price | None = definition.metadata.get(METADATA) if definition is not None else None
    return price


def _is_connection(field_: GraphQLField) -> bool:
    type_ = get_named_type(field_.type)
    return isinstance(type_, GraphQLObjectType) and {"edges", "pageInfo"} <= type_.fields.keys()


def _introspection(schema: GraphQLSchema) -> dict[str, dict[str, Entry]]:
    """The schema's own lists, as long as they are: of a type that is named by the longest one there is, of all types as
    a rule."""
    found: dict[str, dict[str, Entry]] = {}
    lengths = _lengths(schema)
    for type_ in schema.type_map.values():
        if not isinstance(type_, GraphQLObjectType) or not is_introspection_type(type_):
            continue
        found[type_.name] = {}
        for name, field_ in type_.fields.items():
            every = lengths.get((type_.name, name), [1])
            listed = is_list_type(get_nullable_type(field_.type))
            entry = _entry(field_, Price(rows=max(every) if listed else None, row=0, node=False))
            found[type_.name][name] = entry._replace(usual=-(-sum(every) // len(every)) if listed else 1)
    return found


def _lengths(schema: GraphQLSchema) -> dict[tuple[str, str], list[int]]:
    """How long each list of the schema's own is, for every type, field and directive that has one."""
    types = schema.type_map.values()
    outputs = [type_ for type_ in types if isinstance(type_, (GraphQLObjectType, GraphQLInterfaceType))]
    inputs = [type_ for type_ in types if isinstance(type_, GraphQLInputObjectType)]
    enums = [type_ for type_ in types if isinstance(type_, GraphQLEnumType)]
    others = [0] * len(schema.type_map)
    abstract = [type_ for type_ in types if is_abstract_type(type_)]
    return {
        ("__Schema", "types"): [len(schema.type_map)],
        ("__Schema", "directives"): [len(schema.directives)],
        ("__Type", "fields"): [*(len(type_.fields) for type_ in outputs), *others[len(outputs) :]],
        ("__Type", "interfaces"): [*(len(type_.interfaces) for type_ in outputs), *others[len(outputs) :]],
        ("__Type", "inputFields"): [*(len(type_.fields) for type_ in inputs), *others[len(inputs) :]],
        ("__Type", "enumValues"): [*(len(type_.values) for type_ in enums), *others[len(enums) :]],
        ("__Type", "possibleTypes"): [
            *(len(schema.get_possible_types(type_)) for type_ in abstract),
            *others[len(abstract) :],
        ],
        ("__Field", "args"): [len(field_.args) for type_ in outputs for field_ in type_.fields.values()] or [0],
        ("__Directive", "args"): [len(directive.args) for directive in schema.directives] or [0],
        ("__Directive", "locations"): [len(directive.locations) for directive in schema.directives] or [0],
    }
