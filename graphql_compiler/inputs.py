"""Inputs that come again: clients ask with the same filter, page after page."""

from collections import OrderedDict
from typing import Any

from graphql import GraphQLInputType, Undefined
from graphql.utilities import coerce_input_value

from graphql_compiler.private import input_is_nested_too_deeply

LONGEST = 500
"""Characters of an input, as Python shows it, that is kept."""


class KeptInput(dict[str, Any]):
    """An input object as it was coerced, the same one for all that were sent alike: it is not to be changed."""

    __slots__ = ("made",)

    def __init__(self, value: dict[str, Any]) -> None:
        super().__init__(value)
        self.made: Any = None
        """What a resolver's caller made of it, if it is to be made once."""


class Inputs:
    """Coerces input objects, and keeps the last ``most`` of them that are short."""

    def __init__(self, most: int = 200) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[GraphQLInputType, str], KeptInput] = OrderedDict()

    def coerced(self, value: Any, type_: GraphQLInputType) -> Any:
        """The value, ``Undefined`` for one that does not hold."""
        if type(value) is not dict:
            return coerced(value, type_)
        if _left_of(LONGEST, value) < 0:
            return coerced(value, type_)
        key = type_, repr(value)
        kept = self._kept.get(key)
        if kept is None:
            found = coerced(value, type_)
            if type(found) is not dict:
                return found
            kept = self._kept[key] = KeptInput(found)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return kept


def _left_of(most: int, value: Any) -> int:
    """How many characters are left of so many beside a value, at most as Python shows it; negative where it takes more,
    of which no more is looked at."""
    kind = type(value)
    if kind is str:
        return most - len(value) - 2
    if most < 0:
        return most
    if kind is dict:
        for name, item in value.items():
            most = _left_of(most - len(name) - 6, item)
            if most < 0:
                break
    elif kind is list:
        for item in value:
            most = _left_of(most - 2, item)
            if most < 0:
                break
    return most - 2


def coerced(value: Any, type_: GraphQLInputType) -> Any:
    """The value, as graphql-core coerces it; ``Undefined`` for one that does not hold."""
    return Undefined if input_is_nested_too_deeply(value, type_) else coerce_input_value(value, type_)
