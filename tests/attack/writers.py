"""Writes random GraphQL documents over a schema, of all the kinds that cost: reproducible by their seeds.

Most are what nobody writes by accident: as long as may be, doubling, deep, wide, wrong in one place. A document and
its variables are made of one ``Random``, and of nothing else.
"""

import json
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_introspection_type,
    is_list_type,
    is_required_argument,
    is_required_input_field,
)
from graphql.type import introspection_types

MAX_BYTES = 64 * 1024
WORDS = ("q", "qu", "quick", "ß", "%_", "word " * 20, "\u0130", "é" * 50)
IDS = ("VGFzazox", "VXNlcjox", "UHJvamVjdDox", "nonsense", "")


class Written(NamedTuple):
    """A document, its variables, and the operation that is asked for."""

    kind: str
    query: str
    variables: dict[str, Any]
    operation: str | None = None


class Writer:
    """Writes one document."""

    def __init__(self, schema: GraphQLSchema, random: Random) -> None:
        self._schema, self._random = schema, random
        self._size = int(100 * (MAX_BYTES / 100) ** random.random())
        self._aliases = random.choice((0.0, 0.1, 0.6))
        self._variables: dict[str, tuple[str, Any]] = {}
        self._by_variable = random.choice((0.0, 0.3, 0.9))
        self._length = 0

    def write(self) -> Written:
        kind, make = self._random.choice(KINDS)
        query, operation = make(self)
        if self._random.random() < 0.1:
            kind, query = f"{kind}, damaged", self._damaged(query)
        variables = {name: value for name, (_, value) in self._variables.items() if self._random.random() < 0.95}
        return Written(kind, query[:MAX_BYTES], variables, operation)

    # --- whole documents

    def walk(self) -> tuple[str, None]:
        """A walk through the types."""
        root = self._root()
        text = self._selection(root, self._random.randint(2, 18))
        return f"{self._head(root)} {text}", None

    def stuffed(self) -> tuple[str, None]:
        """One piece, over and over."""
        root = self._root()
        unit = self._unit(root)
        text = "".join(unit(index) for index in range(self._times(unit)))
        return f"{self._head(root)} {{ {text} }}", None

    def fragments(self) -> tuple[str, None]:
        """Fragments that spread each other: in a chain, doubled, each in all that come after it, or in a circle."""
        random, type_ = self._random, self._object()
        number = random.randint(2, min(400, max(2, self._size // 60)))
        shape, body = random.choice(("chain", "double", "all", "circle", "side")), self._selection(type_, 2)
        parts = []
        for index in range(number):
            after = [index + 1] if index + 1 < number else []
            if shape == "double":
                after *= random.randint(2, 4)
            elif shape == "all":
                after = [*range(index + 1, min(number, index + 1 + random.randint(1, 40)))]
            elif shape == "circle":
                after = [(index + 1) % number, random.randrange(number)]
            elif shape == "side":
                after = []
            spreads = " ".join(f"...F{other}" for other in after)
            wrapped = f"... on {type_.name} {{ {spreads} {body[1:-1]} }}" if random.random() < 0.3 else spreads
            parts.append(f"fragment F{index} on {type_.name} {{ {wrapped} {body[1:-1]} }}")
        begun = " ".join(f"...F{index}" for index in range(number)) if shape == "side" else "...F0"
        root = self._schema.query_type
        way = self._way_to(type_, begun)
        return f"{self._head(root)} {{ {way} }} {' '.join(parts)}", None

    def operations(self) -> tuple[str, str]:
        """Many operations, of which one is asked for."""
        random, texts = self._random, []
        number = random.randint(2, 30)
        for index in range(number):
            root = self._root()
            texts.append(f"{self._keyword(root)} Q{index} {self._selection(root, random.randint(1, 4))}")
        return " ".join(texts), f"Q{random.randrange(number)}"

    def literals(self) -> tuple[str, None]:
        """One field with a very large argument."""
        random = self._random
        root = self._schema.query_type
        assert root is not None
        names = [name for name, field in root.fields.items() if field.args]
        name = random.choice(names)
        field = root.fields[name]
        argument = random.choice([*field.args])
        text = self._large(field.args[argument].type)
        rest = self._arguments(field, without=argument)
        return f"{self._head(root)} {{ {name}({argument}: {text} {rest[1:-1]}) {self._below(field, 2)} }}", None

    def variables(self) -> tuple[str, None]:
        """Many variables, or large ones."""
        random = self._random
        number = random.randint(1, 600)
        types = [type_.name for type_ in self._schema.type_map.values() if isinstance(type_, GraphQLInputObjectType)]
        value = self._value(self._schema.type_map.get("TaskFilter"), 2)
        for index in range(number):
            kind = random.choice(("Int", "ID", "[ID!]", "Nothing", "TaskFilter", *types))
            self._variables[f"x{index}"] = kind, value
        self._by_variable = 0.9
        root = self._root()
        text = self._selection(root, 6)
        return f"{self._head(root)} {text}", None

    def directives(self) -> tuple[str, None]:
        """Directives, known and unknown, repeated."""
        unit = self._random.choice(("@skip(if: true) ", "@include(if: false) ", "@deprecated ", "@d(a: [1, 2]) "))
        root = self._schema.query_type
        return f"{self._head(root)} {{ me {unit * self._random.randint(1, self._size // 12)} {{ id }} }}", None

    def introspection(self) -> tuple[str, None]:
        """The schema's own schema."""
        random = self._random
        start = random.choice(('__type(name: "Task")', '__type(name: "Mutation")', "__schema"))
        type_ = introspection_types["__Schema" if start == "__schema" else "__Type"]
        texts = [
            f"a{index}: {start} {self._selection(type_, random.randint(2, 12))}"
            for index in range(random.randint(1, 30))
        ]
        return f"{{ {' '.join(texts)} }}", None

    def noise(self) -> tuple[str, None]:
        """Long tokens, comments, brackets."""
        units = ("{", "{a", "[", "#\n", ",", "\ufeff", "!", "a", "9", '"', '""" ', "...", "@", "$a:", "é")
        unit = self._random.choice(units)
        begin = self._random.choice(("", "{__typename}", '{node(id:"', "{tasks(first:", "query(", "{", "{a:"))
        return begin + unit * (self._size // len(unit)), None

    # --- parts

    def _root(self) -> GraphQLObjectType:
        roots = (self._schema.query_type, self._schema.mutation_type, self._schema.subscription_type)
        [root] = self._random.choices(roots, (12, 3, 1))
        assert root is not None
        return root

    def _object(self) -> GraphQLObjectType:
        types = [type_ for type_ in self._schema.type_map.values() if isinstance(type_, GraphQLObjectType)]
        return self._random.choice([type_ for type_ in types if not is_introspection_type(type_)])

    def _keyword(self, root: GraphQLNamedType | None) -> str:
        if root is not None and root is self._schema.mutation_type:
            return "mutation"
        return "subscription" if root is not None and root is self._schema.subscription_type else "query"

    def _head(self, root: GraphQLNamedType | None) -> str:
        declared = ", ".join(f"${name}: {kind}" for name, (kind, _) in self._variables.items())
        return self._keyword(root) + (f" Q({declared})" if declared else " Q")

    def _way_to(self, type_: GraphQLObjectType, inside: str) -> str:
        """Where fragments on a type are spread."""
        if type_ is self._schema.query_type:
            return inside
        node = self._schema.type_map.get("Node")
        if isinstance(node, GraphQLInterfaceType) and node in type_.interfaces:
            return f'node(id: "x") {{ {inside} }}'
        return f"tasks {{ {inside} edges {{ node {{ {inside} }} }} }}"

    def _unit(self, root: GraphQLObjectType) -> Callable[[int], str]:
        random = self._random
        field = self._field(root, random.randint(0, 4))
        return random.choice(
            (
                lambda index: f"a{index}: {field} ",
                lambda _: f"{field} ",
                lambda _: f"... {{ {field} }} ",
                lambda _: f"... on {root.name} {{ {field} }} ",
                lambda index: f"... on T{index} {{ {field} }} ",
                lambda index: f"u{index} ",
                lambda index: f"... {{ a: {field} a: tasks(first: {index}) {{ totalCount }} }} ",
                lambda index: f"...F{index} ",
            )
        )

    def _times(self, unit: Callable[[int], str]) -> int:
        return max(1, self._size // len(unit(1)))

    def _selection(self, type_: GraphQLNamedType, depth: int) -> str:
        random, texts = self._random, []
        for _ in range(random.randint(1, random.choice((2, 4, 12)))):
            if self._length > self._size:
                break
            text = self._field(type_, depth)
            if random.random() < 0.1:
                text = f"... on {type_.name} {{ {text} }}"
            texts.append(text)
        return "{ " + (" ".join(texts) or "__typename") + " }"

    def _field(self, type_: GraphQLNamedType, depth: int) -> str:
        random = self._random
        if not isinstance(type_, (GraphQLObjectType, GraphQLInterfaceType)) or random.random() < 0.03:
            return random.choice(("__typename", "id", "nothing"))
        fields = {name: field for name, field in type_.fields.items() if depth or not _has_fields(field)}
        if not fields:
            return "__typename"
        name = random.choice([*fields])
        field = fields[name]
        alias = f"a{random.randrange(99)}: " if random.random() < self._aliases else ""
        condition = " @include(if: true)" if random.random() < 0.05 else ""
        text = f"{alias}{name}{self._arguments(field)}{condition} {self._below(field, depth)}"
        self._length += len(text)
        return text

    def _below(self, field: GraphQLField, depth: int) -> str:
        return self._selection(get_named_type(field.type), max(0, depth - 1)) if _has_fields(field) else ""

    def _arguments(self, field: GraphQLField, without: str = "") -> str:
        texts = []
        for name, argument in field.args.items():
            if name != without and (is_required_argument(argument) or self._random.random() < 0.4):
                texts.append(f"{name}: {self._input(argument.type, 4)}")
        return f"({', '.join(texts)})" if texts else ""

    def _input(self, type_: GraphQLInputType, depth: int) -> str:
        """A value where one of a type stands: a literal, or a variable."""
        if self._random.random() < self._by_variable and len(self._variables) < 300:
            name = f"v{len(self._variables)}"
            self._variables[name] = str(type_), self._value(type_, depth)
            return f"${name}"
        return _literal(self._value(type_, depth))

    def _large(self, type_: GraphQLInputType) -> str:
        random, item = self._random, get_named_type(type_)
        unit = _literal(self._value(item, 3)) + " "
        times = max(1, self._size // len(unit))
        wrong = "9" * self._size if random.random() < 0.3 else '"' + "\\u0041" * (self._size // 6) + '"'
        return random.choice(
            (
                wrong,
                "[" + unit * times + "]",
                "[" * min(times, 400) + unit + "]" * min(times, 400),
                "{or: [" + unit * times + "]}",
                "{not: " * min(times, 90) + unit + "}" * min(times, 90),
                "{" + " ".join(f"k{index}: 1" for index in range(times)) + "}",
            )
        )

    def _value(self, type_: Any, depth: int) -> Any:
        """A value of a type as JSON has it, mostly; ``_Name`` is an enum's."""
        random = self._random
        type_ = get_nullable_type(type_) if type_ is not None else None
        if random.random() < 0.02:
            return random.choice((None, [], {}, -1, 2**31, "x", True, [[1]]))
        if is_list_type(type_):
            return [self._value(type_.of_type, depth - 1) for _ in range(random.choice((0, 1, 3, 20, 60)))]
        if isinstance(type_, GraphQLInputObjectType):
            chosen = [
                name
                for name, field in type_.fields.items()
                if is_required_input_field(field) or (depth > 0 and random.random() < 0.2)
            ]
            return {name: self._value(type_.fields[name].type, depth - 1) for name in chosen}
        if isinstance(type_, GraphQLEnumType):
            return _Name(random.choice([*type_.values]))
        name = getattr(type_, "name", "")
        if name == "ID":
            return random.choice(IDS)
        if name in {"Int", "Float"}:
            return random.choice((0, 1, 20, 100, 101, -1))
        if name == "Boolean":
            return random.random() < 0.5
        return random.choice(WORDS)

    def _damaged(self, text: str) -> str:
        random = self._random
        for _ in range(random.randint(1, 4)):
            place = random.randrange(len(text) + 1)
            text = (
                text[:place]
                + random.choice(("", "{", "}", "(", ")", "$", "...", "@x", '"', "!", "on"))
                + text[place + random.randint(0, 3) :]
            )
        return text


class _Name(str):
    """A name of an enum, which stands in a document without quotes."""

    __slots__ = ()


def _literal(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_literal(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return str(value) if isinstance(value, _Name) else json.dumps(value)


def _has_fields(field: GraphQLField) -> bool:
    return is_composite_type(get_named_type(field.type))


KINDS: tuple[tuple[str, Callable[[Writer], tuple[str, str | None]]], ...] = (
    ("walk", Writer.walk),
    ("stuffed", Writer.stuffed),
    ("fragments", Writer.fragments),
    ("operations", Writer.operations),
    ("literals", Writer.literals),
    ("variables", Writer.variables),
    ("directives", Writer.directives),
    ("introspection", Writer.introspection),
    ("noise", Writer.noise),
)
