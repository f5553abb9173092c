"""The compiler's short way for variables and arguments: what graphql-core makes of them, or left to it."""

from itertools import product
from typing import Any

import pytest
from graphql import GraphQLError, OperationDefinitionNode, build_schema, parse
from graphql.execution.values import VariableValues, get_argument_values, get_variable_values

from graphql_compiler import Execution, Variables
from graphql_compiler.arguments import arguments_of

SCHEMA = build_schema("""
  input Range { from: Int! = 1, to: Int, words: [String!] }
  enum Colour { RED GREEN }
  type Query { f(
    id: ID, required: ID!, word: String = "none", number: Int, flag: Boolean! = true, colour: Colour, range: Range,
    ranges: [Range!], score: Float
  ): Int }
""")
VALUES: tuple[Any, ...] = (
    None, 0, 1, -1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 1.0, 1.5, True, False, "", "1", "RED", "BLUE", [], [1],
    ["a"], {}, {"to": 2}, {"from": None}, {"from": 2, "words": ["a", None]}, {"nothing": 1}, [{"to": 1}, {"from": 3}],
)  # fmt: skip
TYPES = ("ID", "ID!", "String", "String!", "Int", "Int!", "Boolean", "Colour", "Range", "Range!", "[Range!]", "Float")


def operation(text: str) -> OperationDefinitionNode:
    [definition] = parse(text).definitions
    assert isinstance(definition, OperationDefinitionNode)
    return definition


def shown(values: list[GraphQLError] | VariableValues) -> Any:
    if isinstance(values, list):
        return [error.formatted for error in values]
    sources = {name: (repr(source.value), str(source.signature.type)) for name, source in values.sources.items()}
    return repr(values.coerced), sources


@pytest.mark.parametrize("type_", TYPES)
def test_a_variable_is_what_graphql_core_makes_of_it(type_: str) -> None:
    for default in ("", " = null", " = 1", ' = "x"', " = {from: 5}"):
        wanted = operation(f"query ($v: {type_}{default}) {{ f(required: 1) }}")
        variables = Variables(SCHEMA, wanted)
        given: list[dict[str, Any]] = [{}, {"other": 1}, *({"v": value} for value in VALUES)]
        for inputs in given:
            expected: Any
            try:
                expected = shown(get_variable_values(SCHEMA, wanted.variable_definitions or (), inputs, 10, True))
            except Exception as error:
                with pytest.raises(type(error)):
                    variables.coerce(inputs, 10)
            else:
                assert shown(variables.coerce(inputs, 10)) == expected, (type_, default, inputs)


def test_several_variables_and_one_of_no_type() -> None:
    wanted = operation("query ($a: ID!, $b: Int, $c: Nothing) { f(required: 1) }")
    for inputs in ({"a": "1", "b": 2}, {"a": "1", "c": 3}):
        expected = get_variable_values(SCHEMA, wanted.variable_definitions or (), inputs, 10, True)
        assert shown(Variables(SCHEMA, wanted).coerce(inputs, 10)) == shown(expected)


def outcome(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except GraphQLError as error:
        return error.formatted


ARGUMENTS = (
    "required: $a",
    "required: $a, id: $b, number: $c",
    "required: 7, word: $b, flag: $d",
    "required: $a, range: {from: $c, to: 4}",
    "required: $a, range: $e, colour: RED",
    "required: 7, word: null",
)


@pytest.mark.parametrize("written", ARGUMENTS)
def test_arguments_are_what_graphql_core_makes_of_them(written: str) -> None:
    query = SCHEMA.query_type
    assert query is not None
    wanted = operation(f"query ($a: ID, $b: String, $c: Int, $d: Boolean, $e: Range) {{ f({written}) }}")
    field, node = query.fields["f"], wanted.selection_set.selections[0]
    arguments: Any = arguments_of(field, node)  # type: ignore[arg-type]  # it is a field
    given = {"a": ("1", None), "b": ("x", None), "c": (3, None), "d": (False, None), "e": ({"to": 3}, None)}
    for chosen in product(*([(name, value) for value in (*values, ...)] for name, values in given.items())):
        inputs = {name: value for name, value in chosen if value is not ...}
        values = get_variable_values(SCHEMA, wanted.variable_definitions or (), inputs)
        assert isinstance(values, VariableValues)
        expected = outcome(get_argument_values, field, node, values, None, True)
        assert outcome(arguments, Execution(None, values)) == expected, (written, inputs)
