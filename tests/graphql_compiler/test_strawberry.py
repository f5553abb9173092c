"""Compiled execution of Strawberry schemas: the same answers as without the extension, and every guard each time."""

import asyncio
import datetime as dt
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Union

import graphql
import pytest
import strawberry
from graphql import get_introspection_query
from strawberry.extensions import FieldExtension, SchemaExtension
from strawberry.permission import BasePermission
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionResult, Info

import graphql_compiler
from graphql_compiler import example
from graphql_compiler.strawberry import batched, compiled_execution, left_alone, uncompiled_fields

README = Path(graphql_compiler.__file__).with_name("README.md")


@dataclass
class Log:
    """The context: what ran in the operation, and whether guards are open."""

    ran: list[str] = field(default_factory=list)
    open: bool = True


class Guard(BasePermission):
    message = "Closed"

    async def has_permission(self, source: Any, info: Info[Log, None], **_: Any) -> bool:
        info.context.ran.append("guard")
        return info.context.open


class Louder(FieldExtension):
    async def resolve_async(self, next_: Callable[..., Awaitable[Any]], source: Any, info: Info, **options: Any) -> Any:
        return f"{await next_(source, info, **options)}!"


@strawberry.enum
class Kind(Enum):
    NOVEL = "novel"
    PLAY = "play"


@strawberry.interface
class Named:
    name: str


@strawberry.type
class Pen(Named):
    colour: str


@strawberry.type
class Page:
    number: int
    price: float
    read: bool | None


@strawberry.input
class Between:
    least: int = 0
    most: int | None = strawberry.UNSET


async def load_words(log: Log, books: Sequence["Book"], arguments: Mapping[str, Any]) -> list[list[list[str]]]:
    log.ran.append(f"words of {len(books)}")
    between = arguments.get("between") or Between(least=0)
    return [[[f"{book.name}{n}"] * 2 for n in range(between.least, 3)] for book in books]


@strawberry.type
class Book(Named):
    kind: Kind
    published: dt.date | None
    isbn: strawberry.ID
    pages: list[list[Page]]
    broken: Annotated[int, strawberry.argument()] = 0

    @strawberry.field
    def length(self) -> int:
        return sum(map(len, self.pages))

    @strawberry.field
    async def title(self, shout: bool = False) -> str:
        await asyncio.sleep(0)
        return self.name.upper() if shout else self.name

    @strawberry.field
    def first_page(root: strawberry.Parent["Book"]) -> Page | None:
        return root.pages[0][0] if root.pages else None

    @strawberry.field
    def fails(self) -> str | None:
        raise ValueError(f"{self.name} fails")

    @strawberry.field(metadata=batched(load_words))
    async def words(self, info: Info[Log, None], between: Between | None = None) -> list[list[str]]:
        [found] = await load_words(info.context, [self], {"between": between})
        return found

    @strawberry.field
    def where(self, info: Info[Log, None]) -> list[str]:
        return [str(key) for key in info.path.as_list()]

    @strawberry.field(permission_classes=[Guard])
    async def secret(self) -> str:
        return "secret"

    @strawberry.field(extensions=[Louder()])
    async def loud(self) -> str:
        return self.name


Thing = Annotated[Union[Book, Pen], strawberry.union("Thing")]  # noqa: UP007 - Strawberry's way


def books() -> list[Book]:
    pages = [[Page(number=1, price=0.5, read=True), Page(number=2, price=1.0, read=None)], []]
    first = Book(name="a", kind=Kind.NOVEL, published=dt.date(2026, 1, 31), isbn=strawberry.ID("1"), pages=pages)
    return [first, Book(name="b", kind=Kind.PLAY, published=None, isbn=strawberry.ID("2"), pages=[])]


@strawberry.type
class Query:
    @strawberry.field
    async def books(self) -> list[Book]:
        return books()

    @strawberry.field
    def broken(self) -> list[Book]:
        [first, second] = books()
        first.broken, second.broken = 2**40, 1
        return [first, second]

    @strawberry.field
    def things(self) -> list[Thing]:
        return [*books(), Pen(name="p", colour="red")]

    @strawberry.field
    def named(self) -> list[Named]:
        return [Pen(name="p", colour="red"), *books()]

    @strawberry.field
    def selected(self, info: Info[Log, None], word: str = "x") -> list[str]:
        return [info.field_name, *map(str, info.selected_fields)]

    @strawberry.field
    def sent(self, info: Info[Log, None]) -> str:
        return f"{info.input_extensions} {info.variable_values}"

    @strawberry.field(permission_classes=[Guard])
    async def guarded(self) -> str | None:
        return "in"


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def write(self, info: Info[Log, None], name: str) -> Book:
        info.context.ran.append(f"write {name}")
        return Book(name=name, kind=Kind.NOVEL, published=None, isbn=strawberry.ID(name), pages=[])

    @strawberry.mutation
    async def refuse(self, info: Info[Log, None]) -> str | None:
        info.context.ran.append("refuse")
        raise ValueError("refused")


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self) -> Any:
        yield 1


def schema(*extensions: Any, **options: Any) -> strawberry.Schema:
    config = StrawberryConfig()
    return strawberry.Schema(Query, Mutation, extensions=extensions, config=config, **options)


PLAIN = schema()


async def execute(asked: strawberry.Schema, query: str, log: Any = None, **options: Any) -> tuple[Any, ...]:
    log = log or Log()
    result = await asked.execute(query, context_value=log, **options)
    assert isinstance(result, ExecutionResult)
    return result.data, [error.formatted for error in result.errors or ()], log.ran


COMPILED = {
    "leaves": "{ books { name kind published isbn __typename } }",
    "lists of lists": "{ books { pages { number price read } words } }",
    "arguments": "{ books { words(between: {least: 1}) t: title(shout: true) title } }",
    "variables": "query($s: Boolean!, $b: Between) { books { title(shout: $s) words(between: $b) } }",
    "conditions": "query($s: Boolean!) { books { name @include(if: $s) isbn @skip(if: $s) } }",
    "resolvers": "{ books { length firstPage { number } title } }",
    "an interface": "{ named { __typename name ... on Book { isbn } ... on Pen { colour } } }",
    "a union": "{ things { __typename ... on Book { isbn } ... on Pen { name colour } } }",
    "guards of its own fields": "{ guarded }",
    "info of its own fields": '{ selected(word: "y") again: selected }',
    "extensions of the request": "query($s: Boolean) { sent books { title(shout: $s) } }",
    "a mutation": 'mutation { a: write(name: "a") { name title } b: write(name: "b") { length } }',
    "an error of its own field": 'mutation { a: write(name: "a") { name } refuse b: write(name: "b") { name } }',
}
LEFT = {
    "a guard below": "{ books { name secret } }",
    "an extension below": "{ books { loud } }",
    "an info below": "{ books { where } }",
    "introspection": get_introspection_query(),
}
GIVES_UP = {
    "an error below": "{ books { name fails } }",
    "a value that is too large": "{ broken { name broken } books { name } }",
    "a mutation with an error below": 'mutation { a: write(name: "a") { fails } b: write(name: "b") { name } }',
}
WHO = [*((name, True) for name in COMPILED), *((name, False) for name in LEFT)]
VARIABLES = {"s": True, "b": {"least": 2}}


class TestAnswers:
    @pytest.mark.parametrize("name", [*COMPILED, *LEFT, *GIVES_UP])
    async def test_are_the_same_each_time(self, name: str) -> None:
        query = (COMPILED | LEFT | GIVES_UP)[name]
        values = {key: value for key, value in VARIABLES.items() if f"${key}" in query}
        options: Any = {"variable_values": values, "operation_extensions": {"trace": 1}}
        data, errors, ran = await execute(PLAIN, query, **options)
        assert bool(errors) is (name in GIVES_UP or name == "an error of its own field")
        asked = schema(compiled_execution())

        for _ in range(6):
            again = await execute(asked, query, **options)
            assert again[:2] == (data, errors)
            assert [each for each in again[2] if "words" not in each] == [each for each in ran if "words" not in each]

    async def test_relation_is_loaded_once_for_all(self) -> None:
        asked = schema(compiled_execution(compile_after=0))

        assert (await execute(asked, COMPILED["lists of lists"]))[2] == ["words of 2"]
        assert (await execute(PLAIN, COMPILED["lists of lists"]))[2] == ["words of 1"] * 2

    @pytest.mark.parametrize(("name", "compiled"), WHO)
    async def test_are_of_whom_they_should_be(self, name: str, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        asked, executed = schema(compiled_execution(compile_after=0)), []

        def noted(*given: Any, **options: Any) -> Any:
            executed.append(1)
            return graphql.execute(*given, **options)

        monkeypatch.setattr("strawberry.schema.schema.execute", noted)
        query = (COMPILED | LEFT)[name]
        values = {key: value for key, value in VARIABLES.items() if f"${key}" in query}
        await asked.execute(query, context_value=Log(), variable_values=values)

        assert executed == ([] if compiled else [1])

    async def test_guard_that_closes_later_keeps_everybody_out(self) -> None:
        asked = schema(compiled_execution())
        for _ in range(3):
            assert (await execute(asked, "{ guarded }"))[0] == {"guarded": "in"}
        data, errors, ran = await execute(asked, "{ guarded }", Log(open=False))

        assert (data, [error["message"] for error in errors], ran) == ({"guarded": None}, ["Closed"], ["guard"])

    async def test_conditions_are_each_answered(self) -> None:
        asked = schema(compiled_execution(compile_after=0))
        for some in (True, False, True):
            answer = await execute(asked, COMPILED["conditions"], variable_values={"s": some})
            assert answer == await execute(PLAIN, COMPILED["conditions"], variable_values={"s": some})

    async def test_variables_that_are_wrong_are_refused_the_same(self) -> None:
        asked = schema(compiled_execution(compile_after=0))
        for _ in range(2):
            answer = await execute(asked, COMPILED["conditions"], variable_values={"s": 5})
            assert answer == await execute(PLAIN, COMPILED["conditions"], variable_values={"s": 5})
            assert answer[1]

    async def test_documents_are_bounded(self) -> None:
        asked = schema(compiled_execution(max_documents=2))
        for number in [*range(5)] * 3:
            assert (await execute(asked, f"{{ books {{ n{number}: name }} }}"))[0]["books"][0] == {f"n{number}": "a"}


class Masked(SchemaExtension):
    def resolve(self, _next: Any, root: Any, info: Any, *args: Any, **options: Any) -> Any:
        return _next(root, info, *args, **options)


class TestLeftAlone:
    def test_nothing_is_as_a_rule(self) -> None:
        assert [*left_alone(schema(compiled_execution()))] == []

    async def test_schema_whose_fields_another_extension_sees(self) -> None:
        asked = schema(compiled_execution(compile_after=0), Masked)

        assert [*left_alone(asked)] == ["Masked.resolve"]
        assert await execute(asked, COMPILED["leaves"]) == await execute(PLAIN, COMPILED["leaves"])

    def test_fields_are_named(self) -> None:
        assert uncompiled_fields(PLAIN) == ["Book.where", "Book.secret", "Book.loud"]

    async def test_operation_on_a_root_value(self) -> None:
        @strawberry.type
        class Rooted:
            word: str

        asked = strawberry.Schema(Rooted, extensions=[compiled_execution(compile_after=0)])
        for word in ("a", "b"):
            result = await asked.execute("{ word }", root_value=Rooted(word=word))
            assert result.data == {"word": word}


class TestExample:
    def test_readme_shows_it(self) -> None:
        shown = README.read_text().split("```python\n")[1].split("```")[0].strip()
        code = Path(example.__file__).read_text().split("# --- what README.md shows\n")[1].split("# --- end")[0]

        assert shown == code.strip()

    async def test_both_executors_answer_the_same(self) -> None:
        said: list[str] = []
        await example.main(said.append)

        assert said[0].startswith("The same answer.")
        assert uncompiled_fields(example.schema) == []

    async def test_compiled_is_at_least_three_times_as_fast(self) -> None:
        plain, compiled = await example.measure()

        assert plain > 3 * compiled


def test_package_needs_graphql_core_alone() -> None:
    code = "import sys, graphql_compiler; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert {"strawberry", "pydantic", "services", "core", "graphql_schema"}.isdisjoint(loaded)
    assert "graphql" in loaded
