"""What is done of a request before it is executed: parse, measure and validate it, each document once.

Of guests, as those are called here whom nobody knows, less is taken, and what they send is remembered only where it is
for them: they may send anything for nothing.
"""

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OverlappingFieldsCanBeMergedRule,
    specified_rules,
    validate,
)

from core import turns
from core.aside import aside
from graphql_schema.callers import GUESTS, asks_for_the_schema, may_be_for_everybody, needs_no_caller
from graphql_schema.documents import Documents, Known, choose
from graphql_schema.errors import request_error, without_literal
from graphql_schema.limits import Limits, TooExpensive, TooManyPoints, TooManyValues, check_document, check_variables
from graphql_schema.merging import find_conflicts
from graphql_schema.meter import Meter
from graphql_schema.outcomes import GraphQLRequest, RequestError
from graphql_schema.parsing import NameTooLong, parse_document
from graphql_schema.refusals import Refusals

MAX_VALIDATION_ERRORS = 10
# find_conflicts does what the missing one does
RULES = tuple(rule for rule in specified_rules if rule is not OverlappingFieldsCanBeMergedRule)
LONG = 2_048
"""Characters of a document that takes several milliseconds to read."""


class Preparer:
    """Prepares operations of one schema. Documents are kept of ``cache_bytes`` of memory together, those of guests of
    ``guest_bytes``."""

    def __init__(
        self, schema: GraphQLSchema, limits: Limits, refusals: Refusals, *, cache_bytes: int, guest_bytes: int
    ) -> None:
        self._schema, self._limits, self._refusals = schema, limits, refusals
        self._guest_limits = replace(limits, **{name: min(n, getattr(limits, name)) for name, n in GUESTS.items()})
        self._meter, self._guest_meter = Meter(schema, limits), Meter(schema, self._guest_limits)
        self.documents, self.guests = Documents(cache_bytes), Documents(guest_bytes)

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
        documents, limits = (self.guests, self._guest_limits) if guest else (self.documents, self._limits)
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

    def remembered(self, request: GraphQLRequest, document: DocumentNode) -> tuple[Documents, Known | None]:
        """What is remembered of a document that was prepared, and among which others."""
        for documents in (self.documents, self.guests):
            known = documents.find(request.query)
            if known is not None and known.document is document:
                return documents, known
        return self.documents, None

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
