"""How values are completed: from what a field came to, for many sources at once, to what the answer holds of it."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from graphql import GraphQLAbstractType, GraphQLObjectType, GraphQLSchema

from graphql_compiler.arguments import Arguments
from graphql_compiler.bindings import Load, Reads
from graphql_compiler.execution import (
    Execution,
    Size,
    Unexpected,
    are_different,
    check_lists,
    flat,
    regrouped,
    require,
    spread,
    unique,
)
from graphql_compiler.private import is_awaitable

Complete = Callable[[Execution, Sequence[Any]], Awaitable[Sequence[Any]]]
"""From the values of a field for many sources to what the answer holds of them, in the same order."""
Made = tuple[Collection[int], Sequence[Any]]
"""Objects by their identity, and the answer's maps of them in the same order. Where the values are as many different
objects, these stand for themselves: nobody asks which is which."""


class Make(NamedTuple):
    """How objects are made."""

    make: Callable[[Execution, Sequence[Any]], Awaitable[Made]]
    """From values, some of which may be the same object or null, to what is made of them."""
    each: Size | None = None
    """What each object comes to without its long texts, where nothing hangs on them, so that they are all alike."""


NO_INFO: Any = None
"""Instead of an info, where an object is asked for its type: what asks more of it than the object gives up."""


class TypeInfo(NamedTuple):
    """The part of an info that the type of an object may be told by, the same for all objects of a place."""

    schema: GraphQLSchema
    field_name: str
    is_awaitable: Callable[[Any], bool] = is_awaitable


def read_attribute(name: str, complete: Complete) -> Complete:
    """A field that is an attribute of its sources."""
    value_of = attrgetter(name)

    async def read(execution: Execution, sources: Sequence[Any]) -> Sequence[Any]:
        return await complete(execution, [*map(value_of, sources)])

    return read


def load_batch(load: Load, arguments: Arguments, more: tuple[Reads, ...], complete: Complete) -> Complete:
    """A field that is loaded for all sources of a place at once."""

    async def fetch(execution: Execution, sources: Sequence[Any]) -> Sequence[Any]:
        values = await load(execution.context, sources, arguments(execution), *more)
        if len(values) != len(sources):
            raise Unexpected("a batch of another length")
        return await complete(execution, values)

    return fetch


def complete_required(inner: Complete) -> Complete:
    """None of the values may be null."""

    async def complete(execution: Execution, values: Sequence[Any]) -> Sequence[Any]:
        require(values)
        return await inner(execution, values)

    return complete


def complete_leaves(convert: Callable[[Any], Any], as_it_stands: type | None) -> Complete:
    """Each leaf by its type's serialization, if they are not all null or of the type that needs none."""
    plain = {type(None), as_it_stands}

    async def complete(_execution: Execution, values: Sequence[Any]) -> Sequence[Any]:
        return values if plain.issuperset(map(type, values)) else [convert(value) for value in values]

    return complete


def make_some(
    type_: GraphQLAbstractType, resolve_type: Callable[..., Any], info: TypeInfo, places: Mapping[str, Complete]
) -> Make:
    """Objects of the types that an interface or union stands for, each by its own type's function."""

    async def make(execution: Execution, values: Sequence[Any]) -> Made:
        objects = unique(values)
        kinds: dict[str, list[Any]] = {}
        for value in objects.values():
            name: Any = resolve_type(value, info, type_)
            if name not in places:
                raise Unexpected(f"{type_.name} is none of its types")
            kinds.setdefault(name, []).append(value)
        maps: dict[int, Any] = {}
        for name, some in kinds.items():
            maps.update(zip(map(id, some), await places[name](execution, some), strict=True))
        return objects, [maps[identity] for identity in objects]

    return Make(make)


def make_each(place: Complete, each: Size | None) -> Make:
    """Objects of one type."""

    async def make(execution: Execution, values: Sequence[Any]) -> Made:
        if are_different(values):
            return values, await place(execution, values) if values else []
        objects = unique(values)
        return objects, await place(execution, [*objects.values()]) if objects else []

    return Make(make, each)


def complete_objects(made: Make, *, required: bool) -> Complete:
    """An object for each source, null where that is not ``required``."""
    make, each = made

    async def complete(execution: Execution, values: Sequence[Any]) -> Sequence[Any]:
        before = execution.size
        objects, maps = await make(execution, values)
        if len(objects) == len(values):
            return maps
        execution.count_again(before, each, len(objects), len(values) - len(objects))
        return spread(values, dict(zip(objects, maps, strict=True)), required=required)

    return complete


def complete_lists_of_objects(made: Make, *, required: bool) -> Complete:
    """A list of objects for each source; all the objects are made at once."""
    make, each = made

    async def complete(execution: Execution, values: Sequence[Any]) -> Sequence[Any]:
        check_lists(values)
        items = flat(values)
        before = execution.size
        objects, maps = await make(execution, items)
        if len(objects) != len(items):
            execution.count_again(before, each, len(objects), len(items) - len(objects))
            maps = spread(items, dict(zip(objects, maps, strict=True)), required=required)
        return regrouped(values, maps)

    return complete


def complete_lists(inner: Complete) -> Complete:
    """A list of anything else for each source; all the items are completed at once."""

    async def complete(execution: Execution, values: Sequence[Any]) -> Sequence[Any]:
        check_lists(values)
        return regrouped(values, await inner(execution, flat(values)))

    return complete


def checked_type(type_: GraphQLObjectType, place: Complete, *, by_class: bool) -> Complete:
    """The place's function, for objects that are of the type; ``by_class``, one object answers for all of its class."""
    is_type_of = type_.is_type_of
    if is_type_of is None:
        return place
    known: set[type] = set()

    async def checked(execution: Execution, sources: Sequence[Any]) -> Sequence[Any]:
        if not known.issuperset(map(type, sources)):
            for source in sources:
                if is_type_of(source, NO_INFO) is not True:
                    raise Unexpected(f"not a {type_.name}")
                if by_class:
                    known.add(type(source))
        return await place(execution, sources)

    return checked
