"""How types are declared here.

A type's source objects are the service's records, read by attribute; a type says which attributes are shown and adds
relations. Descriptions of fields come from the service's models, where they are written once for both doors. Inputs are
the service's input models themselves, so a value is validated by the same lines whichever door it came through.
"""

import inspect
from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType, UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

import strawberry
from pydantic import BaseModel
from strawberry.types.field import StrawberryField

from services.shared.inputs import DescribedEnum, Input, NodeRef

T = TypeVar("T")
M = TypeVar("M", bound=Input)
Nested = Mapping[object, type]
"""The GraphQL inputs that stand for models of services inside of others."""


FieldDeclaration = Any
"""What Strawberry's ``field`` answers, and so does whatever declares a field here: the class's own annotation says the
type of it, to mypy as to Strawberry, and would not fit the object that stands there until the class is made."""


def attribute(
    name: str, *, description: str | None = None, metadata: Mapping[str, object] = MappingProxyType({})
) -> FieldDeclaration:
    """A field that shows another attribute of the record than the one it is named after."""

    def resolve(root: object) -> object:
        return getattr(root, name)

    # the class's own annotation is the field's type
    resolve.__annotations__.pop("return")
    return strawberry.field(resolver=resolve, metadata={"attribute": name, **metadata}, description=description)


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


def output_type(model: type[BaseModel], *, record: type | None = None) -> Callable[[type[T]], type[T]]:
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


def service_input(nested: Nested = MappingProxyType({})) -> Callable[[type[M]], type[M]]:
    """Make a class below one of a service's input models a GraphQL input of the class's name: ids become ID, aliases
    become names, and for the service's models in its fields stand the inputs that ``nested`` says.

    The service's own model stays as it is. Without a docstring, the input is described by the model's.
    """

    def declare(cls: type[M]) -> type[M]:
        known = {cls.__base__: cls, cls: cls, **nested}
        for field in cls.model_fields.values():
            options: dict[str, object] = {}
            annotation = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
            if _is_other_in_graphql(annotation, known):
                options["graphql_type"] = _in_graphql(annotation, known)
            if field.alias is not None:
                options["name"] = field.alias
            if options:
                field.metadata.append(strawberry.field(**options))  # type: ignore[call-overload]  # by their names
        return strawberry.pydantic.input(cls, name=cls.__name__, description=inspect.getdoc(cls))

    return declare


def enumeration(cls: type[Enum], description: str, *, name: str | None = None, **values: str) -> None:
    """Make a service's enumeration a GraphQL enum; every value is described, here or by itself."""
    made = strawberry.enum(cls, name=name, description=description)
    if issubclass(cls, DescribedEnum):
        values = {member.name: member.description for member in cls}
    for value in made.__strawberry_definition__.values:  # type: ignore[attr-defined]  # Strawberry's, set by the decorator
        value.description = values.pop(value.name)
    if values:
        raise TypeError(f"{cls.__name__} has no {', '.join(values)}")


def _is_other_in_graphql(annotation: object, nested: Nested) -> bool:
    """Whether an annotation mentions a reference or one of the nested models."""
    if get_origin(annotation) is Annotated and any(isinstance(item, NodeRef) for item in get_args(annotation)[1:]):
        return True
    parts = get_args(annotation)
    return annotation in nested if not parts else any(_is_other_in_graphql(part, nested) for part in parts)


def _in_graphql(annotation: object, nested: Nested) -> object:
    """The annotation with ``ID`` in the place of references, and inputs in the place of the nested models."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        return strawberry.ID if any(isinstance(item, NodeRef) for item in metadata) else _in_graphql(inner, nested)
    if origin is list:
        return list[_in_graphql(get_args(annotation)[0], nested)]  # type: ignore[misc]  # a type made at run time
    if origin in (Union, UnionType):
        return Union[tuple(_in_graphql(part, nested) for part in get_args(annotation))]  # noqa: UP007 - made at run time
    return nested.get(annotation, annotation)


def to_service_input(model: type[M], data: Input) -> M:
    """The part of a GraphQL input that the service's own model knows: without the id, the version and the like."""
    names = data.model_fields_set & set(model.model_fields)
    values = {name: getattr(data, name) for name in model.model_fields}
    return cast(M, model.model_construct(_fields_set=names, **values))


def as_output(record: object) -> Any:
    """A record where a type is declared: the executor reads its attributes."""
    return record
