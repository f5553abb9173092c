"""From a request that was prepared (``preparing``) to a result.

A document that comes again is compiled, if it can be (``graphql_compiler``), and then executed by its plan; one that
may come to much, the first time already.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from inspect import isawaitable
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    execute,
    subscribe,
)
from graphql.execution import MiddlewareManager
from graphql.execution.values import VariableValues
from strawberry.schema.schema import Schema

from core import turns
from core.answers import encode, is_heavy
from core.aside import aside
from graphql_compiler import GaveUp, Replay, Run, TooLarge, Variables
from graphql_schema.callers import asks_for_the_schema
from graphql_schema.context import Context
from graphql_schema.documents import Known, name_of
from graphql_schema.errors import format_error, too_late, without_value
from graphql_schema.limits import Limits
from graphql_schema.ordinary import Counted, OrdinaryExecutor
from graphql_schema.outcomes import GraphQLRequest, Outcome, RequestError, oversize
from graphql_schema.planning import Planner
from graphql_schema.preparing import MAX_VALIDATION_ERRORS, Preparer
from graphql_schema.refusals import Refusals

QUERY, MUTATION, SUBSCRIPTION = OperationType.QUERY, OperationType.MUTATION, OperationType.SUBSCRIPTION


MEBIBYTE = 1024 * 1024


class Executor:
    """Executes operations of one schema. Documents are parsed, validated and compiled once.

    They are kept with their plans, of ``cache_bytes`` of memory together, and those of guests of ``guest_bytes``.
    """

    def __init__(
        self,
        schema: Schema,
        limits: Limits | None = None,
        *,
        cache_bytes: int = 48 * MEBIBYTE,
        guest_bytes: int = 4 * MEBIBYTE,
        compile_after: int = 1,
    ) -> None:
        self._schema = schema._schema  # Strawberry's own executor parses and validates again on every call
        self.limits = limits or Limits()
        self.executed: Counter[str] = Counter()
        """How many queries and mutations were executed ``compiled``, ``ordinary``, or the one and then the other."""
        self._refusals = Refusals(self._schema)
        self.planner = Planner(schema, self.limits, compile_after)
        self.preparer = Preparer(
            self._schema, self.limits, self._refusals, cache_bytes=cache_bytes, guest_bytes=guest_bytes
        )

    def prepare(self, request: GraphQLRequest, *, guest: bool = False) -> tuple[DocumentNode, OperationDefinitionNode]:
        """As ``Preparer.prepare``."""
        return self.preparer.prepare(request, guest=guest)

    async def prepare_in_turns(
        self, request: GraphQLRequest, *, guest: bool
    ) -> tuple[DocumentNode, OperationDefinitionNode]:
        """As ``Preparer.prepare_in_turns``."""
        return await self.preparer.prepare_in_turns(request, guest=guest)

    async def execute(
        self, request: GraphQLRequest, context: Context, document: DocumentNode, operation: OperationDefinitionNode
    ) -> Outcome:
        """Execute a query or mutation that was prepared."""
        documents, known = self.preparer.remembered(request, document)
        variables = await self._coerce(request, operation, known)
        if isinstance(variables, list):
            self.executed["ordinary"] += 1
            return await self._not_executed(request, document, operation, variables)
        replay = None
        most = context.max_answer_bytes
        plan = None
        if known is not None:
            made = len(known.plans)
            plan = await self.planner.plan(known, request, operation, variables)
            if len(known.plans) > made:
                documents.keep(request.query, known)
        if plan is not None:
            run = Run(context, variables, turns.pause, most)
            run.errors = []
            try:
                data = await plan.carry_out(run)
            except GaveUp as error:
                if operation.operation is QUERY and (late := too_late(error.__cause__)):
                    return Outcome(errors=[late], executed=False)
                replay = error.replay
                context.forget()
            except TooLarge:
                self.executed["compiled"] += 1
                return Outcome(errors=[oversize(most)])
            else:
                self.executed["compiled"] += 1
                errors = [format_error(error) for error in run.errors]
                return Outcome(data, errors, heavy=is_heavy(run.values, run.text, most))
        self.executed["both" if replay else "ordinary"] += 1
        if known is not None and asks_for_the_schema(operation) and not operation.variable_definitions:
            outcome = await self._introspect(request, context, document, operation, known)
            documents.keep(request.query, known)
            return outcome
        return await self.execute_ordinarily(request, context, document, operation, replay)

    async def _introspect(
        self,
        request: GraphQLRequest,
        context: Context,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        known: Known,
    ) -> Outcome:
        """What an operation says of the schema, which is the same each time (0.2 s for all of it)."""
        name = name_of(operation)
        if (written := known.introspected.get(name)) is not None:
            return Outcome({}, _written=written)
        outcome = await self.execute_ordinarily(request, context, document, operation)
        if not outcome.errors:
            known.introspected[name] = encode(outcome.data)
        return outcome

    async def execute_ordinarily(
        self,
        request: GraphQLRequest,
        context: Context,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        replay: Replay | None = None,
    ) -> Outcome:
        """As ``execute``, field by field; with what a plan has resolved before it gave up."""
        counted, most = Counted(), context.max_answer_bytes
        result = execute(
            self._schema,
            document,
            context_value=context,
            variable_values=dict(request.variables or {}),
            operation_name=name_of(operation),
            max_coercion_errors=MAX_VALIDATION_ERRORS,
            middleware=MiddlewareManager(replay) if replay is not None else None,
            executor_class=OrdinaryExecutor,
            hide_suggestions=True,
            counted=counted,
        )
        if not isinstance(result, ExecutionResult):
            result = await result
        causes = [error.original_error for error in result.errors or ()]
        if operation.operation is QUERY and (late := too_late(*causes)):
            return Outcome(errors=[late], executed=False)
        # variables that cannot be coerced stop an operation before it is executed: such errors have no path
        if result.data is None and all(error.path is None for error in result.errors or ()):
            return await self._not_executed(request, document, operation, result.errors or ())
        if counted.text > most:
            return Outcome(errors=[oversize(most)])
        outcome = _outcome(result)
        outcome.heavy = is_heavy(counted.values, counted.text, most)
        return outcome

    async def _not_executed(
        self,
        request: GraphQLRequest,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        errors: Sequence[GraphQLError],
    ) -> Outcome:
        refused = await self._refused(request, document, operation, errors)
        return Outcome(errors=[*map(format_error, refused)], executed=False)

    async def _refused(
        self,
        request: GraphQLRequest,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        errors: Sequence[GraphQLError],
    ) -> Sequence[GraphQLError]:
        """What is wrong with the arguments of an operation that graphql-core refuses with these errors."""
        look = partial(self._refusals.of, document, operation, request.variables or {})
        refused = await aside(look) if request.large else look()
        return refused or [*map(without_value, errors)]

    async def subscribe(
        self, request: GraphQLRequest, context: Context, document: DocumentNode, operation: OperationDefinitionNode
    ) -> AsyncGenerator[Outcome]:
        """Execute a subscription that was prepared. Raises ``RequestError`` where it cannot start."""
        source: Any = subscribe(
            self._schema,
            document,
            context_value=context,
            variable_values=dict(request.variables or {}),
            operation_name=name_of(operation),
        )
        if isawaitable(source):
            source = await source
        if isinstance(source, ExecutionResult):
            refused: Sequence[GraphQLError] = source.errors or ()
            if all(error.path is None for error in refused):
                refused = await self._refused(request, document, operation, refused)
            raise RequestError(*refused, code="BAD_USER_INPUT")
        return _outcomes(source)

    async def _coerce(
        self, request: GraphQLRequest, operation: OperationDefinitionNode, known: Known | None
    ) -> VariableValues | list[GraphQLError]:
        """The values of the operation's variables, or what is wrong with them."""
        name = name_of(operation)
        variables = known.variables.get(name) if known else None
        if variables is None:
            variables = Variables(self._schema, operation)
            if known:
                known.variables[name] = variables
        given = request.variables or {}
        if request.large:
            return await aside(variables.coerce, given, MAX_VALIDATION_ERRORS)
        return variables.coerce(given, MAX_VALIDATION_ERRORS)


def _outcome(result: ExecutionResult) -> Outcome:
    return Outcome(result.data, [*map(format_error, result.errors or ())])


async def _outcomes(source: Any) -> AsyncGenerator[Outcome]:
    try:
        async for result in source:
            yield _outcome(result)
    finally:
        await source.aclose()
