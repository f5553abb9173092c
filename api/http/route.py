"""The routes of the REST door: strict about what they take, quick in what they write."""

from collections.abc import Callable, Coroutine, Iterator
from types import GenericAlias
from typing import Any

from fastapi import Request, Response, params
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from api.http.compiler import CompiledRoute
from api.http.headers import headers_of
from api.http.parameters import Parameters, checked, refuse_repeated_fields
from api.http.refusals import check_written
from api.http.serializers import serialized

IDEMPOTENCY_KEY = "Idempotency-Key"
_NO_KEY = {
    "type": "extra_forbidden",
    "loc": ("header", IDEMPOTENCY_KEY),
    "msg": "",
    "ctx": {"words": "is not taken by this operation, which cannot be repeated"},
}


class StrictRoute(CompiledRoute):
    """A route that takes a body only of its own media type: JSON, or a form where it declares one.

    Another one is refused (415) before it is parsed. A query parameter that it does not take is refused by its name,
    and so is (422) an ``Idempotency-Key`` where the route declares none: whoever sends one relies on it. What the
    endpoint answers is written by ``api.http.serializers``.
    """

    takes_any_parameter = False

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        model, status = options.get("response_model"), options.get("status_code")
        if status == 204 or isinstance(model, (type, GenericAlias)):
            check_written(path, endpoint, options)
        if status == 204:
            endpoint = serialized(endpoint, None, status)
        elif isinstance(model, (type, GenericAlias)):
            endpoint = serialized(endpoint, model, status)
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = self._without_key(super().get_route_handler())
        if not self.takes_any_parameter:
            self.parameters = Parameters(self.dependant)
            handler = checked(self, self.parameters, handler)
        if self.body_field is None:
            return handler
        form = isinstance(self.body_field.field_info, params.Form)

        async def of_its_kind(request: Request) -> Response:
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if form:
                fits = media_type in {"application/x-www-form-urlencoded", "multipart/form-data"}
            else:
                fits = media_type == "application/json" or (
                    media_type.startswith("application/") and media_type.endswith("+json")
                )
            if not fits and (media_type or await request.body()):
                wanted = "application/x-www-form-urlencoded" if form else "application/json"
                raise HTTPException(415, f"The body must be {wanted}", headers={"Accept": wanted})
            if form:
                await refuse_repeated_fields(request)
            return await handler(request)

        return of_its_kind

    def _without_key(
        self, handler: Callable[[Request], Coroutine[Any, Any, Response]]
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, behind a refusal of the key where the route does not declare it."""
        name = IDEMPOTENCY_KEY.lower()
        if any(field.alias.lower() == name for each in _all(self.dependant) for field in each.header_params):
            return handler
        self.refused_header = name.encode()

        async def without_key(request: Request) -> Response:
            if self.refused_header in headers_of(request.scope):
                raise RequestValidationError([_NO_KEY])
            return await handler(request)

        return without_key


class ProbeRoute(StrictRoute):
    """A route for whoever watches the server: balancers and monitors add parameters of their own to an address."""

    takes_any_parameter = True


def _all(dependant: Dependant) -> Iterator[Dependant]:
    """What a route depends on, itself included."""
    yield dependant
    for inner in dependant.dependencies:
        yield from _all(inner)
