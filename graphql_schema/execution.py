"""From a request to a result: parse, measure, validate (each document once), then execute.

A document that comes again is compiled, if it can be (``graphql_compiler``), and then executed by its plan; one that
may come to much, the first time already. Nothing is compiled for guests, as those are called here whom nobody knows,
and what they send is remembered only where it is for them: they may send anything for nothing.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from inspect import isawaitable
from itertools import islice
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    OverlappingFieldsCanBeMergedRule,
    execute,
    specified_rules,
    subscribe,
    validate,
)
from graphql.execution import MiddlewareManager
from graphql.execution.values import VariableValues
from strawberry.schema.schema import Schema

from core import turns
from core.answers import encode, is_heavy
from core.aside import aside
from graphql_compiler import GaveUp, Replay, Run, TooLarge, Variables
from graphql_schema.callers import GUESTS, asks_for_the_schema, may_be_for_everybody, needs_no_caller
from graphql_schema.context import Context
from graphql_schema.documents import Documents, Known, choose, name_of
from graphql_schema.errors import format_error, request_error, too_late, without_literal, without_value
from graphql_schema.limits import Limits, TooExpensive, TooManyPoints, TooManyValues, check_document, check_variables
from graphql_schema.merging import find_conflicts
from graphql_schema.meter import Meter
from graphql_schema.ordinary import Counted, OrdinaryExecutor
from graphql_schema.outcomes import GraphQLRequest, Outcome, RequestError, oversize
from graphql_schema.parsing import NameTooLong, parse_document
from graphql_schema.planning import Planner
from graphql_schema.refusals import Refusals

MAX_VALIDATION_ERRORS = 10
# find_conflicts does what the missing one does
RULES = tuple(rule for rule in specified_rules if rule is not OverlappingFieldsCanBeMergedRule)
QUERY, MUTATION, SUBSCRIPTION = OperationType.QUERY, OperationType.MUTATION, OperationType.SUBSCRIPTION


LONG = 2_048
"""Characters of a document that takes several milliseconds to read."""
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
        self._meter = Meter(self._schema, self.limits)
        self._refusals = Refusals(self._schema)
        self.planner = Planner(schema, self.limits, compile_after)
        self._guest_limits = replace(
            self.limits, **{name: min(n, getattr(self.limits, name)) for name, n in GUESTS.items()}
        )
        self._guest_meter = Meter(self._schema, self._guest_limits)
        self._documents, self._guests = Documents(cache_bytes), Documents(guest_bytes)

    def prepare(self, request: GraphQLRequest, *, guest: bool = False) -> tuple[DocumentNode, OperationDefinitionNode]:
        """The document and the operation to execute. Raises ``RequestError``.

        A ``guest`` is somebody whom nobody knows.
        """
        steps = self._steps(request, guest)
        try:
            work = next(steps)
            while True:
                try:
                    done = work()
                except Exception as error:
                    work = steps.throw(error)
                else:
                    work = steps.send(done)
        except StopIteration as end:
            prepared: tuple[DocumentNode, OperationDefinitionNode] = end.value
            return prepared

    async def prepare_in_turns(
        self, request: GraphQLRequest, *, guest: bool
    ) -> tuple[DocumentNode, OperationDefinitionNode]:
        """As ``prepare``, in turns with others; what may take long is done aside (``core.aside``)."""
        steps = self._steps(request, guest)
        is_long = request.large or len(request.query) > LONG
        try:
            work = next(steps)
            while True:
                await turns.pause()
                try:
                    done = (await aside(work)) if is_long else work()
                except Exception as error:
                    work = steps.throw(error)
                else:
                    work = steps.send(done)
        except StopIteration as end:
            prepared: tuple[DocumentNode, OperationDefinitionNode] = end.value
            return prepared

    def _steps(
        self, request: GraphQLRequest, guest: bool
    ) -> Generator[Callable[[], Any], Any, tuple[DocumentNode, OperationDefinitionNode]]:
        """What there is to do before an operation is executed; what may take long is handed out, and its outcome
        expected."""
        documents, limits = (self._guests, self._guest_limits) if guest else (self._documents, self.limits)
        meter = self._guest_meter if guest else self._meter
        found = documents.find(request.query)
        too_many: TooExpensive | None = None
        look = self._refusals.of
        try:
            check = partial(check_variables, request.variables, limits)
            try:
                (yield check) if request.large else check()
            except TooManyValues as error:
                too_many, look = error, self._refusals.of_long_lists
            if found is None:
                known = yield partial(self._parse, request.query, limits)
            else:
                known = found
            operation = choose(known.document, request.operation_name)
            try:
                known.price(operation, request.variables or {}, meter)
            except TooManyPoints as error:
                too_many = too_many or error
        except TooExpensive as error:
            raise _too_expensive(error, request if guest else None) from None
        if found:
            found.repeats += 1
        else:
            yield partial(self._validate, known.document)
            if not guest or needs_no_caller(operation) or asks_for_the_schema(operation):
                documents.keep(request.query, known)
        doubtful = too_many is not None or not request.strict
        if doubtful and (errors := (yield partial(look, known.document, operation, request.variables or {}))):
            raise RequestError(*errors, code="BAD_USER_INPUT")
        if too_many is not None:
            raise _too_expensive(too_many, request if guest else None)
        return known.document, operation

    async def execute(
        self, request: GraphQLRequest, context: Context, document: DocumentNode, operation: OperationDefinitionNode
    ) -> Outcome:
        """Execute a query or mutation that was prepared."""
        documents, known = self._remembered(request, document)
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

    def _remembered(self, request: GraphQLRequest, document: DocumentNode) -> tuple[Documents, Known | None]:
        """What is remembered of a document that was prepared, and among which others."""
        for documents in (self._documents, self._guests):
            known = documents.find(request.query)
            if known is not None and known.document is document:
                return documents, known
        return self._documents, None

    def _parse(self, query: str, limits: Limits) -> Known:
        """The document, within the limits of what it is written with. Raises ``RequestError``, ``TooExpensive``."""
        if len(query) > limits.characters:
            raise TooExpensive(f"The document has more than {limits.characters} characters")
        try:
            document = parse_document(query, limits.tokens)
        except NameTooLong as error:
            raise TooExpensive(str(error)) from None
        except GraphQLSyntaxError as error:
            raise RequestError(error, code="GRAPHQL_PARSE_FAILED") from None
        except RecursionError:
            too_deep = request_error("The document is nested too deeply", "GRAPHQL_PARSE_FAILED")
            raise RequestError(too_deep, code="GRAPHQL_PARSE_FAILED") from None
        check_document(document, limits)
        return Known(document)

    def _validate(self, document: DocumentNode) -> None:
        errors = validate(self._schema, document, RULES, max_errors=MAX_VALIDATION_ERRORS, hide_suggestions=True)
        if not errors:
            errors = list(islice(find_conflicts(self._schema, document), MAX_VALIDATION_ERRORS))
        if errors:
            raise RequestError(*map(without_literal, errors), code="GRAPHQL_VALIDATION_FAILED")


def _too_expensive(error: TooExpensive, guest: GraphQLRequest | None = None) -> RequestError:
    """What is told of it. Whoever asks without credentials for what needs some is told that first, as on REST."""
    if guest is not None and not may_be_for_everybody(guest.query):
        return RequestError(request_error("Authentication required", "UNAUTHENTICATED"), code="UNAUTHENTICATED")
    return RequestError(request_error(str(error), "TOO_EXPENSIVE"), code="TOO_EXPENSIVE")


def _outcome(result: ExecutionResult) -> Outcome:
    return Outcome(result.data, [*map(format_error, result.errors or ())])


async def _outcomes(source: Any) -> AsyncGenerator[Outcome]:
    try:
        async for result in source:
            yield _outcome(result)
    finally:
        await source.aclose()
