"""What a document may cost, measured before anything is validated or executed.

Fragments are measured once and remembered, so a document whose fragments double (``...F2 ...F2``) costs as much to
measure as it is long, not as much as it would answer. Numbers grow by multiplication and are capped, never enumerated.
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
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
)

from services.pagination import DEFAULT_LIMIT, MAX_LIMIT

# plain lists hang on things; they are bounded by the service, and small as a rule
LIST_FIELDS = {"assignees": 5, "tags": 5, "nodes": MAX_LIMIT, "changes": 5}
PAGED = frozenset(
    {"tasks", "search", "projects", "users", "sessions", "apiKeys", "members", "comments", "subtasks", "history"}
)
_CAP = 10**9


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one request."""

    tokens: int = 5_000
    depth: int = 20
    fields: int = 1_500
    aliases: int = 100
    repeats: int = 50
    root_mutations: int = 20
    nodes: int = 20_000
    values: int = 200_000
    variable_items: int = 20_000


class Cost(NamedTuple):
    """What a selection comes to: its depth, the fields it is written with, aliases, and what it may answer."""

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    nodes: int = 0
    values: int = 0


class TooExpensive(Exception):
    """The document exceeds a limit; the message says which."""


def check(
    document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, Any], limits: Limits
) -> Cost:
    """The cost of an operation. Raises ``TooExpensive``."""
    meter = _Meter(document, variables, limits)
    cost = meter.selection(operation.selection_set, 1)
    roots = len(operation.selection_set.selections)
    if operation.operation.value == "mutation" and roots > limits.root_mutations:
        raise TooExpensive(f"{roots} mutations in one request; at most {limits.root_mutations} are allowed")
    for name, value in cost._asdict().items():
        bound = getattr(limits, name)
        if value > bound:
            raise TooExpensive(f"The operation comes to {_WORDS[name].format(value)}; at most {bound} are allowed")
    return cost


_WORDS = {
    "depth": "a depth of {}",
    "fields": "{} fields",
    "aliases": "{} aliases",
    "nodes": "{} requested nodes",
    "values": "{} requested values",
}


class _Meter:
    def __init__(self, document: DocumentNode, variables: Mapping[str, Any], limits: Limits) -> None:
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self._variables = variables
        self._limits = limits
        self._measured: dict[str, Cost | None] = {}

    def selection(self, node: SelectionSetNode, depth: int) -> Cost:
        if depth > self._limits.depth:
            raise TooExpensive(f"The operation is nested more than {self._limits.depth} deep")
        total = [0, 0, 0, 0, 0]
        seen: dict[str, int] = {}
        for item in node.selections:
            if isinstance(item, FieldNode):
                key = item.alias.value if item.alias else item.name.value
                seen[key] = seen.get(key, 0) + 1
                if seen[key] > self._limits.repeats:
                    raise TooExpensive(f"{key} is selected more than {self._limits.repeats} times")
                cost = self._field(item, depth)
            elif isinstance(item, InlineFragmentNode):
                cost = self.selection(item.selection_set, depth + 1)
                cost = cost._replace(depth=cost.depth - 1 if cost.depth else 0)
            elif isinstance(item, FragmentSpreadNode):
                cost = self._fragment(item.name.value, depth)
            else:
                continue
            total[0] = max(total[0], cost.depth)
            for index in range(1, 5):
                total[index] = min(_CAP, total[index] + cost[index])
        return Cost(*total)

    def _field(self, node: FieldNode, depth: int) -> Cost:
        alias = 1 if node.alias else 0
        if node.selection_set is None:
            return Cost(1, 1, alias, 0, 1)
        inner = self.selection(node.selection_set, depth + 1)
        size = self._size(node)
        return Cost(
            inner.depth + 1,
            min(_CAP, inner.fields + 1),
            min(_CAP, inner.aliases + alias),
            min(_CAP, size * (inner.nodes + 1)),
            min(_CAP, size * (inner.values + 1)),
        )

    def _size(self, node: FieldNode) -> int:
        name = node.name.value
        if name not in PAGED:
            return LIST_FIELDS.get(name, 1)
        size = DEFAULT_LIMIT
        for argument in node.arguments or ():
            if argument.name.value in {"first", "last"}:
                value: Any = None
                if isinstance(argument.value, IntValueNode):
                    value = int(argument.value.value[:10])
                elif isinstance(argument.value, VariableNode):
                    value = self._variables.get(argument.value.name.value)
                if isinstance(value, int) and not isinstance(value, bool):
                    size = max(0, min(value, MAX_LIMIT))
        return size

    def _fragment(self, name: str, depth: int) -> Cost:
        if name not in self._fragments:
            return Cost()  # validation names it
        if name in self._measured:
            known = self._measured[name]
            if known is None:
                raise TooExpensive(f"The fragment {name} contains itself")
            if depth + known.depth > self._limits.depth:
                raise TooExpensive(f"The operation is nested more than {self._limits.depth} deep")
            return known
        self._measured[name] = None
        cost = self.selection(self._fragments[name].selection_set, depth)
        self._measured[name] = cost
        return cost


def check_variables(variables: object, limits: Limits) -> None:
    """Bound the number of items in variables before they are coerced one by one. Raises ``TooExpensive``."""
    left = limits.variable_items
    stack: list[Any] = [variables]
    while stack:
        value = stack.pop()
        if isinstance(value, (list, dict)):
            left -= len(value)
            if left < 0:
                raise TooExpensive(f"The variables hold more than {limits.variable_items} values")
            stack.extend(value if isinstance(value, list) else value.values())
