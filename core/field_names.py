"""What the fields of a model are called where an error is, for whoever misspelt one."""

from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel


def names_at(annotation: Any, location: Sequence[str | int]) -> list[str]:
    """The names of the fields at a place below a type; none where there is no model."""
    for part in location:
        annotation = _below(annotation, part)
    models = [each for each in _alternatives(annotation) if isinstance(each, type) and issubclass(each, BaseModel)]
    return [field.alias or name for model in models for name, field in model.model_fields.items()]


def _below(annotation: Any, part: str | int) -> Any:
    for each in _alternatives(annotation):
        if isinstance(part, int) and get_args(each):
            return get_args(each)[0]
        if isinstance(each, type) and issubclass(each, BaseModel):
            fields = each.model_fields.items()
            found = next((field for name, field in fields if part in (field.alias, name)), None)
            if found is not None:
                return found.annotation
    return None


def _alternatives(annotation: Any) -> Iterator[Any]:
    """The types that a value may be of, without what is said of them."""
    if get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for each in get_args(annotation):
            yield from _alternatives(each)
    else:
        yield annotation
