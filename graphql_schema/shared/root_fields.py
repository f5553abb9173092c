"""The operation's own fields in the forms that most features have: a thing by its id, a list of the caller's things,
and commands.

A command's input is made of the service's model, or is a class below it (below ``Input`` where the service takes no
data). What it has beside that model goes to the service as well: what must be given (ids) before the data, in order,
the rest by name, but for ``notify``, which is said of the caller (``Actor.tells``).
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from inspect import signature
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

import strawberry
from pydantic import Field, create_model
from strawberry import UNSET

from db.driver.sessions import Session
from graphql_schema.shared.base import FieldDeclaration, Nested, service_input, to_service_input
from graphql_schema.shared.conditions import filter_argument, options_of
from graphql_schema.shared.connections import After, Before, First, Last, connect, none_if_unset, page_request
from graphql_schema.shared.context import Context, Info
from graphql_schema.shared.ids import NodeId, parse_id
from graphql_schema.shared.loading import PAGED
from graphql_schema.shared.prices import Price, priced
from services.shared import node_ids
from services.shared.actors import Actor
from services.shared.errors import NotFound
from services.shared.filters import Filter
from services.shared.idempotency import KeyText, RepeatableCommand
from services.shared.inputs import Bool, ExpectedVersion, Input, absent
from services.shared.pagination import Page, PageRequest
from services.shared.totals import Total

T = TypeVar("T")
Telling = Annotated[Bool, Field(description="Whether the people concerned are told of the change.")]
"""A field of inputs for changes that people may be told of."""
Command = Callable[..., Awaitable[object]]
"""A service's function that changes something."""
Id = object
"""The type of an id (``services.shared.inputs``), or that and a description of its field."""


async def none_if_missing(reading: Awaitable[T]) -> T | None:
    """What is read; None where there is nothing that the caller may read."""
    try:
        return await reading
    except NotFound:
        return None


def node_field(
    type_name: str, get: Callable[[Session, Actor, int], Awaitable[object]], description: str
) -> FieldDeclaration:
    """A thing by its global id; null where there is none that the caller may read."""

    async def resolve(info: Info, id: NodeId) -> object:
        database_id = parse_id(type_name, id)
        async with info.context.reading() as session:
            return await none_if_missing(get(session, info.context.actor, database_id))

    # the class's own annotation is the field's type
    resolve.__annotations__.pop("return")
    return strawberry.field(resolver=resolve, description=description)


def list_field(
    list_: Callable[..., Awaitable[Page[T]]],
    count: Callable[..., Awaitable[Total]],
    filter_: type[Filter],
    description: str,
) -> FieldDeclaration:
    """The connection of what the caller has of something, or of what meets a filter among that."""

    async def resolve(
        info: Info,
        filter: Any = UNSET,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> object:
        return await listed(info.context, list_, count, none_if_unset(filter), page_request(first, after, last, before))

    resolve.__annotations__.pop("return")
    resolve.__annotations__["filter"] = filter_argument(filter_)
    return strawberry.field(resolver=resolve, description=description, metadata=priced(PAGED))


async def listed(
    context: Context,
    list_: Callable[..., Awaitable[Page[T]]],
    count: Callable[..., Awaitable[Total]],
    filter_: Filter | None,
    request: PageRequest,
) -> Any:
    """A connection of what a service lists, or of what meets a filter among that."""
    options = options_of(filter_)

    async def counted(exact: bool) -> Total:
        async with context.reading() as session:
            return await count(session, context.actor, exact=exact, **options)

    async with context.reading() as session:
        return connect(await list_(session, context.actor, request, **options), counted)


def create_field(
    shown: type,
    command: Command,
    model: type[Input],
    description: str,
    *,
    verb: str = "Create",
    nested: Nested = MappingProxyType({}),
    price: Price | None = None,
    telling: bool = False,
    **ids: Id,
) -> FieldDeclaration:
    """A mutation that makes a thing of the type ``shown``, of the service's ``model`` and the ``ids`` of what it is
    made in; ``nested`` as for ``service_input``. With ``telling``, who calls it says whether people are told of it."""
    data = _input(f"{verb}{shown.__name__}", model, command, ids, nested, telling=telling)
    return command_field(shown, command, data, description, payload=f"The new {_words(shown)}.", price=price)


def update_field(
    shown: type,
    command: Command,
    model: type[Input],
    description: str,
    *,
    nested: Nested = MappingProxyType({}),
    telling: bool = False,
    **ids: Id,
) -> FieldDeclaration:
    """A mutation that changes the thing of the type ``shown`` that the ``ids`` name; ``telling`` as for a new one."""
    if "id" in ids:
        ids["id"] = (ids["id"], f"The {_words(shown)}.")
    data = _input(f"Update{shown.__name__}", model, command, ids, nested, telling=telling)
    return command_field(shown, command, data, description, payload=f"The {_words(shown)} after the change.")


def delete_field(
    gone: type,
    command: Command,
    id_type: object,
    description: str,
    *,
    about: str | None = None,
    payload: str | None = None,
    thing: str | None = None,
    telling: bool = False,
) -> FieldDeclaration:
    """A mutation that deletes the thing of the type ``gone`` with an id, and answers that. ``about`` and ``payload``
    describe what it takes and answers, where it does not simply delete; ``thing`` is what the thing is called, and
    ``telling`` is as for a new one."""
    words = _words(gone)
    thing = thing or words
    about = about or f"Deletes a {thing}."
    ids: dict[str, Id] = {"id": (id_type, "The id.")}
    data = _input(f"Delete{gone.__name__}", Input, command, ids, about=about, telling=telling)
    name = f"deleted_{words.replace(' ', '_')}_id"
    return removal_field(
        gone, command, data, description, payload=payload or f"The {thing} that was deleted.", name=name, thing=thing
    )


def command_field(
    shown: type,
    command: Command,
    data: type[Input],
    description: str,
    *,
    payload: str,
    thing: str | None = None,
    price: Price | None = None,
) -> FieldDeclaration:
    """A mutation that answers the thing that it is about. ``payload`` describes the answer; ``thing`` is what the thing
    is called in sentences, where it is not as its type."""
    words = _words(shown)
    name = words.replace(" ", "_")
    made = _payload(data, payload, name, shown, f"The {thing or words}.")

    def answer(_: Input, record: object) -> object:
        return made(**{name: record})

    return _mutation(command, data, made, answer, description, price)


def removal_field(
    gone: type, command: Command, data: type[Input], description: str, *, payload: str, name: str, thing: str
) -> FieldDeclaration:
    """A mutation after which a thing of the type ``gone`` is no more, and which answers its id, the input's last, under
    the ``name``. ``payload`` describes the answer; ``thing`` is what the thing is called."""
    *_, id_name = _beside(data)[0]
    made = _payload(data, payload, name, strawberry.ID, f"The id of the {thing}.")

    def answer(given: Input, _: object) -> object:
        return made(**{name: strawberry.ID(node_ids.encode(gone.__name__, getattr(given, id_name)))})

    return _mutation(command, data, made, answer, description, None)


def _mutation(
    command: Command,
    data: type[Input],
    payload: type,
    answer: Callable[[Input, object], object],
    description: str,
    price: Price | None,
) -> FieldDeclaration:
    ids, options = _beside(data)
    model = _model(data)

    async def resolve(info: Info, input: Any) -> object:
        given = [getattr(input, name) for name in ids]
        if model is not Input:
            given.append(to_service_input(model, input))
        named = {name: getattr(input, name) for name in options}
        context = info.context
        actor = context.actor.telling(named.pop("notify", True))
        async with context.writing() as session:
            if isinstance(command, RepeatableCommand):
                limits = context.security.limits
                record = await context.run_once(
                    input.idempotency_key,
                    lambda call: command.once(session, actor, call, limits, *given, **named),
                )
            else:
                record = await command(session, actor, *given, **named)
        return answer(input, record)

    resolve.__annotations__ |= {"input": data, "return": payload | None}
    return strawberry.mutation(resolver=resolve, description=description, metadata=priced(price) if price else None)


def _input(
    name: str,
    model: type[Input],
    command: Command,
    ids: Mapping[str, Id],
    nested: Nested = MappingProxyType({}),
    about: str | None = None,
    *,
    telling: bool = False,
) -> type[Input]:
    """What a command takes: the service's model, ids, the key or the version that the service asks for, and whether
    people are told."""
    fields: dict[str, Any] = {}
    for field, given in ids.items():
        type_, words = given if isinstance(given, tuple) else (given, f"The {field.removesuffix('_id')}.")
        fields[field] = (type_, Field(description=words))
    if isinstance(command, RepeatableCommand):
        fields["idempotency_key"] = (KeyText | None, Field(default_factory=absent))
    elif "expected_version" in signature(command).parameters:
        fields["expected_version"] = (ExpectedVersion | None, Field(default_factory=absent))
    if telling:
        fields["notify"] = (Telling, True)
    about = about or model.__doc__
    made = create_model(f"{name}Input", __base__=model, __doc__=about, __module__=__name__, **fields)
    return service_input(nested)(made)


def _model(data: type[Input]) -> type[Input]:
    """The service's model that an input is made of; ``Input`` itself where it has nothing but ids and options."""
    base = data.__base__
    if base is None or not issubclass(base, Input):
        raise TypeError(f"{data.__name__} is no class below a service's input")
    return base


def _beside(data: type[Input]) -> tuple[list[str], list[str]]:
    """The fields that an input has beside the service's model: those that must be given, and options of the service."""
    fields = {name: field for name, field in data.model_fields.items() if name not in _model(data).model_fields}
    ids = [name for name, field in fields.items() if field.is_required()]
    return ids, [name for name in fields if name not in ids and name != "idempotency_key"]


def _payload(data: type[Input], description: str, name: str, type_: object, about: str) -> type:
    """The type of what a command with an input answers, which has one field."""
    fields = {
        "__annotations__": {name: type_},
        name: strawberry.field(description=about),
        "__module__": data.__module__,
    }
    return strawberry.type(type(f"{data.__name__.removesuffix('Input')}Payload", (), fields), description=description)


def _words(shown: type) -> str:
    """What a type is called in a sentence."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", shown.__name__).lower()
