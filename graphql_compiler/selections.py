"""Which fields a document selects of an object of a type."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    Node,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    is_abstract_type,
)

from graphql_compiler.private import QUERY_DOCUMENT_KEYS

CONDITIONS = frozenset({"include", "skip"})


class NotCompilable(Exception):
    """The operation holds something that is left to the ordinary executor; the message says what."""


@dataclass(slots=True)
class Selections:
    """The selections of one operation, for one set of values of the variables that change its shape."""

    schema: GraphQLSchema
    document: DocumentNode
    variables: Mapping[str, Any]
    fragments: dict[str, FragmentDefinitionNode] = field(init=False)

    def __post_init__(self) -> None:
        definitions = self.document.definitions
        self.fragments = {node.name.value: node for node in definitions if isinstance(node, FragmentDefinitionNode)}

    def of(self, parts: Iterable[SelectionSetNode], type_: GraphQLObjectType) -> dict[str, list[FieldNode]]:
        """The fields selected of an object of the type, by response key (section 6.3.2, CollectFields)."""
        collected: dict[str, list[FieldNode]] = {}
        seen: set[str] = set()
        for part in parts:
            self._collect(part, type_, collected, seen)
        return collected

    def _collect(
        self, part: SelectionSetNode, type_: GraphQLObjectType, collected: dict[str, list[FieldNode]], seen: set[str]
    ) -> None:
        for node in part.selections:
            if not self._included(node.directives):
                continue
            if isinstance(node, FieldNode):
                key = node.alias.value if node.alias else node.name.value
                collected.setdefault(key, []).append(node)
            elif isinstance(node, InlineFragmentNode):
                if node.type_condition is None or self._applies(node.type_condition.name.value, type_):
                    self._collect(node.selection_set, type_, collected, seen)
            elif isinstance(node, FragmentSpreadNode):
                name = node.name.value
                if getattr(node, "arguments", None):
                    raise NotCompilable("a fragment with arguments")
                fragment = self.fragments[name]
                if name not in seen and self._applies(fragment.type_condition.name.value, type_):
                    seen.add(name)
                    self._collect(fragment.selection_set, type_, collected, seen)

    def _applies(self, condition: str, type_: GraphQLObjectType) -> bool:
        if condition == type_.name:
            return True
        named = self.schema.get_type(condition)
        return is_abstract_type(named) and self.schema.is_sub_type(named, type_)

    def _included(self, directives: Sequence[DirectiveNode] | None) -> bool:
        included = True
        for directive in directives or ():
            name = directive.name.value
            if name not in CONDITIONS:
                raise NotCompilable(f"the directive @{name}")
            [argument] = directive.arguments or ()
            value: Any = argument.value
            if isinstance(value, VariableNode):
                condition = self.variables.get(value.name.value)
            else:
                condition = getattr(value, "value", None)
            if not isinstance(condition, bool):
                raise NotCompilable("a condition that is not a Boolean")
            included = included and condition is (name == "include")
        return included


def parts_of(
    document: DocumentNode, operation: OperationDefinitionNode
) -> list[OperationDefinitionNode | FragmentDefinitionNode]:
    """What an operation is made of: itself, and the fragments that it reaches.

    The other operations of the document have variables of their own, which may have the same names.
    """
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    found: list[OperationDefinitionNode | FragmentDefinitionNode] = [operation]
    for part in found:  # grows on the way
        for name in _spreads(part.selection_set):
            if (fragment := fragments.pop(name, None)) is not None:
                found.append(fragment)
    return found


def shaping_variables(document: DocumentNode, operation: OperationDefinitionNode) -> tuple[str, ...]:
    """The names of an operation's variables that decide what is selected (``@include``, ``@skip``), sorted."""
    names: set[str] = set()
    for part in parts_of(document, operation):
        _gather_conditions(part.selection_set, names)
    return tuple(sorted(names))


def mentions_variables(node: Node) -> bool:
    """Whether a value or an argument holds a variable."""
    return isinstance(node, VariableNode) or any(mentions_variables(child) for child in _children(node))


def _spreads(root: SelectionSetNode) -> Iterator[str]:
    """The names of the fragments that are spread in a selection set, in the order of the document."""
    stack: list[SelectionNode] = [*reversed(root.selections)]
    while stack:
        node = stack.pop()
        if isinstance(node, FragmentSpreadNode):
            yield node.name.value
        elif isinstance(node, (FieldNode, InlineFragmentNode)) and node.selection_set is not None:
            stack.extend(reversed(node.selection_set.selections))


def _gather_conditions(part: SelectionSetNode, names: set[str]) -> None:
    for node in part.selections:
        for directive in node.directives or ():
            if directive.name.value in CONDITIONS:
                values = [argument.value for argument in directive.arguments or ()]
                names.update(value.name.value for value in values if isinstance(value, VariableNode))
        if (inner := getattr(node, "selection_set", None)) is not None:
            _gather_conditions(inner, names)


def _children(node: Node) -> Iterator[Node]:
    for key in QUERY_DOCUMENT_KEYS.get(node.kind, ()):
        child = getattr(node, key, None)
        if isinstance(child, Node):
            yield child
        elif child:
            yield from child
