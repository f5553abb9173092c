"""Everything a service can refuse, as one tree with a stable ``code`` each.

    TandemError
    ├── Unauthenticated        UNAUTHENTICATED
    ├── Forbidden              FORBIDDEN
    ├── NotFound               NOT_FOUND
    ├── BadUserInput           BAD_USER_INPUT
    ├── TooExpensive           TOO_EXPENSIVE
    ├── Conflict               CONFLICT
    ├── VersionConflict        VERSION_CONFLICT
    ├── IdempotencyConflict    IDEMPOTENCY_CONFLICT
    ├── IdempotencyMismatch    IDEMPOTENCY_MISMATCH
    ├── RateLimited            RATE_LIMITED
    ├── Unavailable            UNAVAILABLE
    └── DeadlineExceeded       DEADLINE_EXCEEDED

The codes are the words that GraphQL clients know. The doors map them to a status or to ``extensions.code``; anything
that is not in this tree is INTERNAL_SERVER_ERROR there, and its text is never shown.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ValidationError


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the input: where (a JSON Pointer, RFC 6901, in snake_case), what, and of which type."""

    pointer: str
    detail: str
    type: str = "rule"


MAX_MISTAKES = 5_000
TOO_MANY_MISTAKES = Problem("", f"more than {MAX_MISTAKES:,} parts of it are not valid", "too_many")
"""Instead of them: naming each takes longer than finding it."""


class TandemError(Exception):
    """The root. ``message`` is meant for the caller to read."""

    code = "INTERNAL_SERVER_ERROR"
    title = "Internal server error"
    keeps_changes = False
    """Whether the transaction is committed although this is raised."""

    def __init__(self, message: str | None = None, *, errors: Iterable[Problem] = ()) -> None:
        self.message = message or self.title
        self.errors: Sequence[Problem] = tuple(errors)
        super().__init__(self.message)


class Unauthenticated(TandemError):
    code = "UNAUTHENTICATED"
    title = "Authentication required"

    def __init__(self, message: str | None = None, *, keeps_changes: bool = False) -> None:
        super().__init__(message)
        self.keeps_changes = keeps_changes


class Forbidden(TandemError):
    code = "FORBIDDEN"
    title = "Not allowed"


class NotFound(TandemError):
    """Also for what exists but may not be read: the caller cannot tell the difference."""

    code = "NOT_FOUND"
    title = "Not found"

    def __init__(self, thing: str = "Resource", *, pointer: str | None = None) -> None:
        """``pointer`` says which part of the input names the thing."""
        message = f"{thing} not found"
        super().__init__(message, errors=[Problem(pointer, message, "not_found")] if pointer else ())


class BadUserInput(TandemError):
    code = "BAD_USER_INPUT"
    title = "Invalid input"

    @classmethod
    def at(cls, pointer: str, detail: str, type: str = "rule") -> "BadUserInput":
        """For a rule that a schema cannot express."""
        return cls(detail, errors=[Problem(pointer, detail, type)])


class TooExpensive(TandemError):
    """The request asks for more than one request may (``services.prices``), or writes too much of it down."""

    code = "TOO_EXPENSIVE"
    title = "Too expensive"


class Conflict(TandemError):
    code = "CONFLICT"
    title = "Conflict with what is stored"

    @classmethod
    def at(cls, pointer: str, detail: str, type: str = "conflict") -> "Conflict":
        return cls(detail, errors=[Problem(pointer, detail, type)])


class VersionConflict(TandemError):
    """The precondition (``If-Match`` or ``expectedVersion``) names a version that is not the current one."""

    code = "VERSION_CONFLICT"
    title = "Changed by someone else in the meantime"

    def __init__(self, current_version: int) -> None:
        super().__init__(f"The current version is {current_version}")
        self.current_version = current_version


class BulkRefused(TandemError):
    """A bulk call that is all or nothing came to nothing: the code is that of the first item refused."""

    def __init__(self, refused: Mapping[int, TandemError]) -> None:
        """``refused`` is by the item's index. ``errors`` points at each of them, below /tasks."""
        index, first = min(refused.items())
        self.code, self.title = first.code, first.title
        others = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        problems = [
            Problem(f"/tasks/{place}{item.pointer}", item.detail, item.type)
            for place, error in sorted(refused.items())
            for item in error.errors or [Problem("", error.message, error.code.lower())]
        ]
        super().__init__(f"/tasks/{index}: {first.message}{others}", errors=problems[:50])


class IdempotencyConflict(TandemError):
    """The first call with the idempotency key is still running; a repeat a moment later gets its answer.

    With another message and no ``retry_after``: it was carried out, but what it answered cannot be told any more.
    """

    code = "IDEMPOTENCY_CONFLICT"
    title = "The first call with this idempotency key is still running"

    def __init__(self, message: str | None = None, *, retry_after: int | None = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class IdempotencyMismatch(TandemError):
    """The idempotency key was used for another call."""

    code = "IDEMPOTENCY_MISMATCH"
    title = "This idempotency key was used for another call"


class Allowance(NamedTuple):
    """What is left of a caller's allowance, for the RateLimit headers (draft-ietf-httpapi-ratelimit-headers)."""

    limit: int
    window: int
    remaining: int
    reset: int


Expected = int | Collection[int] | None
"""The version, or versions, that the caller expects; None for whichever it is."""


def require_version(current: int, expected: Expected) -> None:
    """Raises ``VersionConflict`` unless the version is one that is expected."""
    if expected is not None and current not in ((expected,) if isinstance(expected, int) else expected):
        raise VersionConflict(current)


MAX_VERSION = 2**31 - 1
"""What both databases and GraphQL's Int can hold."""


def require_next(version: int) -> None:
    """Raises ``Conflict`` where no version can follow; PostgreSQL could not write one, SQLite would."""
    if version >= MAX_VERSION:
        raise Conflict(f"It cannot be changed any more: {MAX_VERSION} is the last version that there is")


class RateLimited(TandemError):
    code = "RATE_LIMITED"
    title = "Too many requests"

    def __init__(self, retry_after: int, *, allowance: Allowance | None = None) -> None:
        super().__init__(f"Too many requests: try again in {retry_after} s")
        self.retry_after = retry_after
        self.allowance = allowance


class TooManyAtOnce(RateLimited):
    """More at once than one caller may have: there is a place again as soon as one of them ends."""

    def __init__(self, what: str, most: int) -> None:
        super().__init__(1)
        self.message = f"Too many {what}: at most {most} at once"


class Unavailable(TandemError):
    """The database (or a lock in it) cannot be had right now; the same call may succeed later."""

    code = "UNAVAILABLE"
    title = "Temporarily unavailable"
    retry_after = 1


class DeadlineExceeded(TandemError):
    """It took longer than a request may, and was ended. Its last transaction was not kept; asked for again, it may take
    as long again."""

    code = "DEADLINE_EXCEEDED"
    title = "It took too long"

    def __init__(self, seconds: float) -> None:
        """``seconds``: how long it may take."""
        super().__init__(f"It took longer than {seconds:g} s, and was ended: ask for less at a time")


RETRYABLE = (RateLimited, Unavailable, IdempotencyConflict)
"""Errors with ``retry_after``: in how many seconds the same call may succeed; None where it will not."""
CODES: tuple[type[TandemError], ...] = (
    Unauthenticated,
    Forbidden,
    NotFound,
    BadUserInput,
    TooExpensive,
    Conflict,
    VersionConflict,
    IdempotencyConflict,
    IdempotencyMismatch,
    RateLimited,
    Unavailable,
    DeadlineExceeded,
)


def from_validation(error: ValidationError, *, prefix: str = "") -> BadUserInput:
    """pydantic's complaints as ours: a pointer and a sentence each, without the value that was sent."""
    return from_error_list(
        [{**detail} for detail in error.errors(include_url=False, include_input=False)], prefix=prefix
    )


def from_error_list(details: Iterable[Mapping[str, Any]], *, prefix: str = "") -> BadUserInput:
    problems = []
    for detail in details:
        if detail["type"] in ("recursion_loop", "recursion_depth_exceeded"):
            # found 255 levels down, where no input goes
            problems.append(Problem(prefix + to_pointer(detail["loc"][:10]), "is nested too deeply", "too_deep"))
            continue
        problems.append(Problem(prefix + to_pointer(detail["loc"]), *reword(str(detail["msg"]), str(detail["type"]))))
    return BadUserInput("; ".join(f"{p.pointer or '/'}: {p.detail}" for p in problems[:3]), errors=problems[:50])


_TOO_MANY_ITEMS = re.compile(r"Value should have (at least|at most) (\d+) items? after validation, not \d+")


def reword(message: str, type: str) -> tuple[str, str]:
    """pydantic's sentence and type for an error, in terms of what was sent.

    It counts "items" in text that is checked in several steps, and names the Python exception of a check of ours.
    """
    if (match := _TOO_MANY_ITEMS.fullmatch(message)) is not None:
        return f"String should have {match[1]} {match[2]} characters", f"string_{type}"
    return message.removeprefix("Value error, "), type


def to_pointer(location: Iterable[str | int]) -> str:
    """A pydantic location as a JSON Pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)
