"""Where the variables of an operation go: their names are the client's, so a pointer must say the argument."""

from collections.abc import Iterator, Mapping

from graphql import (
    DocumentNode,
    FieldNode,
    InlineFragmentNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
)

from graphql_compiler import selection_sets


def places(document: DocumentNode, operation: OperationDefinitionNode) -> Mapping[str, str]:
    """For each variable, the pointer to the first place in the arguments where it is used."""
    found: dict[str, str] = {}
    for root in selection_sets(document, operation):
        for name, pointer in _in_selections(root):
            found.setdefault(name, pointer)
    return found


def argument_pointer(name: str) -> str:
    """``input`` is the whole body on REST, so its name is left out."""
    return "" if name == "input" else f"/{name}"


def _in_selections(root: SelectionSetNode) -> Iterator[tuple[str, str]]:
    stack = [*reversed(root.selections)]
    while stack:
        node = stack.pop()
        if isinstance(node, FieldNode):
            for argument in node.arguments or ():
                yield from _in_value(argument.value, argument_pointer(argument.name.value))
        if isinstance(node, (FieldNode, InlineFragmentNode)) and node.selection_set is not None:
            stack.extend(reversed(node.selection_set.selections))


def _in_value(root: ValueNode, pointer: str) -> Iterator[tuple[str, str]]:
    stack = [(root, pointer)]
    while stack:
        node, pointer = stack.pop()
        if isinstance(node, VariableNode):
            yield node.name.value, pointer
        elif isinstance(node, ObjectValueNode):
            stack.extend((field.value, f"{pointer}/{field.name.value}") for field in reversed(node.fields))
        elif isinstance(node, ListValueNode):
            stack.extend((value, f"{pointer}/{index}") for index, value in reversed([*enumerate(node.values)]))
