"""From a request to a result: parse, measure, validate (each document once), then execute."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from inspect import isawaitable
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
    parse,
    specified_rules,
    subscribe,
    validate,
)
from strawberry.schema.schema import Schema

from graphql_schema.context import Context
from graphql_schema.errors import format_error, request_error
from graphql_schema.limits import Limits, TooExpensive, check_document, check_operation, check_variables
from graphql_schema.merging import find_conflicts

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


@dataclass(slots=True)
class Outcome:
    """A response: ``executed`` is false for a request error, whose response has no ``data`` at all."""

    data: dict[str, Any] | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    executed: bool = True

    @property
    def codes(self) -> set[str]:
        return {error["extensions"]["code"] for error in self.errors}

    def body(self) -> dict[str, Any]:
        """The response as a map (GraphQL specification, section 7)."""
        body: dict[str, Any] = {"errors": self.errors} if self.errors else {}
        if self.executed:
            body["data"] = self.data
        return body


class RequestError(Exception):
    """The operation cannot be executed."""

    def __init__(self, *errors: GraphQLError, code: str) -> None:
        self.outcome = Outcome(errors=[format_error(error, default_code=code) for error in errors], executed=False)


class Executor:
    """Executes operations of one schema. What was parsed and validated is kept, at most ``cache_size`` documents."""

    def __init__(self, schema: Schema, limits: Limits | None = None, *, cache_size: int = 500) -> None:
        self._schema = schema._schema  # Strawberry's own executor parses and validates again on every call
        self.limits = limits or Limits()
        self._documents: OrderedDict[str, DocumentNode] = OrderedDict()
        self._cache_size = cache_size

    def prepare(self, request: GraphQLRequest) -> tuple[DocumentNode, OperationDefinitionNode]:
        """The document and the operation to execute. Raises ``RequestError``."""
        document = self._documents.get(request.query)
        known = document is not None
        if document is None:
            document = self._parse(request.query)
        operation = _choose(document, request.operation_name)
        try:
            check_variables(request.variables, self.limits)
            check(document, operation, request.variables or {}, self.limits)
        except TooExpensive as error:
            raise RequestError(request_error(str(error), "TOO_EXPENSIVE"), code="TOO_EXPENSIVE") from None
        if known:
            self._documents.move_to_end(request.query)
        else:
            self._validate(document)
            self._documents[request.query] = document
            if len(self._documents) > self._cache_size:
                self._documents.popitem(last=False)
        return document, operation

    async def execute(
        self, request: GraphQLRequest, context: Context, document: DocumentNode, operation: OperationDefinitionNode
    ) -> Outcome:
        """Execute a query or mutation that was prepared."""
        result = execute(
            self._schema,
            document,
            context_value=context,
            variable_values=dict(request.variables or {}),
            operation_name=operation.name.value if operation.name else None,
            max_coercion_errors=MAX_VALIDATION_ERRORS,
            hide_suggestions=True,
        )
        if not isinstance(result, ExecutionResult):
            result = await result
        return _outcome(result)

    async def subscribe(
        self, request: GraphQLRequest, context: Context, document: DocumentNode, operation: OperationDefinitionNode
    ) -> AsyncIterator[Outcome]:
        """Execute a subscription that was prepared. Raises ``RequestError`` where it cannot start."""
        source: Any = subscribe(
            self._schema,
            document,
            context_value=context,
            variable_values=dict(request.variables or {}),
            operation_name=operation.name.value if operation.name else None,
        )
        if isawaitable(source):
            source = await source
        if isinstance(source, ExecutionResult):
            raise RequestError(*(source.errors or ()), code="BAD_USER_INPUT")
        return _outcomes(source)

    def _parse(self, query: str) -> DocumentNode:
        try:
            return parse(query, max_tokens=self.limits.tokens)
        except GraphQLSyntaxError as error:
            raise RequestError(error, code="GRAPHQL_PARSE_FAILED") from None
        except RecursionError:
            too_deep = request_error("The document is nested too deeply", "GRAPHQL_PARSE_FAILED")
            raise RequestError(too_deep, code="GRAPHQL_PARSE_FAILED") from None

    def _validate(self, document: DocumentNode) -> None:
        errors = validate(
            self._schema, document, specified_rules, max_errors=MAX_VALIDATION_ERRORS, hide_suggestions=True
        )
        if errors:
            raise RequestError(*errors, code="GRAPHQL_VALIDATION_FAILED")


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


def _outcome(result: ExecutionResult) -> Outcome:
    errors = [format_error(error) for error in result.errors or ()]
    # variables that cannot be coerced stop an operation before it is executed: such errors have no path
    executed = result.data is not None or any(error.path is not None for error in result.errors or ())
    return Outcome(result.data, errors, executed)


async def _outcomes(source: Any) -> AsyncIterator[Outcome]:
    async for result in source:
        yield _outcome(result)
