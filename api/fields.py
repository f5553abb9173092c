"""Sparse fieldsets: ``fields=id,title`` answers these members only."""

from collections.abc import Collection
from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator
from pydantic_core import PydanticCustomError

from api.answers import converter, encode
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
    things: Any, model: type[BaseModel], fields: Collection[str], expanded: Collection[Expansion], response: Response
) -> Response:
    """One thing or several, with these members and the relations expanded; the headers of ``response`` are kept."""
    wanted = {*fields, *(name.value for name in expanded)}

    written = converter(model)

    def trim(thing: Any) -> dict[str, Any]:
        return {name: value for name, value in written(thing).items() if name in wanted}

    body = [trim(thing) for thing in things] if isinstance(things, list) else trim(things)
    return Response(encode(body), headers=dict(response.headers), media_type="application/json")
