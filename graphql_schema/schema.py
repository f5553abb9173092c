"""The schema: the parts of every feature, which stand in the modules of its name."""

from typing import Any

import strawberry
from graphql import GraphQLInputObjectType, get_named_type
from strawberry.schema.config import StrawberryConfig

from graphql_schema.shared.context import ResolverInfo
from graphql_schema.shared.nodes import NodeQueries
from graphql_schema.shared.parts import extend, parts_of, root_type
from graphql_schema.shared.scalars import DATE, DATE_TIME
from services.features import FEATURES

_PARTS = parts_of(FEATURES)
for _part in _PARTS:
    extend(_part.extends)

Query = root_type("Query", "What can be read.", [NodeQueries, *(part.queries for part in _PARTS)])
Mutation = root_type(
    "Mutation",
    "What can be changed. Each field is a transaction of its own, one after the other.",
    [part.mutations for part in _PARTS],
)
Subscription = root_type("Subscription", "What can be followed as it happens.", [part.subscriptions for part in _PARTS])

schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    config=StrawberryConfig(info_class=ResolverInfo, scalar_map={each.origin: each for each in (DATE, DATE_TIME)}),
)


def _describe_inputs() -> None:
    """An argument called ``input`` is described by its type."""
    for mutation in schema._schema.mutation_type.fields.values():  # type: ignore[union-attr]  # there is one
        argument = mutation.args.get("input")
        if argument is not None and argument.description is None:
            argument.description = get_named_type(argument.type).description


def _mend_introspection() -> None:
    """``isOneOf`` of a type is null where it is no input (GraphQL, section 4.2.2): of lists and what cannot be null,
    which have a type inside, Strawberry's own answer is an error."""

    def is_one_of(type_: Any, _info: Any) -> bool | None:
        return type_.is_one_of if isinstance(type_, GraphQLInputObjectType) else None

    schema._schema.type_map["__Type"].fields["isOneOf"].resolve = is_one_of  # type: ignore[attr-defined]  # it has fields


_describe_inputs()
_mend_introspection()


def sdl() -> str:
    """The schema as SDL."""
    return schema.as_str() + "\n"
