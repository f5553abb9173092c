"""Lists other than tasks': what a route says of one, and how it is answered."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Generic, Literal, TypeVar

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, ValidationError, create_model

from api.dependencies.auth import CurrentActor
from api.dependencies.conditional_lists import if_none_match_of, unmodified
from api.dependencies.pages import EXACT, ListQuery, TotalQuery, items_of, tell_total
from api.dependencies.preconditions import IfNoneMatch
from api.dependencies.sessions import ReadSession
from api.http.sparse_fieldsets import DESCRIPTION, field_names, sparse_list
from db.driver.sessions import Session
from services.shared import prices
from services.shared.actors import Actor
from services.shared.errors import BadUserInput, from_validation
from services.shared.expansions import Along, expand
from services.shared.external_ids import ExternalText
from services.shared.filters import Filter
from services.shared.pagination import Page
from services.shared.totals import Total

F = TypeVar("F", bound=Filter)

ACCEPT_QUERY = (b"accept-query", b"application/json")
"""What QUERY takes at the address of a list (RFC 10008, section 3)."""
_NONE: Any = ()


class Shorthands(BaseModel):
    """Flat parameters of a list, which stand for conditions of its filter."""

    def conditions(self) -> Iterable[dict[str, Any]]:
        """The conditions, as the filter language has them."""
        return ()


class ExternalShorthands(Shorthands):
    """Those of things that other systems have ids for."""

    external_source: ExternalText | None = Field(None, description="Only those whose external id is of this system.")
    external_id: ExternalText | None = Field(None, description="Only those that are called so there.")

    def conditions(self) -> Iterable[dict[str, Any]]:
        for name in ("external_source", "external_id"):
            if (value := getattr(self, name)) is not None:
                yield {name: {"eq": value}}


class ListShape(Generic[F]):
    """What a list is of, and what it takes.

    ``row`` is what each row is answered as, ``thing`` what it is called; ``filter`` the model of its filter;
    ``relations`` what can be read along, by the members of ``row`` that are not required; ``shorthands`` its flat
    parameters. ``told`` says that whatever changes it leaves an event that its readers are told of. One that is no
    ``paged`` list is answered as a whole.
    """

    def __init__(
        self,
        row: type[BaseModel],
        thing: str,
        *,
        filter: type[F] | None = None,
        relations: Mapping[str, Along] | None = None,
        shorthands: type[Shorthands] = Shorthands,
        told: bool = True,
        paged: bool = True,
    ) -> None:
        self.row, self.filter, self.relations, self.told = row, filter, relations or {}, told
        fields: dict[str, Any] = {
            "fields": (
                field_names(row, thing),
                Field(_NONE, description=DESCRIPTION, examples=[["id,node_id"]]),
            )
        }
        if filter is not None:
            words = "A condition in the filter language, as JSON: the same object as GraphQL's filter."
            fields["filter"] = (str | None, Field(None, description=words))
        if self.relations:
            names: Any = Literal[tuple(self.relations)]
            fields["expand"] = (
                list[names],
                Field(_NONE, description="Relations to read along; may repeat."),
            )
        base = ListQuery if paged else TotalQuery
        self._query = create_model(f"{row.__name__}Query", __base__=(shorthands, base), **fields)
        self.listing = self._dependency(conditional=True)
        """The dependency of a route that answers the list to GET."""
        self.querying = self._dependency(conditional=False)
        """That of routes whose body is the filter."""

    def _dependency(self, *, conditional: bool) -> Callable[..., Awaitable["ListCall[F]"]]:
        async def of_get(
            actor: CurrentActor,
            session: ReadSession,
            query: Any,
            request: Request,
            response: Response,
            if_none_match: IfNoneMatch = None,
        ) -> ListCall[F]:
            return ListCall(self, actor, session, query, request, response, if_none_match)

        async def of_query(
            actor: CurrentActor, session: ReadSession, query: Any, request: Request, response: Response
        ) -> ListCall[F]:
            return ListCall(self, actor, session, query, request, response, if_none_match_of(request))

        chosen: Callable[..., Awaitable[ListCall[F]]] = of_get if conditional else of_query
        chosen.__annotations__["query"] = Annotated[self._query, Query()]
        return chosen


class ListCall(Generic[F]):
    """Answers a list: the rows that were asked for, and of its neighbours and its total what ``items_of`` says."""

    def __init__(
        self,
        shape: ListShape[F],
        actor: Actor,
        session: Session,
        query: Any,
        request: Request,
        response: Response,
        if_none_match: str | None,
    ) -> None:
        self._shape, self._actor, self._session, self._query = shape, actor, session, query
        self._request, self._response, self._if_none_match = request, response, if_none_match
        self._body: F | None = None

    def by(self, body: F) -> "ListCall[F]":
        """The same, with a filter that came as a body. Raises ``BadUserInput`` where there is one besides."""
        if self._query.filter is not None:
            raise BadUserInput.at("/filter", "the filter is the body here", "extra_forbidden")
        self._body = body
        return self

    async def __call__(
        self,
        list_: Callable[..., Awaitable[Page[Any]]],
        count: Callable[..., Awaitable[Total]],
        *ids: int,
    ) -> Sequence[Any] | Response:
        """A page of what a service lists, where it hangs on something below the ``ids`` of that; 304 where the client
        has it."""
        filter_, query = self._filter(), self._query
        self._demand(filter_, rows=query.limit)
        if (known := await self._unmodified()) is not None:
            return known
        options = {} if filter_ is None else {"filter": filter_}
        page = await list_(self._session, self._actor, *ids, query.page, **options)
        counted = partial(count, self._session, self._actor, *ids, **options)
        return await self._answer(await items_of(page, query, self._request, self._response, counted))

    async def whole(
        self, list_: Callable[..., Awaitable[Sequence[Any]]], *ids: int, most: int
    ) -> Sequence[Any] | Response:
        """All that a service lists, which is ``most`` rows at most."""
        filter_, query = self._filter(), self._query
        self._demand(filter_, rows=0)
        if (known := await self._unmodified()) is not None:
            return known
        rows = await list_(self._session, self._actor, *ids, **({} if filter_ is None else {"filter": filter_}))
        if query.total or query.envelope:
            total = Total(len(rows), exact=True)
            tell_total(total, query, self._request, self._response, skip=0, limit=most, following=None)
        return await self._answer(rows)

    async def _unmodified(self) -> Response | None:
        if self._shape.filter is not None:
            self._response.raw_headers.append(ACCEPT_QUERY)
        body = "" if self._body is None else self._body.model_dump_json(by_alias=True, exclude_unset=True)
        return await unmodified(
            self._session,
            self._actor,
            self._request,
            self._response,
            self._if_none_match,
            body=body,
            told=self._shape.told,
        )

    async def _answer(self, items: Sequence[Any]) -> Sequence[Any] | Response:
        names = getattr(self._query, "expand", ())
        rows = await expand(self._session, self._actor, items, names, self._shape.relations)
        if not self._query.fields:
            return rows
        return await sparse_list(rows, self._shape.row, self._query.fields, names, self._response, self._request)

    def _demand(self, filter_: F | None, *, rows: int) -> None:
        if filter_ is None:
            return
        filtering = prices.of_filter(filter_)
        points = prices.LIST + rows * prices.ROW * (1 + len(getattr(self._query, "expand", ()))) + filtering
        if self._query.total or self._query.envelope:
            points += filtering + (prices.EXACT_COUNT if self._query.total == EXACT else prices.COUNT)
        prices.demand(points)

    def _filter(self) -> F | None:
        model = self._shape.filter
        if model is None:
            return None
        conditions: list[Any] = [*self._query.conditions()]
        if self._query.filter is not None:
            conditions.append(_parsed(self._query.filter, model))
        if self._body is not None:
            conditions.append(self._body)
        if not conditions:
            return None
        if len(conditions) == 1 and isinstance(conditions[0], model):
            return conditions[0]
        return _valid({"and": conditions}, model)


def _parsed(text: str, model: type[F]) -> F:
    try:
        return _valid(orjson.loads(text), model)
    except orjson.JSONDecodeError:
        raise BadUserInput.at("/filter", "is not valid JSON", "filter") from None


def _valid(given: Any, model: type[F]) -> F:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise from_validation(error, prefix="/filter", model=model) from None


def add_query(router: APIRouter, path: str, endpoint: Callable[..., Awaitable[Any]], row: Any, **options: Any) -> None:
    """The routes of a list whose filter is the body: QUERY (RFC 10008) at its own address, which OpenAPI 3.1 cannot
    show, and POST below it. ``row`` is the response model."""
    for below, method, shown in (("", "QUERY", False), ("/query", "POST", True)):
        router.add_api_route(
            f"{path}{below}", endpoint, methods=[method], include_in_schema=shown, response_model=row, **options
        )
