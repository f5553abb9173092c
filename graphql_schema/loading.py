"""Fields that are read for many parents at once: declared once, for the ordinary executor and for the compiled one.

The first calls a resolver for each parent, and a loader gathers what they ask for; the other hands over all parents.
"""

from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import strawberry
from strawberry import UNSET
from strawberry.types.base import StrawberryOptional

from db.sessions import Session
from graphql_compiler import Batch, Load, Reads
from graphql_schema.connections import After, Before, First, Last, connect, page_request
from graphql_schema.context import BatchLoad, Context, Info
from graphql_schema.prices import Price, priced
from services.actors import Actor
from services.errors import NotFound
from services.pagination import Page, PageRequest
from services.prices import STATEMENT

PAGED = Price(paged=True, call=STATEMENT, each=20, count=STATEMENT)
"""What a connection costs whose page is read from an index for each parent."""
LoadPages = Callable[[Session, Actor, Collection[int], PageRequest], Awaitable[Mapping[int, Page[Any]]]]


def loaded(
    key: Hashable,
    load: BatchLoad[Any],
    *,
    by: str = "id",
    default: Any = None,
    selective: str | None = None,
    description: str,
    rows: int | None = None,
) -> Any:
    """A field that is read with an id of its parent: of the attribute ``by``, ``default`` where that is None.

    Fields with the same ``key`` read the same thing, and share what was read. With ``selective``, the name of the
    field's type, ``load`` is told what is ``wanted`` of the things of that type, where that is known.

    A list has at most so many ``rows`` for each parent, which ``load`` sees to.

    Where there must be something and the caller may not read it (any more), the field is NOT_FOUND.
    """
    item_of = attrgetter(by)

    async def resolve(root: Any, info: Info) -> Any:
        item = item_of(root)
        value = default if item is None else await info.context.load(key, load, default, item)
        if value is None and not isinstance(field.type, StrawberryOptional):
            raise NotFound(getattr(field.type, "type_name", None) or field.type.__name__)
        return value

    async def load_batch(
        context: Context, parents: Sequence[Any], _arguments: Mapping[str, Any], *reads: Reads
    ) -> Sequence[Any]:
        load_some: Any = load
        if selective is not None:
            load_some = partial(load_some, wanted=reads[0].get(selective, ()))
        return await context.load_all(key, load_some, default, [*map(item_of, parents)])

    price = Price(rows=rows, call=STATEMENT)
    field: Any = both_ways(resolve, load_batch, description, price, selective=selective is not None, needs=(by,))
    return field


def paged(key: str, load: LoadPages, counts: BatchLoad[int], *, description: str, price: Price = PAGED) -> Any:
    """A connection that hangs on its parent's id: the same page under every parent, in one statement."""

    def connection(context: Context, item: int, page: Page[Any]) -> Any:
        return connect(page, lambda: context.load(f"{key}.count", counts, 0, item))

    async def resolve(
        root: Any,
        info: Info,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Any:
        request = page_request(first, after, last, before)
        return connection(info.context, root.id, await info.context.pages(key, load, request, root.id))

    async def load_batch(context: Context, parents: Sequence[Any], arguments: Mapping[str, Any]) -> Sequence[Any]:
        request = requested(arguments)
        ids = [parent.id for parent in parents]
        pages = await load(context.database.reads, context.actor, ids, request)
        return [connection(context, item, pages[item]) for item in ids]

    return both_ways(resolve, load_batch, description, price, needs=("id",))


def requested(arguments: Mapping[str, Any]) -> PageRequest:
    """The page that a connection's arguments ask for. Raises ``BadUserInput``."""
    return page_request(*(arguments.get(name) for name in ("first", "after", "last", "before")))


def both_ways(
    resolve: Callable[..., Any],
    load: Load,
    description: str,
    price: Price,
    *,
    needs: Collection[str],
    selective: bool = False,
) -> Any:
    """A field with a resolver for one parent, and a batch for many; both take the arguments in Python's terms."""
    # the class's own annotation is the field's type
    resolve.__annotations__.pop("return")
    return strawberry.field(
        resolver=resolve, description=description, metadata={"batch": Batch(load, selective, needs), **priced(price)}
    )
