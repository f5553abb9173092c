"""The code of one operation: a Python function for each place of the document where an object is selected."""

from collections import Counter
from collections.abc import Callable, Mapping
from operator import attrgetter
from types import CodeType
from typing import Any, NoReturn
from zlib import crc32

from graphql import (
    FieldNode,
    GraphQLCompositeType,
    GraphQLEnumType,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    Undefined,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_enum_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)

from graphql_compiler.arguments import MAX_INT, arguments_of
from graphql_compiler.bindings import Attribute, Batch, BindingOf, Reads, Scalars
from graphql_compiler.completion import (
    Complete,
    Make,
    TypeInfo,
    checked_type,
    complete_leaves,
    complete_lists,
    complete_lists_of_objects,
    complete_objects,
    complete_required,
    load_batch,
    make_each,
    make_some,
    read_attribute,
)
from graphql_compiler.execution import PIECE, Size, Unexpected, size_of
from graphql_compiler.selections import NotCompilable, Selections

PLACE_SIZE, SOURCE_SIZE = 3_000, 12
"""Bytes of memory: of a place, and of a character of what is written for it."""
SHORT_TEXT, NUMBER = 500, 40
"""How many characters a text comes to at most that is not ``long`` (``Attribute``); and a number, an instant, an id."""
_NUMBERS = frozenset({"Int", "Float", "Boolean", "ID", "DateTime", "Date"})


class CodeGenerator:
    """Makes the functions of the places of one operation."""

    def __init__(
        self,
        schema: GraphQLSchema,
        selections: Selections,
        binding_of: BindingOf,
        scalars: Scalars,
        *,
        types_by_class: bool,
    ) -> None:
        self._schema, self._selections = schema, selections
        self._binding_of, self._scalars, self._types_by_class = binding_of, scalars, types_by_class
        self._reads: dict[str, set[str]] = {}
        self._codes: dict[str, CodeType] = {}
        self.size = 0
        """About how many bytes of memory the functions take that were written so far."""

    def more(self, batch: Batch) -> tuple[Reads, ...]:
        """What a batch is given beside the arguments; what is read will be known when all is written."""
        return (self._reads,) if batch.selective else ()

    def complete(self, type_: GraphQLOutputType, nodes: list[FieldNode]) -> Complete:
        """How values of a type are completed (section 6.4.3, CompleteValue)."""
        required = is_non_null_type(type_)
        nullable: Any = get_nullable_type(type_)
        if is_composite_type(nullable):
            return complete_objects(self._composite(nullable, nodes), required=required)
        if is_list_type(nullable):
            item = get_nullable_type(nullable.of_type)
            if is_composite_type(item):
                make = self._composite(item, nodes)
                done = complete_lists_of_objects(make, required=is_non_null_type(nullable.of_type))
            else:
                done = complete_lists(self.complete(nullable.of_type, nodes))
        else:
            done = complete_leaves(_nullable(_leaf(nullable)), self._scalars.get(nullable.name))
        return complete_required(done) if required else done

    def _composite(self, type_: GraphQLCompositeType, nodes: list[FieldNode]) -> Make:
        """How objects of a type, or of those that it stands for, are turned into their maps."""
        return make_each(*self._object(type_, nodes)) if is_object_type(type_) else self._abstract(type_, nodes)

    def _abstract(self, type_: Any, nodes: list[FieldNode]) -> Make:
        places = {each.name: self._object(each, nodes)[0] for each in self._schema.get_possible_types(type_)}
        resolve_type = type_.resolve_type
        if resolve_type is None:
            raise NotCompilable(f"{type_.name} does not say what its values are")
        return make_some(type_, resolve_type, TypeInfo(self._schema, nodes[0].name.value), places)

    def _object(self, type_: GraphQLObjectType, nodes: list[FieldNode]) -> tuple[Complete, Size | None]:
        """The function of one place: from objects of a type to their maps. And the size of each of these without long
        texts, where nothing hangs on them."""
        parts = [node.selection_set for node in nodes if node.selection_set is not None]
        members: list[str] = []
        length = 2
        columns: list[Complete] = []
        scope: dict[str, Any] = {"give_up": _give_up, "columns": columns}
        long: Counter[tuple[str, bool]] = Counter()
        checked: list[str] = []
        read: dict[str, str] = {}
        for index, (key, fields) in enumerate(self._selections.of(parts, type_).items()):
            name = fields[0].name.value
            length += len(key) + 4
            if name == "__typename":
                length += len(type_.name)
                members.append(f"{key!r}: {type_.name!r}")
                continue
            if name.startswith("__"):
                raise NotCompilable("introspection")
            field = type_.fields[name]
            binding = self._binding_of(type_, name, field)
            if binding is None:
                raise NotCompilable(f"{type_.name}.{name} has no binding")
            needs = (binding.name,) if isinstance(binding, Attribute) else binding.needs
            self._reads.setdefault(type_.name, set()).update(needs)
            if isinstance(binding, Attribute) and binding.long:
                long[binding.name, binding.python_type is str] += 1
            nullable_type = get_nullable_type(field.type)
            if isinstance(binding, Attribute) and is_leaf_type(nullable_type):
                length += NUMBER if is_enum_type(nullable_type) or nullable_type.name in _NUMBERS else SHORT_TEXT
                value = read.setdefault(binding.name, f"a{len(read)}")
                expression, unchecked = self._leaf(nullable_type, binding, value, f"f{index}", scope)
                if is_non_null_type(field.type):
                    if unchecked and not binding.derived and value not in checked:
                        checked.append(value)
                elif expression != value:
                    expression = f"None if {value} is None else {expression}"
                members.append(f"{key!r}: {expression}")
                continue
            length += 0 if is_composite_type(get_named_type(nullable_type)) else SHORT_TEXT
            members.append(f"{key!r}: v{len(columns)}")
            complete = self.complete(field.type, fields)
            if isinstance(binding, Attribute):
                columns.append(read_attribute(binding.name, complete))
            else:
                columns.append(load_batch(binding.load, arguments_of(field, fields[0]), self.more(binding), complete))
        texts = []
        for index, ((name, is_text), times) in enumerate(long.items()):
            scope[f"g{index}"], scope["size_of"] = attrgetter(name), size_of
            found = f"map(g{index}, sources)"
            lengths = f"map(len, filter(None, {found}))" if is_text else f"map(size_of, {found})"
            texts.append(f"run.count_text({lengths}, {times})")
        source = _source(members, read, checked, texts, len(columns), length)
        self.size += PLACE_SIZE
        code = self._codes.get(source)  # the same is often selected under several names
        if code is None:
            # every name in it is made here, or checked to be an identifier; response keys stand in it as literals
            code = self._codes[source] = compile(
                source, f"<graphql_compiler {type_.name} {crc32(source.encode()):08x}>", "exec"
            )
            self.size += SOURCE_SIZE * len(source)
        # for tracebacks, which look for the lines of a module so
        scope["__name__"], scope["__loader__"] = "graphql_compiler.generated", _Source(source)
        each = None if columns else Size(max(1, len(members)), length)
        return checked_type(type_, _made(code, scope), by_class=self._types_by_class), each

    def _leaf(
        self, type_: GraphQLLeafType, binding: Attribute, value: str, name: str, scope: dict[str, Any]
    ) -> tuple[str, bool]:
        """An expression for a leaf, and whether it would let None pass."""
        as_it_stands = self._scalars.get(type_.name)
        if binding.python_type is not None and as_it_stands is binding.python_type:
            return value, True
        if is_enum_type(type_):
            scope[name] = _names(type_)
            return f"{name}[{value}]", False
        scope[name] = _leaf(type_)
        if as_it_stands is None and type_ is GraphQLInt:
            return (
                f"({value} if type({value}) is int and -{MAX_INT} <= {value} <= {MAX_INT} else {name}({value}))",
                False,
            )
        if as_it_stands is None or binding.python_type is not None:
            return f"{name}({value})", False
        scope[f"t{name}"] = as_it_stands
        return f"({value} if type({value}) is t{name} else {name}({value}))", False


class _Source:
    """The loader of one function's module: it knows its text alone."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def get_source(self, _name: str) -> str:
        return self._text


def _source(
    members: list[str], read: Mapping[str, str], checked: list[str], texts: list[str], columns: int, length: int
) -> str:
    """The text of a function that makes a place's function, which makes the maps of some of the sources at a time.

    ``length`` is how many characters a map comes to at most, without its long texts and what is below it.
    """
    names = [f"c{index}" for index in range(columns)]
    given = "".join(f", {name}" for name in names)
    values = "".join(f", v{index}" for index in range(columns))
    lines = ["def made():", f"    def fill(add, sources{given}):"]
    lines.append(f"        for s{values} in zip(sources{given}):" if columns else "        for s in sources:")
    lines += [f"            {local} = s.{attribute}" for attribute, local in read.items()]
    if checked:
        lines.append(f"            if None in ({', '.join(checked)},): give_up()")
    lines.append(f"            add({{{', '.join(members)}}})")
    rows, width = max(1, PIECE // max(1, len(members))), max(1, len(members))
    lines.append("    async def place(run, sources):")
    lines += [f"        {text}" for text in texts]
    lines.append(f"        run.text += len(sources) * {length}")
    lines += [f"        {name} = await columns[{index}](run, sources)" for index, name in enumerate(names)]
    slices = "".join(f", {name}[start : start + {rows}]" for name in names)
    lines += [
        "        done = []",
        f"        if len(sources) <= {rows}:",
        f"            fill(done.append, sources{given})",
        f"            run.values += len(sources) * {width}",
        "            return done",
        f"        for start in range(0, len(sources), {rows}):",
        f"            await run.pause_if_due({PIECE})",
        f"            fill(done.append, sources[start : start + {rows}]{slices})",
        f"            run.values += {rows * width}",
        "        return done",
        "    return place",
    ]
    return "\n".join(lines)


def _made(code: CodeType, scope: dict[str, Any]) -> Complete:
    exec(code, scope)  # noqa: S102 - see _source
    # not one of the globals any more: a function among its own globals is garbage that only the collector finds
    place: Complete = scope.pop("made")()
    return place


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
