"""What the compiler of operations is told of this schema."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from graphql import GraphQLField, GraphQLObjectType
from strawberry.schema.schema import Schema
from strawberry.types.field import StrawberryField

from core.aside import aside
from graphql_compiler import Attribute, Batch, Binding, BindingOf, Reads
from graphql_compiler.strawberry import declared_batch, unguarded, with_arguments
from graphql_schema.execution.arguments import converter
from graphql_schema.execution.declarations import check_declarations
from graphql_schema.shared.base import RECORDS
from graphql_schema.shared.context import CompiledInfo, Context, Info
from services.shared.outputs import LONG_TEXTS

SCALARS = {
    **{"String": str, "ID": str, "Int": int, "Float": float, "Boolean": bool},
    **{"DateTime": datetime, "Date": date},
}
"""The types whose values the answer's encoder writes as these scalars."""


def bindings(schema: Schema) -> BindingOf:
    """How each field is read: attributes of the service's records, and what is declared with a batch.

    The operation's own fields are batches for one parent, the resolver called without Strawberry's wrapping. Raises
    ``TypeError`` for a schema that declares what is not executed (``declarations``).
    """
    check_declarations(schema)
    roots = {type_.name for type_ in (schema._schema.query_type, schema._schema.mutation_type) if type_ is not None}
    known: dict[tuple[str, str], Binding | None] = {}

    def binding_of(parent: GraphQLObjectType, name: str, field: GraphQLField) -> Binding | None:
        key = parent.name, name
        if key not in known:
            known[key] = made(parent, field)
        return known[key]

    def made(parent: GraphQLObjectType, field: GraphQLField) -> Binding | None:
        if (definition := unguarded(field)) is None:
            return None  # guards and the like stand in Strawberry's resolver, and run there each time
        if parent.name in roots:
            return _resolving(definition, schema)
        if (batch := declared_batch(definition)) is not None:
            return with_arguments(batch, converter(definition.arguments, schema)) if definition.arguments else batch
        name = definition.metadata.get("attribute") or (definition.python_name if definition.is_basic_field else None)
        if name is None:
            return None
        record, long = RECORDS.get(parent.name), name in LONG_TEXTS
        if record is None:
            type_ = definition.metadata.get("type")
            return Attribute(name, type_, derived=type_ is not None, long=long)
        if isinstance(computed := getattr(record, name, None), property):
            hint = get_type_hints(cast(Any, computed.fget))["return"]
            type_ = _without_none(hint)
            return Attribute(name, type_, derived=type_ is hint)
        return Attribute(name, _without_none(get_type_hints(record).get(name)), long=long)

    return binding_of


def selected_columns(info: Info, type_name: str) -> Collection[str] | None:
    """The attributes that the operation reads of things of a type; None where that is not known: all of them."""
    return None if info.reads is None else info.reads.get(type_name, ())


def _resolving(definition: StrawberryField, schema: Schema) -> Batch | None:
    """The field's resolver as a batch; None for one that is given more than ours are: it is called by Strawberry."""
    resolver = definition.base_resolver
    if resolver is None or resolver.root_parameter or resolver.parent_parameter or not definition.is_async:
        return None
    has_self, has_info = resolver.self_parameter is not None, resolver.info_parameter is not None
    if resolver.info_parameter is not None and resolver.info_parameter.annotation is not Info:
        return None
    function: Any = resolver.wrapped_func
    convert = converter(definition.arguments, schema)

    async def load(
        context: Context, _parents: object, arguments: Mapping[str, object], reads: Reads
    ) -> Sequence[object]:
        given = await aside(convert, arguments) if context.large else convert(arguments)
        if has_info:
            given["info"] = CompiledInfo(context, reads)
        return [await (function(None, **given) if has_self else function(**given))]

    return Batch(load, selective=True)


def _without_none(annotation: Any) -> Any:
    """The one type that an annotation allows beside None; None where it is not a class."""
    if get_origin(annotation) in (Union, type(int | None)):
        [annotation] = [part for part in get_args(annotation) if part is not type(None)] or [None]
    return annotation if isinstance(annotation, type) else None
