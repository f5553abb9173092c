"""What is kept of a document that has been parsed and validated."""

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import DocumentNode, OperationDefinitionNode

from graphql_compiler import Plan, Variables, shaping_variables
from graphql_schema.errors import request_error
from graphql_schema.meter import Meter, Reading
from graphql_schema.outcomes import RequestError

MAX_PRICES = 200
"""How many prices of a document's operations are remembered: there are as many as sizes of pages."""
KNOWN_SIZE, TOKEN_SIZE, CHARACTER_SIZE = 3_000, 400, 5
"""About how many bytes a document takes in memory: by itself, for each of its tokens, and for each character."""
MAX_PLANS = 32
"""Of a document: its operations, for each set of values of their conditions."""


@dataclass(slots=True)
class Known:
    """A valid document, and what has been found out about each of its operations.

    Variables are an operation's own: another one of the same document may call a variable of another type the same.
    """

    document: DocumentNode
    variables: dict[str | None, Variables] = field(default_factory=dict)
    """How those of each operation are coerced."""
    _readings: dict[str | None, tuple[Reading, ...]] = field(default_factory=dict)
    """What the price of each operation depends on of its variables."""
    _affordable: set[tuple[Hashable, ...]] = field(default_factory=set)
    """Operations that have been priced, with what was read of those variables."""
    repeats: int = 0
    """How often it came again."""
    plans: "OrderedDict[tuple[Any, ...], Plan | None]" = field(default_factory=OrderedDict)
    """Its operations as they were compiled; None for one that cannot be."""
    introspected: dict[str | None, bytes] = field(default_factory=dict)
    """What was answered to those that ask for the schema alone."""
    _shaping: dict[str | None, tuple[str, ...]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes, with all that was found out about it."""
        size = KNOWN_SIZE + TOKEN_SIZE * self.document.token_count + CHARACTER_SIZE * _length(self.document)
        size += sum(KNOWN_SIZE if plan is None else plan.size for plan in self.plans.values())
        return size + sum(map(len, self.introspected.values()))

    def keep_plan(self, key: tuple[Any, ...], plan: Plan | None) -> None:
        """Remember a plan, in the place of the one that was used longest ago where there are many."""
        self.plans[key] = plan
        if len(self.plans) > MAX_PLANS:
            self.plans.popitem(last=False)

    def price(self, operation: OperationDefinitionNode, variables: Mapping[str, Any], meter: Meter) -> None:
        """Bound what an operation asks for. Raises ``TooExpensive``."""
        name = name_of(operation)
        readings = self._readings.get(name)
        if readings is not None and (name, *[each.of(variables) for each in readings]) in self._affordable:
            return
        readings = self._readings[name] = meter.check(self.document, operation, variables)
        if len(self._affordable) >= MAX_PRICES:
            self._affordable.clear()
        self._affordable.add((name, *[each.of(variables) for each in readings]))

    def shaping(self, operation: OperationDefinitionNode) -> tuple[str, ...]:
        """The variables that an operation's plans depend on; found out when its first plan is made."""
        name = name_of(operation)
        names = self._shaping.get(name)
        if names is None:
            names = self._shaping[name] = shaping_variables(self.document, operation)
        return names


class Documents:
    """Documents by their text, of so many bytes together, those that were used last."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._known: OrderedDict[str, tuple[Known, int]] = OrderedDict()
        self._bytes = 0

    @property
    def size(self) -> int:
        """About how many bytes of memory all of them take."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._known)

    def find(self, query: str) -> Known | None:
        """The document; afterwards it is the one that was used last."""
        entry = self._known.get(query)
        if entry is None:
            return None
        self._known.move_to_end(query)
        return entry[0]

    def keep(self, query: str, known: Known) -> None:
        """Remember a document, or that one has grown; others are forgotten for it. One that is too large by itself is
        forgotten, too: it is read again each time."""
        if (entry := self._known.pop(query, None)) is not None:
            self._bytes -= entry[1]
        size = known.size
        if size > self._max_bytes // 4:
            return
        self._known[query] = known, size
        self._bytes += size
        while self._bytes > self._max_bytes:
            _, (_, forgotten) = self._known.popitem(last=False)
            self._bytes -= forgotten


def _length(document: DocumentNode) -> int:
    return 0 if document.loc is None else len(document.loc.source.body)


def name_of(operation: OperationDefinitionNode) -> str | None:
    """An operation's name, if it has one."""
    return operation.name.value if operation.name else None


def choose(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    """The operation of that name, or the only one. Raises ``RequestError``."""
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if name is not None:
        operations = [node for node in operations if node.name and node.name.value == name]
    if len(operations) == 1:
        return operations[0]
    if name is not None:
        message = f"The document has {'no' if not operations else 'more than one'} operation of that name"
    else:
        message = "Give an operationName: the document has several operations" if operations else "No operation"
    raise RequestError(request_error(message, "OPERATION_RESOLUTION_FAILURE"), code="OPERATION_RESOLUTION_FAILURE")
