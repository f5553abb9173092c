"""Fields that are read for many parents at once: declared once, for the ordinary executor and for the compiled one.

The first calls a resolver for each parent, and a loader gathers what they ask for; the other hands over all parents.
"""

from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Generic, TypedDict, TypeVar

import strawberry
from strawberry import UNSET
from strawberry.types.base import StrawberryOptional

from db.driver.sessions import Session
from graphql_compiler import Load, Reads
from graphql_compiler.strawberry import batched
from graphql_schema.shared.base import FieldDeclaration
from graphql_schema.shared.conditions import filter_argument, key_of, options_of
from graphql_schema.shared.connections import After, Before, ConnectionView, First, Last, none_if_unset, page_request
from graphql_schema.shared.context import BatchLoad, Context, Info
from graphql_schema.shared.prices import Price, priced
from services.shared.actors import Actor
from services.shared.errors import NotFound
from services.shared.filters import Filter
from services.shared.pagination import Identified, Page, PageRequest
from services.shared.prices import STATEMENT, of_filter
from services.shared.totals import Total, total

T = TypeVar("T")

PAGED = Price(paged=True, call=STATEMENT, each=20, count=STATEMENT, arguments={"filter": of_filter})
"""What a connection costs whose page is read from an index for each parent."""


LoadPages = Callable[[Session, Actor, Collection[int], PageRequest], Awaitable[Mapping[int, Page[T]]]]
"""Given a session, the caller, parents' ids and a request, the page under each parent."""


class ChildPages(Generic[T]):
    """The lists that hang on parents, for which they are read in one statement: ``load`` reads pages, ``counts`` how
    many rows there are in all, which fields with the same ``count_key`` share; ``bounded`` need not go on beyond
    ``MAX_COUNTED``, where that is cheaper."""

    def __init__(
        self,
        key: Hashable,
        load: LoadPages[T],
        counts: BatchLoad[int],
        count_key: Hashable,
        bounded: BatchLoad[int] | None = None,
    ) -> None:
        self._key, self._load = key, load
        self._exactly = count_key, counts
        self._bounded = self._exactly if bounded is None else ((count_key, "bounded"), bounded)

    async def under_one(self, context: Context, parent_id: int, request: PageRequest) -> ConnectionView[T]:
        """The connection under one parent, read together with those that are asked for at the same time."""
        page = await context.pages(self._key, self._load, request, parent_id)
        return self._connection(context, parent_id, page)

    async def under_each(
        self, context: Context, parents: Sequence[Identified], request: PageRequest
    ) -> list[ConnectionView[T]]:
        """The connection under each of the parents, in their order."""
        ids = [parent.id for parent in parents]
        pages = await self._load(context.database.reads, context.actor, ids, request)
        return [self._connection(context, item, pages[item]) for item in ids]

    def _connection(self, context: Context, item: int, page: Page[T]) -> ConnectionView[T]:
        return ConnectionView(page, lambda exact: self._total(context, item, exact))

    async def _total(self, context: Context, item: int, exact: bool) -> Total:
        key, counts = self._exactly if exact else self._bounded
        return total(await context.load(key, counts, 0, item), exact=exact)


def relation_field(
    key: Hashable,
    load: BatchLoad[T],
    *,
    by: str = "id",
    default: Any = None,
    selective: str | None = None,
    description: str,
    rows: int | None = None,
) -> FieldDeclaration:
    """A field that is read with an id of its parent: of the attribute ``by``, ``default`` where that is None.

    Fields with the same ``key`` read the same thing, and share what was read. With ``selective``, the name of the
    field's type, ``load`` is told what is ``wanted`` of the things of that type, where that is known.

    A list has at most so many ``rows`` for each parent, which ``load`` sees to.

    Where there must be something and the caller may not read it (any more), the field is NOT_FOUND.
    """
    item_of = attrgetter(by)

    async def resolve(root: object, info: Info) -> T | None:
        item = item_of(root)
        value = default if item is None else await info.context.load(key, load, default, item)
        if value is None and not isinstance(field.type, StrawberryOptional):
            raise NotFound(getattr(field.type, "type_name", None) or field.type.__name__)
        return value

    async def load_batch(
        context: Context, parents: Sequence[object], _arguments: object, *reads: Reads
    ) -> Sequence[T | None]:
        load_some: Any = load
        if selective is not None:
            load_some = partial(load_some, wanted=reads[0].get(selective, ()))
        return await context.load_all(key, load_some, default, [*map(item_of, parents)])

    price = Price(rows=rows, call=STATEMENT)
    field = batched_field(resolve, load_batch, description, price, selective=selective is not None, needs=(by,))
    return field


def filtered_pages(
    key: str, load: Callable[..., Any], counts: Callable[..., Any], filter_: Filter | None
) -> ChildPages[Any]:
    """The lists of a kind that hang on several parents, or what meets a filter in each of them."""
    if filter_ is None:
        return ChildPages(key, load, counts, f"{key}.count")
    shape, options = (key, key_of(filter_)), options_of(filter_)
    return ChildPages(shape, partial(load, **options), partial(counts, **options), ("count", shape))


def connection_field(
    key: str, load: Callable[..., Any], counts: Callable[..., Any], filter_: type[Filter], *, description: str
) -> FieldDeclaration:
    """A connection that hangs on its parent's id, with what meets a filter: the same page under every parent, in one
    statement."""

    async def resolve(
        root: Identified,
        info: Info,
        filter: Any = UNSET,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> ConnectionView[Any]:
        pages = filtered_pages(key, load, counts, none_if_unset(filter))
        return await pages.under_one(info.context, root.id, page_request(first, after, last, before))

    async def load_batch(
        context: Context, parents: Sequence[Identified], arguments: "_FilteredArguments"
    ) -> Sequence[ConnectionView[Any]]:
        pages = filtered_pages(key, load, counts, arguments.get("filter"))
        return await pages.under_each(context, parents, requested(arguments))

    resolve.__annotations__["filter"] = filter_argument(filter_)
    return batched_field(resolve, load_batch, description, PAGED, needs=("id",))


class PageArguments(TypedDict, total=False):
    """What a connection is asked for; what was left out is not there."""

    first: int | None
    after: str | None
    last: int | None
    before: str | None


class _FilteredArguments(PageArguments, total=False):
    filter: Filter | None


def filtered_list_field(
    key: str, load: Callable[..., Any], filter_: type[Filter], *, description: str, rows: int
) -> FieldDeclaration:
    """A whole list that hangs on its parent's id, with what meets a filter, of at most so many ``rows``: those of all
    parents in one statement."""

    def loading(given: Filter | None) -> tuple[Hashable, BatchLoad[Any]]:
        return (key, load) if given is None else ((key, key_of(given)), partial(load, **options_of(given)))

    async def resolve(root: Identified, info: Info, filter: Any = UNSET) -> Any:
        shape, load_some = loading(none_if_unset(filter))
        return await info.context.load(shape, load_some, [], root.id)

    async def load_batch(
        context: Context, parents: Sequence[Identified], arguments: _FilteredArguments
    ) -> Sequence[Any]:
        shape, load_some = loading(arguments.get("filter"))
        return await context.load_all(shape, load_some, [], [parent.id for parent in parents])

    resolve.__annotations__["filter"] = filter_argument(filter_)
    price = Price(rows=rows, call=STATEMENT, arguments={"filter": of_filter})
    return batched_field(resolve, load_batch, description, price, needs=("id",))


def requested(arguments: PageArguments) -> PageRequest:
    """The page that a connection's arguments ask for. Raises ``BadUserInput``."""
    return page_request(arguments.get("first"), arguments.get("after"), arguments.get("last"), arguments.get("before"))


def batched_field(
    resolve: Callable[..., Awaitable[object]],
    load: Load,
    description: str,
    price: Price,
    *,
    needs: Collection[str],
    selective: bool = False,
) -> FieldDeclaration:
    """A field with a resolver for one parent, and a batch for many; both take the arguments in Python's terms."""
    # the class's own annotation is the field's type
    resolve.__annotations__.pop("return")
    return strawberry.field(
        resolver=resolve,
        description=description,
        metadata={**batched(load, selective=selective, needs=needs), **priced(price)},
    )
