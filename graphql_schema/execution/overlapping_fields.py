"""Whether fields with one response name can be merged (GraphQL specification, section 5.3.2).

graphql-core compares every pair of fields and of fragments: a page put together from 70 fragments takes it a third of a
second, and a hostile document more than one. Being equal is transitive, so here each field is compared with the first
of its name, which takes time in proportion to the fields. Only for documents that are valid otherwise.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
    is_composite_type,
    print_ast,
)
from graphql.utilities import type_from_ast
from graphql.utilities.sort_value_node import sort_value_node


class _Selected(NamedTuple):
    """A field where it stands."""

    parent: GraphQLNamedType
    node: FieldNode
    definition: GraphQLField


_Source = tuple[GraphQLNamedType, SelectionSetNode]


def find_conflicts(schema: GraphQLSchema, document: DocumentNode) -> Iterator[GraphQLError]:
    """The fields of each operation that cannot be merged."""
    merging = _Merging(schema, document)
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode) and (root := schema.get_root_type(node.operation)):
            yield from merging.check([(root, node.selection_set)])


class _Merging:
    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self._schema = schema
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self._arguments: dict[int, dict[str, str]] = {}

    def check(self, sources: Iterable[_Source], *, shapes_only: bool = False) -> Iterator[GraphQLError]:
        for name, fields in self._collect(sources).items():
            first, *others = fields
            shape = _shape(first.definition.type)
            for other in others:
                if _shape(other.definition.type) != shape:
                    types = f"'{first.definition.type}' and '{other.definition.type}'"
                    yield _conflict(name, f"they return conflicting types {types}", first, other)
                    return
            if shapes_only:
                yield from self._check_below(fields, shapes_only=True)
                continue
            groups = _same_objects(fields)
            if len(groups) > 1:
                yield from self._check_below(fields, shapes_only=True)
            for group in groups:
                reason = self._difference(group)
                if reason is not None:
                    yield _conflict(name, *reason)
                    return
                yield from self._check_below(group)

    def _check_below(self, fields: list[_Selected], *, shapes_only: bool = False) -> Iterator[GraphQLError]:
        below = [
            (get_named_type(field.definition.type), field.node.selection_set)
            for field in fields
            if field.node.selection_set is not None
        ]
        if below:
            yield from self.check(below, shapes_only=shapes_only)

    def _difference(self, fields: list[_Selected]) -> tuple[str, _Selected, _Selected] | None:
        first = fields[0]
        for other in fields[1:]:
            if other.node.name.value != first.node.name.value:
                names = f"'{first.node.name.value}' and '{other.node.name.value}'"
                return f"{names} are different fields", first, other
            if self._arguments_of(other.node) != self._arguments_of(first.node):
                return "they have differing arguments", first, other
        return None

    def _arguments_of(self, node: FieldNode) -> dict[str, str]:
        if not node.arguments:
            return {}
        known = self._arguments.get(id(node))
        if known is None:
            known = {item.name.value: print_ast(sort_value_node(item.value)) for item in node.arguments}
            self._arguments[id(node)] = known
        return known

    def _collect(self, sources: Iterable[_Source]) -> dict[str, list[_Selected]]:
        """The fields by response name; a fragment that is spread several times counts once."""
        found: dict[str, list[_Selected]] = {}
        spread: set[str] = set()
        for parent, selection_set in sources:
            self._visit(parent, selection_set, found, spread)
        return found

    def _visit(
        self,
        parent: GraphQLNamedType,
        selection_set: SelectionSetNode,
        found: dict[str, list[_Selected]],
        spread: set[str],
    ) -> None:
        # no function inside of another: one that calls itself is garbage that only the collector finds
        for item in selection_set.selections:
            if isinstance(item, FieldNode):
                name = item.alias.value if item.alias else item.name.value
                definition = self._schema.get_field(parent, item.name.value)  # type: ignore[arg-type]  # any composite type
                if definition is not None:
                    found.setdefault(name, []).append(_Selected(parent, item, definition))
            elif isinstance(item, InlineFragmentNode):
                self._visit(self._narrowed(parent, item), item.selection_set, found, spread)
            elif isinstance(item, FragmentSpreadNode) and item.name.value not in spread:
                spread.add(item.name.value)
                fragment = self._fragments[item.name.value]
                self._visit(self._narrowed(parent, fragment), fragment.selection_set, found, spread)

    def _narrowed(
        self, parent: GraphQLNamedType, fragment: InlineFragmentNode | FragmentDefinitionNode
    ) -> GraphQLNamedType:
        condition = fragment.type_condition
        named = type_from_ast(self._schema, condition) if condition else None
        return parent if named is None else named


def _same_objects(fields: list[_Selected]) -> list[list[_Selected]]:
    """The fields that may be of one object: those of the same object type, with those of interfaces and unions."""
    if len(fields) == 1:
        return [fields]
    abstract: list[_Selected] = []
    concrete: dict[str, list[_Selected]] = {}
    for field in fields:
        if isinstance(field.parent, GraphQLObjectType):
            concrete.setdefault(field.parent.name, []).append(field)
        else:
            abstract.append(field)
    return [group + abstract for group in concrete.values()] or [abstract]


def _shape(type_: GraphQLOutputType) -> str:
    """What values look like: objects all look the same, for their fields are compared on their own."""
    named = get_named_type(type_)
    return str(type_).replace(named.name, "{}") if is_composite_type(named) else str(type_)


def _conflict(name: str, reason: str, first: _Selected, other: _Selected) -> GraphQLError:
    return GraphQLError(
        f"Fields '{name}' conflict because {reason}. "
        "Use different aliases on the fields to fetch both if this was intentional.",
        [first.node, other.node],
    )
