"""What may be asked without being known: operations that are for everybody, and how much a guest may write."""

from graphql import FieldNode, OperationDefinitionNode, OperationType

PUBLIC = frozenset({"login", "refreshToken", "revokeToken", "register"})
"""The mutations that need no caller."""


META = frozenset({"__schema", "__type", "__typename"})
"""The fields that tell of the schema."""


def needs_no_caller(operation: OperationDefinitionNode) -> bool:
    """Whether an operation consists of public mutations only, written out."""
    return _consists_of(PUBLIC, operation)


def asks_for_the_schema(operation: OperationDefinitionNode) -> bool:
    """Whether an operation consists of questions about the schema only, written out: everybody is answered the same."""
    return operation.operation is OperationType.QUERY and not operation.directives and _consists_of(META, operation)


def _consists_of(fields: frozenset[str], operation: OperationDefinitionNode) -> bool:
    return all(isinstance(node, FieldNode) and node.name.value in fields for node in operation.selection_set.selections)


GUESTS = {
    "characters": 16_384,
    "tokens": 1_000,
    "operations": 5,
    "literals": 100,
    "fields": 500,
    "aliases": 20,
    "variable_items": 500,
    "variable_list": 100,
}
"""What a request of somebody may hold whom nobody knows: enough to log in, and for tools that ask for the
schema."""
