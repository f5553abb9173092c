"""Errors on the GraphQL door: the service's code, pointers and the request id in ``extensions``."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from graphql import GraphQLError, GraphQLSyntaxError
from strawberry.pydantic import InputValidationError
from strawberry.utils.str_converters import to_camel_case

from core import context
from graphql_schema.variables import argument_pointer
from services import errors
from services.errors import Problem, TandemError
from services.failures import from_database

logger = logging.getLogger("tandem.errors")

MAX_MESSAGE = 500
# graphql-core's sentences about variables, and the parts of them that repeat what was sent
_COERCION = re.compile(r"Variable '\$(?P<name>\w+)' has invalid value(?: at (?P<path>\S+))?: (?P<detail>.*)", re.DOTALL)
_SENT = re.compile(r"(?:, found|(?<=value)|(?<=integer)|(?<=type)): .*", re.DOTALL)
_NO_SUCH_VALUE = re.compile(r"Value '.*' does not exist", re.DOTALL)
_PATH_PART = re.compile(r"\w+")
# a field that the type does not have, or that it cannot do without: the path ends at the object
_FIELD = re.compile(r" (?:unknown|required) field '(?P<name>.*)'$", re.DOTALL)
GENERIC = "Something went wrong on our side. Tell us the requestId if it happens again."


def format_error(
    error: GraphQLError, *, default_code: str = "BAD_USER_INPUT", places: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """An error as clients see it. What is not of our tree, or GraphQL's own, says nothing of itself.

    ``places`` says where each variable is used, for pointers to what cannot be coerced.
    """
    formatted: dict[str, Any] = {}
    message, extensions = _explain(error, default_code, places or {})
    formatted["message"] = message
    if error.locations:
        formatted["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    if error.path is not None:
        formatted["path"] = error.path
    formatted["extensions"] = extensions | {"requestId": context.request_id.get()}
    return formatted


def _explain(error: GraphQLError, default_code: str, places: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    original = error.original_error
    while isinstance(original, GraphQLError) and original.original_error is not None:
        original = original.original_error
    if isinstance(original, InputValidationError):
        problems = [
            Problem(_input_pointer(detail.location), *errors.reword(detail.message, detail.type))
            for detail in original.errors
        ]
        summary = "; ".join(f"{problem.pointer or '/'}: {problem.detail}" for problem in problems[:3])
        return summary, {"code": "BAD_USER_INPUT", "errors": _listed(problems)}
    if (
        original is not None
        and not isinstance(original, (TandemError, GraphQLError))
        and isinstance(original, Exception)
    ):
        known = from_database(original)
        if known is None:
            logger.error("unexpected error in a resolver", exc_info=original)
            return GENERIC, {"code": "INTERNAL_SERVER_ERROR"}
        logger.warning("database unavailable", exc_info=original)
        original = known
    if isinstance(original, TandemError):
        return original.message, describe(original)
    if (coercion := _COERCION.fullmatch(error.message)) is not None:
        return _explain_coercion(coercion, places)
    # GraphQL's own messages repeat what was written in the document
    message = error.message if len(error.message) <= MAX_MESSAGE else f"{error.message[:MAX_MESSAGE]}…"
    if isinstance(error, GraphQLSyntaxError):
        return message, {"code": "GRAPHQL_PARSE_FAILED"}
    return message, {"code": (error.extensions or {}).get("code", default_code)}


def _explain_coercion(match: re.Match[str], places: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """A variable that is not of its type: where and what, without the value, which may be a password."""
    detail = _SENT.sub("", match["detail"]).removesuffix(".")
    detail = _NO_SUCH_VALUE.sub("The value does not exist", detail)
    pointer = "".join(f"/{part}" for part in _PATH_PART.findall(match["path"] or ""))
    if (field := _FIELD.search(detail)) is not None:
        pointer += errors.to_pointer([field["name"]])
    problem = Problem(places.get(match["name"], "") + pointer, detail, "coercion")
    return f"${match['name']}{pointer}: {detail}", {"code": "BAD_USER_INPUT", "errors": _listed([problem])}


def _input_pointer(location: Sequence[str | int]) -> str:
    """Where in the arguments."""
    return argument_pointer(str(location[0])) + errors.to_pointer(location[1:])


def describe(error: TandemError) -> dict[str, Any]:
    """The extensions of a service error."""
    extensions: dict[str, Any] = {"code": error.code}
    if error.errors:
        extensions["errors"] = _listed(
            Problem(camel_pointer(item.pointer), item.detail, item.type) for item in error.errors
        )
    if isinstance(error, errors.VersionConflict):
        extensions["currentVersion"] = error.current_version
    elif isinstance(error, errors.RETRYABLE) and error.retry_after is not None:
        extensions["retryAfter"] = error.retry_after
    return extensions


def _listed(problems: Iterable[Problem]) -> list[dict[str, str]]:
    return [{"pointer": item.pointer, "detail": item.detail, "type": item.type} for item in problems]


def camel_pointer(pointer: str) -> str:
    """A service's pointer in GraphQL's spelling."""
    return "/".join(to_camel_case(part) for part in pointer.split("/"))


def request_error(message: str, code: str) -> GraphQLError:
    """An error that stops an operation before it is executed."""
    return GraphQLError(message, extensions={"code": code})


def from_service(error: TandemError) -> GraphQLError:
    """A service error outside of any resolver, e.g. of authentication."""
    return GraphQLError(error.message, original_error=error)
