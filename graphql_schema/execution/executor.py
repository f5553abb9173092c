"""From a request to a result: an operation is prepared (``preparing``), then executed.

A document that comes again is compiled, if it can be (``graphql_compiler``), and then executed so; one that may come to
much, the first time already. Every other operation, and every error, is graphql-core's (``ordinary``).
"""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from functools import partial
from inspect import isawaitable
from typing import Any

from graphql import ExecutionResult, GraphQLError, OperationType, create_source_event_stream, execute
from graphql.execution import MiddlewareManager
from graphql.execution.values import VariableValues
from strawberry.schema.schema import Schema

from core import turns
from core.aside import aside
from core.json_texts import VALUE, encode, is_heavy
from graphql_compiler import CompiledOperation, Execution, GaveUp, Inputs, Replay, TooLarge, Variables
from graphql_schema.execution.compiler import OperationCompiler
from graphql_schema.execution.documents import name_of
from graphql_schema.execution.errors import format_error, in_words, is_of_arguments, too_late, without_value
from graphql_schema.execution.guests import asks_for_the_schema
from graphql_schema.execution.limits import Limits
from graphql_schema.execution.ordinary import Counted, OrdinaryExecutor
from graphql_schema.execution.outcomes import GraphQLRequest, Outcome, RequestError, oversize
from graphql_schema.execution.persisted import PersistedDocuments
from graphql_schema.execution.preparing import MAX_VALIDATION_ERRORS, PreparedOperation, Preparer
from graphql_schema.execution.refusals import Refusals
from graphql_schema.shared.context import Context
from graphql_schema.shared.following import Followed, Read
from services.events.feed import one_by_one

QUERY, MUTATION, SUBSCRIPTION = OperationType.QUERY, OperationType.MUTATION, OperationType.SUBSCRIPTION
MEBIBYTE = 1024 * 1024


class Executor:
    """Executes operations of one schema. Documents are parsed, validated and compiled once.

    They are kept, with what was compiled of them, of ``cache_bytes`` of memory together, and those of guests of
    ``guest_bytes``. A small operation is compiled when its document has come again ``compile_after`` times. To
    ``suggest`` names of the schema for those that it has not is for where the schema is shown. Of ``documents``, those
    that are trusted are prepared and compiled at once: raises ``ValueError`` for one that could not be executed.
    """

    def __init__(
        self,
        schema: Schema,
        limits: Limits | None = None,
        *,
        cache_bytes: int = 48 * MEBIBYTE,
        guest_bytes: int = 4 * MEBIBYTE,
        compile_after: int = 1,
        suggest: bool = False,
        documents: PersistedDocuments | None = None,
    ) -> None:
        self._schema = schema._schema  # Strawberry's own executor parses and validates again on every call
        self.limits = limits or Limits()
        self.executed: Counter[str] = Counter()
        """How many queries and mutations were executed ``compiled``, ``ordinary``, or the one and then the other."""
        self._refusals = Refusals(self._schema)
        self._inputs = Inputs()
        self.compiler = OperationCompiler(schema, self.limits, compile_after)
        self.preparer = Preparer(
            self._schema,
            self.limits,
            self._refusals,
            cache_bytes=cache_bytes,
            guest_bytes=guest_bytes,
            suggest=suggest,
        )
        self.documents = documents or PersistedDocuments(0)
        """Those that requests may name."""
        for id_, text in (self.documents.trusted or {}).items():
            self._trust(id_, text)

    def prepare(self, request: GraphQLRequest, *, guest: bool = False) -> PreparedOperation:
        """As ``Preparer.prepare``."""
        return self.preparer.prepare(request, guest=guest)

    async def prepare_in_turns(self, request: GraphQLRequest, *, guest: bool) -> PreparedOperation:
        """As ``Preparer.prepare_in_turns``."""
        return await self.preparer.prepare_in_turns(request, guest=guest)

    def _trust(self, id_: str, text: str) -> None:
        try:
            cached = self.preparer.trust(text)
        except RequestError as error:
            raise ValueError(f"TRUSTED_DOCUMENTS: {id_[:80]}: {error.outcome.errors[0]['message']}") from None
        self.compiler.compile_ahead(cached)

    def priced(self, prepared: PreparedOperation, outcome: Outcome) -> Outcome:
        """The outcome, which says what the operation may cost where the request asks for that."""
        if prepared.request.wants_cost:
            outcome.cost = self.preparer.cost(prepared)
        return outcome

    async def execute(self, prepared: PreparedOperation, context: Context) -> Outcome:
        """Execute a query or mutation."""
        variables = await self._coerce(prepared)
        if isinstance(variables, list):
            self.executed["ordinary"] += 1
            return await self._not_executed(prepared, variables)
        compiled = await self.compiler.compiled(prepared, variables)
        if compiled is None:
            self.executed["ordinary"] += 1
            return await self._execute_uncompiled(prepared, context)
        try:
            outcome = await self._execute_compiled(prepared, compiled, context, variables)
        except GaveUp as error:
            if prepared.operation.operation is QUERY and (late := too_late(error.__cause__)):
                return Outcome(errors=[late], executed=False)
            replay = error.replay
        else:
            self.executed["compiled"] += 1
            return outcome
        self.executed["both"] += 1
        context.forget()
        return await self.execute_ordinarily(prepared, context, replay)

    async def _execute_compiled(
        self, prepared: PreparedOperation, compiled: CompiledOperation, context: Context, variables: VariableValues
    ) -> Outcome:
        most = context.max_answer_bytes
        execution = Execution(context, variables, pause=turns.pause, max_text=most, gather_errors=True)
        try:
            data = await compiled.execute(execution)
        except TooLarge:
            return Outcome(errors=[oversize(most)])
        if data is None and prepared.operation.operation is QUERY:
            causes = [error.original_error for error in execution.errors or ()]
            if late := too_late(*causes):
                return Outcome(errors=[late], executed=False)
        heavy = is_heavy(execution.text, most)
        if not execution.errors:
            return Outcome(data, heavy=heavy)
        errors = [format_error(error) for error in await self._in_words(prepared, execution.errors)]
        return Outcome(data, errors, heavy=heavy)

    async def _execute_uncompiled(self, prepared: PreparedOperation, context: Context) -> Outcome:
        """As ``execute_ordinarily``; what is said of the schema alone is kept, for it is the same each time (0.2 s)."""
        cached, operation = prepared.cached, prepared.operation
        if cached is None or operation.variable_definitions or not asks_for_the_schema(operation):
            return await self.execute_ordinarily(prepared, context)
        name = name_of(operation)
        if (written := cached.introspected.get(name)) is not None:
            return Outcome({}, _written=written)
        outcome = await self.execute_ordinarily(prepared, context)
        if not outcome.errors:
            cached.introspected[name] = encode(outcome.data)
            prepared.keep()
        return outcome

    async def execute_ordinarily(
        self, prepared: PreparedOperation, context: Context, replay: Replay | None = None, *, root: object = None
    ) -> Outcome:
        """As ``execute``, field by field; with what a compiled operation has resolved before it gave up. Of a
        subscription, for the event that is its ``root``."""
        counted, most = Counted(), context.max_answer_bytes
        try:
            result = execute(
                self._schema,
                prepared.document,
                root,
                context_value=context,
                variable_values=dict(prepared.request.variables or {}),
                operation_name=name_of(prepared.operation),
                max_coercion_errors=MAX_VALIDATION_ERRORS,
                middleware=MiddlewareManager(replay) if replay is not None else None,
                executor_class=OrdinaryExecutor,
                is_awaitable=counted.is_awaitable,
                hide_suggestions=True,
                counted=counted,
            )
            if not isinstance(result, ExecutionResult):
                result = await result
        finally:
            counted.close()
        causes = [error.original_error for error in result.errors or ()]
        if prepared.operation.operation is QUERY and (late := too_late(*causes)):
            return Outcome(errors=[late], executed=False)
        # variables that cannot be coerced stop an operation before it is executed: such errors have no path
        if result.data is None and all(error.path is None for error in result.errors or ()):
            return await self._not_executed(prepared, result.errors or ())
        if counted.text > most:
            return Outcome(errors=[oversize(most)])
        outcome = await self._outcome(prepared, result)
        outcome.heavy = is_heavy(counted.values * VALUE + counted.text, most)
        return outcome

    async def _not_executed(self, prepared: PreparedOperation, errors: Sequence[GraphQLError]) -> Outcome:
        refused = await self._refused(prepared) or map(without_value, errors)
        return Outcome(errors=[*map(format_error, refused)], executed=False)

    async def _in_words(
        self, prepared: PreparedOperation, errors: Sequence[GraphQLError] | None
    ) -> Sequence[GraphQLError]:
        """The errors of fields; for refused arguments, all that is wrong with them in the words of both doors."""
        if not errors or not any(map(is_of_arguments, errors)):
            return errors or ()
        refused = await self._refused(prepared, literals=True)
        return [in_words(error, refused) if is_of_arguments(error) else error for error in errors]

    async def _refused(self, prepared: PreparedOperation, *, literals: bool = False) -> Sequence[GraphQLError]:
        """What is wrong with the arguments of an operation."""
        request, variables = prepared.request, prepared.request.variables or {}
        look = partial(self._refusals.of, prepared.document, prepared.operation, variables, literals=literals)
        return await aside(look) if request.large else look()

    async def subscribe(self, prepared: PreparedOperation, context: Context) -> AsyncGenerator[Outcome]:
        """Execute a subscription. Raises ``RequestError`` where it cannot start."""
        counted = Counted()
        executor = OrdinaryExecutor.build(
            self._schema,
            prepared.document,
            context_value=context,
            raw_variable_values=dict(prepared.request.variables or {}),
            operation_name=name_of(prepared.operation),
            counted=counted,
        )
        source: Any = executor
        if not isinstance(executor, list):
            source = create_source_event_stream(executor)
            if isawaitable(source):
                source = await source
        if isinstance(source, ExecutionResult):
            source = source.errors or []
        if isinstance(source, list):
            refused: Sequence[GraphQLError] = source
            if all(error.path is None for error in refused):
                refused = await self._refused(prepared) or [*map(without_value, refused)]
            else:
                refused = await self._in_words(prepared, refused)
            raise RequestError(*refused, code="BAD_USER_INPUT")
        return self._outcomes(prepared, context, source)

    async def _outcomes(
        self, prepared: PreparedOperation, context: Context, source: AsyncGenerator[Followed]
    ) -> AsyncGenerator[Outcome]:
        """An outcome for each event that is told; what hangs on those that are told together is read together."""
        variables = await self._coerce(prepared)
        compiled = None
        if not isinstance(variables, list):
            compiled = await self.compiler.compiled(prepared, variables, at_once=True)

        async def executed(items: Sequence[object]) -> Sequence[Outcome]:
            if compiled is not None and not isinstance(variables, list):
                with suppress(GaveUp):
                    execution = Execution(context, variables, pause=turns.pause)
                    found = [Outcome(data) for data in await compiled.execute_each(execution, items)]
                    self.executed["compiled"] += len(items)
                    return found
                context.forget()
            self.executed["ordinary"] += len(items)
            return [await self.execute_ordinarily(prepared, context, root=item) for item in items]

        async def made(read: Read | None, items: Sequence[object]) -> Sequence[Outcome | None]:
            context.forget()
            found = items if read is None else await read(items)
            outcomes = iter(await executed([item for item in found if item is not None]))
            return [None if item is None else next(outcomes) for item in found]

        try:
            async for followed in source:
                async with aclosing(one_by_one(followed.told, partial(made, followed.read))) as outcomes:
                    async for outcome in outcomes:
                        if outcome is not None:
                            yield outcome
        finally:
            await source.aclose()

    async def _outcome(self, prepared: PreparedOperation, result: ExecutionResult) -> Outcome:
        return Outcome(result.data, [*map(format_error, await self._in_words(prepared, result.errors))])

    async def _coerce(self, prepared: PreparedOperation) -> VariableValues | list[GraphQLError]:
        """The values of the operation's variables, or what is wrong with them."""
        request, cached, name = prepared.request, prepared.cached, name_of(prepared.operation)
        variables = cached.variables.get(name) if cached else None
        if variables is None:
            inputs = self._inputs if prepared.operation.operation is QUERY else None
            variables = Variables(self._schema, prepared.operation, inputs)
            if cached:
                cached.variables[name] = variables
        sent = request.variables or {}
        if request.large:
            return await aside(variables.coerce, sent, MAX_VALIDATION_ERRORS)
        return variables.coerce(sent, MAX_VALIDATION_ERRORS)
