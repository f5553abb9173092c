"""How much one request may hold, and what it is written with: looked at before it is validated or executed.

What one of its operations asks for is measured by ``meter``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    Node,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    ValueNode,
)
from graphql.language.ast import QUERY_DOCUMENT_KEYS

from services.shared.prices import BUDGET

Fragments = Mapping[str, FragmentDefinitionNode]
_MANY = 10**9
_CHILDREN = {
    kind: tuple(
        key for key in keys if key not in {"name", "alias", "type", "type_condition", "description", "variable"}
    )
    for kind, keys in QUERY_DOCUMENT_KEYS.items()
}


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one request."""

    # of a document: what it is written with, whatever of it is executed
    characters: int = 131_072
    tokens: int = 2_500
    operations: int = 25
    literals: int = 500
    # of an operation, its fragments spread out
    depth: int = 20
    fields: int = 1_500
    aliases: int = 100
    repeats: int = 50
    root_mutations: int = 20
    points: int = BUDGET
    nodes: int = 25_000
    values: int = 200_000
    results: int = 120_000
    result_values: int = 500_000
    introspection: int = 150_000
    # of variables: more than any call that the services take has, a bulk call that adds and removes 50 tags and 50
    # people a task too
    variable_items: int = 250_000
    variable_list: int = 1_500


class Written(NamedTuple):
    """What a selection is written with, its fragments spread out."""

    depth: int = 0
    roots: int = 0
    fields: int = 0
    aliases: int = 0


class TooExpensive(Exception):
    """The request exceeds a limit; the message says which."""


class TooManyPoints(TooExpensive):
    """The operation costs more than a request may; where its arguments do not hold either, that is said, as on REST."""


class TooManyValues(TooExpensive):
    """The variables hold too many values; where that is a list that the service bounds, it has its own words for it."""


def check_document(document: DocumentNode, limits: Limits) -> None:
    """Bound what takes long to validate. Raises ``TooExpensive``."""
    operations = sum(isinstance(node, OperationDefinitionNode) for node in document.definitions)
    if operations > limits.operations:
        raise TooExpensive(f"{operations} operations in one document; at most {limits.operations} are allowed")
    # an error message repeats the literal that it is about
    if _literals(document) > limits.literals:
        raise TooExpensive(f"More than {limits.literals} values are written in the document")


def bound(value: int, most: int, words: str) -> None:
    """Raises ``TooExpensive`` for more; ``words`` say of what, with a place for the number."""
    if value > most:
        raise TooExpensive(f"{words.format(min(value, _MANY))}; at most {most} are allowed")


def check_written(
    document: DocumentNode, operation: OperationDefinitionNode, fragments: Fragments, limits: Limits
) -> None:
    """Bound what a document is written with, its fragments spread out. Raises ``TooExpensive``.

    Fragments are measured once and remembered, so a document whose fragments double (``...F2 ...F2``) costs as much to
    measure as it is long.
    """
    shape = _Shape(fragments, limits)
    written = shape.of(operation.selection_set, 1)
    if operation.operation is OperationType.MUTATION:
        bound(written.roots, limits.root_mutations, "{} mutations in one request")
    for name in ("depth", "fields", "aliases"):
        words = "a depth of {}" if name == "depth" else "{} " + name
        bound(getattr(written, name), getattr(limits, name), f"The operation comes to {words}")
    # the others are only validated
    others = (node for node in document.definitions if isinstance(node, OperationDefinitionNode))
    total = written.fields + sum(shape.of(node.selection_set, 1).fields for node in others if node is not operation)
    bound(total, 2 * limits.fields, "The document comes to {} fields")


class _Shape:
    """Measures selections as they are written, each fragment once."""

    def __init__(self, fragments: Fragments, limits: Limits) -> None:
        self._fragments, self._limits = fragments, limits
        self._measured: dict[str, Written | None] = {}

    def of(self, node: SelectionSetNode, depth: int) -> Written:
        self._bound_depth(depth)
        deepest = roots = fields = aliases = 0
        seen: dict[str, int] = {}
        for item in node.selections:
            if isinstance(item, FieldNode):
                key = item.alias.value if item.alias else item.name.value
                seen[key] = repeats = seen.get(key, 0) + 1
                if repeats > self._limits.repeats:
                    raise TooExpensive(f"{key[:50]} is selected more than {self._limits.repeats} times")
                inner = self.of(item.selection_set, depth + 1) if item.selection_set else _NOTHING_WRITTEN
                alias = 1 if item.alias else 0
                written = Written(inner.depth + 1, 1, inner.fields + 1, inner.aliases + alias)
            elif isinstance(item, InlineFragmentNode):
                written = self.of(item.selection_set, depth + 1)
            elif isinstance(item, FragmentSpreadNode):
                written = self._fragment(item.name.value, depth)
            else:
                continue
            deepest = max(deepest, written.depth)
            roots += written.roots
            fields += written.fields
            aliases += written.aliases
        return Written(deepest, roots, fields, aliases)

    def _fragment(self, name: str, depth: int) -> Written:
        if name not in self._fragments:
            return _NOTHING_WRITTEN  # validation names it
        if name in self._measured:
            known = self._measured[name]
            if known is None:
                raise TooExpensive(f"The fragment {name[:50]} contains itself")
            self._bound_depth(depth + known.depth - 1)
            return known
        self._measured[name] = None
        written = self.of(self._fragments[name].selection_set, depth)
        self._measured[name] = written
        return written

    def _bound_depth(self, depth: int) -> None:
        if depth > self._limits.depth:
            raise TooExpensive(f"The operation is nested more than {self._limits.depth} deep")


_NOTHING_WRITTEN = Written()


def check_variables(variables: object, limits: Limits) -> None:
    """Bound the number of items in variables before they are coerced one by one. Raises ``TooManyValues``."""
    left = limits.variable_items
    stack: list[object] = [variables]
    while stack:
        value = stack.pop()
        if not isinstance(value, (list, dict)):
            continue
        if isinstance(value, list) and len(value) > limits.variable_list:
            raise TooManyValues(f"A list in the variables holds more than {limits.variable_list} items")
        left -= len(value)
        if left < 0:
            raise TooManyValues(f"The variables hold more than {limits.variable_items} values")
        stack.extend(value if isinstance(value, list) else value.values())


def _literals(document: DocumentNode) -> int:
    found = 0
    stack: list[Node] = [*document.definitions]
    while stack:
        node = stack.pop()
        found += isinstance(node, ValueNode)
        for key in _CHILDREN.get(node.kind, ()):
            child = getattr(node, key)
            if child:
                (stack.append if isinstance(child, Node) else stack.extend)(child)
    return found
