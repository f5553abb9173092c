"""Writing a route's answer: from the service's records to JSON, by a function made once for each response model.

FastAPI would make a model of every record to check it, and write that: 14 µs for a task, which is a quarter of what a
hundred of them may cost. The records are made by the services from typed columns; what the models say of them is
checked by tests. The models still describe the answer in the OpenAPI document, name the members and their order.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from fastapi import Request, Response
from pydantic import BaseModel

from api.http.envelopes import enveloped
from api.http.list_tags import tagged
from api.http.refusals import NotExecutedError
from api.http.weights import Weigh, weigher
from core.codegen import make_function
from core.json_texts import AnswerTooLarge, encode, encode_in_pieces, is_heavy, too_large
from services.shared.errors import TooExpensive
from services.shared.expansions import Expanded
from services.shared.outputs import RARELY

Memo = dict[int, tuple[Any, Any]]
"""What was made of the records of one answer, by their identity (they are kept, so that none is given twice): a hundred
tasks may be of five projects."""
Serializer = Callable[[Any, Memo], Any]
Endpoint = Callable[..., Awaitable[Any]]
UNCHECKED = 128 * 1024
"""Characters of long texts: with so many, no answer is as large as the least that may be set."""


async def written(value: Any, weigh: Weigh | None, request: Request) -> bytes:
    """What a serializer made of an answer, as JSON. Raises ``TooExpensive`` where it is larger than the server lets
    answers be: that takes back what was written for it in the transaction of the request."""
    if weigh is None:
        return encode(value)
    text = weigh(value)
    if text <= UNCHECKED:
        return encode(value)
    most: int = request.app.state.tandem.settings.max_answer_bytes
    if not is_heavy(text, most):
        return encode(value)
    try:
        return await encode_in_pieces(value, most)
    except AnswerTooLarge:
        raise TooExpensive(too_large(most)) from None


def serialized(endpoint: Endpoint, response_model: Any, status_code: int | None) -> Endpoint:
    """The endpoint, with what it answers written as the model says, unless that is a response already.

    Without a model, its answer has no body.
    """
    if hasattr(endpoint, "serialized"):
        return endpoint
    serialize = None if response_model is None else serializer_for(response_model)
    weigh = weigher(response_model)
    parameters = dict(inspect.signature(endpoint).parameters)
    hints = get_type_hints(endpoint, include_extras=True)
    own = next((name for name in parameters if hints.get(name) is Response), None)
    name = own or "_response"
    asked = next((name for name in parameters if hints.get(name) is Request), None)

    @wraps(endpoint)
    async def write(**arguments: Any) -> Response:
        given: Response = arguments[name] if own else arguments.pop(name)
        request: Request = arguments[asked] if asked else arguments.pop("_request")
        answer = await endpoint(**arguments)
        if isinstance(answer, Response):
            return answer
        if serialize is not None:
            status = given.status_code or status_code or 200
            body = enveloped(given, await written(serialize(answer), weigh, request))
            return tagged(given, body) or json_response(body, status, given.raw_headers)
        response = Response(status_code=given.status_code or status_code or 204)
        response.raw_headers.extend(given.raw_headers)
        return response

    parameters |= {} if own else {name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=Response)}
    if asked is None:
        parameters["_request"] = inspect.Parameter("_request", inspect.Parameter.KEYWORD_ONLY, annotation=Request)
    ordered = [part.replace(annotation=hints.get(part.name, part.annotation)) for part in parameters.values()]
    write.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]  # what FastAPI reads
    write.serialized = True  # type: ignore[attr-defined]  # marks it for compile_route
    return write


def json_response(
    body: bytes, status: int, headers: Iterable[tuple[bytes, bytes]], media_type: bytes = b"application/json"
) -> Response:
    """A response as it stands; without Starlette's looking which headers there are."""
    response = Response.__new__(Response)
    response.body, response.status_code, response.background = body, status, None
    length = str(len(body)).encode()
    response.raw_headers = [(b"content-length", length), (b"content-type", media_type), *headers]
    return response


def serializer_for(annotation: Any) -> Callable[[Any], Any]:
    """How a value is turned into what the encoder writes."""
    serialize = _many(annotation) or _serializer(annotation)
    return (lambda value: value) if serialize is None else (lambda value: serialize(value, {}))


def _serializer(annotation: Any) -> Serializer | None:
    """As ``serializer_for``; None where a value is written as it is."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _serializer(arguments[0])
    if origin in (Union, UnionType):
        kinds = [_serializer(part) for part in arguments if part is not NoneType]
        if len(kinds) == 1 and (inner := kinds[0]) is not None:
            return lambda value, memo: None if value is None else inner(value, memo)
        if any(kind is not None for kind in kinds):
            raise TypeError(f"one of several models: {annotation}")
        return None
    if origin is list:
        item = _serializer(arguments[0])
        return None if item is None else (lambda values, memo: [item(value, memo) for value in values])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _model(annotation)
    return None


def _many(annotation: Any) -> Serializer | None:
    """For a list of a model: all records in one comprehension, made for their class; None for anything else."""
    [model, *more] = get_args(annotation) if get_origin(annotation) is list else [None]
    if more or not (isinstance(model, type) and issubclass(model, BaseModel)):
        return None
    one = _model(model)
    made: dict[type, Serializer] = {}

    def serialize(records: Any, memo: Memo) -> Any:
        kinds = set(map(type, records))
        if len(kinds) != 1 or (kind := kinds.pop()) is Expanded:
            return [one(record, memo) for record in records]
        if kind not in made:
            made[kind] = _for_class(model, kind)
        return made[kind](records, memo)

    return serialize


def _for_class(model: type[BaseModel], record: type) -> Serializer:
    """As ``_model``, for records of one class: the fields of a named tuple are unpacked, not looked up."""
    fields: tuple[str, ...] = getattr(record, "_fields", ())

    def source(name: str) -> str:
        if name in fields:
            return f"s_{name}"
        computed = getattr(record, name, None)
        rarely = RARELY.get(computed.fget) if isinstance(computed, property) and computed.fget else None
        if rarely is None:
            return f"s.{name}"
        field, otherwise = rarely
        return f"(s.{name} if s_{field} else {f's_{otherwise}' if otherwise else None})"

    members, scope = _members(model, source)
    loop = f"for s in records for ({' '.join(f's_{name},' for name in fields)}) in (s,)"
    if not fields:
        loop = "for s in records"
    text = f"def write_all(records, memo):\n    return [{members} {loop}]"
    return make_function("write_all", text, scope, of=model.__name__)


def _members(model: type[BaseModel], source: Callable[[str], str]) -> tuple[str, dict[str, Any]]:
    """The text of a map with the model's required members, each of its ``source``, and the names that it uses."""
    scope: dict[str, Any] = {}
    members = []
    for name, field in model.model_fields.items():
        if field.is_required():
            inner = _serializer(field.annotation)
            if inner is not None:
                scope[f"c_{name}"] = inner
            # the record's attribute, where it is called otherwise
            value = source(name if field.alias or not field.validation_alias else str(field.validation_alias))
            value = value if inner is None else f"c_{name}({value}, memo)"
            members.append(f"{field.alias or name!r}: {value}")
    return f"{{{', '.join(members)}}}", scope


_MODELS: dict[type[BaseModel], Serializer] = {}
_BEGUN: set[type[BaseModel]] = set()


def _model(model: type[BaseModel]) -> Serializer:
    """The required members of a model, read from a record's attributes; the others are what was read along with it."""
    if model in _MODELS:
        return _MODELS[model]
    if model in _BEGUN:
        raise NotExecutedError(f"{model.__name__} is inside itself, which nothing here writes")
    _BEGUN.add(model)
    extra = {
        name: _serializer(field.annotation) for name, field in model.model_fields.items() if not field.is_required()
    }
    try:
        members, scope = _members(model, lambda name: f"s.{name}")
    finally:
        _BEGUN.discard(model)
    plain: Serializer = make_function("write", f"def write(s, memo):\n    return {members}", scope, of=model.__name__)

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
