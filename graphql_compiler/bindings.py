"""What an application says of its fields."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLField, GraphQLObjectType

Load = Callable[..., Awaitable[Sequence[Any]]]
"""Given the operation's context, the sources and the field's arguments, a value for each source, in their order."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """The value is an attribute of the source.

    ``python_type`` is the type that it always has (or None where ``nullable``), as far as that is known: a leaf of a
    type that needs no conversion (see ``Scalars``) is then taken as it stands. ``derived`` promises that the attribute
    is computed and never None. ``long`` says that it may hold a text of any length, which counts for the answer's size.
    """

    name: str
    python_type: type | None = None
    derived: bool = False
    long: bool = False

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"{self.name!r} is no name of an attribute")


Reads = Mapping[str, Collection[str]]
"""The attributes that an operation reads of the objects of each type, by the types' names."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The values for many sources are found together.

    Where it is ``selective``, ``load`` is given one thing more, the operation's ``Reads``, so that it need not load
    what nobody asked for. ``needs`` are the attributes of the sources that ``load`` itself reads.
    """

    load: Load
    selective: bool = False
    needs: Collection[str] = ()


Binding = Attribute | Batch
BindingOf = Callable[[GraphQLObjectType, str, GraphQLField], Binding | None]

Scalars = Mapping[str, type]
"""The Python types whose values the encoder writes as the scalar's own serialization would, by scalars' names."""
