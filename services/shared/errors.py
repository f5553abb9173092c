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
    ├── ResyncRequired         RESYNC_REQUIRED
    ├── Unavailable            UNAVAILABLE
    └── DeadlineExceeded       DEADLINE_EXCEEDED

The codes are the words that GraphQL clients know. The doors map them to a status or to ``extensions.code``; anything
that is not in this tree is INTERNAL_SERVER_ERROR there, and its text is never shown.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Self

from pydantic import ValidationError

from core import sentences
from core.field_names import names_at


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the input: where (a JSON Pointer, RFC 6901, in snake_case), what, and of which type."""

    pointer: str
    detail: str
    type: str = "rule"


Detail = Mapping[str, Any]
"""One of pydantic's errors, an entry of ``ValidationError.errors()``."""
MAX_PROBLEMS = 50
"""Of one request, that are told."""
MAX_SAID = 3
"""Of these, that the message says."""
MAX_MISTAKES = 5_000
TOO_MANY_MISTAKES = Problem("", f"more than {MAX_MISTAKES:,} parts of it are not valid", "too_many")
"""Instead of them: naming each takes longer than finding it."""


def summary(problems: Iterable[Problem]) -> str:
    """The first problems in a line, each after its place."""
    return "; ".join(f"{item.pointer or '/'}: {item.detail}" for item in islice(problems, MAX_SAID))


class TandemError(Exception):
    """The root. ``message`` is meant for the caller to read; it says the ``errors`` where there is no other one."""

    code = "INTERNAL_SERVER_ERROR"
    title = "Internal server error"
    keeps_changes = False
    """Whether the transaction is committed although this is raised."""

    def __init__(self, message: str | None = None, *, errors: Iterable[Problem] = ()) -> None:
        self.errors: Sequence[Problem] = tuple(errors)
        self.message = message or summary(self.errors) or self.title
        super().__init__(self.message)

    def kept(self) -> Self:
        """Without the frames that it came through, for whoever keeps it in one of them: a thousand of such rings are
        10,000 objects that only a collection frees, and the event loop stands still for it."""
        return self.with_traceback(None)


class Unauthenticated(TandemError):
    """Nobody is known by what the request shows. What was written stays where it ``keeps_changes``."""

    code = "UNAUTHENTICATED"
    title = "Authentication required"

    def __init__(self, message: str | None = None, *, keeps_changes: bool = False, invalid_token: bool = False) -> None:
        """``invalid_token``: there was an access token, and it is none, or none any more (RFC 6750, section 3.1)."""
        super().__init__(message)
        self.keeps_changes, self.invalid_token = keeps_changes, invalid_token


class Forbidden(TandemError):
    """The caller is known, and may not do this to what it may read. What was written stays where it
    ``keeps_changes``."""

    code = "FORBIDDEN"
    title = "Not allowed"

    def __init__(self, message: str | None = None, *, keeps_changes: bool = False) -> None:
        super().__init__(message)
        self.keeps_changes = keeps_changes


class NotFound(TandemError):
    """Also for what exists but may not be read: the caller cannot tell the difference."""

    code = "NOT_FOUND"
    title = "Not found"

    def __init__(self, thing: str = "Resource", *, pointer: str | None = None) -> None:
        """``pointer`` says which part of the input names the thing."""
        message = f"{thing} not found"
        super().__init__(message, errors=[Problem(pointer, message, "not_found")] if pointer else ())


class BadUserInput(TandemError):
    """The input breaks a rule; ``errors`` say which parts of it."""

    code = "BAD_USER_INPUT"
    title = "Invalid input"

    @classmethod
    def at(cls, pointer: str, detail: str, type: str = "rule") -> "BadUserInput":
        """For a rule that a schema cannot express. The detail goes on where the name of the place ends."""
        return cls(errors=[Problem(pointer, detail, type)])


class TooExpensive(TandemError):
    """The request asks for more than one request may (``services.shared.prices``), or writes too much of it down."""

    code = "TOO_EXPENSIVE"
    title = "Too expensive"


class Conflict(TandemError):
    """What is stored does not allow the change, which may be possible later or otherwise."""

    code = "CONFLICT"
    title = "Conflict with what is stored"

    @classmethod
    def at(cls, pointer: str, detail: str, type: str = "conflict") -> "Conflict":
        """The error of one part of the input, named by a JSON Pointer (RFC 6901)."""
        return cls(errors=[Problem(pointer, detail, type)])


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
        says_errors = first.errors and first.message == summary(first.errors)
        told = summary(problems[: len(first.errors)]) if says_errors else f"/tasks/{index}: {first.message}"
        super().__init__(f"{told}{others}", errors=problems[:MAX_PROBLEMS])


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
    """The caller has used up an allowance; it may try again in ``retry_after`` seconds."""

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


class ResyncRequired(TandemError):
    """A cursor of the feed leads nowhere: the database was set back to an earlier state, or is another one. Whoever
    keeps a copy reads everything again."""

    code = "RESYNC_REQUIRED"
    title = "The cursor is of another history: read everything again, then follow from now"


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
    ResyncRequired,
    Unavailable,
    DeadlineExceeded,
)


def from_validation(error: ValidationError, *, prefix: str = "", model: object = None) -> BadUserInput:
    """pydantic's complaints as ours: a pointer and a sentence each, without the value that was sent.

    ``model`` is what was validated, for the names that were misspelt.
    """
    details = error.errors(include_url=False)[:MAX_PROBLEMS]
    return from_error_list([{**detail} for detail in details], prefix=prefix, model=model)


def from_error_list(details: Iterable[Detail], *, prefix: str = "", model: object = None) -> BadUserInput:
    """The error for what pydantic found wrong, the first 50 parts of it, with pointers below ``prefix``."""
    problems = [problem_of(detail, prefix, model) for detail in islice(details, MAX_PROBLEMS)]
    return BadUserInput(errors=problems)


def problem_of(detail: Detail, prefix: str = "", model: object = None) -> Problem:
    """One of pydantic's errors as ours."""
    location = detail["loc"]
    if detail["type"] in ("recursion_loop", "recursion_depth_exceeded"):
        # found 255 levels down, where no input goes
        return Problem(prefix + to_pointer(location[:10]), sentences.words_for(detail), "too_deep")
    names = names_at(model, location[:-1]) if detail["type"] == "extra_forbidden" else ()
    return Problem(prefix + to_pointer(location), sentences.words_for(detail, names=names), type_of(detail))


def type_of(detail: Detail) -> str:
    """The stable word for one of pydantic's errors: one for what is no object, whoever has it checked."""
    if detail["type"] == "model_type":
        return "model_attributes_type"
    return f"string_{detail['type']}" if sentences.counts_characters(detail) else str(detail["type"])


def to_pointer(location: Iterable[str | int]) -> str:
    """A pydantic location as a JSON Pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)
