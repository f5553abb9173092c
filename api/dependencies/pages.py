"""Pages of lists: the parameters that every list takes, and what its answer says of other pages."""

import re
from collections.abc import Awaitable, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Protocol, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.types import Scope

from api.http.addresses import prefix_of, route_path
from api.http.caching import remembered
from api.http.envelopes import envelop
from services.shared.errors import BadUserInput
from services.shared.pagination import DEFAULT_LIMIT, MAX_LIMIT, MAX_SKIP, Page, PageRequest
from services.shared.totals import MAX_COUNTED, Total

T = TypeVar("T")

PREVIOUS = "prev."
"""Marks a REST cursor that pages backwards, in the ``Link`` header's rel="prev"."""


EXACT: Literal["exact"] = "exact"
_BOOLEAN = TypeAdapter(bool)


def _which_total(given: object) -> bool | Literal["exact"]:
    if given == EXACT:
        return EXACT
    try:
        return _BOOLEAN.validate_python(given)
    except ValidationError:
        # one sentence, where a union of types has one for each
        raise PydanticCustomError("total", "must be true, false or exact") from None


WhichTotal = Annotated[
    bool | Literal["exact"],
    PlainValidator(_which_total),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "string", "const": EXACT}]}),
]


class Count(Protocol):
    """Counts the rows of a list: all of them where ``exact``."""

    def __call__(self, *, exact: bool) -> Awaitable[Total]: ...


class TotalQuery(BaseModel):
    """The parameters that every list takes, whole ones too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    total: WhichTotal = Field(
        False,
        description=f"Count the matching rows into X-Total-Count: {MAX_COUNTED:,} of them at most, where "
        "X-Total-Count-Exact is then false; all of them with exact.",
    )

    envelope: bool = Field(
        False,
        description="Answer {total, skip, limit, next_cursor} with the rows under the list's name, no plain array.",
    )


class ListQuery(TotalQuery):
    """The parameters that every list takes that comes in pages."""

    skip: int = Field(0, ge=0, le=MAX_SKIP, description="Rows to leave out from the start. Cursors are faster.")
    limit: int = Field(DEFAULT_LIMIT, ge=0, le=MAX_LIMIT, description="Rows at most; 0 with total only counts.")
    cursor: str | None = Field(
        None,
        max_length=2000,
        json_schema_extra={"format": "cursor"},
        description="Where to go on: from X-Next-Cursor or a Link header, or from GraphQL.",
    )

    @cached_property
    def page(self) -> PageRequest:
        """The page asked for. Raises ``BadUserInput`` for a cursor together with ``skip``."""
        if self.cursor is None:
            return PageRequest(first=self.limit, skip=self.skip)
        if self.skip:
            raise BadUserInput.at("/skip", "skip and cursor exclude each other")
        if self.cursor.startswith(PREVIOUS):
            return PageRequest(last=self.limit, before=self.cursor[len(PREVIOUS) :], cursor_pointer="/cursor")
        return PageRequest(first=self.limit, after=self.cursor, cursor_pointer="/cursor")


async def items_of(page: Page[T], query: ListQuery, request: Request, response: Response, count: Count) -> Sequence[T]:
    """The rows of a page. Its neighbours go into ``Link``, the cursor of the next one also into ``X-Next-Cursor``, and
    where it is asked for, what ``count`` answers into ``X-Total-Count`` and ``X-Total-Count-Exact``, and all of it into
    an envelope."""
    following = page.cursor(page.items[-1]) if page.items and page.has_next else None
    response.raw_headers.append((b"link", _links(request.scope, page, following)))
    if following is not None:
        response.raw_headers.append((b"x-next-cursor", following.encode("latin-1")))
    if query.total or query.envelope:
        total = await count(exact=query.total == EXACT)
        tell_total(total, query, request, response, skip=query.skip, limit=query.limit, following=following)
    return page.items


def tell_total(
    total: Total,
    query: TotalQuery,
    request: Request,
    response: Response,
    *,
    skip: int,
    limit: int,
    following: str | None,
) -> None:
    """Puts the total of a list into its headers, and into its envelope where one is asked for, with the cursor of what
    is ``following``."""
    response.headers["X-Total-Count"] = str(total.number)
    response.headers["X-Total-Count-Exact"] = "true" if total.exact else "false"
    if query.envelope:
        about = {
            "total": total.number,
            "total_exact": total.exact,
            "skip": skip,
            "limit": limit,
            "next_cursor": following,
        }
        envelop(response, about, request)


def _links(scope: Scope, page: Page[Any], following: str | None) -> bytes:
    """first, prev and next (RFC 8288), relative, so that they hold behind any proxy."""
    first, start = _link_starts(prefix_of(scope), route_path(scope), scope["query_string"])
    links = [first]
    if page.items and page.has_previous:
        links.append(f'{start}{PREVIOUS}{page.cursor(page.items[0])}>; rel="prev"')
    if following is not None:
        links.append(f'{start}{following}>; rel="next"')
    return ", ".join(links).encode("latin-1")


@remembered
def _link_starts(prefix: str, path: str, query_string: bytes) -> tuple[str, str]:
    """The link to the first page, and how links to others begin."""
    query, path = _without_position(query_string), prefix + quote(path)
    return f'<{path}{"?" + query if query else ""}>; rel="first"', f"<{path}?{query}{'&' if query else ''}cursor="


_PLAIN_QUERY = re.compile(rb"(?!.*(?:cursor|skip)=)[A-Za-z0-9_.~&=%+:,-]*", re.DOTALL)


def _without_position(query_string: bytes) -> str:
    """The query without what says where the page begins."""
    if _PLAIN_QUERY.fullmatch(query_string):
        return query_string.decode("ascii")
    values = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    return urlencode([(name, value) for name, value in values if name not in {"cursor", "skip"}])
