"""Calls that may be repeated: with a key, the second call answers what the first one did, and does nothing.

The key is kept for 24 hours in the transaction of the effect: either both are there after a crash, or neither. What is
kept is the service's record, so a call is recognised through either door; each door makes the same answer of it again.
After draft-ietf-httpapi-idempotency-key-header-07.
"""

import hashlib
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import update_wrapper
from typing import Annotated, Any, Concatenate, Generic, ParamSpec, TypeVar, get_type_hints

import orjson
from pydantic import Field, TypeAdapter
from sqlalchemy import delete as sql_delete
from sqlalchemy import func, select
from sqlalchemy import update as sql_update
from sqlalchemy.exc import DBAPIError

from core.clock import now
from db.engine import insert_or_ignore
from db.models import IdempotencyKey
from db.sessions import Session
from services.actors import Actor
from services.errors import IdempotencyConflict, IdempotencyMismatch
from services.inputs import Input

KEPT = timedelta(hours=24)
WAIT_SECONDS = 5
"""How long a repeat waits for the first call before it is refused (PostgreSQL; SQLite's one writer queues both)."""
_LOCK_TIMEOUT = "55P03"

KEY_DESCRIPTION = (
    "Of the client's choice, e.g. a UUID: repeating the call with it within 24 hours answers the same and changes "
    "nothing."
)
KeyText = Annotated[
    str,
    Field(
        pattern=r"^[\x21-\x7e]{1,255}$",
        description=KEY_DESCRIPTION,
        examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
    ),
]
"""1 to 255 visible characters of ASCII."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(slots=True)
class Repeatable:
    """One call with the caller's key; afterwards ``replayed`` says whether the answer is that of an earlier one."""

    key: str | None
    replayed: bool = False


async def once(
    session: Session,
    actor: Actor,
    call: Repeatable,
    operation: str,
    arguments: dict[str, Any],
    record: type[R],
    make: Callable[[], Awaitable[R]],
) -> R:
    """What ``make`` answers, or answered when the caller used the key before. Without a key, ``make`` just runs.

    Raises ``IdempotencyMismatch`` where the key was used for another call, ``IdempotencyConflict`` where that call
    is still running after ``WAIT_SECONDS``.
    """
    if call.key is None or not actor.identity:
        return await make()
    mine = (IdempotencyKey.caller == actor.identity, IdempotencyKey.key == call.key)
    fingerprint = hashlib.sha256(orjson.dumps([operation, arguments], option=orjson.OPT_SORT_KEYS)).hexdigest()
    if not await _claim(session, actor.identity, call.key, operation, fingerprint):
        row = await session.first(select(IdempotencyKey.fingerprint, IdempotencyKey.answer).where(*mine))
        if row is None or row.answer is None:
            raise IdempotencyConflict
        if row.fingerprint != fingerprint:
            raise IdempotencyMismatch
        call.replayed = True
        return _adapter(record).validate_json(row.answer)
    result = await make()
    answer = _adapter(record).dump_json(result).decode()
    await session.execute(sql_update(IdempotencyKey).where(*mine).values(answer=answer))
    return result


class RepeatableCommand(Generic[P, R]):
    """A service's function that may be called with a key: its name and arguments say what the key is for."""

    def __init__(self, function: Callable[Concatenate[Session, Actor, P], Awaitable[R]]) -> None:
        update_wrapper(self, function)
        self._function = function
        self._operation = f"{function.__module__}.{function.__name__}"
        self._names = [*inspect.signature(function).parameters][2:]

    def __call__(self, session: Session, actor: Actor, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        return self._function(session, actor, *args, **kwargs)

    async def once(self, session: Session, actor: Actor, call: Repeatable, *args: P.args, **kwargs: P.kwargs) -> R:
        """What the call answers, or answered when the caller used its key before. Raises as ``once``."""
        if call.key is None:
            return await self._function(session, actor, *args, **kwargs)
        given = dict(zip(self._names, args, strict=False)) | kwargs
        record: type[R] = get_type_hints(self._function)["return"]
        return await once(
            session,
            actor,
            call,
            self._operation,
            {name: _canonical(value) for name, value in given.items()},
            record,
            lambda: self._function(session, actor, *args, **kwargs),
        )


def repeatable(function: Callable[Concatenate[Session, Actor, P], Awaitable[R]]) -> RepeatableCommand[P, R]:
    """Marks a service's function that may be called with an idempotency key; it answers a record."""
    return RepeatableCommand(function)


def arguments(data: Input) -> dict[str, Any]:
    """What makes two calls the same call: the fields that were sent, as the service knows them.

    A default counts as not sent: GraphQL's executor fills it in.
    """
    canonical: dict[str, Any] = _canonical(data)
    return canonical


def _canonical(value: Any) -> Any:
    if isinstance(value, Input):
        fields, sent = type(value).model_fields, value.sent()
        return {name: _canonical(item) for name, item in sent.items() if item != fields[name].default}
    return [_canonical(item) for item in value] if isinstance(value, list) else value


async def purge(session: Session) -> int:
    """Forget what is older than 24 hours. Returns how many."""
    return await session.execute(sql_delete(IdempotencyKey).where(IdempotencyKey.created_at < now() - KEPT))


async def _claim(session: Session, caller: str, key: str, operation: str, fingerprint: str) -> bool:
    """Write the key, unless it is there. Waits for another transaction that is writing the same one."""
    moment = now()
    postgresql = session.dialect == "postgresql"
    if postgresql:
        await session.execute(select(func.set_config("lock_timeout", f"{WAIT_SECONDS}s", True)))
    try:
        await session.execute(
            sql_delete(IdempotencyKey).where(IdempotencyKey.caller == caller, IdempotencyKey.created_at < moment - KEPT)
        )
        claimed = await session.scalar(
            insert_or_ignore(session, IdempotencyKey)
            .values(caller=caller, key=key, operation=operation, fingerprint=fingerprint, created_at=moment)
            .returning(IdempotencyKey.key)
        )
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _LOCK_TIMEOUT:
            raise IdempotencyConflict from None
        raise
    if postgresql:
        await session.execute(select(func.set_config("lock_timeout", "0", True)))
    return claimed is not None


def _adapter(record: type[R]) -> TypeAdapter[R]:
    if record not in _ADAPTERS:
        _ADAPTERS[record] = TypeAdapter(record)
    return _ADAPTERS[record]


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}
