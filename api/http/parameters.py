"""What the query of a request may hold, whichever way its route is called: by its compiled handler, or by FastAPI.

A parameter is taken, or it is refused by its name: FastAPI drops those that it does not know, of one that repeats all
but the last, and makes U+FFFD of what is no UTF-8.
"""

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from copy import copy
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, get_request_handler
from pydantic import BaseModel

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Query = Mapping[str, Sequence[str]]

UNKNOWN = "extra_forbidden"
"""As pydantic has it for the fields of a body; it is worded with the names that there are (``api.problems``)."""
REPEATED = ("repeated", "is there more than once, and takes one value")
NOT_TEXT = ("encoding", "must be percent-encoded UTF-8")


def grouped(query_string: bytes) -> dict[str, list[str]]:
    """The values of each parameter, in their order. What is no UTF-8 is there as lone surrogates."""
    found: dict[str, list[str]] = {}
    if not query_string:
        return found
    # an address is ASCII (RFC 3986, section 2): other bytes are no text, as those that are badly escaped
    text = query_string.decode("ascii", "surrogateescape")
    if "%" in text or "+" in text:
        pairs = parse_qsl(text, keep_blank_values=True, errors="surrogateescape")
    else:
        pairs = [(name, value) for name, _, value in (part.partition("=") for part in text.split("&") if part)]
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


class Parameters:
    """The parameters that a route takes: which there are, and which of them may repeat."""

    def __init__(self, dependant: Dependant) -> None:
        self.repeatable = dict(_declared(dependant))

    def fit(self, query: Query) -> bool:
        """Whether the route takes each of the parameters, as often as it is there."""
        repeatable = self.repeatable
        for name, values in query.items():
            if name not in repeatable or (len(values) > 1 and not repeatable[name]):
                return False
            for value in values:
                if not value.isascii() and not _is_text(value):
                    return False
        return True

    def problems(self, query: Query) -> list[dict[str, Any]]:
        """What is wrong with the parameters, as pydantic would say it."""
        found = []
        for name, values in query.items():
            if not all(map(_is_text, (name, *values))):
                kind, words = NOT_TEXT
            elif name not in self.repeatable:
                kind, words = UNKNOWN, ""
            elif len(values) > 1 and not self.repeatable[name]:
                kind, words = REPEATED
            else:
                continue
            shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            found.append({"type": kind, "loc": ("query", shown), "msg": words})
        return found


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_list(annotation: Any) -> bool:
    """Whether values of the type are several, so that their parameter may repeat."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return is_list(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return any(is_list(part) for part in get_args(annotation))
    return isinstance(origin, type) and issubclass(origin, Sequence)


def _declared(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    for each in dependant.query_params:
        model = each.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            for name, field in model.model_fields.items():
                yield field.alias or name, is_list(field.annotation)
        else:
            yield each.alias, is_list(model)
    for inner in dependant.dependencies:
        yield from _declared(inner)


def checked(route: APIRoute, parameters: Parameters, handler: Handler) -> Handler:
    """FastAPI's handler of a route, which refuses such parameters along with whatever else is wrong."""
    refuse = get_request_handler(
        dependant=_without_endpoint(route.dependant),
        body_field=route.body_field,
        embed_body_fields=route._embed_body_fields,
        dependency_overrides_provider=route.dependency_overrides_provider,
        strict_content_type=route.strict_content_type,
        form_limits=route.form_limits,
    )

    async def handle(request: Request) -> Response:
        problems = parameters.problems(grouped(request.scope["query_string"]))
        if not problems:
            return await handler(request)
        try:
            return await refuse(request)
        except RequestValidationError as error:
            named = {problem["loc"] for problem in problems}
            others = [
                other
                for other in error.errors()
                if tuple(other["loc"][:2]) not in named
                and not (other["loc"][0] == "query" and other["type"] == UNKNOWN)
            ]
            raise RequestValidationError([*problems, *others]) from None

    return handle


def _without_endpoint(dependant: Dependant) -> Dependant:
    """The same dependencies and parameters, with nothing to call in the end."""

    async def nothing(**_: Any) -> Response:
        raise RequestValidationError([])

    bare = copy(dependant)
    bare.call = nothing
    return bare


async def refuse_repeated_fields(request: Request) -> None:
    """Raises ``RequestValidationError`` for a form with a field that repeats (RFC 6749, section 3.2)."""
    form = await request.form()
    repeated = [name for name in form if len(form.getlist(name)) > 1]
    if repeated:
        await form.close()
        kind, words = REPEATED
        raise RequestValidationError([{"type": kind, "loc": ("body", name), "msg": words} for name in repeated])
