"""Compiles a route's handler once: FastAPI finds out anew for every request how to call an endpoint.

FastAPI walks the tree of dependencies, of their parameters and of the parameters' types on each request: 300 µs for a
task by its id, of which the database takes 20. Here the same tree (``Dependant``) is turned into one Python function::

    async def handle(request):
        q = grouped(request.scope["query_string"])
        try:
            p0 = v0(path["task_id"])             # a parameter, by pydantic's validator of its field
        except ValidationError:
            return None
        d0 = await call0(request=request)        # a dependency
        ...
        return await endpoint(task_id=p0, actor=d1, session=d2)

Parameters are checked before any dependency is called. Where one does not hold, nothing has happened yet, and the
request is left to FastAPI, which calls things in its own order and makes the errors. A route that has something which
is not compiled (a form, a cookie, a security scheme) is FastAPI's altogether, and so are all while an application
overrides dependencies.
"""

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from copy import copy
from functools import cached_property
from inspect import isasyncgenfunction, iscoroutinefunction, isfunction
from operator import attrgetter
from typing import Annotated, Any

import orjson
from fastapi import Request, Response, params
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from api.http.bodies import UNREAD, Invalid, body_of, is_json, is_large, read
from api.http.caching import remembered
from api.http.headers import headers_of
from api.http.parameters import Parameters, Query, grouped, is_list
from api.http.refusals import check_options
from core.codegen import make_function

CompiledHandler = Callable[[Request], Awaitable[Response | None]]
"""The response; None where the request is left to FastAPI, before anything has been done for it."""


class UnsupportedRoute(Exception):
    """The route holds something that is left to FastAPI; the message says what."""


class CompiledRoute(APIRoute):
    """A route with a compiled handler, which ``api.middleware.request`` calls; FastAPI has the requests that it leaves.

    The function's name is its operation id: whoever places the route at another path need not work it out anew.
    """

    refused_header: bytes | None = None
    """The name of a header that does not fit any request of the route: the route's handler refuses it."""
    parameters: Parameters | None = None
    """What the query may hold; None where anything may stand in it."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        check_options(path, endpoint, options)
        super().__init__(path, endpoint, **options | {"generate_unique_id_function": attrgetter("name")})

    @cached_property
    def compiled(self) -> CompiledHandler | None:
        """The handler, compiled for the first request (a few milliseconds); None where all are left to FastAPI."""
        try:
            return compile_route(self)
        except UnsupportedRoute:
            return None


def from_the_start(request: Request, receive: Receive) -> Receive:
    """``receive`` for somebody who has not read the body, where a compiled handler has."""
    body: bytes | None = getattr(request, "_body", None)
    if body is None:
        return receive

    if is_large(body):
        # it was not read, or it was not the reason: something else is refused, and FastAPI need not look at it
        request.scope[UNREAD] = True
        body = b"{}"

    async def again() -> Message:
        nonlocal body
        if body is None:
            return await receive()
        message, body = {"type": "http.request", "body": body, "more_body": False}, None
        return message

    return again


def compile_route(route: APIRoute) -> CompiledHandler:
    """The compiled handler of a route. Raises ``UnsupportedRoute``, which says what it has that is left to FastAPI."""
    endpoint = route.dependant.call
    if not iscoroutinefunction(endpoint):
        raise UnsupportedRoute("an endpoint that blocks, or yields")
    if not (hasattr(endpoint, "serialized") or (route.response_field is None and _answers_a_response(route))):
        raise UnsupportedRoute("FastAPI writes the answer")
    return HandlerCompiler(route).compile()


def _answers_a_response(route: APIRoute) -> bool:
    return route.endpoint.__annotations__.get("return") is Response


class HandlerCompiler:
    """Writes the source of one route's handler, line by line, and compiles it."""

    def __init__(self, route: APIRoute) -> None:
        self._route = route
        self._taken: Parameters | None = getattr(route, "parameters", None)
        self._parameters: list[str] = []
        self._calls: list[str] = []
        self._reading: list[str] = []
        self._scope: dict[str, Any] = {
            "ValidationError": ValidationError,
            "ClientDisconnect": ClientDisconnect,
            "JSONDecodeError": orjson.JSONDecodeError,
            "Refused": Refused,
            "grouped": grouped,
            "headers_of": headers_of,
            "body_of": body_of,
            "copy": copy,
            "given": _given,
            "loads": orjson.loads,
            "is_large": is_large,
            "read": read,
            "Invalid": Invalid,
        }
        self._known: dict[Any, str] = {}
        self._wants: set[str] = set()

    def compile(self) -> CompiledHandler:
        """The handler. Raises ``UnsupportedRoute``."""
        call = self._call(self._route.dependant)
        lines = ["async def handle(request):", "    scope = request.scope"]
        refused = getattr(self._route, "refused_header", None)
        if refused is not None:
            lines.append(f"    if {refused!r} in headers_of(scope): return None")
        if "body" in self._wants:
            # another media type is refused by those who know which ones there are
            lines += [
                f"    if not {self._keep(is_json)}(headers_of(scope).get(b'content-type')): return None",
                "    try: body = await body_of(request)",
                "    except ClientDisconnect: return None",
            ]
        lines += ["    try:"]
        if "path" in self._wants:
            lines.append("        path = scope['path_params']")
        if "query" in self._wants:
            lines.append("        query = grouped(scope['query_string'])")
        if self._taken is not None and "query model" not in self._wants:
            given = "query" if "query" in self._wants else "grouped(scope['query_string'])"
            lines.append(
                f"        if scope['query_string'] and not {self._keep(self._taken.fit)}({given}): return None"
            )
        if "header" in self._wants:
            lines.append("        headers = headers_of(scope)")
        lines += [f"        {line}" for line in [*self._parameters, *self._reading]] or ["        pass"]
        lines += ["    except (ValidationError, JSONDecodeError, Refused): return None"]
        if "response" in self._wants:
            lines.append("    response = given()")
        indent = "    "
        if "body" in self._wants:
            self._calls.append("if type(body_) is Invalid: raise body_.error")
        for line in [*self._calls, f"return await {call}"]:
            lines.append(indent + line)
            indent += "    " * line.endswith(":")
        # every name in it is made here; names of parameters stand in it as literals or keywords of functions of ours
        return make_function("handle", "\n".join(lines), self._scope, of=self._route.name)

    def _keep(self, value: Any) -> str:
        name = f"k{len(self._scope)}"
        self._scope[name] = value
        return name

    def _call(self, dependant: Dependant) -> str:
        """The expression that calls a dependency or the endpoint, after what it depends on."""
        if dependant.cookie_params or dependant.background_tasks_param_name or dependant.http_connection_param_name:
            raise UnsupportedRoute("a cookie, background tasks or a connection")
        if dependant.security_scopes_param_name or dependant.own_oauth_scopes or dependant.concurrency:
            raise UnsupportedRoute("scopes of OAuth, or a bound on concurrency")
        arguments = {}
        for inner in dependant.dependencies:
            value = self._dependency(inner)
            if inner.name is not None:
                arguments[inner.name] = value
        for name, fields in (
            ("path", dependant.path_params),
            ("query", dependant.query_params),
            ("header", dependant.header_params),
        ):
            for each in fields:
                arguments[each.name] = self._parameter(name, each.name, each.alias, each.field_info)
        if dependant.body_params:
            [body] = dependant.body_params
            arguments[body.name] = self._body(body.field_info)
        if dependant.request_param_name:
            arguments[dependant.request_param_name] = "request"
        if dependant.response_param_name:
            self._wants.add("response")
            arguments[dependant.response_param_name] = "response"
        return f"{self._keep(dependant.call)}({', '.join(f'{name}={value}' for name, value in arguments.items())})"

    def _dependency(self, dependant: Dependant) -> str:
        """The variable that holds what a dependency answers; it is called once, whoever depends on it."""
        call = dependant.call
        if not isfunction(call) or not dependant.use_cache:
            raise UnsupportedRoute("a dependency that is no function, or called each time")
        if call in self._known:
            return self._known[call]
        if isasyncgenfunction(call):
            if dependant.scope != "function":
                raise UnsupportedRoute("a dependency that outlives the endpoint")
            managed = Dependant(**{name: getattr(dependant, name) for name in Dependant.__slots__})
            managed.call = asynccontextmanager(call)
            line = f"async with {self._call(managed)} as %s:"
        elif iscoroutinefunction(call):
            line = f"%s = await {self._call(dependant)}"
        else:
            raise UnsupportedRoute("a dependency that blocks")
        self._known[call] = variable = f"d{len(self._known)}"
        self._calls.append(line % variable)
        return variable

    def _parameter(self, place: str, name: str, alias: str, field: FieldInfo) -> str:
        """The variable that holds a parameter."""
        variable = f"p{len(self._parameters)}"
        if field.validation_alias not in (None, field.alias) or not getattr(field, "convert_underscores", True):
            raise UnsupportedRoute("a parameter with several names, or a header with an underscore")
        if field.default_factory is not None:
            raise UnsupportedRoute("a default that is made anew")
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            if place != "query":
                raise UnsupportedRoute("a model of headers")
            self._wants.add("query model")
            read = self._keep(_model_reader(model, _validator(field), self._taken))
            self._parameters.append(f"{variable} = {read}(scope['query_string'])")
            return variable
        self._wants.add(place)
        validate = self._keep(_validator(field))
        if place == "path":
            if alias != name:
                raise UnsupportedRoute("a part of the path with another name")
            self._parameters.append(f"{variable} = {validate}(path[{name!r}])")
            return variable
        many = is_list(field.annotation)
        if place == "header":
            if many:
                raise UnsupportedRoute("a header that repeats")
            given = (alias.lower() if field.alias else name.replace("_", "-")).encode()
            there, value = f"{given!r} in headers", f"headers[{given!r}].decode('latin-1')"
        else:
            there, value = f"{alias!r} in query", f"query[{alias!r}]" + ("" if many else "[-1]")
        default = field.get_default(call_default_factory=True)
        if field.is_required() or field.validate_default or default is PydanticUndefined:
            raise UnsupportedRoute("a parameter that must be given, or whose default is checked")
        missing = self._keep(default)
        if not (default is None or isinstance(default, (str, int, bool))):
            missing = "[]" if default == [] else f"copy({missing})"
        self._parameters.append(f"{variable} = {validate}({value}) if {there} else {missing}")
        return variable

    def _body(self, field: FieldInfo) -> str:
        """The variable that holds the body."""
        model = field.annotation
        if isinstance(field, params.Form) or getattr(field, "embed", None):
            raise UnsupportedRoute("a form, or a body that is part of one")
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise UnsupportedRoute("a body that is no model")
        self._wants.add("body")  # one that may be missing, and is, is no JSON: FastAPI knows what stands for it
        validate = self._keep(_validator(field))
        # last: whatever else does not fit is found before
        self._reading = [
            f"if is_large(body): body_ = await read({validate}, body)",
            f"else: body_ = {validate}(loads(body))",
        ]
        return "body_"


def _validator(field: FieldInfo) -> Callable[[Any], Any]:
    """What a parameter's field makes of a value, as FastAPI has it. Raises ``ValidationError``."""
    kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    validate: Callable[[Any], Any] = adapter.validator.validate_python
    return validate


class Refused(Exception):
    """The query holds what the route does not take; FastAPI's handler says what."""


def _model_reader(
    model: type[BaseModel], validate: Callable[[Any], Any], taken: Parameters | None
) -> Callable[[bytes], Any]:
    """How a model is made of the query. One that is frozen is remembered: clients ask for the same page again."""
    gather = _gatherer(model)

    def read(query_string: bytes) -> Any:
        query = grouped(query_string)
        if taken is not None and not taken.fit(query):
            raise Refused
        return validate(gather(query))

    return remembered(read) if model.model_config.get("frozen") else read


def _gatherer(model: type[BaseModel]) -> Callable[[Query], dict[str, Any]]:
    """Gathers the fields of a model of query parameters, for pydantic: lists whole, of the others the last one."""
    fields = model.model_fields.items()
    if any(field.alias or field.validation_alias for _, field in fields):
        raise UnsupportedRoute("a model of parameters with other names")
    lists = {name for name, field in fields if is_list(field.annotation)}
    known = dict.fromkeys(name for name, _ in fields)

    def gather(query: Query) -> dict[str, Any]:
        # what is unknown is handed on, to be refused as it came
        return {
            name: values if name in lists or (name not in known and len(values) > 1) else values[-1]
            for name, values in query.items()
        }

    return gather


def _given() -> Response:
    """A response for an endpoint to set headers of."""
    response = Response.__new__(Response)
    response.raw_headers = []
    # as FastAPI's: the endpoint may give one
    response.status_code = None  # type: ignore[assignment]  # which is not typed so
    return response
