"""What a schema may declare in Strawberry's terms, and our executors don't do: refused by name when it is built.

Parsing, validation and execution are ours (``execution``), so what hangs on Strawberry's own is never called. Guards of
fields (extensions, permission classes) don't belong to it: they stand in the field's resolver, which is called wherever
a field has any.
"""

from collections.abc import Iterator

from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema import Schema, StrawberryGraphQLCoreExecutionContext
from strawberry.types.base import StrawberryMaybe, StrawberryObjectDefinition

from graphql_schema.shared.base import is_any
from graphql_schema.shared.prices import undeclared

_OPTIONS = ("default_resolver", "batching_config", "enable_experimental_incremental_execution")


def check_declarations(schema: Schema) -> None:
    """Raises ``TypeError`` for what would be ignored, and for lists whose price is not known, with the name of each."""
    found = [*_of_schema(schema), *_of_types(schema)]
    if found:
        raise TypeError(f"The schema declares what is not executed here: {', '.join(found)}")
    if unbounded := [*undeclared(schema._schema)]:
        raise TypeError(f"The schema does not say how many there may be: {', '.join(unbounded)}")


def _of_schema(schema: Schema) -> Iterator[str]:
    if type(schema) is not Schema:
        yield f"{type(schema).__name__} in the place of Schema"
    for option in ("extensions", "directives", "exception_handlers"):
        for item in getattr(schema, option):
            yield f"{option}: {_name(item)}"
    if schema.execution_context_class is not StrawberryGraphQLCoreExecutionContext:
        yield f"execution_context_class: {_name(schema.execution_context_class)}"
    usual = StrawberryConfig()
    yield from (option for option in _OPTIONS if getattr(schema.config, option) != getattr(usual, option))


def _of_types(schema: Schema) -> Iterator[str]:
    for name, concrete in schema.schema_converter.type_map.items():
        definition = concrete.definition
        if not isinstance(definition, StrawberryObjectDefinition):
            continue
        # what a source is of is remembered by its class
        if definition.is_type_of is not None and getattr(definition.is_type_of, "__func__", None) is not is_any:
            yield f"{name}.is_type_of"
        if definition.is_input:
            if definition.is_one_of:
                yield f"{name}: one_of"
            yield from (f"{name}.{field.python_name}: Maybe" for field in definition.fields if _is_maybe(field.type))
        for field in definition.fields:
            yield from (
                f"{name}.{field.python_name}({argument.python_name}: Maybe)"
                for argument in field.arguments
                if _is_maybe(argument.type)
            )


def _is_maybe(type_: object) -> bool:
    # null is kept out of these by a rule of validation that is Strawberry's own
    return isinstance(type_, StrawberryMaybe)


def _name(item: object) -> str:
    return getattr(item, "python_name", None) or getattr(item, "__name__", None) or type(item).__name__
