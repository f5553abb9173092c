"""The compiler of operations, on a small schema of its own: the same bytes as the ordinary executor's, or nothing."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import orjson
import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    execute,
    parse,
    validate,
)
from graphql.execution import MiddlewareManager

from graphql_compiler import (
    Attribute,
    Batch,
    Binding,
    CompiledOperation,
    Execution,
    GaveUp,
    NotCompilable,
    Variables,
    compile_operation,
    shaping_variables,
)

SDL = """
scalar Moment
interface Named { name: String! }
enum Colour { RED GREEN }
type Author implements Named { id: ID! name: String! born: Moment books(first: Int = 2): [Book!]! rival: Author }
type Book implements Named {
  name: String! pages: Int colour: Colour! author: Author! notes: [String] score: Float! lent: Boolean
}
type Made { author: Author! }
type Query {
  author(name: String!): Author
  authors: [Author!]!
  named(kind: Colour): [Named]!
  number: Int!
  failing: Int
  unbound: Secret
}
type Secret { word: String }
type Mutation { make(name: String!): Made fail: Made }
type Subscription { made: Author unbound: Secret }
"""


class Colour(Enum):
    RED = "red"
    GREEN = "green"


@dataclass
class Book:
    name: Any
    author: "Author"
    colour: Any = "red"
    pages: Any = 7
    notes: Any = None
    score: Any = 0.5
    lent: Any = True


@dataclass
class Author:
    id: int
    name: Any
    born: Any = None
    rival: "Author | None" = None
    books: list[Book] = field(default_factory=list)


@dataclass
class Library:
    """The context: what there is, and what was asked of it."""

    authors: list[Author]
    calls: list[Any] = field(default_factory=list)
    made: list[str] = field(default_factory=list)


def library() -> Library:
    ada, bob = Author(1, "Ada", datetime(1815, 12, 10, 1, 2, 3, 4, tzinfo=UTC)), Author(2, "Bob")
    ada.rival, bob.rival = bob, bob
    ada.books = [Book(f"A{n}", ada, notes=["x", None]) for n in range(3)]
    bob.books = [Book("B", bob, colour=Colour.GREEN, pages=None, lent=None)]
    return Library([ada, bob])


def make_schema() -> GraphQLSchema:
    schema = build_schema(SDL)
    types: Any = schema.type_map
    types["Moment"].coerce_output_value = lambda value: value.isoformat().replace("+00:00", "Z")
    colour: GraphQLEnumType = types["Colour"]
    for member in Colour:
        colour.values[member.name].value = member
    colour.__dict__.pop("_value_lookup", None)
    types["Colour"].coerce_output_value = lambda value: Colour(value).name
    types["Named"].resolve_type = lambda value, _info, _type: type(value).__name__

    async def author(_root: Any, info: Any, name: str) -> Any:
        await asyncio.sleep(0)
        return next((author for author in info.context.authors if author.name == name), None)

    async def books(source: Author, _info: Any, first: int) -> list[Book]:
        return source.books[:first]

    async def make(_root: Any, info: Any, name: str) -> Any:
        info.context.made.append(name)
        return {"author": Author(9, None if name == "nobody" else name)}

    def fail(_root: Any, info: Any) -> Any:
        info.context.made.append("fail")
        raise ValueError("no")

    query, mutation = types["Query"].fields, types["Mutation"].fields
    query["author"].resolve = author
    query["authors"].resolve = lambda _root, info: info.context.authors
    query["named"].resolve = lambda _root, info, kind=None: [
        item for each in info.context.authors for item in (each, *each.books, None) if kind is None or item is not each
    ]
    query["number"].resolve = lambda _root, info: len(info.context.authors)
    query["failing"].resolve = fail
    query["unbound"].resolve = lambda *_: {"word": "x"}
    types["Author"].fields["books"].resolve = books
    mutation["make"].resolve, mutation["fail"].resolve = make, fail
    return schema


SCHEMA = make_schema()
NUMBER: Any = parse("{ number }").definitions[0]
NO_VARIABLES: Any = Variables(SCHEMA, NUMBER).coerce({}, 1)
SCALARS = {"String": str, "ID": int, "Int": int, "Float": float, "Boolean": bool, "Moment": datetime}


async def load_books(context: Library, sources: Sequence[Author], arguments: Mapping[str, Any]) -> list[Any]:
    context.calls.append(([source.id for source in sources], arguments))
    return [source.books[: arguments["first"]] for source in sources]


def binding_of(parent: GraphQLObjectType, name: str, _field: GraphQLField) -> Binding | None:
    if parent.name == "Secret":
        return None
    if (parent.name, name) == ("Author", "books"):
        return Batch(load_books)
    if parent.name == "Made":
        return Batch(_made)
    types = {"name": str, "born": datetime, "pages": int, "score": float, "lent": bool}
    return Attribute(name, types.get(name))


async def _made(_context: Any, sources: Sequence[Any], _arguments: Any) -> list[Any]:
    return [source["author"] for source in sources]


def compiled_of(query: str, variables: dict[str, Any] | None = None, bind: Any = binding_of) -> CompiledOperation:
    document = parse(query)
    assert not validate(SCHEMA, document)
    [operation] = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    return compile_operation(
        SCHEMA, document, operation, variables or {}, binding_of=bind, scalars={**SCALARS, "ID": str}
    )


async def both(query: str, variables: dict[str, Any] | None = None, shelf: Library | None = None) -> tuple[Any, Any]:
    """What the compiled operation answers (with its fallback), and the ordinary executor: encoded, and what was made
    on the way."""
    shelf = shelf or library()
    document = parse(query)
    [operation] = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    values = Variables(SCHEMA, operation).coerce(variables or {}, 50)
    assert not isinstance(values, list)
    try:
        shape = {name: values.coerced.get(name) for name in shaping_variables(document, operation)}
        data = await compiled_of(query, shape).execute(Execution(shelf, values))
        compiled: Any = {"data": data}
    except GaveUp as error:
        compiled = await _ordinary(query, variables, shelf, MiddlewareManager(error.replay))
    made, shelf.made = shelf.made, []
    ordinary = await _ordinary(query, variables, shelf, None)
    return (orjson.dumps(compiled, option=orjson.OPT_UTC_Z), made), (orjson.dumps(ordinary), shelf.made)


async def _ordinary(query: str, variables: Any, shelf: Library, middleware: Any) -> dict[str, Any]:
    result: Any = execute(SCHEMA, parse(query), context_value=shelf, variable_values=variables, middleware=middleware)
    result = await result if asyncio.iscoroutine(result) else result
    return {**({"errors": [error.formatted for error in result.errors]} if result.errors else {}), "data": result.data}


SAME = {
    "leaves": "{ authors { id name born } }",
    "aliases": "{ one: number authors { a: name b: name } }",
    "a relation with a default": "{ authors { books { name pages colour score lent notes } } }",
    "arguments": "{ authors { books(first: 1) { name } all: books(first: 9) { name } } }",
    "an object": '{ author(name: "Ada") { rival { name rival { name } } } }',
    "nothing there": '{ author(name: "Nobody") { name } }',
    "back and forth": "{ authors { books { author { books { author { name } } } } } }",
    "an interface": "{ named { __typename name ... on Author { id rival { name } } ... on Book { pages } } }",
    "an enumeration as an argument": "{ named(kind: RED) { name } }",
    "type names": "{ __typename t: __typename authors { __typename books { k: __typename } } }",
    "fragments": """{ authors { ...A } }
        fragment A on Author { name ...B } fragment B on Named { name ... on Author { id } }""",
    "a fragment twice": "{ authors { ...A ...A rival { ...A } } } fragment A on Author { id name }",
    "selections that merge": '{ author(name: "Ada") { rival { name } rival { id } books { name } books { pages } } }',
    "inline fragments": "{ authors { ... { id } ... on Named { name } ... on Author @include(if: true) { born } } }",
    "conditions that are written": "{ authors { id @skip(if: true) name @include(if: true) born @skip(if: true) } }",
    "a response key that is no name of Python's": "{ authors { class: name None: id lambda: born } }",
    "nothing selected": "{ authors { id @skip(if: true) } }",
}


class TestSame:
    @pytest.mark.parametrize("name", SAME)
    async def test_same_bytes(self, name: str) -> None:
        compiled_of(SAME[name])
        compiled, ordinary = await both(SAME[name])
        assert compiled == ordinary
        assert b'"errors"' not in compiled[0]

    @pytest.mark.parametrize("some", [True, False])
    async def test_conditions_in_variables(self, some: bool) -> None:
        query = """query($a: Boolean!, $b: Boolean = true, $n: Int!) {
            authors { id @include(if: $a) name @skip(if: $a) @include(if: $b) books(first: $n) { name } }
        }"""
        document = parse(query)
        [operation] = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        assert shaping_variables(document, operation) == ("a", "b")
        for variables in ({"a": some, "n": 1}, {"a": some, "b": some, "n": 2}):
            compiled, ordinary = await both(query, variables)
            assert compiled == ordinary

    async def test_empty_list_asks_for_nothing(self) -> None:
        shelf = Library([])
        compiled, ordinary = await both("{ authors { books { name } } }", shelf=shelf)
        assert compiled == ordinary
        assert not shelf.calls

    async def test_relation_is_loaded_once_for_all_and_an_object_completed_once(self) -> None:
        shelf = library()
        await both("{ authors { books { author { books(first: 1) { name } } } } }", shelf=shelf)
        assert shelf.calls == [([1, 2], {"first": 2}), ([1, 2], {"first": 1})]

    async def test_mutations_take_effect_in_order_and_once(self) -> None:
        compiled, ordinary = await both(
            'mutation { a: make(name: "a") { author { name } } b: make(name: "b") { __typename } }'
        )
        assert compiled == ordinary
        assert compiled[1] == ["a", "b"]


def _with(change: Any) -> Library:
    shelf = library()
    change(shelf.authors[0])
    return shelf


UNEXPECTED = {
    "null in a non-null leaf": lambda ada: setattr(ada, "name", None),
    "null in a non-null leaf further in": lambda ada: setattr(ada.books[1], "score", None),
    "null in a non-null enumeration": lambda ada: setattr(ada.books[0], "colour", None),
    "no value of the enumeration": lambda ada: setattr(ada.books[0], "colour", "blue"),
    "null in a non-null object": lambda ada: setattr(ada.books[0], "author", None),
    "null in a list of non-null": lambda ada: ada.books.insert(1, None),
    "no list": lambda ada: setattr(ada, "books", "books"),
    "no id": lambda ada: setattr(ada, "id", None),
    "an id that is none": lambda ada: setattr(ada, "id", object()),
    "no attribute": lambda ada: delattr(ada, "name"),
}


class TestUnexpected:
    @pytest.mark.parametrize("name", UNEXPECTED)
    async def test_ordinary_executor_answers(self, name: str) -> None:
        query = "{ authors { id name rival { id } books(first: 9) { name score colour author { id } } } number }"
        shelf = _with(UNEXPECTED[name])
        with pytest.raises(GaveUp):
            await compiled_of(query).execute(Execution(shelf, NO_VARIABLES))
        compiled, ordinary = await both(query, shelf=shelf)
        assert compiled == ordinary

    async def test_error_of_a_field_of_the_operation(self) -> None:
        compiled, ordinary = await both("{ number failing authors { id } }")
        assert compiled[0] == ordinary[0]
        assert b'"path":["failing"]' in compiled[0]
        assert compiled[1] == ["fail"], "it was called once, not once by each executor"

    async def test_mutations_before_and_after_an_error_take_effect_once(self) -> None:
        query = """mutation {
            a: make(name: "a") { author { name } } b: fail { author { name } }
            c: make(name: "nobody") { author { name } } d: make(name: "d") { author { name } }
        }"""
        compiled, ordinary = await both(query)
        assert compiled == ordinary
        assert compiled[1] == ["a", "fail", "nobody", "d"]

    async def test_batch_of_another_length_is_not_trusted(self) -> None:
        async def too_few(*_: Any) -> list[Any]:
            return []

        def bind(parent: GraphQLObjectType, name: str, field: GraphQLField) -> Binding | None:
            return Batch(too_few) if name == "books" else binding_of(parent, name, field)

        with pytest.raises(GaveUp) as caught:
            await compiled_of("{ authors { books { name } } }", bind=bind).execute(Execution(library(), NO_VARIABLES))
        assert "another length" in str(caught.value.__cause__)

    async def test_cancelling_is_no_reason_to_begin_again(self) -> None:
        async def cancelled(*_: Any) -> list[Any]:
            raise asyncio.CancelledError

        def bind(parent: GraphQLObjectType, name: str, field: GraphQLField) -> Binding | None:
            return Batch(cancelled) if name == "books" else binding_of(parent, name, field)

        with pytest.raises(asyncio.CancelledError):
            await compiled_of("{ authors { books { name } } }", bind=bind).execute(Execution(library(), NO_VARIABLES))


LEFT = {
    "introspection": "{ __schema { types { name } } }",
    "a field without a binding": "{ unbound { word } }",
    "a subscription to a field without a binding": "subscription { unbound { word } }",
}


class TestSubscriptions:
    async def test_events_are_answered_together_as_the_ordinary_executor_does_one_by_one(self) -> None:
        query = "subscription { it: made { __typename name books(first: 1) { name } rival { id } } }"
        shelf = library()
        events = [*shelf.authors, None]
        found = await compiled_of(query).execute_each(Execution(shelf, NO_VARIABLES), events)
        assert shelf.calls == [([1, 2], {"first": 1})], "what hangs on them is read at once"

        ordinary = [await _event(query, event) for event in events]
        assert [orjson.dumps({"data": data}) for data in found] == [orjson.dumps(answer) for answer in ordinary]
        assert found[2] == {"it": None}

    async def test_event_that_is_unexpected_is_left_to_the_ordinary_executor(self) -> None:
        shelf = library()
        shelf.authors[1].name = None
        with pytest.raises(GaveUp):
            await compiled_of("subscription { made { name } }").execute_each(
                Execution(shelf, NO_VARIABLES), shelf.authors
            )


async def _event(query: str, event: Any) -> dict[str, Any]:
    """What the ordinary executor answers for an event of ``made``."""
    result: Any = execute(SCHEMA, parse(query), {"made": event}, context_value=library())
    result = await result if asyncio.iscoroutine(result) else result
    assert not result.errors
    return {"data": result.data}


class TestLeft:
    @pytest.mark.parametrize("name", LEFT)
    def test_left_to_the_ordinary_executor(self, name: str) -> None:
        with pytest.raises(NotCompilable):
            compiled_of(LEFT[name])

    def test_attribute_is_a_name(self) -> None:
        with pytest.raises(ValueError, match="no name"):
            Attribute("a; import os")
