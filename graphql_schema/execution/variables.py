"""Where the variables of an operation go, and what arguments come of them.

A variable's name is the client's, so a pointer must say the argument.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    GraphQLArgument,
    GraphQLDirective,
    GraphQLField,
    GraphQLSchema,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    TypeInfo,
    TypeInfoVisitor,
    Undefined,
    ValueNode,
    VariableNode,
    Visitor,
    visit,
)
from graphql.utilities import value_from_ast_untyped

from graphql_compiler import mentions_variables, parts_of


class Call(NamedTuple):
    """A field or directive that is given arguments, and those that it may be given."""

    node: FieldNode | DirectiveNode
    arguments: Mapping[str, GraphQLArgument]


def calls(
    schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, *, all_: bool = False
) -> Sequence[Call]:
    """The fields and directives of an operation of a valid document that are given variables, in their order; or
    ``all_`` that are given anything."""
    info = TypeInfo(schema)
    gathering = _Calls(info, all_)
    for part in parts_of(document, operation):
        visit(part, TypeInfoVisitor(info, gathering))
    return gathering.found


class _Calls(Visitor):
    def __init__(self, info: TypeInfo, all_: bool) -> None:
        super().__init__()
        self._info, self._all = info, all_
        self.found: list[Call] = []

    def enter_field(self, node: FieldNode, *_: object) -> None:
        self._keep(node, self._info.get_field_def())

    def enter_directive(self, node: DirectiveNode, *_: object) -> None:
        self._keep(node, self._info.get_directive())

    def _keep(self, node: FieldNode | DirectiveNode, definition: GraphQLField | GraphQLDirective | None) -> None:
        given = node.arguments or ()
        if definition is not None and (given if self._all else any(map(mentions_variables, given))):
            self.found.append(Call(node, definition.args))


def variable_pointers(found: Sequence[Call]) -> Mapping[str, str]:
    """For each variable, the pointer to the first place in the arguments where it is used."""
    first: dict[str, str] = {}
    for call in found:
        for argument in call.node.arguments or ():
            for name, pointer in _in_value(argument.value, argument_pointer(argument.name.value)):
                first.setdefault(name, pointer)
    return first


def argument_pointer(name: str) -> str:
    """The JSON Pointer to an argument; ``input`` is the whole body on REST, so its name is left out."""
    return "" if name == "input" else f"/{name}"


def sent(node: ValueNode, variables: Mapping[str, object]) -> object:
    """An argument's value as it would stand in JSON; ``Undefined`` for a variable that was left out."""
    if isinstance(node, VariableNode):
        return variables.get(node.name.value, Undefined)
    if isinstance(node, ListValueNode):
        items = (sent(item, variables) for item in node.values)
        return [None if item is Undefined else item for item in items]
    if isinstance(node, ObjectValueNode):
        fields = ((field.name.value, sent(field.value, variables)) for field in node.fields)
        return {name: value for name, value in fields if value is not Undefined}
    return value_from_ast_untyped(node)


def with_defaults(operation: OperationDefinitionNode, variables: Mapping[str, object]) -> Mapping[str, object]:
    """The variables, those that were left out with their defaults."""
    defaults = {
        definition.variable.name.value: value_from_ast_untyped(definition.default_value)
        for definition in operation.variable_definitions or ()
        if definition.default_value is not None
    }
    return {**defaults, **variables}


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
