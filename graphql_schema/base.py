"""How types are declared here.

A type's source objects are the service's records, read by attribute; a type says which attributes are shown and adds
relations. Descriptions of fields come from the service's models, where they are written once for both doors. Inputs are
the service's input models themselves, so a value is validated by the same lines whichever door it came through.
"""

from collections.abc import Callable
from enum import Enum
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

import strawberry
from pydantic import BaseModel
from strawberry.types.field import StrawberryField

from services.inputs import Input, NodeRef

T = TypeVar("T")
M = TypeVar("M", bound=Input)


def attribute(name: str, **options: Any) -> Any:
    """A field that shows another attribute of the record than the one it is named after."""

    def resolve(root: Any) -> Any:
        return getattr(root, name)

    # the class's own annotation is the field's type
    resolve.__annotations__.pop("return")
    return strawberry.field(resolver=resolve, metadata={"attribute": name}, **options)


@strawberry.interface(description="Something with a global id, which can be fetched again by it.")
class Node:
    """Relay's Object Identification."""

    @strawberry.field(description="The global id: the same text as REST's node_id.", metadata={"attribute": "node_id"})
    def id(self) -> strawberry.ID:
        return strawberry.ID(self.node_id)  # type: ignore[attr-defined]  # the record's

    @classmethod
    def resolve_type(cls, record: object, *_: object) -> str:
        return NODE_NAMES[type(record)]


RECORDS: dict[str, type] = {}
"""The records that types show, by the names of the types."""
NODE_NAMES: dict[type, str] = {}
"""The names of the types that implement Node, by the records they show."""


def is_any(_cls: type, _source: object, _info: object) -> bool:
    """The ``is_type_of`` of every type: sources are records, not instances of it."""
    return True


def described(model: type[BaseModel], *, record: type | None = None) -> Callable[[type[T]], type[T]]:
    """Declare a type whose descriptions are those of a service's output model; with ``record``, one that is a Node."""

    def declare(cls: type[T]) -> type[T]:
        cls.is_type_of = classmethod(is_any)  # type: ignore[attr-defined]  # Strawberry's, set by the decorator
        made: type[T] = strawberry.type(cls, description=_first_line(model))
        for field in made.__strawberry_definition__.fields:  # type: ignore[attr-defined]  # Strawberry's, set by the decorator
            _describe(field, model)
        if record is not None:
            NODE_NAMES[record] = cls.__name__
            RECORDS[cls.__name__] = record
        return made

    return declare


def _first_line(model: type) -> str:
    return (model.__doc__ or "").strip()


def _describe(field: StrawberryField, model: type[BaseModel]) -> None:
    source = {"database_id": "id"}.get(field.python_name, field.python_name)
    if field.description is None and source in model.model_fields:
        field.description = model.model_fields[source].description


def service_input(name: str | None = None) -> Callable[[type[M]], type[M]]:
    """Make a service's input model a GraphQL input: ids become ID, aliases become names."""

    def declare(cls: type[M]) -> type[M]:
        for field in cls.model_fields.values():
            options: dict[str, Any] = {}
            annotation = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
            if _mentions_ref(annotation):
                options["graphql_type"] = _with_ids(annotation)
            if field.alias is not None:
                options["name"] = field.alias
            if options and not any(isinstance(item, StrawberryField) for item in field.metadata):
                field.metadata.append(strawberry.field(**options))
        return strawberry.pydantic.input(cls, name=name or cls.__name__, description=_first_line(cls))

    return declare


def enumeration(cls: type[Enum], description: str, *, name: str | None = None, **values: str) -> None:
    """Make a service's enumeration a GraphQL enum; every value is described."""
    made = strawberry.enum(cls, name=name, description=description)
    for value in made.__strawberry_definition__.values:  # type: ignore[attr-defined]  # Strawberry's, set by the decorator
        value.description = values.pop(value.name)
    if values:
        raise TypeError(f"{cls.__name__} has no {', '.join(values)}")


def _mentions_ref(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return any(isinstance(item, NodeRef) for item in metadata) or _mentions_ref(inner)
    return any(_mentions_ref(argument) for argument in get_args(annotation))


def _with_ids(annotation: Any) -> Any:
    """The annotation with ``ID`` in the place of references."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        return strawberry.ID if any(isinstance(item, NodeRef) for item in metadata) else _with_ids(inner)
    if origin is list:
        return list[_with_ids(get_args(annotation)[0])]  # type: ignore[misc]  # a type made at run time
    if origin in (Union, UnionType):
        parts = [_with_ids(argument) for argument in get_args(annotation)]
        return Union[tuple(parts)]  # noqa: UP007 - made at run time
    return annotation


def narrow(model: type[M], data: Input) -> M:
    """The part of a GraphQL input that the service's own model knows: without the id, the version and the like."""
    names = data.model_fields_set & set(model.model_fields)
    values = {name: getattr(data, name) for name in model.model_fields}
    return cast(M, model.model_construct(_fields_set=names, **values))


def shown(record: object) -> Any:
    """A record where a type is declared: the executor reads its attributes."""
    return record
