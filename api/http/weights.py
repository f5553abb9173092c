"""How much long text an answer holds, before it is written: a hundred tasks may have six million characters."""

from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from services.shared.outputs import LONG_TEXTS

Weigh = Callable[[Any], int]
"""Given what a serializer made of an answer, the number of characters in its long texts."""
_Sizes = Callable[[Sequence[Any]], int]


def weigher(annotation: Any) -> Weigh | None:
    """How an answer is weighed; None for one that holds only so much: a thing by itself."""
    model, many = _model(annotation)
    if model is None:
        return None
    sizes = _sizes(model)
    if sizes is None:
        return None
    if many:
        return sizes
    lists = any(_model(field.annotation)[1] for field in model.model_fields.values() if field.is_required())
    return (lambda answer: sizes([answer])) if lists else None


def _sizes(model: type[BaseModel]) -> _Sizes | None:
    """For maps of a model; None where there is no long text in them."""
    texts: list[tuple[str, Callable[[Any], Any], bool]] = []
    inner: list[tuple[str, bool, _Sizes]] = []
    for name, field in model.model_fields.items():
        key = field.alias or name
        if name in LONG_TEXTS:
            texts.append((key, itemgetter(key), field.annotation is Any))
            continue
        nested, many = _model(field.annotation)
        if nested is not None and (sizes := _sizes(nested)) is not None:
            inner.append((key, many, sizes))
    if not texts and not inner:
        return None

    def weigh(maps: Sequence[Any]) -> int:
        if not maps:
            return 0
        total, first = 0, maps[0]
        for key, value_of, anything in texts:
            if key in first:
                values = map(value_of, maps)
                total += sum(map(len, filter(_is_text, values) if anything else filter(None, values)))
        for key, many, sizes in inner:
            if key in first:
                held = [value for item in maps if (value := item[key]) is not None]
                total += sizes([*chain.from_iterable(held)] if many else held)
        return total

    return weigh


def _is_text(value: object) -> bool:
    return type(value) is str


def _model(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model that an annotation is about, if there is one, and whether it is a list of them."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _model(arguments[0])
    if origin in (Union, UnionType):
        return next((found for found in map(_model, arguments) if found[0] is not None), (None, False))
    if origin is list:
        return _model(arguments[0])[0], True
    return (annotation, False) if isinstance(annotation, type) and issubclass(annotation, BaseModel) else (None, False)
