"""What may be asked without being known: operations that are for everybody, and how much a guest may write."""

import re

from graphql import DocumentNode, FieldNode, OperationDefinitionNode, OperationType, Visitor, visit

PUBLIC = frozenset(
    {
        *("login", "refreshToken", "revokeToken", "register"),
        *("requestPasswordReset", "resetPassword", "requestEmailVerification", "verifyEmail", "unsubscribe"),
    }
)
"""The mutations that need no caller."""
CREDENTIALS = frozenset(
    {
        *("login", "refreshToken", "register", "createApiKey", "rotateApiKey"),
        *("createWebhook", "rotateWebhookSecret"),
    }
)
"""The mutations whose answers nobody may keep."""
META = frozenset({"__schema", "__type", "__typename"})
"""The fields that tell of the schema."""

_SCHEMA = META - {"__typename"}
_FOR_EVERYBODY = re.compile(r"\b(?:" + "|".join(sorted(PUBLIC | _SCHEMA)) + r")\b")


def needs_no_caller(operation: OperationDefinitionNode) -> bool:
    """Whether an operation consists of public mutations only, written out."""
    return _consists_of(PUBLIC, operation)


def asks_for_the_schema(operation: OperationDefinitionNode) -> bool:
    """Whether an operation consists of questions about the schema only, written out: everybody is answered the same."""
    return operation.operation is OperationType.QUERY and not operation.directives and _consists_of(META, operation)


def answers_credentials(operation: OperationDefinitionNode) -> bool:
    """Whether a mutation may answer a credential: it has such a field, or one that stands in a fragment."""
    nodes = operation.selection_set.selections
    return any(not isinstance(node, FieldNode) or node.name.value in CREDENTIALS for node in nodes)


def may_be_for_everybody(document: str) -> bool:
    """Whether a document may hold something that needs no caller, by its text: it may be too long to be parsed."""
    return _FOR_EVERYBODY.search(document) is not None


def mentions_the_schema(document: DocumentNode, text: str) -> bool:
    """Whether a field anywhere in a document is one of introspection (section 4 of the specification), whatever else
    has its name in the text. ``__typename`` is none."""
    if not any(name in text for name in _SCHEMA):
        return False
    asked = False

    class Fields(Visitor):
        def enter_field(self, node: FieldNode, *_: object) -> None:
            nonlocal asked
            asked = asked or node.name.value in _SCHEMA

    visit(document, Fields())
    return asked


def _consists_of(fields: frozenset[str], operation: OperationDefinitionNode) -> bool:
    return all(isinstance(node, FieldNode) and node.name.value in fields for node in operation.selection_set.selections)


GUESTS = {
    "characters": 16_384,
    "tokens": 1_000,
    "operations": 5,
    "literals": 100,
    "fields": 500,
    "aliases": 60,  # a task with its fields by other names is no more
    "variable_items": 500,
    "variable_list": 100,
}
"""What a request of somebody may hold whom nobody knows: enough to log in, and for tools that ask for the
schema."""
