"""What of our schema is compiled, by number and by name, so that a silent fall-back after an upgrade is red."""

from collections import Counter
from collections.abc import Iterator

from graphql import GraphQLField, GraphQLObjectType
from strawberry.types.field import StrawberryField

from graphql_compiler import Attribute, Batch
from graphql_compiler.strawberry import unguarded
from graphql_schema.execution.arguments import argument_converter
from graphql_schema.execution.bindings import SCALARS, bindings
from graphql_schema.schema import schema
from graphql_schema.shared.base import RECORDS


def fields() -> Iterator[tuple[GraphQLObjectType, str, GraphQLField]]:
    """The fields of all types but a subscription's and introspection's."""
    core = schema._schema
    for type_ in core.type_map.values():
        left = type_ is core.subscription_type or type_.name.startswith("__")
        if isinstance(type_, GraphQLObjectType) and not left:
            yield from ((type_, name, field) for name, field in type_.fields.items())


def test_fields_are_compiled_but_for_these() -> None:
    binding_of, how, left = bindings(schema), Counter[str](), []
    for type_, name, field in fields():
        binding = binding_of(type_, name, field)
        if binding is None:
            left.append(f"{type_.name}.{name}")
        how[type(binding).__name__] += 1

    assert left == ["BulkError.message", "BulkProblem.pointer", "BulkProblem.detail"]
    assert how == {"Attribute": 402, "Batch": 176, "NoneType": 3}


def test_leaves_of_records_stand_as_they_are() -> None:
    binding_of, converted = bindings(schema), []
    for type_, name, field in fields():
        binding, scalar = binding_of(type_, name, field), str(field.type).rstrip("!")
        if isinstance(binding, Attribute) and scalar in SCALARS and SCALARS[scalar] is not binding.python_type:
            converted.append(f"{type_.name}.{name}")

    assert {name.partition(".")[0] for name in converted}.isdisjoint(RECORDS)
    assert len(converted) == 95, "of payloads and other parts, whose values are looked at one by one"


def test_inputs_are_read_by_converters_of_ours() -> None:
    how, ordinary = Counter[str](), []
    for type_, name, field in fields():
        definition = unguarded(field)
        assert isinstance(definition, StrawberryField)
        for argument in definition.arguments:
            convert = argument_converter(argument.type, argument.python_name, schema)
            how[convert.__name__ if convert else "as it is"] += 1
            if convert is not None and convert.__name__ != "quickly":
                ordinary.append(f"{type_.name}.{name}({argument.python_name})")

    assert ordinary == [
        "Query.nodes(ids)",
        "Query.tasks(then_by)",
        "Query.changes(kind)",
        "Project.tasks(then_by)",
        "Task.subtasks(then_by)",
        "Milestone.tasks(then_by)",
    ]
    assert how == {"as it is": 137, "quickly": 98, "ordinarily": 6}


def test_operations_own_fields_are_called_without_strawberry() -> None:
    core, binding_of = schema._schema, bindings(schema)
    roots = [type_ for type_ in (core.query_type, core.mutation_type) if type_ is not None]

    assert all(isinstance(binding_of(type_, *item), Batch) for type_ in roots for item in type_.fields.items())
