"""Everything that this package uses of graphql-core and Strawberry beyond their documented interfaces, in one place.

Each entry says what it is for and what would break with it. The package's tests compare every answer with the ordinary
executor's, so that a change of any of these is seen there.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    OperationDefinitionNode,
)

# The type of a declared variable, as execution sees it. Without it, how variables are coerced is graphql-core's alone.
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature

# VariableValues and VariableValueSource are what graphql-core's own functions take for variables: a new field in them
# fails when an operation's variables are coerced. get_variable_values makes the errors of variables, and
# get_argument_values those of arguments with variables in them. coerce_argument reads one argument that is written
# out: with other parameters, no field with arguments compiles. input_is_nested_too_deeply is graphql-core's own guard
# against RecursionError: without it, deep variables fail in another sentence.
from graphql.execution.values import (
    VariableValues,
    VariableValueSource,
    coerce_argument,
    get_argument_values,
    get_variable_values,
    input_is_nested_too_deeply,
)

# The children of each kind of node; without it, variables inside of lists and input objects are not found.
from graphql.language.ast import QUERY_DOCUMENT_KEYS

# What a resolver finds in ``info.path``, and what tells whether a value can be awaited.
from graphql.pyutils import Path, is_awaitable

if TYPE_CHECKING:
    from strawberry.schema.schema import Schema
    from strawberry.types.field import StrawberryField

__all__ = [
    "QUERY_DOCUMENT_KEYS",
    "GraphQLVariableSignature",
    "VariableValueSource",
    "VariableValues",
    "coerce_argument",
    "convert_arguments",
    "core_schema",
    "field_definition",
    "get_argument_values",
    "get_variable_signature",
    "get_variable_values",
    "input_is_nested_too_deeply",
    "is_awaitable",
    "root_field_info",
    "strawberry_info",
    "type_definition",
]


def root_field_info(
    key: str,
    field: GraphQLField,
    nodes: list[FieldNode],
    parent: GraphQLObjectType,
    schema: GraphQLSchema,
    fragments: dict[str, FragmentDefinitionNode],
    operation: OperationDefinitionNode,
    variables: VariableValues,
    context: Any,
) -> GraphQLResolveInfo[Any]:
    """What graphql-core would give to the resolver of a field of an operation.

    Its fields are given by position: one more or less fails at the first operation. The helpers for work that outlives
    a resolver are missing, for they are an executor's.
    """
    name, path = nodes[0].name.value, Path(None, key, parent.name)
    helpers: Any = None
    return GraphQLResolveInfo(
        name,
        nodes,
        field.type,
        parent,
        path,
        schema,
        fragments,
        None,
        operation,
        variables,
        context,
        is_awaitable,
        None,
        helpers,
    )


def strawberry_info(info: GraphQLResolveInfo[Any], operation_extensions: Mapping[str, Any] | None) -> Any:
    """The info as Strawberry's executor gives it to resolvers: plain variables, and the request's ``extensions``.

    Were its class to go or take other fields, operations with resolvers of Strawberry's would end in an error.
    """
    from strawberry.schema.schema import _OperationContextAwareGraphQLResolveInfo as StrawberryInfo

    values = info._replace(variable_values=info.variable_values.coerced)  # type: ignore[arg-type]  # Strawberry's way
    return StrawberryInfo(*values, operation_extensions)  # type: ignore[arg-type]  # graphql-core's and one


def core_schema(schema: "Schema") -> GraphQLSchema:
    """graphql-core's schema inside of Strawberry's; without it nothing is compiled."""
    return schema._schema


def field_definition(field: GraphQLField) -> "StrawberryField | None":
    """How Strawberry was told of a field: every binding is made of this. None for a field that is not Strawberry's."""
    definition: StrawberryField | None = field.extensions.get("strawberry-definition")
    return definition


def type_definition(type_: GraphQLObjectType) -> Any:
    """How Strawberry was told of a type; None for one that is not Strawberry's."""
    return type_.extensions.get("strawberry-definition")


def convert_arguments(schema: "Schema", definition: "StrawberryField") -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """From the arguments that graphql-core has coerced to those of a resolver, by Strawberry's own function.

    With other parameters there, an operation with such a field is left to the ordinary executor each time.
    """
    from strawberry.types.arguments import convert_arguments as convert

    arguments, config, registry = definition.arguments, schema.config, schema.schema_converter.scalar_registry
    return lambda values: convert(dict(values), arguments, scalar_registry=registry, config=config)
