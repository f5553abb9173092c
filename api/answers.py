"""Writing a route's answer: from the service's records to JSON, by a function made once for each response model.

FastAPI would make a model of every record to check it, and write that: 14 µs for a task, which is a quarter of what a
hundred of them may cost. The records are made by the services from typed columns; what the models say of them is
checked by tests. The models still describe the answer in the OpenAPI document, name the members and their order.
"""

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import orjson
from fastapi import Response
from pydantic import BaseModel

from services.tasks.expansions import Expanded

Memo = dict[int, tuple[Any, Any]]
"""What was made of the records of one answer, by their identity (they are kept, so that none is given twice): a hundred
tasks may be of five projects."""
Convert = Callable[[Any, Memo], Any]
Endpoint = Callable[..., Awaitable[Any]]


def encode(value: Any) -> bytes:
    """JSON with instants as both doors write them."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def writing(endpoint: Endpoint, response_model: Any, status_code: int | None) -> Endpoint:
    """The endpoint, with what it answers written as the model says, unless that is a response already."""
    if response_model is None or hasattr(endpoint, "written"):
        return endpoint
    convert = converter(response_model)
    parameters = dict(inspect.signature(endpoint).parameters)
    hints = get_type_hints(endpoint, include_extras=True)
    own = next((name for name in parameters if hints.get(name) is Response), None)
    name = own or "_response"

    @wraps(endpoint)
    async def write(**arguments: Any) -> Response:
        given: Response = arguments[name] if own else arguments.pop(name)
        answer = await endpoint(**arguments)
        if isinstance(answer, Response):
            return answer
        response = Response(encode(convert(answer)), status_code or 200, media_type="application/json")
        response.raw_headers.extend(given.raw_headers)
        return response

    parameters |= {} if own else {name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=Response)}
    ordered = [part.replace(annotation=hints.get(part.name, part.annotation)) for part in parameters.values()]
    write.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]  # what FastAPI reads
    write.written = True  # type: ignore[attr-defined]
    return write


def converter(annotation: Any) -> Callable[[Any], Any]:
    """How a value is turned into what the encoder writes."""
    convert = _converter(annotation)
    return (lambda value: value) if convert is None else (lambda value: convert(value, {}))


def _converter(annotation: Any) -> Convert | None:
    """As ``converter``; None where a value is written as it is."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _converter(arguments[0])
    if origin in (Union, UnionType):
        kinds = [_converter(part) for part in arguments if part is not NoneType]
        if len(kinds) == 1 and (inner := kinds[0]) is not None:
            return lambda value, memo: None if value is None else inner(value, memo)
        if any(kind is not None for kind in kinds):
            raise TypeError(f"one of several models: {annotation}")
        return None
    if origin is list:
        item = _converter(arguments[0])
        return None if item is None else (lambda values, memo: [item(value, memo) for value in values])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _model(annotation)
    return None


_MODELS: dict[type[BaseModel], Convert] = {}


def _model(model: type[BaseModel]) -> Convert:
    """The required members of a model, read from a record's attributes; the others are what was read along with it."""
    if model in _MODELS:
        return _MODELS[model]
    required = {name: field for name, field in model.model_fields.items() if field.is_required()}
    extra = {name: _converter(field.annotation) for name, field in model.model_fields.items() if name not in required}
    scope: dict[str, Any] = {}
    members = []
    for name, field in required.items():
        inner = _converter(field.annotation)
        if inner is not None:
            scope[f"c_{name}"] = inner
        members.append(f"{field.alias or name!r}: {f's.{name}' if inner is None else f'c_{name}(s.{name}, memo)'}")
    plain: Convert = eval(f"lambda s, memo: {{{', '.join(members)}}}", scope)  # noqa: S307 - of the model's own names

    def once(record: Any, memo: Memo) -> Any:
        made = memo.get(id(record))
        if made is None:
            made = memo[id(record)] = record, plain(record, memo)
        return made[1]

    def expanded(record: Any, memo: Memo) -> Any:
        if type(record) is not Expanded:
            return plain(record, memo)
        written = plain(record.record, memo)
        for name, value in record.extra.items():
            inner = extra[name]
            written[name] = value if inner is None else inner(value, memo)
        return written

    _MODELS[model] = done = expanded if extra else once
    return done
