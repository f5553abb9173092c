"""When an operation is compiled, and what is kept of that."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from graphql import OperationDefinitionNode, OperationType
from graphql.execution.values import VariableValues
from strawberry.schema.schema import Schema

from core.aside import aside
from graphql_compiler import CompiledOperation, NotCompilable, compile_operation
from graphql_schema.execution.bindings import SCALARS, bindings
from graphql_schema.execution.documents import CachedDocument, name_of
from graphql_schema.execution.limits import Limits, TooExpensive
from graphql_schema.execution.meter import Meter
from graphql_schema.execution.preparing import PreparedOperation

MANY_TOKENS = 200
"""A document of so many is compiled aside (``core.aside``): it may take 100 ms."""
SMALL = {"nodes": 200, "values": 1_500, "results": 100, "result_values": 1_500}
"""What an operation may come to that is not worth compiling before its document comes again."""


class OperationCompiler:
    """Compiles operations of one schema, those of a document when it has come again ``compile_after`` times."""

    def __init__(self, schema: Schema, limits: Limits, compile_after: int) -> None:
        self._schema, self._binding_of = schema._schema, bindings(schema)
        self._small = Meter(self._schema, replace(limits, **SMALL))
        self.compile_after = compile_after

    async def compiled(
        self, prepared: PreparedOperation, variables: VariableValues, *, at_once: bool = False
    ) -> CompiledOperation | None:
        """The operation, compiled when its document comes again or is worth it ``at_once`` (1 to 20 ms), as one is that
        will be executed again and again; None where it cannot be, or its document is not kept."""
        cached = prepared.cached
        if cached is None:
            return None
        if (
            not at_once
            and cached.repeats < self.compile_after
            and not prepared.request.large
            and self._is_small(prepared)
        ):
            return None
        operation = prepared.operation
        shape = {variable: variables.coerced.get(variable) for variable in cached.shaping(operation)}
        key = (name_of(operation), *shape.values())
        if key in cached.compiled:
            cached.compiled.move_to_end(key)
            return cached.compiled[key]
        compile_ = partial(self._compile, cached, operation, shape)
        compiled = compile_() if cached.document.token_count < MANY_TOKENS else await aside(compile_)
        cached.keep_compiled(key, compiled)
        prepared.keep()
        return compiled

    def compile_ahead(self, cached: CachedDocument) -> None:
        """Compile the operations of a valid document that no variable shapes; any other, when it is asked for."""
        cached.repeats = self.compile_after
        for node in cached.document.definitions:
            if not isinstance(node, OperationDefinitionNode) or node.operation is OperationType.SUBSCRIPTION:
                continue
            if not cached.shaping(node):
                cached.keep_compiled((name_of(node),), self._compile(cached, node, {}))

    def _compile(
        self, cached: CachedDocument, operation: OperationDefinitionNode, shape: Mapping[str, object]
    ) -> CompiledOperation | None:
        with suppress(NotCompilable):
            return compile_operation(
                self._schema, cached.document, operation, shape, binding_of=self._binding_of, scalars=SCALARS
            )
        return None

    def _is_small(self, prepared: PreparedOperation) -> bool:
        try:
            self._small.check(prepared.document, prepared.operation, prepared.request.variables or {})
        except TooExpensive:
            return False
        return True
