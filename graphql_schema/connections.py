"""Connections (the Relay Cursor Connections Specification) over the service layer's pages."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Generic, TypeVar

import strawberry
from strawberry import UNSET

from graphql_compiler import Batch
from graphql_schema.prices import Price, priced
from services.pagination import Page, PageRequest

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


async def _counts(_context: object, connections: Sequence[Any], _arguments: Mapping[str, Any]) -> Sequence[int]:
    return await asyncio.gather(*(connection.total_count for connection in connections))


@strawberry.type(description="A page of rows, with the way to the others.")
class Connection(Generic[T]):
    edges: list[Edge[T]] = strawberry.field(
        description="The rows with their cursors.", metadata=priced(Price(edges=True, row=0, node=False))
    )
    page_info: PageInfo = strawberry.field(
        description="Where the page lies.", metadata=priced(Price(row=0, node=False))
    )
    total_count: int = strawberry.field(
        description="How many rows there are in all; counted only when asked for.",
        metadata={"batch": Batch(_counts), **priced(Price(counts=True, row=0))},
    )


class EdgeView:
    """The source of an Edge: its cursor is made when it is asked for."""

    __slots__ = ("_page", "node")

    def __init__(self, page: Page[Any], node: Any) -> None:
        self._page = page
        self.node = node

    @property
    def cursor(self) -> str:
        return self._page.cursor(self.node)


class ConnectionView:
    """The source of a Connection: the count is read when it is asked for."""

    __slots__ = ("_count", "page")

    def __init__(self, page: Page[Any], count: Callable[[], Awaitable[int]]) -> None:
        self.page = page
        self._count = count

    @property
    def edges(self) -> list[EdgeView]:
        return [EdgeView(self.page, item) for item in self.page.items]

    @property
    def page_info(self) -> PageInfo:
        items = self.page.items
        return PageInfo(
            has_next_page=self.page.has_next,
            has_previous_page=self.page.has_previous,
            start_cursor=self.page.cursor(items[0]) if items else None,
            end_cursor=self.page.cursor(items[-1]) if items else None,
        )

    @property
    def total_count(self) -> Awaitable[int]:
        return self._count()


def connect(page: Page[Any], count: Callable[[], Awaitable[int]]) -> Any:
    """A page where a connection is declared."""
    return ConnectionView(page, count)


def page_request(first: int | None, after: str | None, last: int | None, before: str | None) -> PageRequest:
    """The arguments of a connection. Raises ``BadUserInput``."""
    return PageRequest(first=given(first), after=given(after), last=given(last), before=given(before))


def given(value: T | None) -> T | None:
    """An argument's value; None where it was left out."""
    return None if value is UNSET else value
