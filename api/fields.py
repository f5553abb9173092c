"""Sparse fieldsets: ``fields=id,title`` answers these members only."""

from collections.abc import Collection, Sequence
from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator
from pydantic_core import PydanticCustomError

from api.answers import converter, written
from api.weights import weigher
from core.answers import encode
from services.tasks.expansions import Expansion
from services.tasks.models import TaskOut

_KNOWN = frozenset(TaskOut.model_fields)
DESCRIPTION = (
    "Only these members, e.g. id,title; may repeat. What expand names comes as well. The answer then lacks members "
    "that the schema requires."
)


def _split(values: object) -> object:
    if not isinstance(values, list):
        return values
    return [name.strip() for value in values for name in (value.split(",") if isinstance(value, str) else [value])]


def _check(names: list[str]) -> list[str]:
    for name in names:
        if name not in _KNOWN:
            known = ", ".join(sorted(_KNOWN))
            raise PydanticCustomError("unknown_field", "a task has no such member; it has {known}", {"known": known})
    return names


FieldNames = Annotated[list[str], BeforeValidator(_split), AfterValidator(_check)]
Fields = Annotated[FieldNames, Query(description=DESCRIPTION, examples=[["id,title"]])]


def sparse(
    thing: Any, model: type[BaseModel], fields: Collection[str], expanded: Collection[Expansion], response: Response
) -> Response:
    """A thing with these members and the relations expanded; the headers of ``response`` are kept."""
    [body] = _trimmed([thing], model, fields, expanded)
    return _answer(encode(body), response)


async def sparse_list(
    things: Sequence[Any],
    model: type[BaseModel],
    fields: Collection[str],
    expanded: Collection[Expansion],
    response: Response,
    request: Request,
) -> Response:
    """As ``sparse``, for several. Raises ``TooExpensive``."""
    body = _trimmed(things, model, fields, expanded)
    return _answer(await written(body, weigher(list[model]), request), response)  # type: ignore[valid-type]  # made here


def _trimmed(
    things: Sequence[Any], model: type[BaseModel], fields: Collection[str], expanded: Collection[Expansion]
) -> list[dict[str, Any]]:
    wanted = {*fields, *(name.value for name in expanded)}
    convert = converter(model)
    return [{name: value for name, value in convert(thing).items() if name in wanted} for thing in things]


def _answer(body: bytes, response: Response) -> Response:
    return Response(body, headers=dict(response.headers), media_type="application/json")
