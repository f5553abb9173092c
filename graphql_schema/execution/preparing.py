"""What is done of a request before it is executed: parse, measure and validate it, each document once.

Of guests, as those are called here whom nobody knows, less is taken, and what they send is remembered only where it is
for them: they may send anything for nothing.
"""

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OverlappingFieldsCanBeMergedRule,
    specified_rules,
    validate,
)

from core import turns
from core.aside import aside
from graphql_schema.execution.documents import CachedDocument, DocumentCache
from graphql_schema.execution.errors import request_error, without_literal
from graphql_schema.execution.guests import GUESTS, asks_for_the_schema, may_be_for_everybody, needs_no_caller
from graphql_schema.execution.limits import (
    Limits,
    TooExpensive,
    TooManyPoints,
    TooManyValues,
    check_document,
    check_variables,
)
from graphql_schema.execution.meter import Cost, Meter
from graphql_schema.execution.outcomes import GraphQLRequest, RequestError
from graphql_schema.execution.overlapping_fields import find_conflicts
from graphql_schema.execution.parsing import NameTooLong, parse_document
from graphql_schema.execution.refusals import Refusals

MAX_VALIDATION_ERRORS = 10
# find_conflicts does what the missing one does
RULES = tuple(rule for rule in specified_rules if rule is not OverlappingFieldsCanBeMergedRule)
LONG = 2_048
"""Characters of a document that takes several milliseconds to read."""


class Long(partial[object]):
    """Work that may take long however little was sent: a variable may be given to hundreds of fields."""


class PreparedOperation(NamedTuple):
    """An operation that may be executed: its document is valid, and its cost is within the limits."""

    request: GraphQLRequest
    document: DocumentNode
    operation: OperationDefinitionNode
    cached: CachedDocument | None
    """What is remembered of the document; None where it is not kept."""
    cache: DocumentCache | None
    """Where that is; None for a document that stays."""

    def keep(self) -> None:
        """Remember that more is known of the document now."""
        if self.cached is not None and self.cache is not None:
            self.cache.keep(self.request.query, self.cached)


class Preparer:
    """Prepares operations of one schema. Documents are kept of ``cache_bytes`` of memory together, those of guests of
    ``guest_bytes``. Where something is not in the schema, what may be meant is said if it is to ``suggest``."""

    def __init__(
        self,
        schema: GraphQLSchema,
        limits: Limits,
        refusals: Refusals,
        *,
        cache_bytes: int,
        guest_bytes: int,
        suggest: bool,
    ) -> None:
        self._schema, self._limits, self._refusals, self._suggest = schema, limits, refusals, suggest
        self._guest_limits = replace(limits, **{name: min(n, getattr(limits, name)) for name, n in GUESTS.items()})
        self._meter, self._guest_meter = Meter(schema, limits), Meter(schema, self._guest_limits)
        self.documents, self.guests = DocumentCache(cache_bytes), DocumentCache(guest_bytes)
        self.trusted: dict[str, CachedDocument] = {}
        """Documents by their text that were validated at start, and stay."""

    def prepare(self, request: GraphQLRequest, *, guest: bool = False) -> PreparedOperation:
        """The operation to execute. Raises ``RequestError``.

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
            prepared: PreparedOperation = end.value
            return prepared

    async def prepare_in_turns(self, request: GraphQLRequest, *, guest: bool) -> PreparedOperation:
        """As ``prepare``, in turns with others; what may take long is done aside (``core.aside``)."""
        steps = self._steps(request, guest)
        is_long = request.large or len(request.query) > LONG
        try:
            work = next(steps)
            while True:
                await turns.pause()
                try:
                    done = (await aside(work)) if is_long or isinstance(work, Long) else work()
                except Exception as error:
                    work = steps.throw(error)
                else:
                    work = steps.send(done)
        except StopIteration as end:
            prepared: PreparedOperation = end.value
            return prepared

    def trust(self, text: str) -> CachedDocument:
        """Parse, measure and validate a document, and keep it for good. Raises ``RequestError``."""
        try:
            cached = self._parse(text, self._limits)
            for node in cached.document.definitions:
                if isinstance(node, OperationDefinitionNode):
                    cached.check_cost(node, {}, self._meter)
        except TooExpensive as error:
            raise _too_expensive(error) from None
        self._validate(cached.document)
        self.trusted[text] = cached
        return cached

    def price(self, prepared: PreparedOperation) -> Cost:
        """What an operation may cost."""
        return self._meter.cost_of(prepared.document, prepared.operation, prepared.request.variables or {})

    def cost(self, prepared: PreparedOperation) -> dict[str, object]:
        """What an operation may cost, beside what one may cost at most."""
        cost = self.price(prepared)
        limits = self._limits
        most = {"points": limits.points, "nodes": limits.nodes, "values": limits.values}
        return {"points": cost.points, "nodes": cost.nodes, "values": cost.values, "limits": most}

    def _steps(self, request: GraphQLRequest, guest: bool) -> Generator[Callable[[], object], Any, PreparedOperation]:
        """The steps of preparing a request, as a generator: it yields functions that may take long, is sent what each
        returns (or thrown what it raises), and returns the operation."""
        cache, limits = (self.guests, self._guest_limits) if guest else (self.documents, self._limits)
        meter = self._guest_meter if guest else self._meter
        trusted = self.trusted.get(request.query)
        found = trusted or cache.find(request.query)
        too_many: TooExpensive | None = None
        look: Callable[..., list[GraphQLError]] = self._refusals.of
        try:
            check = partial(check_variables, request.variables, limits)
            try:
                (yield check) if request.large else check()
            except TooManyValues as error:
                too_many, look = error, self._refusals.of_long_lists
            if found is None:
                cached = yield partial(self._parse, request.query, limits)
            else:
                cached = found
            operation = cached.choose(request.operation_name)
            valid = kept = found is not None
            if not valid and len(request.query) <= LONG:
                # whoever has misspelt a field is told that, and not what the misspelt operation would cost
                meter.check_written(cached.document, operation)
                yield partial(self._validate, cached.document)
                valid = True
                # also what costs too much: it would be read and validated as often as it comes
                kept = self._keep(request.query, cached, operation, cache)
            try:
                cached.check_cost(operation, request.variables or {}, meter)
            except TooManyPoints as error:
                too_many = too_many or error
        except TooExpensive as error:
            raise _too_expensive(error, request if guest else None) from None
        if found:
            found.repeats += 1
        elif not valid:
            yield partial(self._validate, cached.document)
            kept = self._keep(request.query, cached, operation, cache)
        doubtful = too_many is not None or not request.strict
        if doubtful and (errors := (yield Long(look, cached.document, operation, request.variables or {}))):
            raise RequestError(*errors, code="BAD_USER_INPUT")
        if too_many is not None:
            raise _too_expensive(too_many, request if guest else None)
        return PreparedOperation(
            request, cached.document, operation, cached if kept else None, None if trusted else cache
        )

    def _keep(
        self, query: str, cached: CachedDocument, operation: OperationDefinitionNode, cache: DocumentCache
    ) -> bool:
        """Remember a valid document, of a guest where it is for guests. Returns whether it is remembered."""
        is_for_all = cache is not self.guests or needs_no_caller(operation) or asks_for_the_schema(operation)
        return is_for_all and cache.keep(query, cached)

    def _parse(self, query: str, limits: Limits) -> CachedDocument:
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
        return CachedDocument(document)

    def _validate(self, document: DocumentNode) -> None:
        hide = not self._suggest
        errors = validate(self._schema, document, RULES, max_errors=MAX_VALIDATION_ERRORS, hide_suggestions=hide)
        if not errors:
            errors = list(islice(find_conflicts(self._schema, document), MAX_VALIDATION_ERRORS))
        if errors:
            raise RequestError(*map(without_literal, errors), code="GRAPHQL_VALIDATION_FAILED")


def _too_expensive(error: TooExpensive, guest: GraphQLRequest | None = None) -> RequestError:
    """The error for a request that exceeds a limit. A ``guest`` who asks for what needs credentials is told that first,
    as on REST."""
    if guest is not None and not may_be_for_everybody(guest.query):
        return RequestError(request_error("Authentication required", "UNAUTHENTICATED"), code="UNAUTHENTICATED")
    return RequestError(request_error(str(error), "TOO_EXPENSIVE"), code="TOO_EXPENSIVE")
