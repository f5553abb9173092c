"""What is kept of a document that has been parsed and validated."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import DocumentNode, OperationDefinitionNode

from graphql_compiler import Variables, shaping_variables
from graphql_schema.meter import Meter, Reading

MAX_PRICES = 200
"""How many prices of a document's operations are remembered: there are as many as sizes of pages."""


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
    _shaping: dict[str | None, tuple[str, ...]] = field(default_factory=dict)

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


def name_of(operation: OperationDefinitionNode) -> str | None:
    """An operation's name, if it has one."""
    return operation.name.value if operation.name else None
