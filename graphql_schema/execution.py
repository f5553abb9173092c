"""From a request to a result: parse, measure, validate (each document once), then execute.

A document that comes again is compiled, if it can be (``graphql_compiler``), and then executed by its plan.
"""

from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from inspect import isawaitable
from itertools import islice
from typing import Any

import orjson
from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    OverlappingFieldsCanBeMergedRule,
    execute,
    parse,
    specified_rules,
    subscribe,
    validate,
)
from graphql.execution import MiddlewareManager
from graphql.execution.values import VariableValues
from strawberry.schema.schema import Schema

from graphql_compiler import GaveUp, NotCompilable, Plan, Replay, Variables, compile_operation
from graphql_schema.compiled import SCALARS, bindings
from graphql_schema.context import Context
from graphql_schema.documents import Known, name_of
from graphql_schema.errors import format_error, request_error, without_literal, without_value
from graphql_schema.limits import Limits, TooExpensive, TooManyPoints, TooManyValues, check_document, check_variables
from graphql_schema.merging import find_conflicts
from graphql_schema.meter import Meter
from graphql_schema.refusals import Refusals

MAX_VALIDATION_ERRORS = 10
# find_conflicts does what the missing one does
RULES = tuple(rule for rule in specified_rules if rule is not OverlappingFieldsCanBeMergedRule)
QUERY, MUTATION, SUBSCRIPTION = OperationType.QUERY, OperationType.MUTATION, OperationType.SUBSCRIPTION


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """A GraphQL-over-HTTP request, its parts of the right kinds."""

    query: str
    variables: Mapping[str, Any] | None = None
    operation_name: str | None = None
    strict: bool = True
    """Whether the JSON was one of RFC 8259; else there may be lone surrogates and NaN among the variables."""


@dataclass(slots=True)
class Outcome:
    """A response: ``executed`` is false for a request error, whose response has no ``data`` at all."""

    data: dict[str, Any] | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    executed: bool = True

    @property
    def codes(self) -> set[str]:
        return {error["extensions"]["code"] for error in self.errors}

    @property
    def data_survived(self) -> bool:
        """Whether any of the operation's own fields has a value."""
        return self.data is not None and any(value is not None for value in self.data.values())

    def body(self) -> dict[str, Any]:
        """The response as a map (GraphQL specification, section 7), for ``encode``."""
        body: dict[str, Any] = {"errors": self.errors} if self.errors else {}
        if self.executed:
            body["data"] = self.data
        return body


def encode(message: Any) -> bytes:
    """A response, or a message that holds one, as JSON: the only encoder that knows what a plan leaves as it is."""
    return orjson.dumps(message, option=orjson.OPT_UTC_Z)


class RequestError(Exception):
    """The operation cannot be executed."""

    def __init__(self, *errors: GraphQLError, code: str) -> None:
        formatted = [format_error(error, default_code=code) for error in errors]
        self.outcome = Outcome(errors=formatted, executed=False)


PUBLIC = frozenset({"login", "refreshToken", "revokeToken", "register"})
"""The mutations that need no caller."""


def needs_no_caller(operation: OperationDefinitionNode) -> bool:
    """Whether an operation consists of public mutations only, written out."""
    return all(isinstance(node, FieldNode) and node.name.value in PUBLIC for node in operation.selection_set.selections)


class Executor:
    """Executes operations of one schema. Documents are parsed and validated once.

    At most ``cache_size`` of them are kept, of ``cache_characters`` together: parsed, one takes 50 to 300 bytes.
    """

    def __init__(
        self,
        schema: Schema,
        limits: Limits | None = None,
        *,
        cache_size: int = 500,
        cache_characters: int = 500_000,
        cache_plans: int = 200,
        compile_after: int = 1,
    ) -> None:
        self._schema = schema._schema  # Strawberry's own executor parses and validates again on every call
        self.limits = limits or Limits()
        self.executed: Counter[str] = Counter()
        """How many queries and mutations were executed ``compiled``, ``ordinary``, or the one and then the other."""
        self._binding_of = bindings(schema)
        self._meter = Meter(self._schema, self.limits)
        self._refusals = Refusals(self._schema)
        self._plans: OrderedDict[tuple[Any, ...], Plan | None] = OrderedDict()
        self._cache_plans = cache_plans
        self.compile_after = compile_after
        """How often a document has to come again to be worth compiling (1 to 20 ms)."""
        self._documents: OrderedDict[str, Known] = OrderedDict()
        self._cache_size, self._cache_characters = cache_size, cache_characters
        self._cached_characters = 0

    def prepare(self, request: GraphQLRequest) -> tuple[DocumentNode, OperationDefinitionNode]:
        """The document and the operation to execute. Raises ``RequestError``."""
        found = self._documents.get(request.query)
        too_many: TooExpensive | None = None
        look = self._refusals.of
        try:
            try:
                check_variables(request.variables, self.limits)
            except TooManyValues as error:
                too_many, look = error, self._refusals.of_long_lists
            known = found or self._parse(request.query)
            operation = _choose(known.document, request.operation_name)
            try:
                known.price(operation, request.variables or {}, self._meter)
            except TooManyPoints as error:
                too_many = too_many or error
        except TooExpensive as error:
            raise _too_expensive(error) from None
        if found:
            found.repeats += 1
            self._documents.move_to_end(request.query)
        else:
            self._validate(known.document)
            self._remember(request.query, known)
        doubtful = too_many is not None or not request.strict
        if doubtful and (errors := look(known.document, operation, request.variables or {})):
            raise RequestError(*errors, code="BAD_USER_INPUT")
        if too_many is not None:
            raise _too_expensive(too_many)
        return known.document, operation

    async def execute(
        self, request: GraphQLRequest, context: Context, document: DocumentNode, operation: OperationDefinitionNode
    ) -> Outcome:
        """Execute a query or mutation that was prepared."""
        variables = self._coerce(request, operation)
        if isinstance(variables, list):
            self.executed["ordinary"] += 1
            return self._not_executed(request, document, operation, variables)
        replay = None
        if (plan := self._plan(request.query, operation, variables)) is not None:
            try:
                data = await plan.run(context, variables)
            except GaveUp as error:
                replay = error.replay
                context.forget()
            else:
                self.executed["compiled"] += 1
                return Outcome(data)
        self.executed["both" if replay else "ordinary"] += 1
        return await self.execute_ordinarily(request, context, document, operation, replay)

    async def execute_ordinarily(
        self,
        request: GraphQLRequest,
        context: Context,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        replay: Replay | None = None,
    ) -> Outcome:
        """As ``execute``, field by field; with what a plan has resolved before it gave up."""
        result = execute(
            self._schema,
            document,
            context_value=context,
            variable_values=dict(request.variables or {}),
            operation_name=name_of(operation),
            max_coercion_errors=MAX_VALIDATION_ERRORS,
            middleware=MiddlewareManager(replay) if replay is not None else None,
            hide_suggestions=True,
        )
        if not isinstance(result, ExecutionResult):
            result = await result
        # variables that cannot be coerced stop an operation before it is executed: such errors have no path
        if result.data is None and all(error.path is None for error in result.errors or ()):
            return self._not_executed(request, document, operation, result.errors or ())
        return _outcome(result)

    def _not_executed(
        self,
        request: GraphQLRequest,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        errors: Sequence[GraphQLError],
    ) -> Outcome:
        refused = self._refused(request, document, operation, errors)
        return Outcome(errors=[*map(format_error, refused)], executed=False)

    def _refused(
        self,
        request: GraphQLRequest,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        errors: Sequence[GraphQLError],
    ) -> Sequence[GraphQLError]:
        """What is wrong with the arguments of an operation that graphql-core refuses with these errors."""
        refused = self._refusals.of(document, operation, request.variables or {})
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
                refused = self._refused(request, document, operation, refused)
            raise RequestError(*refused, code="BAD_USER_INPUT")
        return _outcomes(source)

    def _coerce(
        self, request: GraphQLRequest, operation: OperationDefinitionNode
    ) -> VariableValues | list[GraphQLError]:
        """The values of the operation's variables, or what is wrong with them."""
        known = self._documents.get(request.query)
        name = name_of(operation)
        variables = known.variables.get(name) if known else None
        if variables is None:
            variables = Variables(self._schema, operation)
            if known:
                known.variables[name] = variables
        return variables.coerce(request.variables or {}, MAX_VALIDATION_ERRORS)

    def _plan(self, query: str, operation: OperationDefinitionNode, variables: VariableValues) -> Plan | None:
        """The operation's plan, made when its document comes again; None where it has none."""
        known = self._documents.get(query)
        if known is None or known.repeats < self.compile_after:
            return None
        name = name_of(operation)
        shape = {variable: variables.coerced.get(variable) for variable in known.shaping(operation)}
        key = (query, name, *shape.values())
        if key in self._plans:
            self._plans.move_to_end(key)
            return self._plans[key]
        plan = None
        with suppress(NotCompilable):
            plan = compile_operation(
                self._schema, known.document, operation, shape, binding_of=self._binding_of, scalars=SCALARS
            )
        self._plans[key] = plan
        if len(self._plans) > self._cache_plans:
            self._plans.popitem(last=False)
        return plan

    def _parse(self, query: str) -> Known:
        """The document, within the limits of what it is written with. Raises ``RequestError``, ``TooExpensive``."""
        if len(query) > self.limits.characters:
            raise TooExpensive(f"The document has more than {self.limits.characters} characters")
        try:
            document = parse(query, max_tokens=self.limits.tokens)
        except GraphQLSyntaxError as error:
            raise RequestError(error, code="GRAPHQL_PARSE_FAILED") from None
        except RecursionError:
            too_deep = request_error("The document is nested too deeply", "GRAPHQL_PARSE_FAILED")
            raise RequestError(too_deep, code="GRAPHQL_PARSE_FAILED") from None
        check_document(document, self.limits)
        return Known(document)

    def _validate(self, document: DocumentNode) -> None:
        errors = validate(self._schema, document, RULES, max_errors=MAX_VALIDATION_ERRORS, hide_suggestions=True)
        if not errors:
            errors = list(islice(find_conflicts(self._schema, document), MAX_VALIDATION_ERRORS))
        if errors:
            raise RequestError(*map(without_literal, errors), code="GRAPHQL_VALIDATION_FAILED")

    def _remember(self, query: str, known: Known) -> None:
        self._documents[query] = known
        self._cached_characters += len(query)
        while len(self._documents) > self._cache_size or self._cached_characters > self._cache_characters:
            forgotten, _ = self._documents.popitem(last=False)
            self._cached_characters -= len(forgotten)


def _choose(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if name is not None:
        operations = [node for node in operations if node.name and node.name.value == name]
    if len(operations) == 1:
        return operations[0]
    if name is not None:
        message = f"The document has {'no' if not operations else 'more than one'} operation of that name"
    else:
        message = "Give an operationName: the document has several operations" if operations else "No operation"
    raise RequestError(request_error(message, "OPERATION_RESOLUTION_FAILURE"), code="OPERATION_RESOLUTION_FAILURE")


def _too_expensive(error: TooExpensive) -> RequestError:
    return RequestError(request_error(str(error), "TOO_EXPENSIVE"), code="TOO_EXPENSIVE")


def _outcome(result: ExecutionResult) -> Outcome:
    return Outcome(result.data, [*map(format_error, result.errors or ())])


async def _outcomes(source: Any) -> AsyncGenerator[Outcome]:
    try:
        async for result in source:
            yield _outcome(result)
    finally:
        await source.aclose()
