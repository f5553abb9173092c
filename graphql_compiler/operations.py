"""From an operation of a document to one that is compiled."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    is_non_null_type,
)
from graphql.error import located_error

from graphql_compiler.arguments import Arguments, arguments_of
from graphql_compiler.bindings import Batch, BindingOf, Load, Reads, Scalars
from graphql_compiler.completion import Complete
from graphql_compiler.execution import Execution, GaveUp, Replay, TooLarge
from graphql_compiler.generation import CodeGenerator
from graphql_compiler.private import root_field_info
from graphql_compiler.selections import NotCompilable, Selections

ROOT_SIZE = 2_000
"""About how many bytes of memory one of the operation's own fields takes, without what is below it."""


@dataclass(frozen=True, slots=True)
class _RootField:
    """One of the operation's own fields."""

    key: str
    field: GraphQLField
    nodes: list[FieldNode]
    arguments: Arguments
    complete: Complete
    load: Load | None
    """Instead of the field's resolver, where the field has a batch."""
    more: tuple[Reads, ...]
    """What a selective batch is given beside the arguments."""
    required: bool
    """Whether it may not be null."""


class CompiledOperation:
    """An operation, compiled. It holds no state of an execution, so many may run at once."""

    def __init__(
        self,
        schema: GraphQLSchema,
        operation: OperationDefinitionNode,
        fragments: dict[str, FragmentDefinitionNode],
        parent: GraphQLObjectType,
        roots: Sequence[_RootField | tuple[str, str]],
        size: int,
    ) -> None:
        self._schema, self._operation, self._fragments, self._parent = schema, operation, fragments, parent
        self._roots = roots
        self.size = size
        """About how many bytes of memory it takes, without the document."""

    async def execute(self, execution: Execution) -> dict[str, Any] | None:
        """The operation's data. Its own fields are executed one after the other, as the spec asks of mutations.

        None where its only field raised, which may not be null; which errors of several there are beside that one is
        for the ordinary executor to say. Raises ``GaveUp``, with the outcomes of the fields that were resolved, and
        ``TooLarge``.
        """
        replay = Replay()
        data: dict[str, Any] = {}
        for root in self._roots:
            if isinstance(root, tuple):  # __typename
                data[root[0]] = root[1]
                continue
            try:
                value = await self._resolve(root, execution)
            except Exception as error:
                replay.keep_error(root.key, error)
                if execution.errors is None or (root.required and len(self._roots) > 1):
                    raise GaveUp(replay) from error
                execution.errors.append(located_error(error, root.nodes, [root.key]))
                if root.required:
                    return None
                data[root.key] = None
                continue
            replay.keep(root.key, value)
            try:
                [data[root.key]] = await root.complete(execution, (value,))
                await execution.pause_if_due()
            except TooLarge:
                raise
            except Exception as error:
                raise GaveUp(replay) from error
        return data

    async def execute_each(self, execution: Execution, events: Sequence[Any]) -> list[dict[str, Any]]:
        """A subscription's data for each of some events, which are what its only field answers. Raises ``GaveUp``
        where the ordinary executor has to say what comes of them, one by one."""
        data: list[dict[str, Any]] = [{} for _ in events]
        try:
            for root in self._roots:
                if isinstance(root, tuple):  # __typename
                    raise NotCompilable("a subscription has one field, of its own")
                for each, value in zip(data, await root.complete(execution, events), strict=True):
                    each[root.key] = value
                await execution.pause_if_due()
        except Exception as error:
            raise GaveUp(Replay()) from error
        return data

    async def _resolve(self, root: _RootField, execution: Execution) -> Any:
        if root.load is not None:
            [value] = await root.load(execution.context, (None,), root.arguments(execution), *root.more)
            return value
        info: Any = root_field_info(
            root.key,
            root.field,
            root.nodes,
            self._parent,
            self._schema,
            self._fragments,
            self._operation,
            execution.variables,
            execution.context,
        )
        if execution.adapt_info is not None:
            info = execution.adapt_info(info)
        resolve = cast(Callable[..., Any], root.field.resolve)
        value = resolve(None, info, **root.arguments(execution))
        return await value if isawaitable(value) else value


def compile_operation(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Mapping[str, Any],
    *,
    binding_of: BindingOf,
    scalars: Scalars,
    types_by_class: bool = True,
) -> CompiledOperation:
    """An operation of a valid document, compiled for these values of its ``shaping_variables``.

    Takes a millisecond or more: what comes of it is to be kept. ``types_by_class`` promises that whether an object is
    of a type (``is_type_of``) depends on its class alone. Raises ``NotCompilable``.
    """
    parent = schema.get_root_type(operation.operation)
    if parent is None:
        raise NotCompilable("an operation that the schema has none of")
    followed = operation.operation is OperationType.SUBSCRIPTION
    if operation.directives:
        raise NotCompilable("a directive on the operation")
    selections = Selections(schema, document, variables)
    generator = CodeGenerator(schema, selections, binding_of, scalars, types_by_class=types_by_class)
    roots: list[_RootField | tuple[str, str]] = []
    for key, nodes in selections.of([operation.selection_set], parent).items():
        name = nodes[0].name.value
        if name == "__typename":
            roots.append((key, parent.name))
            continue
        if name.startswith("__"):
            raise NotCompilable("introspection")
        field = parent.fields[name]
        binding = None if followed else binding_of(parent, name, field)
        if not followed and field.resolve is None and not isinstance(binding, Batch):
            raise NotCompilable(f"{parent.name}.{name} has no resolver")
        load, more = (binding.load, generator.more(binding)) if isinstance(binding, Batch) else (None, ())
        complete, arguments = generator.complete(field.type, nodes), arguments_of(field, nodes[0])
        roots.append(_RootField(key, field, nodes, arguments, complete, load, more, is_non_null_type(field.type)))
    size = generator.size + ROOT_SIZE * len(roots)
    return CompiledOperation(schema, operation, selections.fragments, parent, roots, size)
