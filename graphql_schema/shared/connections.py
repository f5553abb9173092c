"""Connections (the Relay Cursor Connections Specification) over the service layer's pages."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Generic, TypeVar, cast

import strawberry
from strawberry import UNSET

from graphql_compiler.strawberry import batched
from graphql_schema.shared.prices import Price, of_exactness, priced
from services.shared.pagination import MAX_LIMIT, Page, PageRequest
from services.shared.totals import MAX_COUNTED, Total

T = TypeVar("T")

First = Annotated[int | None, strawberry.argument(description="Rows from the start, or after a cursor; at most 100.")]
After = Annotated[str | None, strawberry.argument(description="A cursor: only what comes after it.")]
Last = Annotated[int | None, strawberry.argument(description="Rows from the end, or before a cursor; at most 100.")]
Before = Annotated[str | None, strawberry.argument(description="A cursor: only what comes before it.")]


@strawberry.type(description="Where a page lies among the others.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether more rows follow.")
    has_previous_page: bool = strawberry.field(description="Whether there are rows before.")
    start_cursor: str | None = strawberry.field(description="The cursor of the first row.")
    end_cursor: str | None = strawberry.field(description="The cursor of the last row.")


@strawberry.type(description="A row of a connection.")
class Edge(Generic[T]):
    cursor: str = strawberry.field(
        description="The position of the row; REST takes it as cursor, too.", metadata={"type": str}
    )
    node: T = strawberry.field(description="The row.")


async def _counts(
    _context: object, connections: Sequence["ConnectionView[object]"], arguments: Mapping[str, bool]
) -> Sequence[int]:
    totals = await asyncio.gather(*(connection.total(arguments.get("exact", False)) for connection in connections))
    return [total.number for total in totals]


async def _are_exact(
    _context: object, connections: Sequence["ConnectionView[object]"], _arguments: object
) -> Sequence[bool]:
    totals = await asyncio.gather(*(connection.total(False) for connection in connections))
    return [total.exact for total in totals]


@strawberry.type(description="A page of rows, with the way to the others.")
class Connection(Generic[T]):
    edges: list[Edge[T]] = strawberry.field(
        description="The rows with their cursors.", metadata=priced(Price(edges=True, row=0, node=False))
    )
    nodes: list[T] = strawberry.field(
        description="The rows without their cursors; they cost as those of edges do, beside them once more.",
        metadata=priced(Price(edges=True)),
    )
    page_info: PageInfo = strawberry.field(
        description="Where the page lies.", metadata=priced(Price(row=0, node=False))
    )

    @strawberry.field(
        description=f"How many rows there are in all, counted when it is selected: {MAX_COUNTED:,} of them at most, "
        "unless exact is asked for.",
        metadata={**batched(_counts), **priced(Price(counts=True, row=0, arguments={"exact": of_exactness}))},
    )
    async def total_count(
        self, exact: Annotated[bool, strawberry.argument(description="Count all rows, however many there are.")] = False
    ) -> int:
        return (await _view(self).total(exact)).number

    @strawberry.field(
        description="Whether totalCount says how many rows there are in all. Where it does not, there are more; "
        "totalCount(exact: true) always does.",
        metadata={**batched(_are_exact), **priced(Price(counts=True, row=0))},
    )
    async def total_count_exact(self) -> bool:
        return (await _view(self).total(False)).exact


def _view(source: object) -> "ConnectionView[object]":
    """What stands where a connection is declared."""
    return cast("ConnectionView[object]", source)


class EdgeView(Generic[T]):
    """The source of an Edge: its cursor is made when it is asked for."""

    __slots__ = ("_page", "node")

    def __init__(self, page: Page[T], node: T) -> None:
        self._page = page
        self.node = node

    @property
    def cursor(self) -> str:
        return self._page.cursor(self.node)


class ConnectionView(Generic[T]):
    """The source of a Connection: the rows are counted when that is asked for, once."""

    __slots__ = ("_count", "_totals", "page")

    def __init__(self, page: Page[T], count: Callable[[bool], Awaitable[Total]]) -> None:
        self.page = page
        self._count = count
        self._totals: dict[bool, asyncio.Future[Total]] = {}

    @property
    def edges(self) -> list[EdgeView[T]]:
        return [EdgeView(self.page, item) for item in self.page.items]

    @property
    def nodes(self) -> Sequence[T]:
        return self.page.items

    @property
    def page_info(self) -> PageInfo:
        items = self.page.items
        return PageInfo(
            has_next_page=self.page.has_next,
            has_previous_page=self.page.has_previous,
            start_cursor=self.page.cursor(items[0]) if items else None,
            end_cursor=self.page.cursor(items[-1]) if items else None,
        )

    def total(self, exact: bool) -> Awaitable[Total]:
        """How many rows there are; all of them are counted where ``exact``."""
        found = self._totals.get(exact)
        if found is None:
            found = self._totals[exact] = asyncio.ensure_future(self._count(exact))
        return found


def connect(page: Page[T], count: Callable[[bool], Awaitable[Total]]) -> Any:
    """A page where a connection is declared."""
    return ConnectionView(page, count)


def page_request(first: int | None, after: str | None, last: int | None, before: str | None) -> PageRequest:
    """The arguments of a connection. Raises ``BadUserInput``."""
    if after is UNSET and before is UNSET and last is UNSET:
        return first_page(none_if_unset(first))
    return PageRequest(
        first=none_if_unset(first), after=none_if_unset(after), last=none_if_unset(last), before=none_if_unset(before)
    )


@lru_cache(maxsize=MAX_LIMIT + 1)  # of a size that is refused, nothing is kept
def first_page(size: int | None) -> PageRequest:
    """The first rows of a connection. Raises ``BadUserInput``."""
    return PageRequest(first=size)


def none_if_unset(value: T | None) -> T | None:
    """An argument's value; None where it was left out."""
    return None if value is UNSET else value
