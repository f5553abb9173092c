"""What an operation asks for, measured by its types before it is validated or executed (``prices``).

A document whose length, its fragments spread out, is bounded (``limits``) is followed as the executors do: a field that
is selected in several places is read once. Whatever is unknown to the schema costs nothing: validation names it.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    Undefined,
    ValueNode,
    VariableNode,
)

from graphql_schema.execution.limits import Fragments, Limits, TooManyPoints, bound, check_written
from graphql_schema.shared.prices import Entry, Price, Tariff, tariff
from services.shared import prices
from services.shared.pagination import DEFAULT_LIMIT, MAX_LIMIT

_VALUES_A_POINT = 4
"""Values of an answer are written so many in the time of a point."""
_WORDS = {
    "nodes": "{} requested nodes",
    "results": "{} requested nodes in the results of bulk calls",
    "values": "{} requested values",
    "result_values": "{} requested values in the results of bulk calls",
    "introspection": "{} requested values of the schema",
}

Read = Callable[[object], int | None]
"""What a price depends on of an argument's value."""


class Reading(NamedTuple):
    """What an operation's price depends on of a variable: what is read of it, where it stands in an argument."""

    variable: str
    read: Read
    path: tuple[str | None, ...] = ()
    """The names of the members around it; None for a list."""

    def of(self, variables: Mapping[str, object]) -> Hashable:
        """What is read of these variables; the same for two of them, the price is the same."""
        value: object = variables.get(self.variable, Undefined)
        if value is Undefined:
            return Undefined
        for name in reversed(self.path):
            value = [value] if name is None else {name: value}
        return self.read(value)


@dataclass(slots=True)
class Cost:
    """What a selection may answer, and what that costs."""

    nodes: int = 0
    results: int = 0
    values: int = 0
    result_values: int = 0
    introspection: int = 0
    calls: int = 0
    """Points that are the same under however many parents."""
    rows: int = 0
    """Points for each parent."""

    def add(self, other: "Cost") -> None:
        self.nodes += other.nodes
        self.results += other.results
        self.values += other.values
        self.result_values += other.result_values
        self.introspection += other.introspection
        self.calls += other.calls
        self.rows += other.rows

    @property
    def points(self) -> int:
        """What it comes to. What a bulk call answers of its tasks is in its price, as on REST, and has a bound of
        its own: else REST would change what GraphQL calls too expensive."""
        return self.calls + self.rows + self.values // _VALUES_A_POINT


class _Scope(NamedTuple):
    """What the fields of a selection depend on beside their type."""

    rows: int = 1
    """Of a connection: as many as its page has; of a bulk call, as many as it has tasks."""
    counting: int = 0
    """What counting the rows of the connection costs."""
    exact: int = 0
    """What it costs besides to count all of them."""
    without: frozenset[str] = frozenset()
    """The fields that are null here."""
    usual: bool = False
    """Whether the schema's own lists are those of all types together, and as long as they are as a rule."""


_ANYWHERE, _ALL_TYPES = _Scope(), _Scope(usual=True)


class Meter:
    """Measures the operations of one schema."""

    def __init__(self, schema: GraphQLSchema, limits: Limits) -> None:
        self.tariff: Tariff = tariff(schema)
        self.limits = limits
        roots = (
            (OperationType.QUERY, schema.query_type),
            (OperationType.MUTATION, schema.mutation_type),
            (OperationType.SUBSCRIPTION, schema.subscription_type),
        )
        self._roots = {operation: type_.name for operation, type_ in roots if type_ is not None}

    def check(
        self, document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, object]
    ) -> tuple[Reading, ...]:
        """Bound what an operation asks for. Raises ``TooExpensive``.

        Returns what it depends on of the variables: where that is the same, once is enough.
        """
        fragments = _fragments(document)
        check_written(document, operation, fragments, self.limits)
        cost, readings = self.measure(fragments, operation, variables)
        for name, words in _WORDS.items():
            bound(getattr(cost, name), getattr(self.limits, name), f"The operation comes to {words}")
        if cost.points > self.limits.points:
            raise TooManyPoints(prices.sentence(cost.points))
        return readings

    def check_written(self, document: DocumentNode, operation: OperationDefinitionNode) -> None:
        """Bound what the document is written with. Raises ``TooExpensive``."""
        check_written(document, operation, _fragments(document), self.limits)

    def cost_of(
        self, document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, object]
    ) -> Cost:
        """What an operation comes to, whose length has been checked."""
        return self.measure(_fragments(document), operation, variables)[0]

    def measure(
        self, fragments: Fragments, operation: OperationDefinitionNode, variables: Mapping[str, object]
    ) -> tuple[Cost, tuple[Reading, ...]]:
        """What an operation comes to, whose length has been checked, and what that depends on of the variables."""
        worth = _Worth(self.tariff, fragments, operation, variables)
        root = self._roots.get(operation.operation, "")
        return worth.of([operation.selection_set], root, _ANYWHERE), tuple(worth.readings)


class _Group:
    """What is selected of one field, in however many places: the executors read it once."""

    __slots__ = ("entry", "node", "selections")

    def __init__(self, node: FieldNode, entry: Entry | None) -> None:
        self.node, self.entry = node, entry
        self.selections: list[SelectionSetNode] = []


class _Worth:
    """Measures what an operation asks for, whose length spread out is bounded."""

    def __init__(
        self, known: Tariff, fragments: Fragments, operation: OperationDefinitionNode, variables: Mapping[str, object]
    ) -> None:
        self._tariff, self._fragments, self._variables = known, fragments, variables
        self._defaults = {
            definition.variable.name.value: definition.default_value
            for definition in operation.variable_definitions or ()
            if definition.default_value is not None
        }
        self.readings: dict[Reading, None] = {}
        self._whole: dict[tuple[str, Read], int | None] = {}
        """What was read of variables that are all of an argument: one may be given to hundreds of fields."""

    def of(self, selections: list[SelectionSetNode], type_name: str, scope: _Scope) -> Cost:
        groups: dict[tuple[str, str], _Group] = {}
        spread: set[str] = set()
        for selection in selections:
            self._collect(selection, type_name, groups, spread)
        total = Cost()
        for group in groups.values():
            total.add(self._field(group, scope))
        return total

    def _collect(
        self, node: SelectionSetNode, type_name: str, groups: dict[tuple[str, str], _Group], spread: set[str]
    ) -> None:
        for item in node.selections:
            if isinstance(item, FieldNode):
                name = item.name.value
                key = type_name, item.alias.value if item.alias else name
                group = groups.get(key)
                if group is None:
                    group = groups[key] = _Group(item, self._tariff.get(type_name, _NO_FIELDS).get(name))
                if item.selection_set:
                    group.selections.append(item.selection_set)
            elif isinstance(item, InlineFragmentNode):
                inner = item.type_condition.name.value if item.type_condition else type_name
                self._collect(item.selection_set, inner, groups, spread)
            elif isinstance(item, FragmentSpreadNode) and item.name.value not in spread:
                spread.add(item.name.value)
                if (fragment := self._fragments.get(item.name.value)) is not None:
                    self._collect(fragment.selection_set, fragment.type_condition.name.value, groups, spread)

    def _field(self, group: _Group, scope: _Scope) -> Cost:
        node, entry = group.node, group.entry
        price = entry.price if entry else _NOTHING
        name = node.name.value
        calls = price.call
        asked = self._asked(node, price) if price.arguments else 0
        if price.counts:
            calls, asked = calls + scope.counting, asked * scope.exact
        rows = 0 if name in scope.without else self._rows(node, price, entry, scope)
        if not group.selections:
            # a list of leaves has as many values as rows
            return Cost(values=rows, calls=calls + asked, rows=price.each + max(0, rows - 1))
        inside = _ANYWHERE
        if price.paged:
            rows, inside = 1, _Scope(rows, price.count + asked, price.exact)
        elif price.sized_by is not None and price.rows is None:
            rows, inside = 1, _Scope(rows)
        elif price.without:
            inside = _Scope(without=price.without)
        elif name == "types" or (scope.usual and name in _OF_ALL_TYPES):
            inside = _ALL_TYPES
        inner = self.of(group.selections, entry.type_name if entry else "", inside)
        cost = Cost(
            nodes=rows * (inner.nodes + (price.node and not price.paged)),
            results=rows * inner.results,
            values=rows * (inner.values + 1),
            result_values=rows * inner.result_values,
            calls=calls + asked + inner.calls,
            rows=price.each + rows * (price.row + inner.rows),
        )
        if price.bulk:
            # as many as the call has tasks, which it has to write besides
            cost.results, cost.nodes = cost.nodes, 0
            cost.result_values, cost.values = cost.values, 0
        elif name in _META:
            # read from memory: cheap, and much at a time
            cost.introspection, cost.values = cost.values, 1
        return cost

    def _asked(self, node: FieldNode, price: Price) -> int:
        """What the arguments cost."""
        points = 0
        for argument in node.arguments or ():
            if (read := price.arguments.get(argument.name.value)) is not None:
                points += self._read(argument.value, read) or 0
        return points

    def _rows(self, node: FieldNode, price: Price, entry: Entry | None, scope: _Scope) -> int:
        """How many rows there may be."""
        if price.paged:
            return self._page(node)
        if price.edges:
            return scope.rows
        if price.bulk:
            return min(scope.rows, price.rows or 0)
        if price.sized_by is not None:
            sized_by, count = price.sized_by
            for argument in node.arguments or ():
                if argument.name.value == sized_by:
                    return self._read(argument.value, count) or 0
            return 0
        if price.rows is None or entry is None:
            return 1
        return entry.usual if scope.usual else price.rows

    def _page(self, node: FieldNode) -> int:
        sizes = [
            size
            for argument in node.arguments or ()
            if argument.name.value in _SIZES and (size := self._read(argument.value, page_size)) is not None
        ]
        return max(sizes, default=DEFAULT_LIMIT)

    def _read(self, node: ValueNode, read: Read) -> int | None:
        if not isinstance(node, VariableNode):
            return read(self._plain(node, read, ()))
        key = node.name.value, read
        if key not in self._whole:
            self._whole[key] = read(self._plain(node, read, ()))
        return self._whole[key]

    def _plain(self, node: ValueNode | None, read: Read, path: tuple[str | None, ...]) -> object:
        """What a value would be in JSON, with the variables in it; what is read of these is noted."""
        if isinstance(node, VariableNode):
            name = node.name.value
            self.readings[Reading(name, read, path)] = None
            if name in self._variables:
                return self._variables[name]
            return self._plain(self._defaults.get(name), read, path)
        if isinstance(node, ObjectValueNode):
            return {item.name.value: self._plain(item.value, read, (*path, item.name.value)) for item in node.fields}
        if isinstance(node, ListValueNode):
            return [self._plain(item, read, (*path, None)) for item in node.values]
        if isinstance(node, IntValueNode):
            return int(node.value[:10])
        return getattr(node, "value", None)


def _fragments(document: DocumentNode) -> Fragments:
    return {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}


_NO_FIELDS: Mapping[str, Entry] = {}
_NOTHING = Price(row=0)
_SIZES = frozenset({"first", "last"})
_META = frozenset({"__schema", "__type"})
_OF_ALL_TYPES = frozenset({"fields", "inputFields", "args", "enumValues"})
"""Whose own lists are those of all types together, too."""


def page_size(value: object) -> int | None:
    """How many rows ``first`` or ``last`` ask for; None where that is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(max(0, min(value, MAX_LIMIT)))
