"""Errors on the GraphQL door: the service's code, pointers and the request id in ``extensions``."""

import logging
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Required, TypedDict

from graphql import GraphQLError, GraphQLSyntaxError, VariableDefinitionNode
from strawberry.pydantic import InputValidationError
from strawberry.utils.str_converters import to_camel_case

from core import request_context
from core.deadlines import DeadlinePassed
from graphql_schema.execution.variables import argument_pointer
from services.shared import errors
from services.shared.database_errors import from_database, log_failure
from services.shared.errors import MAX_PROBLEMS, MAX_SAID, Problem, TandemError, summary
from services.shared.inputs import Input

logger = logging.getLogger("tandem.errors")

MAX_MESSAGE = 500
GENERIC = "Something went wrong on our side. Tell us the requestId if it happens again."


class ErrorExtensions(TypedDict, total=False):
    """What there is about an error beside its message."""

    code: Required[str]
    errors: list[dict[str, str]]
    currentVersion: int
    retryAfter: int
    requestId: str | None


class _Where(TypedDict, total=False):
    locations: list[dict[str, int]]
    path: list[str | int]


class FormattedError(_Where):
    """An error as it stands in a response (GraphQL specification, section 7.1.2)."""

    message: str
    extensions: ErrorExtensions


class RefusedArguments(Exception):
    """Arguments that are not valid, with pointers in GraphQL's spelling."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = [Problem(item.pointer, camel_names(item.detail), item.type) for item in problems]
        super().__init__("; ".join(f"{item.pointer or 'input'}: {item.detail}" for item in self.problems[:MAX_SAID]))


def format_error(error: GraphQLError, *, default_code: str = "BAD_USER_INPUT") -> FormattedError:
    """An error as clients see it. What is not of our tree, or GraphQL's own, says nothing of itself."""
    message, extensions = _explain(error, default_code)
    where: _Where = {}
    if error.locations:
        where["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    if error.path is not None:
        where["path"] = error.path
    extensions["requestId"] = request_context.request_id.get()
    return {"message": message, **where, "extensions": extensions}


def _explain(error: GraphQLError, default_code: str) -> tuple[str, ErrorExtensions]:
    original = _cause(error)
    if isinstance(original, InputValidationError):
        original = RefusedArguments(
            Problem(_input_pointer(detail.location), detail.message, detail.type) for detail in original.errors
        )
    if isinstance(original, RefusedArguments):
        return str(original), {"code": "BAD_USER_INPUT", "errors": _listed(original.problems[:MAX_PROBLEMS])}
    if (
        original is not None
        and not isinstance(original, (TandemError, GraphQLError))
        and isinstance(original, Exception)
    ):
        known = from_database(original)
        if known is None:
            logger.error("unexpected error in a resolver", exc_info=original)
            return GENERIC, {"code": "INTERNAL_SERVER_ERROR"}
        log_failure(logger, known, original)
        original = known
    if isinstance(original, TandemError):
        return camel_message(original.message, original.errors), describe(original)
    # GraphQL's own messages repeat what was written in the document
    message = error.message if len(error.message) <= MAX_MESSAGE else f"{error.message[:MAX_MESSAGE]}…"
    if isinstance(error, GraphQLSyntaxError):
        return message, {"code": "GRAPHQL_PARSE_FAILED"}
    return message, {"code": (error.extensions or {}).get("code", default_code)}


def _cause(error: GraphQLError) -> BaseException | None:
    """What was raised at first."""
    original: BaseException | None = error.original_error
    while isinstance(original, GraphQLError) and original.original_error is not None:
        original = original.original_error
    return original


def is_of_arguments(error: GraphQLError) -> bool:
    """Whether an argument was refused: by Strawberry in pydantic's words, or compiled, before the others were seen."""
    return isinstance(_cause(error), (InputValidationError, RefusedArguments))


def in_words(error: GraphQLError, refused: Iterable[GraphQLError]) -> GraphQLError:
    """The error, said as that of the same field among the refused ones, where there is one."""
    nodes = error.nodes or []
    told = next((each for each in refused if nodes and each.nodes and each.nodes[0] is nodes[0]), None)
    return GraphQLError("", nodes, path=error.path, original_error=told.original_error) if told else error


def _input_pointer(location: Sequence[str | int]) -> str:
    """Where in the arguments."""
    return argument_pointer(str(location[0])) + errors.to_pointer(location[1:])


def describe(error: TandemError) -> ErrorExtensions:
    """The extensions of a service error."""
    extensions: ErrorExtensions = {"code": error.code}
    if error.errors:
        extensions["errors"] = _listed(map(_camel, error.errors))
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


def camel_names(sentence: str) -> str:
    """A service's sentence with the names of fields in GraphQL's spelling."""
    return _NAME.sub(lambda match: to_camel_case(match[0]) if match[0] in _fields() else match[0], sentence)


def camel_message(message: str, problems: Sequence[Problem]) -> str:
    """A service's message in GraphQL's spelling, where it begins with what is wrong."""
    for count in range(min(len(problems), MAX_SAID), 0, -1):
        said = summary(problems[:count])
        if message.startswith(said):
            return summary(map(_camel, problems[:count])) + message[len(said) :]
    return message


def _camel(item: Problem) -> Problem:
    return Problem(camel_pointer(item.pointer), camel_names(item.detail), item.type)


_NAME = re.compile(r"(?<![\w.])[a-z]+(?:_[a-z]+)+(?!\w)")


@cache
def _fields() -> frozenset[str]:
    """The names of what is sent, as services have them."""
    waiting, found = [Input], set[str]()
    while waiting:
        model = waiting.pop()
        found |= model.model_fields.keys()
        waiting += model.__subclasses__()
    return frozenset(found)


def request_error(message: str, code: str) -> GraphQLError:
    """An error that stops an operation before it is executed."""
    return GraphQLError(message, extensions={"code": code})


def from_service(error: TandemError) -> GraphQLError:
    """A service error outside of any resolver, e.g. of authentication."""
    return GraphQLError(error.message, original_error=error)


def too_late(*errors: BaseException | None) -> FormattedError | None:
    """The one error of a query that has had no time left: it ends as a whole, for part of an answer is none.

    Of a mutation, what came of each field is told: those that were carried out are kept.
    """
    passed = next((error for error in errors if isinstance(error, DeadlinePassed)), None)
    return format_error(GraphQLError("", original_error=passed)) if passed else None


def without_literal(error: GraphQLError) -> GraphQLError:
    """The error; one without the text of Python's, where a literal is too much for Python, such as 5,000 digits."""
    if error.original_error is None or isinstance(error.original_error, GraphQLError):
        return error
    return GraphQLError("A value in the document cannot be read", error.nodes)


def without_value(error: GraphQLError) -> GraphQLError:
    """The error; one about a variable without the value that was sent, which may be a password."""
    about = error.nodes[0] if error.nodes else None
    if not isinstance(about, VariableDefinitionNode):
        return error
    return GraphQLError(f"${about.variable.name.value} is not of its type", about)
