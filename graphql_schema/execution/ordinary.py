"""graphql-core's executor, field by field, in turns with everybody else, and counting what comes of it.

What is not compiled is executed so: introspection, most documents that come for the first time, and whatever holds an
error. A list of a hundred rows takes it tens of milliseconds: others have their turn between the rows, and between the
fields that had to be waited for.

graphql-core ends what goes on beside a field that failed. What has not begun by then never does, and Python warns of
each such coroutine: they are known here, and closed (``Counted.close``).
"""

from collections.abc import Awaitable, Coroutine, Iterable, Sized
from inspect import CORO_CLOSED, CORO_CREATED, getcoroutinestate
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

from graphql import GraphQLLeafType, GraphQLOutputType, GraphQLResolveInfo
from graphql.execution import Executor
from graphql.pyutils import AwaitableOrValue, Path, is_awaitable

from core import turns
from graphql_compiler import size_of

if TYPE_CHECKING:
    from graphql.execution.collect_fields import FieldDetailsList

T = TypeVar("T")
SHORT = 10
"""A list of so many items is completed without looking at the clock."""
MANY = 1_000
"""So many coroutines are known before those that have ended are forgotten."""


class Counted:
    """How much an execution has come to, and the coroutines that it is made of."""

    __slots__ = ("_coroutines", "_many", "text", "values")

    def __init__(self) -> None:
        self.values = self.text = 0
        """Leaves, and the characters of those that are texts."""
        self._coroutines: list[Coroutine[object, object, object]] = []
        self._many = MANY

    def note(self, coroutine: Coroutine[object, object, object]) -> None:
        """Know a coroutine that may never begin."""
        self._coroutines.append(coroutine)
        if len(self._coroutines) > self._many:
            self._coroutines = [each for each in self._coroutines if getcoroutinestate(each) != CORO_CLOSED]
            self._many = max(MANY, 2 * len(self._coroutines))

    def is_awaitable(self, value: object) -> TypeGuard[Awaitable[object]]:
        """For graphql-core, which asks of all that is resolved and all that it makes itself, but lists' items."""
        if isinstance(value, CoroutineType):
            self.note(value)
            return True
        return is_awaitable(value)

    def close(self) -> None:
        """Close what has not begun, when the execution has ended."""
        for each in self._coroutines:
            if getcoroutinestate(each) == CORO_CREATED:
                each.close()
        self._coroutines.clear()


class OrdinaryExecutor(Executor[object]):
    """The executor; ``counted`` is filled in while it runs."""

    def __init__(self, *args: Any, counted: Counted, **options: Any) -> None:
        super().__init__(*args, **options)
        self._counted = counted

    def complete_iterable_value(  # graphql-core's name, as the others
        self,
        item_type: GraphQLOutputType,
        field_details_list: "FieldDetailsList",
        info: GraphQLResolveInfo[Any],
        path: Path,
        items: Iterable[object],
        position_context: object,
    ) -> AwaitableOrValue[list[object]]:
        """Completes long lists as asynchronous ones, so that others have their turn between the items."""
        if isinstance(items, Sized) and len(items) <= SHORT:
            return super().complete_iterable_value(item_type, field_details_list, info, path, items, position_context)
        some = turns.each(items)
        return self.complete_async_iterator_value(item_type, field_details_list, info, path, some, position_context)

    def complete_awaitable_value(
        self,
        return_type: GraphQLOutputType,
        field_details_list: "FieldDetailsList",
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Awaitable[object],
        position_context: object,
    ) -> Coroutine[object, object, object]:
        """Lets others have their turn after a value that was awaited: thousands may wait for the same statement."""
        waiting = _in_turn(result)
        self._counted.note(waiting)
        return super().complete_awaitable_value(return_type, field_details_list, info, path, waiting, position_context)

    def complete_list_item_value(self, item: object, complete_results: list[Any], *details: Any) -> bool:
        awaitable = super().complete_list_item_value(item, complete_results, *details)
        if awaitable:
            self._counted.note(complete_results[-1])
        return awaitable

    def complete_awaitable_list_item_value(
        self, item: Awaitable[object], *details: Any
    ) -> Coroutine[object, object, object]:
        waiting = super().complete_awaitable_list_item_value(item, *details)
        self._counted.note(waiting)
        return waiting

    def complete_leaf_value(self, return_type: GraphQLLeafType, result: object) -> object:  # type: ignore[override]  # static there
        self._counted.values += 1
        self._counted.text += size_of(result)
        return super().complete_leaf_value(return_type, result)


async def _in_turn(awaitable: Awaitable[T]) -> T:
    value = await awaitable
    if turns.due():
        await turns.give()
    return value
