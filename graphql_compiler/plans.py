"""From an operation to a plan."""

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
    GraphQLResolveInfo,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    is_non_null_type,
)
from graphql.error import located_error
from graphql.execution.values import VariableValues
from graphql.pyutils import Path, is_awaitable

from graphql_compiler.bindings import Batch, BindingOf, Load, Reads, Scalars
from graphql_compiler.completion import Complete
from graphql_compiler.inputs import Arguments, arguments_of
from graphql_compiler.runs import GaveUp, Replay, Run, TooLarge
from graphql_compiler.selections import NotCompilable, Selections
from graphql_compiler.writing import Writer

ROOT_SIZE = 2_000


@dataclass(frozen=True, slots=True)
class _Root:
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


class Plan:
    """An operation, compiled. It holds no state of an execution, so many may run at once."""

    def __init__(
        self,
        schema: GraphQLSchema,
        operation: OperationDefinitionNode,
        fragments: dict[str, FragmentDefinitionNode],
        parent: GraphQLObjectType,
        roots: Sequence[_Root | tuple[str, str]],
        size: int,
    ) -> None:
        self._schema, self._operation, self._fragments, self._parent = schema, operation, fragments, parent
        self._roots = roots
        self.size = size
        """About how many bytes of memory it takes, without the document."""

    async def run(self, context: Any, variables: VariableValues) -> dict[str, Any]:
        """The operation's data. Raises ``GaveUp``, with the outcomes of the fields that were resolved."""
        return await self.carry_out(Run(context, variables))

    async def carry_out(self, run: Run) -> dict[str, Any]:
        """As ``run``, which can be told when to pause, how long the texts may be in all, and how much came of it.

        The operation's own fields are executed one after the other; what they raise may be gathered in the ``run``.
        Raises ``TooLarge`` also.
        """
        replay = Replay()
        data: dict[str, Any] = {}
        for root in self._roots:
            if isinstance(root, tuple):  # __typename
                data[root[0]] = root[1]
                continue
            try:
                value = await self._resolve(root, run)
            except Exception as error:
                replay.keep_error(root.key, error)
                if run.errors is None or root.required:
                    raise GaveUp(replay) from error
                run.errors.append(located_error(error, root.nodes, [root.key]))
                data[root.key] = None
                continue
            replay.keep(root.key, value)
            try:
                [data[root.key]] = await root.complete(run, (value,))
                await run.rest()
            except TooLarge:
                raise
            except Exception as error:
                raise GaveUp(replay) from error
        return data

    async def _resolve(self, root: _Root, run: Run) -> Any:
        if root.load is not None:
            [value] = await root.load(run.context, (None,), root.arguments(run), *root.more)
            return value
        resolve = cast(Callable[..., Any], root.field.resolve)
        info = GraphQLResolveInfo(
            root.nodes[0].name.value,
            root.nodes,
            root.field.type,
            self._parent,
            Path(None, root.key, self._parent.name),
            self._schema,
            self._fragments,
            None,
            self._operation,
            run.variables,
            run.context,
            is_awaitable,
            None,
            None,  # type: ignore[arg-type]  # helpers of the executor, for work that outlives a resolver
        )
        value = resolve(None, info, **root.arguments(run))
        return await value if isawaitable(value) else value


def compile_operation(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Mapping[str, Any],
    *,
    binding_of: BindingOf,
    scalars: Scalars,
) -> Plan:
    """The plan of an operation of a valid document, for these values of its ``shaping_variables``.

    Takes a millisecond or more: a plan is to be kept. Raises ``NotCompilable``.
    """
    parent = schema.get_root_type(operation.operation)
    if parent is None or operation.operation is OperationType.SUBSCRIPTION:
        raise NotCompilable("a subscription")
    if operation.directives:
        raise NotCompilable("a directive on the operation")
    selections = Selections(schema, document, variables)
    writer = Writer(schema, selections, binding_of, scalars)
    roots: list[_Root | tuple[str, str]] = []
    for key, nodes in selections.of([operation.selection_set], parent).items():
        name = nodes[0].name.value
        if name == "__typename":
            roots.append((key, parent.name))
            continue
        if name.startswith("__"):
            raise NotCompilable("introspection")
        field = parent.fields[name]
        binding = binding_of(parent, name, field)
        if field.resolve is None and not isinstance(binding, Batch):
            raise NotCompilable(f"{parent.name}.{name} has no resolver")
        load = binding.load if isinstance(binding, Batch) else None
        complete = writer.complete(field.type, nodes)
        more = writer.more(binding) if isinstance(binding, Batch) else ()
        roots.append(
            _Root(key, field, nodes, arguments_of(field, nodes[0]), complete, load, more, is_non_null_type(field.type))
        )
    return Plan(schema, operation, selections.fragments, parent, roots, writer.size + ROOT_SIZE * len(roots))
