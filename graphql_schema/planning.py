"""When an operation is compiled, and what is kept of that."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from graphql import OperationDefinitionNode
from graphql.execution.values import VariableValues
from strawberry.schema.schema import Schema

from core.aside import aside
from graphql_compiler import NotCompilable, Plan, compile_operation
from graphql_schema.compiled import SCALARS, bindings
from graphql_schema.documents import Known, name_of
from graphql_schema.limits import Limits, TooExpensive
from graphql_schema.meter import Meter
from graphql_schema.outcomes import GraphQLRequest

MANY_TOKENS = 200
"""A document of so many is compiled aside (``core.aside``): it may take 100 ms."""
SMALL = {"nodes": 200, "values": 1_500, "results": 100, "result_values": 1_500}
"""What an operation may come to that is not worth compiling before its document comes again."""


class Planner:
    """Compiles operations of one schema."""

    def __init__(self, schema: Schema, limits: Limits, compile_after: int) -> None:
        self._schema, self._binding_of = schema._schema, bindings(schema)
        self._small = Meter(self._schema, replace(limits, **SMALL))
        self.compile_after = compile_after
        """How often a document has to come again to be worth compiling (1 to 20 ms)."""

    async def plan(
        self, known: Known, request: GraphQLRequest, operation: OperationDefinitionNode, variables: VariableValues
    ) -> Plan | None:
        """The operation's plan, made when its document comes again or is worth it at once; None where it has none."""
        seldom = known.repeats < self.compile_after and not request.large
        if seldom and self._is_small(known, operation, request.variables or {}):
            return None
        shape = {variable: variables.coerced.get(variable) for variable in known.shaping(operation)}
        key = (name_of(operation), *shape.values())
        if key in known.plans:
            known.plans.move_to_end(key)
            return known.plans[key]
        make = partial(self._compile, known, operation, shape)
        plan = make() if known.document.token_count < MANY_TOKENS else await aside(make)
        known.keep_plan(key, plan)
        return plan

    def _compile(self, known: Known, operation: OperationDefinitionNode, shape: Mapping[str, Any]) -> Plan | None:
        with suppress(NotCompilable):
            return compile_operation(
                self._schema, known.document, operation, shape, binding_of=self._binding_of, scalars=SCALARS
            )
        return None

    def _is_small(self, known: Known, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> bool:
        try:
            self._small.check(known.document, operation, variables)
        except TooExpensive:
            return False
        return True
