"""graphql-core's executor as ours: what it leaves behind where a field fails, and what it is asked of all values."""

import asyncio
import gc
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from graphql import ExecutionResult, GraphQLSchema, build_schema, execute, parse

from graphql_schema.execution.ordinary import MANY, Counted, OrdinaryExecutor

DOCUMENT = parse("{ fails slow { one { id } other { id } leaves { id inner { id } } later { id } } }")
STEPS = range(7)


async def after(steps: int, value: Any) -> Any:
    """The value, or the exception, when the loop has gone round so often."""
    for _ in range(steps):
        await asyncio.sleep(0)
    if isinstance(value, Exception):
        raise value
    return value


def schema_of(fails: int, slow: int) -> GraphQLSchema:
    """A root field that fails after some steps, and beside it one that comes after some steps and has more below."""
    schema = build_schema("""
        type Query { fails: Int! slow: Slow }
        type Slow { one: Leaf other: Leaf leaves: [Leaf!] later: [Leaf] }
        type Leaf { id: Int inner: Leaf }
    """)
    resolvers: dict[str, dict[str, Callable[..., Any]]] = {
        "Query": {
            "fails": lambda *_: after(fails, RuntimeError("not this time")),
            "slow": lambda *_: after(slow, {}),
        },
        "Slow": {
            **dict.fromkeys(("one", "other"), lambda *_: after(2, {})),
            "leaves": lambda *_: [{}, {}],
            "later": lambda *_: [after(1, {}), after(2, {})],
        },
        "Leaf": {"id": lambda *_: after(2, 1), "inner": lambda *_: {}},
    }
    for type_name, fields in resolvers.items():
        for name, resolve in fields.items():
            schema.type_map[type_name].fields[name].resolve = resolve  # type: ignore[attr-defined]  # of object types
    return schema


async def by_graphql_core(schema: GraphQLSchema) -> ExecutionResult:
    result = execute(schema, DOCUMENT)
    assert not isinstance(result, ExecutionResult)
    return await result


async def by_ours(schema: GraphQLSchema) -> ExecutionResult:
    counted = Counted()
    options: dict[str, Any] = {"is_awaitable": counted.is_awaitable, "counted": counted}
    try:
        result = execute(schema, DOCUMENT, executor_class=OrdinaryExecutor, **options)
        assert not isinstance(result, ExecutionResult)
        return await result
    finally:
        counted.close()


def never_awaited(run: Callable[[GraphQLSchema], Any]) -> list[str]:
    """What Python says of coroutines, whichever of the fields comes first."""
    said, seen = set[str](), list[str]()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("always")
        patch.setattr(warnings, "showwarning", lambda message, *_: seen.append(str(message)))
        gc.disable()  # else it finds them inside a named tuple, which has no builtins and so no warnings
        for fails in STEPS:
            for slow in STEPS:
                said.update(error.message for error in asyncio.run(run(schema_of(fails, slow))).errors)
        gc.enable()
        gc.collect()
    assert said == {"not this time"}
    return seen


def test_nothing_is_left_that_has_not_begun() -> None:
    assert never_awaited(by_ours) == []


def test_graphql_core_leaves_what_has_not_begun() -> None:
    """When it no longer does, ours need not know its coroutines."""
    assert any("was never awaited" in warning for warning in never_awaited(by_graphql_core))


async def test_what_has_ended_is_forgotten() -> None:
    counted = Counted()
    for _ in range(5 * MANY):
        coroutine = after(0, 1)
        assert counted.is_awaitable(coroutine)
        await coroutine
    assert len(counted._coroutines) <= MANY


@pytest.mark.parametrize("value", [None, 1, "x", {}, [], object()])
def test_values_are_not_waited_for(value: Any) -> None:
    assert not Counted().is_awaitable(value)


async def test_futures_are_waited_for() -> None:
    assert Counted().is_awaitable(asyncio.get_running_loop().create_future())
