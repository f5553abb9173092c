"""What a document may cost, measured before it is validated or executed.

First what it is written with, then what one of its operations asks for. Fragments are measured once and remembered, so
a document whose fragments double (``...F2 ...F2``) costs as much to measure as it is long, not as much as it would
answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    Node,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    ValueNode,
    VariableNode,
)
from graphql.language.ast import QUERY_DOCUMENT_KEYS

from services.pagination import DEFAULT_LIMIT, MAX_LIMIT

# plain lists hang on things; they are bounded by the service, and small as a rule
LIST_FIELDS = {
    "results": 1_000,
    "taskCounts": 1_000,
    "errors": 1,
    "assignees": 5,
    "tags": 5,
    "nodes": MAX_LIMIT,
    "changes": 5,
}
PAGED = frozenset(
    {
        *("tasks", "search", "projects", "users", "sessions", "securityEvents", "apiKeys", "members", "savedViews"),
        *("comments", "relations", "subtasks", "history"),
    }
)
# the parts of a connection: they are no rows of their own
_PARTS = PAGED | {"edges", "pageInfo"}
# how long the schema's own lists are as a rule
INTROSPECTION_LISTS = {
    "types": 120,
    "directives": 5,
    "fields": 10,
    "args": 2,
    "inputFields": 4,
    "enumValues": 2,
    "possibleTypes": 2,
    "interfaces": 1,
    "locations": 3,
}
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
    nodes: int = 10_000
    values: int = 200_000
    results: int = 25_000
    introspection: int = 200_000
    # of variables: more than any call that the services take has, a bulk call with 50 tags and 50 people a task too
    variable_items: int = 150_000
    variable_list: int = 1_500


class Cost(NamedTuple):
    """What a selection comes to: its depth, the fields it is written with, aliases, and what it may answer."""

    depth: int = 0
    roots: int = 0
    fields: int = 0
    aliases: int = 0
    nodes: int = 0
    results: int = 0
    values: int = 0
    introspection: int = 0


_WORDS = {
    "depth": "a depth of {}",
    "fields": "{} fields",
    "aliases": "{} aliases",
    "nodes": "{} requested nodes",
    "results": "{} requested nodes in the results of bulk calls",
    "values": "{} requested values",
    "introspection": "{} requested values of the schema",
}


class TooExpensive(Exception):
    """The request exceeds a limit; the message says which."""


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


def check_operation(
    document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, Any], limits: Limits
) -> frozenset[str]:
    """Bound what an operation asks for. Raises ``TooExpensive``.

    Returns the names of the variables that it depends on: with the same values of these, once is enough.
    """
    meter = _Meter(document, _with_defaults(operation, variables), limits)
    cost = meter.selection(operation.selection_set, 1)
    if operation.operation is OperationType.MUTATION and cost.roots > limits.root_mutations:
        raise TooExpensive(f"{cost.roots} mutations in one request; at most {limits.root_mutations} are allowed")
    for name, words in _WORDS.items():
        value, bound = getattr(cost, name), getattr(limits, name)
        if value > bound:
            raise TooExpensive(f"The operation comes to {words.format(min(value, _MANY))}; at most {bound} are allowed")
    sizes = frozenset(meter.read_variables)
    # the others are only validated
    total = cost.fields + sum(
        meter.selection(node.selection_set, 1).fields
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode) and node is not operation
    )
    if total > 2 * limits.fields:
        raise TooExpensive(f"The document comes to {min(total, _MANY)} fields; at most {2 * limits.fields} are allowed")
    return sizes


def check_variables(variables: object, limits: Limits) -> None:
    """Bound the number of items in variables before they are coerced one by one. Raises ``TooManyValues``."""
    left = limits.variable_items
    stack: list[Any] = [variables]
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
    stack: list[Any] = list(document.definitions)
    while stack:
        node = stack.pop()
        found += isinstance(node, ValueNode)
        for key in _CHILDREN.get(node.kind, ()):
            child = getattr(node, key)
            if child:
                (stack.append if isinstance(child, Node) else stack.extend)(child)
    return found


def _with_defaults(operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> Mapping[str, Any]:
    """The variables, with the default of those that were not sent, where it is a number."""
    defaults = {
        definition.variable.name.value: _number(definition.default_value)
        for definition in operation.variable_definitions or ()
        if isinstance(definition.default_value, IntValueNode)
    }
    return {**defaults, **variables}


def _number(node: IntValueNode) -> int:
    return int(node.value[:10])


class _Meter:
    def __init__(self, document: DocumentNode, variables: Mapping[str, Any], limits: Limits) -> None:
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self._variables = variables
        self._limits = limits
        self._measured: dict[str, Cost | None] = {}
        self.read_variables: set[str] = set()

    def selection(self, node: SelectionSetNode, depth: int) -> Cost:
        if depth > self._limits.depth:
            raise TooExpensive(f"The operation is nested more than {self._limits.depth} deep")
        deepest = roots = fields = aliases = nodes = results = values = introspection = 0
        seen: dict[str, int] = {}
        for item in node.selections:
            if isinstance(item, FieldNode):
                key = item.alias.value if item.alias else item.name.value
                seen[key] = repeats = seen.get(key, 0) + 1
                if repeats > self._limits.repeats:
                    raise TooExpensive(f"{key[:50]} is selected more than {self._limits.repeats} times")
                cost = self._field(item, depth)
            elif isinstance(item, InlineFragmentNode):
                cost = self.selection(item.selection_set, depth + 1)
            elif isinstance(item, FragmentSpreadNode):
                cost = self._fragment(item.name.value, depth)
            else:
                continue
            deepest = max(deepest, cost.depth)
            roots += cost.roots
            fields += cost.fields
            aliases += cost.aliases
            nodes += cost.nodes
            results += cost.results
            values += cost.values
            introspection += cost.introspection
        return Cost(deepest, roots, fields, aliases, nodes, results, values, introspection)

    def _field(self, node: FieldNode, depth: int) -> Cost:
        alias = 1 if node.alias else 0
        if node.selection_set is None:
            return Cost(depth=1, roots=1, fields=1, aliases=alias, values=1)
        inner = self.selection(node.selection_set, depth + 1)
        size, name = self._size(node), node.name.value
        cost = Cost(
            depth=inner.depth + 1,
            roots=1,
            fields=inner.fields + 1,
            aliases=inner.aliases + alias,
            nodes=size * (inner.nodes + (name not in _PARTS)),
            results=inner.results,
            values=size * (inner.values + 1),
        )
        if name == "results":
            # as many as the call has tasks, which it has to write besides
            return cost._replace(nodes=0, results=cost.nodes)
        if name in {"__schema", "__type"}:
            # read from memory: cheap, and much at a time
            return cost._replace(nodes=0, values=1, introspection=cost.values)
        return cost

    def _size(self, node: FieldNode) -> int:
        name = node.name.value
        if name not in PAGED:
            return LIST_FIELDS.get(name) or INTROSPECTION_LISTS.get(name, 1)
        size = DEFAULT_LIMIT
        for argument in node.arguments or ():
            if argument.name.value in {"first", "last"}:
                value: Any = None
                if isinstance(argument.value, IntValueNode):
                    value = _number(argument.value)
                elif isinstance(argument.value, VariableNode):
                    self.read_variables.add(argument.value.name.value)
                    value = self._variables.get(argument.value.name.value)
                if isinstance(value, (int, float)):
                    size = int(max(0, min(value, MAX_LIMIT)))
        return size

    def _fragment(self, name: str, depth: int) -> Cost:
        if name not in self._fragments:
            return Cost()  # validation names it
        if name in self._measured:
            known = self._measured[name]
            if known is None:
                raise TooExpensive(f"The fragment {name[:50]} contains itself")
            if depth + known.depth - 1 > self._limits.depth:
                raise TooExpensive(f"The operation is nested more than {self._limits.depth} deep")
            return known
        self._measured[name] = None
        cost = self.selection(self._fragments[name].selection_set, depth)
        self._measured[name] = cost
        return cost
