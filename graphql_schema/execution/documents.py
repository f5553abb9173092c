"""What is kept of a document that has been parsed and validated."""

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from graphql import DocumentNode, OperationDefinitionNode

from graphql_compiler import CompiledOperation, Variables, shaping_variables
from graphql_schema.execution.errors import request_error
from graphql_schema.execution.meter import Meter, Reading
from graphql_schema.execution.outcomes import RequestError

MAX_ACCEPTED = 200
"""How many accepted costs of a document's operations are remembered: there are as many as sizes of pages."""
DOCUMENT_SIZE, TOKEN_SIZE, CHARACTER_SIZE = 3_000, 400, 5
"""About how many bytes a document takes in memory: by itself, for each of its tokens, and for each character."""
MAX_COMPILED = 32
"""Of a document: its operations, for each set of values of their conditions."""


@dataclass(slots=True)
class CachedDocument:
    """A valid document, and what has been found out about each of its operations, by their names.

    Variables are an operation's own: another one of the same document may call a variable of another type the same.
    """

    document: DocumentNode
    variables: dict[str | None, Variables] = field(default_factory=dict)
    """How those of each operation are coerced."""
    operations: dict[str | None, OperationDefinitionNode] = field(default_factory=dict)
    """Those that were asked for, by the names that they were asked for by."""
    repeats: int = 0
    """How often it came again."""
    compiled: OrderedDict[tuple[Hashable, ...], CompiledOperation | None] = field(default_factory=OrderedDict)
    """Its operations as they were compiled; None for one that cannot be."""
    introspected: dict[str | None, bytes] = field(default_factory=dict)
    """What was answered to those that ask for the schema alone."""
    _readings: dict[str | None, tuple[Reading, ...]] = field(default_factory=dict)
    """What the cost of each operation depends on of its variables."""
    _accepted: set[tuple[Hashable, ...]] = field(default_factory=set)
    """Operations whose cost is within the limits, with what was read of those variables."""
    _shaping: dict[str | None, tuple[str, ...]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes, with all that was found out about it."""
        size = DOCUMENT_SIZE + TOKEN_SIZE * self.document.token_count + CHARACTER_SIZE * _length(self.document)
        size += sum(DOCUMENT_SIZE if each is None else each.size for each in self.compiled.values())
        return size + sum(map(len, self.introspected.values()))

    def keep_compiled(self, key: tuple[Hashable, ...], compiled: CompiledOperation | None) -> None:
        """Remember an operation, in the place of the one that was used longest ago where there are many."""
        self.compiled[key] = compiled
        if len(self.compiled) > MAX_COMPILED:
            self.compiled.popitem(last=False)

    def choose(self, name: str | None) -> OperationDefinitionNode:
        """As ``choose``."""
        found = self.operations.get(name)
        if found is None:
            found = self.operations[name] = choose(self.document, name)
        return found

    def check_cost(self, operation: OperationDefinitionNode, variables: Mapping[str, object], meter: Meter) -> None:
        """Bound what an operation asks for. Raises ``TooExpensive``."""
        name = name_of(operation)
        readings = self._readings.get(name)
        if readings is not None and (name, *[each.of(variables) for each in readings]) in self._accepted:
            return
        readings = self._readings[name] = meter.check(self.document, operation, variables)
        if len(self._accepted) >= MAX_ACCEPTED:
            self._accepted.clear()
        self._accepted.add((name, *[each.of(variables) for each in readings]))

    def shaping(self, operation: OperationDefinitionNode) -> tuple[str, ...]:
        """The variables that decide what is selected: an operation is compiled for each of their values."""
        name = name_of(operation)
        names = self._shaping.get(name)
        if names is None:
            names = self._shaping[name] = shaping_variables(self.document, operation)
        return names


class DocumentCache:
    """Documents by their text, of so many bytes together, those that were used last."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, tuple[CachedDocument, int]] = OrderedDict()
        self._bytes = 0

    @property
    def size(self) -> int:
        """About how many bytes of memory all of them take."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, query: str) -> CachedDocument | None:
        """The document; afterwards it is the one that was used last."""
        entry = self._entries.get(query)
        if entry is None:
            return None
        self._entries.move_to_end(query)
        return entry[0]

    def keep(self, query: str, cached: CachedDocument) -> bool:
        """Remember a document, or that one has grown; others are forgotten for it. Returns whether it is kept: one that
        is too large by itself is forgotten, too, and read again each time."""
        if (entry := self._entries.pop(query, None)) is not None:
            self._bytes -= entry[1]
        size = cached.size
        if size > self._max_bytes // 4:
            return False
        self._entries[query] = cached, size
        self._bytes += size
        while self._bytes > self._max_bytes:
            _, (_, forgotten) = self._entries.popitem(last=False)
            self._bytes -= forgotten
        return True


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
