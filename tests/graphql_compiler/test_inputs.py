"""Inputs that come again: they are what graphql-core made of them the first time, and of nothing else."""

from typing import Any

import pytest
from graphql import OperationDefinitionNode, Undefined, build_schema, parse

import graphql_compiler.inputs as kept_inputs
from graphql_compiler import Inputs, KeptInput, Variables
from graphql_compiler.inputs import LONGEST

SCHEMA = build_schema("""
  input Range { from: Int! = 1, to: Int, words: [String!], inner: Range }
  type Query { f(range: Range): Int }
""")
RANGE: Any = SCHEMA.get_type("Range")


def test_what_comes_again_is_the_same() -> None:
    inputs = Inputs()
    first = inputs.coerced({"to": 2}, RANGE)

    assert type(first) is KeptInput
    assert first == {"from": 1, "to": 2}
    assert inputs.coerced({"to": 2}, RANGE) is first


@pytest.mark.parametrize("other", [{"to": 3}, {"to": 2.0}, {"to": None}, {"to": 2, "words": []}])
def test_what_is_another_is_not(other: dict[str, Any]) -> None:
    inputs = Inputs()
    first = inputs.coerced({"to": 2}, RANGE)

    assert inputs.coerced(other, RANGE) is not first
    assert inputs.coerced(other, RANGE) == Inputs(most=0).coerced(other, RANGE)


@pytest.mark.parametrize("refused", [{"to": True}, {"to": "2"}, {"nothing": 1}, {"from": None}])
def test_what_is_refused_is_refused_again(refused: dict[str, Any]) -> None:
    inputs = Inputs()
    inputs.coerced({"to": 1}, RANGE)

    assert [inputs.coerced(refused, RANGE) for _ in range(2)] == [Undefined, Undefined]


def test_what_is_nested_too_deeply_is_refused() -> None:
    value: dict[str, Any] = {}
    for _ in range(5_000):
        value = {"inner": value}

    assert Inputs().coerced(value, RANGE) is Undefined


def test_only_so_many_that_are_short_are_kept() -> None:
    inputs = Inputs(most=2)
    kept = [inputs.coerced({"to": number}, RANGE) for number in range(3)]

    assert inputs.coerced({"to": 2}, RANGE) is kept[2]
    assert inputs.coerced({"to": 0}, RANGE) is not kept[0]
    assert type(inputs.coerced({"words": ["x" * LONGEST]}, RANGE)) is dict


def test_of_what_is_long_no_more_is_looked_at_than_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []

    def show(value: object) -> str:
        shown.append(value)
        return str(value)

    monkeypatch.setattr(kept_inputs, "repr", show, raising=False)
    inputs = Inputs()
    for value in ({"words": ["x" * 2_000_000]}, {"words": ["x"] * 100_000}, {"x" * 2_000_000: 1}, {"to": 2}):
        inputs.coerced(value, RANGE)

    assert shown == [{"to": 2}]


def test_an_operation_that_is_given_none_keeps_nothing() -> None:
    [operation] = parse("query ($v: Range) { f(range: $v) }").definitions
    assert isinstance(operation, OperationDefinitionNode)
    keeping, plain = Variables(SCHEMA, operation, Inputs()), Variables(SCHEMA, operation)
    for variables, kind in ((keeping, KeptInput), (plain, dict)):
        values: Any = variables.coerce({"v": {"to": 2}}, 10)
        assert type(values.coerced["v"]) is kind
