"""Sparse fieldsets: ``fields=id,title`` answers these members only."""

from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator
from pydantic_core import PydanticCustomError

from api.http.envelopes import enveloped
from api.http.list_tags import tagged
from api.http.serializers import serializer_for, written
from api.http.weights import weigher
from core.json_texts import encode
from core.sentences import did_you_mean
from services.tasks.models import TaskOut

DESCRIPTION = (
    "Only these members, e.g. id,title; may repeat. What expand names comes as well. The answer then lacks members "
    "that the schema requires."
)


def _split(values: object) -> object:
    if not isinstance(values, list):
        return values
    return [name.strip() for value in values for name in (value.split(",") if isinstance(value, str) else [value])]


def _checked(names: Collection[str], thing: str) -> Callable[[list[str]], list[str]]:
    known = ", ".join(sorted(names))

    def check(given: list[str]) -> list[str]:
        for name in given:
            if name not in names:
                context = {"known": known, "meant": did_you_mean(name, names), "thing": thing}
                raise PydanticCustomError(
                    "unknown_field", "names what is not a field of {thing}, which are {known}{meant}", context
                )
        return given

    return check


@cache
def field_names(model: type[BaseModel], thing: str) -> Any:
    """The type of ``fields``, of things that a model describes: those of its members that each has."""
    names = frozenset(name for name, field in model.model_fields.items() if field.is_required())
    return Annotated[list[str], BeforeValidator(_split), AfterValidator(_checked(names, thing))]


FieldNames = Annotated[
    list[str], BeforeValidator(_split), AfterValidator(_checked(frozenset(TaskOut.model_fields), "a task"))
]
Fields = Annotated[FieldNames, Query(description=DESCRIPTION, examples=[["id,title"]])]


def sparse(
    thing: Any, model: type[BaseModel], fields: Collection[str], expanded: Collection[str], response: Response
) -> Response:
    """A thing with these members and the relations expanded; the headers of ``response`` are kept."""
    [body] = _trimmed([thing], model, fields, expanded)
    return _answer(encode(body), response)


async def sparse_list(
    things: Sequence[Any],
    model: type[BaseModel],
    fields: Collection[str],
    expanded: Collection[str],
    response: Response,
    request: Request,
) -> Response:
    """As ``sparse``, for several. Raises ``TooExpensive``."""
    body = _trimmed(things, model, fields, expanded)
    return _answer(await written(body, weigher(list[model]), request), response)  # type: ignore[valid-type]  # made here


def _trimmed(
    things: Sequence[Any], model: type[BaseModel], fields: Collection[str], expanded: Collection[str]
) -> list[dict[str, Any]]:
    wanted = {*fields, *map(str, expanded)}
    serialize = serializer_for(model)
    return [{name: value for name, value in serialize(thing).items() if name in wanted} for thing in things]


def _answer(body: bytes, response: Response) -> Response:
    body = enveloped(response, body)
    return tagged(response, body) or Response(body, headers=dict(response.headers), media_type="application/json")
