"""What a module adds to the schema."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module

import strawberry
from strawberry.types.base import StrawberryObjectDefinition

from services.shared.features import Feature


@dataclass(frozen=True, slots=True)
class Part:
    """The root fields of a module, as classes that Strawberry knows, and the fields that it adds to others' types."""

    queries: type | None = None
    mutations: type | None = None
    subscriptions: type | None = None
    extends: Mapping[type, type] = field(default_factory=dict)
    """A type of another module -> a class with the fields that it gets (GraphQL's ``extend type``)."""


def parts_of(features: Iterable[Feature]) -> list[Part]:
    """The parts of the features' modules, in order. Raises ``TypeError`` for a module without one."""
    found = []
    for module in (f"graphql_schema.{name}" for feature in features for name in feature.parts):
        part = getattr(import_module(module), "PART", None)
        if not isinstance(part, Part):
            raise TypeError(f"{module} has no PART")
        found.append(part)
    return found


def root_type(name: str, description: str, parts: Iterable[type | None]) -> type:
    """A type with the fields of all its parts. Raises ``TypeError`` for a field that is said twice."""
    given = tuple(part for part in parts if part is not None)
    fields: dict[str, type] = {}
    for part in given:
        for each in _definition(part).fields:
            if each.name in fields:
                raise TypeError(f"{part.__name__} and {fields[each.name].__name__} have a field {each.name}")
            fields[each.name] = part
    return strawberry.type(type(name, given, {}), description=description)


def extend(extensions: Mapping[type, type]) -> None:
    """Add fields to types, before the schema is made of them. Raises ``TypeError`` for one that is there already."""
    for extended, extension in extensions.items():
        fields = _definition(extended).fields
        there = {each.name for each in fields}
        for each in _definition(extension).fields:
            if each.name in there:
                raise TypeError(f"{extended.__name__} has a field {each.name} already")
            fields.append(each)


def _definition(cls: type) -> StrawberryObjectDefinition:
    definition: StrawberryObjectDefinition = cls.__strawberry_definition__  # type: ignore[attr-defined]  # Strawberry's, set by the decorator
    return definition
