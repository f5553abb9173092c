"""How values are completed: from what a field came to, for many sources at once, to what the answer holds of it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from graphql import GraphQLAbstractType, GraphQLObjectType

from graphql_compiler.bindings import Load, Reads
from graphql_compiler.inputs import Arguments
from graphql_compiler.runs import Run, Unexpected, check_lists, flat, regrouped, require, spread, unique

Complete = Callable[[Run, Sequence[Any]], Awaitable[Sequence[Any]]]
"""From the values of a field for many sources to what the answer holds of them, in the same order."""
Made = tuple[Mapping[int, Any], Sequence[Any]]
"""Objects by their identity, and the answer's maps of them in the same order."""
Make = Callable[[Run, Sequence[Any]], Awaitable[Made]]
"""From values, some of which may be the same object or null, to what is made of them."""

NO_INFO: Any = None  # a type is told by the value alone


def read_attribute(name: str, complete: Complete) -> Complete:
    """A field that is an attribute of its sources."""
    value_of = attrgetter(name)

    async def read(run: Run, sources: Sequence[Any]) -> Sequence[Any]:
        return await complete(run, [*map(value_of, sources)])

    return read


def load_batch(load: Load, arguments: Arguments, more: tuple[Reads, ...], complete: Complete) -> Complete:
    """A field that is loaded for all sources of a place at once."""

    async def fetch(run: Run, sources: Sequence[Any]) -> Sequence[Any]:
        values = await load(run.context, sources, arguments(run), *more)
        if len(values) != len(sources):
            raise Unexpected("a batch of another length")
        return await complete(run, values)

    return fetch


def complete_required(inner: Complete) -> Complete:
    """None of the values may be null."""

    async def complete(run: Run, values: Sequence[Any]) -> Sequence[Any]:
        require(values)
        return await inner(run, values)

    return complete


def complete_leaves(convert: Callable[[Any], Any]) -> Complete:
    """Each leaf by its type's serialization."""

    async def complete(_run: Run, values: Sequence[Any]) -> Sequence[Any]:
        return [convert(value) for value in values]

    return complete


def make_some(type_: GraphQLAbstractType, resolve_type: Callable[..., Any], places: Mapping[str, Complete]) -> Make:
    """Objects of the types that an interface or union stands for, each by its own type's function."""

    async def make(run: Run, values: Sequence[Any]) -> Made:
        objects = unique(values)
        kinds: dict[str, list[Any]] = {}
        for value in objects.values():
            name: Any = resolve_type(value, NO_INFO, type_)
            if name not in places:
                raise Unexpected(f"{type_.name} is none of its types")
            kinds.setdefault(name, []).append(value)
        maps: dict[int, Any] = {}
        for name, some in kinds.items():
            maps.update(zip(map(id, some), await places[name](run, some), strict=True))
        return objects, [maps[identity] for identity in objects]

    return make


def make_each(place: Complete) -> Make:
    """Objects of one type."""

    async def make(run: Run, values: Sequence[Any]) -> Made:
        objects = unique(values)
        return objects, await place(run, [*objects.values()]) if objects else []

    return make


def complete_objects(make: Make, *, required: bool) -> Complete:
    """An object for each source, null where that is not ``required``."""

    async def complete(run: Run, values: Sequence[Any]) -> Sequence[Any]:
        before, text = run.values, run.text
        objects, maps = await make(run, values)
        if len(objects) == len(values):
            return maps
        run.repeat(before, text, len(values) - len(objects))
        return spread(values, dict(zip(objects, maps, strict=True)), required=required)

    return complete


def complete_lists_of_objects(make: Make, *, required: bool) -> Complete:
    """A list of objects for each source; all the objects are made at once."""

    async def complete(run: Run, values: Sequence[Any]) -> Sequence[Any]:
        check_lists(values)
        items = flat(values)
        before, text = run.values, run.text
        objects, maps = await make(run, items)
        if len(objects) != len(items):
            run.repeat(before, text, len(items) - len(objects))
            maps = spread(items, dict(zip(objects, maps, strict=True)), required=required)
        return regrouped(values, maps)

    return complete


def complete_lists(inner: Complete) -> Complete:
    """A list of anything else for each source; all the items are completed at once."""

    async def complete(run: Run, values: Sequence[Any]) -> Sequence[Any]:
        check_lists(values)
        return regrouped(values, await inner(run, flat(values)))

    return complete


def checked_type(type_: GraphQLObjectType, place: Complete) -> Complete:
    """The place's function, for objects that are of the type: what that depends on is taken to be their class."""
    is_type_of = type_.is_type_of
    if is_type_of is None:
        return place
    known: set[type] = set()

    async def checked(run: Run, sources: Sequence[Any]) -> Sequence[Any]:
        if not known.issuperset(map(type, sources)):
            for source in sources:
                if is_type_of(source, NO_INFO) is not True:
                    raise Unexpected(f"not a {type_.name}")
                known.add(type(source))
        return await place(run, sources)

    return checked
