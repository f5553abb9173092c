"""graphql-core's executor, field by field, in turns with everybody else, and counting what comes of it.

What is not compiled is executed so: introspection, most documents that come for the first time, and whatever holds an
error. A list of a hundred rows takes it tens of milliseconds: others have their turn between the rows, and between the
fields that had to be waited for.
"""

from collections.abc import Awaitable, Iterable, Sized
from typing import Any, TypeVar

from graphql import GraphQLLeafType
from graphql.execution import Executor

from core import turns
from graphql_compiler import size_of

T = TypeVar("T")
SHORT = 10
"""A list of so many items is completed without looking at the clock."""


class Counted:
    """How much an execution has come to."""

    __slots__ = ("text", "values")

    def __init__(self) -> None:
        self.values = self.text = 0
        """Leaves, and the characters of those that are texts."""


class OrdinaryExecutor(Executor[Any]):
    """The executor; ``counted`` is filled in while it runs."""

    def __init__(self, *args: Any, counted: Counted, **options: Any) -> None:
        super().__init__(*args, **options)
        self._counted = counted

    def complete_iterable_value(  # graphql-core's name, as the others
        self, item_type: Any, field_details_list: Any, info: Any, path: Any, items: Iterable[Any], position_context: Any
    ) -> Any:
        """Long lists an item after the other, as if they were being made at the moment."""
        if isinstance(items, Sized) and len(items) <= SHORT:
            return super().complete_iterable_value(item_type, field_details_list, info, path, items, position_context)
        some = turns.each(items)
        return self.complete_async_iterator_value(item_type, field_details_list, info, path, some, position_context)

    def complete_awaitable_value(
        self, return_type: Any, field_details_list: Any, info: Any, path: Any, result: Any, position_context: Any
    ) -> Any:
        """There may be thousands of them that are waiting for the same statement."""
        return super().complete_awaitable_value(
            return_type, field_details_list, info, path, _in_turn(result), position_context
        )

    def complete_leaf_value(self, return_type: GraphQLLeafType, result: Any) -> Any:  # type: ignore[override]  # static there
        self._counted.values += 1
        self._counted.text += size_of(result)
        return super().complete_leaf_value(return_type, result)


async def _in_turn(awaitable: Awaitable[T]) -> T:
    value = await awaitable
    if turns.due():
        await turns.give()
    return value
