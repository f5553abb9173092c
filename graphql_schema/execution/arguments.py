"""A field's arguments in Python's terms, as Strawberry gives them to a resolver, by converters that are made once.

Strawberry asks each input of every request for all the fields that it could have, and for their names: 300 µs for a
filter of two conditions. Here the names are looked up once, and only what was sent is looked at. What is not provided
for, and every value that is refused, is left to Strawberry's own converters, which also make the errors.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeGuard, cast

from pydantic import BaseModel, ValidationError
from strawberry.pydantic.conversion import build_pydantic_model
from strawberry.scalars import is_scalar
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema import Schema
from strawberry.types.arguments import StrawberryArgument, convert_argument
from strawberry.types.base import StrawberryList, StrawberryMaybe, StrawberryOptional, StrawberryType
from strawberry.types.enum import StrawberryEnumDefinition, has_enum_definition
from strawberry.types.scalar import ScalarDefinition, ScalarWrapper

from core.sentences import words_for
from graphql_compiler import KeptInput
from graphql_schema.execution.errors import RefusedArguments
from graphql_schema.execution.variables import argument_pointer
from services.shared.errors import MAX_MISTAKES, MAX_PROBLEMS, TOO_MANY_MISTAKES, Problem, to_pointer, type_of

ScalarRegistry = Mapping[object, ScalarWrapper | ScalarDefinition]
StrawberryTypes = StrawberryType | type
Convert = Callable[[Any], object]
Read = Callable[[Mapping[str, object]], dict[str, object]]
"""From what was sent, by GraphQL's names, to the same by Python's."""


class Model(NamedTuple):
    """How a model's input is read, and what its fields are called in GraphQL, with their types."""

    read: Read
    places: Mapping[str, tuple[str, StrawberryTypes]]


class Unforeseen(Exception):
    """A type whose values are left to Strawberry."""


def converter(
    arguments: list[StrawberryArgument], schema: Schema
) -> Callable[[Mapping[str, object]], dict[str, object]]:
    """From the arguments that graphql-core has coerced to those of a resolver; what was left out stays away.

    The converter raises what Strawberry's does.
    """
    config: StrawberryConfig = schema.config
    known: dict[str, tuple[str, Convert | None]] = {}
    for argument in arguments:
        name = config.name_converter.get_graphql_name(argument)
        known[name] = argument.python_name, argument_converter(argument.type, name, schema)

    def convert(values: Mapping[str, object]) -> dict[str, object]:
        converted = {}
        for name, value in values.items():
            python_name, inner = known[name]
            converted[python_name] = value if inner is None or value is None else inner(value)
        return converted

    return convert


def argument_converter(type_: StrawberryTypes, name: str, schema: Schema) -> Convert | None:
    """How a value that is not null is converted; None for a leaf, which graphql-core has converted already."""
    registry = schema.schema_converter.scalar_registry
    inner = type_.of_type if _is_optional(type_) else type_
    if _is_leaf(inner, registry):
        return None

    def ordinarily(value: object) -> object:
        return convert_argument(value, type_, registry, schema.config, path=(name,))

    if not _is_model(inner):
        return ordinarily
    known: dict[type, Model] = {}
    try:
        read = _model(inner, schema, known)
    except Unforeseen:
        return ordinarily

    def quickly(value: Mapping[str, object]) -> object:
        kept = value if type(value) is KeptInput else None
        if kept is not None and type(kept.made) is inner:
            return kept.made
        try:
            made = inner.model_validate(read(value), by_alias=False, by_name=True)
        except ValidationError as error:
            raise RefusedArguments(_problems(error, name, inner, known, schema)) from None
        if kept is not None:
            kept.made = made
        return made

    return quickly


def _problems(
    error: ValidationError, argument: str, model: type, known: Mapping[type, Model], schema: Schema
) -> list[Problem]:
    """The first of the problems, in the words of both doors."""
    if error.error_count() > MAX_MISTAKES:
        return [Problem(argument_pointer(argument), TOO_MANY_MISTAKES.detail, TOO_MANY_MISTAKES.type)]
    problems = []
    for detail in error.errors(include_url=False)[:MAX_PROBLEMS]:
        path, at = _located(detail["loc"], model, known)
        words = words_for(detail, names=_values(at, schema))
        kind = type_of(detail)
        problems.append(Problem(argument_pointer(argument) + to_pointer(path), words, kind))
    return problems


def _values(type_: StrawberryTypes, schema: Schema) -> list[str]:
    """The values of an enumeration in GraphQL's spelling; none for any other type."""
    inner = type_.of_type if isinstance(type_, StrawberryOptional) else type_
    if has_enum_definition(inner):
        inner = inner.__strawberry_definition__
    if not isinstance(inner, StrawberryEnumDefinition):
        return []
    return [schema.config.name_converter.from_enum_value(inner, value) for value in inner.values]


def _located(
    location: tuple[int | str, ...], type_: StrawberryTypes, known: Mapping[type, Model]
) -> tuple[list[int | str], StrawberryTypes]:
    """The place in GraphQL's names, as far as it can be told, and the type there."""
    path: list[int | str] = []
    for part in location:
        if isinstance(type_, StrawberryOptional):
            type_ = type_.of_type
        if isinstance(type_, StrawberryList):
            if not isinstance(part, int):
                break
            path.append(part)
            type_ = type_.of_type
            continue
        model = known.get(type_) if isinstance(type_, type) else None
        field = model.places.get(part) if model is not None and isinstance(part, str) else None
        if field is None:
            break
        path.append(field[0])
        type_ = field[1]
    return path, type_


def _model(model: type[BaseModel], schema: Schema, known: dict[type, Model]) -> Read:
    """From what was sent for a model's input to what pydantic validates. Raises ``Unforeseen``."""
    definition = cast(Any, model).__strawberry_definition__
    if definition.from_input is not build_pydantic_model:
        raise Unforeseen
    fields: dict[str, tuple[str, Convert | None]] = {}

    def read(value: Mapping[str, object]) -> dict[str, object]:
        data = {}
        for name, given in value.items():
            python_name, inner = fields[name]
            data[python_name] = given if inner is None or given is None else inner(given)
        return data

    places: dict[str, tuple[str, StrawberryTypes]] = {}
    known[model] = Model(read, places)
    for field in definition.fields:
        type_ = field.resolve_type(type_definition=definition)
        info = model.model_fields.get(field.python_name)
        if info is None or (info.is_required() and _is_optional(type_)):
            raise Unforeseen  # it may be left out, and is null then
        name = schema.config.name_converter.from_field(field)
        fields[name] = field.python_name, _value(type_, schema, known)
        places[field.python_name] = name, type_
    return read


def _value(type_: StrawberryTypes, schema: Schema, known: dict[type, Model]) -> Convert | None:
    if _is_optional(type_):
        return _value(type_.of_type, schema, known)
    if _is_leaf(type_, schema.schema_converter.scalar_registry):
        return None
    if isinstance(type_, StrawberryList):
        item = _value(type_.of_type, schema, known)
        if item is None:
            return None
        return lambda values: [None if value is None else item(value) for value in values]
    if not _is_model(type_):
        raise Unforeseen
    if type_ not in known:
        _model(type_, schema, known)
    return known[type_].read


def _is_optional(type_: object) -> TypeGuard[StrawberryOptional]:
    if isinstance(type_, StrawberryMaybe):
        raise Unforeseen
    return isinstance(type_, StrawberryOptional)


def _is_leaf(type_: StrawberryTypes, registry: ScalarRegistry) -> bool:
    return is_scalar(type_, registry) or isinstance(type_, StrawberryEnumDefinition) or has_enum_definition(type_)


def _is_model(type_: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(type_, type) and issubclass(type_, BaseModel)
