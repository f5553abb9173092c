"""From an operation to a plan."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, NoReturn, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLAbstractType,
    GraphQLEnumType,
    GraphQLField,
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    Undefined,
    get_nullable_type,
    is_enum_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution.values import VariableValues, get_argument_values
from graphql.pyutils import Path, is_awaitable

from graphql_compiler.bindings import Attribute, Batch, BindingOf, Load, Reads, Scalars
from graphql_compiler.runs import GaveUp, Replay, Run, Unexpected, flatten, regroup, require, spread, unique
from graphql_compiler.selections import NotCompilable, Selections, mentions_variables

Complete = Callable[[Run, Sequence[Any]], Awaitable[Sequence[Any]]]
"""From the values of a field for many sources to what the answer holds of them, in the same order."""
Arguments = Callable[[Run], Mapping[str, Any]]

_NO_INFO: Any = None  # a type is told by the value alone


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


class Plan:
    """An operation, compiled. It holds no state of an execution, so many may run at once."""

    def __init__(
        self,
        schema: GraphQLSchema,
        operation: OperationDefinitionNode,
        fragments: dict[str, FragmentDefinitionNode],
        parent: GraphQLObjectType,
        roots: Sequence[_Root | tuple[str, str]],
    ) -> None:
        self._schema, self._operation, self._fragments, self._parent = schema, operation, fragments, parent
        self._roots = roots

    async def run(self, context: Any, variables: VariableValues) -> dict[str, Any]:
        """The operation's data. Raises ``GaveUp``, with the outcomes of the fields that were resolved.

        The operation's own fields are executed one after the other.
        """
        run, replay = Run(context, variables), Replay()
        data: dict[str, Any] = {}
        for root in self._roots:
            if isinstance(root, tuple):  # __typename
                data[root[0]] = root[1]
                continue
            try:
                value = await self._resolve(root, run)
            except Exception as error:
                replay.keep_error(root.key, error)
                raise GaveUp(replay) from error
            replay.keep(root.key, value)
            try:
                [data[root.key]] = await root.complete(run, (value,))
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
    writer = _Writer(schema, selections, binding_of, scalars)
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
        writer.reads.clear()
        complete = writer.complete(field.type, nodes)
        more = (writer.all_reads(),) if isinstance(binding, Batch) and binding.selective else ()
        roots.append(_Root(key, field, nodes, _arguments(field, nodes[0]), complete, load, more))
    return Plan(schema, operation, selections.fragments, parent, roots)


class _Writer:
    """Writes the functions of the places of one operation."""

    def __init__(self, schema: GraphQLSchema, selections: Selections, binding_of: BindingOf, scalars: Scalars) -> None:
        self._schema, self._selections = schema, selections
        self._binding_of, self._scalars = binding_of, scalars
        self.reads: dict[str, set[str]] = {}

    def all_reads(self) -> Reads:
        """What has been found to be read since ``reads`` was cleared."""
        return {name: frozenset(attributes) for name, attributes in self.reads.items()}

    def complete(self, type_: GraphQLOutputType, nodes: list[FieldNode]) -> Complete:
        """How values of a type are completed (section 6.4.3, CompleteValue)."""
        if is_non_null_type(type_):
            inner = self.complete(type_.of_type, nodes)

            async def complete_non_null(run: Run, values: Sequence[Any]) -> Sequence[Any]:
                require(values)
                return await inner(run, values)

            return complete_non_null
        if is_list_type(type_):
            return _complete_lists(self.complete(type_.of_type, nodes))
        if is_leaf_type(type_):
            convert = _nullable(_leaf(type_))

            async def complete_leaves(_run: Run, values: Sequence[Any]) -> Sequence[Any]:
                return [convert(value) for value in values]

            return complete_leaves
        if is_object_type(type_):
            return _complete_objects(self._object(type_, nodes))
        return self._complete_abstract(type_, nodes)  # type: ignore[arg-type]  # nothing else is left

    def _complete_abstract(self, type_: GraphQLAbstractType, nodes: list[FieldNode]) -> Complete:
        places = {each.name: self._object(each, nodes) for each in self._schema.get_possible_types(type_)}
        resolve_type = type_.resolve_type
        if resolve_type is None:
            raise NotCompilable(f"{type_.name} does not say what its values are")

        async def complete_abstract(run: Run, values: Sequence[Any]) -> Sequence[Any]:
            objects = unique(values)
            kinds: dict[str, list[Any]] = {}
            for value in objects:
                name: Any = resolve_type(value, _NO_INFO, type_)
                if name not in places:
                    raise Unexpected(f"{type_.name} is none of its types")
                kinds.setdefault(name, []).append(value)
            ordered: list[Any] = []
            done: list[Any] = []
            for name, some in kinds.items():
                ordered += some
                done += await places[name](run, some)
            return spread(values, ordered, done)

        return complete_abstract

    def _object(self, type_: GraphQLObjectType, nodes: list[FieldNode]) -> Complete:
        """The function of one place: from objects of a type to their maps."""
        parts = [node.selection_set for node in nodes if node.selection_set is not None]
        members: list[str] = []
        columns: list[Complete] = []
        scope: dict[str, Any] = {"give_up": _give_up, "columns": columns}
        checked: list[str] = []
        read: dict[str, str] = {}
        for index, (key, fields) in enumerate(self._selections.of(parts, type_).items()):
            name = fields[0].name.value
            if name == "__typename":
                members.append(f"{key!r}: {type_.name!r}")
                continue
            if name.startswith("__"):
                raise NotCompilable("introspection")
            field = type_.fields[name]
            binding = self._binding_of(type_, name, field)
            if binding is None:
                raise NotCompilable(f"{type_.name}.{name} has no binding")
            if isinstance(binding, Attribute):
                self.reads.setdefault(type_.name, set()).add(binding.name)
            nullable_type = get_nullable_type(field.type)
            if isinstance(binding, Attribute) and is_leaf_type(nullable_type):
                value = read.setdefault(binding.name, f"a{len(read)}")
                expression, unchecked = self._leaf(nullable_type, binding, value, f"f{index}", scope)
                if is_non_null_type(field.type):
                    if unchecked and not binding.derived and value not in checked:
                        checked.append(value)
                elif expression != value:
                    expression = f"None if {value} is None else {expression}"
                members.append(f"{key!r}: {expression}")
                continue
            members.append(f"{key!r}: v{len(columns)}")
            columns.append(_column(binding, _arguments(field, fields[0]), self.complete(field.type, fields)))
        place: Complete = _written(_source(members, read, checked, len(columns)), scope)
        return _checked_type(type_, place)

    def _leaf(
        self, type_: GraphQLLeafType, binding: Attribute, value: str, name: str, scope: dict[str, Any]
    ) -> tuple[str, bool]:
        """An expression for a leaf, and whether it would let None pass."""
        if binding.python_type is not None and self._scalars.get(type_.name) is binding.python_type:
            return value, True
        if is_enum_type(type_):
            scope[name] = _names(type_)
            return f"{name}[{value}]", False
        scope[name] = _leaf(type_)
        return f"{name}({value})", False


def _source(members: list[str], read: Mapping[str, str], checked: list[str], columns: int) -> str:
    """The text of a place's function."""
    lines = ["async def place(run, sources):"]
    values = [f"v{index}" for index in range(columns)]
    lines += [f"    c{index} = await columns[{index}](run, sources)" for index in range(columns)]
    loop = "for s in sources:"
    if columns:
        loop = f"for s, {', '.join(values)} in zip(sources, {', '.join(f'c{i}' for i in range(columns))}):"
    lines += ["    done = []", "    add = done.append", f"    {loop}"]
    lines += [f"        {local} = s.{attribute}" for attribute, local in read.items()]
    if checked:
        lines.append(f"        if None in ({', '.join(checked)},): give_up()")
    lines += [f"        add({{{', '.join(members)}}})", "    return done"]
    return "\n".join(lines)


def _written(source: str, scope: dict[str, Any]) -> Complete:
    # every name in it is made here, or checked to be an identifier; response keys stand in it as literals
    exec(compile(source, "<graphql_compiler>", "exec"), scope)  # noqa: S102
    place: Complete = scope["place"]
    return place


def _column(binding: Attribute | Batch, arguments: Arguments, complete: Complete) -> Complete:
    """A field that is completed for all sources of a place at once."""
    if isinstance(binding, Attribute):
        name = binding.name

        async def read(run: Run, sources: Sequence[Any]) -> Sequence[Any]:
            return await complete(run, [getattr(source, name) for source in sources])

        return read
    load = binding.load

    async def fetch(run: Run, sources: Sequence[Any]) -> Sequence[Any]:
        values = await load(run.context, sources, arguments(run))
        if len(values) != len(sources):
            raise Unexpected("a batch of another length")
        return await complete(run, values)

    return fetch


def _complete_objects(place: Complete) -> Complete:
    async def complete_objects(run: Run, values: Sequence[Any]) -> Sequence[Any]:
        objects = unique(values)
        done = await place(run, objects) if objects else []
        if len(objects) == len(values):
            return done
        return spread(values, objects, done)

    return complete_objects


def _complete_lists(complete: Complete) -> Complete:
    async def complete_lists(run: Run, values: Sequence[Any]) -> Sequence[Any]:
        for value in values:
            if value is not None and not isinstance(value, (list, tuple)):
                raise Unexpected("not a list")
        return regroup(values, await complete(run, flatten(values)))

    return complete_lists


def _checked_type(type_: GraphQLObjectType, place: Complete) -> Complete:
    """The place's function, for objects that are of the type: what that depends on is taken to be their class."""
    is_type_of = type_.is_type_of
    if is_type_of is None:
        return place
    known: set[type] = set()

    async def checked(run: Run, sources: Sequence[Any]) -> Sequence[Any]:
        for source in sources:
            if type(source) not in known:
                if is_type_of(source, _NO_INFO) is not True:
                    raise Unexpected(f"not a {type_.name}")
                known.add(type(source))
        return await place(run, sources)

    return checked


def _arguments(field: GraphQLField, node: FieldNode) -> Arguments:
    """A field's arguments (section 6.4.1, CoerceArgumentValues): once, where no variable is in them."""
    if not field.args:
        return lambda _run: {}
    if any(mentions_variables(argument) for argument in node.arguments or ()):
        return lambda run: get_argument_values(field, node, run.variables, None, True)
    try:
        values = get_argument_values(field, node, None, None, True)
    except Exception as error:
        raise NotCompilable("an argument that cannot be read") from error
    return lambda _run: values


def _leaf(type_: GraphQLLeafType) -> Callable[[Any], Any]:
    """A leaf's own serialization, for a value that is not null."""
    serialize = type_.coerce_output_value

    def convert(value: Any) -> Any:
        if value is None:
            raise Unexpected("null where none may be")
        done = serialize(value)
        if done is None or done is Undefined:
            raise Unexpected("a leaf without a value")
        return done

    return convert


def _nullable(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)


def _names(type_: GraphQLEnumType) -> dict[Any, str]:
    """An enumeration's names by their values, and by what the values are equal to."""
    names: dict[Any, str] = {}
    for name, value in type_.values.items():
        names[value.value] = name
        names[getattr(value.value, "value", value.value)] = name
    for value, name in names.items():
        if type_.coerce_output_value(value) != name:
            raise NotCompilable(f"the values of {type_.name}")
    return names


def _give_up() -> NoReturn:
    raise Unexpected("null where none may be")
