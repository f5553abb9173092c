"""What a schema declares is executed each time, or refused by name when the schema is built."""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import strawberry
from graphql import GraphQLInterfaceType, GraphQLObjectType
from strawberry.directive import DirectiveLocation
from strawberry.extensions import FieldExtension, SchemaExtension
from strawberry.permission import BasePermission
from strawberry.schema.config import StrawberryConfig

from graphql_compiler.strawberry import batched
from graphql_schema.execution.bindings import bindings
from graphql_schema.execution.executor import Executor
from graphql_schema.execution.outcomes import GraphQLRequest, Outcome
from graphql_schema.schema import schema
from graphql_schema.shared.context import CompiledInfo, Info, ResolverInfo
from graphql_schema.shared.following import Followed
from graphql_schema.shared.prices import Price, priced
from services.events.feed import Told


@dataclass
class Log:
    """The context: which guards ran, and whether they let anybody in."""

    ran: list[str] = field(default_factory=list)
    open: bool = True
    forgotten: int = 0
    max_answer_bytes: int = 1_000_000
    large: bool = False

    def forget(self) -> None:
        self.forgotten += 1


class Guard(BasePermission):
    message = "closed"

    def has_permission(self, source: Any, info: strawberry.Info, **kwargs: Any) -> bool:
        info.context.ran.append(f"guard of {info.field_name}")
        return bool(info.context.open)


class Watch(FieldExtension):
    async def resolve_async(self, next_: Any, source: Any, info: strawberry.Info, **kwargs: Any) -> Any:
        info.context.ran.append(f"extension of {info.field_name}")
        return await next_(source, info, **kwargs)


async def load_doubles(_context: Any, things: Sequence[Any], arguments: Mapping[str, Any]) -> Sequence[int]:
    return [thing.number * arguments.get("times", 2) for thing in things]


def read(self: Any) -> int | None:
    return int(self.number)


async def double(self: Any) -> int | None:
    return int(self.number) * 2


async def scale(self: Any, times: int = 3) -> int | None:
    return int(self.number) * times


async def answer(info: Info) -> int | None:
    return 1


async def count() -> AsyncGenerator[int, None]:
    """Two events that are told together, then one: what is followed comes in this form, whatever is told."""
    for numbers in ([1, 2], [3]):
        told: Any = Told(numbers, 0.0, None, None, None)  # type: ignore[arg-type]  # no events, and of no feed
        followed: Any = Followed(told)
        yield followed


DOUBLES = batched(load_doubles)


def declared(resolver: Any = None, **options: Any) -> Any:
    """A field with a resolver from elsewhere: the class's annotation is its type."""
    return strawberry.field(resolver, **options)


@strawberry.type
class Thing:
    number: int
    word: str | None = declared(permission_classes=[Guard], default="word")
    attribute: int | None = declared(read, permission_classes=[Guard], metadata={"attribute": "number"})
    batch: int | None = declared(double, extensions=[Watch()], metadata=DOUBLES)
    scaled: int | None = declared(scale, permission_classes=[Guard], metadata=DOUBLES)


async def two_things(self: Any) -> list[Thing]:
    return [Thing(number=1), Thing(number=2)]


@strawberry.type
class Query:
    guarded: int | None = declared(answer, permission_classes=[Guard])
    watched: int | None = declared(answer, extensions=[Watch()])

    things: list[Thing] = declared(two_things, metadata=priced(Price(rows=2)))

    @strawberry.field
    async def named(self, info: strawberry.Info) -> str:
        return info.field_name

    @strawberry.field
    async def rooted(self, root: Any) -> str:
        return repr(root)


@strawberry.type
class Mutation:
    change: int | None = declared(answer, permission_classes=[Guard])


@strawberry.type
class Subscription:
    count: int = declared(count, is_subscription=True, permission_classes=[Guard])


FOREIGN = strawberry.Schema(Query, Mutation, Subscription)


async def execute(executor: Executor, query: str, log: Log) -> Outcome:
    return await executor.execute(executor.prepare(GraphQLRequest(query)), log)  # type: ignore[arg-type]  # a foreign context


GUARDED = {
    "{ guarded }": ["guard of guarded"],
    "{ watched }": ["extension of watched"],
    "mutation { change }": ["guard of change"],
    "{ things { word } }": ["guard of word"] * 2,
    "{ things { attribute } }": ["guard of attribute"] * 2,
    "{ things { batch } }": ["extension of batch"] * 2,
    "{ things { scaled } }": ["guard of scaled"] * 2,
    "{ things { scaled(times: 4) } }": ["guard of scaled"] * 2,
    "{ things { number ...F } } fragment F on Thing { attribute }": ["guard of attribute"] * 2,
}


@pytest.mark.parametrize("query", GUARDED)
async def test_guards_run_at_every_execution(query: str) -> None:
    executor, answers = Executor(FOREIGN), []
    for _ in range(3):
        log = Log()
        answers.append((await execute(executor, query, log)).body())
        assert log.ran == GUARDED[query]

    assert answers[0] == answers[1] == answers[2]
    assert "errors" not in answers[0]


@pytest.mark.parametrize("query", [query for query, ran in GUARDED.items() if "guard" in ran[0]])
async def test_guard_that_closes_later_keeps_everybody_out(query: str) -> None:
    executor = Executor(FOREIGN)
    for _ in range(3):
        assert not (await execute(executor, query, Log())).errors
    shut = await execute(executor, query, Log(open=False))

    assert len(shut.errors) == len(GUARDED[query])


async def test_guards_of_subscriptions_run_at_every_start() -> None:
    executor, request = Executor(FOREIGN), GraphQLRequest("subscription { count }")
    for _ in range(3):
        log: Any = Log()
        outcomes = await executor.subscribe(executor.prepare(request), log)
        assert [outcome.data async for outcome in outcomes] == [{"count": 1}, {"count": 2}, {"count": 3}]
        assert log.ran == ["guard of count"]


@pytest.mark.parametrize(("query", "data"), [("{ named }", {"named": "named"}), ("{ rooted }", {"rooted": "None"})])
async def test_resolver_that_wants_more_than_ours_do_is_given_it_each_time(query: str, data: Any) -> None:
    executor = Executor(FOREIGN)
    for _ in range(3):
        assert (await execute(executor, query, Log())).body() == {"data": data}


def test_resolvers_of_ours_see_nothing_that_a_compiled_operation_lacks() -> None:
    def read(info: Info) -> Any:
        # were it in ``Info``, this would silence nothing, and ``make types`` fail
        return info.selected_fields  # type: ignore[attr-defined]  # what the test is about

    context: Any = "context"
    with pytest.raises(AttributeError):
        read(CompiledInfo(context, {}))
    info = ResolverInfo(_raw_info=None, _field=None)  # type: ignore[arg-type]  # nothing of them is used
    assert info.reads is None


def compiled_fields() -> Iterator[tuple[str, Any]]:
    """The fields that are compiled, and their definitions."""
    binding_of = bindings(schema)
    for type_ in schema._schema.type_map.values():
        if isinstance(type_, (GraphQLObjectType, GraphQLInterfaceType)) and not type_.name.startswith("__"):
            for name, each in type_.fields.items():
                if isinstance(type_, GraphQLObjectType) and binding_of(type_, name, each) is not None:
                    yield f"{type_.name}.{name}", each.extensions["strawberry-definition"]


def test_no_field_that_is_compiled_has_a_guard() -> None:
    fields = dict(compiled_fields())

    assert len(fields) > 250, "fewer are compiled than were"
    assert not [name for name, each in fields.items() if each.extensions or each.permission_classes]


@strawberry.input
class Optional:
    number: strawberry.Maybe[int]


@strawberry.input(one_of=True)
class Either:
    one: int | None = strawberry.UNSET
    other: int | None = strawberry.UNSET


@strawberry.type
class Particular:
    number: int

    @classmethod
    def is_type_of(cls, source: Any, _info: Any) -> bool:
        return bool(source.number)


@strawberry.type
class Odd:
    @strawberry.field
    def particular(self) -> Particular:
        return Particular(number=1)

    @strawberry.field
    def optional(self, input: Optional) -> int:
        return 1

    @strawberry.field
    def either(self, input: Either) -> int:
        return 1

    @strawberry.field
    def maybe(self, number: strawberry.Maybe[int]) -> int:
        return 1


class Extension(SchemaExtension): ...


class Other(strawberry.Schema): ...


@strawberry.directive(locations=[DirectiveLocation.FIELD])
def loud(value: str) -> str:
    return value.upper()


@strawberry.type
class Plain:
    """Of nobody else: a schema leaves its resolver in the fields that it is made of."""

    number: int


UNEXECUTED: dict[str, Any] = {
    "extensions: Extension": lambda: strawberry.Schema(Query, extensions=[Extension]),
    "directives: loud": lambda: strawberry.Schema(Query, directives=[loud]),
    "Other in the place of Schema": lambda: Other(Query),
    "default_resolver": lambda: strawberry.Schema(
        Plain, config=StrawberryConfig(default_resolver=lambda source, name: source[name])
    ),
    "batching_config": lambda: strawberry.Schema(Query, config=StrawberryConfig(batching_config={"max_operations": 2})),
    "Particular.is_type_of": lambda: strawberry.Schema(Odd),
    "Optional.number: Maybe": lambda: strawberry.Schema(Odd),
    "Odd.maybe(number: Maybe)": lambda: strawberry.Schema(Odd),
    "Either: one_of": lambda: strawberry.Schema(Odd),
}


@pytest.mark.parametrize("name", UNEXECUTED)
def test_declaration_that_is_not_executed_is_refused_by_name(name: str) -> None:
    with pytest.raises(TypeError, match="not executed here") as refusal:
        Executor(UNEXECUTED[name]())

    assert name in str(refusal.value)


@strawberry.type
class Unbounded:
    edges: list[int] = strawberry.field(metadata=priced(Price(edges=True)))
    page_info: int
    others: list[int] = strawberry.field(metadata=priced(Price(call=1)))


@strawberry.type
class Careless:
    words: list[str]
    maybe: list[str] | None
    connection: Unbounded
    bounded: list[str] = strawberry.field(metadata=priced(Price(rows=3)))


def test_list_that_does_not_say_how_many_there_may_be_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="does not say how many") as refusal:
        Executor(strawberry.Schema(Careless))

    named = [part.split(":")[0] for part in str(refusal.value).partition(" be: ")[2].split(", ")]
    assert sorted(named) == ["Careless.connection", "Careless.maybe", "Careless.words", "Unbounded.others"]
