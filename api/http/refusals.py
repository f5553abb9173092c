"""Declarations that FastAPI executes and this application does not: each is refused when it is made, by its name.

Endpoints are called by compiled handlers (``api.http.compiler``), and what they answer is written by
``api.http.serializers``; neither does all that FastAPI does. What is merely ignored would look as if it worked: a
member that is excluded would be sent.
"""

from collections.abc import Iterable, Iterator, Mapping
from inspect import iscoroutinefunction
from types import GenericAlias
from typing import Any

from fastapi import APIRouter
from fastapi.datastructures import DefaultPlaceholder
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter
from starlette.convertors import PathConvertor, StringConvertor
from starlette.routing import WebSocketRoute


class NotExecutedError(TypeError):
    """The declaration would be ignored. The message says which, where, and what to do instead."""


_OF_ROUTES = {
    "response_model_include": "give the route a response_model that has these members alone",
    "response_model_exclude": "give the route a response_model without these members",
    "response_model_exclude_defaults": "members are written as the record has them",
    "response_model_exclude_none": "members are written as the record has them",
    "max_body_size": "the setting MAX_BODY_BYTES bounds every body",
}
"""Options of a route that have no effect, and what there is instead."""


def check_options(path: str, endpoint: Any, options: Mapping[str, Any]) -> None:
    """Raises ``NotExecutedError`` for an option of a route that has no effect."""
    where = f"{getattr(endpoint, '__name__', endpoint)} at {path}"
    for name, instead in _OF_ROUTES.items():
        if options.get(name):
            raise NotExecutedError(f"{name} of {where} is not executed: {instead}")
    if options.get("response_model_by_alias", True) is not True:
        raise NotExecutedError(
            f"response_model_by_alias of {where} is not executed: members are written by their alias"
        )
    if not isinstance(options.get("generate_unique_id_function", DefaultPlaceholder(None)), DefaultPlaceholder):
        raise NotExecutedError(f"generate_unique_id_function of {where} is not executed: the id is the function's name")


def check_written(path: str, endpoint: Any, options: Mapping[str, Any]) -> None:
    """Raises ``NotExecutedError`` where ``api.http.serializers`` does not write an answer as the route declares it."""
    where = f"{getattr(endpoint, '__name__', endpoint)} at {path}"
    if not iscoroutinefunction(endpoint):
        raise NotExecutedError(f"{where} is no coroutine function: nothing calls it in a thread")
    if not isinstance(options.get("response_class", DefaultPlaceholder(None)), DefaultPlaceholder):
        raise NotExecutedError(
            f"response_class of {where} is not executed: what has a response_model is written as JSON"
        )
    model: Any = options.get("response_model")
    if options.get("status_code") == 204:
        if isinstance(model, (type, GenericAlias)):
            raise NotExecutedError(f"response_model of {where} is not executed: a 204 has no body")
        return
    for path_, reason in _unwritten(
        TypeAdapter(model).core_schema, (), bool(options.get("response_model_exclude_unset"))
    ):
        member = ".".join(path_) or "the model"
        raise NotExecutedError(f"response_model of {where}: {member} {reason}")


_PLAIN = frozenset({"any", "bool", "date", "datetime", "enum", "float", "int", "literal", "none", "str", "uuid"})
"""What is written as it is, and as pydantic would."""
_AROUND = frozenset(
    {"default", "definition-ref", "definitions", "list", "model", "model-field", "model-fields", "nullable"}
)


def _unwritten(
    schema: Any, path: tuple[str, ...], unset: bool, inside: str = ""
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where a model declares how it is serialized in a way that is ignored, and why."""
    kind = schema["type"]
    if "serialization" in schema:
        yield path, "has a serializer, which is not executed: let the record have the value as it is to be sent"
    elif kind.startswith("function-"):
        yield path, "has a validator, which is not executed: records are not validated"
    elif kind not in _PLAIN | _AROUND | {"dict"}:
        yield path, f"is of the kind {kind}, which nothing here writes"
    elif kind == "model":
        yield from _of_model(schema, path, inside)
    elif kind == "model-fields" and schema.get("computed_fields"):
        name = schema["computed_fields"][0]["property_name"]
        yield (*path, name), "is a computed field, which is not executed: let the record have it as a property"
    elif kind == "model-field":
        yield from _of_field(schema, path, unset)
    elif kind == "dict" and schema.get("keys_schema", {"type": "str"})["type"] not in {"str", "any"}:
        yield path, "has keys that are no texts, which nothing here writes"
    inside = "a map" if kind == "dict" else inside
    for name, inner in _parts(schema):
        yield from _unwritten(inner, (*path, name) if name else path, unset, inside)


def _of_model(schema: Any, path: tuple[str, ...], inside: str) -> Iterator[tuple[tuple[str, ...], str]]:
    model: type[BaseModel] = schema["cls"]
    if inside:
        yield path, f"is a model in {inside}, which is not made of a record: use a list"
    if schema.get("root_model"):
        yield path, "is a root model, which nothing here writes: declare what it holds"
    for name in ("json_encoders", "ser_json_timedelta", "ser_json_bytes", "ser_json_inf_nan"):
        if model.model_config.get(name):
            yield path, f"has {name} in its model_config, which is not executed"
    if model.model_config.get("extra") == "allow":
        yield path, "allows extra members, which are not written"


def _of_field(schema: Any, path: tuple[str, ...], unset: bool) -> Iterator[tuple[tuple[str, ...], str]]:
    if schema.get("serialization_exclude") or schema.get("serialization_exclude_if"):
        yield path, "is excluded, which is not executed: leave it out of the model"
    if schema.get("serialization_alias") not in (None, schema.get("validation_alias")):
        yield path, "has a serialization_alias, which is not executed: use alias"
    if schema["schema"]["type"] == "default" and not unset:
        yield path, "has a default, and is written only where it was read along: set response_model_exclude_unset"


def _parts(schema: Any) -> Iterable[tuple[str, Any]]:
    if schema["type"] == "model-fields":
        return list(schema["fields"].items())
    if schema["type"] == "definitions":
        return [("", each) for each in (*schema["definitions"], schema["schema"])]
    names = ("schema", "items_schema", "keys_schema", "values_schema")
    return [("", schema[name]) for name in names if name in schema]


_NO_LIFESPAN = type(APIRouter().lifespan_context)


def check_router(router: APIRouter, prefix: str) -> None:
    """Raises ``NotExecutedError`` for what ``api.http.index.include`` does not take along from a router."""
    for route in router.routes:
        where = getattr(route, "path", None) or "a router that is included in another"
        if isinstance(route, WebSocketRoute) and not prefix:
            continue
        if not isinstance(route, APIRoute):
            raise NotExecutedError(
                f"{type(route).__name__.lstrip('_')} ({where}) would not get the prefix: declare its routes here"
            )
        for name, convertor in route.param_convertors.items():
            if not isinstance(convertor, (StringConvertor, PathConvertor)):
                raise NotExecutedError(
                    f"the convertor of {{{name}}} in {where} is not executed: annotate the parameter"
                )
    if router.on_startup or router.on_shutdown or type(router.lifespan_context) is not _NO_LIFESPAN:
        raise NotExecutedError(
            "what a router does at its start and end is not executed: use the application's lifespan"
        )
    if router.max_body_size is not None:
        raise NotExecutedError(f"max_body_size of a router is not executed: {_OF_ROUTES['max_body_size']}")
