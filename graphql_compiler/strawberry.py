"""Compiled execution of a Strawberry schema, by one extension; the only module here that needs Strawberry.

    schema = strawberry.Schema(Query, extensions=[compiled_execution()])

Operations of ``Schema.execute`` that come again are compiled, where all their fields can be. Fields are taken as they
are declared: attributes, resolvers that ask for no ``info``, and relations that say how they are loaded for many
parents (``batched``). An operation with any other field is executed by Strawberry as before.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from inspect import isawaitable
from typing import Any

from graphql import (
    ExecutionResult,
    GraphQLField,
    GraphQLObjectType,
    OperationDefinitionNode,
    OperationType,
    execute,
    get_operation_ast,
)
from graphql.execution import MiddlewareManager
from strawberry.extensions import SchemaExtension
from strawberry.schema.schema import Schema, StrawberryGraphQLCoreExecutionContext
from strawberry.types.execution import ExecutionContext
from strawberry.types.field import StrawberryField

from graphql_compiler.arguments import Variables
from graphql_compiler.bindings import Attribute, Batch, Binding, BindingOf, Load, Scalars
from graphql_compiler.execution import Execution, GaveUp, Replay
from graphql_compiler.operations import CompiledOperation, compile_operation
from graphql_compiler.private import (
    VariableValues,
    convert_arguments,
    core_schema,
    field_definition,
    strawberry_info,
    type_definition,
)
from graphql_compiler.selections import NotCompilable, shaping_variables

BATCH = "graphql_compiler.batch"
"""Where a field's metadata has its ``Batch``."""
SCALARS: Scalars = {"String": str, "ID": str, "Boolean": bool}
"""What needs no conversion, whatever the encoder; ``Int`` and ``Float`` have bounds, which are looked at."""
MAX_ERRORS = 50
"""How many errors of variables are looked for, as graphql-core does."""
MAX_FAILURES = 3
"""A compiled operation that has given up so many times in a row is left to Strawberry from then on."""


def batched(load: Load, *, selective: bool = False, needs: Collection[str] = ()) -> dict[str, Batch]:
    """The metadata of a field that is loaded for many parents at once, as by ``Batch``; its arguments come in Python's
    terms. Its own resolver serves one parent, where Strawberry executes the operation."""
    return {BATCH: Batch(load, selective, needs)}


def unguarded(field: GraphQLField) -> StrawberryField | None:
    """How Strawberry was told of a field; None where more would run than the field's resolver (extensions, permission
    classes, a class of fields with a way of its own), or where the field is not Strawberry's."""
    definition = field_definition(field)
    if definition is None or definition.extensions or definition.permission_classes:
        return None
    if type(definition).get_result is not StrawberryField.get_result:
        return None
    return definition


def declared_batch(definition: StrawberryField) -> Batch | None:
    """The batch that a field was declared with (``batched``)."""
    batch: Batch | None = definition.metadata.get(BATCH)
    return batch


def with_arguments(batch: Batch, convert: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Batch:
    """The batch, given its arguments as they are after ``convert``."""
    load = batch.load

    async def load_converted(context: Any, sources: Any, arguments: Mapping[str, Any], *more: Any) -> Sequence[Any]:
        return await load(context, sources, convert(arguments), *more)

    return replace(batch, load=load_converted)


def bindings(schema: Schema) -> BindingOf:
    """How each field of a schema is read, as far as it can be told from its declaration.

    The operation's own fields are resolved as Strawberry does it, ``info`` and guards included.
    """
    core = core_schema(schema)
    roots = {type_.name for type_ in (core.query_type, core.mutation_type) if type_ is not None}
    known: dict[tuple[str, str], Binding | None] = {}

    def binding_of(parent: GraphQLObjectType, name: str, field: GraphQLField) -> Binding | None:
        key = parent.name, name
        if key not in known:
            known[key] = None if parent.name in roots else _binding(schema, parent, field)
        return known[key]

    return binding_of


def _binding(schema: Schema, parent: GraphQLObjectType, field: GraphQLField) -> Binding | None:
    owner, definition = type_definition(parent), unguarded(field)
    if owner is None or owner.is_type_of is not None or definition is None:
        return None  # a type's own check may ask more than can be told of its objects
    if (batch := declared_batch(definition)) is not None:
        return with_arguments(batch, convert_arguments(schema, definition)) if definition.arguments else batch
    if definition.is_basic_field:
        return Attribute(definition.python_name) if schema.config.default_resolver is getattr else None
    resolver = definition.base_resolver
    if resolver is None or resolver.info_parameter is not None:
        return None  # an info says where in the answer a value stands, which nobody knows here
    named = resolver.parent_parameter or resolver.root_parameter
    batch = Batch(partial(_call_each, resolver, named.name if named else None, resolver.self_parameter is not None))
    return with_arguments(batch, convert_arguments(schema, definition)) if definition.arguments else batch


async def _call_each(
    resolve: Callable[..., Any],
    name: str | None,
    by_position: bool,
    _context: Any,
    sources: Sequence[Any],
    arguments: Mapping[str, Any],
) -> Sequence[Any]:
    """What a resolver answers for each of the sources, which it takes first or by a name; all are awaited together."""
    if by_position and not arguments:
        values = [*map(resolve, sources)]
    elif by_position:
        values = [resolve(source, **arguments) for source in sources]
    else:
        values = [resolve(**({name: source} if name else {}), **arguments) for source in sources]
    waiting = [index for index, value in enumerate(values) if isawaitable(value)]
    done = await asyncio.gather(*(values[index] for index in waiting), return_exceptions=True)
    for index, value in zip(waiting, done, strict=True):
        if isinstance(value, BaseException):
            raise value
        values[index] = value
    return values


def left_alone(schema: Schema) -> Iterable[str]:
    """What of a schema keeps every operation with Strawberry, by name; nothing, as a rule."""
    if schema.execution_context_class is not StrawberryGraphQLCoreExecutionContext:
        yield "execution_context_class"
    if schema.config.enable_experimental_incremental_execution:
        yield "enable_experimental_incremental_execution"
    for option in ("directives", "exception_handlers"):
        if getattr(schema, option):
            yield option
    for extension in schema.get_extensions():
        if type(extension)._implements_resolve():
            yield f"{type(extension).__name__}.resolve"


def uncompiled_fields(schema: Schema) -> list[str]:
    """The fields below the operation's own, as ``Type.field``, whose operations are left to Strawberry."""
    core, binding_of = core_schema(schema), bindings(schema)
    roots = {core.query_type, core.mutation_type, core.subscription_type}
    return [
        f"{type_.name}.{name}"
        for type_ in core.type_map.values()
        if isinstance(type_, GraphQLObjectType) and type_ not in roots and not type_.name.startswith("__")
        for name, field in type_.fields.items()
        if binding_of(type_, name, field) is None
    ]


@dataclass(slots=True)
class _Entry:
    """A document that came, or an operation of it for some values of its conditions."""

    times: int = 0
    operation: CompiledOperation | None = None
    failures: int = 0
    """How often it gave up since it last did not."""


class _Documents:
    """The compiled operations of one schema: of so many documents, those that were used last."""

    def __init__(self, max_documents: int, compile_after: int) -> None:
        self._max, self._compile_after = max_documents, compile_after
        self._entries: OrderedDict[tuple[Any, ...], _Entry] = OrderedDict()
        self._schema: Schema | None = None
        self._binding_of: BindingOf | None = None

    async def execute(self, context: ExecutionContext) -> ExecutionResult | None:
        """The result of an operation that Strawberry has validated; None where it is Strawberry's to execute."""
        if self._schema is not context.schema:
            self._schema = schema = context.schema
            self._entries.clear()
            self._binding_of = None if any(left_alone(schema)) else bindings(schema)
        document, query = context.graphql_document, context.query
        if self._binding_of is None or document is None or not query or not context.validation_rules:
            return None
        operation = get_operation_ast(document, context.operation_name)
        if operation is None or operation.operation is OperationType.SUBSCRIPTION or context.root_value is not None:
            return None
        variables = Variables(core_schema(context.schema), operation).coerce(context.variables or {}, MAX_ERRORS)
        if isinstance(variables, list):
            return None
        entry = self._entry(query, context, operation, variables)
        if entry.operation is None:
            return None
        execution = Execution(
            context.context,
            variables,
            gather_errors=True,
            adapt_info=lambda info: strawberry_info(info, context.operation_extensions),
        )
        try:
            data = await entry.operation.execute(execution)
        except GaveUp as error:
            entry.failures += 1
            if entry.failures == MAX_FAILURES:
                entry.operation = None
            return await _execute_ordinarily(context, error.replay)
        entry.failures = 0
        return ExecutionResult(data, execution.errors or None)

    def _entry(
        self, query: str, context: ExecutionContext, operation: OperationDefinitionNode, variables: VariableValues
    ) -> _Entry:
        document: Any = context.graphql_document
        shape = {name: variables.coerced.get(name) for name in shaping_variables(document, operation)}
        key = (query, context.operation_name, *shape.values())
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry()
            if len(self._entries) > self._max:
                self._entries.popitem(last=False)
        self._entries.move_to_end(key)
        if entry.times == self._compile_after and self._binding_of is not None:
            with suppress(NotCompilable):
                entry.operation = compile_operation(
                    core_schema(context.schema),
                    document,
                    operation,
                    shape,
                    binding_of=self._binding_of,
                    scalars=SCALARS,
                    types_by_class=False,
                )
        entry.times += 1
        return entry


async def _execute_ordinarily(context: ExecutionContext, replay: Replay) -> ExecutionResult:
    """What Strawberry's executor answers, with what the operation's own fields have come to already."""
    result = execute(
        core_schema(context.schema),
        context.graphql_document,  # type: ignore[arg-type]  # there is one
        context_value=context.context,
        variable_values=context.variables,
        operation_name=context.operation_name,
        middleware=MiddlewareManager(replay),
        executor_class=StrawberryGraphQLCoreExecutionContext,
        operation_extensions=context.operation_extensions,
    )
    return result if isinstance(result, ExecutionResult) else await result


def compiled_execution(*, max_documents: int = 200, compile_after: int = 1) -> Callable[[], SchemaExtension]:
    """The extension, for ``strawberry.Schema(…, extensions=[compiled_execution()])``; one for each schema.

    An operation is compiled when its document comes again for the ``compile_after``-th time, and kept of the last
    ``max_documents``. It is for ``Schema.execute``; ``execute_sync`` refuses any asynchronous extension.
    """
    documents = _Documents(max_documents, compile_after)

    class CompiledExecution(SchemaExtension):
        async def on_execute(self) -> AsyncIterator[None]:
            self.execution_context.result = await documents.execute(self.execution_context)
            yield

    return CompiledExecution
