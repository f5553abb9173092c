"""Errors on the REST door: ``application/problem+json`` (RFC 9457), with the code that GraphQL gives too."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from inspect import iscoroutinefunction
from typing import Any, cast

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.http.addresses import route_path
from api.http.bodies import NOT_READ, UNREAD
from api.http.compiler import CompiledRoute
from api.http.parameters import UNKNOWN
from core import request_context
from core.sentences import unknown
from services.shared import errors
from services.shared.database_errors import from_database, log_failure
from services.shared.errors import Problem, TandemError

logger = logging.getLogger("tandem.errors")

STATUS: Mapping[str, int] = {
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "BAD_USER_INPUT": 422,
    "TOO_EXPENSIVE": 400,
    "CONFLICT": 409,
    "VERSION_CONFLICT": 412,
    "IDEMPOTENCY_CONFLICT": 409,
    "IDEMPOTENCY_MISMATCH": 422,
    "RATE_LIMITED": 429,
    "RESYNC_REQUIRED": 410,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "INTERNAL_SERVER_ERROR": 500,
}
# what the framework raises, in the same vocabulary
CODES: Mapping[int, str] = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    406: "NOT_ACCEPTABLE",
    408: "REQUEST_TIMEOUT",
    413: "PAYLOAD_TOO_LARGE",
    414: "URI_TOO_LONG",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "BAD_USER_INPUT",
    431: "HEADERS_TOO_LARGE",
}
# as RFC 9110 has them; older versions of Python have older ones
TITLES = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}
MEDIA_TYPE = "application/problem+json"
GENERIC = "Something went wrong on our side. Tell us the request_id if it happens again."


class SwitchedOff(HTTPException):
    """There is something at this address, and the operator has switched it off; the setting is named."""

    def __init__(self, setting: str) -> None:
        super().__init__(404, f"This is switched off on this server ({setting})")


class FieldProblem(BaseModel):
    """One thing wrong with the request."""

    pointer: str = Field(description="Where, as a JSON Pointer (RFC 6901) into the body, or /name of a parameter.")
    location: str = Field(description="body, query, path or header.")
    detail: str = Field(description="What is wrong.")
    type: str = Field(description="A stable word for the kind of error.")


class ProblemDetails(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="A URI for the kind of problem.", examples=["urn:tandem:problem:not-found"])
    title: str = Field(description="The kind of problem in words.", examples=["Not Found"])
    status: int = Field(description="The HTTP status.", examples=[404])
    detail: str = Field(description="What happened.", examples=["Task not found"])
    code: str = Field(description="The stable code, the same on both doors.", examples=["NOT_FOUND"])
    errors: list[FieldProblem] = Field(description="The parts of the request that were refused; often empty.")
    request_id: str | None = Field(description="The X-Request-ID of the request.")


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    problems: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem response."""
    body = {
        "type": f"urn:tandem:problem:{code.lower().replace('_', '-')}",
        "title": TITLES.get(status) or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "errors": list(problems),
        "request_id": request_context.request_id.get(),
    }
    return Response(orjson.dumps(body), status, headers, MEDIA_TYPE)


BEARER = "Bearer"
"""What a 401 asks for, where there was no token."""


def challenge_of(error: TandemError) -> str:
    """``WWW-Authenticate`` of a 401 (RFC 6750, section 3): says so where a token was sent that does not hold."""
    if isinstance(error, errors.Unauthenticated) and error.invalid_token:
        return f'{BEARER} error="invalid_token", error_description="{error.message}"'
    return BEARER


def from_error(error: TandemError, *, location: str = "body") -> Response:
    """The response for an error of the service layer; ``location`` says where the input was."""
    headers: dict[str, str] = {}
    status = STATUS[error.code]
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = challenge_of(error)
    elif isinstance(error, errors.RETRYABLE) and error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    elif isinstance(error, errors.VersionConflict):
        headers["ETag"] = f'"{error.current_version}"'
    return problem(
        status, error.code, error.message, problems=[_field(p, location) for p in error.errors], headers=headers
    )


def _field(item: Problem, location: str) -> dict[str, str]:
    return {"pointer": item.pointer, "location": location, "detail": item.detail, "type": item.type}


async def on_tandem_error(request: Request, error: TandemError) -> Response:
    return from_error(error, location="query" if request.method == "GET" else "body")


async def on_validation_error(request: Request, error: RequestValidationError) -> Response:
    """Malformed JSON is a 400; anything the models refuse is a 422 that names each place, and echoes nothing."""
    details = [detail for detail in error.errors() if detail["loc"][0] != "body" or UNREAD not in request.scope]
    if any(detail["type"] == "json_invalid" for detail in details):
        return problem(400, "BAD_REQUEST", "The body is not valid JSON")
    route = request.scope.get("route")
    problems = []
    for detail in details[: errors.MAX_PROBLEMS]:
        location, *path = detail["loc"]
        problems.append(_field(_worded(route, location, {**detail, "loc": path}), str(location)))
    summary = "; ".join(f"{p['pointer'] or p['location']}: {p['detail']}" for p in problems[:3])
    return problem(422, "BAD_USER_INPUT", summary, problems=problems)


def _worded(route: object, location: object, detail: Mapping[str, Any]) -> Problem:
    """What is wrong there, with the name that was meant where the route has one like it."""
    if not isinstance(route, CompiledRoute):
        return errors.problem_of(detail)
    if location == "query" and detail["type"] == UNKNOWN and route.parameters is not None:
        [name] = detail["loc"]
        return Problem(errors.to_pointer([name]), unknown(name, route.parameters.repeatable, "parameter"), UNKNOWN)
    body = route.body_field if location == "body" else None
    return errors.problem_of(detail, model=body and body.field_info.annotation)


async def on_http_exception(request: Request, error: HTTPException) -> Response:
    headers = dict(error.headers or {})
    detail = str(error.detail)
    if error.status_code == 405:
        headers["Allow"] = ", ".join(request.app.state.allowed_methods(route_path(request.scope))) or headers.get(
            "Allow", ""
        )
        detail = f"{request.method} is not possible here"
    elif error.status_code == 404 and not isinstance(error, SwitchedOff):
        detail = "There is nothing at this address"
    elif detail == NOT_READ:
        detail = "The body cannot be read: it is nested too deeply, or holds a number with too many digits"
    return problem(error.status_code, CODES.get(error.status_code, "BAD_REQUEST"), detail, headers=headers)


async def on_value_error(request: Request, error: Exception) -> Response:
    """A ValueError that reaches the door is input that slipped through: a 400, as the source guide has it."""
    if isinstance(error, ValidationError):
        return await on_unexpected(request, error)
    logger.warning("value error", exc_info=error)
    return problem(400, "BAD_REQUEST", "The request holds a value that cannot be used")


async def on_unexpected(_request: Request, error: Exception) -> Response:
    """Whatever else happens says nothing of itself but the request id."""
    known = from_database(error)
    if known is not None:
        log_failure(logger, known, error)
        return from_error(known)
    logger.error("unexpected error", exc_info=error)
    return problem(500, "INTERNAL_SERVER_ERROR", GENERIC)


HANDLERS: Mapping[type[Exception], Callable[..., Awaitable[Response]]] = {
    TandemError: on_tandem_error,
    RequestValidationError: on_validation_error,
    HTTPException: on_http_exception,
    ValueError: on_value_error,
}


async def answer(request: Request, error: Exception) -> Response:
    """The response for whatever was raised, by the application's handlers (those of here, unless it has others)."""
    known = request.app.exception_handlers
    kinds: list[Any] = [error.status_code] if isinstance(error, HTTPException) else []
    kinds += [*type(error).__mro__, 500]
    handler = next((known[kind] for kind in kinds if kind in known), on_unexpected)
    if iscoroutinefunction(handler):
        return cast("Response", await handler(request, error))
    return cast("Response", await run_in_threadpool(handler, request, error))


def install(app: FastAPI) -> None:
    """Register the handlers with FastAPI, which calls the routes that are not compiled."""
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
