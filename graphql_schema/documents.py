"""What is kept of a document that has been parsed and validated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import DocumentNode, OperationDefinitionNode, Undefined

from graphql_compiler import Variables, shaping_variables
from graphql_schema.limits import Limits, check_operation

MAX_PRICES = 200
"""How many prices of a document's operations are remembered: there are as many as sizes of pages."""
_SIZES = frozenset({int, type(None), type(Undefined)})


@dataclass(slots=True)
class Known:
    """A valid document, and what has been found out about each of its operations.

    Variables are an operation's own: another one of the same document may call a variable of another type the same.
    """

    document: DocumentNode
    variables: dict[str | None, Variables] = field(default_factory=dict)
    """How those of each operation are coerced."""
    _sizes: dict[str | None, frozenset[str]] = field(default_factory=dict)
    """The variables that the price of each operation depends on."""
    _affordable: set[tuple[Any, ...]] = field(default_factory=set)
    """Operations that have been priced, with the values of those variables."""
    repeats: int = 0
    """How often it came again."""
    _shaping: dict[str | None, tuple[str, ...]] = field(default_factory=dict)

    def price(self, operation: OperationDefinitionNode, variables: Mapping[str, Any], limits: Limits) -> None:
        """Bound what an operation asks for. Raises ``TooExpensive``."""
        name = name_of(operation)
        sizes = self._sizes.get(name)
        if sizes is not None and self._price_tag(name, sizes, variables) in self._affordable:
            return
        sizes = self._sizes[name] = check_operation(self.document, operation, variables, limits)
        if (tag := self._price_tag(name, sizes, variables)) is not None:
            if len(self._affordable) >= MAX_PRICES:
                self._affordable.clear()
            self._affordable.add(tag)

    @staticmethod
    def _price_tag(name: str | None, sizes: frozenset[str], variables: Mapping[str, Any]) -> tuple[Any, ...] | None:
        values = [variables.get(size, Undefined) for size in sizes]
        return (name, *values) if all(type(value) in _SIZES for value in values) else None

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
