"""One execution of a compiled operation: what it is given, what is counted, and how it gives up."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from graphql import GraphQLError, GraphQLResolveInfo

from graphql_compiler.private import VariableValues


class Unexpected(Exception):
    """A value is not what it should be."""


class GaveUp(Exception):
    """A compiled operation met something that the ordinary executor has to answer for; the cause says what."""

    def __init__(self, replay: "Replay") -> None:
        super().__init__("the operation is left to the ordinary executor")
        self.replay = replay


class TooLarge(Exception):
    """The answer would hold more text than it may: whoever runs the operation is told, and nobody runs it again."""


Pause = Callable[[], Awaitable[None]]
"""Called between the pieces of large work, for others to go on."""
AdaptInfo = Callable[[GraphQLResolveInfo[Any]], Any]
"""From graphql-core's info to what the resolvers of the operation's own fields are given."""


class Size(NamedTuple):
    """How large a part of an answer is."""

    values: int
    text: int
    """Characters."""


class Execution:
    """One execution of a compiled operation, and how much has come of it so far.

    ``context`` goes to batches and resolvers, ``variables`` are those that ``Variables.coerce`` returned. Where they
    are given, ``pause`` is awaited after every 4,000 values, ``max_text`` bounds the characters of the long texts, and
    ``adapt_info`` makes what resolvers get of graphql-core's info. With ``gather_errors``, what a nullable field of the
    operation raises becomes one of the ``errors``; without, the operation gives up there.
    """

    __slots__ = (
        "_least",
        "_max_text",
        "_pause",
        "_paused_at",
        "adapt_info",
        "context",
        "errors",
        "text",
        "values",
        "variables",
    )

    def __init__(
        self,
        context: Any,
        variables: VariableValues,
        *,
        pause: Pause | None = None,
        max_text: int | None = None,
        gather_errors: bool = False,
        adapt_info: AdaptInfo | None = None,
    ) -> None:
        self.context, self.variables, self.adapt_info = context, variables, adapt_info
        self.errors: list[GraphQLError] | None = [] if gather_errors else None
        """What nullable fields of the operation raised; None where such an error gives up."""
        self._pause, self._max_text = pause, max_text
        self.values = self.text = 0
        """How many values the answer holds, and how many characters it may come to."""
        self._least = 0
        """How many characters there are of long texts."""
        self._paused_at = 0

    def count_text(self, lengths: Iterable[int], times: int) -> None:
        """Count texts of these lengths, each of which the answer holds so many times. Raises ``TooLarge``."""
        length = sum(lengths) * times
        self.text += length
        self._least += length
        if self._max_text is not None and self._least > self._max_text:
            raise TooLarge

    def count_again(self, since: "Size", each: "Size | None", objects: int, times: int) -> None:
        """Some of the ``objects`` that were made since then are in the answer more than once, so many times in all.

        ``each`` is what each of them comes to without long texts, where they are all alike; else any of them may be
        the one that holds all the rest.
        """
        values, text = self.values - since.values, self.text - since.text
        if each is not None:
            self.values += each.values * times
            self.text += each.text * times
            values, text = 0, text - each.text * objects
        self.values += values * times
        self.text += text * times

    @property
    def size(self) -> Size:
        """How much there is so far."""
        return Size(self.values, self.text)

    async def pause_if_due(self, values: int = 0) -> None:
        """Pause where much has been done since the last pause, or ``values`` are about to be made."""
        if self._pause is not None and self.values + values - self._paused_at >= PIECE:
            self._paused_at = self.values
            await self._pause()


PIECE = 4_000
"""How many values are made at once: less than a millisecond of them."""


def size_of(value: Any) -> int:
    """The length of a text; anything else counts for nothing."""
    return len(value) if type(value) is str else 0


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


def are_different(values: Sequence[Any]) -> bool:
    """Whether the values are objects each of which is there once."""
    identities = set(map(id, values))
    return len(identities) == len(values) and id(None) not in identities


def unique(values: Sequence[Any]) -> dict[int, Any]:
    """The objects among the values, each once, by their identity: a hundred tasks may be of five projects."""
    objects = dict(zip(map(id, values), values, strict=True))
    objects.pop(id(None), None)
    return objects


def spread(values: Sequence[Any], made: Mapping[int, Any], *, required: bool) -> list[Any]:
    """What was made of objects, by their identity, in the places of the values.

    Raises ``Unexpected`` for a null where an object is ``required``.
    """
    if not required:
        return [*map(made.get, map(id, values))]
    try:
        return [*map(made.__getitem__, map(id, values))]
    except KeyError:
        raise Unexpected("null where none may be") from None


def check_lists(values: Sequence[Any]) -> None:
    """Raises ``Unexpected`` where one is neither a list nor null."""
    if not _LISTS.issuperset(map(type, values)) and not all(
        value is None or isinstance(value, (list, tuple)) for value in values
    ):
        raise Unexpected("not a list")


_LISTS = frozenset({list, tuple, type(None)})


def flat(lists: Sequence[Any]) -> list[Any]:
    """The items of all the lists that are not null."""
    return [*chain.from_iterable(filter(None, lists))]


def regrouped(lists: Sequence[Any], done: Iterable[Any]) -> list[list[Any] | None]:
    """What was made of the items of all the lists, in lists like these."""
    rest = iter(done)
    return [None if items is None else [*islice(rest, len(items))] for items in lists]


def require(values: Sequence[Any]) -> None:
    """Raises ``Unexpected`` where one is null."""
    if None in values:
        raise Unexpected("null where none may be")
