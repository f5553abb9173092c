"""Calls that may be repeated: with a key, the second call answers what the first one did, and does nothing.

The key is kept for 24 hours in the transaction of the effect: either both are there after a crash, or neither. What is
kept is the service's record, so a call is recognised through either door; each door makes the same answer of it again.
After draft-ietf-httpapi-idempotency-key-header-07.

A repeat is a read: it takes the scope that the call takes, and answers what was kept only where the caller may still
read what that tells of. Records are kept as objects by their fields' names, under a name of the operation that does not
depend on where its code stands, so that a later release can tell what it can honour (docs/decisions/0022).
"""

import hashlib
import inspect
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, update_wrapper
from typing import Annotated, Concatenate, Generic, Literal, ParamSpec, Protocol, TypeVar, cast, get_type_hints

import orjson
from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo
from sqlalchemy import delete as sql_delete
from sqlalchemy import select
from sqlalchemy import update as sql_update

from core.aside import LARGE, aside
from core.clock import now
from core.sentences import pattern
from db.driver.sessions import AnyRow, Session
from db.lock_timeouts import LockTimeout, lock_timeout
from db.models import IdempotencyKey
from db.upserts import insert_or_ignore
from services.allowances.rate_limits import RateLimits
from services.shared import idempotency_v1, probes
from services.shared.actors import Actor, Scope
from services.shared.errors import IdempotencyConflict, IdempotencyMismatch
from services.shared.inputs import Input, Usual
from services.shared.pagination import Identified

KEPT = timedelta(hours=24)
WAIT_SECONDS = 5
"""How long a repeat waits for the first call before it is refused (PostgreSQL; SQLite's one writer queues both)."""

KEY_DESCRIPTION = (
    "Of the client's choice, e.g. a UUID: repeating the call with it within 24 hours answers the same and changes "
    "nothing."
)
KeyText = Annotated[
    str,
    Field(
        pattern=pattern(r"^[\x21-\x7e]{1,255}$", "must be 1 to 255 visible ASCII characters without blanks"),
        description=KEY_DESCRIPTION,
        examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
    ),
]
"""1 to 255 visible characters of ASCII."""

FORMAT = 2
"""Of what is kept: ``{"v": 2, "record": {…}}``. Rows of the one before are read by ``idempotency_v1``."""
MAX_NAME = 40
"""What the column of operations' names holds."""
UNREADABLE = (
    "The call with this idempotency key was carried out, but its answer was kept by another version of the server and "
    "cannot be read"
)

P = ParamSpec("P")
R = TypeVar("R")
Read = Callable[[Session, Actor, R], Awaitable[R]]
"""What the caller may read now of what was kept. Raises ``NotFound`` where that is nothing."""


@dataclass(slots=True)
class IdempotencyContext:
    """One call with the caller's key; afterwards ``replayed`` says whether the answer is that of an earlier one."""

    key: str | None
    replayed: bool = False


class _Record(Protocol):
    """A named tuple."""

    def _asdict(self) -> dict[str, object]: ...


class _Kept(BaseModel, Generic[R]):
    """What a row holds of an answer. A field that the record has gained may be missing if it has a default."""

    model_config = ConfigDict(extra="forbid")

    v: Literal[2]
    record: R


class Operation(Generic[R]):
    """Something that may be repeated: its name, the scope that it takes, and the record that it answers.

    The name is part of what is stored and of what a key is compared by: it stays when code moves. Raises ``ValueError``
    for one that another operation has, or that the column does not hold.
    """

    _names: set[str] = set()  # noqa: RUF012 - of the class: names are unique among all operations

    def __init__(self, name: str, *, scope: Scope, record: Callable[[], type[R]]) -> None:
        """``record`` is asked when the first answer is read: by then all types are there."""
        if name in self._names:
            raise ValueError(f"two operations are called {name}")
        if not 0 < len(name) <= MAX_NAME:
            raise ValueError(f"the name of an operation has 1 to {MAX_NAME} characters: {name}")
        self._names.add(name)
        self.name, self.scope, self._record = name, scope, record
        self._former = idempotency_v1.former_name(name)

    def fingerprints(self, arguments: dict[str, object]) -> dict[str, str]:
        """What tells a call with these arguments from others, by the name that the operation had or has."""
        return {name: _fingerprint(name, arguments) for name in (self.name, self._former) if name is not None}

    def restored(self, row: AnyRow) -> R:
        """The record that a row of this operation holds. Raises ``IdempotencyConflict`` where that cannot be told."""
        answer = row.answer
        try:
            if row.operation == self._former:
                answer = orjson.dumps({"v": FORMAT, "record": idempotency_v1.by_names(self.name, answer)})
            return self._kept.model_validate_json(answer).record
        except ValueError:
            raise IdempotencyConflict(UNREADABLE, retry_after=None) from None

    @cached_property
    def _kept(self) -> type[_Kept[R]]:
        # the record's type is known only when this runs
        return cast(type[_Kept[R]], _Kept.__class_getitem__(self._record()))


async def once(
    session: Session,
    actor: Actor,
    call: IdempotencyContext,
    operation: Operation[R],
    arguments: dict[str, object],
    make: Callable[[], Awaitable[R]],
    read: Read[R],
    *,
    long: bool = False,
) -> R:
    """What ``make`` answers, or answered when the caller used the key before. Without a key, ``make`` just runs.

    A ``long`` answer is written aside (``core.aside``).

    Raises ``IdempotencyMismatch`` where the key was used for another call, ``IdempotencyConflict`` where that call
    is still running after ``WAIT_SECONDS`` or its answer cannot be read, and what ``read`` raises.
    """
    if call.key is None or not actor.identity:
        return await make()
    actor.require(operation.scope)
    mine = (IdempotencyKey.caller == actor.identity, IdempotencyKey.key == call.key)
    fingerprint = _fingerprint(operation.name, arguments)
    if not await _claim(session, actor.identity, call.key, operation.name, fingerprint):
        row = await session.first(
            select(IdempotencyKey.operation, IdempotencyKey.fingerprint, IdempotencyKey.answer).where(*mine)
        )
        if row is None or row.answer is None:
            raise IdempotencyConflict
        if row.fingerprint != operation.fingerprints(arguments).get(row.operation):
            raise IdempotencyMismatch
        long = len(row.answer) > LARGE
        answer = await read(session, actor, await aside(operation.restored, row) if long else operation.restored(row))
        call.replayed = True
        return answer
    result = await make()
    kept = await aside(_kept, result) if long else _kept(result)
    await session.execute(sql_update(IdempotencyKey).where(*mine).values(answer=kept))
    return result


def _fingerprint(operation: str, arguments: dict[str, object]) -> str:
    return hashlib.sha256(orjson.dumps([operation, arguments], option=orjson.OPT_SORT_KEYS)).hexdigest()


def _kept(result: object) -> str:
    return orjson.dumps({"v": FORMAT, "record": result}, default=_by_names).decode()


def _by_names(value: _Record) -> dict[str, object]:
    """A record for orjson, which writes no tuple with names by itself."""
    return value._asdict()


class RepeatableCommand(Generic[P, R]):
    """A service's function that may be called with a key: its operation and arguments say what the key is for."""

    def __init__(
        self,
        function: Callable[Concatenate[Session, Actor, P], Awaitable[R]],
        name: str,
        scope: Scope,
        read: Read[R],
        tells: bool,
        beside: frozenset[str],
    ) -> None:
        update_wrapper(self, function)
        self._function, self._read, self._tells, self._beside = function, read, tells, beside
        self.operation: Operation[R] = Operation(name, scope=scope, record=lambda: get_type_hints(function)["return"])
        parameters = inspect.signature(function).parameters
        self._names = [*parameters][2:]
        self._usual = {name: parameter.default for name, parameter in parameters.items()}

    def __call__(self, session: Session, actor: Actor, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        return self._function(session, actor, *args, **kwargs)

    async def once(
        self,
        session: Session,
        actor: Actor,
        call: IdempotencyContext,
        limits: RateLimits,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """What the call answers, or answered when the caller used its key before. Raises as ``once``; ``RateLimited``
        where its refusals tell of what the caller may not see, and the account had as many as ``limits`` lets it."""
        if not self._tells:
            return await self._once(session, actor, call, *args, **kwargs)
        async with probes.bounded(limits, actor):
            return await self._once(session, actor, call, *args, **kwargs)

    async def _once(
        self, session: Session, actor: Actor, call: IdempotencyContext, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        if call.key is None:
            return await self._function(session, actor, *args, **kwargs)
        # an option that is as it would be counts as not given: releases before may not have had it
        of_call = {name: value for name, value in kwargs.items() if name not in self._beside}
        options = {name: value for name, value in of_call.items() if value != self._usual[name]}
        given = dict(zip(self._names, args, strict=False)) | options
        return await once(
            session,
            actor,
            call,
            self.operation,
            {name: _canonical(value) for name, value in given.items()},
            lambda: self._function(session, actor, *args, **kwargs),
            self._read,
        )


def repeatable(
    name: str, *, scope: Scope, read: Read[R], tells: bool = False, beside: Collection[str] = ()
) -> Callable[[Callable[Concatenate[Session, Actor, P], Awaitable[R]]], RepeatableCommand[P, R]]:
    """Marks a service's function that may be called with an idempotency key; it answers a record.

    ``scope`` is what the function requires first, and ``read`` what a repeat may tell. ``tells`` says that its refusals
    tell of what the caller may not see (``services.shared.probes``); ``beside`` names parameters that are the server's
    to give, such as its settings: a call is the same whatever they are.
    """

    def mark(function: Callable[Concatenate[Session, Actor, P], Awaitable[R]]) -> RepeatableCommand[P, R]:
        return RepeatableCommand(function, name, scope, read, tells, frozenset(beside))

    return mark


I = TypeVar("I", bound=Identified)  # noqa: E741 - as P and R are called


def while_readable(get: Callable[[Session, Actor, int], Awaitable[I]]) -> Read[I]:
    """A repeat answers what was kept while ``get`` finds the thing for the caller, and raises what it raises."""

    async def read(session: Session, actor: Actor, record: I) -> I:
        await get(session, actor, record.id)
        return record

    return read


def arguments(data: Input) -> dict[str, object]:
    """What makes two calls the same call: the fields that were sent, as the service knows them.

    A default counts as not sent: GraphQL's executor fills it in.
    """
    fields = type(data).model_fields
    return {name: _canonical(item) for name, item in data.sent().items() if item != _default(fields[name])}


def _canonical(value: object) -> object:
    if isinstance(value, Input):
        return arguments(value)
    return [_canonical(item) for item in value] if isinstance(value, list) else value


def _default(field: FieldInfo) -> object:
    usual = field.default_factory
    return usual.value if isinstance(usual, Usual) else field.default


async def purge(session: Session) -> int:
    """Forget what is older than 24 hours. Returns how many."""
    return await session.execute(sql_delete(IdempotencyKey).where(IdempotencyKey.created_at < now() - KEPT))


async def _claim(session: Session, caller: str, key: str, operation: str, fingerprint: str) -> bool:
    """Write the key, unless it is there. Waits for another transaction that is writing the same one."""
    moment = now()
    try:
        async with lock_timeout(session, WAIT_SECONDS):
            await session.execute(
                sql_delete(IdempotencyKey).where(
                    IdempotencyKey.caller == caller, IdempotencyKey.created_at < moment - KEPT
                )
            )
            claimed = await session.scalar(
                insert_or_ignore(IdempotencyKey)
                .values(caller=caller, key=key, operation=operation, fingerprint=fingerprint, created_at=moment)
                .returning(IdempotencyKey.key)
            )
    except LockTimeout:
        raise IdempotencyConflict from None
    return claimed is not None
