"""What routes ask for: the caller, a session, preconditions, pages."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import cached_property
from typing import Annotated, Any, ParamSpec, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.addresses import prefix_of, route_path
from api.headers import headers_of
from api.media_types import IDEMPOTENCY_KEY
from api.middleware import count_request
from api.remembering import remembered
from api.state import State
from db.sessions import Session
from services.actors import ANONYMOUS, Actor
from services.authentication import Credentials
from services.errors import BadUserInput, Expected, Forbidden, TandemError, Unauthenticated
from services.idempotency import KEY_DESCRIPTION, KeyText, Repeatable, RepeatableCommand
from services.node_ids import MAX_DATABASE_ID
from services.pagination import DEFAULT_LIMIT, MAX_LIMIT, MAX_SKIP, Page, PageRequest

P = ParamSpec("P")
T = TypeVar("T")

_STRONG_TAG = re.compile(r'"([0-9]{1,10})"', re.ASCII)

PREVIOUS = "prev."
"""Marks a REST cursor that pages backwards, in the ``Link`` header's rel="prev"."""


# A dependency is a coroutine even where it waits for nothing: FastAPI calls any other one in a thread.


async def get_state(request: Request) -> State:
    state: State = request.app.state.tandem
    return state


AppState = Annotated[State, Depends(get_state)]


async def get_actor(request: Request, state: AppState) -> Actor:
    """The caller, from ``X-API-Key`` or ``Authorization: Bearer``; GraphQL's context is made from this too."""
    credentials = _credentials(headers_of(request.scope))
    try:
        actor = await state.authenticator.authenticate(credentials)
    except TandemError:
        # whoever tries credentials out is counted too
        await count_request(request.scope, state, ANONYMOUS)
        raise
    await count_request(request.scope, state, actor)
    return actor


def _credentials(headers: Mapping[bytes, bytes]) -> Credentials:
    authorization, api_key = headers.get(b"authorization"), headers.get(b"x-api-key")
    return Credentials(
        None if authorization is None else authorization.decode("latin-1"),
        None if api_key is None else api_key.decode("latin-1"),
    )


Caller = Annotated[Actor, Depends(get_actor)]


async def get_actor_if_any(request: Request, state: AppState) -> Actor:
    """The caller of an operation that needs none: a stale token must not keep a client from refreshing it."""
    try:
        return await get_actor(request, state)
    except (Unauthenticated, Forbidden):
        return ANONYMOUS


AnyCaller = Annotated[Actor, Depends(get_actor_if_any)]


async def _reading(state: AppState) -> Session:
    return state.database.reads


async def _writing(state: AppState) -> AsyncIterator[Session]:
    async with state.database.writing() as session:
        yield session


# the scope makes a write commit before its response starts
Reading = Annotated[Session, Depends(_reading)]
Writing = Annotated[Session, Depends(_writing, scope="function")]


class Once:
    """Runs a call, or answers what it answered before, where it carries an ``Idempotency-Key``."""

    def __init__(self, actor: Actor, session: Session, response: Response, key: str | None) -> None:
        self._actor, self._session, self._response = actor, session, response
        # as the draft has it, a structured string stands in quotes; most clients leave them out
        quoted = key is not None and len(key) > 2 and key[0] == key[-1] == '"'
        self._call = Repeatable(key[1:-1] if key is not None and quoted else key)

    async def __call__(self, command: RepeatableCommand[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the command answers or answered."""
        return await self.carry_out(lambda call: command.once(self._session, self._actor, call, *args, **kwargs))

    async def carry_out(self, run: Callable[[Repeatable], Awaitable[T]]) -> T:
        """What a service answers that looks at the key itself; ``Idempotency-Replayed`` marks an answer of before."""
        result = await run(self._call)
        if self._call.replayed:
            self._response.headers["Idempotency-Replayed"] = "true"
        return result


async def _once(
    actor: Caller,
    session: Writing,
    response: Response,
    key: Annotated[KeyText | None, Header(alias=IDEMPOTENCY_KEY, description=KEY_DESCRIPTION)] = None,
) -> Once:
    return Once(actor, session, response, key)


Repeat = Annotated[Once, Depends(_once)]


def _id(name: str) -> Any:
    return Path(ge=1, le=MAX_DATABASE_ID, description=f"The id of the {name}.", examples=[12])


UserPath = Annotated[int, _id("user")]
SessionPath = Annotated[int, _id("session")]
KeyPath = Annotated[int, _id("API key")]
ProjectPath = Annotated[int, _id("project")]
TagPath = Annotated[int, _id("tag")]
TaskPath = Annotated[int, _id("task")]
CommentPath = Annotated[int, _id("comment")]
RelationPath = Annotated[int, _id("relation")]
SavedViewPath = Annotated[int, _id("saved view")]


async def expected_version(
    if_match: Annotated[
        str | None,
        Header(
            alias="If-Match",
            json_schema_extra={"format": "etag"},
            description="Write only if the ETag is still this one (RFC 9110, section 13.1.1).",
        ),
    ] = None,
) -> Expected:
    """The versions that ``If-Match`` names; None without the header, or for ``*``."""
    if if_match is None or if_match.strip() == "*":
        return None
    # a weak or foreign tag matches no version (RFC 9110, section 8.8.3.2)
    matches = (_STRONG_TAG.fullmatch(tag.strip()) for tag in if_match.split(","))
    return frozenset(int(match[1]) for match in matches if match)


ExpectedVersion = Annotated[Expected, Depends(expected_version)]


Notify = Annotated[bool, Query(description="Whether the people concerned are told of the change.")]


KnownTags = Annotated[
    str | None,
    Header(alias="If-None-Match", description="Answer 304 if the ETag is still this one (RFC 9110, section 13.1.2)."),
]


def tagged(response: Response, thing: T, version: int) -> T:
    """The thing, whose version goes into the ``ETag``."""
    response.headers["ETag"] = f'"{version}"'
    return thing


def unless_known(response: Response, thing: T, version: int, known: str | None) -> T | Response:
    """The thing with its ``ETag``, or 304 where the client has that version already."""
    tag = f'"{version}"'
    if known is not None and (
        known.strip() == "*" or tag in (part.strip().removeprefix("W/") for part in known.split(","))
    ):
        return Response(status_code=304, headers={"ETag": tag})
    return tagged(response, thing, version)


class ListQuery(BaseModel):
    """The parameters that every list takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    skip: int = Field(0, ge=0, le=MAX_SKIP, description="Rows to leave out from the start. Cursors are faster.")
    limit: int = Field(DEFAULT_LIMIT, ge=0, le=MAX_LIMIT, description="Rows at most; 0 with total only counts.")
    cursor: str | None = Field(
        None,
        max_length=2000,
        json_schema_extra={"format": "cursor"},
        description="Where to go on: from a Link header, or from GraphQL.",
    )
    total: bool = Field(False, description="Count all matching rows into X-Total-Count.")

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


def add_links(request: Request, response: Response, page: Page[Any]) -> None:
    """``Link`` with first, prev and next (RFC 8288), relative, so that they hold behind any proxy."""
    scope = request.scope
    first, start = _link_starts(prefix_of(scope), route_path(scope), scope["query_string"])
    links = [first]
    if page.items and page.has_previous:
        links.append(f'{start}{PREVIOUS}{page.cursor(page.items[0])}>; rel="prev"')
    if page.items and page.has_next:
        links.append(f'{start}{page.cursor(page.items[-1])}>; rel="next"')
    response.raw_headers.append((b"link", ", ".join(links).encode("latin-1")))


async def add_total(response: Response, query: ListQuery, count: Callable[[], Awaitable[int]]) -> None:
    """``X-Total-Count`` where it is asked for."""
    if query.total:
        response.headers["X-Total-Count"] = str(await count())


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
