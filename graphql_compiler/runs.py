"""Running what was compiled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from graphql import GraphQLResolveInfo
from graphql.execution.values import VariableValues


class Unexpected(Exception):
    """A value is not what it should be."""


class GaveUp(Exception):
    """A compiled operation met something that the ordinary executor has to answer for; the cause says what."""

    def __init__(self, replay: "Replay") -> None:
        super().__init__("the operation is left to the ordinary executor")
        self.replay = replay


@dataclass(slots=True)
class Run:
    """One execution of a plan."""

    context: Any
    variables: VariableValues


class Replay:
    """What the operation's own fields came to, by response key: middleware for the ordinary executor.

    Fields that were resolved are not resolved again, so that a mutation takes effect once.
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._errors: dict[str, Exception] = {}

    def keep(self, key: str, value: Any) -> None:
        """Remember a field's value."""
        self._values[key] = value

    def keep_error(self, key: str, error: Exception) -> None:
        """Remember what a field raised."""
        self._errors[key] = error

    def resolve(
        self, resolver: Callable[..., Any], source: Any, info: GraphQLResolveInfo[Any], **arguments: Any
    ) -> Any:
        """graphql-core's middleware."""
        if info.path.prev is None:
            key = str(info.path.key)
            if key in self._errors:
                raise self._errors[key]
            if key in self._values:
                return self._values[key]
        return resolver(source, info, **arguments)


def unique(values: Sequence[Any]) -> list[Any]:
    """The objects among the values, each once: a hundred tasks may be of five projects."""
    return list({id(value): value for value in values if value is not None}.values())


def spread(values: Sequence[Any], objects: Sequence[Any], done: Sequence[Any]) -> list[Any]:
    """What was made of the objects, in the places of the values."""
    made: dict[int, Any] = {id(value): result for value, result in zip(objects, done, strict=True)}
    made[id(None)] = None
    return [made[id(value)] for value in values]


def flatten(lists: Sequence[Any]) -> list[Any]:
    """The items of all the lists."""
    return [item for items in lists if items is not None for item in items]


def regroup(lists: Sequence[Any], done: Sequence[Any]) -> list[Any]:
    """What was made of the items, in lists as they were."""
    rest = iter(done)
    return [None if items is None else list(islice(rest, len(items))) for items in lists]


def require(values: Sequence[Any]) -> None:
    """Raises ``Unexpected`` where one is null."""
    if None in values:
        raise Unexpected("null where none may be")
